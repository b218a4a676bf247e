"""The plan of a query that is a statement: on one shard if its rows are known to live there,
else its fragments and their finish, else answered here if it is nothing but constants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from shardrouter import syntax
from shardrouter.bounds import bound, limit_clause, reach
from shardrouter.broadcasting import sent_as, small_part
from shardrouter.catalog import Catalog
from shardrouter.common_tables import with_clause
from shardrouter.errors import NotSupported, StatementError
from shardrouter.fragments import (
    Cut,
    Pushed,
    decided,
    fragment_of,
    is_fetched,
    is_momentary,
    locked,
    name_of,
)
from shardrouter.locality import Located, body, whole
from shardrouter.ordering import SortedBy, order_text
from shardrouter.outputs import Outputs, Rows, Selected, SetOperation
from shardrouter.placing import Pins, pins_of, place, reliance
from shardrouter.planned import (
    Answer,
    Broadcast,
    CatalogQuery,
    Finish,
    Fragment,
    Merge,
    OneShard,
    Operand,
    OrderKey,
    ResultColumn,
    Scatter,
)
from shardrouter.query import analysed, one_of_sets, set_operation, unlimited, values
from shardrouter.ranking import rank
from shardrouter.relations import Statement
from shardrouter.sqlite_text import Named, names_of, renumbered
from shardrouter.tables import Column
from shardrouter.translate import Scope
from shardrouter.typed import Parameters, Typed, collated
from shardrouter.types import Type
from shardrouter.windows import direction

__all__ = ["result_columns", "select", "select_for"]

BROADCASTS_MAX: Final = 2
"""Of those that are kept in a plan: each costs a look at the table when it is carried out."""


def result_columns(outputs: Outputs) -> tuple[ResultColumn, ...]:
    return tuple(
        ResultColumn(name, typed.type.oid, modifier)
        for name, typed, modifier in zip(
            outputs.names, outputs.columns(), outputs.modifiers, strict=True
        )
    )


@dataclass
class _Query:
    """A query as it was understood; what it is sorted and cut by stands apart for a SELECT."""

    statement: Statement
    outputs: Selected | Rows | SetOperation
    columns: tuple[ResultColumn, ...]
    scope: Scope
    keys: list[SortedBy]
    limit: Operand | None = None
    offset: Operand | None = None
    wanted: tuple[Type | None, ...] = ()

    @property
    def text(self) -> str:
        outputs = self.outputs
        return outputs.text(named=False) if isinstance(outputs, Selected) else outputs.text()


def select(
    node: syntax.Query, catalog: Catalog, parameters: Parameters
) -> OneShard | Scatter | Answer | CatalogQuery:
    return _planned(node, _understood(node, Statement(parameters, catalog, analysed)), catalog)


def select_for(
    node: syntax.Query,
    catalog: Catalog,
    parameters: Parameters,
    wanted: tuple[Type | None, ...],
) -> tuple[OneShard | Scatter | Answer | CatalogQuery, tuple[Type, ...]]:
    """The same for who makes something else of the rows, and the types of its columns. `wanted` are
    those of columns that have none of their own ('x', NULL, $1)."""
    query = _understood(node, Statement(parameters, catalog, analysed), wanted)
    kinds = tuple(typed.type for typed in query.outputs.columns())
    return _planned(node, query, catalog), kinds


def _planned(
    node: syntax.Query, query: _Query, catalog: Catalog
) -> OneShard | Scatter | Answer | CatalogQuery:
    parameters = query.statement.parameters
    if isinstance(node, syntax.Select) and not node.sources and not node.tail.tables:
        answer = _answer(node, query, parameters)
        if answer is not None:
            return answer
    locking = node.locking if isinstance(node, syntax.Select) else ""
    statement = query.statement
    if statement.asks_catalog and statement.makes_keys:
        raise NotSupported(
            "unique_id() in a query of the system catalogs is not supported",
            hint="Ask the catalogs by a statement of their own.",
        )
    if statement.asks_catalog and not statement.tables and not locking:
        return CatalogQuery(
            relations=tuple(statement.system),
            sql=query.text,
            columns=query.columns,
            parameter_oids=parameters.oids(),
            bounds=tuple(statement.bounds),
            asks_meta=statement.asks_meta,
        )
    where = place(statement, catalog)
    if where.is_everywhere or statement.makes_keys:
        return _scatter(node, query, catalog)
    return OneShard(
        tag="SELECT",
        tables=reliance(statement),
        sql=query.text,
        key_type=where.key_type,
        keys=where.keys,
        quick=isinstance(node, syntax.Select) and _is_point(node, statement, query.scope),
        columns=query.columns,
        parameter_oids=parameters.oids(),
        bounds=tuple(statement.bounds),
        shards=where.shards,
        locking=locking,
    )


def _understood(
    node: syntax.Query, statement: Statement, wanted: tuple[Type | None, ...] = ()
) -> _Query:
    scope = Scope(statement)
    tables = with_clause(node.tail.tables, recursive=node.tail.recursive, scope=scope)
    if not isinstance(node, syntax.Select):
        outputs: Rows | SetOperation = (
            values(node, scope) if isinstance(node, syntax.Values) else set_operation(node, scope)
        )
        outputs.tables = tables
        scope.end = len(statement.scopes)
        return _Query(statement, outputs, result_columns(outputs), scope, [])
    node = one_of_sets(node)
    selected, keys = unlimited(node, scope)
    selected.tables = tables
    for item, kind in zip(selected.items, wanted, strict=False):
        if item.typed is None and kind is not None:
            item.taken(kind)
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
    selected.order = order_text(keys, selected)
    selected.limit = limit_clause(limit, offset)
    rank(node, selected, keys, scope, (limit, offset))
    scope.end = len(statement.scopes)
    return _Query(statement, selected, columns, scope, keys, limit, offset, wanted)


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


def _answer(node: syntax.Select, query: _Query, parameters: Parameters) -> Answer | None:
    """Constants and what drivers ask when they connect: no shard is needed."""
    if node.where or node.having or node.group or node.tail.limit or node.tail.offset:
        return None
    assert isinstance(query.outputs, Selected)
    row = [item.taken(None).constant for item in query.outputs.items]
    values = tuple(constant.value for constant in row if constant is not None)
    if len(values) < len(row):
        return None
    return Answer("SELECT", query.columns, (values,), parameters.oids())


def _is_point(node: syntax.Select, statement: Statement, scope: Scope) -> bool:
    """Whether it reads one row by its whole primary key: bounded work."""
    if len(statement.scopes) > 1 or len(node.sources) != 1 or len(scope.named) != 1:
        return False
    ((number, table),) = scope.named
    pins = pins_of(statement)
    return bool(table.primary_key) and all(
        len(pins.get((number, name), ())) == 1 for name in table.primary_key
    )


def _scatter(node: syntax.Query, query: _Query, catalog: Catalog) -> Scatter:
    """Merged, if that is all there is to do; else finished here."""
    if isinstance(node, syntax.Select) and node.locking:
        raise locked()
    statement = query.statement
    pins = pins_of(statement)
    read = names_of(query.text)
    is_pushed = not is_momentary(read)
    merged = _merged_or_distinct(node, query, catalog, pins, {}) if is_pushed else None
    broadcasts: Iterator[Broadcast] = iter(())
    finish: Merge | Finish
    if merged is not None:
        fragments, finish = merged
    else:
        pushed = decided(statement) if is_pushed else {}
        cut, text, items = _finish(node, query, catalog, pushed, read)
        if not cut.is_complete(text):
            pushed = {index: found for index, found in pushed.items() if found.is_whole}
            cut, text, items = _finish(node, query, catalog, pushed, read)
        finish = Finish(*renumbered(text), cut.totals(text, items))
        fragments = cut.fragments(text, pins)
        if is_pushed:
            tables = cut.fetched(text)
            broadcasts = _broadcasts(node, query, catalog, pins, fragments, tables, pushed)
    return Scatter(
        tables=reliance(statement),
        fragments=fragments,
        finish=finish,
        columns=query.columns,
        parameter_oids=statement.parameters.oids(),
        bounds=tuple(statement.bounds),
        broadcasts=tuple(islice(broadcasts, BROADCASTS_MAX)),
    )


def _merged_or_distinct(
    node: syntax.Query, query: _Query, catalog: Catalog, pins: Pins, sent: Mapping[int, str]
) -> tuple[tuple[Fragment, ...], Merge | Finish] | None:
    """If the shards can answer all of it, each for its own rows and those that are `sent`."""
    located, spread = whole(query.scope, is_top=True), body(query.scope)
    is_merged = located is not None and bool(located.columns)
    if not is_merged and (spread is None or not spread.columns or not _is_distinct(query.scope)):
        return None
    if sent:
        _, query = _cut(node, query, catalog, Cut({}, sent, depth=1))
    if is_merged:
        assert located is not None
        fragment, finish = _merged(query, located, pins)
        return (fragment,), finish
    assert spread is not None
    fragment, last = _distinct(query, spread, pins)
    return (fragment,), last


def _broadcasts(
    node: syntax.Query,
    query: _Query,
    catalog: Catalog,
    pins: Pins,
    fragments: Sequence[Fragment],
    tables: Sequence[tuple[int, Sequence[Column]]],
    before: Mapping[int, Pushed],
) -> Iterator[Broadcast]:
    """If tables are fetched that are on all shards: what can be done if another one is small.
    `before` is what is pushed if none is."""
    fetched = {fragment.name: fragment for fragment in fragments if is_fetched(fragment)}
    statement = query.statement
    given = len(statement.parameters.oids())
    for number, columns in tables:
        small = fetched[name_of(number)]
        others = [other for other in fetched.values() if other is not small]
        if not any(other.where == "shards" and not other.keys for other in others):
            continue
        statement.sent = frozenset({number})
        sent = {number: sent_as(number, columns, given + 2)}
        found = _merged_or_distinct(node, query, catalog, pins, sent)
        if found is None:
            pushed = decided(statement)
            if pushed.keys() == before.keys():  # it helps nothing
                continue
            cut, again = _cut(node, query, catalog, Cut(pushed, sent))
            if not cut.is_complete(again.text):
                continue
            found = cut.fragments(again.text, pins), Finish(*renumbered(again.text))
        if not any(map(is_fetched, found[0])):
            yield Broadcast(small_part(small, given + 1), *found)


def _finish(
    node: syntax.Query, query: _Query, catalog: Catalog, pushed: Mapping[int, Pushed], read: Named
) -> tuple[Cut, str, list[str]]:
    """The query, which names what is `read`, as it is finished, what a SELECT lists there, and what
    the shards give for it. If that is nothing but rows, it stands as it was understood, its tables
    under other names."""
    cut = Cut(pushed)
    if not pushed:
        return cut, cut.rows_alone(query.statement, query.text, read), []
    _, again = _cut(node, query, catalog, cut)
    return cut, again.text, _items(again)


def _cut(node: syntax.Query, query: _Query, catalog: Catalog, cut: Cut) -> tuple[Cut, _Query]:
    """The query as it is finished, and what the shards give for it."""
    parameters = query.statement.parameters.again()
    relations = query.statement.relations
    statement = Statement(parameters, catalog, analysed, cut=cut, relations=relations)
    return cut, _understood(node, statement, query.wanted)


def _items(query: _Query) -> list[str]:
    """What a SELECT lists, as the finish has it."""
    if not isinstance(query.outputs, Selected):
        return []
    return [typed.sql for typed in query.outputs.columns()]


def _is_distinct(scope: Scope) -> bool:
    """Whether it is SELECT DISTINCT of rows as they are."""
    node = None if scope.form is None else scope.form.node
    return (
        node is not None
        and node.distinct is True
        and not (node.group or node.grouping or node.having or node.tail.with_ties)
        and not (scope.aggregates or scope.has_windows)
    )


def _distinct(query: _Query, located: Located, pins: Pins) -> tuple[Fragment, Finish]:
    """Distinct rows of each shard, and of those the distinct ones."""
    selected = query.outputs
    assert isinstance(selected, Selected)
    kinds = [typed.type for typed in selected.columns()]
    order, limit = selected.order, selected.limit
    selected.order = selected.limit = ""
    made = fragment_of("b0", selected.text(), located, pins, "distinct rows of each shard")
    columns = tuple(f"c{i + 1} {kind.column}" for i, kind in enumerate(kinds))
    listed = ", ".join(collated(Typed(f"c{i + 1}", kind)) for i, kind in enumerate(kinds))
    text = f"SELECT DISTINCT {listed} FROM b0{order}{limit}"  # noqa: S608 -- our own names
    return replace(made, columns=columns), Finish(*renumbered(text))


def _merged(query: _Query, located: Located, pins: Pins) -> tuple[Fragment, Merge]:
    """By position: the column that the merge reads is the column that was sorted by."""
    selected = query.outputs
    assert isinstance(selected, Selected)
    order: list[OrderKey] = []
    texts = []
    for key, typed, index in query.keys:
        if index is None:
            index = len(selected.items) + len(selected.hidden)
            selected.hidden.append(typed.sql)
        texts.append(direction(collated(Typed(str(index + 1), typed.type)), key))
        order.append(OrderKey(index, key.descending, key.nulls_first, typed.type.collation))
    selected.order = f" ORDER BY {', '.join(texts)}" if texts else ""
    selected.limit = limit_clause(reach(query.limit, query.offset), None)
    fragment = fragment_of("b0", query.text, located, pins, "rows of the answer")
    return fragment, Merge(tuple(order), len(selected.hidden), query.limit, query.offset)
