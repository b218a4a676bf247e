"""The catalog as values: tables, typed columns, placements, the slot map, and their versions.

Its home is ordinary tables in the `meta` group, which nodes do not interpret. This module is
pure: it says which SQL makes and reads those tables, and turns rows into a `Catalog`;
`shardrouter.schema_change` says how they change. A router keeps one immutable `Catalog` and
replaces it when a shard answers that a version is stale.

    catalog_state   one row: the catalog's version and the slot map as two arrays
    catalog_shards  the shards, by the number that the slot map uses
    catalog_tables  every table that ever was, with the state of its last change

A fresh cluster is made in this order, each step harmless to repeat by any router:
`ownership` on every shard, then `bootstrap` in meta. Whoever can load the catalog therefore
finds all slots owned.
"""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, cast

from nodes.protocol import Guard, SetVersion, Statement, StatementResult, Value
from nodes.values import SLOTS

__all__ = [
    "Column",
    "Default",
    "Placement",
    "Table",
    "Change",
    "Catalog",
    "CatalogError",
    "Parts",
    "CATALOG_FORMAT",
    "FIRST_VERSION",
    "LOAD_GUARDS",
    "LOAD_STATEMENTS",
    "bootstrap",
    "decode",
    "decode_table",
    "encode_table",
    "home_guard",
    "ownership",
    "slot_guard",
    "table_guard",
]

CATALOG_FORMAT: Final = 1
"""Raised when the tables in meta change their shape."""

FIRST_VERSION: Final = 1
"""Version of the catalog and of every slot's ownership after the bootstrap."""


class CatalogError(Exception):
    """What meta holds is not a catalog; the message is a sentence."""


@dataclass(frozen=True)
class Default:
    """What a column is given when an INSERT names no value for it."""

    sql: str
    """SQLite's text: what stands in the DEFAULT of the shards' table, and what DEFAULT in a list
    of VALUES means."""
    is_constant: bool = True
    value: Value = None
    """Of a constant: the stored form."""


@dataclass(frozen=True)
class Column:
    """A column as the client sees it."""

    name: str
    type: str  # PostgreSQL type name, see shardrouter.types.of_column
    not_null: bool = False
    default: Default | None = None  # None is NULL
    modifier: int = -1  # atttypmod: of varchar(n), numeric(p,s)


Placement: TypeAlias = Literal["sharded", "reference", "home"]


@dataclass(frozen=True)
class Table:
    """A table. `version` changes with every schema change; shards check it.

    sharded: each row is on the shard that owns the slot of its shard key. reference: every shard
    has all rows. home: all rows are on the home shard, and no other shard has the table.
    """

    name: str
    version: int
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]  # empty: none, the rows of a home table have a hidden key
    shard_key: str  # empty unless sharded
    unique: tuple[tuple[str, ...], ...] = ()  # UNIQUE constraints besides the primary key
    placement: Placement = "sharded"

    def column(self, name: str) -> Column | None:
        return next((c for c in self.columns if c.name == name), None)


@dataclass(frozen=True)
class Change:
    """A schema change of one table that is marked in meta and may not be on all shards yet.

    Each shard runs `sqlite` if it has the table at `previous`, and then has it at `version`.
    Versions of one table only grow and are never used twice: a table that is dropped and
    created again has another, so an entry that arrives late cannot bring the old one back.
    """

    name: str
    kind: str  # "create" or "drop"
    previous: int  # 0 if there never was such a table
    version: int
    sqlite: str
    table: Table  # that is created or dropped


@dataclass(frozen=True)
class Catalog:
    """One consistent reading of the catalog."""

    version: int  # raised by every change in `meta`
    tables: Mapping[str, Table]  # published tables by name
    shards: tuple[str, ...]  # group names
    slots: Sequence[int]  # slot number -> index into `shards`
    slot_versions: Sequence[int]  # slot number -> version of its ownership
    home: str = ""  # the shard of all home tables
    home_version: int = 1  # of its being that
    pending: tuple[Change, ...] = ()  # whoever finds one finishes it
    dropped: Mapping[str, int] = field(default_factory=dict)  # name -> version it was left at

    def shard_of(self, slot: int) -> str:
        return self.shards[self.slots[slot]]

    def shards_of(self, table: Table) -> tuple[str, ...]:
        """The shards that have the table."""
        return (self.home,) if table.placement == "home" else self.shards


@dataclass(frozen=True)
class Parts:
    """What a `nodes.protocol.Write` does, without its place in a session."""

    statements: tuple[Statement, ...]
    guards: tuple[Guard, ...] = ()
    sets: tuple[SetVersion, ...] = ()


def table_guard(table: Table) -> Guard:
    """The table is as this catalog knows it."""
    return Guard(f"table:{table.name}", table.version)


def slot_guard(catalog: Catalog, slot: int) -> Guard:
    """The slot is owned by the shard that runs the command."""
    return Guard(f"slot:{slot}", catalog.slot_versions[slot])


def home_guard(catalog: Catalog) -> Guard:
    """The home tables are on the shard that runs the command."""
    return Guard("home", catalog.home_version)


# --------------------------------------------------------------------------- a fresh cluster

_TABLES: Final = (
    (
        'CREATE TABLE "catalog_state" ("id" INTEGER NOT NULL, "version" INTEGER NOT NULL, '
        '"owners" BLOB NOT NULL, "slot_versions" BLOB NOT NULL, '
        '"home" INTEGER NOT NULL, "home_version" INTEGER NOT NULL, '
        'PRIMARY KEY ("id")) STRICT, WITHOUT ROWID'
    ),
    (
        'CREATE TABLE "catalog_shards" ("number" INTEGER NOT NULL, "name" TEXT NOT NULL, '
        'PRIMARY KEY ("number"), UNIQUE ("name")) STRICT, WITHOUT ROWID'
    ),
    (
        'CREATE TABLE "catalog_tables" ("name" TEXT NOT NULL, "version" INTEGER NOT NULL, '
        '"previous" INTEGER NOT NULL, "state" TEXT NOT NULL, "sqlite" TEXT NOT NULL, '
        '"definition" TEXT NOT NULL, PRIMARY KEY ("name")) STRICT, WITHOUT ROWID'
    ),
)


def ownership(shard: str, shards: Sequence[str], slots: Sequence[int]) -> Parts | None:
    """The write by which a new shard learns which slots are its own, and the first one that it is
    the home; None if there is nothing to learn.

    Repeating it is refused as Stale with `have` equal to FIRST_VERSION or more: it is done.
    """
    number = shards.index(shard)
    own = [f"slot:{slot}" for slot, owner in enumerate(slots) if owner == number]
    if number == 0:
        own.append("home")
    if not own:
        return None
    return Parts(
        statements=(),
        # All are set in one entry, so the first one speaks for the others.
        guards=(Guard(own[0], 0),),
        sets=tuple(SetVersion(name, FIRST_VERSION) for name in own),
    )


def bootstrap(shards: Sequence[str], slots: Sequence[int]) -> Parts:
    """The write that makes the catalog in meta. Refused as Stale if there is one."""
    statements = [Statement(sql) for sql in _TABLES]
    statements += [
        Statement('INSERT INTO "catalog_shards" ("number", "name") VALUES (?1, ?2)', (number, name))
        for number, name in enumerate(shards)
    ]
    statements.append(
        Statement(
            'INSERT INTO "catalog_state" '
            '("id", "version", "owners", "slot_versions", "home", "home_version") '
            "VALUES (1, ?1, ?2, ?3, 0, ?4)",
            (
                FIRST_VERSION,
                _pack("H", slots),
                _pack("I", [FIRST_VERSION] * SLOTS),
                FIRST_VERSION,
            ),
        )
    )
    return Parts(
        statements=tuple(statements),
        guards=(Guard("catalog", 0),),
        sets=(
            SetVersion("catalog", FIRST_VERSION),
            SetVersion("catalog_format", CATALOG_FORMAT),
        ),
    )


# --------------------------------------------------------------------------- loading

LOAD_GUARDS: Final = (Guard("catalog_format", CATALOG_FORMAT),)
"""Guards of the Read that loads the catalog. Stale with `have` 0: the cluster is new, it
needs `ownership` and `bootstrap`; with another number: another version of the program made it."""

LOAD_STATEMENTS: Final = (
    Statement(
        'SELECT "version", "owners", "slot_versions", "home", "home_version" FROM "catalog_state"'
    ),
    Statement('SELECT "number", "name" FROM "catalog_shards" ORDER BY "number"'),
    Statement(
        'SELECT "name", "version", "previous", "state", "sqlite", "definition" '
        'FROM "catalog_tables" ORDER BY "name"'
    ),
)


def decode(results: Sequence[StatementResult]) -> Catalog:
    """The catalog from the answers to LOAD_STATEMENTS. Raises CatalogError."""
    try:
        state, shards, rows = (result.values for result in results)
        ((version, owners, slot_versions, home, home_version),) = state
        names = tuple(str(name) for _, name in shards)
        tables: dict[str, Table] = {}
        pending: list[Change] = []
        dropped: dict[str, int] = {}
        for row in rows:
            _decode_row(row, tables, pending, dropped)
        return Catalog(
            version=_int(version),
            tables=tables,
            shards=names,
            slots=_unpack("H", owners),
            slot_versions=_unpack("I", slot_versions),
            home=names[_int(home)],
            home_version=_int(home_version),
            pending=tuple(pending),
            dropped=dropped,
        )
    except (ValueError, KeyError, TypeError, IndexError) as exc:
        raise CatalogError(f"The catalog in meta cannot be read: {exc}.") from exc


def _decode_row(
    row: Sequence[Value],
    tables: dict[str, Table],
    pending: list[Change],
    dropped: dict[str, int],
) -> None:
    name, version, previous, state, sqlite, definition = row
    table_name, number = str(name), _int(version)
    if state == "dropped":
        dropped[table_name] = number
        return
    table = decode_table(table_name, number, str(definition))
    if state == "live":
        tables[table_name] = table
        return
    kind = {"creating": "create", "dropping": "drop"}[str(state)]
    pending.append(Change(table_name, kind, _int(previous), number, str(sqlite), table))


def _int(value: Value) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is not an integer")
    return value


# --------------------------------------------------------------------------- encodings


def _pack(code: str, numbers: Sequence[int]) -> bytes:
    """Little-endian numbers of a fixed width: 96 KiB for both maps, where rows would be 16384."""
    packed = array(code, numbers)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def _unpack(code: str, data: Value) -> Sequence[int]:
    if not isinstance(data, bytes):
        raise TypeError("a slot map is not bytes")
    numbers = array(code)
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    if len(numbers) != SLOTS:
        raise ValueError(f"a slot map has {len(numbers)} slots, not {SLOTS}")
    return numbers


def encode_table(table: Table) -> str:
    """A table's definition, without its name and version, as JSON."""
    return json.dumps(
        {
            "columns": [
                [c.name, c.type, c.not_null, c.default and _encode_default(c.default), c.modifier]
                for c in table.columns
            ],
            "primary_key": table.primary_key,
            "shard_key": table.shard_key,
            "unique": table.unique,
            "placement": table.placement,
        }
    )


def _encode_default(default: Default) -> list[Any]:
    value = default.value
    if isinstance(value, bytes):
        return [default.sql, default.is_constant, True, value.hex()]
    return [default.sql, default.is_constant, False, value]


def _decode_default(fields: Sequence[Any]) -> Default:
    sql, is_constant, is_bytes, value = fields
    return Default(sql, is_constant, bytes.fromhex(value) if is_bytes else value)


def decode_table(name: str, version: int, definition: str) -> Table:
    """The inverse of `encode_table`. Raises ValueError or KeyError."""
    fields: dict[str, Any] = json.loads(definition)
    return Table(
        name=name,
        version=version,
        columns=tuple(
            Column(column, kind, not_null, default and _decode_default(default), modifier)
            for column, kind, not_null, default, modifier in fields["columns"]
        ),
        primary_key=tuple(fields["primary_key"]),
        shard_key=fields["shard_key"],
        unique=tuple(tuple(key) for key in fields["unique"]),
        placement=cast("Placement", fields["placement"]),
    )
