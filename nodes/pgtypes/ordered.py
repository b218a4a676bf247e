"""Aggregates whose rows have an order or are distinct: agg(x ORDER BY y), WITHIN GROUP.

SQLite hands rows over as they come, so `pg_ordered` keeps them, sorts them as PostgreSQL would and
gives them to the aggregate that it is for. Its first argument says how, in words: the aggregate's
name, how many arguments are its own, whether only distinct ones count, and of each sort key its
collation, its direction and where NULLs go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cmp_to_key
from typing import Any, Final

from nodes.pgtypes import intervals, numerics
from nodes.pgtypes.floats import float_of
from nodes.pgtypes.formats import Aggregate, FunctionError
from nodes.pgtypes.intervals import Span, load_span, store_span
from nodes.pgtypes.strings import string_of
from nodes.protocol import Value

__all__ = ["aggregates"]

ROWS_MAX: Final = 1_000_000
"""Of one group, for they are kept until its end."""

_Compare = Callable[[Any, Any], int]


def _plain(a: Any, b: Any) -> int:
    return int(a > b) - int(a < b)


def _key_order(compare: _Compare, *, is_descending: bool, nulls_first: bool) -> _Compare:
    def order(a: Any, b: Any) -> int:
        if a is None or b is None:
            found = int(a is None) - int(b is None)
            return -found if nulls_first else found
        return -compare(a, b) if is_descending else compare(a, b)

    return order


def aggregates(
    inner: Mapping[str, Aggregate], collations: Mapping[str, _Compare]
) -> Mapping[str, Aggregate]:
    """`pg_ordered` over the aggregates that are ordered by it."""

    class Ordered:
        __slots__ = ("_how", "_rows")

        def __init__(self) -> None:
            self._how = ""
            self._rows: list[tuple[Value, ...]] = []

        def step(self, how: Value, *values: Value) -> None:
            self._how = string_of(how)
            if len(self._rows) >= ROWS_MAX:
                raise FunctionError("54000", f"an ordered aggregate has more than {ROWS_MAX} rows")
            self._rows.append(values)

        def inverse(self, *_values: Value) -> None:
            raise FunctionError(
                "0A000", "aggregate ORDER BY is not implemented for window functions"
            )

        def value(self) -> Value:
            if not self._how:
                return None
            name, count, distinct, *keys = self._how.split(" ")
            own = int(count)
            orders = []
            for key in keys:
                collation, way, nulls = key.split("/")
                orders.append(
                    _key_order(
                        collations.get(collation, _plain),
                        is_descending=way == "d",
                        nulls_first=nulls == "f",
                    )
                )

            def compare(a: tuple[Value, ...], b: tuple[Value, ...]) -> int:
                pairs = zip(orders, a[own:], b[own:], strict=True)
                return next((found for order, x, y in pairs if (found := order(x, y))), 0)

            rows = sorted(self._rows, key=cmp_to_key(compare))
            if distinct == "distinct":
                rows = [row for i, row in enumerate(rows) if not i or compare(rows[i - 1], row)]
            state = (_IN_ORDER.get(name) or inner[name]).make()
            for row in rows:
                state.step(*row[:own])
            found: Value = state.finalize()
            return found

        finalize = value

    return {"pg_ordered": Aggregate(-1, Ordered)}


# --------------------------------------------------------------------------- WITHIN GROUP


class _InOrder:
    """Takes (fraction, value) in the order of the values; NULLs do not count."""

    __slots__ = ("_fraction", "_values")

    def __init__(self) -> None:
        self._fraction: float | None = None
        self._values: list[Value] = []

    def step(self, fraction: Value, value: Value) -> None:
        self._fraction = None if fraction is None else float_of(fraction)
        if value is not None:
            self._values.append(value)

    def at(self) -> float | None:
        fraction = self._fraction
        if fraction is None:
            return None
        if not 0 <= fraction <= 1:
            raise FunctionError("22003", f"percentile value {fraction:g} is not between 0 and 1")
        return fraction if self._values else None


class _Discrete(_InOrder):
    """percentile_disc(): the first value whose share of the rows is at least the fraction."""

    __slots__ = ()

    def finalize(self) -> Value:
        fraction = self.at()
        if fraction is None:
            return None
        row = math.ceil(fraction * len(self._values))
        return self._values[max(row, 1) - 1]


class _Continuous(_InOrder):
    """percentile_cont(): between the two rows that are around the fraction."""

    __slots__ = ()

    def finalize(self) -> Value:
        fraction = self.at()
        if fraction is None:
            return None
        exact = fraction * (len(self._values) - 1)
        low, high = math.floor(exact), math.ceil(exact)
        first, second = self._values[low], self._values[high]
        if low == high:
            return first
        return self.between(first, second, exact - low)

    def between(self, low: Value, high: Value, part: float) -> Value:
        a, b = float_of(low), float_of(high)
        return a + part * (b - a)


class _ContinuousInterval(_Continuous):
    __slots__ = ()

    def between(self, low: Value, high: Value, part: float) -> Value:
        a, b = load_span(low), load_span(high)
        whole = store_span(Span(*(y - x for x, y in zip(a, b, strict=True))))
        scaled = load_span(intervals.FUNCTIONS["pg_mul_interval"].call(whole, part))
        return store_span(Span(*(x + y for x, y in zip(a, scaled, strict=True))))


class _Mode:
    """mode(): the most frequent value, of several the first."""

    __slots__ = ("_best", "_best_count", "_count", "_last")

    def __init__(self) -> None:
        self._best: Value = None
        self._best_count = 0
        self._count = 0
        self._last: Value = None

    def step(self, value: Value) -> None:
        if value is None:
            return
        self._count = self._count + 1 if value == self._last else 1
        self._last = value
        if self._count > self._best_count:
            self._best, self._best_count = value, self._count

    def finalize(self) -> Value:
        return self._best


class _NumericMode(_Mode):
    """1.0 and 1.00 are equal: the first of them is shown."""

    __slots__ = ()

    def step(self, value: Value) -> None:
        last = self._last
        if value is not None and last is not None:
            is_equal = not numerics.compare(string_of(value), string_of(last))
            value = last if is_equal else value
        super().step(value)


class _Joined:
    """string_agg(): each separator is that of the row behind it."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[str] = []

    def step(self, value: Value, separator: Value) -> None:
        if value is None:
            return
        if self._parts and separator is not None:
            self._parts.append(string_of(separator))
        self._parts.append(string_of(value))

    def finalize(self) -> Value:
        return "".join(self._parts) if self._parts else None


class _JoinedBytes:
    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def step(self, value: Value, separator: Value) -> None:
        if type(value) is not bytes:
            return
        if self._parts and type(separator) is bytes:
            self._parts.append(separator)
        self._parts.append(value)

    def finalize(self) -> Value:
        return b"".join(self._parts) if self._parts else None


_IN_ORDER: Final[Mapping[str, Aggregate]] = {
    "percentile_disc": Aggregate(2, _Discrete),
    "percentile_cont": Aggregate(2, _Continuous),
    "percentile_cont_interval": Aggregate(2, _ContinuousInterval),
    "mode": Aggregate(1, _Mode),
    "mode_numeric": Aggregate(1, _NumericMode),
    "string_agg": Aggregate(2, _Joined),
    "string_agg_bytea": Aggregate(2, _JoinedBytes),
}
