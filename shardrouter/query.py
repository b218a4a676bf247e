"""Queries: SELECT, VALUES and set operations, from what was written to their text.

`analysed` serves every query inside a statement; of one that is a statement itself
`shardrouter.select_plan` makes the plan, from the same parts.
"""

from __future__ import annotations

from shardrouter import syntax
from shardrouter.bounds import bound, limit_clause
from shardrouter.common_tables import with_clause
from shardrouter.conditions import where_clause
from shardrouter.errors import NotSupported, StatementError
from shardrouter.fetched import Fetched
from shardrouter.grouping import check_grouping, group_clause
from shardrouter.grouping_sets import expanded
from shardrouter.labels import label
from shardrouter.listed_rows import with_rows_of_lists
from shardrouter.locality import Form
from shardrouter.operators import require_operator
from shardrouter.ordering import SortedBy, names_ordered, order_text, sort_keys
from shardrouter.outputs import Item, Outputs, Rows, Selected, SetOperation, item_types
from shardrouter.planned import (
    Constant,
)
from shardrouter.ranking import Limits, rank
from shardrouter.set_functions import in_list
from shardrouter.sources import from_clause
from shardrouter.translate import Scope

__all__ = ["analysed", "listed", "one_of_sets", "set_operation", "unlimited", "values"]


def analysed(node: syntax.Query, around: Scope) -> Outputs:
    """A query inside a statement; `around` is the query it stands in."""
    scope = Scope(around.statement, around)
    cut = scope.statement.cut
    if cut is not None and cut.is_pushed(scope):
        with cut.pushing():
            outputs = _analysed(node, scope)
        return Fetched(outputs, cut, scope)
    return _analysed(node, scope)


def _analysed(node: syntax.Query, scope: Scope) -> Selected | Rows | SetOperation:
    tables = with_clause(node.tail.tables, recursive=node.tail.recursive, scope=scope)
    outputs: Selected | Rows | SetOperation
    match node:
        case syntax.Select():
            outputs = _select(node, scope)
        case syntax.Values():
            outputs = values(node, scope)
        case syntax.SetOperation():
            outputs = set_operation(node, scope)
    outputs.tables = tables
    scope.end = len(scope.statement.scopes)
    return outputs


def listed(items: tuple[syntax.SelectItem | syntax.Star, ...], scope: Scope) -> list[Item]:
    """A select list, stars written out."""
    found: list[Item] = []
    for item in items:
        if isinstance(item, syntax.SelectItem):
            name = item.alias if item.alias is not None else label(item.expression)
            typed = None if scope.is_open(item.expression) else scope.expression(item.expression)
            found.append(Item(name, item.expression, typed, scope))
            continue
        if item.table is not None:
            scope.check_qualifier(item.table, item.position, item.schema)
            relation = scope.source_named(item.table, item.schema)
            fields = list(relation.fields) if relation is not None else []
        else:
            fields = list(scope.shown)
        if not fields and not scope.relations:
            raise StatementError(
                "SELECT * with no tables specified is not valid",
                sqlstate="42601",
                position=item.position,
            )
        for name, typed in fields:
            scope.read(name, typed, item.position)
            found.append(Item(name, None, typed, scope))
    return found


def _select(node: syntax.Select, scope: Scope) -> Selected:
    if node.locking:
        raise NotSupported(
            f"FOR {node.locking} is not supported here",
            hint="Put it at the end of the outermost SELECT.",
        )
    node = one_of_sets(node)
    outputs, keys = unlimited(node, scope)
    outputs.order = order_text(keys, outputs)
    limits = set_limit(outputs, node.tail, scope)
    if limits == (None, None) and _is_row_by_row(node, scope):
        outputs.through = scope.numbers
    rank(node, outputs, keys, scope, limits)
    return outputs


def _is_row_by_row(node: syntax.Select, scope: Scope) -> bool:
    """Whether what a row of it says depends on no other rows."""
    return not (
        node.group
        or node.grouping
        or node.having
        or isinstance(node.distinct, tuple)
        or scope.aggregates
        or scope.has_windows
    )


def one_of_sets(node: syntax.Select) -> syntax.Select:
    """The query; with ROLLUP and its like, one around the groupings it stands for."""
    if not node.group:
        return node
    labels = [
        item.alias or label(item.expression) if isinstance(item, syntax.SelectItem) else "*"
        for item in node.items
    ]
    return expanded(node, labels) or node


def set_limit(outputs: Selected | Rows | SetOperation, tail: syntax.Tail, scope: Scope) -> Limits:
    if tail.with_ties and not isinstance(outputs, Selected):
        raise NotSupported(
            "WITH TIES of this query is not supported", hint="Put it around a subquery in FROM."
        )
    limit, offset = bound(scope, tail.limit, "LIMIT"), bound(scope, tail.offset, "OFFSET")
    outputs.limit = limit_clause(limit, offset)
    if isinstance(limit, Constant) and limit.value in (0, 1):
        outputs.is_one_row = True
    return limit, offset


def unlimited(node: syntax.Select, scope: Scope) -> tuple[Selected, list[SortedBy]]:
    """A SELECT without its LIMIT, and what it is sorted by."""
    found = with_rows_of_lists(node)
    if found is not node:
        return unlimited(found, scope)
    scope.windows = dict(node.windows)
    cut = scope.statement.cut
    scope.split = None if cut is None else cut.split_of(scope)
    if cut is not None and scope.split is not None:
        with cut.pushing():
            body, rows = _body(node, scope)
            group = group_clause(node, scope)
        scope.split.body, body = body, f" FROM {scope.split.name}"
    else:
        body, rows = _body(node, scope)
        group = group_clause(node, scope)
    items = listed(node.items, scope)
    if node.having is not None:
        having = scope.condition(node.having, "HAVING").sql
        group += f" HAVING {having}"
        if not node.grouping and not node.group and not scope.aggregates:
            raise NotSupported(
                "HAVING without an aggregate or GROUP BY is not supported",
                hint="Write WHERE.",
            )
    scope.form = Form(node, tuple(items))
    outputs = Selected(items, body=body + group)
    outputs.is_group = node.grouping is not None and not node.group
    keys = sort_keys(node.tail.order, items, scope, listed=node.distinct is True)
    check_grouping(node, scope)
    if rows and (node.group or scope.aggregates or scope.has_windows):
        raise NotSupported(
            "a function of sets beside aggregates or window functions is not supported",
            hint="Write it in FROM, or in a subquery.",
        )
    is_lone = not node.sources and not rows
    outputs.is_one_row = is_lone or (bool(scope.aggregates) and not node.group)
    if node.distinct is True:
        outputs.head = "SELECT DISTINCT"
        for item in items:
            if item.typed is not None:
                require_operator("an equality", item.typed.type)
    return outputs, keys


def _body(node: syntax.Select, scope: Scope) -> tuple[str, str]:
    """FROM and WHERE; and what of it are the rows of functions in the list."""
    body = from_clause(node.sources, scope)
    rows, scope.sets = in_list(node.items, scope)
    if rows:
        body += f", {rows}" if body else f" FROM {rows}"
    return body + _where(node, scope), rows


def _where(node: syntax.Select, scope: Scope) -> str:
    """The clause. Of two mistakes PostgreSQL tells the select list's first, but for those that are
    told once the groups are known (42803)."""
    try:
        return where_clause(node.where, scope)
    except StatementError:
        scope.clause = scope.inside = ""
        try:
            listed(node.items, scope)
        except StatementError as exc:
            if exc.sqlstate != "42803":
                raise
        raise


def values(node: syntax.Values, scope: Scope) -> Rows:
    scope.clause = "VALUES"
    rows = [
        [
            Item("", value, None if scope.is_open(value) else scope.expression(value), scope)
            for value in row
        ]
        for row in node.rows
    ]
    outputs = Rows(rows)
    outputs.order = names_ordered(node.tail, outputs)
    set_limit(outputs, node.tail, scope)
    return outputs


def set_operation(node: syntax.SetOperation, scope: Scope) -> SetOperation:
    left, right = analysed(node.left, scope), analysed(node.right, scope)
    if len(left.names) != len(right.names):
        raise StatementError(
            f"each {node.operator} query must have the same number of columns",
            sqlstate="42601",
            position=node.right.position,
        )
    outputs = SetOperation(f"{node.operator}{' ALL' if node.all else ''}", left, right)
    if node.operator != "UNION" or not node.all:
        for kind in item_types(outputs):
            require_operator("an equality", kind)
    outputs.order = names_ordered(node.tail, outputs)
    set_limit(outputs, node.tail, scope)
    return outputs
