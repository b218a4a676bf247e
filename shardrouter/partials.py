"""Aggregates in two steps: of each shard's rows there, and of what the shards answer here.

A sum of sums, a least of the least; a count is a sum of counts, an average two sums, a variance a
count and two sums (`pg_moments_numeric`). Exact ones alone: the sum of floats depends on the order
of the rows, and what shows that order needs them. An aggregate of DISTINCT values is finished here
too: the shards group by the values as well, so that each comes once from a shard.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from shardrouter.planned import Total
from shardrouter.sqlite_text import relations_read
from shardrouter.typed import Typed, collated
from shardrouter.types import Type

__all__ = ["Called", "Split"]

_AGAIN: Final = frozenset(
    {"sum", "min", "max", "pg_sum_numeric", "pg_bit_and", "pg_bit_or", "pg_bit_xor"}
)
"""Of their own answers they make the answer for all rows."""

_OF_MOMENTS: Final = {
    f"pg_{name}_numeric": f"pg_{name}_moments"
    for name in ("var_samp", "var_pop", "stddev_samp", "stddev_pop")
}
"""What is made of count, sum and sum of squares -> the same of those of all shards."""

_COLLATION: Final = re.compile(r" COLLATE \w+\Z")


@dataclass(frozen=True)
class Called:
    """An aggregate as the nodes' SQLite reads it, its FILTER apart."""

    text: str
    filter: str
    type: Type

    @property
    def function(self) -> str:
        return self.text.partition("(")[0]

    @property
    def argument(self) -> str:
        return self.text.partition("(")[2].removesuffix(")").removeprefix("DISTINCT ")

    @property
    def is_distinct(self) -> bool:
        return self.text.partition("(")[2].startswith("DISTINCT ")

    @property
    def can_split(self) -> bool:
        if self.is_distinct and (self.filter or not relations_read(self.argument)):
            return False  # a number in GROUP BY would be a position to SQLite
        return self.function in {"count", "pg_avg_numeric", *_OF_MOMENTS, *_AGAIN}


class Split:
    """Of one SELECT: the columns of its fragment, and FROM and WHERE of that."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.body = ""
        self._groups: dict[str, str] = {}  # what is grouped by -> its column
        self._partials: dict[str, str] = {}
        self._totals: dict[str, tuple[str, str]] = {}  # of the finish -> its column, and how

    def group(self, typed: Typed) -> Typed:
        """Something that is grouped by, as the finish calls it."""
        column = self._groups.setdefault(collated(typed), f"g{len(self._groups) + 1}")
        return Typed(f"{self.name}.{column}", typed.type, modifier=typed.modifier)

    def aggregate(self, called: Called) -> str:
        """What the finish makes of what the shards answer."""
        function, argument = called.function, called.argument
        if called.is_distinct:
            found = _COLLATION.search(argument)
            collation = found[0] if found is not None else ""
            column = self._groups.setdefault(argument, f"g{len(self._groups) + 1}")
            return f"{function}(DISTINCT {self.name}.{column}{collation})"
        if function == "count":
            column = self._partial(called.text, called)
            return self._total(f"coalesce(sum({column}), 0)", column, function)
        if function == "pg_avg_numeric":
            total = self._partial(f"pg_sum_numeric({argument})", called)
            count = self._partial(f"count({argument})", called)
            return f"pg_div_numeric(pg_sum_numeric({total}), pg_cast_numeric(sum({count})))"
        if function in _OF_MOMENTS:
            moments = self._partial(f"pg_moments_numeric({argument})", called)
            return f"{_OF_MOMENTS[function]}({moments})"
        column = self._partial(called.text, called)
        if function in ("min", "max"):
            return self._total(
                f"{function}({collated(Typed(column, called.type))})", column, function
            )
        return self._total(f"{function}({column})", column, function)

    def _total(self, text: str, column: str, function: str) -> str:
        self._totals[text] = column, function
        return text

    def totals(self, finish: str, items: Sequence[str]) -> tuple[Total, ...]:
        """If the finish is these `items` and no more, each of them the total of a column: which."""
        if self._groups or finish != f"SELECT {', '.join(items)} FROM {self.name}":  # noqa: S608 -- our own names
            return ()
        found = []
        for item in items:
            column, function = self._totals.get(item, ("", ""))
            if function not in ("count", "sum", "min", "max"):
                return ()
            at = self.columns.index(column.removeprefix(f"{self.name}."))
            found.append(Total(at, cast("Literal['count', 'sum', 'min', 'max']", function)))
        return tuple(found)

    def _partial(self, text: str, called: Called) -> str:
        whole = text + called.filter
        return f"{self.name}.{self._partials.setdefault(whole, f'p{len(self._partials) + 1}')}"

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self._groups.values(), *self._partials.values()) or ("p0",)

    def text(self, *, is_grouped: bool) -> str:
        """Of the fragment."""
        found = {**self._groups, **self._partials}
        listed = ", ".join(f"{text} AS {column}" for text, column in found.items())
        if not is_grouped and not self._groups:
            return f"SELECT {listed or 'count(*) AS p0'}{self.body}"
        groups = ", ".join(self._groups) or "NULL"
        return f"SELECT {listed or '1 AS p0'}{self.body} GROUP BY {groups}"
