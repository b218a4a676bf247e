"""ORDER BY of a query: what it is sorted by, and the text of it."""

from __future__ import annotations

from shardrouter import syntax
from shardrouter.errors import NotSupported, StatementError
from shardrouter.operators import require_operator
from shardrouter.outputs import Item, Rows, Selected, SetOperation, item_types
from shardrouter.translate import Scope
from shardrouter.typed import Typed, collated
from shardrouter.windows import direction

__all__ = ["SortedBy", "names_ordered", "order_text", "sort_keys", "sorted_by"]

SortedBy = tuple[syntax.SortKey, Typed, int | None]
"""A sort key, its expression, and if it is one of the select list's items, its index."""


def names_ordered(tail: syntax.Tail, outputs: Rows | SetOperation) -> str:
    """ORDER BY of a UNION or VALUES: by names and positions of the columns only."""
    keys = []
    kinds = item_types(outputs)
    for key in tail.order:
        node = key.expression
        index = None
        if isinstance(node, syntax.NumberLiteral | syntax.StringLiteral):
            index = _ordinal(node, len(outputs.names))
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


def sort_keys(order: tuple[syntax.SortKey, ...], items: list[Item], scope: Scope) -> list[SortedBy]:
    """Each sort key with its expression and, if it is one of the list's items, its index.

    As SQL-92 has it a bare name is an item's name first and a column second, a bare integer
    is a position; inside an expression a name is always a column.
    """
    found: list[SortedBy] = []
    for key in order:
        expression = key.expression
        index: int | None = None
        if isinstance(expression, syntax.NumberLiteral | syntax.StringLiteral):
            index = _ordinal(expression, len(items))
        elif isinstance(expression, syntax.ColumnReference) and expression.table is None:
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
        if typed.operand is not None:
            continue  # a constant orders nothing
        found.append((key, typed, index))
    return found


def _same(item: Item, typed: Typed) -> bool:
    return item.typed is not None and item.typed.sql == typed.sql


def _ordinal(node: syntax.NumberLiteral | syntax.StringLiteral, count: int) -> int:
    if isinstance(node, syntax.StringLiteral) or not node.text.isdigit():
        raise StatementError(
            "non-integer constant in ORDER BY", sqlstate="42601", position=node.position
        )
    if len(node.text) > 6 or not 1 <= int(node.text) <= count:
        raise StatementError(
            f"ORDER BY position {node.text} is not in select list",
            sqlstate="42P10",
            position=node.position,
        )
    return int(node.text) - 1


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
