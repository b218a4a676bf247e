"""INSERT ... ON CONFLICT.

PostgreSQL refuses to change a row twice in one statement (21000); SQLite would do it. So an INSERT
of several rows with DO UPDATE first counts the rows of each key. With a WHERE, which may leave a
row out so that the next of its key is no second change, a key that is there twice is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shardrouter import syntax, types
from shardrouter.catalog import Column, Table
from shardrouter.errors import NotSupported, StatementError
from shardrouter.relations import relation_of
from shardrouter.targets import settings, target_column
from shardrouter.translate import Scope
from shardrouter.typed import quote

__all__ = ["Conflict", "on_conflict", "reads"]


def reads(scopes: Sequence[Scope], table: Table) -> bool:
    """Whether queries read what a change of the table may change. PostgreSQL shows them what was
    there before the statement, SQLite what is there when they run."""
    return any(
        other.name == table.name or bool(table.referenced_by)
        for scope in scopes
        for _, other in scope.named
    )


@dataclass(frozen=True)
class Conflict:
    """`text` is the clause, `source` the rows that are inserted, `alias` the table's name in the
    clause."""

    text: str
    source: str
    alias: str = ""


def on_conflict(
    node: syntax.Insert,
    conflict: syntax.OnConflict,
    table: Table,
    columns: Sequence[Column],
    source: str,
    scope: Scope,
) -> Conflict:
    target = _target(conflict, table)
    text = f" ON CONFLICT ({', '.join(map(quote, target))})" if target else " ON CONFLICT"
    if not conflict.assignments:
        return Conflict(text + " DO NOTHING", source)
    if not target:
        raise StatementError(
            "ON CONFLICT DO UPDATE requires inference specification or constraint name",
            sqlstate="42601",
            hint="For example, ON CONFLICT (column_name).",
        )
    first = len(scope.statement.scopes) + 1
    inner = Scope(scope.statement, scope)
    own = relation_of(table, node.table.alias, 0, prefix="t0.")
    other = relation_of(table, "excluded", -1, prefix="excluded.")
    for relation in (own, other):
        inner.show(relation, 0)
    inner.shown = list(own.fields)
    inner.qualified_only = True
    inner.clause = "ON CONFLICT DO UPDATE"
    changed = settings(conflict.assignments, table, inner)
    text += " DO UPDATE SET " + ", ".join(
        f"{quote(column.name)} = {typed.sql}" for column, typed in changed
    )
    if conflict.where is not None:
        text += f" WHERE {inner.condition(conflict.where, 'WHERE').sql}"
    if len(node.rows) != 1:
        if reads(scope.statement.scopes[first:], table):
            raise NotSupported(
                "a query of the table in ON CONFLICT DO UPDATE of several rows is not supported",
                hint="Send one INSERT per row.",
            )
        if any(column.name in target for column, _ in changed):
            raise NotSupported(
                "changing the key in ON CONFLICT DO UPDATE of several rows is not supported",
                hint="Send one INSERT per row.",
            )
        check = "pg_once" if conflict.where is None else "pg_once_or_refused"
        source = _once_each(source, target, columns, table, check)
    return Conflict(text, source, "t0")


def _target(conflict: syntax.OnConflict, table: Table) -> tuple[str, ...]:
    """The columns of the key that is meant; empty if any."""
    if conflict.predicate is not None:
        raise NotSupported(
            "ON CONFLICT with a predicate is not supported",
            hint="Name a PRIMARY KEY or UNIQUE constraint.",
        )
    if conflict.constraint is not None:
        name = conflict.constraint
        for known, key in _constraints(table):
            if known == name.text:
                return key
        raise StatementError(
            f'constraint "{name.text}" for table "{table.relname}" does not exist',
            sqlstate="42704",
            position=name.position,
        )
    target = tuple(target_column(table, name).name for name in conflict.target)
    keys = [table.primary_key, *table.unique]
    if target and set(target) not in map(set, keys):
        raise StatementError(
            "there is no unique or exclusion constraint matching the ON CONFLICT specification",
            sqlstate="42P10",
        )
    return target


def _constraints(table: Table) -> list[tuple[str, tuple[str, ...]]]:
    """The table's PRIMARY KEY and UNIQUE constraints, by their names."""
    keys = [(key.name, key.columns) for key in table.keys]
    if table.primary_key:
        keys.insert(0, (table.primary or f"{table.relname}_pkey", table.primary_key))
    return keys


def _once_each(
    source: str, target: tuple[str, ...], columns: Sequence[Column], table: Table, check: str
) -> str:
    """The rows; the node's function `check` gets the number of those with the same key."""
    names = [f"c{i + 1}" for i in range(len(columns))]
    keys = []
    for name in target:
        for label, column in zip(names, columns, strict=True):
            if column.name == name:
                kind = types.of_column(column.type)
                keys.append(label + (f" COLLATE {kind.collation}" if kind.collation else ""))
    if len(keys) < len(target):
        raise NotSupported(
            "ON CONFLICT DO UPDATE of several rows needs every column of the key",
            hint=f"Name {', '.join(target)} in the INSERT.",
        )
    missing = " OR ".join(f"{key.split()[0]} IS NULL" for key in keys)
    return (
        f"SELECT {', '.join(names)} FROM (WITH s({', '.join(names)}) AS ({source}), "
        "r AS (SELECT *, row_number() OVER () AS at FROM s) "
        f"SELECT *, count(*) OVER (PARTITION BY {', '.join(keys)}) AS n FROM r) "
        f"WHERE CASE WHEN {missing} THEN TRUE ELSE {check}(n) END ORDER BY at"
    )
