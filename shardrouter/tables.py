"""What the catalog knows of a table, a sequence and a change of them: values, and nothing else.

They are stored in `meta` as they are (msgpack), so a field that is added needs a default, and one
that is renamed another CATALOG_FORMAT.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, TypeAlias

from nodes.protocol import Value

__all__ = [
    "Change",
    "Check",
    "Column",
    "Default",
    "Enumeration",
    "ForeignKey",
    "Identity",
    "Index",
    "Key",
    "OnCommit",
    "Placement",
    "PUBLIC",
    "TEMPORARY",
    "SqlSchema",
    "SqlSequence",
    "Table",
    "TableChange",
    "View",
    "ViewName",
]


PUBLIC: Final = "public"
"""The schema that is always there."""

TEMPORARY: Final = "pg_temp_"
"""Schemas of sessions begin so."""


@dataclass(frozen=True)
class Default:
    """What a column is given when an INSERT names no value for it."""

    sql: str
    """SQLite's text: what stands in the DEFAULT of the shards' table, and what DEFAULT in a list
    of VALUES means. Empty if the value comes from a sequence."""
    is_constant: bool = True
    value: Value = None
    """Of a constant: the stored form."""
    sequence: str = ""
    """The router draws the value from it, before the INSERT leaves."""
    source: str = ""
    """What was written, if it is known."""
    is_generated: bool = False
    """It is the expression of a column that is GENERATED ALWAYS AS it, and of no other value."""


Identity: TypeAlias = Literal["", "always", "by default"]


@dataclass(frozen=True)
class Column:
    """A column as the client sees it."""

    name: str
    type: str  # PostgreSQL type name, see shardrouter.types.of_column
    not_null: bool = False
    default: Default | None = None  # None is NULL
    modifier: int = -1  # atttypmod: of varchar(n), numeric(p,s)
    identity: Identity = ""
    comment: str = ""

    @property
    def is_generated(self) -> bool:
        return self.default is not None and self.default.is_generated


@dataclass(frozen=True)
class Key:
    """PRIMARY KEY or UNIQUE."""

    name: str
    columns: tuple[str, ...]
    comment: str = ""


@dataclass(frozen=True)
class Check:
    """`sql` is SQLite's text of the condition, `source` what was written."""

    name: str
    sql: str
    source: str
    comment: str = ""


@dataclass(frozen=True)
class ForeignKey:
    name: str
    columns: tuple[str, ...]
    table: str
    references: tuple[str, ...]
    on_delete: str = "NO ACTION"
    on_update: str = "NO ACTION"
    comment: str = ""
    deferral: str = ""
    """`immediate` or `deferred` of one that is DEFERRABLE: what it is initially."""


@dataclass(frozen=True)
class Index:
    """An index that no constraint made. `columns` is empty if one of the elements is an
    expression; `elements` is what was written of each. `name` is SQLite's, see `Table`."""

    name: str
    unique: bool
    sqlite: str
    """The statement that makes it."""
    columns: tuple[str, ...]
    elements: tuple[str, ...]
    where: str = ""
    called: str = ""
    comment: str = ""
    orders: tuple[str, ...] = ()
    """Of each element: DESC, NULLS FIRST or NULLS LAST, where it is not the default."""
    classes: tuple[str, ...] = ()
    """Of each element: the operator class that was written, where there was one."""

    @property
    def relname(self) -> str:
        """What its clients call it, in the schema of its table."""
        return self.called or self.name


@dataclass(frozen=True)
class ViewName:
    """What a name in the text of a view means: the relation that `name`, in the schema it was
    written with or in none, stood for when the view was made. `columns` are those that it had, each
    by the name it has in the text and the one it has now."""

    schema: str
    name: str
    relation: str
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class View:
    """A query that has a name. `text` is what was written after AS."""

    text: str
    names: tuple[ViewName, ...]


OnCommit: TypeAlias = Literal["", "delete", "drop"]

Placement: TypeAlias = Literal["sharded", "reference", "home"]


@dataclass(frozen=True)
class Table:
    """A table. `version` changes with every schema change; shards check it.

    `name` is what the shards call it, and what it is known by wherever a table is meant: unlike any
    other in all schemas, and the same for all its life. Its clients call it `relname`, in its
    `schema`.

    sharded: each row is on the shard that owns the slot of its shard key. reference: every shard
    has all rows. home: all rows are on the home shard, and no other shard has the table.

    A view is a table without rows: the shards have its version alone, and queries see what its own
    query answers.
    """

    name: str
    version: int
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]  # empty: none, the rows of a home table have a hidden key
    shard_key: str  # empty unless sharded
    placement: Placement = "sharded"
    primary: str = ""  # name of the PRIMARY KEY constraint
    keys: tuple[Key, ...] = ()  # UNIQUE constraints
    checks: tuple[Check, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    indexes: tuple[Index, ...] = ()
    referenced_by: tuple[str, ...] = ()
    """Tables with a foreign key to this one: changing one of its rows may change or look through
    any number of theirs."""
    created: int = 0
    """The version of the catalog that it came with, which no other of its name has."""
    schema: str = PUBLIC
    called: str = ""  # empty: as `name`
    comment: str = ""
    primary_comment: str = ""  # of the PRIMARY KEY constraint
    view: View | None = None
    on_commit: OnCommit = ""
    """What becomes of the rows of a temporary table, or of itself, when a transaction commits."""

    @property
    def is_temporary(self) -> bool:
        return self.schema.startswith(TEMPORARY)

    @property
    def relname(self) -> str:
        """What its clients call it, in its schema."""
        return self.called or self.name

    @cached_property
    def _columns_by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    @cached_property
    def sequences(self) -> frozenset[str]:
        """Those that its columns draw from: another numbering of one is another version of the
        table, so that no row gets a number of the old one."""
        return frozenset(c.default.sequence for c in self.columns if c.default is not None)

    def column(self, name: str) -> Column | None:
        return self._columns_by_name.get(name)

    @property
    def unique(self) -> tuple[tuple[str, ...], ...]:
        """What is unique besides the primary key: of constraints, and of indexes of plain columns
        over all rows."""
        keys = [key.columns for key in self.keys]
        keys += [i.columns for i in self.indexes if i.unique and i.columns and not i.where]
        return tuple(keys)


@dataclass(frozen=True)
class SqlSequence:
    """A sequence. `owner` is the (table, column) of serial and identity, which it goes with. `name`
    and `relname` are as those of a table."""

    name: str
    version: int
    type: str = "bigint"
    start: int = 1
    increment: int = 1
    minimum: int = 1
    maximum: int = (1 << 63) - 1
    cycle: bool = False
    owner: tuple[str, str] | None = None
    schema: str = PUBLIC
    called: str = ""
    comment: str = ""

    @property
    def relname(self) -> str:
        """What its clients call it, in its schema."""
        return self.called or self.name


@dataclass(frozen=True)
class Enumeration:
    """CREATE TYPE ... AS ENUM. `oid` is even, and the next number is that of its array."""

    name: str
    oid: int
    values: tuple[str, ...]
    """In their stored forms and in their order."""


@dataclass(frozen=True)
class SqlSchema:
    """A name space of relations, and of types. `public` has one of these only if something is said
    here of it."""

    name: str
    comment: str = ""
    types: tuple[Enumeration, ...] = ()
    holder: str = ""
    """Of a number for temporary tables (`shardrouter.temporary`): the router that has it,"""
    until: int = 0
    """and the time, in microseconds since 1970, from which another one may take it."""


@dataclass(frozen=True)
class TableChange:
    """What becomes of one table.

    A shard runs `sqlite` if it has the table at `previous`, and then has it at the version of
    the change. Versions of one table only grow and are never used twice: a table that is dropped
    and created again has another, so an entry that arrives late cannot bring the old one back.
    """

    name: str
    previous: int  # 0 if there never was such a table
    elsewhere: int  # the same on shards that are not the home: home tables never touch those
    sqlite: tuple[str, ...]
    undo: tuple[str, ...]  # the way back, should another shard refuse
    before: Table | None  # None: it is created
    after: Table | None  # None: it is dropped


@dataclass(frozen=True)
class Change:
    """A schema change that is marked in meta and may not be on all shards yet: each shard makes it
    whole, in one entry."""

    version: int  # of its tables, when it is made
    tables: tuple[TableChange, ...] = ()
    made: tuple[SqlSequence, ...] = ()  # sequences that come with it
    dropped: tuple[str, ...] = ()  # and that go
    undone: int = 0
    """If not 0: a shard has refused, and the change is being taken back: the version its tables
    have when that is done."""
    altered: tuple[SqlSequence, ...] = ()  # that are as this from now on
    restarted: tuple[tuple[str, int], ...] = ()  # and give out this number next
    schemas: tuple[SqlSchema, ...] = ()  # that come, or are as this from now on
    dropped_schemas: tuple[str, ...] = ()
    relocated: str = ""
    """The table whose rows go to other shards, in steps of its own (`shardrouter.relocation`)."""
    taken: int = 0
    """If not 0: every shard has the rows that it is to have, and takes them under this version."""
    called: tuple[str, ...] = ()
    """Sequences among the restarted whose number is given out already: the next one follows it."""
    beat: int = 0
    """Raised by the router that moves them, as long as it does."""
