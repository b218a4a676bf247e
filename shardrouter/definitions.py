"""Statements that change the schema, as typed values: what was written, not yet what it means.

`shardrouter.ddl_parser` makes them, `shardrouter.ddl` and `shardrouter.schema_change` read them.
Names are folded as PostgreSQL folds them; a `position` is the 1-based offset of the thing in the
statement's text, 0 if unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from shardrouter.syntax import Expression, Name, TypeName

__all__ = [
    "Action",
    "CheckDefinition",
    "ColumnDefinition",
    "Comment",
    "CommentKind",
    "ConstraintDefinition",
    "CreateIndex",
    "CreateSchema",
    "CreateSequence",
    "CreateTable",
    "Definition",
    "DropIndex",
    "DropSchema",
    "DropSequence",
    "DropTable",
    "DropView",
    "ForeignKeyDefinition",
    "Identity",
    "IndexElement",
    "KeyDefinition",
    "SequenceOptions",
    "Truncate",
    "AddConstraint",
]

Identity: TypeAlias = Literal["", "always", "by default"]
Action: TypeAlias = Literal["NO ACTION", "CASCADE", "SET NULL", "SET DEFAULT"]


@dataclass(frozen=True)
class SequenceOptions:
    """None: PostgreSQL's default for it."""

    type: TypeName | None = None
    start: int | None = None
    increment: int | None = None
    minimum: int | None = None
    maximum: int | None = None
    cycle: bool = False


@dataclass(frozen=True)
class ColumnDefinition:
    name: Name
    type: TypeName
    not_null: bool = False
    default: Expression | None = None
    identity: Identity = ""
    sequence: SequenceOptions = SequenceOptions()


@dataclass(frozen=True)
class KeyDefinition:
    """PRIMARY KEY (...) or UNIQUE (...)."""

    columns: tuple[Name, ...]
    primary: bool
    name: Name | None = None
    position: int = 0


@dataclass(frozen=True)
class CheckDefinition:
    """`source` is the text between the parentheses; `column` the one it was written beside."""

    expression: Expression
    source: str
    name: Name | None = None
    column: str = ""
    position: int = 0


@dataclass(frozen=True)
class ForeignKeyDefinition:
    """`references` empty: the primary key of the table referred to."""

    columns: tuple[Name, ...]
    table: Name
    references: tuple[Name, ...] = ()
    on_delete: Action = "NO ACTION"
    on_update: Action = "NO ACTION"
    name: Name | None = None
    position: int = 0


ConstraintDefinition: TypeAlias = KeyDefinition | CheckDefinition | ForeignKeyDefinition


@dataclass(frozen=True)
class CreateTable:
    """`constraints` in the order they were written, those of columns among them."""

    table: Name
    columns: tuple[ColumnDefinition, ...]
    constraints: tuple[ConstraintDefinition, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    if_not_exists: bool = False


@dataclass(frozen=True)
class AddConstraint:
    """ALTER TABLE table ADD constraint."""

    table: Name
    constraint: ConstraintDefinition


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
    options: SequenceOptions = SequenceOptions()
    if_not_exists: bool = False


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
    | AddConstraint
    | DropTable
    | CreateIndex
    | DropIndex
    | Truncate
    | CreateSequence
    | DropSequence
    | DropView
    | CreateSchema
    | DropSchema
    | Comment
)
