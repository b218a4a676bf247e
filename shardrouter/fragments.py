"""What of a query the shards answer (docs/distributed.md): each table is fetched for itself.

A query that no single shard can answer is understood once more, with a `Cut`: its text is then
that of the finish, in which every table of its FROM is called by the number of its relation, and
the cut knows which rows and columns of each the shards have to give. A condition of one table
alone goes to the shards too; the finish has it all the same, so that pushing one is never more
than fetching less.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from nodes.functions import BUILTINS, FUNCTIONS, NOW, OVERRIDDEN, RANDOM, RANDOM_UUID
from shardrouter import types
from shardrouter.errors import NotSupported
from shardrouter.placing import Pins, key_type
from shardrouter.planned import Fragment
from shardrouter.sqlite_text import columns_read, relations_read, renumbered, words
from shardrouter.tables import Placement, Table
from shardrouter.typed import connected, quote

__all__ = ["Cut", "is_momentary", "locked", "name_of"]

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
_MOMENTARY: Final = (OVERRIDDEN - {"lower", "upper"}) | {NOW, RANDOM, RANDOM_UUID}

_WHERE: Final[dict[Placement, Literal["shards", "home", "any"]]] = {
    "sharded": "shards",
    "home": "home",
    "reference": "any",
}


class Cut:
    """Of one statement, while it is understood for the finish."""

    def __init__(self) -> None:
        self._sources: dict[int, Table] = {}
        self._filters: dict[int, list[str]] = {}

    def source(self, number: int, table: Table) -> str:
        """A table of FROM: what it is called in the finish."""
        self._sources[number] = table
        return name_of(number)

    def filter(self, text: str, restricted: frozenset[int]) -> None:
        """A condition: rows of the `restricted` relations count only if it is true."""
        read = relations_read(text)
        if len(read) != 1 or not read <= restricted or not read <= self._sources.keys():
            return
        if is_pure(text):
            self._filters.setdefault(next(iter(read)), []).append(text)

    def fragments(self, text: str, pins: Pins) -> tuple[Fragment, ...]:
        """Of the finish `text`: those that it names."""
        read = columns_read(text)
        named = words(text)
        return tuple(
            self._fragment(number, table, read.get(number, frozenset()), pins)
            for number, table in self._sources.items()
            if name_of(number) in named
        )

    def _fragment(self, number: int, table: Table, read: Iterable[str], pins: Pins) -> Fragment:
        columns = [column for column in table.columns if column.name in read]
        listed = ", ".join(f"t{number}.{quote(column.name)}" for column in columns) or "1"
        filters = self._filters.get(number, [])
        where = f" WHERE {connected('AND', filters)}" if filters else ""
        text = f"SELECT {listed} FROM {quote(table.name)} AS t{number}{where}"  # noqa: S608 -- quoted names
        sql, parameters = renumbered(text)
        made = tuple(f"{quote(c.name)} {types.of_column(c.type).column}" for c in columns)
        is_sharded = table.placement == "sharded"
        keys = pins.get((number, table.shard_key), ()) if is_sharded else ()
        return Fragment(
            name_of(number),
            sql,
            parameters,
            made or ('"_" INTEGER',),
            _WHERE[table.placement],
            key_type(table) if keys else "",
            keys,
            f"rows of {table.relname}, for what is finished here",
        )


def name_of(number: int) -> str:
    return f"f{number}"


def is_momentary(text: str) -> bool:
    """Whether it asks a clock or a random source, of which one statement has one."""
    return not words(text).isdisjoint(_MOMENTARY)


def is_pure(text: str) -> bool:
    """Whether a condition means the same wherever and whenever it is computed: no query in it, no
    clock and no chance."""
    return all(word in _KEYWORDS or word in FUNCTIONS or word in BUILTINS for word in words(text))


def locked() -> NotSupported:
    return NotSupported(
        "FOR UPDATE of rows of several shards is not supported",
        hint="Pin the shard key to one value.",
    )
