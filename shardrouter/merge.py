"""From the rows of several shards to the rows of the answer.

Every shard has sorted its rows as SQLite does and cut them at limit + offset; here sorted
streams become one. Values compare as in SQLite's columns of one type: numbers by value, text
by code point (which is the order of its UTF-8 bytes, PostgreSQL's collation C), NULL where
the sort key says.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from functools import cmp_to_key
from itertools import chain, islice
from typing import Any, TypeAlias

from nodes.functions import COLLATIONS
from nodes.protocol import Value
from shardrouter.planned import Constant, Merge, Operand, OrderKey

__all__ = ["merge_rows"]

Row: TypeAlias = tuple[Value, ...]


def merge_rows(
    plan: Merge, shard_rows: Sequence[Sequence[Row]], arguments: Sequence[Value]
) -> list[Row]:
    """The answer, from the rows of each shard in the order the shards gave them.

    Without ORDER BY rows come shard by shard: SQL promises no order, but one plan over the
    same data always answers the same. `arguments` must have passed `shardrouter.plan.bind`.
    """
    rows: Iterable[Row] = chain.from_iterable(shard_rows)
    if plan.order:
        rows = heapq.merge(*shard_rows, key=_sort_key(plan.order))
    offset = _bound(plan.offset, arguments) or 0
    limit = _bound(plan.limit, arguments)
    if offset or limit is not None:
        # islice takes no bound over sys.maxsize, which is what a bigint can be at most.
        rows = islice(rows, offset, None)
        if limit is not None:
            rows = islice(rows, limit)
    if plan.hidden:
        return [row[: -plan.hidden] for row in rows]
    return list(rows)


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
