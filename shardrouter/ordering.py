"""ORDER BY of a query: what it is sorted by, and the text of it."""

from __future__ import annotations

from shardrouter import syntax
from shardrouter.errors import NotSupported, StatementError
from shardrouter.operators import require_operator
from shardrouter.outputs import Item, Rows, Selected, SetOperation, item_types
from shardrouter.translate import Scope
from shardrouter.typed import Typed, collated, number
from shardrouter.types import INTEGER
from shardrouter.windows import direction

__all__ = ["SortedBy", "names_ordered", "order_text", "place_of", "sort_keys", "sorted_by"]

SortedBy = tuple[syntax.SortKey, Typed, int | None]
"""A sort key, its expression, and if it is one of the select list's items, its index."""


def names_ordered(tail: syntax.Tail, outputs: Rows | SetOperation) -> str:
    """ORDER BY of a UNION or VALUES: by names and positions of the columns only."""
    keys = []
    kinds = item_types(outputs)
    for key in tail.order:
        node = key.expression
        index = place_of(node, "ORDER BY", len(outputs.names))
        if index is not None:
            pass
        elif isinstance(node, syntax.ColumnReference) and node.table is None:
            found = [i for i, name in enumerate(outputs.names) if name == node.name]
            if len(found) > 1:
                raise StatementError(
                    f'ORDER BY "{node.name}" is ambiguous',
                    sqlstate="42702",
                    position=node.position,
                )
            if not found:
                raise StatementError(
                    f'column "{node.name}" does not exist', sqlstate="42703", position=node.position
                )
            index = found[0]
        if index is None:
            raise NotSupported(
                "invalid UNION/INTERSECT/EXCEPT ORDER BY clause",
                position=syntax.position_of(node),
                detail="Only result column names can be used, not expressions or functions.",
                hint="Add the expression/function to every SELECT, or move the UNION into a "
                "FROM clause.",
            )
        require_operator("an ordering", kinds[index], syntax.position_of(node))
        keys.append(direction(collated(Typed(str(index + 1), kinds[index])), key))
    return f" ORDER BY {', '.join(keys)}" if keys else ""


def sort_keys(
    order: tuple[syntax.SortKey, ...],
    items: list[Item],
    scope: Scope,
    *,
    clause: str = "ORDER BY",
    listed: bool = False,
) -> list[SortedBy]:
    """Each sort key with its expression and, if it is one of the list's items, its index.

    As SQL-92 has it a bare name is an item's name first and a column second, a bare integer
    is a position; inside an expression a name is always a column. If they have to be `listed`, as
    DISTINCT has it, each is one of the items; a constant sorts nothing, and is left out.
    """
    found: list[SortedBy] = []
    unlisted: syntax.Expression | None = None
    for key in order:
        expression = key.expression
        index = place_of(expression, clause, len(items))
        if (
            index is None
            and isinstance(expression, syntax.ColumnReference)
            and expression.table is None
        ):
            index = _by_name(expression, items)
        if index is None:
            typed = scope.expression(expression)
            index = next(
                (i for i, item in enumerate(items) if _same(item, typed)),
                None,
            )
        else:
            typed = items[index].taken(None)
        require_operator("an ordering", typed.type, syntax.position_of(expression))
        if index is None and unlisted is None:
            unlisted = expression
        if typed.constant is None:  # SQLite would take a number for a position
            found.append((key, typed, index))
    if listed and unlisted is not None:
        raise StatementError(
            "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
            sqlstate="42P10",
            position=syntax.position_of(unlisted),
        )
    return found


def _same(item: Item, typed: Typed) -> bool:
    return item.typed is not None and item.typed.sql == typed.sql


def place_of(node: syntax.Expression, clause: str, count: int) -> int | None:
    """The index of the item that a bare constant in ORDER BY, GROUP BY or DISTINCT ON stands for;
    None of what is no bare constant. Raises StatementError 42601, 42P10."""
    match node:
        case syntax.NumberLiteral(text=text):
            pass
        case syntax.Negation(operand=syntax.NumberLiteral(text=text)):
            text = f"-{text}"
        case syntax.StringLiteral(collated=False) | syntax.NullLiteral(collated=False):
            text = ""
        case syntax.BooleanLiteral():
            text = ""
        case _:
            return None
    position = syntax.position_of(node)
    if not text.removeprefix("-").isdigit() or number(text).type is not INTEGER:
        raise StatementError(
            f"non-integer constant in {clause}", sqlstate="42601", position=position
        )
    if not 1 <= int(text) <= count:
        raise StatementError(
            f"{clause} position {int(text)} is not in select list",
            sqlstate="42P10",
            position=position,
        )
    return int(text) - 1


def _by_name(node: syntax.ColumnReference, items: list[Item]) -> int | None:
    found = [i for i, item in enumerate(items) if item.name == node.name]
    taken = [items[i].taken(None) for i in found]
    if len({(typed.sql, typed.type.oid) for typed in taken}) > 1:
        raise StatementError(
            f'ORDER BY "{node.name}" is ambiguous', sqlstate="42702", position=node.position
        )
    return found[0] if found else None


def order_text(keys: list[SortedBy], outputs: Selected) -> str:
    """By position where it is an item: what is sorted by is what is shown."""
    texts = []
    for key, typed, index in keys:
        text = typed.sql if index is None else str(index + 1)
        texts.append(direction(collated(Typed(text, typed.type)), key))
    return f" ORDER BY {', '.join(texts)}" if texts else ""


def sorted_by(keys: list[SortedBy]) -> str:
    """The same where no item can be named: by the expressions."""
    return ", ".join(direction(collated(typed), key) for key, typed, _ in keys)
