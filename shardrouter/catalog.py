"""The catalog as values: tables, typed columns, placements, the slot map, and their versions.

Its home is ordinary tables in the `meta` group, which nodes do not interpret. This module is
pure: it says which SQL makes and reads those tables, and turns rows into a `Catalog`;
`shardrouter.schema_change` says how they change. A router keeps one immutable `Catalog` and
replaces it when a shard answers that a version is stale.

    catalog_state      one row: the catalog's version, the slot map as two arrays, the home
    catalog_shards     the shards, by the number that the slot map uses
    catalog_tables     every table that ever was, with its version; a dropped one has no definition
    catalog_change     at most one row: the change that is under way
    catalog_sequences  definition of each sequence, and how far it was given out
    catalog_schemas    the schemas besides `public`, which is always there

A fresh cluster is made in this order, each step harmless to repeat by any router:
`ownership` on every shard, then `bootstrap` in meta. Whoever can load the catalog therefore
finds all slots owned.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, Literal, TypeAlias

import msgspec

from nodes.protocol import Guard, SetVersion, Statement, StatementResult, Value
from nodes.values import SLOTS
from shardrouter.enumerations import definition_of, of_definition
from shardrouter.kinds import Type
from shardrouter.tables import (
    PUBLIC,
    TEMPORARY,
    Change,
    Column,
    Default,
    Enumeration,
    Placement,
    SqlSchema,
    SqlSequence,
    Table,
)

__all__ = [
    "Catalog",
    "CatalogError",
    "Change",
    "Column",
    "Default",
    "Placement",
    "SqlSequence",
    "Table",
    "Parts",
    "CATALOG_FORMAT",
    "FIRST_VERSION",
    "OLDEST_FORMAT",
    "LOAD_GUARDS",
    "LOAD_STATEMENTS",
    "bootstrap",
    "decode",
    "home_guard",
    "ownership",
    "slot_guard",
    "table_guard",
    "upgrade",
]

CATALOG_FORMAT: Final = 5
"""Raised when the tables in meta change their shape, or what they hold means something else to a
router that does not know better. `upgrade` leads here from OLDEST_FORMAT and what is between."""

OLDEST_FORMAT: Final = 3
"""Without schemas."""

_WITHOUT_MOVES: Final = 4
"""No change moves rows to other shards."""

FIRST_VERSION: Final = 1
"""Version of the catalog and of every slot's ownership after the bootstrap."""


Kind: TypeAlias = Literal["table", "view", "sequence", "index"]


class CatalogError(Exception):
    """What meta holds is not a catalog; the message is a sentence."""


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
    pending: Change | None = None  # whoever finds one finishes it
    dropped: Mapping[str, int] = field(default_factory=dict)  # name -> version it was left at
    elsewhere: Mapping[str, int] = field(default_factory=dict)
    """Name -> version that shards have which are not the home. It stays behind while the table of
    that name is a home table."""
    sequences: Mapping[str, SqlSequence] = field(default_factory=dict)
    schemas: Mapping[str, SqlSchema] = field(default_factory=lambda: {PUBLIC: SqlSchema(PUBLIC)})
    search_path: tuple[str, ...] = (PUBLIC,)
    """Where a session looks for names that say no schema: no part of what was read."""
    owned: dict[int, tuple[str, Guard]] = field(
        init=False, compare=False, repr=False, default_factory=dict
    )
    """By slot the shard that owns it, and the guard that says so: those asked for so far."""

    def owner(self, slot: int) -> tuple[str, Guard]:
        """The shard that owns a slot, and the guard that says so."""
        found = self.owned.get(slot)
        if found is None:
            guard = Guard(f"slot:{slot}", self.slot_versions[slot])
            found = self.owned[slot] = self.shard_of(slot), guard
        return found

    @cached_property
    def relations(self) -> Mapping[tuple[str, str], tuple[Kind, str]]:
        """What each (schema, relname) is, and the name by which it is known: tables, views,
        sequences and indexes, those of constraints among them, are one name space. Of an index it
        is the name of its table."""
        found: dict[tuple[str, str], tuple[Kind, str]] = {}
        for table in self.tables.values():
            indexes = [index.relname for index in table.indexes]
            indexes += [key.name for key in table.keys]
            indexes += [table.primary] if table.primary else []
            found.update(((table.schema, name), ("index", table.name)) for name in indexes)
        for sequence in self.sequences.values():
            found[sequence.schema, sequence.relname] = ("sequence", sequence.name)
        for table in self.tables.values():
            kind: Kind = "table" if table.view is None else "view"
            found[table.schema, table.relname] = (kind, table.name)
        return found

    @property
    def temporary_schema(self) -> str:
        """Where this session has its temporary tables; empty without any."""
        return next((name for name in self.search_path if name.startswith(TEMPORARY)), "")

    def has_schema(self, name: str) -> bool:
        """Whether a schema that a statement names is there for this session."""
        if name.startswith("pg_temp"):
            return name in ("pg_temp", self.temporary_schema)
        return name in self.schemas

    def relation(self, name: str, schema: str = "") -> tuple[Kind, str] | None:
        """What a name means to this session, as in `relations`."""
        if schema.startswith("pg_temp"):
            schema = self.temporary_schema if schema in ("pg_temp", self.temporary_schema) else "-"
        for place in (schema,) if schema else self.search_path:
            found = self.relations.get((place, name))
            if found is not None:
                return found
        return None

    def table(self, name: str, schema: str = "") -> Table | None:
        """The table or view that a name means to this session."""
        found = self.relation(name, schema)
        return self.tables[found[1]] if found and found[0] in ("table", "view") else None

    def sequence(self, name: str, schema: str = "") -> SqlSequence | None:
        """The sequence that a name means to this session."""
        found = self.relation(name, schema)
        return self.sequences[found[1]] if found and found[0] == "sequence" else None

    @cached_property
    def types(self) -> Mapping[tuple[str, str], Enumeration]:
        """What clients have defined, by (schema, name)."""
        return {(s.name, kind.name): kind for s in self.schemas.values() for kind in s.types}

    def enumeration(self, name: str, schema: str = "") -> tuple[str, Enumeration] | None:
        """What a type's name means to this session, and the schema that it is in."""
        for place in (schema,) if schema else self.search_path:
            found = self.types.get((place, name))
            if found is not None:
                return place, found
        return None

    def own_type(self, written: str) -> Type | None:
        """The same, of a name as it stands in a statement, perhaps with a schema before it."""
        schema, _, name = written.rpartition(".")
        found = self.enumeration(written) or (self.enumeration(name, schema) if schema else None)
        return None if found is None else of_definition(definition_of(found[1]))

    def searched(self, path: tuple[str, ...]) -> Catalog:
        """The same for a session that looks for names there."""
        if path == self.search_path:
            return self
        other = replace(self, search_path=path)
        other.__dict__["relations"] = self.relations  # they do not depend on it
        other.__dict__["types"] = self.types
        return other

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

_SCHEMAS: Final = (
    'CREATE TABLE "catalog_schemas" ("name" TEXT NOT NULL, "definition" BLOB NOT NULL, '
    'PRIMARY KEY ("name")) STRICT, WITHOUT ROWID'
)

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
        '"elsewhere" INTEGER NOT NULL, "definition" BLOB, '
        'PRIMARY KEY ("name")) STRICT, WITHOUT ROWID'
    ),
    (
        'CREATE TABLE "catalog_change" ("id" INTEGER NOT NULL, "change" BLOB NOT NULL, '
        'PRIMARY KEY ("id")) STRICT, WITHOUT ROWID'
    ),
    (
        'CREATE TABLE "catalog_sequences" ("name" TEXT NOT NULL, "definition" BLOB NOT NULL, '
        '"last" INTEGER NOT NULL, "is_called" INTEGER NOT NULL, '
        'PRIMARY KEY ("name")) STRICT, WITHOUT ROWID'
    ),
    _SCHEMAS,
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


def upgrade(have: int) -> Parts:
    """The write that makes a catalog of an older format one of CATALOG_FORMAT. Refused as Stale if
    another router has done it."""
    return Parts(
        statements=(Statement(_SCHEMAS),) if have < _WITHOUT_MOVES else (),
        guards=(Guard("catalog_format", have),),
        sets=(SetVersion("catalog_format", CATALOG_FORMAT),),
    )


# --------------------------------------------------------------------------- loading

LOAD_GUARDS: Final = (Guard("catalog_format", CATALOG_FORMAT),)
"""Guards of the Read that loads the catalog. Stale with `have` 0: the cluster is new, it
needs `ownership` and `bootstrap`; with OLDEST_FORMAT or one between: it needs `upgrade`; with
another number: another version of the program made it."""

LOAD_STATEMENTS: Final = (
    Statement(
        'SELECT "version", "owners", "slot_versions", "home", "home_version" FROM "catalog_state"'
    ),
    Statement('SELECT "number", "name" FROM "catalog_shards" ORDER BY "number"'),
    Statement(
        'SELECT "name", "version", "elsewhere", "definition" FROM "catalog_tables" ORDER BY "name"'
    ),
    Statement('SELECT "change" FROM "catalog_change"'),
    Statement('SELECT "name", "definition" FROM "catalog_sequences" ORDER BY "name"'),
    Statement('SELECT "definition" FROM "catalog_schemas" ORDER BY "name"'),
)


def decode(results: Sequence[StatementResult]) -> Catalog:
    """The catalog from the answers to LOAD_STATEMENTS. Raises CatalogError."""
    try:
        state, shards, rows, changes, sequences, schemas = (result.values for result in results)
        ((version, owners, slot_versions, home, home_version),) = state
        names = tuple(str(name) for _, name in shards)
        tables: dict[str, Table] = {}
        dropped: dict[str, int] = {}
        elsewhere: dict[str, int] = {}
        for name, number, other, definition in rows:
            elsewhere[str(name)] = _int(other)
            if definition is None:
                dropped[str(name)] = _int(number)
            else:
                tables[str(name)] = msgspec.msgpack.decode(_bytes(definition), type=Table)
        pending = None
        if changes:
            ((change,),) = changes
            pending = msgspec.msgpack.decode(_bytes(change), type=Change)
            for moved in pending.tables:
                if moved.before is None or moved.after is None:
                    tables.pop(moved.name, None)  # it comes or goes
        return Catalog(
            version=_int(version),
            tables=tables,
            shards=names,
            slots=_unpack("H", owners),
            slot_versions=_unpack("I", slot_versions),
            home=names[_int(home)],
            home_version=_int(home_version),
            pending=pending,
            dropped=dropped,
            elsewhere=elsewhere,
            sequences={
                str(name): msgspec.msgpack.decode(_bytes(definition), type=SqlSequence)
                for name, definition in sequences
            },
            schemas={PUBLIC: SqlSchema(PUBLIC)}
            | {
                schema.name: schema
                for (definition,) in schemas
                for schema in [msgspec.msgpack.decode(_bytes(definition), type=SqlSchema)]
            },
        )
    except (ValueError, KeyError, TypeError, IndexError, msgspec.MsgspecError) as exc:
        raise CatalogError(f"The catalog in meta cannot be read: {exc}.") from exc


def _bytes(value: Value) -> bytes:
    if type(value) is not bytes:
        raise TypeError(f"{value!r} is not bytes")
    return value


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
