"""Statements as typed values: what was written, before anybody knows what it means.

`shardrouter.statement` makes them, the planner reads them. Names are folded as PostgreSQL
folds them; types, tables and columns are not looked up yet. A `position` is the 1-based
offset, in characters, of the thing in the statement's text, 0 if unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "Name",
    "TableName",
    "StringLiteral",
    "NumberLiteral",
    "BooleanLiteral",
    "NullLiteral",
    "ParameterReference",
    "ColumnReference",
    "TypeCast",
    "Negation",
    "Binary",
    "Logical",
    "Not",
    "IsTest",
    "InList",
    "Between",
    "Call",
    "Expression",
    "position_of",
    "Star",
    "SelectItem",
    "SortKey",
    "Select",
    "DefaultValue",
    "Assignment",
    "OnConflict",
    "Insert",
    "Update",
    "Delete",
    "TypeName",
    "Statement",
]


@dataclass(frozen=True)
class Name:
    text: str
    position: int = 0


@dataclass(frozen=True)
class TableName:
    """A table as named in a statement, and the name its columns are qualified with."""

    name: str
    alias: str
    position: int = 0


# --------------------------------------------------------------------------- expressions


@dataclass(frozen=True)
class StringLiteral:
    """Of unknown type until it meets a typed operand."""

    value: str
    position: int = 0


@dataclass(frozen=True)
class NumberLiteral:
    text: str
    position: int = 0


@dataclass(frozen=True)
class BooleanLiteral:
    value: bool


@dataclass(frozen=True)
class NullLiteral:
    pass


@dataclass(frozen=True)
class ParameterReference:
    number: int
    position: int = 0


@dataclass(frozen=True)
class ColumnReference:
    name: str
    table: str | None
    position: int = 0


@dataclass(frozen=True)
class TypeName:
    """`modifiers` are what stands in parentheses: the n of varchar(n)."""

    name: str
    modifiers: tuple[str, ...] = ()
    position: int = 0


@dataclass(frozen=True)
class TypeCast:
    operand: Expression
    type: TypeName


@dataclass(frozen=True)
class Negation:
    operand: Expression
    position: int = 0


@dataclass(frozen=True)
class Binary:
    """Comparison, arithmetic or ||; `operator` is spelled as PostgreSQL names it, `position`
    is its own."""

    operator: str
    left: Expression
    right: Expression
    position: int = 0


@dataclass(frozen=True)
class Logical:
    """Two or more operands connected by AND or by OR."""

    operator: str
    operands: tuple[Expression, ...]


@dataclass(frozen=True)
class Not:
    operand: Expression


@dataclass(frozen=True)
class IsTest:
    """`operand IS value`; value None is NULL. IS NOT is a Not around it."""

    operand: Expression
    value: bool | None


@dataclass(frozen=True)
class InList:
    operand: Expression
    items: tuple[Expression, ...]


@dataclass(frozen=True)
class Between:
    operand: Expression
    low: Expression
    high: Expression


@dataclass(frozen=True)
class Call:
    """`name(arguments)`; `star` is count(*)."""

    name: str
    arguments: tuple[Expression, ...] = ()
    star: bool = False
    position: int = 0


Expression: TypeAlias = (
    StringLiteral
    | NumberLiteral
    | BooleanLiteral
    | NullLiteral
    | ParameterReference
    | ColumnReference
    | TypeCast
    | Negation
    | Binary
    | Logical
    | Not
    | IsTest
    | InList
    | Between
    | Call
)


def position_of(node: Expression) -> int:
    """Where an expression begins, as far as it is known."""
    match node:
        case BooleanLiteral() | NullLiteral():
            return 0
        case TypeCast() | Not() | IsTest() | InList() | Between():
            return position_of(node.operand)
        case Logical():
            return position_of(node.operands[0])
        case Binary():
            return position_of(node.left)
        case _:
            return node.position


# --------------------------------------------------------------------------- statements


@dataclass(frozen=True)
class Star:
    """`*` or `table.*` in a select list."""

    table: str | None = None
    position: int = 0


@dataclass(frozen=True)
class SelectItem:
    expression: Expression
    alias: str | None = None


@dataclass(frozen=True)
class SortKey:
    expression: Expression
    descending: bool
    nulls_first: bool


@dataclass(frozen=True)
class Select:
    items: tuple[SelectItem | Star, ...]
    table: TableName | None
    where: Expression | None = None
    order: tuple[SortKey, ...] = ()
    limit: Expression | None = None
    offset: Expression | None = None


@dataclass(frozen=True)
class DefaultValue:
    """The word DEFAULT in place of a value."""


@dataclass(frozen=True)
class Assignment:
    column: Name
    value: Expression | DefaultValue


@dataclass(frozen=True)
class OnConflict:
    """`target` is empty without one; `assignments` is empty for DO NOTHING."""

    target: tuple[Name, ...]
    assignments: tuple[Assignment, ...] = ()
    where: Expression | None = None


@dataclass(frozen=True)
class Insert:
    """`columns` None: all, in the order of the table."""

    table: TableName
    columns: tuple[Name, ...] | None
    rows: tuple[tuple[Expression | DefaultValue, ...], ...]
    conflict: OnConflict | None = None


@dataclass(frozen=True)
class Update:
    table: TableName
    assignments: tuple[Assignment, ...]
    where: Expression | None


@dataclass(frozen=True)
class Delete:
    table: TableName
    where: Expression | None


Statement: TypeAlias = Select | Insert | Update | Delete
