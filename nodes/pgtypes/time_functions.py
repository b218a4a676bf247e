"""Making, justifying and binning of dates, times and intervals; AT TIME ZONE."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from nodes.pgtypes.dates import (
    DAY_US,
    days_of,
    is_finite_timestamp,
    month_length,
    within_timestamps,
)
from nodes.pgtypes.floats import float_of
from nodes.pgtypes.formats import Function, FunctionError
from nodes.pgtypes.integers import integer_of
from nodes.pgtypes.intervals import Span, load_span, store_span
from nodes.pgtypes.strings import string_of
from nodes.protocol import Value

__all__ = ["FUNCTIONS"]

_SECOND_US: Final = 1_000_000
_MINUTE_US: Final = 60 * _SECOND_US
_HOUR_US: Final = 60 * _MINUTE_US
_UTC: Final = frozenset(
    {"utc", "gmt", "z", "zulu", "uct", "etc/utc", "etc/gmt", "etc/uct", "etc/zulu", "etc/universal"}
    | {"universal", "+00", "-00", "+00:00", "+0", "0", "utc0", "etc/gmt0", "etc/gmt+0", "gmt0"}
)
_DATE_ENDS: Final = ((1 << 31) - 1, -(1 << 31))


def _microseconds(seconds: float) -> int:
    return int((Decimal(seconds) * _SECOND_US).to_integral_value(ROUND_HALF_EVEN))


def _clock(hour: Value, minute: Value, second: Value) -> int:
    h, m, s = integer_of(hour), integer_of(minute), float_of(second)
    is_day_end = h == 24 and m == 0 and s == 0
    if not math.isfinite(s) or not ((0 <= h < 24 and 0 <= m < 60 and 0 <= s <= 60) or is_day_end):
        raise FunctionError("22008", f"time field value out of range: {h}:{m:02d}:{s:02g}")
    return h * _HOUR_US + m * _MINUTE_US + _microseconds(s)


def _make_timestamp(
    year: Value, month: Value, day: Value, hour: Value, minute: Value, second: Value
) -> int:
    y, m, d = integer_of(year), integer_of(month), integer_of(day)
    astronomical = y + 1 if y < 0 else y
    if y == 0 or not 1 <= m <= 12 or not 1 <= d <= month_length(astronomical, m):
        raise FunctionError("22008", f"date field value out of range: {y}-{m:02d}-{d:02d}")
    if abs(y) > 300_000:
        raise FunctionError("22008", "timestamp out of range")
    clock = _clock(hour, minute, second)
    return within_timestamps(days_of(astronomical, m, d) * DAY_US + clock)


def _make_interval(*fields: Value) -> str:
    years, months, weeks, days, hours, minutes = (integer_of(field) for field in fields[:6])
    seconds = float_of(fields[6])
    if not math.isfinite(seconds):
        raise FunctionError("22008", "interval out of range")
    clock = hours * _HOUR_US + minutes * _MINUTE_US + _microseconds(seconds)
    made = Span(years * 12 + months, weeks * 7 + days, clock)
    if max(abs(made.months), abs(made.days)) >= 1 << 31 or abs(clock) >= 1 << 63:
        raise FunctionError(
            "0A000", "an interval out of range is not supported: PostgreSQL 15 wraps it around"
        )
    return store_span(made)


def _cut(number: int, by: int) -> tuple[int, int]:
    """Quotient and rest, both of the sign of the number."""
    quotient = abs(number) // by * (1 if number >= 0 else -1)
    return quotient, number - quotient * by


def _justify_hours(value: Value) -> str:
    months, days, clock = load_span(value)
    whole, clock = _cut(clock, DAY_US)
    days += whole
    if days > 0 > clock:
        days, clock = days - 1, clock + DAY_US
    elif days < 0 < clock:
        days, clock = days + 1, clock - DAY_US
    return store_span(Span(months, days, clock))


def _justify_days(value: Value) -> str:
    months, days, clock = load_span(value)
    whole, days = _cut(days, 30)
    months += whole
    if months > 0 > days:
        months, days = months - 1, days + 30
    elif months < 0 < days:
        months, days = months + 1, days - 30
    return store_span(Span(months, days, clock))


def _justify_interval(value: Value) -> str:
    months, days, clock = load_span(value)
    if (days > 0 and clock > 0) or (days < 0 and clock < 0):
        whole, days = _cut(days, 30)
        months += whole
    whole, clock = _cut(clock, DAY_US)
    days += whole
    whole, days = _cut(days, 30)
    months += whole
    if months > 0 and (days < 0 or (days == 0 and clock < 0)):
        months, days = months - 1, days + 30
    elif months < 0 and (days > 0 or (days == 0 and clock > 0)):
        months, days = months + 1, days - 30
    if days > 0 > clock:
        days, clock = days - 1, clock + DAY_US
    elif days < 0 < clock:
        days, clock = days + 1, clock - DAY_US
    return store_span(Span(months, days, clock))


def _bin(stride: Value, value: Value, origin: Value) -> int:
    span, stamp, start = load_span(stride), integer_of(value), integer_of(origin)
    if not is_finite_timestamp(stamp):
        return stamp
    if not is_finite_timestamp(start):
        raise FunctionError("22008", "origin out of range")
    if span.months:
        raise FunctionError(
            "0A000", "timestamps cannot be binned into intervals containing months or years"
        )
    step = _within_64_bits(_within_64_bits(span.days * DAY_US) + span.microseconds)
    if step <= 0:
        raise FunctionError("22008", "stride must be greater than zero")
    return within_timestamps(start + _within_64_bits(stamp - start) // step * step)


def _within_64_bits(microseconds: int) -> int:
    if not -(1 << 63) <= microseconds < 1 << 63:
        raise FunctionError("22008", "interval out of range")
    return microseconds


def _in_utc(zone: Value, value: Value) -> Value:
    """AT TIME ZONE: between a time of UTC and a time of nowhere, which are the same number."""
    name = string_of(zone)
    if name.lower() not in _UTC:
        raise FunctionError(
            "0A000",
            f'the time zone "{name}" is not supported',
            hint="There is UTC; convert to other zones in the application.",
        )
    return value


FUNCTIONS: Final[Mapping[str, Function]] = {
    "pg_make_timestamp": Function(6, _make_timestamp),
    "pg_make_time": Function(3, _clock),
    "pg_make_interval": Function(7, _make_interval),
    "pg_justify_hours": Function(1, _justify_hours),
    "pg_justify_days": Function(1, _justify_days),
    "pg_justify_interval": Function(1, _justify_interval),
    "pg_date_bin": Function(3, _bin),
    "pg_isfinite_timestamp": Function(1, lambda a: is_finite_timestamp(integer_of(a))),
    "pg_isfinite_date": Function(1, lambda a: integer_of(a) not in _DATE_ENDS),
    "pg_isfinite_interval": Function(1, lambda _: True),
    "pg_in_utc": Function(2, _in_utc),
}
