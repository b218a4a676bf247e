"""extract, date_part, date_trunc and their relatives, on the numbers that dates and times are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from nodes.pgtypes.dates import (
    DAY_US,
    UNIX_EPOCH_US,
    civil,
    days_of,
    is_finite_timestamp,
    month_length,
    within_timestamps,
)
from nodes.pgtypes.formats import Function, FunctionError
from nodes.pgtypes.integers import integer_of
from nodes.pgtypes.intervals import Span, load_span, store_span
from nodes.pgtypes.numerics import EXACT, divide
from nodes.pgtypes.strings import string_of
from nodes.protocol import Value

__all__ = ["FUNCTIONS"]

_SECOND_US: Final = 1_000_000
_MINUTE_US: Final = 60 * _SECOND_US
_HOUR_US: Final = 60 * _MINUTE_US

_UNITS: Final[Mapping[str, str]] = {
    spelling: unit
    for unit, spellings in {
        "microseconds": ("microseconds", "microsecond", "us", "usec", "usecs"),
        "milliseconds": ("milliseconds", "millisecond", "ms", "msec", "msecs"),
        "second": ("second", "seconds", "s", "sec", "secs"),
        "minute": ("minute", "minutes", "m", "min", "mins"),
        "hour": ("hour", "hours", "h", "hr", "hrs"),
        "day": ("day", "days", "d"),
        "week": ("week", "weeks", "w"),
        "month": ("month", "months", "mon", "mons"),
        "quarter": ("quarter", "qtr"),
        "year": ("year", "years", "y", "yr", "yrs"),
        "decade": ("decade", "decades"),
        "century": ("century", "centuries", "c", "cent"),
        "millennium": ("millennium", "millennia", "mil", "mils"),
        "dow": ("dow",),
        "isodow": ("isodow",),
        "doy": ("doy",),
        "isoyear": ("isoyear",),
        "epoch": ("epoch",),
        "julian": ("julian", "j"),
    }.items()
    for spelling in spellings
}
_GROWING: Final = frozenset(
    {"year", "decade", "century", "millennium", "isoyear", "epoch", "julian"}
)
"""Units that are infinite of infinity; others are NULL."""

_JULIAN_OF_2000: Final = 2_451_545


def _unit(name: str, kind: str) -> str:
    unit = _UNITS.get(name.lower())
    if unit is None:
        raise _unsupported(name, kind) if name.lower() in _MOMENTS else _unrecognized(name, kind)
    return unit


_MOMENTS: Final = frozenset(
    {"-infinity", "allballs", "infinity", "now", "today", "tomorrow", "yesterday"}
)
"""Words of dates that are no units."""


def _unrecognized(name: str, kind: str) -> FunctionError:
    return FunctionError("22023", f'unit "{name}" not recognized for type {kind}')


def _unsupported(name: str, kind: str) -> FunctionError:
    return FunctionError("0A000", f'unit "{name}" not supported for type {kind}')


def _decimal(value: int, digits: int) -> str:
    """`value` with its last `digits` behind the point."""
    return format(Decimal(value).scaleb(-digits), "f")


# --------------------------------------------------------------------------- extract


def _iso_week(days: int) -> tuple[int, int]:
    """Year and week of ISO 8601."""
    thursday = days - (days + 5) % 7 + 3
    year, _, _ = civil(thursday)
    return year, (thursday - days_of(year, 1, 1)) // 7 + 1


def _of_day(unit: str, days: int) -> int | None:
    year, month, day = civil(days)
    shown = year if year > 0 else year - 1  # there is no year 0
    match unit:
        case "year":
            return shown
        case "month":
            return month
        case "day":
            return day
        case "quarter":
            return (month - 1) // 3 + 1
        case "week":
            return _iso_week(days)[1]
        case "isoyear":
            found = _iso_week(days)[0]
            return found if found > 0 else found - 1
        case "decade":
            return year // 10
        case "century":
            return (year + 99) // 100 if year > 0 else -((100 - year) // 100)
        case "millennium":
            return (year + 999) // 1000 if year > 0 else -((1000 - year) // 1000)
        case "dow":
            return (days + 6) % 7
        case "isodow":
            return (days + 5) % 7 + 1
        case "doy":
            return days - days_of(year, 1, 1) + 1
    return None


def _of_clock(unit: str, clock: int) -> str | None:
    match unit:
        case "microseconds":
            return str(clock % _MINUTE_US)
        case "milliseconds":
            return _decimal(clock % _MINUTE_US, 3)
        case "second":
            return _decimal(clock % _MINUTE_US, 6)
        case "minute":
            return str(clock // _MINUTE_US % 60)
        case "hour":
            return str(clock // _HOUR_US)
    return None


def _infinite(unit: str, value: int) -> str | None:
    if unit not in _GROWING:
        return None
    return "Infinity" if value > 0 else "-Infinity"


def _extract_stamp(kind: str) -> Callable[[Value, Value], str | None]:
    def extract(field: Value, value: Value) -> str | None:
        name, stamp = string_of(field), integer_of(value)
        if name.lower().startswith("timezone"):
            if kind.endswith("without time zone"):
                raise _unsupported(name, kind)
            return "0" if is_finite_timestamp(stamp) else None
        unit = _unit(name, kind)
        if not is_finite_timestamp(stamp):
            return _infinite(unit, stamp)
        if unit == "epoch":
            return _decimal(stamp - UNIX_EPOCH_US, 6)
        days, clock = divmod(stamp, DAY_US)
        if unit == "julian":
            part = divide(Decimal(clock), Decimal(DAY_US))
            return format(EXACT.add(Decimal(days + _JULIAN_OF_2000), part), "f")
        found = _of_day(unit, days)
        return str(found) if found is not None else _of_clock(unit, clock)

    return extract


def _extract_date(field: Value, value: Value) -> str | None:
    name, days = string_of(field), integer_of(value)
    unit = _unit(name, "date")
    if unit in ("microseconds", "milliseconds", "second", "minute", "hour"):
        raise _unsupported(name, "date")
    if abs(days) >= (1 << 31) - 1:
        return _infinite(unit, days)
    if unit == "epoch":
        return str(days * 86_400 - UNIX_EPOCH_US // _SECOND_US)
    if unit == "julian":
        return str(days + _JULIAN_OF_2000)
    return str(_of_day(unit, days))


def _extract_time(field: Value, value: Value) -> str:
    name, clock = string_of(field), integer_of(value)
    unit = _unit(name, "time without time zone")
    if unit == "epoch":
        return _decimal(clock, 6)
    found = _of_clock(unit, clock)
    if found is None:
        raise _unsupported(name, "time without time zone")
    return found


def _toward_zero(number: int, by: int) -> int:
    return number // by if number >= 0 else -(-number // by)


def _extract_interval(field: Value, value: Value) -> str:
    name, span = string_of(field), load_span(value)
    unit = _unit(name, "interval")
    years = _toward_zero(span.months, 12)
    months = span.months - years * 12
    clock = span.microseconds
    hours = _toward_zero(clock, _HOUR_US)
    minutes = _toward_zero(clock - hours * _HOUR_US, _MINUTE_US)
    rest = clock - hours * _HOUR_US - minutes * _MINUTE_US
    match unit:
        case "year":
            return str(years)
        case "month":
            return str(months)
        case "quarter":
            return str(_toward_zero(months, 3) + 1)
        case "decade":
            return str(_toward_zero(years, 10))
        case "century":
            return str(_toward_zero(years, 100))
        case "millennium":
            return str(_toward_zero(years, 1000))
        case "day":
            return str(span.days)
        case "hour":
            return str(hours)
        case "minute":
            return str(minutes)
        case "second":
            return _decimal(rest, 6)
        case "milliseconds":
            return _decimal(rest, 3)
        case "microseconds":
            return str(rest)
        case "epoch":
            # A year is 365.25 days here, and a month 30.
            seconds = years * 31_557_600 + months * 2_592_000 + span.days * 86_400
            return _decimal(seconds * _SECOND_US + clock, 6)
    raise _unsupported(name, "interval")


def _as_float(extract: Callable[[Value, Value], str | None]) -> Callable[[Value, Value], Value]:
    """date_part, which answers a double precision."""

    def part(field: Value, value: Value) -> Value:
        found = extract(field, value)
        return None if found is None else float(found)

    return part


# --------------------------------------------------------------------------- date_trunc

_NO_STEPS: Final = frozenset({"dow", "isodow", "doy", "isoyear", "epoch", "julian"})
_CLOCK_STEPS: Final = {
    "microseconds": 1,
    "milliseconds": 1000,
    "second": _SECOND_US,
    "minute": _MINUTE_US,
    "hour": _HOUR_US,
    "day": DAY_US,
}


def _truncated(kind: str) -> Callable[[Value, Value], int]:
    def truncate(field: Value, value: Value) -> int:
        name, stamp = string_of(field), integer_of(value)
        if not is_finite_timestamp(stamp):
            return stamp
        unit = _unit(name, kind)
        if unit in _NO_STEPS:
            raise _unrecognized(name, kind)
        step = _CLOCK_STEPS.get(unit)
        if step is not None:
            return stamp // step * step
        days = stamp // DAY_US
        if unit == "week":
            return within_timestamps((days - (days + 5) % 7) * DAY_US)
        year, month, _ = civil(days)
        match unit:
            case "month":
                pass
            case "quarter":
                month -= (month - 1) % 3
            case "year":
                month = 1
            case "decade":
                year, month = year // 10 * 10, 1
            case "century":
                year, month = (year - 1) // 100 * 100 + 1, 1
            case "millennium":
                year, month = (year - 1) // 1000 * 1000 + 1, 1
        return within_timestamps(days_of(year, month, 1) * DAY_US)

    return truncate


def _truncated_interval(field: Value, value: Value) -> str:
    name, (months, days, clock) = string_of(field), load_span(value)
    unit = _unit(name, "interval")
    month_steps = {
        "month": 1, "quarter": 3, "year": 12, "decade": 120, "century": 1200,
        "millennium": 12_000,
    }  # fmt: skip
    if unit in month_steps:
        step = month_steps[unit]
        return store_span(Span(_toward_zero(months, step) * step, 0, 0))
    if unit in _NO_STEPS:
        raise _unrecognized(name, "interval")
    if unit not in _CLOCK_STEPS:
        raise _unsupported(name, "interval")
    if unit == "day":
        return store_span(Span(months, days, 0))
    step = _CLOCK_STEPS[unit]
    return store_span(Span(months, days, _toward_zero(clock, step) * step))


# --------------------------------------------------------------------------- making, ages


def _make_date(year: Value, month: Value, day: Value) -> int:
    y, m, d = integer_of(year), integer_of(month), integer_of(day)
    shown = f"{y}-{m:02d}-{d:02d}"
    if y == 0 or not 1 <= m <= 12 or not 1 <= d <= month_length(y if y > 0 else y + 1, m):
        raise FunctionError("22008", f"date field value out of range: {shown}")
    return days_of(y if y > 0 else y + 1, m, d)


def _age(later: Value, earlier: Value) -> str:
    """Years, months and days between two timestamps, as one counts on a calendar."""
    a, b = integer_of(later), integer_of(earlier)
    if not is_finite_timestamp(a) or not is_finite_timestamp(b):
        raise FunctionError(
            "0A000",
            "age() of infinity is not supported: PostgreSQL 15 takes it for a date",
            hint="Test for it with isfinite().",
        )
    sign = 1
    if a < b:
        a, b, sign = b, a, -1
    (days_a, clock_a), (days_b, clock_b) = divmod(a, DAY_US), divmod(b, DAY_US)
    (year_a, month_a, day_a), (year_b, month_b, day_b) = civil(days_a), civil(days_b)
    months = (year_a - year_b) * 12 + month_a - month_b
    days, clock = day_a - day_b, clock_a - clock_b
    if clock < 0:
        days, clock = days - 1, clock + DAY_US
    if days < 0:
        months, days = months - 1, days + month_length(year_b, month_b)  # of the earlier month
    return store_span(Span(sign * months, sign * days, sign * clock))


_EPOCHS: Final = (-210_866_803_200.0, 9_224_318_016_000.0)
"""Seconds from 1970 to the ends of what a timestamp can be."""


def _from_epoch(seconds: Value) -> int:
    if type(seconds) is not float and type(seconds) is not int:
        raise FunctionError("42804", "a number was expected")
    number = float(seconds)
    if math.isinf(number):
        return (1 << 63) - 1 if number > 0 else -(1 << 63)
    if not _EPOCHS[0] <= number < _EPOCHS[1]:
        raise FunctionError("22008", f'timestamp out of range: "{number:g}"')
    return round(number * _SECOND_US) + UNIX_EPOCH_US


_KINDS: Final = {
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
}
_EXTRACT: Final[Mapping[str, Callable[[Value, Value], str | None]]] = {
    **{short: _extract_stamp(kind) for short, kind in _KINDS.items()},
    "date": _extract_date,
    "time": _extract_time,
    "interval": _extract_interval,
}

FUNCTIONS: Final[Mapping[str, Function]] = {
    **{f"pg_extract_{short}": Function(2, call) for short, call in _EXTRACT.items()},
    **{f"pg_datepart_{short}": Function(2, _as_float(call)) for short, call in _EXTRACT.items()},
    **{f"pg_trunc_{short}": Function(2, _truncated(kind)) for short, kind in _KINDS.items()},
    "pg_trunc_interval": Function(2, _truncated_interval),
    "pg_make_date": Function(3, _make_date),
    "pg_age": Function(2, _age),
    "pg_timestamptz_epoch": Function(1, _from_epoch),
}
