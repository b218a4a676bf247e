"""date, time, timestamp and timestamptz: integers since 2000-01-01, in UTC.

A date is days, a time microseconds of its day, a timestamp microseconds; infinity is the end of
the range, as in PostgreSQL's binary formats. Nothing here makes datetime objects: PostgreSQL's
calendar is the proleptic Gregorian one from 4714 BC to 294276 AD, and to 5874897 for a date,
and Python's is shorter. The session's time zone is UTC, so both timestamps are the same numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from nodes.pgtypes.date_texts import Parts, read_parts
from nodes.pgtypes.formats import (
    Codec,
    Function,
    FunctionError,
    ValueFormatError,
    bad_binary,
    mismatch,
)
from nodes.pgtypes.integers import integer_of
from nodes.protocol import Value

__all__ = [
    "CODECS",
    "DATE",
    "DAY_US",
    "FUNCTIONS",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "UNIX_EPOCH_US",
    "civil",
    "clock_text",
    "date_text",
    "days_of",
    "is_finite_timestamp",
    "month_length",
    "timestamp_of_date",
    "timestamp_text",
    "within_timestamps",
]

DATE: Final = 1082
TIME: Final = 1083
TIMESTAMP: Final = 1114
TIMESTAMPTZ: Final = 1184

DAY_US: Final = 86_400_000_000
UNIX_EPOCH_US: Final = -10_957 * DAY_US
"""1970-01-01 as a timestamp."""

_DATE_MIN: Final = -2_451_545  # Julian day 0, 4714-11-24 BC
_DATE_END: Final = 2_145_031_949  # 5874898-01-01
_DATE_INFINITY: Final = (1 << 31) - 1
_DATE_MINUS_INFINITY: Final = -(1 << 31)
_TIMESTAMP_MIN: Final = -211_813_488_000_000_000  # 4714-11-24 BC
_TIMESTAMP_END: Final = 9_223_371_331_200_000_000  # 294277-01-01
INFINITY: Final = (1 << 63) - 1
MINUS_INFINITY: Final = -(1 << 63)


# --------------------------------------------------------------------------- calendar


def days_of(year: int, month: int, day: int) -> int:
    """Days from 2000-01-01; year 0 is 1 BC. The month is in its range, the day may be in any."""
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 730_425


def civil(days: int) -> tuple[int, int, int]:
    """Year, month and day; the inverse of `days_of`."""
    days += 730_425
    era = days // 146_097
    of_era = days - era * 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + (3 if shifted < 10 else -9)
    return year + era * 400 + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1


_LENGTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def month_length(year: int, month: int) -> int:
    if month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0):
        return 29
    return _LENGTHS[month - 1]


def within_timestamps(value: int) -> int:
    """`value` if it is a timestamp, finite. Raises FunctionError 22008."""
    if _TIMESTAMP_MIN <= value < _TIMESTAMP_END:
        return value
    raise FunctionError("22008", "timestamp out of range")


def is_finite_timestamp(value: int) -> bool:
    return value not in (INFINITY, MINUS_INFINITY)


# --------------------------------------------------------------------------- to text


@lru_cache(maxsize=4096)
def _day_text(days: int) -> tuple[str, str]:
    """The date and its era: rows of one table have few days."""
    year, month, day = civil(days)
    era = ""
    if year <= 0:
        year, era = 1 - year, " BC"
    return f"{year:04d}-{month:02d}-{day:02d}", era


def date_text(value: int) -> str:
    if value == _DATE_INFINITY:
        return "infinity"
    if value == _DATE_MINUS_INFINITY:
        return "-infinity"
    day, era = _day_text(value)
    return day + era


def clock_text(microseconds: int) -> str:
    """hh:mm:ss, with a fraction as long as it needs to be."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    text = f"{hour:02d}:{minute:02d}:{second:02d}"
    return f"{text}.{fraction:06d}".rstrip("0") if fraction else text


def timestamp_text(value: int, zone: str = "") -> str:
    if value == INFINITY:
        return "infinity"
    if value == MINUS_INFINITY:
        return "-infinity"
    days, clock = divmod(value, DAY_US)
    day, era = _day_text(days)
    return f"{day} {clock_text(clock)}{zone}{era}"


# --------------------------------------------------------------------------- from text


def _field_error(kind: str, text: str) -> ValueFormatError:
    return ValueFormatError("22008", f'date/time field value out of range: "{text}"')


def _parts(text: str, kind: str) -> Parts:
    parts = read_parts(text, kind)
    if parts.day is not None:
        year, month, day = parts.day
        if not 1 <= day <= month_length(year, month):
            raise _field_error(kind, text)
    return parts


_INPUT: Final = {
    "date": "date",
    "time": "time",
    "timestamp": "timestamp",
    "timestamptz": "timestamp with time zone",
}


def parse_date(text: str) -> int:
    parts = _parts(text, "date")
    if parts.infinite:
        return _DATE_INFINITY if parts.infinite > 0 else _DATE_MINUS_INFINITY
    assert parts.day is not None
    days = days_of(*parts.day)
    if not _DATE_MIN <= days < _DATE_END:
        raise ValueFormatError("22008", f'date out of range: "{text}"')
    return days


def parse_time(text: str) -> int:
    return _parts(text, "time").clock


def _parse_timestamp(text: str, *, zoned: bool) -> int:
    parts = _parts(text, _INPUT["timestamptz" if zoned else "timestamp"])
    if parts.infinite:
        return INFINITY if parts.infinite > 0 else MINUS_INFINITY
    assert parts.day is not None
    value = days_of(*parts.day) * DAY_US + parts.clock
    if zoned and parts.offset is not None:
        value -= parts.offset
    if not _TIMESTAMP_MIN <= value < _TIMESTAMP_END:
        raise ValueFormatError("22008", f'timestamp out of range: "{text}"')
    return value


def parse_timestamp(text: str) -> int:
    return _parse_timestamp(text, zoned=False)


def parse_timestamptz(text: str) -> int:
    return _parse_timestamp(text, zoned=True)


# --------------------------------------------------------------------------- formats

_INT4: Final = struct.Struct(">i")
_INT8: Final = struct.Struct(">q")


def _codec(
    oid: int,
    name: str,
    packing: struct.Struct,
    show: Callable[[int], str],
    parse: Callable[[str], int],
    check: Callable[[int], bool],
    complaint: str,
) -> Codec:
    pack = packing.pack

    def to_text(value: Value) -> bytes:
        if type(value) is not int:
            raise mismatch(value, name)
        return show(value).encode()

    def to_binary(value: Value) -> bytes:
        if type(value) is not int:
            raise mismatch(value, name)
        return pack(value)

    def from_binary(data: bytes) -> Value:
        try:
            (value,) = packing.unpack(data)
        except struct.error as exc:
            raise bad_binary() from exc
        if not check(value):
            raise ValueFormatError("22008", f"{complaint} out of range")
        found: int = value
        return found

    return Codec(oid, to_text, to_binary, parse, from_binary)


def _is_date(value: int) -> bool:
    return _DATE_MIN <= value < _DATE_END or value in (_DATE_INFINITY, _DATE_MINUS_INFINITY)


def _is_time(value: int) -> bool:
    return 0 <= value <= DAY_US


def _is_timestamp(value: int) -> bool:
    return _TIMESTAMP_MIN <= value < _TIMESTAMP_END or not is_finite_timestamp(value)


def timestamptz_text(value: int) -> str:
    return timestamp_text(value, "+00")


CODECS: Final = (
    _codec(DATE, "date", _INT4, date_text, parse_date, _is_date, "date"),
    _codec(TIME, "time", _INT8, clock_text, parse_time, _is_time, "time"),
    _codec(
        TIMESTAMP, "timestamp", _INT8, timestamp_text, parse_timestamp, _is_timestamp, "timestamp"
    ),
    _codec(
        TIMESTAMPTZ,
        "timestamptz",
        _INT8,
        timestamptz_text,
        parse_timestamptz,
        _is_timestamp,
        "timestamp",
    ),
)


# --------------------------------------------------------------------------- functions


def _is_finite_date(value: int) -> bool:
    return value not in (_DATE_INFINITY, _DATE_MINUS_INFINITY)


def _date_plus(days: Value, more: int) -> int:
    value = integer_of(days)
    if not _is_finite_date(value):
        return value
    if not _DATE_MIN <= value + more < _DATE_END:
        raise FunctionError("22008", "date out of range")
    return value + more


def _days_between(a: Value, b: Value) -> int:
    left, right = integer_of(a), integer_of(b)
    if not _is_finite_date(left) or not _is_finite_date(right):
        raise FunctionError("22008", "cannot subtract infinite dates")
    return left - right


def timestamp_of_date(value: Value) -> int:
    """Midnight of a date. Raises 22008 for one that no timestamp reaches."""
    days = integer_of(value)
    if not _is_finite_date(days):
        return INFINITY if days > 0 else MINUS_INFINITY
    if days * DAY_US >= _TIMESTAMP_END:
        raise FunctionError("22008", "date out of range for timestamp")
    return days * DAY_US


def _compared_with_date(stamp: Value, date: Value) -> int:
    """-1, 0 or 1. A date too late for a timestamp is later than any, infinity excepted."""
    left, days = integer_of(stamp), integer_of(date)
    if _is_finite_date(days):
        if not is_finite_timestamp(left):
            return 1 if left > 0 else -1
        right = days * DAY_US
    else:
        right = INFINITY if days > 0 else MINUS_INFINITY
    return (left > right) - (left < right)


def _date_of_timestamp(value: Value) -> int:
    stamp = integer_of(value)
    if not is_finite_timestamp(stamp):
        return _DATE_INFINITY if stamp > 0 else _DATE_MINUS_INFINITY
    return stamp // DAY_US


def _time_of_timestamp(value: Value) -> Value:
    stamp = integer_of(value)
    return stamp % DAY_US if is_finite_timestamp(stamp) else None


def _date_and_time(date: Value, time: Value) -> int:
    stamp = timestamp_of_date(date)
    return within_timestamps(stamp + integer_of(time)) if is_finite_timestamp(stamp) else stamp


def _fraction(value: Value, modifier: Value) -> int:
    """Rounded to so many digits of a second, halves away from zero."""
    number, digits = integer_of(value), integer_of(modifier)
    if not 0 <= digits < 6 or not is_finite_timestamp(number):
        return number
    unit = 10 ** (6 - digits)
    rounded: int = (abs(number) + unit // 2) // unit * unit
    return rounded if number >= 0 else -rounded


def _fit_timestamp(value: Value, modifier: Value) -> int:
    rounded = _fraction(value, modifier)
    return within_timestamps(rounded) if is_finite_timestamp(rounded) else rounded


def _cast(parse: Callable[[str], int]) -> Function:
    def cast(value: Value) -> int:
        if type(value) is not str:
            raise FunctionError("42804", f"text was expected, not {type(value).__name__}")
        return parse(value)

    return Function(1, cast)


FUNCTIONS: Final[Mapping[str, Function]] = {
    "pg_cast_date": _cast(parse_date),
    "pg_cast_time": _cast(parse_time),
    "pg_cast_timestamp": _cast(parse_timestamp),
    "pg_cast_timestamptz": _cast(parse_timestamptz),
    "pg_text_date": Function(1, lambda a: date_text(integer_of(a))),
    "pg_text_time": Function(1, lambda a: clock_text(integer_of(a))),
    "pg_text_timestamp": Function(1, lambda a: timestamp_text(integer_of(a))),
    "pg_text_timestamptz": Function(1, lambda a: timestamptz_text(integer_of(a))),
    "pg_cast_timestamp_date": Function(1, timestamp_of_date),
    "pg_cast_date_timestamp": Function(1, _date_of_timestamp),
    "pg_cast_time_timestamp": Function(1, _time_of_timestamp),
    "pg_compare_timestamp_date": Function(2, _compared_with_date),
    "pg_add_date_int4": Function(2, lambda a, b: _date_plus(a, integer_of(b))),
    "pg_sub_date_int4": Function(2, lambda a, b: _date_plus(a, -integer_of(b))),
    "pg_sub_date": Function(2, _days_between),
    "pg_add_date_time": Function(2, _date_and_time),
    "pg_fit_time": Function(2, _fraction),
    "pg_fit_timestamp": Function(2, _fit_timestamp),
}
