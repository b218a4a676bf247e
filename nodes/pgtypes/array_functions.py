"""Functions of arrays beside the operators: removing, replacing, bounds, positions, subscripts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from nodes.pgtypes import intervals, numerics
from nodes.pgtypes.arrays import ORDERS, dump, elements, of_elements, plain
from nodes.pgtypes.formats import Function, FunctionError
from nodes.pgtypes.integers import integer_of
from nodes.protocol import Value

__all__ = ["FUNCTIONS"]

ELEMENTS_MAX: Final = 1_000_000
"""Of a series or an array that a function makes."""

_Compare = Callable[[Any, Any], int]


def _removed(order: _Compare) -> Callable[[Value, Value], str | None]:
    def removed(array: Value, unwanted: Value) -> str | None:
        if array is None:
            return None
        target = plain(unwanted)
        return dump([part for part in elements(array) if of_elements(order, part, target)])

    return removed


def _replaced(order: _Compare) -> Callable[[Value, Value, Value], str | None]:
    def replaced(array: Value, old: Value, new: Value) -> str | None:
        if array is None:
            return None
        target = plain(old)
        parts = elements(array)
        return dump([part if of_elements(order, part, target) else new for part in parts])

    return replaced


def _positions(order: _Compare) -> Callable[[Value, Value], str | None]:
    def positions(array: Value, wanted: Value) -> str | None:
        if array is None:
            return None
        target = plain(wanted)
        parts = enumerate(elements(array), 1)
        return dump([i for i, part in parts if not of_elements(order, part, target)])

    return positions


def _position_from(order: _Compare) -> Callable[[Value, Value, Value], int | None]:
    def position(array: Value, wanted: Value, start: Value) -> int | None:
        if array is None or not elements(array):
            return None
        if wanted is None and None not in elements(array):
            return None  # before the start is looked at
        if start is None:
            raise FunctionError("22004", "initial position must not be null")
        target = plain(wanted)
        for i, part in enumerate(elements(array), 1):
            if i >= integer_of(start) and not of_elements(order, part, target):
                return i
        return None

    return position


def _upper(array: Value, dimension: Value) -> int | None:
    count = len(elements(array))
    return count if count and integer_of(dimension) == 1 else None


def _lower(array: Value, dimension: Value) -> int | None:
    return 1 if elements(array) and integer_of(dimension) == 1 else None


def _dimensions(array: Value) -> str | None:
    count = len(elements(array))
    return f"[1:{count}]" if count else None


def _trimmed(array: Value, count: Value) -> str:
    parts, number = elements(array), integer_of(count)
    if not 0 <= number <= len(parts):
        raise FunctionError(
            "2202E", f"number of elements to trim must be between 0 and {len(parts)}"
        )
    return dump(parts[: len(parts) - number])


def _subscripts(array: Value, dimension: Value, is_reversed: Value) -> str:
    count = len(elements(array)) if integer_of(dimension) == 1 else 0
    found = range(count, 0, -1) if is_reversed else range(1, count + 1)
    return dump(list(found))


def _filled(value: Value, counts: Value) -> str:
    """array_fill(value, ARRAY[n])"""
    if counts is None:
        raise FunctionError("22004", "dimension array or low bound array cannot be null")
    sizes = elements(counts)
    if len(sizes) > 1:
        raise FunctionError("0A000", "arrays of several dimensions are not supported")
    if None in sizes:
        raise FunctionError("22004", "dimension values cannot be null")
    number = sizes[0] if sizes else 0
    if not 0 <= number <= ELEMENTS_MAX:
        raise FunctionError("54000", f"array size exceeds the maximum allowed ({ELEMENTS_MAX})")
    return dump([value] * number)


def _series(start: Value, stop: Value, step: Value) -> str:
    """generate_series of integers as an array."""
    first, last, by = integer_of(start), integer_of(stop), integer_of(step)
    if by == 0:
        raise FunctionError("22023", "step size cannot equal zero")
    found = range(first, last + (1 if by > 0 else -1), by)
    if len(found) > ELEMENTS_MAX:
        raise _too_long()
    return dump(list(found))


def _too_long() -> FunctionError:
    return FunctionError(
        "54000",
        f"a series of more than {ELEMENTS_MAX} values is not supported",
        hint="Generate integers alone in FROM, and compute from them.",
    )


def _series_numeric(start: Value, stop: Value, step: Value) -> str:
    first, last, by = (Decimal(str(value)) for value in (start, stop, step))
    for what, value in (("start", first), ("stop", last), ("step size", by)):
        if not value.is_finite():
            raise FunctionError(
                "22023", f"{what} value cannot be {'NaN' if value.is_nan() else 'infinity'}"
            )
    if not by:
        raise FunctionError("22023", "step size cannot equal zero")
    found: list[str] = []
    while first <= last if by > 0 else first >= last:
        if len(found) >= ELEMENTS_MAX:
            raise _too_long()
        found.append(numerics.stored(first))
        first = numerics.EXACT.add(first, by)
    return dump(found)


def _series_timestamp(start: Value, stop: Value, step: Value) -> str:
    """Each from the one before, so that steps of months end at the last days of short ones."""
    stamp, last, by = integer_of(start), integer_of(stop), intervals.load_span(step)
    length = intervals.length_of(by)
    if not length:
        raise FunctionError("22023", "step size cannot equal zero")
    found: list[int] = []
    while stamp <= last if length > 0 else stamp >= last:
        if len(found) >= ELEMENTS_MAX:
            raise _too_long()
        found.append(stamp)
        stamp = intervals.moved(stamp, by)
    return dump(found)


FUNCTIONS: Final[Mapping[str, Function]] = {
    **{f"pg_remove_{name}": Function(2, _removed(o), strict=False) for name, o in ORDERS.items()},
    **{f"pg_replace_{name}": Function(3, _replaced(o), strict=False) for name, o in ORDERS.items()},
    **{
        f"pg_positions_{name}": Function(2, _positions(o), strict=False)
        for name, o in ORDERS.items()
    },
    **{
        f"pg_positionfrom_{name}": Function(3, _position_from(o), strict=False)
        for name, o in ORDERS.items()
    },
    "pg_upper_array": Function(2, _upper),
    "pg_lower_array": Function(2, _lower),
    "pg_dims_array": Function(1, _dimensions),
    "pg_ndims_array": Function(1, lambda a: 1 if elements(a) else None),
    "pg_trim_array": Function(2, _trimmed),
    "pg_subscripts_array": Function(3, _subscripts),
    "pg_fill_array": Function(2, _filled, strict=False),
    "pg_series_array": Function(3, _series),
    "pg_series_numeric": Function(3, _series_numeric),
    "pg_series_timestamp": Function(3, _series_timestamp),
}
