"""From a parsed statement and the catalog to a plan: a value that says what runs where.

Pure. An allow-list: what is not recognised as safe over shards raises NotSupported, never
a guess (DESIGN section 7). A plan holds no arguments: it is cached per statement text and
bound to arguments with each execution. In its SQLite text `?n` is the client's `$n`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from nodes.protocol import Value
from shardrouter.catalog import Column

__all__ = [
    "ResultColumn",
    "Constant",
    "Parameter",
    "Operand",
    "OrderKey",
    "OneShard",
    "Scatter",
    "CreateTable",
    "DropTable",
    "Answer",
    "SetSetting",
    "ShowSetting",
    "ShowTables",
    "ShowColumns",
    "Plan",
]


@dataclass(frozen=True)
class ResultColumn:
    """A column of the answer."""

    name: str
    oid: int


@dataclass(frozen=True)
class Constant:
    """A value written in the statement, already of the type it is compared with."""

    value: Value


@dataclass(frozen=True)
class Parameter:
    """The client's $number (1-based)."""

    number: int


Operand: TypeAlias = Constant | Parameter


@dataclass(frozen=True)
class OneShard:
    """Runs whole on the shard that owns the slot of `keys` (all keys on one shard, or 0A000)."""

    tag: str  # command tag without counts: INSERT, SELECT, UPDATE, DELETE
    table: str
    table_version: int
    sql: str
    key_type: str  # PostgreSQL type of the shard key
    keys: tuple[Operand, ...]  # shard-key values the statement names, at least one
    quick: bool  # keyed point write or VALUES, or point read: bounded work
    columns: tuple[ResultColumn, ...] = ()  # empty: returns no rows
    parameter_oids: tuple[int, ...] = ()

    @property
    def is_write(self) -> bool:
        return self.tag != "SELECT"


@dataclass(frozen=True)
class OrderKey:
    """Order by the column at `index` of the shards' rows (hidden columns come last)."""

    index: int
    descending: bool
    nulls_first: bool


@dataclass(frozen=True)
class Scatter:
    """A SELECT that runs on several shards, whose rows are merged here.

    The shards' rows have `columns` and then `hidden` columns that only order the merge. If
    `count` is true every shard answers one integer, and the answer is their sum.
    """

    table: str
    table_version: int
    sql: str
    columns: tuple[ResultColumn, ...]
    parameter_oids: tuple[int, ...] = ()
    hidden: int = 0
    order: tuple[OrderKey, ...] = ()
    limit: Operand | None = None
    offset: Operand | None = None
    count: bool = False


@dataclass(frozen=True)
class CreateTable:
    """A table to create. `sqlite` is the text for the shards; `columns` etc. the catalog's."""

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    shard_key: str
    sqlite: str
    if_not_exists: bool = False


@dataclass(frozen=True)
class DropTable:
    names: tuple[str, ...]
    if_exists: bool = False


@dataclass(frozen=True)
class Answer:
    """A statement whose answer is known without asking a shard (`SELECT 1`, `CLOSE ALL`)."""

    tag: str
    columns: tuple[ResultColumn, ...] = ()
    rows: tuple[tuple[Value, ...], ...] = ()
    parameter_oids: tuple[int, ...] = ()


@dataclass(frozen=True)
class SetSetting:
    """SET, or RESET if `value` is None (name `all`: every setting)."""

    name: str
    value: str | None


@dataclass(frozen=True)
class ShowSetting:
    name: str


@dataclass(frozen=True)
class ShowTables:
    """SHOW TABLES: name, shard key, number of columns."""


@dataclass(frozen=True)
class ShowColumns:
    """SHOW COLUMNS FROM table: name, type, nullable, role of the column."""

    table: str


Plan: TypeAlias = (
    OneShard
    | Scatter
    | CreateTable
    | DropTable
    | Answer
    | SetSetting
    | ShowSetting
    | ShowTables
    | ShowColumns
)
