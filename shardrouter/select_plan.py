"""The plan of a query that is a statement: on one shard if its rows are known to live there,
else on every shard and merged, else answered here if it is nothing but constants."""

from __future__ import annotations

from shardrouter import syntax
from shardrouter.bounds import bound, limit_clause, reach
from shardrouter.catalog import Catalog
from shardrouter.common_tables import with_clause
from shardrouter.errors import NotSupported, StatementError
from shardrouter.ordering import SortedBy, order_text
from shardrouter.outputs import Outputs, Rows, Selected, SetOperation
from shardrouter.placing import pins_of, place, reliance
from shardrouter.planned import (
    Answer,
    CatalogQuery,
    OneShard,
    Operand,
    OrderKey,
    ResultColumn,
    Scatter,
)
from shardrouter.query import analysed, one_of_sets, set_operation, unlimited, values
from shardrouter.ranking import rank
from shardrouter.relations import Statement
from shardrouter.translate import Scope
from shardrouter.typed import Parameters, Typed, collated
from shardrouter.windows import direction

__all__ = ["result_columns", "select"]


def result_columns(outputs: Outputs) -> tuple[ResultColumn, ...]:
    return tuple(
        ResultColumn(name, typed.type.oid, modifier)
        for name, typed, modifier in zip(
            outputs.names, outputs.columns(), outputs.modifiers, strict=True
        )
    )


def select(
    node: syntax.Query, catalog: Catalog, parameters: Parameters
) -> OneShard | Scatter | Answer | CatalogQuery:
    statement = Statement(parameters, catalog, analysed)
    scope = Scope(statement)
    tables = with_clause(node.tail.tables, recursive=node.tail.recursive, scope=scope)
    if not isinstance(node, syntax.Select):
        outputs: Selected | Rows | SetOperation = (
            values(node, scope) if isinstance(node, syntax.Values) else set_operation(node, scope)
        )
        outputs.tables = tables
        columns = result_columns(outputs)
        return _one_shard(statement, catalog, outputs.text(), columns, quick=False)
    node = one_of_sets(node)
    selected, keys = unlimited(node, scope)
    selected.tables = tables
    _check_locking(node, scope)
    columns = result_columns(selected)
    if not columns:
        raise NotSupported(
            "SELECT without a list is not supported here", hint="Select something: SELECT 1."
        )
    limit, offset = (
        bound(scope, node.tail.limit, "LIMIT"),
        bound(scope, node.tail.offset, "OFFSET"),
    )
    if not node.sources and not node.tail.tables:
        answer = _answer(node, selected, columns, parameters)
        if answer is not None:
            return answer
    where = place(statement, catalog)
    if where.is_everywhere:
        return _scatter(node, statement, scope, selected, keys, limit, offset, catalog)
    selected.order = order_text(keys, selected)
    selected.limit = limit_clause(limit, offset)
    rank(node, selected, keys, scope, (limit, offset))
    quick = _is_point(node, statement, scope)
    text = selected.text(named=False)
    return _one_shard(statement, catalog, text, columns, quick=quick, locking=node.locking)


def _check_locking(node: syntax.Select, scope: Scope) -> None:
    """FOR UPDATE locks rows of tables: there must be some to which the answer's rows belong."""
    if not node.locking:
        return
    for name in node.locked:
        if name.text not in scope.relations:
            raise StatementError(
                f'relation "{name.text}" in FOR {node.locking} clause not found in FROM clause',
                sqlstate="42P01",
                position=name.position,
            )
    for found, what in (
        (node.group, "GROUP BY clause"),
        (node.having is not None, "HAVING clause"),
        (node.distinct, "DISTINCT clause"),
        (scope.aggregates, "aggregate functions"),
        (scope.has_windows, "window functions"),
    ):
        if found:
            raise NotSupported(
                f"FOR {node.locking} is not allowed with {what}",
                hint="Lock the rows by a SELECT of their own.",
            )


def _answer(
    node: syntax.Select,
    selected: Selected,
    columns: tuple[ResultColumn, ...],
    parameters: Parameters,
) -> Answer | None:
    """Constants and what drivers ask when they connect: no shard is needed."""
    if node.where or node.having or node.group or node.tail.limit or node.tail.offset:
        return None
    row = [item.taken(None).constant for item in selected.items]
    values = tuple(constant.value for constant in row if constant is not None)
    if len(values) < len(row):
        return None
    return Answer("SELECT", columns, (values,), parameters.oids())


def _one_shard(
    statement: Statement,
    catalog: Catalog,
    text: str,
    columns: tuple[ResultColumn, ...],
    *,
    quick: bool,
    locking: str = "",
) -> OneShard | CatalogQuery:
    if statement.asks_catalog and not statement.tables and not locking:
        return CatalogQuery(
            relations=tuple(statement.system),
            sql=text,
            columns=columns,
            parameter_oids=statement.parameters.oids(),
            bounds=tuple(statement.bounds),
            asks_meta=statement.asks_meta,
        )
    where = place(statement, catalog)
    if where.is_everywhere:
        raise _only_plain()
    return OneShard(
        tag="SELECT",
        tables=reliance(statement),
        sql=text,
        key_type=where.key_type,
        keys=where.keys,
        quick=quick,
        columns=columns,
        parameter_oids=statement.parameters.oids(),
        bounds=tuple(statement.bounds),
        shards=where.shards,
        locking=locking,
    )


def _is_point(node: syntax.Select, statement: Statement, scope: Scope) -> bool:
    """Whether it reads one row by its whole primary key: bounded work."""
    if len(statement.scopes) > 1 or len(node.sources) != 1 or len(scope.named) != 1:
        return False
    ((number, table),) = scope.named
    pins = pins_of(statement)
    return bool(table.primary_key) and all(
        len(pins.get((number, name), ())) == 1 for name in table.primary_key
    )


def _only_plain() -> NotSupported:
    return NotSupported(
        "this query over several shards is not supported",
        hint="Over several shards there are filters, ORDER BY, LIMIT and count(*) of one table. "
        "Pin its shard key to one value, or make it a home table.",
    )


def _scatter(
    node: syntax.Select,
    statement: Statement,
    scope: Scope,
    selected: Selected,
    keys: list[SortedBy],
    limit: Operand | None,
    offset: Operand | None,
    catalog: Catalog,
) -> Scatter:
    """One table, filtered, sorted and cut on every shard, and merged; or counted."""
    where = place(statement, catalog)
    is_count = _is_count(node)
    if (
        len(statement.scopes) > 1
        or len(statement.tables) > 1
        or len(node.sources) != 1
        or not isinstance(node.sources[0], syntax.TableName)
        or node.group
        or node.distinct
        or node.having is not None
        or scope.has_windows
        or (scope.aggregates and not is_count)
        or (is_count and (limit or offset or keys))
        or node.tail.with_ties
        or not selected.items
    ):
        raise _only_plain()
    order: list[OrderKey] = []
    texts = []
    for key, typed, index in keys:
        if index is None:
            index = len(selected.items) + len(selected.hidden)
            selected.hidden.append(typed.sql)
        # By position: the column that the merge reads is the column that was sorted by.
        texts.append(direction(collated(Typed(str(index + 1), typed.type)), key))
        order.append(OrderKey(index, key.descending, key.nulls_first, typed.type.collation))
    selected.order = f" ORDER BY {', '.join(texts)}" if texts else ""
    columns = result_columns(selected)
    selected.limit = limit_clause(reach(limit, offset), None)
    return Scatter(
        tables=reliance(statement),
        sql=selected.text(named=False),
        columns=columns,
        parameter_oids=statement.parameters.oids(),
        hidden=len(selected.hidden),
        order=tuple(order),
        limit=limit,
        offset=offset,
        count=is_count,
        key_type=where.key_type,
        keys=where.keys,
    )


def _is_count(node: syntax.Select) -> bool:
    if len(node.items) != 1 or not isinstance(node.items[0], syntax.SelectItem):
        return False
    call = node.items[0].expression
    return (
        isinstance(call, syntax.Call)
        and call.name == "count"
        and call.over is None
        and not call.distinct
    )
