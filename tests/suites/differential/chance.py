"""What statements are drawn from: chance, the constructs that there are, and the tables made.

Whatever is drawn comes from one `random.Random`, so a seed is a program. What there is on the
servers is a `World`: a statement that was done leads to another one, and a transaction that is
rolled back leads back.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from tests.suites.differential.constructs import EXPRESSIONS, TYPES, Expression
from tests.suites.differential.trees import Tree

__all__ = [
    "COLUMN_TYPES",
    "VAGUE",
    "Chance",
    "Column",
    "Labelled",
    "Made",
    "Table",
    "World",
    "qualified",
]

VAGUE: Final = frozenset({"float4", "float8", "numeric", "interval", "jsonb", "json", "bpchar"})
"""Types with values that are equal and do not look so, or that cannot be compared at all."""

COLUMN_TYPES: Final = {
    **{name: written for name, written in TYPES.items() if name != "bpchar"},
    "bpchar": "char(n)",
}
"""Types of columns, by the names that constructs have."""


@dataclass(frozen=True)
class Column:
    """A column that expressions may name."""

    name: str
    type: str
    is_wild: bool = False
    """It holds values at the edges."""
    is_constant: bool = False
    """A query's column that is the same in all of its rows, which a planner may see."""


@dataclass(frozen=True)
class Table:
    """A table that the program has made; the first column is its primary key."""

    name: str
    columns: tuple[Column, ...]
    is_view: bool = False
    """It can be read and not written."""
    has_rules: bool = False
    """A row may be refused for more than its key: of two faults of different rows either may be
    told."""


@dataclass(frozen=True)
class Labelled:
    """An enumeration, and a table that has a key k, a column m of it, and a list l."""

    type: str
    labels: tuple[str, ...]
    table: str


@dataclass(frozen=True)
class World:
    """What the program has made so far."""

    tables: Mapping[str, Table] = field(default_factory=dict)
    schemas: tuple[str, ...] = ()
    path: tuple[str, ...] = ("public",)
    """The search_path."""
    labelled: tuple[Labelled, ...] = ()
    sequences: tuple[str, ...] = ()
    checks: tuple[tuple[str, str], ...] = ()
    """Constraints that have a name: the table's and theirs."""
    prepared: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Names of prepared statements, and the types of their parameters."""
    cursors: tuple[str, ...] = ()

    def with_table(self, table: Table, *, instead_of: str = "") -> World:
        """And this table, or another in place of one."""
        rest = {name: one for name, one in self.tables.items() if name != instead_of}
        return replace(self, tables={**rest, table.name: table})

    def without_table(self, name: str) -> World:
        rest = {other: one for other, one in self.tables.items() if other != name}
        checks = tuple(pair for pair in self.checks if pair[0] != name)
        return replace(self, tables=rest, checks=checks)


@dataclass(frozen=True)
class Made:
    """One statement."""

    tree: Tree
    is_ordered: bool = False
    """The order of its rows is told."""
    is_prepared: bool = False
    is_binary: bool = False
    """Its rows are asked for in the binary format."""
    world: World | None = None
    """What there is once it is done, if that is another one."""
    mark: str = ""
    """What it does to the transaction: `begin`, `savepoint`, `back`, `release`."""
    copied: bytes | None = None
    """The rows of a COPY FROM."""
    is_simple_only: bool = False
    """It is not sent by the extended protocol."""


@dataclass
class Chance:
    """`known` has the names of constructs that this database has; the rest is drawn rarely, to see
    it refused."""

    rng: random.Random
    known: Collection[str]
    refused_share: float = 0.02
    """How often something is drawn that this database does not have."""
    world: World = field(default_factory=World)
    may_fail: bool = True
    """Whether the statement at hand has nothing yet that may fail."""
    count: int = 0
    """Names that were given so far."""
    stack: list[World] = field(default_factory=list)
    """What there was at BEGIN, and at each savepoint."""
    status: str = "I"
    """Of the transaction, as ReadyForQuery says it."""

    def __post_init__(self) -> None:
        self.types = [t for t in TYPES if self.has(COLUMN_TYPES[t])] or ["int4"]
        self.by_type: dict[str, list[Expression]] = {}
        for expression in EXPRESSIONS:
            if not expression.is_aggregate and expression.name in self.known:
                self.by_type.setdefault(expression.result, []).append(expression)
        self.aggregates = [e for e in EXPRESSIONS if e.is_aggregate and e.name in self.known]
        self.rest = [e for e in EXPRESSIONS if e.name not in self.known]

    def has(self, construct: str) -> bool:
        return construct in self.known

    def wants(self, construct: str, share: float) -> bool:
        """Whether to make it here: with this probability, if there is such a thing."""
        if not self.has(construct):
            share *= self.refused_share
        return self.rng.random() < share

    def one_of(self, share: float) -> bool:
        return self.rng.random() < share

    def new_name(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def named(self, prefix: str) -> tuple[str, str]:
        """A new name as a statement writes it, and as others find what it stands for."""
        name = self.new_name(prefix)
        schemas = self.world.schemas
        if schemas and self.one_of(0.3):
            name = f"{self.rng.choice(schemas)}.{name}"
        is_first = self.world.path[0] in schemas
        known = f"{self.world.path[0]}.{name}" if is_first and "." not in name else name
        return name, known

    def type(self) -> str:
        return self.rng.choice(self.types)

    def exact_type(self) -> str:
        return self.rng.choice([t for t in self.types if t not in VAGUE])

    def table(self) -> Table:
        """Any that can be read, by its name alone if the search_path has its schema."""
        table = self.rng.choice(list(self.world.tables.values()))
        schema, dot, bare = table.name.rpartition(".")
        if dot and schema in self.world.path and self.one_of(0.5):
            return replace(table, name=bare)
        return table

    def written_table(self) -> Table:
        """Any that can be written."""
        return self.rng.choice(list(self._writable()))

    def _writable(self) -> Iterator[Table]:
        return (table for table in self.world.tables.values() if not table.is_view)

    def settle(self, made: Made, *, is_done: bool, status: str, tag: str) -> None:
        """What became of a statement: whether there was no error, and how the transaction is."""
        self.status = status
        if is_done and made.world is not None:
            self.world = made.world
        if is_done and made.mark == "begin" and not self.stack:
            self.stack = [self.world]
        elif is_done and made.mark == "savepoint":
            self.stack.append(self.world)
        elif is_done and made.mark == "back" and len(self.stack) > 1:
            self.world = self._kept(self.stack[-1])
        elif is_done and made.mark == "release" and len(self.stack) > 1:
            self.stack.pop()
        if status == "I" and self.stack:
            if tag != "COMMIT":
                self.world = self._kept(self.stack[0])
            self.world = replace(self.world, cursors=())
            self.stack = []

    def _kept(self, before: World) -> World:
        """What a rollback leads back to: it does not undo PREPARE."""
        return replace(before, prepared=self.world.prepared)


def qualified(qualifier: str, columns: Collection[Column]) -> list[Column]:
    return [replace(column, name=f"{qualifier}.{column.name}") for column in columns]
