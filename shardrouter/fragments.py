"""What of a query the shards answer (docs/distributed.md): each table is fetched for itself.

A query that no single shard can answer is understood once more, with a `Cut`: its text is then
that of the finish, in which every table of its FROM is called by the number of its relation, and
the cut knows which rows and columns of each the shards have to give. A condition of one table
alone goes to the shards too; the finish has it all the same, so that pushing one is never more
than fetching less.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from nodes.functions import (
    BUILTINS,
    FUNCTIONS,
    NOW,
    OVERRIDDEN,
    RANDOM,
    RANDOM_UUID,
    UUID_V7,
)
from shardrouter import types
from shardrouter.errors import NotSupported
from shardrouter.locality import Located, body, whole
from shardrouter.made_keys import UNIQUE_ID_CALL
from shardrouter.partials import Split
from shardrouter.placing import Pins, key_type
from shardrouter.planned import Fragment, Total
from shardrouter.sqlite_text import Named, names_of, relations_read, renamed, renumbered, words
from shardrouter.tables import Column, Placement, Table
from shardrouter.typed import connected, quote
from shardrouter.types import Type

if TYPE_CHECKING:
    from shardrouter.relations import Statement
    from shardrouter.translate import Scope

__all__ = ["Cut", "decided", "fragment_of", "is_fetched", "is_momentary", "locked", "name_of"]

_KEYWORDS: Final = frozenset(
    [
        "AND",
        "OR",
        "NOT",
        "IS",
        "NULL",
        "IN",
        "LIKE",
        "ESCAPE",
        "BETWEEN",
        "CASE",
        "WHEN",
        "THEN",
        "ELSE",
        "END",
        "CAST",
        "AS",
        "COLLATE",
        "GLOB",
        "X",
        "INTEGER",
        "TEXT",
        "REAL",
        "BLOB",
        "TRUE",
        "FALSE",
        "DISTINCT",
        "FROM",
    ]
)
_FETCHED: Final = "f"
_MOMENTARY: Final = (OVERRIDDEN - {"lower", "upper"}) | {
    *(NOW, RANDOM, RANDOM_UUID, UUID_V7),
    UNIQUE_ID_CALL,
}

_WHERE: Final[dict[Placement, Literal["shards", "home", "any"]]] = {
    "sharded": "shards",
    "home": "home",
    "reference": "any",
}


@dataclass(frozen=True)
class Pushed:
    """A SELECT, by the index of its scope, that the shards answer: `whole`, or grouped first."""

    located: Located
    is_whole: bool


@dataclass(frozen=True)
class _Whole:
    """What the shards answer of a SELECT that they answer whole."""

    name: str
    text: str
    kinds: tuple[Type, ...]
    index: int


def decided(statement: Statement) -> dict[int, Pushed]:
    """What the shards are to answer of a statement that was understood as a whole, outermost
    queries first: what is in one of those goes with it."""
    found: dict[int, Pushed] = {}
    ends = 0
    for scope in statement.scopes:
        if scope.index < ends or scope.form is None:
            continue
        located = None if scope.index == 0 or scope.outer_reads else whole(scope)
        if located is not None and located.columns:
            found[scope.index] = Pushed(located, True)
            ends = scope.end
            continue
        located = _grouped(scope)
        if located is not None and located.columns:
            found[scope.index] = Pushed(located, False)
            ends = scope.end
    return found


def _grouped(scope: Scope) -> Located | None:
    """If it can be grouped on the shards first: where the rows are that it groups."""
    form = scope.form
    assert form is not None
    node = form.node
    if node.grouping or scope.sets or scope.outer_reads or not (scope.aggregates or node.group):
        return None
    return body(scope) if all(called.can_split for called in scope.calls) else None


class Cut:
    """Of one statement, while it is understood for the finish."""

    def __init__(
        self, pushed: Mapping[int, Pushed], sent: Mapping[int, str] | None = None, depth: int = 0
    ) -> None:
        self.depth = depth
        """Of what is being understood for a shard: there, a table is called by its name."""
        self.sent = sent or {}
        """Of tables whose rows are sent to the shards (`shardrouter.broadcasting`): what they are
        called there."""
        self._pushed = pushed
        self._sources: dict[int, Table] = {}
        self._filters: dict[int, list[str]] = {}
        self._wholes: dict[str, _Whole] = {}
        self._splits: dict[str, tuple[Split, Scope]] = {}
        self._read: tuple[str, Named] = ("", Named({}, frozenset()))

    @contextmanager
    def pushing(self) -> Iterator[None]:
        """What is understood now is for the shards."""
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    def is_pushed(self, scope: Scope) -> bool:
        """Whether the shards answer its query whole."""
        found = self._pushed.get(scope.index)
        return self.depth == 0 and found is not None and found.is_whole

    def split_of(self, scope: Scope) -> Split | None:
        """If the shards group its rows first: what they have of it."""
        found = self._pushed.get(scope.index)
        if self.depth or found is None or found.is_whole:
            return None
        split = Split(f"b{scope.index}")
        self._splits[split.name] = (split, scope)
        return split

    def whole(self, scope: Scope, text: str, kinds: Sequence[Type]) -> str:
        """The table of what the shards answer to a query in these words."""
        found = self._wholes.get(text)
        if found is None:
            name = f"b{scope.index}" + "_" * sum(
                w.index == scope.index for w in self._wholes.values()
            )
            found = self._wholes[text] = _Whole(name, text, tuple(kinds), scope.index)
        return found.name

    def source(self, number: int, table: Table) -> str:
        """A table of FROM: what it is called."""
        if self.depth:
            return self.sent.get(number) or quote(table.name)
        self._sources[number] = table
        return name_of(number)

    def rows_alone(self, statement: Statement, text: str, read: Named) -> str:
        """The finish if the shards give rows of tables and no more: `text`, the statement as it was
        understood, which names what is `read`; without it all would be understood once more to say
        the same."""
        named = {number: table for scope in statement.scopes for number, table in scope.named}
        self._sources = dict(sorted(named.items()))
        for condition, restricted in statement.conditions:
            self.filter(condition, restricted)
        made, used = renamed(text, {number: name_of(number) for number in named})
        self._read = made, Named(read.columns, read.words | used)
        return made

    def filter(self, text: str, restricted: frozenset[int]) -> None:
        """A condition: rows of the `restricted` relations count only if it is true."""
        if self.depth:
            return
        read = relations_read(text)
        if len(read) == 1 and read <= restricted & self._sources.keys() and is_pure(text):
            self._filters.setdefault(next(iter(read)), []).append(text)

    def is_complete(self, text: str) -> bool:
        """Whether the finish names no column of a table that only the shards know."""
        return self._named_in(text).columns.keys() <= self._sources.keys()

    def _named_in(self, text: str) -> Named:
        """What the finish names: it is read once."""
        if self._read[0] != text:
            self._read = text, names_of(text)
        return self._read[1]

    def totals(self, text: str, items: Sequence[str]) -> tuple[Total, ...]:
        """If the finish `text` is these `items` and each of them the total of a column of its one
        fragment: which."""
        if len(self._splits) != 1:
            return ()
        [(split, _)] = self._splits.values()
        return split.totals(text, items)

    def fetched(self, text: str) -> list[tuple[int, list[Column]]]:
        """The tables of which the finish `text` names rows, and the columns of them: those first of
        which the least may be fetched."""
        read, named = self._named_in(text)
        found = [
            (number not in self._filters, table.placement != "home", -number, table)
            for number, table in self._sources.items()
            if name_of(number) in named
        ]
        return [
            (-number, _named(table, read.get(-number, frozenset())))
            for _, _, number, table in sorted(found, key=lambda each: each[:3])
        ]

    def fragments(self, text: str, pins: Pins) -> tuple[Fragment, ...]:
        """Of the finish `text`: those that it names."""
        read, named = self._named_in(text)
        found = [
            self._fragment(number, table, read.get(number, frozenset()), pins)
            for number, table in self._sources.items()
        ]
        found += [self._of_whole(each, pins) for each in self._wholes.values()]
        found += [self._of_split(split, scope, pins) for split, scope in self._splits.values()]
        return tuple(fragment for fragment in found if fragment.name in named)

    def _fragment(self, number: int, table: Table, read: Iterable[str], pins: Pins) -> Fragment:
        columns = _named(table, read)
        listed = ", ".join(f"t{number}.{quote(column.name)}" for column in columns) or "1"
        filters = self._filters.get(number, [])
        where = f" WHERE {connected('AND', filters)}" if filters else ""
        text = f"SELECT {listed} FROM {quote(table.name)} AS t{number}{where}"  # noqa: S608 -- quoted names
        made = tuple(f"{quote(c.name)} {types.of_column(c.type).column}" for c in columns)
        is_sharded = table.placement == "sharded"
        columns_of_key = frozenset({(number, table.shard_key)} if is_sharded else ())
        located = Located(columns_of_key, key_type=key_type(table) if is_sharded else "")
        return fragment_of(
            name_of(number),
            text,
            located,
            pins,
            f"rows of {table.relname} to be finished here",
            columns=made or ('"_" INTEGER',),
            where=_WHERE[table.placement],
        )

    def _of_whole(self, each: _Whole, pins: Pins) -> Fragment:
        located = self._pushed[each.index].located
        columns = tuple(f"c{i + 1} {kind.column}" for i, kind in enumerate(each.kinds)) or (
            "c0 ANY",
        )
        why = "a subquery of rows with one key"
        return fragment_of(each.name, each.text, located, pins, why, columns=columns)

    def _of_split(self, split: Split, scope: Scope, pins: Pins) -> Fragment:
        assert scope.form is not None
        located = self._pushed[scope.index].located
        text = split.text(is_grouped=bool(scope.form.node.group))
        columns = tuple(f"{name} ANY" for name in split.columns)
        why = "groups, of each shard's own rows"
        return fragment_of(split.name, text, located, pins, why, columns=columns)


def _named(table: Table, names: Iterable[str]) -> list[Column]:
    return [column for column in table.columns if column.name in names]


def is_fetched(fragment: Fragment) -> bool:
    """Whether it is rows of a table to be finished here."""
    return fragment.name.startswith(_FETCHED)


def fragment_of(
    name: str,
    text: str,
    located: Located,
    pins: Pins,
    why: str,
    *,
    columns: tuple[str, ...] = (),
    where: Literal["shards", "home", "any"] = "shards",
) -> Fragment:
    """What is asked of the shards that have rows there."""
    sql, parameters = renumbered(text)
    keys = min((pins[c] for c in located.columns if c in pins), key=len, default=())
    return Fragment(name, sql, parameters, columns, where, located.key_type, keys, why)


def name_of(number: int) -> str:
    return f"{_FETCHED}{number}"


def is_momentary(read: Named) -> bool:
    """Whether who names this asks a clock or a random source, of which one statement has one."""
    return not read.words.isdisjoint(_MOMENTARY)


def is_pure(text: str) -> bool:
    """Whether a condition means the same wherever and whenever it is computed: no query in it, no
    clock and no chance."""
    return all(word in _KEYWORDS or word in FUNCTIONS or word in BUILTINS for word in words(text))


def locked() -> NotSupported:
    return NotSupported(
        "FOR UPDATE of rows of several shards is not supported",
        hint="Pin the shard key to one value.",
    )
