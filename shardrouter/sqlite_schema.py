"""From a table of the catalog to the SQLite that makes it on a shard.

The SQLite table is STRICT and WITHOUT ROWID: a value is of its column's type or refused, and
SQLite never chooses a key of its own. What SQLite allows in a column and the PostgreSQL type
does not is refused by a CHECK named `shardrouter_range_<type>_<column>`, which nodes
translate into PostgreSQL's 22003.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from shardrouter import types
from shardrouter.tables import Column, Table
from shardrouter.typed import quote

__all__ = [
    "PLACED",
    "REBUILT",
    "ROW_ID",
    "creation",
    "laid_beside",
    "put_in_place",
    "removal",
    "stored_columns",
    "transition",
]

ROW_ID: Final = "ctid"
"""The hidden key of a table without a primary key. PostgreSQL has a system column of that name, so
no table has a column of its own that is called so."""

REBUILT: Final = "_rebuild"
"""The table that another one is being rebuilt as, inside one entry; no user's table begins so."""

PLACED: Final = "_placed"
"""The table that has the rows which a shard is to have of another one, until it takes them."""


def creation(table: Table) -> tuple[str, ...]:
    """The table and its indexes."""
    return (_create_table(table, table.name), *(index.sqlite for index in table.indexes))


def removal(table: Table) -> tuple[str, ...]:
    return (f"DROP TABLE {quote(table.name)}",)


def transition(
    before: Table | None, after: Table | None, sources: Mapping[str, str]
) -> tuple[str, ...]:
    """What makes a table of another one, keeps its rows, and is as little as that takes. `sources`
    are the texts, over the columns of `before`, of the columns of `after` that are not the same."""
    if before is None or after is None:
        found = before or after
        if found is None or found.view is not None:
            return ()
        return creation(found) if before is None else removal(found)
    if not sources and _create_table(before, before.name) == _create_table(after, after.name):
        return _indexes(before, after)
    same = {column.name for column in before.columns}
    texts = {c.name: quote(c.name) for c in after.columns if c.name in same} | dict(sources)
    names = [c.name for c in after.columns if c.name in texts and not c.is_generated]
    listed, computed = ", ".join(map(quote, names)), ", ".join(texts[name] for name in names)
    return (
        _create_table(after, REBUILT),
        f"INSERT INTO {quote(REBUILT)} ({listed}) SELECT {computed} FROM {quote(before.name)}",  # noqa: S608 -- quoted names
        f"DROP TABLE {quote(before.name)}",
        f"ALTER TABLE {quote(REBUILT)} RENAME TO {quote(after.name)}",
        *(index.sqlite for index in after.indexes),
    )


def laid_beside(table: Table) -> tuple[str, str]:
    """What makes PLACED, as the table is but for its name and its indexes; and what puts a row of
    `stored_columns` into it."""
    beside = replace(
        table,
        foreign_keys=tuple(
            replace(key, table=PLACED) if key.table == table.name else key
            for key in table.foreign_keys
        ),
    )
    names = stored_columns(table)
    values = ", ".join(f"?{number}" for number in range(1, len(names) + 1))
    listed = ", ".join(map(quote, names))
    return (
        _create_table(beside, PLACED),
        f"INSERT INTO {quote(PLACED)} ({listed}) VALUES ({values})",  # noqa: S608 -- quoted names
    )


def stored_columns(table: Table) -> tuple[str, ...]:
    """The columns that rows have values of; those of the others follow."""
    return tuple(column.name for column in table.columns if not column.is_generated)


def put_in_place(table: Table, *, is_there: bool) -> tuple[str, ...]:
    """PLACED becomes the table, instead of the one that is there."""
    return (
        *(removal(table) if is_there else ()),
        f"ALTER TABLE {quote(PLACED)} RENAME TO {quote(table.name)}",
        *(index.sqlite for index in table.indexes),
    )


def _indexes(before: Table, after: Table) -> tuple[str, ...]:
    there = {index.sqlite for index in before.indexes}
    wanted = {index.sqlite for index in after.indexes}
    return (
        *(f"DROP INDEX {quote(i.name)}" for i in before.indexes if i.sqlite not in wanted),
        *(index.sqlite for index in after.indexes if index.sqlite not in there),
    )


def _create_table(table: Table, name: str) -> str:
    if table.view is not None:
        return ""
    parts = [_column(column) for column in table.columns]
    primary_key = table.primary_key
    if not primary_key:
        parts.append(f"{quote(ROW_ID)} INTEGER NOT NULL DEFAULT (pg_row_id())")
        primary_key = (ROW_ID,)
    parts += [test for column in table.columns if (test := _range(column))]
    parts += [
        f"CONSTRAINT {quote(check.name)} CHECK ({check.sql})"
        for check in sorted(table.checks, key=lambda check: check.name)  # PostgreSQL's order
    ]
    parts.append(f"PRIMARY KEY ({_listed(primary_key)})")
    parts += [f"UNIQUE ({_listed(key.columns)})" for key in table.keys]
    for key in table.foreign_keys:
        parts.append(
            f"FOREIGN KEY ({_listed(key.columns)}) "
            f"REFERENCES {quote(key.table)} ({_listed(key.references)}) "
            f"ON DELETE {key.on_delete} ON UPDATE {key.on_update}"
        )
    return f"CREATE TABLE {quote(name)} ({', '.join(parts)}) STRICT, WITHOUT ROWID"


def _listed(columns: tuple[str, ...]) -> str:
    return ", ".join(map(quote, columns))


def _column(column: Column) -> str:
    text = f"{quote(column.name)} {types.of_column(column.type).column}"
    if column.not_null:
        text += " NOT NULL"
    default = column.default
    if default is not None and default.is_generated:
        text += f" GENERATED ALWAYS AS ({default.sql}) STORED"
    elif default is not None and default.sql:
        text += f" DEFAULT {default.sql if default.is_constant else f'({default.sql})'}"
    return text


def _range(column: Column) -> str:
    kind = types.of_column(column.type)
    if kind in (types.SMALLINT, types.INTEGER):
        test = f"{quote(column.name)} BETWEEN {kind.low} AND {kind.high}"
    elif kind is types.BOOLEAN:
        test = f"{quote(column.name)} IN (0, 1)"
    elif kind.sqlite == "REAL":
        test = f"typeof({quote(column.name)}) IN ('real', 'null')"
    else:
        return ""
    name = quote(f"shardrouter_range_{kind.short}_{column.name}")
    return f"CONSTRAINT {name} CHECK ({test})"
