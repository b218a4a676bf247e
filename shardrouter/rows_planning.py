"""Writes whose rows no shard can find by itself (docs/distributed.md): INSERT of a query, UPDATE
and DELETE that meet rows of other shards, changes of the shard key.

The rows are asked for by a query like any other, with the key of each row that changes; what comes
of it is brought into the form that the table's columns take, here in the router; and then written
by key. So all that a query can is there, and a write is nothing but rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final

from shardrouter import syntax, types
from shardrouter.alike import has_random_default, random_refused
from shardrouter.catalog import Catalog, Column, Table
from shardrouter.conflicts import Conflict, on_conflict
from shardrouter.errors import NotSupported
from shardrouter.locality import reads_alike
from shardrouter.made_keys import drawn_default
from shardrouter.planned import (
    Answer,
    CatalogQuery,
    Finish,
    OneShard,
    Reliance,
    ResultColumn,
    RowsStatement,
    RowsWrite,
    Scatter,
    Spread,
)
from shardrouter.query import analysed
from shardrouter.relations import Statement
from shardrouter.returning import returning_clause
from shardrouter.select_plan import select_for
from shardrouter.targets import default_of
from shardrouter.translate import Scope
from shardrouter.typed import Parameters, Typed, assigned, quote
from shardrouter.types import Type

__all__ = ["change_rows", "insert_rows"]

HELD: Final = "held"
"""The table of the rows that were read."""

_UNMOVED: Final = ("NO ACTION", "RESTRICT")


# --------------------------------------------------------------------------- INSERT


def insert_rows(
    node: syntax.Insert,
    query: syntax.Query,
    columns: Sequence[Column],
    sources: Sequence[Type | None],
    table: Table,
    catalog: Catalog,
    parameters: Parameters,
) -> RowsWrite:
    """INSERT of a query into `columns`; `sources` are the types of the query's columns, None of
    those that have none of their own."""
    open_types = [
        None if source is not None else types.of_column(column.type)
        for column, source in zip(columns, sources, strict=True)
    ]
    read, kinds = _read(_with_tables(node, query), catalog, parameters, open_types)
    shaped = [
        _taken(f"c{i + 1}", kind, result, column)
        for i, (column, kind, result) in enumerate(zip(columns, kinds, read.columns, strict=True))
    ]
    missing = [column for column in table.columns if column not in columns]
    drawn = [c for c in missing if drawn_default(c, table)]
    if _spread(table, catalog) and any(has_random_default(c) for c in missing if c not in drawn):
        raise random_refused(table)
    columns = list(columns)
    key = table.column(table.shard_key)
    if key is not None and key not in columns and key not in drawn:
        columns.append(key)
        shaped.append(default_of(key).sql)
    rows = f"SELECT {', '.join(shaped)} FROM {HELD} ORDER BY rowid"  # noqa: S608 -- our own names
    statement = Statement(parameters, catalog, analysed)
    conflict = Conflict("", rows)
    if node.conflict is not None:
        scope = Scope(statement)
        conflict = on_conflict(node, node.conflict, table, columns, rows, scope)
    returning, shown = returning_clause(node.returning, table, node.table, statement)
    _check_own(node, statement, table)
    columns += drawn
    names = ", ".join(quote(column.name) for column in columns)
    alias = f" AS {conflict.alias}" if conflict.alias else ""
    at = _place_of_key(table, columns)
    write = RowsStatement(
        "INSERT",
        f"INSERT INTO {quote(table.name)}{alias} ({names}) VALUES ",  # noqa: S608 -- quoted names
        f"{conflict.text}{returning}",
        tuple(range(len(columns))),
        at,
        f", {quote(table.shard_key)}" if at >= 0 and shown and conflict.text else "",
        _spread(table, catalog),
    )
    return RowsWrite(
        "INSERT",
        _relied(table, statement, read),
        read,
        Finish(conflict.source, ()),
        tuple(f"c{i + 1} {kind.column}" for i, kind in enumerate(kinds)),
        _key_type(table),
        write,
        draws=tuple(drawn_default(c, table) for c in drawn),
        columns=shown,
        parameter_oids=parameters.oids(),
        bounds=_bounds(read),
        key_name=table.shard_key,
    )


def _with_tables(node: syntax.Insert, query: syntax.Query) -> syntax.Query:
    """The query, with what stands in WITH before INSERT."""
    if not node.tables:
        return query
    tail = query.tail
    names = {table.name.text for table in node.tables}
    if names & {table.name.text for table in tail.tables} or (
        tail.tables and tail.recursive != node.recursive
    ):
        raise NotSupported(
            "WITH before INSERT, and another one before its query, are not supported here",
            position=node.tables[0].name.position,
            hint="Write one WITH, behind INSERT INTO.",
        )
    return replace(
        query, tail=replace(tail, tables=node.tables + tail.tables, recursive=node.recursive)
    )


# --------------------------------------------------------------------------- UPDATE, DELETE


def change_rows(
    node: syntax.Update | syntax.Delete,
    table: Table,
    changed: Sequence[Column],
    catalog: Catalog,
    parameters: Parameters,
) -> RowsWrite:
    """UPDATE, which sets the columns `changed`, or DELETE."""
    identity = _identity(table)
    moves = any(column.name == table.shard_key for column in changed)
    values: list[syntax.Expression] = []
    if isinstance(node, syntax.Update):
        values = [
            assignment.value
            for assignment in node.assignments
            if not isinstance(assignment.value, syntax.DefaultValue)
        ]
    others: list[Column] = []
    if moves:
        _check_moves(table, catalog)
        others = [
            column
            for column in table.columns
            if column not in changed and column not in identity and not column.is_generated
        ]
    alias = node.table.alias
    items = [
        *(_column(column, alias) for column in identity),
        *(syntax.SelectItem(value) for value in values),
        *(_column(column, alias) for column in others),
    ]
    set_by = _by_value(node, changed)
    asked = syntax.Select(
        tuple(items),
        (node.table, *node.sources),
        node.where,
        tail=syntax.Tail(tables=node.tables, recursive=node.recursive),
    )
    wanted = [
        *(types.of_column(column.type) for column in identity),
        *(types.of_column(column.type) for column in set_by if column is not None),
    ]
    read, kinds = _read(asked, catalog, parameters, wanted)
    shaped = [f"c{i + 1}" for i in range(len(identity))]
    at = len(identity)
    for column, by in zip(changed, set_by, strict=True):
        if by is None:
            shaped.append(default_of(column).sql)
        else:
            shaped.append(_taken(f"c{at + 1}", kinds[at], read.columns[at], column))
            at += 1
    shaped += [f"c{i + 1}" for i in range(at, at + len(others))]
    statement = Statement(parameters, catalog, analysed)
    source = f"t{statement.number()}"
    returning, shown = returning_clause(
        node.returning, table, node.table, statement, has_sources=bool(node.sources)
    )
    _check_own(node, statement, table)
    layout = [*identity, *changed, *others]
    write, before = _by_key(node, table, identity, changed, source, returning, catalog)
    moving: tuple[RowsStatement, ...] = ()
    if moves:
        place = {column.name: i for i, column in enumerate(layout)}  # of the new value, if any
        stored = [column for column in table.columns if not column.is_generated]
        names = ", ".join(quote(column.name) for column in stored)
        after = RowsStatement(
            "INSERT",
            f"INSERT INTO {quote(table.name)} ({names}) VALUES ",  # noqa: S608 -- quoted names
            returning,
            tuple(place[column.name] for column in stored),
            place[table.shard_key],
        )
        moving = (before, after)
    return RowsWrite(
        write.tag,
        _relied(table, statement, read),
        read,
        Finish(f"SELECT {', '.join(shaped)} FROM {HELD} ORDER BY rowid", ()),  # noqa: S608 -- our own names
        tuple(f"c{i + 1} {kind.column}" for i, kind in enumerate(kinds)),
        _key_type(table),
        write,
        identity=tuple(range(len(identity))),
        moves=moving,
        columns=shown,
        parameter_oids=parameters.oids(),
        bounds=_bounds(read),
        key_name=table.shard_key,
    )


def _by_value(
    node: syntax.Update | syntax.Delete, changed: Sequence[Column]
) -> list[Column | None]:
    """Of the columns that are set, those that are set to a value; None: to their default."""
    if isinstance(node, syntax.Delete):
        return []
    return [
        None if isinstance(assignment.value, syntax.DefaultValue) else column
        for assignment, column in zip(node.assignments, changed, strict=True)
    ]


def _by_key(
    node: syntax.Update | syntax.Delete,
    table: Table,
    identity: Sequence[Column],
    changed: Sequence[Column],
    source: str,
    returning: str,
    catalog: Catalog,
) -> tuple[RowsStatement, RowsStatement]:
    """The write of rows by their keys, and the DELETE of those that move."""
    keys = tuple(range(len(identity)))
    at = _place_of_key(table, identity)
    spread = _spread(table, catalog)
    names = ", ".join(f"t0.{quote(column.name)}" for column in identity)
    head = f"DELETE FROM {quote(table.name)} AS t0 WHERE ({names}) IN (VALUES "  # noqa: S608 -- quoted names
    gone = RowsStatement("DELETE", head, ")", keys, at, spread=spread, is_told=False)
    if isinstance(node, syntax.Delete):
        return replace(gone, tail=f"){returning}", is_told=True), gone
    first = len(identity) + 1
    texts = ", ".join(
        f"{quote(column.name)} = {source}.column{first + i}" for i, column in enumerate(changed)
    )
    same = " AND ".join(
        f"t0.{quote(column.name)} = {source}.column{i + 1}" for i, column in enumerate(identity)
    )
    write = RowsStatement(
        "UPDATE",
        f"UPDATE {quote(table.name)} AS t0 SET {texts} FROM (VALUES ",  # noqa: S608 -- quoted names
        f") AS {source} WHERE {same}{returning}",
        (*keys, *range(first - 1, first - 1 + len(changed))),
        at,
        spread=spread,
    )
    return write, gone


def _identity(table: Table) -> list[Column]:
    """The columns that say which row one is. Raises NotSupported."""
    for names in (table.primary_key, *table.unique):
        columns = [column for column in map(table.column, names) if column is not None]
        is_known = columns and all(c.not_null or c.name in table.primary_key for c in columns)
        if is_known and (not table.shard_key or table.shard_key in names):
            return columns
    raise NotSupported(
        f'a change of rows of "{table.relname}" by rows of other shards is not supported',
        detail="It has no key by which its rows could be found again.",
        hint="Give it a PRIMARY KEY.",
    )


def _check_moves(table: Table, catalog: Catalog) -> None:
    """A row that moves is deleted and inserted: what refers to it must not go with the first."""
    for name in table.referenced_by:
        for key in catalog.tables[name].foreign_keys:
            if key.table != table.name:
                continue
            actions = {key.on_delete, key.on_update}
            if name == table.name or not actions <= set(_UNMOVED) or key.deferral:
                raise NotSupported(
                    f'changing the shard key "{table.shard_key}" is not supported',
                    detail=f'Rows of "{catalog.tables[name].relname}" refer to the row that moves, '
                    "and do more than to keep it.",
                    hint="DELETE the rows and INSERT them with the new key, in one transaction.",
                )


# --------------------------------------------------------------------------- both


def _read(
    query: syntax.Query,
    catalog: Catalog,
    parameters: Parameters,
    wanted: Sequence[Type | None],
) -> tuple[OneShard | Scatter | Answer, tuple[Type, ...]]:
    read, kinds = select_for(query, catalog, parameters, tuple(wanted))
    if isinstance(read, CatalogQuery):
        raise NotSupported(
            "a write of rows of the system catalogs is not supported",
            hint="Ask the catalogs by a statement of their own.",
        )
    return read, kinds


def _taken(label: str, kind: Type, result: ResultColumn, column: Column) -> str:
    """A value that was read, as the column takes it."""
    typed = Typed(label, kind, modifier=result.modifier)
    found = assigned(typed, types.of_column(column.type), column.modifier)
    assert found is not None, "refused when the write was understood"
    return found.sql


def _column(column: Column, alias: str) -> syntax.SelectItem:
    return syntax.SelectItem(syntax.ColumnReference(column.name, alias))


def _check_own(
    node: syntax.Insert | syntax.Update | syntax.Delete, statement: Statement, table: Table
) -> None:
    """What stands in ON CONFLICT and RETURNING is computed where the rows are written."""
    beside = (node.returning, node.conflict if isinstance(node, syntax.Insert) else None)
    is_named = bool(node.tables) and _has_query(beside)
    is_random = table.placement == "reference" and statement.is_volatile
    is_random = is_random or statement.makes_keys
    if is_named or is_random or not reads_alike(statement.scopes):
        raise NotSupported(
            "a query, or a random value, in RETURNING or ON CONFLICT of a write that reads rows of "
            "several shards is not supported",
            hint="Send it as a statement of its own, in the same transaction.",
        )


def _has_query(node: Any) -> bool:
    if isinstance(node, syntax.Subquery | syntax.Exists | syntax.InQuery | syntax.Quantified):
        return True
    if isinstance(node, tuple):
        return any(map(_has_query, node))
    return is_dataclass(node) and any(_has_query(getattr(node, f.name)) for f in fields(node))


def _relied(table: Table, statement: Statement, read: OneShard | Scatter | Answer) -> Reliance:
    """The tables with their versions, the one that is written first."""
    found = {table.name: table.version}
    found |= {name: other.version for name, other in statement.tables.items()}
    if not isinstance(read, Answer):
        found |= dict(read.tables)
    return tuple(found.items())


def _bounds(read: OneShard | Scatter | Answer) -> tuple[tuple[str, Any], ...]:
    return () if isinstance(read, Answer) else read.bounds


def _spread(table: Table, catalog: Catalog) -> Spread:
    return "alike" if table.placement == "reference" and len(catalog.shards) > 1 else ""


def _place_of_key(table: Table, columns: Sequence[Column]) -> int:
    if table.placement != "sharded":
        return -1
    return next(i for i, column in enumerate(columns) if column.name == table.shard_key)


def _key_type(table: Table) -> str:
    key = table.column(table.shard_key)
    return "" if key is None else key.type
