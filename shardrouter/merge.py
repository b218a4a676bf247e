"""From the rows of several shards to the rows of the answer, piece by piece.

Every shard has sorted its rows as SQLite does and cut them at limit + offset; here sorted
streams become one. Values compare as in SQLite's columns of one type: numbers by value, text
by code point (which is the order of its UTF-8 bytes, PostgreSQL's collation C), NULL where
the sort key says.

What may be told of sorted streams that are not over is all up to the least of their last rows: the
rows up to there are sorted at once, which for a few runs that are sorted is a merge.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import cmp_to_key
from typing import Any, Final, TypeAlias

from nodes.functions import COLLATIONS
from nodes.protocol import Value
from shardrouter.planned import Constant, Merge, Operand, OrderKey, Total

__all__ = ["Merger", "merge_rows", "totalled"]

Row: TypeAlias = tuple[Value, ...]

_HOW: Final[dict[str, Callable[[list[int]], int]]] = {"sum": sum, "min": min, "max": max}
_BIGINT_MAX: Final = (1 << 63) - 1


class Merger:
    """For one query. `arguments` must have passed `shardrouter.plan.bind`.

    while not merger.is_over:
        for source in merger.wanted():
            merger.feed(source, some rows more, is_over=...)
        rows of the answer = merger.take()

    Without ORDER BY the pieces come in the order in which they were fed: SQL promises none, but one
    plan over the same data always answers the same.
    """

    def __init__(self, plan: Merge, sources: int, arguments: Sequence[Value]) -> None:
        self._hidden = plan.hidden
        self._key = _sort_key(plan.order) if plan.order else None
        self._skip = _bound(plan.offset, arguments) or 0
        self._left = _bound(plan.limit, arguments)
        self._open = dict.fromkeys(range(sources))  # of which there is more
        self._held: list[list[Row]] = [[] for _ in range(sources)]

    @property
    def is_over(self) -> bool:
        """There are no more rows of the answer."""
        return self._left == 0 or not (self._open or any(self._held))

    def wanted(self) -> list[int]:
        """The sources of which some rows have to be known before there are more of the answer."""
        return [source for source in self._open if not self._held[source]]

    def feed(self, source: int, rows: Sequence[Row], *, is_over: bool) -> None:
        """Some rows more of a source, perhaps the last."""
        self._held[source] += rows
        if is_over:
            self._open.pop(source, None)

    def take(self) -> list[Row]:
        """The rows of the answer that are known and were not taken yet."""
        rows = self._unsorted() if self._key is None else self._sorted(self._key)
        if self._skip:
            skipped = min(self._skip, len(rows))
            self._skip -= skipped
            rows = rows[skipped:]
        if self._left is not None:
            rows = rows[: min(self._left, len(rows))]
            self._left -= len(rows)
        return [row[: -self._hidden] for row in rows] if self._hidden else rows

    def _unsorted(self) -> list[Row]:
        rows = [row for held in self._held for row in held]
        self._held = [[] for _ in self._held]
        return rows

    def _sorted(self, key: Callable[[Row], Any]) -> list[Row]:
        if self.wanted():
            return []
        until = min(((key(self._held[source][-1]), source) for source in self._open), default=None)
        rows: list[Row] = []
        for source, held in enumerate(self._held):
            end = len(held)
            if until is not None:
                # Of equal rows those of the first source come first, whatever the pieces.
                bisect = bisect_right if source <= until[1] else bisect_left
                end = bisect(held, until[0], key=key)
            rows += held[:end]
            self._held[source] = held[end:]
        rows.sort(key=key)
        return rows


def merge_rows(
    plan: Merge, shard_rows: Sequence[Sequence[Row]], arguments: Sequence[Value]
) -> list[Row]:
    """The answer, from all rows of each shard in the order the shards gave them."""
    merger = Merger(plan, len(shard_rows), arguments)
    for source, rows in enumerate(shard_rows):
        merger.feed(source, rows, is_over=True)
    return merger.take()


def totalled(totals: Sequence[Total], rows: Sequence[Row]) -> Row | None:
    """The one row that a finish of these `totals` answers; None if more than integers that are no
    larger than a bigint came, or make the answer: then it is the finish's matter."""
    found: list[Value] = []
    for total in totals:
        values = [row[total.column] for row in rows]
        numbers = [value for value in values if type(value) is int]
        if len(numbers) + values.count(None) < len(values):
            return None
        if total.how == "count":
            made: int | None = sum(numbers)
        elif not numbers:
            made = None
        else:
            made = _HOW[total.how](numbers)
        if made is not None and abs(made) > _BIGINT_MAX:
            return None
        found.append(made)
    return tuple(found)


def _bound(operand: Operand | None, arguments: Sequence[Value]) -> int | None:
    if operand is None:
        return None
    value = operand.value if isinstance(operand, Constant) else arguments[operand.number - 1]
    if value is not None and type(value) is not int:
        raise TypeError(f"{value!r} is no number of rows")
    return value


def _sort_key(order: Sequence[OrderKey]) -> Callable[[Row], Any]:
    if any(key.descending or key.collation for key in order):
        return cmp_to_key(_comparison(order))
    # Ascending: a tuple (is the value on the NULL's far side, value) sorts without a call per
    # comparison. A NULL's place is taken by 0, which is never compared with a value.
    places = [(key.index, key.nulls_first) for key in order]

    def ascending(row: Row) -> tuple[tuple[bool, Any], ...]:
        return tuple(
            (not nulls_first, 0) if row[index] is None else (nulls_first, row[index])
            for index, nulls_first in places
        )

    return ascending


def _comparison(order: Sequence[OrderKey]) -> Callable[[Row, Row], int]:
    def compare(left: Row, right: Row) -> int:
        for key in order:
            a: Any = left[key.index]
            b: Any = right[key.index]
            if a is None or b is None:
                if a is b:
                    continue
                return -1 if (a is None) == key.nulls_first else 1
            compared = COLLATIONS[key.collation](a, b) if key.collation else (a > b) - (a < b)
            if compared:
                return -compared if key.descending else compared
        return 0

    return compare
