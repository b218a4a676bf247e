"""Aggregates of statistics and bits, exact where PostgreSQL's are, and in its scale.

Of integers and numerics variance is computed from exact sums (numeric.c: numeric_stddev_internal);
of doubles by Youngs and Cramer's updates, as float8.c does, so that rounding is alike.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from nodes.pgtypes import numerics
from nodes.pgtypes.floats import float_of
from nodes.pgtypes.formats import Aggregate, FunctionError
from nodes.pgtypes.integers import integer_of
from nodes.protocol import Value

__all__ = ["AGGREGATES"]


class _Kept(ABC):
    """Keeps its rows; a window that moves computes anew from those it holds."""

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows: list[tuple[Value, ...]] = []

    def step(self, *values: Value) -> None:
        if None not in values:
            self._rows.append(values)

    def inverse(self, *values: Value) -> None:
        if None not in values:
            self._rows.remove(values)  # the oldest: a window loses rows at its start

    @abstractmethod
    def value(self) -> Value:
        """Of the rows that are there."""

    def finalize(self) -> Value:
        return self.value()


# --------------------------------------------------------------------------- variance


def _number(value: Value) -> Decimal:
    return Decimal(value) if type(value) is int else Decimal(str(value))


class _Moments(NamedTuple):
    """How many numbers, their sum and that of their squares, exact; NaN if one is not finite. As
    text three words, of which nothing is lost: `3 4.50 8.1250`."""

    rows: int
    total: Decimal
    squares: Decimal

    @staticmethod
    def of(numbers: Iterable[Decimal]) -> _Moments:
        return _Moments.added(_Moments(1, number, _squared(number)) for number in numbers)

    @staticmethod
    def added(parts: Iterable[_Moments]) -> _Moments:
        """Of all that they are of. Exact sums have one value and one scale in any order."""
        add = numerics.EXACT.add
        rows, total, squares = 0, Decimal(0), Decimal(0)
        for part in parts:
            rows += part.rows
            total, squares = add(total, part.total), add(squares, part.squares)
        return _Moments(rows, total, squares)

    @staticmethod
    def read(text: str) -> _Moments:
        rows, total, squares = text.split(" ")
        return _Moments(int(rows), Decimal(total), Decimal(squares))

    @property
    def text(self) -> str:
        return f"{self.rows} {self.total} {self.squares}"

    def variance(self, *, is_sample: bool, is_root: bool) -> Value:
        """Or the root of it; None of too few numbers."""
        if self.rows <= is_sample:
            return None
        if not self.squares.is_finite():
            return "NaN"
        exact, count = numerics.EXACT, Decimal(self.rows)
        above = exact.subtract(
            exact.multiply(count, self.squares), exact.multiply(self.total, self.total)
        )
        if above <= 0:
            return "0"
        below = exact.multiply(count, count - 1 if is_sample else count)
        found = numerics.divide(above, below)
        return numerics.stored(numerics.square_root(found) if is_root else found)


def _squared(number: Decimal) -> Decimal:
    return numerics.EXACT.multiply(number, number)


class _MomentsText(_Kept):
    """What some of the rows come to, for who adds up those of others (`_VarianceOfMoments`)."""

    __slots__ = ()

    def value(self) -> Value:
        return _Moments.of(_number(row[0]) for row in self._rows).text


class _Variance(_Kept):
    """Of integers and numerics."""

    __slots__ = ()
    is_sample = True
    is_root = False

    def value(self) -> Value:
        return self._moments().variance(is_sample=self.is_sample, is_root=self.is_root)

    def _moments(self) -> _Moments:
        return _Moments.of(_number(row[0]) for row in self._rows)


class _VarianceOfMoments(_Variance):
    """Of what several have found of their own rows."""

    __slots__ = ()

    def _moments(self) -> _Moments:
        return _Moments.added(_Moments.read(str(row[0])) for row in self._rows)


class _FloatVariance(_Kept):
    __slots__ = ()
    is_sample = True
    is_root = False

    def value(self) -> Value:
        if len(self._rows) <= self.is_sample:
            return None
        count = total = deviation = 0.0
        for row in self._rows:
            number = float_of(row[0])
            count += 1
            total += number
            if count > 1:
                part = number * count - total
                deviation += part * part / (count * (count - 1))
        if math.isinf(deviation) and all(math.isfinite(float_of(row[0])) for row in self._rows):
            raise FunctionError("22003", "value out of range: overflow")
        found = deviation / (count - 1 if self.is_sample else count)
        if found != found or not all(math.isfinite(float_of(row[0])) for row in self._rows):
            raise FunctionError("0A000", "NaN is not supported as a value of type double precision")
        return math.sqrt(found) if self.is_root else found


def _variants(base: type[_Kept], short: str) -> dict[str, Aggregate]:
    found = {}
    for name, is_sample, is_root in (
        ("var_samp", True, False), ("var_pop", False, False),
        ("stddev_samp", True, True), ("stddev_pop", False, True),
    ):  # fmt: skip
        members = {"__slots__": (), "is_sample": is_sample, "is_root": is_root}
        kind: Callable[[], _Kept] = type(f"_{name}_{short}", (base,), members)
        found[f"pg_{name}_{short}"] = Aggregate(1, kind)
    return found


# --------------------------------------------------------------------------- regression


class _Regression(_Kept):
    """Of pairs (y, x): sums and sums of squares, updated as float8_regr_accum does."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def value(self) -> Value:
        n = sx = sxx = sy = syy = sxy = 0.0
        for row in self._rows:
            y, x = float_of(row[0]), float_of(row[1])
            n += 1
            sx += x
            sy += y
            if n == 1:  # what is not finite is not lost where there is but one
                sxx, syy, sxy = x - x, y - y, (x - x) * (y - y)
            else:
                tx, ty = x * n - sx, y * n - sy
                scale = 1.0 / (n * (n - 1))
                sxx += tx * tx * scale
                syy += ty * ty * scale
                sxy += tx * ty * scale
        found = self._found(n, sx, sxx, sy, syy, sxy)
        if found != found:
            raise FunctionError("0A000", "NaN is not supported as a value of type double precision")
        return found

    def _found(self, n: float, sx: float, sxx: float, sy: float, syy: float, sxy: float) -> Value:
        name = self._name
        if n < 1 or (name == "covar_samp" and n < 2):
            return None
        match name:
            case "sxx":
                return sxx
            case "syy":
                return syy
            case "sxy":
                return sxy
            case "avgx":
                return sx / n
            case "avgy":
                return sy / n
            case "covar_pop":
                return sxy / n
            case "covar_samp":
                return sxy / (n - 1)
            case "corr":
                return None if sxx == 0 or syy == 0 else sxy / math.sqrt(sxx * syy)
            case "r2":
                if sxx == 0:
                    return None
                return 1.0 if syy == 0 else (sxy * sxy) / (sxx * syy)
            case "slope":
                return None if sxx == 0 else sxy / sxx
        return None if sxx == 0 else (sy - sx * sxy / sxx) / n  # intercept


_REGRESSIONS: Final = (
    "sxx", "syy", "sxy", "avgx", "avgy", "covar_pop", "covar_samp", "corr", "r2",
    "slope", "intercept",
)  # fmt: skip


def _regression(name: str) -> Aggregate:
    return Aggregate(2, lambda: _Regression(name))


# --------------------------------------------------------------------------- bits


class _Bits(_Kept):
    __slots__ = ("_combine",)

    def __init__(self, combine: Callable[[int, int], int]) -> None:
        super().__init__()
        self._combine = combine

    def value(self) -> Value:
        if not self._rows:
            return None
        found = integer_of(self._rows[0][0])
        for row in self._rows[1:]:
            found = self._combine(found, integer_of(row[0]))
        return found


AGGREGATES: Final[Mapping[str, Aggregate]] = {
    **_variants(_Variance, "numeric"),
    **_variants(_FloatVariance, "float8"),
    **_variants(_VarianceOfMoments, "moments"),
    "pg_moments_numeric": Aggregate(1, _MomentsText),
    **{f"pg_regr_{name}": _regression(name) for name in _REGRESSIONS},
    "pg_bit_and": Aggregate(1, lambda: _Bits(lambda a, b: a & b)),
    "pg_bit_or": Aggregate(1, lambda: _Bits(lambda a, b: a | b)),
    "pg_bit_xor": Aggregate(1, lambda: _Bits(lambda a, b: a ^ b)),
}
