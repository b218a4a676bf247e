"""What definitions of tables are made of: columns, constraints, options of sequences. See
`shardrouter.definitions`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from shardrouter.syntax import Expression, Name, TypeName

__all__ = [
    "Action",
    "CheckDefinition",
    "ColumnDefinition",
    "ConstraintDefinition",
    "Deferral",
    "ForeignKeyDefinition",
    "Identity",
    "KeyDefinition",
    "SequenceOptions",
]

Identity: TypeAlias = Literal["", "always", "by default"]


Action: TypeAlias = Literal["NO ACTION", "CASCADE", "SET NULL", "SET DEFAULT"]

Deferral: TypeAlias = Literal["", "immediate", "deferred"]
"""Of a constraint: not DEFERRABLE; DEFERRABLE, and INITIALLY what."""


@dataclass(frozen=True)
class SequenceOptions:
    """None: PostgreSQL's default for it, or what it is."""

    type: TypeName | None = None
    start: int | None = None
    increment: int | None = None
    minimum: int | None = None
    maximum: int | None = None
    cycle: bool | None = None
    open_minimum: bool = False  # NO MINVALUE: the default again
    open_maximum: bool = False
    restart: int | Literal["start"] | None = None
    owner: tuple[Name, Name] | Literal["none"] | None = None
    """OWNED BY: table and column, or NONE."""


@dataclass(frozen=True)
class ColumnDefinition:
    name: Name
    type: TypeName
    not_null: bool = False
    default: Expression | None = None
    default_source: str = ""  # what was written of it
    identity: Identity = ""
    sequence: SequenceOptions = SequenceOptions()
    generated: Expression | None = None  # then `default_source` is what was written of it


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
    deferral: Deferral = ""


ConstraintDefinition: TypeAlias = KeyDefinition | CheckDefinition | ForeignKeyDefinition
