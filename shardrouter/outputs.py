"""A query that was analysed: its columns, and its text once the types of all are decided.

An item whose type is open ('x', NULL, $1) takes it from what the query stands in: the other
branches of a UNION, the columns of an INSERT. So the text is made last, when that is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shardrouter import casts, syntax
from shardrouter.casts import Context
from shardrouter.common_types import common_type
from shardrouter.errors import StatementError
from shardrouter.translate import Scope
from shardrouter.typed import Typed, assigned, collated, implicit, is_mixed
from shardrouter.types import NO_MODIFIER, TEXT, Type

__all__ = [
    "Item",
    "Outputs",
    "Ranked",
    "Rows",
    "Selected",
    "SetOperation",
    "item_types",
    "leave_open",
]


@dataclass
class Item:
    """A column: its name, and what it is; `typed` is None while its type is open."""

    name: str
    node: syntax.Expression | None
    typed: Typed | None
    scope: Scope

    def taken(self, kind: Type | None) -> Typed:
        """The item, in the type that is wanted, by an implicit cast or one of assignment."""
        if self.typed is None:
            assert self.node is not None
            self.typed = self.scope.take(self.node, kind or TEXT)
        return self.typed if kind is None else _as(self.typed, kind)


def _as(typed: Typed, kind: Type) -> Typed:
    if typed.type is kind:
        return typed
    if casts.find(typed.type, kind, Context.IMPLICIT) is not None:
        return implicit(typed, kind)
    found = assigned(typed, kind, NO_MODIFIER)
    if found is None:
        raise StatementError(
            f"cannot convert type {typed.type.name} to {kind.name}", sqlstate="42846"
        )
    return found


class Outputs(Protocol):
    """What any analysed query is to the one around it."""

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def kinds(self) -> tuple[Type | None, ...]:
        """The type of each column; None while it is open."""
        ...

    @property
    def modifiers(self) -> tuple[int, ...]: ...

    @property
    def is_one_row(self) -> bool:
        """Whether it can be seen that there is at most one row."""
        ...

    def columns(self) -> tuple[Typed, ...]:
        """Its columns as their own texts, open ones as text: what a relation's fields show."""
        ...

    def label(self, index: int) -> str:
        """The name of a column in the text."""
        ...

    def text(self, kinds: Sequence[Type | None] = (), *, distinct: bool = False) -> str:
        """SQLite's text, each column in the type that is wanted. `distinct`: rows are compared
        by whoever reads them, so that collations are written."""
        ...


def leave_open(outputs: Outputs, kinds: Sequence[Type]) -> None:
    """Before what is around a SELECT gives types to its columns: a parameter with COLLATE behind it
    takes none of them, as PostgreSQL has it, so that nothing tells what it is."""
    if not isinstance(outputs, Selected):
        return
    for item, kind in zip(outputs.items, kinds, strict=True):
        node = item.node
        if item.typed is None and isinstance(node, syntax.ParameterReference) and node.collated:
            item.typed = Typed(item.scope.parameters.leave_open(node), kind)


def item_types(outputs: Outputs) -> tuple[Type, ...]:
    return tuple(kind or TEXT for kind in outputs.kinds)


@dataclass(frozen=True)
class Ranked:
    """Which rows of a SELECT count by their rank: `columns` beside the list, of windows and of
    what it is sorted by, the condition on them, and the order in their names."""

    columns: tuple[str, ...]
    condition: str
    order: str


@dataclass
class Selected:
    """A SELECT. `tail` is everything behind the list, `order` and `limit` apart."""

    items: list[Item]
    head: str = "SELECT"
    body: str = ""
    order: str = ""
    limit: str = ""
    tables: str = ""  # WITH
    is_one_row: bool = False
    hidden: list[str] = field(default_factory=list)
    ranked: Ranked | None = None
    through: frozenset[int] = frozenset()
    """Its relations, if each of its rows says which of theirs it is made of, and no other row."""
    is_group: bool = False
    """All rows are one group, also where there are none and nothing is aggregated."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(item.name for item in self.items)

    @property
    def kinds(self) -> tuple[Type | None, ...]:
        return tuple(None if item.typed is None else item.typed.type for item in self.items)

    @property
    def modifiers(self) -> tuple[int, ...]:
        return tuple(
            NO_MODIFIER if item.typed is None else item.typed.modifier for item in self.items
        )

    def columns(self) -> tuple[Typed, ...]:
        return tuple(item.taken(None) for item in self.items)

    def label(self, index: int) -> str:
        return f"c{index + 1}"

    def text(
        self, kinds: Sequence[Type | None] = (), *, distinct: bool = False, named: bool = True
    ) -> str:
        distinct = distinct or self.head != "SELECT"
        texts = []
        for i, item in enumerate(self.items):
            typed = item.taken(kinds[i] if kinds else None)
            text = collated(typed) if distinct or is_mixed(typed) else typed.sql
            if self.is_group and i == 0:  # SQLite knows a group by an aggregate in the list
                text = f"CASE WHEN count(*) >= 0 THEN {text} END"
            texts.append(f"{text} AS {self.label(i)}" if named else text)
        if self.ranked is not None:
            return self._ranked_text(self.ranked, texts, named=named)
        listed = ", ".join([*texts, *self.hidden]) or "NULL"
        return f"{self.tables}{self.head} {listed}{self.body}{self.order}{self.limit}"

    def _ranked_text(self, ranked: Ranked, texts: list[str], *, named: bool) -> str:
        if not named:
            texts = [f"{text} AS {self.label(i)}" for i, text in enumerate(texts)]
        inner = ", ".join([*texts, *ranked.columns])
        labels = ", ".join(self.label(i) for i in range(len(self.items)))
        return (
            f"{self.tables}SELECT {labels} FROM (SELECT {inner}{self.body}) "
            f"WHERE {ranked.condition}{ranked.order}{self.limit}"
        )

    @property
    def is_plain(self) -> bool:
        """Whether it can be a branch of a set operation as it is."""
        return not (self.order or self.limit or self.tables or self.ranked)


@dataclass
class Rows:
    """VALUES."""

    rows: list[list[Item]]
    order: str = ""
    limit: str = ""
    tables: str = ""
    is_one_row: bool = False
    is_lateral: bool = False
    """It reads what stands before it, which SQLite does not let the rows of VALUES do."""

    def __post_init__(self) -> None:
        self.is_one_row = len(self.rows) == 1
        self._kinds: list[Type | None] = []
        for column in zip(*self.rows, strict=True):
            kinds = [None if item.typed is None else item.typed.type for item in column]
            positions = [
                syntax.position_of(item.node) if item.node is not None else 0 for item in column
            ]
            known = any(kind is not None for kind in kinds)
            self._kinds.append(common_type(kinds, "VALUES", positions) if known else None)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"column{i + 1}" for i in range(len(self.rows[0])))

    @property
    def kinds(self) -> tuple[Type | None, ...]:
        return tuple(self._kinds)

    @property
    def modifiers(self) -> tuple[int, ...]:
        found = []
        for column in zip(*self.rows, strict=True):
            modifiers = {
                NO_MODIFIER if item.typed is None else item.typed.modifier for item in column
            }
            found.append(modifiers.pop() if len(modifiers) == 1 else NO_MODIFIER)
        return tuple(found)

    def columns(self) -> tuple[Typed, ...]:
        return tuple(Typed("", kind or TEXT) for kind in self._kinds)

    def label(self, index: int) -> str:
        return f"column{index + 1}"

    def text(self, kinds: Sequence[Type | None] = (), *, distinct: bool = False) -> str:
        own = [kind or (kinds[i] if kinds else None) or TEXT for i, kind in enumerate(self._kinds)]
        wanted = [(kinds[i] if kinds else None) or kind for i, kind in enumerate(own)]
        rows = []
        for row in self.rows:
            typed = [
                _as(item.taken(mine), kind).sql
                for item, mine, kind in zip(row, own, wanted, strict=True)
            ]
            if self.is_lateral:
                typed = [f"{one} AS {self.label(i)}" for i, one in enumerate(typed)]
            rows.append(", ".join(typed))
        if self.is_lateral:
            text = " UNION ALL ".join(f"SELECT {row}" for row in rows)
        else:
            text = f"VALUES {', '.join(f'({row})' for row in rows)}"
        if self.order or self.limit or self.tables:
            return f"{self.tables}SELECT * FROM ({text}){self.order}{self.limit}"
        if not distinct or not any(kind.collation for kind in wanted):
            return text
        listed = ", ".join(
            collated(Typed(self.label(i), kind)) + f" AS {self.label(i)}"
            for i, kind in enumerate(wanted)
        )
        return f"SELECT {listed} FROM ({text})"

    @property
    def is_plain(self) -> bool:
        return not (self.order or self.limit or self.tables)


@dataclass
class SetOperation:
    """UNION, INTERSECT, EXCEPT; `word` is with its ALL."""

    word: str
    left: Outputs
    right: Outputs
    order: str = ""
    limit: str = ""
    tables: str = ""
    is_one_row: bool = False

    def __post_init__(self) -> None:
        operator = self.word.split()[0]
        self._kinds = [
            common_type([a, b], operator) if a is not None or b is not None else None
            for a, b in zip(self.left.kinds, self.right.kinds, strict=True)
        ]
        for branch in (self.left, self.right):
            leave_open(branch, [kind or TEXT for kind in self._kinds])

    @property
    def names(self) -> tuple[str, ...]:
        return self.left.names

    @property
    def kinds(self) -> tuple[Type | None, ...]:
        # A UNION decides: what is open in all branches is text.
        return tuple(kind or TEXT for kind in self._kinds)

    @property
    def modifiers(self) -> tuple[int, ...]:
        return tuple(
            a if a == b and left is right else NO_MODIFIER
            for a, b, left, right in zip(
                self.left.modifiers, self.right.modifiers, self.left.kinds, self.right.kinds,
                strict=True,
            )
        )  # fmt: skip

    def columns(self) -> tuple[Typed, ...]:
        return tuple(Typed("", kind or TEXT) for kind in self._kinds)

    def label(self, index: int) -> str:
        return self.left.label(index)

    def text(self, kinds: Sequence[Type | None] = (), *, distinct: bool = False) -> str:
        own = [kind or TEXT for kind in self._kinds]
        is_counted = self.word in ("INTERSECT ALL", "EXCEPT ALL")
        distinct = distinct or is_counted or not self.word.endswith("ALL")
        left, right = (branch.text(own, distinct=distinct) for branch in (self.left, self.right))
        if not _is_plain(self.left):
            left = f"SELECT * FROM ({left})"
        if not _is_plain(self.right) or isinstance(self.right, SetOperation):
            right = f"SELECT * FROM ({right})"
        if is_counted:
            left, right = (
                _counted(branch, outputs, own)
                for branch, outputs in ((left, self.left), (right, self.right))
            )
            word = self.word.split()[0]
            labels = ", ".join(self.label(i) for i in range(len(own)))
            whole = f"SELECT {labels} FROM ({left} {word} {right})"
            text = f"{self.tables}{whole}{self.order}{self.limit}"
        else:
            text = f"{self.tables}{left} {self.word} {right}{self.order}{self.limit}"
        wanted = [kind or mine for kind, mine in zip(kinds or own, own, strict=True)]
        if wanted == own:
            return text
        listed = ", ".join(
            f"{_as(Typed(self.label(i), mine), kind).sql} AS {self.label(i)}"
            for i, (mine, kind) in enumerate(zip(own, wanted, strict=True))
        )
        return f"SELECT {listed} FROM ({text})"

    @property
    def is_plain(self) -> bool:
        return not (self.order or self.limit or self.tables)


def _counted(text: str, outputs: Outputs, kinds: Sequence[Type]) -> str:
    """A branch of INTERSECT ALL or EXCEPT ALL: equal rows are told apart by their number."""
    labels = [outputs.label(i) for i in range(len(kinds))]
    same = [collated(Typed(label, kind)) for label, kind in zip(labels, kinds, strict=True)]
    listed = ", ".join(f"{one} AS {label}" for one, label in zip(same, labels, strict=True))
    number = f"row_number() OVER (PARTITION BY {', '.join(same)}) AS n"
    return f"SELECT {listed}, {number} FROM ({text})"


def _is_plain(outputs: Outputs) -> bool:
    return isinstance(outputs, Selected | Rows | SetOperation) and outputs.is_plain
