"""Statements that change the schema, as typed values: what was written, not yet what it means.

`shardrouter.ddl_parser` makes them, `shardrouter.ddl` and `shardrouter.schema_change` read them.
Names are folded as PostgreSQL folds them; a `position` is the 1-based offset of the thing in the
statement's text, 0 if unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from shardrouter.alter_definitions import (
    AlterSequence,
    AlterTable,
    RenameColumn,
    RenameConstraint,
    RenameRelation,
    RenameSchema,
    SetSchema,
)
from shardrouter.definition_parts import ColumnDefinition, ConstraintDefinition, SequenceOptions
from shardrouter.syntax import Expression, Name, Query
from shardrouter.tables import OnCommit
from shardrouter.type_definitions import AddLabel, CreateEnumeration, DropType

__all__ = [
    "Comment",
    "CommentKind",
    "CreateIndex",
    "CreateSchema",
    "CreateSequence",
    "CreateTable",
    "CreateTableAs",
    "CreateView",
    "Definition",
    "DropIndex",
    "DropSchema",
    "DropSequence",
    "DropTable",
    "DropTemporary",
    "HoldTemporary",
    "PlaceTable",
    "Renumber",
    "DropView",
    "IndexElement",
    "Truncate",
    "makes_temporary",
]


@dataclass(frozen=True)
class CreateTable:
    """`constraints` in the order they were written, those of columns among them."""

    table: Name
    columns: tuple[ColumnDefinition, ...]
    constraints: tuple[ConstraintDefinition, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    if_not_exists: bool = False
    temporary: bool = False
    on_commit: OnCommit = ""

    @property
    def is_private(self) -> bool:
        """A temporary table."""
        return self.temporary or self.table.schema.startswith("pg_temp")


@dataclass(frozen=True)
class CreateTableAs:
    """`text` is the `query` as it was written; `columns` name the first of its columns. Without
    `fills` the table has its columns and none of its rows."""

    table: Name
    columns: tuple[Name, ...]
    query: Query
    text: str
    options: tuple[tuple[str, str], ...] = ()
    if_not_exists: bool = False
    temporary: bool = False
    on_commit: OnCommit = ""
    fills: bool = True

    @property
    def is_private(self) -> bool:
        """A temporary table."""
        return self.temporary or self.table.schema.startswith("pg_temp")


@dataclass(frozen=True)
class CreateView:
    """`text` is the `query` as it was written; `columns` name the first of its columns."""

    name: Name
    columns: tuple[Name, ...]
    query: Query
    text: str
    or_replace: bool = False
    temporary: bool = False


@dataclass(frozen=True)
class DropTable:
    names: tuple[Name, ...]
    if_exists: bool = False
    cascade: bool = False


@dataclass(frozen=True)
class DropView:
    names: tuple[Name, ...]
    if_exists: bool = False
    cascade: bool = False


@dataclass(frozen=True)
class IndexElement:
    """A column, or an expression with its text."""

    expression: Expression
    source: str
    descending: bool = False
    nulls_first: bool | None = None
    position: int = 0
    operator_class: str = ""


@dataclass(frozen=True)
class CreateIndex:
    table: Name
    elements: tuple[IndexElement, ...]
    name: Name | None = None
    unique: bool = False
    where: Expression | None = None
    where_source: str = ""
    if_not_exists: bool = False
    concurrently: bool = False


@dataclass(frozen=True)
class DropIndex:
    names: tuple[Name, ...]
    if_exists: bool = False
    cascade: bool = False
    concurrently: bool = False


@dataclass(frozen=True)
class Truncate:
    tables: tuple[Name, ...]
    restart_identity: bool = False
    cascade: bool = False


@dataclass(frozen=True)
class CreateSequence:
    name: Name
    options: SequenceOptions = field(default_factory=SequenceOptions)
    if_not_exists: bool = False
    temporary: bool = False


@dataclass(frozen=True)
class DropSequence:
    names: tuple[Name, ...]
    if_exists: bool = False
    cascade: bool = False


@dataclass(frozen=True)
class CreateSchema:
    name: Name
    if_not_exists: bool = False


@dataclass(frozen=True)
class DropSchema:
    names: tuple[Name, ...]
    if_exists: bool = False
    cascade: bool = False


@dataclass(frozen=True)
class PlaceTable:
    """create_distributed_table('table', 'key'), or create_reference_table('table')."""

    table: Name
    key: str | None
    """None: all rows on every shard."""


@dataclass(frozen=True)
class Renumber:
    """setval(); or, without a value, no statement: one has set it inside a transaction, and that is
    over."""

    sequence: str
    """By what it is known by."""
    value: int | None = None
    is_called: bool = True


@dataclass(frozen=True)
class HoldTemporary:
    """No statement: a router needs a number for its temporary tables, or needs it for longer."""

    holder: str
    now: int
    until: int


@dataclass(frozen=True)
class DropTemporary:
    """No statement: sessions of a router are over, or all of them if `schemas` is None."""

    holder: str
    schemas: tuple[str, ...] | None


CommentKind: TypeAlias = Literal[
    "table", "view", "index", "sequence", "schema", "column", "constraint"
]


@dataclass(frozen=True)
class Comment:
    """COMMENT ON. `part` is the column or the constraint, of the relation `name`. `text` None:
    there is no comment any more."""

    kind: CommentKind
    name: Name
    text: str | None
    part: Name | None = None


Definition: TypeAlias = (
    CreateTable
    | CreateTableAs
    | CreateView
    | AlterTable
    | AlterSequence
    | RenameColumn
    | RenameConstraint
    | RenameRelation
    | RenameSchema
    | SetSchema
    | DropTable
    | CreateIndex
    | DropIndex
    | Truncate
    | CreateSequence
    | DropSequence
    | DropView
    | CreateSchema
    | DropSchema
    | CreateEnumeration
    | AddLabel
    | DropType
    | Comment
    | PlaceTable
    | Renumber
    | HoldTemporary
    | DropTemporary
)


def makes_temporary(definition: object) -> bool:
    """Whether a session needs a schema of its own for it."""
    match definition:
        case (
            CreateTable(temporary=temporary, table=name)
            | CreateTableAs(temporary=temporary, table=name)
        ):
            return temporary or name.schema == "pg_temp"
        case (
            CreateView(temporary=temporary, name=name)
            | CreateSequence(temporary=temporary, name=name)
        ):
            return temporary or name.schema == "pg_temp"
    return False
