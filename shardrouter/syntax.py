"""Statements as typed values: what was written, before anybody knows what it means.

`shardrouter.statement` makes them, the planner reads them. Names are folded as PostgreSQL
folds them; types, tables and columns are not looked up yet. A `position` is the 1-based
offset, in characters, of the thing in the statement's text, 0 if unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from shardrouter.quick_dataclasses import dataclass

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
    "Collated",
    "collations",
    "Negation",
    "Prefix",
    "Binary",
    "Logical",
    "Not",
    "IsTest",
    "InList",
    "Between",
    "IsDistinct",
    "Like",
    "Case",
    "Row",
    "ArrayItems",
    "Subscript",
    "Slice",
    "Subquery",
    "Exists",
    "InQuery",
    "Quantified",
    "Frame",
    "WindowSpec",
    "Call",
    "Expression",
    "position_of",
    "Star",
    "SelectItem",
    "SortKey",
    "FromQuery",
    "FromCall",
    "Join",
    "FromItem",
    "CommonTable",
    "Tail",
    "Grouping",
    "Select",
    "Values",
    "SetOperation",
    "Query",
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
    """`schema` is what stood before it, of a relation: empty if nothing did."""

    text: str
    position: int = 0
    schema: str = ""


@dataclass(frozen=True)
class TableName:
    """A table as named in a statement, and the name its columns are qualified with. `columns`
    rename its first ones; `schema` is empty without one."""

    name: str
    alias: str
    position: int = 0
    columns: tuple[Name, ...] = ()
    schema: str = ""


# --------------------------------------------------------------------------- expressions


@dataclass(frozen=True)
class StringLiteral:
    """Of unknown type until it meets a typed operand, also with COLLATE behind it (`collated`)."""

    value: str
    position: int = 0
    collated: bool = False


@dataclass(frozen=True)
class NumberLiteral:
    text: str
    position: int = 0


@dataclass(frozen=True)
class BooleanLiteral:
    value: bool


@dataclass(frozen=True)
class NullLiteral:
    collated: bool = False


@dataclass(frozen=True)
class ParameterReference:
    """`collated`: with COLLATE behind it, which a query cannot give the type of its columns."""

    number: int
    position: int = 0
    collated: bool = False


@dataclass(frozen=True)
class ColumnReference:
    name: str
    table: str | None
    position: int = 0
    schema: str = ""  # of `table`


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
class Collated:
    """`operand COLLATE name`, of what has a type; `position` is the clause's."""

    operand: Expression
    position: int = 0


@dataclass(frozen=True)
class Negation:
    operand: Expression
    position: int = 0


@dataclass(frozen=True)
class Prefix:
    """Another operator before its operand."""

    operator: str
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
    """`operand IS value`; value None is NULL, or UNKNOWN for a boolean. IS NOT is a Not around
    it."""

    operand: Expression
    value: bool | None
    is_unknown: bool = False


@dataclass(frozen=True)
class InList:
    operand: Expression
    items: tuple[Expression, ...]


@dataclass(frozen=True)
class Between:
    operand: Expression
    low: Expression
    high: Expression
    symmetric: bool = False


@dataclass(frozen=True)
class IsDistinct:
    """`left IS DISTINCT FROM right`."""

    left: Expression
    right: Expression
    position: int = 0


@dataclass(frozen=True)
class Like:
    """LIKE, or ILIKE if `any_case`. `escape` None: the backslash."""

    operand: Expression
    pattern: Expression
    escape: Expression | None = None
    any_case: bool = False
    position: int = 0


@dataclass(frozen=True)
class Case:
    """`operand` None: each condition is a boolean of its own."""

    operand: Expression | None
    branches: tuple[tuple[Expression, Expression], ...]
    default: Expression | None
    position: int = 0


@dataclass(frozen=True)
class Row:
    """(a, b, ...), two or more, or ROW(...)."""

    items: tuple[Expression, ...]
    position: int = 0


@dataclass(frozen=True)
class ArrayItems:
    """ARRAY[...]"""

    items: tuple[Expression, ...]
    position: int = 0


@dataclass(frozen=True)
class Subscript:
    operand: Expression
    index: Expression
    goes_on: bool = False
    """Another one stands behind it: dimensions of one array, not the part of a part."""


@dataclass(frozen=True)
class Slice:
    """operand[low:high]; None is the array's own end."""

    operand: Expression
    low: Expression | None
    high: Expression | None


@dataclass(frozen=True)
class Subquery:
    """A query in parentheses that stands for its one value."""

    query: Query
    position: int = 0


@dataclass(frozen=True)
class Exists:
    query: Query
    position: int = 0


@dataclass(frozen=True)
class InQuery:
    operand: Expression
    query: Query
    position: int = 0


@dataclass(frozen=True)
class Quantified:
    """`operand operator ANY (source)`, or ALL; the source is a query or an array."""

    operator: str
    operand: Expression
    source: Query | Expression
    all: bool
    position: int = 0


@dataclass(frozen=True)
class Frame:
    """ROWS, RANGE or GROUPS of a window. A bound is (UNBOUNDED, CURRENT or OFFSET, PRECEDING or
    FOLLOWING or nothing, the offset)."""

    mode: str
    start: tuple[str, str, Expression | None]
    end: tuple[str, str, Expression | None]
    exclude: str = ""


@dataclass(frozen=True)
class WindowSpec:
    """What stands in OVER (...) or after WINDOW name AS; `base` is the window it extends."""

    base: str | None = None
    partition: tuple[Expression, ...] = ()
    order: tuple[SortKey, ...] = ()
    frame: Frame | None = None
    position: int = 0


@dataclass(frozen=True)
class Call:
    """`name(arguments)`; `star` is count(*). `over` is a window's definition or its name,
    `within` the order of WITHIN GROUP."""

    name: str
    arguments: tuple[Expression, ...] = ()
    star: bool = False
    distinct: bool = False
    order: tuple[SortKey, ...] = ()
    filter: Expression | None = None
    over: WindowSpec | str | None = None
    position: int = 0
    within: tuple[SortKey, ...] = ()


Expression: TypeAlias = (
    StringLiteral
    | NumberLiteral
    | BooleanLiteral
    | NullLiteral
    | ParameterReference
    | ColumnReference
    | TypeCast
    | Collated
    | Negation
    | Prefix
    | Binary
    | Logical
    | Not
    | IsTest
    | InList
    | Between
    | IsDistinct
    | Like
    | Case
    | Row
    | ArrayItems
    | Subscript
    | Slice
    | Subquery
    | Exists
    | InQuery
    | Quantified
    | Call
)


def position_of(node: Expression) -> int:
    """Where an expression begins, as far as it is known."""
    match node:
        case BooleanLiteral() | NullLiteral():
            return 0
        case TypeCast() | Not() | IsTest() | InList() | Between() | Like() | Subscript() | Slice():
            return position_of(node.operand)
        case InQuery() | Quantified() | Collated():
            return position_of(node.operand)
        case Logical():
            return position_of(node.operands[0])
        case Binary() | IsDistinct():
            return position_of(node.left)
        case _:
            return node.position


def collations(node: object) -> Iterator[Expression]:
    """What in an expression has COLLATE behind it, outside of subqueries."""
    if isinstance(node, tuple):
        for part in node:
            yield from collations(part)
    elif isinstance(node, Collated | StringLiteral | NullLiteral | ParameterReference) and (
        isinstance(node, Collated) or node.collated
    ):
        yield node
    elif not isinstance(node, Select | Values | SetOperation):
        for name in getattr(node, "__dataclass_fields__", ()):
            yield from collations(getattr(node, name))


# --------------------------------------------------------------------------- statements


@dataclass(frozen=True)
class Star:
    """`*` or `table.*` in a select list."""

    table: str | None = None
    position: int = 0
    schema: str = ""


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
class FromQuery:
    """A subquery in FROM; `alias` is empty without one."""

    query: Query
    alias: str
    columns: tuple[Name, ...] = ()
    lateral: bool = False
    position: int = 0


@dataclass(frozen=True)
class FromCall:
    """A function in FROM."""

    call: Call
    alias: str
    columns: tuple[Name, ...] = ()
    ordinality: bool = False


@dataclass(frozen=True)
class Join:
    """`kind` is INNER, LEFT, RIGHT, FULL or CROSS; one of `on`, `using`, `natural` for the first
    four."""

    kind: str
    left: FromItem
    right: FromItem
    on: Expression | None = None
    using: tuple[Name, ...] = ()
    natural: bool = False
    position: int = 0


FromItem: TypeAlias = TableName | FromQuery | FromCall | Join


@dataclass(frozen=True)
class CommonTable:
    """WITH name (columns) AS (query)."""

    name: Name
    columns: tuple[Name, ...]
    query: Query
    materialized: bool | None = None


@dataclass(frozen=True)
class Tail:
    """What may follow any query: ORDER BY, LIMIT, OFFSET; and the WITH before it. `with_ties`:
    rows that sort like the last one count as well."""

    order: tuple[SortKey, ...] = ()
    limit: Expression | None = None
    offset: Expression | None = None
    tables: tuple[CommonTable, ...] = ()
    recursive: bool = False
    with_ties: bool = False


@dataclass(frozen=True)
class Grouping:
    """That a SELECT is one of several that differ in what they group by: `every` is what any of
    them groups by."""

    every: tuple[Expression, ...]


@dataclass(frozen=True)
class Select:
    """`sources` are what the commas of FROM separate. `distinct` is True, or the expressions of
    DISTINCT ON. `locking` is what FOR asks for: UPDATE, NO KEY UPDATE, SHARE, KEY SHARE, of the
    relations of `locked` or of all."""

    items: tuple[SelectItem | Star, ...]
    sources: tuple[FromItem, ...] = ()
    where: Expression | None = None
    group: tuple[Expression, ...] = ()
    having: Expression | None = None
    windows: tuple[tuple[str, WindowSpec], ...] = ()
    distinct: bool | tuple[Expression, ...] = False
    tail: Tail = Tail()
    locking: str = ""
    position: int = 0
    locked: tuple[Name, ...] = ()
    grouping: Grouping | None = None


@dataclass(frozen=True)
class Values:
    rows: tuple[tuple[Expression, ...], ...]
    tail: Tail = Tail()
    position: int = 0


@dataclass(frozen=True)
class SetOperation:
    """`operator` is UNION, INTERSECT or EXCEPT."""

    operator: str
    all: bool
    left: Query
    right: Query
    tail: Tail = Tail()
    position: int = 0


Query: TypeAlias = Select | Values | SetOperation


@dataclass(frozen=True)
class DefaultValue:
    """The word DEFAULT in place of a value."""


@dataclass(frozen=True)
class Assignment:
    column: Name
    value: Expression | DefaultValue


@dataclass(frozen=True)
class OnConflict:
    """`target` and `constraint` are empty without one; `assignments` is empty for DO NOTHING.
    `predicate` is the WHERE of the target, which names a partial index."""

    target: tuple[Name, ...]
    assignments: tuple[Assignment, ...] = ()
    where: Expression | None = None
    constraint: Name | None = None
    predicate: Expression | None = None


@dataclass(frozen=True)
class Insert:
    """`columns` None: all, in the order of the table. `rows` are VALUES, of which one empty row
    is DEFAULT VALUES; or there is a `query`. `overriding` is `system`, `user` or nothing."""

    table: TableName
    columns: tuple[Name, ...] | None
    rows: tuple[tuple[Expression | DefaultValue, ...], ...]
    conflict: OnConflict | None = None
    query: Query | None = None
    returning: tuple[SelectItem | Star, ...] = ()
    tables: tuple[CommonTable, ...] = ()
    recursive: bool = False
    overriding: str = ""


@dataclass(frozen=True)
class Update:
    table: TableName
    assignments: tuple[Assignment, ...]
    where: Expression | None
    sources: tuple[FromItem, ...] = ()
    returning: tuple[SelectItem | Star, ...] = ()
    tables: tuple[CommonTable, ...] = ()
    recursive: bool = False


@dataclass(frozen=True)
class Delete:
    table: TableName
    where: Expression | None
    sources: tuple[FromItem, ...] = ()
    returning: tuple[SelectItem | Star, ...] = ()
    tables: tuple[CommonTable, ...] = ()
    recursive: bool = False


Statement: TypeAlias = Query | Insert | Update | Delete
