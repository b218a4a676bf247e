"""ALTER as typed values: what was written, not yet what it means. See `shardrouter.definitions`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from shardrouter.definition_parts import (
    ColumnDefinition,
    ConstraintDefinition,
    Identity,
    SequenceOptions,
)
from shardrouter.syntax import Expression, Name, TypeName

__all__ = [
    "AddColumn",
    "AddConstraint",
    "AddIdentity",
    "AlterSequence",
    "AlterTable",
    "AlterType",
    "DropColumn",
    "DropConstraint",
    "DropDefault",
    "DropIdentity",
    "Renamed",
    "RenameColumn",
    "RenameConstraint",
    "RenameRelation",
    "RenameSchema",
    "SetDefault",
    "SetIdentity",
    "SetNotNull",
    "SetSchema",
    "TableAction",
]


@dataclass(frozen=True)
class AddColumn:
    column: ColumnDefinition
    constraints: tuple[ConstraintDefinition, ...] = ()
    if_not_exists: bool = False


@dataclass(frozen=True)
class DropColumn:
    name: Name
    if_exists: bool = False
    cascade: bool = False


@dataclass(frozen=True)
class AlterType:
    """`using` None: the value as an assignment casts it."""

    name: Name
    type: TypeName
    using: Expression | None = None


@dataclass(frozen=True)
class SetDefault:
    name: Name
    value: Expression
    source: str


@dataclass(frozen=True)
class DropDefault:
    name: Name


@dataclass(frozen=True)
class SetNotNull:
    """SET NOT NULL, or DROP NOT NULL."""

    name: Name
    not_null: bool


@dataclass(frozen=True)
class AddIdentity:
    name: Name
    identity: Identity
    options: SequenceOptions


@dataclass(frozen=True)
class SetIdentity:
    """SET GENERATED, if `identity` is not empty, and what else of the sequence."""

    name: Name
    identity: Identity
    options: SequenceOptions


@dataclass(frozen=True)
class DropIdentity:
    name: Name
    if_exists: bool = False


@dataclass(frozen=True)
class AddConstraint:
    constraint: ConstraintDefinition


@dataclass(frozen=True)
class DropConstraint:
    name: Name
    if_exists: bool = False
    cascade: bool = False


TableAction: TypeAlias = (
    AddColumn
    | DropColumn
    | AlterType
    | SetDefault
    | DropDefault
    | SetNotNull
    | AddIdentity
    | SetIdentity
    | DropIdentity
    | AddConstraint
    | DropConstraint
)


@dataclass(frozen=True)
class AlterTable:
    table: Name
    actions: tuple[TableAction, ...]
    if_exists: bool = False


@dataclass(frozen=True)
class RenameColumn:
    table: Name
    name: Name
    new: Name
    if_exists: bool = False


@dataclass(frozen=True)
class RenameConstraint:
    table: Name
    name: Name
    new: Name
    if_exists: bool = False


Renamed: TypeAlias = Literal["table", "view", "index", "sequence"]


@dataclass(frozen=True)
class RenameRelation:
    """ALTER TABLE renames whatever it is."""

    kind: Renamed
    name: Name
    new: Name
    if_exists: bool = False


@dataclass(frozen=True)
class SetSchema:
    kind: Renamed
    name: Name
    schema: Name
    if_exists: bool = False


@dataclass(frozen=True)
class RenameSchema:
    name: Name
    new: Name


@dataclass(frozen=True)
class AlterSequence:
    name: Name
    options: SequenceOptions
    if_exists: bool = False
