"""GROUP BY, and PostgreSQL's rule about what may stand beside it (42803)."""

from __future__ import annotations

from shardrouter import syntax
from shardrouter.errors import StatementError
from shardrouter.operators import require_operator
from shardrouter.ordering import place_of
from shardrouter.translate import Scope
from shardrouter.typed import Typed, collated
from shardrouter.types import TEXT

__all__ = ["check_grouping", "group_clause"]


def group_clause(node: syntax.Select, scope: Scope) -> str:
    """The text of GROUP BY; the scope then knows what is grouped by."""
    if node.grouping is not None:
        _null_the_others(node, node.grouping, scope)
    if not node.group:
        return ""
    scope.clause = "GROUP BY"
    nulled, scope.nulled = scope.nulled, {}
    texts: list[str] = []
    grouped: dict[str, Typed] = {}
    meant: dict[int, Typed] = {}
    for expression in node.group:
        found = _meant(expression, node, scope)
        typed = shown = scope.take(found, TEXT)
        if scope.split is not None and typed.constant is None:
            shown = scope.split.group(typed)
        if found is not expression and not scope.is_open(found):
            meant[id(found)] = shown
        require_operator("an equality", typed.type, syntax.position_of(expression))
        grouped[typed.sql] = shown
        # A number would be a position to SQLite.
        texts.append("NULL" if typed.constant is not None else collated(shown))
    scope.clause = ""
    scope.loose.clear()
    scope.grouped = grouped
    scope.meant = meant if not nulled else {}
    scope.nulled = nulled
    columns = {typed.column for typed in grouped.values()}
    scope.freed = frozenset(
        relation.number
        for relation in scope.relations.values()
        if relation.table is not None
        and relation.table.primary_key
        and all((relation.number, name) in columns for name in relation.table.primary_key)
    )
    return f" GROUP BY {', '.join(texts)}"


def _null_the_others(node: syntax.Select, grouping: syntax.Grouping, scope: Scope) -> None:
    """One of several groupings: the scope then knows what all of them group by."""
    scope.clause = "GROUP BY"
    found = [scope.take(_meant(part, node, scope), TEXT) for part in grouping.every]
    scope.clause = ""
    scope.loose.clear()
    scope.every = {typed.sql: typed for typed in found}
    nulled = dict(scope.every)
    if not node.group:
        scope.nulled = nulled
        return
    own = {scope.take(_meant(part, node, scope), TEXT).sql for part in node.group}
    scope.loose.clear()
    scope.nulled = {text: typed for text, typed in nulled.items() if text not in own}


def _meant(expression: syntax.Expression, node: syntax.Select, scope: Scope) -> syntax.Expression:
    """A bare number is a position; a bare name is a column first and an item's name second."""
    items = _expressions(node, scope)
    place = place_of(expression, "GROUP BY", len(items))
    if place is not None:
        return items[place]
    if (
        isinstance(expression, syntax.ColumnReference)
        and expression.table is None
        and not any(name == expression.name for name, _ in scope.shown)
    ):
        for item in node.items:
            if isinstance(item, syntax.SelectItem) and item.alias == expression.name:
                return item.expression
    return expression


def _expressions(node: syntax.Select, scope: Scope) -> list[syntax.Expression]:
    """The items of the list, stars written out."""
    found: list[syntax.Expression] = []
    for item in node.items:
        if isinstance(item, syntax.SelectItem):
            found.append(item.expression)
        else:
            for relation in scope.relations.values():
                if item.table in (None, relation.alias):
                    found += [
                        syntax.ColumnReference(name, relation.alias, item.position)
                        for name, _ in relation.fields
                    ]
    return found


def check_grouping(node: syntax.Select, scope: Scope) -> None:
    """Raises 42803 for a column that is neither grouped by nor in an aggregate."""
    if not (node.group or node.grouping or scope.aggregates or node.having is not None):
        return
    for shown, position, in_subquery in scope.loose:
        if in_subquery:
            raise StatementError(
                f'subquery uses ungrouped column "{shown}" from outer query',
                sqlstate="42803",
                position=position,
            )
        raise StatementError(
            f'column "{shown}" must appear in the GROUP BY clause or be used in an aggregate '
            "function",
            sqlstate="42803",
            position=position,
        )
