"""What PostgreSQL checks while a query runs, and SQLite does not; and sums of floats."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from nodes.pgtypes.floats import to_real
from nodes.pgtypes.formats import Aggregate, Function, FunctionError
from nodes.pgtypes.integers import integer_of
from nodes.pgtypes.strings import string_of
from nodes.protocol import Value

__all__ = ["AGGREGATES", "FUNCTIONS", "RECURSION_ROWS_MAX", "recursed"]

RECURSION_ROWS_MAX: Final = 1_000_000
"""Rows that the recursive queries of one statement may make: an end for those without one."""


def recursed(rows: int) -> bool:
    """Another row of a recursive query: the `rows`th of the statement."""
    if rows > RECURSION_ROWS_MAX:
        raise FunctionError("54000", f"a recursive query made more than {RECURSION_ROWS_MAX} rows")
    return True


def _at_most_one(rows: Value) -> bool:
    if type(rows) is int and rows > 1:
        raise FunctionError(
            "21000", "more than one row returned by a subquery used as an expression"
        )
    return True


def _once(rows: Value) -> bool:
    if type(rows) is int and rows > 1:
        raise FunctionError(
            "21000", "ON CONFLICT DO UPDATE command cannot affect row a second time"
        )
    return True


def _once_or_refused(rows: Value) -> bool:
    """PostgreSQL takes a key twice as long as the WHERE has left out all but the last."""
    if type(rows) is int and rows > 1:
        raise FunctionError(
            "0A000",
            "ON CONFLICT DO UPDATE ... WHERE of several rows with the same key is not supported",
            hint="Send one INSERT per row.",
        )
    return True


def _series_step(step: Value) -> Value:
    if step == 0:
        raise FunctionError("22023", "step size cannot equal zero")
    return step


def _row(*values: Value) -> str:
    """A row of a query in FROM that reads what stands before it, as one value."""
    return json.dumps([value.hex() if type(value) is bytes else value for value in values])


def _cell(row: Value, at: Value) -> Value:
    found: Value = json.loads(string_of(row))[integer_of(at)]
    return found


def _cell_of_bytes(row: Value, at: Value) -> bytes | None:
    found = _cell(row, at)
    return None if found is None else bytes.fromhex(string_of(found))


@lru_cache(maxsize=64)
def _runs(text: str) -> tuple[range, ...]:
    return tuple(range(*map(int, run.split())) for run in text.split(",") if run)


def _drawn(runs: Value, row: Value) -> int | bytes:
    """The number for the `row`th row (from 1) of an INSERT from a query: `runs` are those that were
    drawn when its rows had been counted, each as first, end and step; of UUIDs each as it is."""
    at = integer_of(row) - 1
    if isinstance(runs, bytes):
        if drawn := runs[16 * at : 16 * at + 16]:
            return drawn
        runs = ""
    for run in _runs(string_of(runs)):
        if at < len(run):
            return run[at]
        at -= len(run)
    raise FunctionError("40001", "could not serialize access due to concurrent update")


class _FloatSum:
    """sum() of double precision, in the order of the rows. A window that moves sums anew, from
    the rows it holds: taking a float back does not give what was there before."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: deque[float] = deque()

    def step(self, value: Value) -> None:
        if value is not None:
            assert isinstance(value, int | float)
            self._values.append(float(value))

    def inverse(self, value: Value) -> None:
        if value is not None:
            assert isinstance(value, int | float)
            self._values.remove(float(value))  # the oldest: a window loses rows at its start

    def total(self) -> float:
        result = -0.0  # what adding to leaves every number as it is, -0.0 too
        for value in self._values:
            result += value
        if math.isinf(result) and all(map(math.isfinite, self._values)):
            raise FunctionError("22003", "value out of range: overflow")
        if result != result:
            raise FunctionError("0A000", "NaN is not supported as a value of type double precision")
        return result

    def value(self) -> Value:
        return self.total() if self._values else None

    def finalize(self) -> Value:
        return self.value()


class _RealSum(_FloatSum):
    """sum() of real, which adds in single precision."""

    __slots__ = ()

    def total(self) -> float:
        result = -0.0
        for value in self._values:
            result = to_real(result + value)
        return result


class _FloatAverage(_FloatSum):
    """avg(), whose sum begins with 0: that of -0 is 0."""

    __slots__ = ()

    def value(self) -> Value:
        return (0.0 + self.total()) / len(self._values) if self._values else None


FUNCTIONS: Final[Mapping[str, Function]] = {
    "pg_at_most_one": Function(1, _at_most_one),
    "pg_once": Function(1, _once),
    "pg_once_or_refused": Function(1, _once_or_refused),
    "pg_series_step": Function(1, _series_step),
    "pg_row": Function(-1, _row, strict=False),
    "pg_cell": Function(2, _cell),
    "pg_cellbytes": Function(2, _cell_of_bytes),
    "pg_drawn": Function(2, _drawn),
}

AGGREGATES: Final[Mapping[str, Aggregate]] = {
    "pg_sum_float8": Aggregate(1, _FloatSum),
    "pg_sum_float4": Aggregate(1, _RealSum),
    "pg_avg_float8": Aggregate(1, _FloatAverage),
}
