"""interval: months, days and microseconds, each on its own.

The stored form is `months days microseconds`. Its order is that of its length with 30 days a month
and 24 hours a day, as PostgreSQL compares intervals: `1 mon` equals `30 days`.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, NamedTuple

from nodes.pgtypes.dates import (
    DAY_US,
    civil,
    days_of,
    is_finite_timestamp,
    month_length,
    timestamp_of_date,
    within_timestamps,
)
from nodes.pgtypes.floats import float_of
from nodes.pgtypes.formats import (
    SPACES,
    Aggregate,
    Codec,
    Function,
    FunctionError,
    ValueFormatError,
    bad_binary,
    mismatch,
)
from nodes.pgtypes.integers import integer_of
from nodes.pgtypes.strings import string_of
from nodes.protocol import Value

__all__ = [
    "AGGREGATES",
    "CODECS",
    "COLLATIONS",
    "FUNCTIONS",
    "INTERVAL",
    "Span",
    "length_of",
    "load_span",
    "moved",
    "parse",
    "show",
    "store_span",
]

INTERVAL: Final = 1186

_INT4: Final = (1 << 31) - 1
_INT8: Final = (1 << 63) - 1
_SECOND_US: Final = 1_000_000
_MINUTE_US: Final = 60 * _SECOND_US
_HOUR_US: Final = 60 * _MINUTE_US


class Span(NamedTuple):
    months: int
    days: int
    microseconds: int


def load_span(value: Value) -> Span:
    months, days, microseconds = string_of(value).split(" ")
    return Span(int(months), int(days), int(microseconds))


def _store(months: int, days: int, microseconds: int) -> str:
    if max(abs(months), abs(days)) > _INT4 or abs(microseconds) > _INT8:
        raise FunctionError("22008", "interval out of range")
    return f"{months} {days} {microseconds}"


def store_span(span: Span) -> str:
    """The stored form. Raises FunctionError 22008."""
    return _store(*span)


def length_of(value: Span) -> int:
    """In microseconds, as intervals are compared."""
    return (value.months * 30 + value.days) * DAY_US + value.microseconds


def compare(left: str, right: str) -> int:
    if left == right:
        return 0
    a, b = length_of(load_span(left)), length_of(load_span(right))
    return (a > b) - (a < b)


COLLATIONS: Final[Mapping[str, Callable[[str, str], int]]] = {"interval": compare}


# --------------------------------------------------------------------------- to text


def show(value: Span) -> str:
    """PostgreSQL's IntervalStyle `postgres`: `1 year 2 mons -3 days +04:05:06.7`."""
    parts: list[str] = []
    is_before = False
    years, months = _divided(value.months, 12)
    for number, unit in ((years, "year"), (months, "mon"), (value.days, "day")):
        if number:
            sign = "+" if is_before and number > 0 else ""
            parts.append(f"{sign}{number} {unit}{'' if number == 1 else 's'}")
            is_before = number < 0
    if value.microseconds or not parts:
        sign = "-" if value.microseconds < 0 else "+" if is_before else ""
        seconds, fraction = divmod(abs(value.microseconds), _SECOND_US)
        clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        point = f".{fraction:06d}".rstrip("0") if fraction else ""
        parts.append(f"{sign}{clock}{point}")
    return " ".join(parts)


def _divided(number: int, by: int) -> tuple[int, int]:
    """Quotient cut towards zero, and the rest with the sign of the number."""
    quotient = abs(number) // by
    return (
        (quotient, number - quotient * by) if number >= 0 else (-quotient, number + quotient * by)
    )


# --------------------------------------------------------------------------- from text

_UNITS: Final[Mapping[str, str]] = {
    unit: name
    for name, units in {
        "microsecond": "us usec usecs usecond useconds microsecond microseconds microsecon",
        "millisecond": "ms msec msecs msecond mseconds millisecond milliseconds",
        "second": "s sec secs second seconds",
        "minute": "m min mins minute minutes",
        "hour": "h hr hrs hour hours",
        "day": "d day days",
        "week": "w week weeks",
        "month": "mon mons month months",
        "year": "y yr yrs year years",
        "decade": "dec decs decade decades",
        "century": "c cent century centuries",
        "millennium": "mil mils millennium millennia",
    }.items()
    for unit in units.split()
}
_MONTHS: Final = {"month": 1, "year": 12, "decade": 120, "century": 1200, "millennium": 12_000}
_MICROSECONDS: Final = {
    "microsecond": 1,
    "millisecond": 1000,
    "second": _SECOND_US,
    "minute": _MINUTE_US,
    "hour": _HOUR_US,
}
_DAYS: Final = {"day": 1, "week": 7}

_TOKEN: Final = re.compile(
    r"""
    (?P<space>[\ \t\n\v\f\r@]+)
  | (?P<clock>(?:(?<![\w.])[+-])?\d+:\d+(?::\d+(?:\.\d*)?)?(?:\.\d*)?)
  | (?P<years>(?:(?<![\w.])[+-])?\d+-\d+)
  | (?P<number>(?:(?<![\w.])[+-])?(?:\d+(?:\.\d*)?|\.\d+))
  | (?P<word>[A-Za-z]+)
    """,
    re.VERBOSE | re.ASCII,
)
_DAY_AND_CLOCK: Final = re.compile(r"-[\d-]*(?:\s+[\d:.]+)?")
_IGNORED: Final = re.compile(r"""[^\w\s@:.+-]|_""", re.ASCII)
"""Characters that only separate to PostgreSQL."""
_ISO: Final = re.compile(r"P(?:[+-]?[0-9.]+[YMWD])*(?:T(?:[+-]?[0-9.]+[HMS])+)?\Z")
_ISO_PART: Final = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))([YMWDHS])")
_ISO_UNITS: Final = {"Y": "year", "W": "week", "D": "day", "H": "hour", "S": "second"}


class _Sum:
    """Adds up what a text says; fractions flow into smaller units as PostgreSQL lets them."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.years = 0
        self.months = 0
        self.days = 0
        self.microseconds = 0
        self.seen: set[str] = set()

    def malformed(self) -> ValueFormatError:
        return ValueFormatError("22007", f'invalid input syntax for type interval: "{self._text}"')

    def add(self, number: str, unit: str) -> None:
        if unit in self.seen:
            raise self.malformed()
        if "clock" in self.seen and unit in ("hour", "minute", "second"):
            raise self.malformed()
        self.seen.add(unit)
        if len(number) > 64:
            raise self.out_of_range()
        exact = Decimal(number)
        whole = int(exact)
        rest = exact - whole
        if unit in _MONTHS:
            if unit == "month":
                self.months += whole
                self._add_days(rest * 30)
            else:  # a part of a year is whole months
                self.years += whole * _MONTHS[unit] // 12
                part = (rest * _MONTHS[unit]).to_integral_value(ROUND_HALF_EVEN)
                self.months += int(part)
        elif unit in _DAYS:
            self.days += whole * _DAYS[unit]
            self._add_days(rest * _DAYS[unit])
        else:
            self.microseconds += _rounded(exact * _MICROSECONDS[unit])

    def _add_days(self, days: Decimal) -> None:
        whole = int(days)
        self.days += whole
        self.microseconds += _rounded((days - whole) * DAY_US)

    def out_of_range(self) -> ValueFormatError:
        return ValueFormatError("22015", f'interval field value out of range: "{self._text}"')

    def stored(self) -> str:
        """Raises 22015 for a field that has no room, 22008 for the months of all of them."""
        fields = (self.years, self.months, self.days)
        if max(map(abs, fields)) > _INT4 or abs(self.microseconds) > _INT8:
            raise self.out_of_range()
        months = self.years * 12 + self.months
        if abs(months) > _INT4:
            raise ValueFormatError("22008", "interval out of range")
        return f"{months} {self.days} {self.microseconds}"


def _rounded(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_HALF_EVEN))


def parse(text: str) -> str:
    """The stored form of what PostgreSQL reads as an interval: its own style, ISO 8601's
    `P1Y2M3DT4H5M6S`, SQL's `1-2` and `3 4:05:06`."""
    try:
        return _parsed(text)
    except ValueFormatError as exc:
        plain = _IGNORED.sub(" ", text)
        if exc.sqlstate != "22007" or plain == text:
            raise
        try:
            _parsed(plain)
        except ValueFormatError as other:
            if other.sqlstate == "22007":
                raise exc from None
            raise ValueFormatError(
                other.sqlstate, f'interval field value out of range: "{text}"'
            ) from None
        raise ValueFormatError(
            "0A000",
            f'this form of an interval is not supported: "{text}"',
            hint="Write it as 1 day 02:03:04.",
        ) from None


def _parsed(text: str) -> str:
    total = _Sum(text)
    trimmed = text.strip(SPACES)
    if trimmed[:1] == "P":
        return _parse_iso(trimmed, total)
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(trimmed):
        found = _TOKEN.match(trimmed, at)
        if found is None:
            # It is read from its end: of a date and a clock the month is seen first.
            if tokens and tokens[-1][0] == "years" and _DAY_AND_CLOCK.fullmatch(trimmed, at):
                _months_of(tokens[-1][1], total)
            raise total.malformed()
        assert found.lastgroup is not None
        if found.lastgroup != "space":
            tokens.append((found.lastgroup, found[0]))
        at = found.end()
    if not tokens:
        raise total.malformed()
    is_ago = tokens[-1] == ("word", "ago") and len(tokens) > 1
    if is_ago:
        tokens.pop()
    for i, (kind, token) in enumerate(tokens):
        following = tokens[i + 1] if i + 1 < len(tokens) else ("", "")
        if kind == "number":
            _add_number(total, token, following)
        elif kind == "clock":
            _add_clock(total, token)
        elif kind == "years":
            years, _, _ = token.lstrip("+-").partition("-")
            sign = "-" if token[0] == "-" else ""
            total.add(sign + years, "year")
            total.add(sign + _months_of(token, total), "month")
        elif i == 0 or tokens[i - 1][0] != "number" or token.lower() not in _UNITS:
            raise total.malformed()
    if is_ago:
        total.years, total.months, total.days = -total.years, -total.months, -total.days
        total.microseconds = -total.microseconds
    return total.stored()


def _months_of(token: str, total: _Sum) -> str:
    """Those of SQL's years and months."""
    months = token.lstrip("+-").partition("-")[2]
    if int(months) > 11:
        raise total.out_of_range()
    return months


def _add_number(total: _Sum, number: str, following: tuple[str, str]) -> None:
    kind, word = following
    if kind == "word":
        unit = _UNITS.get(word.lower())
        if unit is None:
            raise total.malformed()
        total.add(number, unit)
    elif kind == "clock":
        total.add(number, "day")  # SQL's day and time
    elif kind == "":
        total.add(number, "second")
    else:
        raise total.malformed()


def _add_clock(total: _Sum, token: str) -> None:
    if "clock" in total.seen or total.seen & {"hour", "minute", "second"}:
        raise total.malformed()
    total.seen.add("clock")
    sign = -1 if token[0] == "-" else 1
    fields = token.lstrip("+-").split(":")
    if len(fields) == 2 and "." in fields[1]:
        fields = ["0", *fields]  # mm:ss.fff
    hours, minutes, seconds = (*fields, "0")[:3]
    exact = Decimal(seconds)
    if int(minutes) > 59 or exact > 60 or len(hours) > 18:
        raise total.out_of_range()
    clock = int(hours) * _HOUR_US + int(minutes) * _MINUTE_US + _rounded(exact * _SECOND_US)
    total.microseconds += sign * clock


def _parse_iso(text: str, total: _Sum) -> str:
    if not _ISO.match(text) or len(text) < 3:
        raise total.malformed()
    day, _, clock = text[1:].partition("T")
    for part, month in ((day, "month"), (clock, "minute")):
        for number, unit in _ISO_PART.findall(part):
            total.add(number, _ISO_UNITS.get(unit, month))
    return total.stored()


# --------------------------------------------------------------------------- formats

_BINARY: Final = struct.Struct(">qii")


def _to_text(value: Value) -> bytes:
    if type(value) is not str:
        raise mismatch(value, "interval")
    return show(load_span(value)).encode()


def _to_binary(value: Value) -> bytes:
    if type(value) is not str:
        raise mismatch(value, "interval")
    span = load_span(value)
    return _BINARY.pack(span.microseconds, span.days, span.months)


def _from_binary(data: bytes) -> Value:
    try:
        microseconds, days, months = _BINARY.unpack(data)
    except struct.error as exc:
        raise bad_binary() from exc
    return f"{months} {days} {microseconds}"


CODECS: Final = (Codec(INTERVAL, _to_text, _to_binary, parse, _from_binary),)


# --------------------------------------------------------------------------- arithmetic


def _combined(a: Value, b: Value, sign: int) -> str:
    left, right = load_span(a), load_span(b)
    return _store(
        left.months + sign * right.months,
        left.days + sign * right.days,
        left.microseconds + sign * right.microseconds,
    )


def _multiplied(a: Value, b: Value) -> str:
    return _scaled(load_span(a), float_of(b), lambda number, factor: number * factor)


def _divided_by(a: Value, b: Value) -> str:
    factor = float_of(b)
    if factor == 0:
        raise FunctionError("22012", "division by zero")
    return _scaled(load_span(a), factor, lambda number, by: number / by)


def _scaled(span: Span, factor: float, scale: Callable[[float, float], float]) -> str:
    """As interval_mul: what is left of months and days flows into days and time, with doubles."""

    def cut(value: float) -> int:
        if not math.isfinite(value) or abs(value) > _INT4:
            raise FunctionError("22008", "interval out of range")
        return int(value)

    months = scale(float(span.months), factor)
    days = scale(float(span.days), factor)
    whole_months, whole_days = cut(months), cut(days)
    rest_days = _to_microsecond((months - whole_months) * 30)
    seconds = _to_microsecond((days - whole_days + rest_days - int(rest_days)) * 86_400)
    if abs(seconds) >= 86_400:
        whole_days += int(seconds / 86_400)
        seconds -= int(seconds / 86_400) * 86_400
    microseconds = scale(float(span.microseconds), factor) + seconds * 1_000_000
    if not math.isfinite(microseconds) or abs(microseconds) > _INT8:
        raise FunctionError("22008", "interval out of range")
    return _store(whole_months, whole_days + int(rest_days), round(microseconds))


def _to_microsecond(value: float) -> float:
    """PostgreSQL's TSROUND: what is nearly a microsecond is one."""
    return round(value * 1_000_000) / 1_000_000


def _plus(stamp: int, span: Span, sign: int) -> int:
    """A timestamp moved by months, which may shorten the day, then days, then time."""
    if not is_finite_timestamp(stamp):
        return stamp
    if span.months:
        days, clock = divmod(stamp, DAY_US)
        year, month, day = civil(days)
        total = year * 12 + month - 1 + sign * span.months
        year, month = total // 12, total % 12 + 1
        if abs(year) > 400_000:
            raise FunctionError("22008", "timestamp out of range")
        stamp = days_of(year, month, min(day, month_length(year, month))) * DAY_US + clock
    return within_timestamps(stamp + sign * (span.days * DAY_US + span.microseconds))


def moved(stamp: int, span: Span) -> int:
    """A timestamp later by an interval."""
    return _plus(stamp, span, 1)


def _moved(sign: int) -> Callable[[Value, Value], int]:
    return lambda a, b: _plus(integer_of(a), load_span(b), sign)


def _date_moved(sign: int) -> Callable[[Value, Value], int]:
    """A date too late for a timestamp is no error beside NULL."""
    return lambda a, b: _plus(timestamp_of_date(a), load_span(b), sign)


def _time_moved(sign: int) -> Callable[[Value, Value], int]:
    return lambda a, b: (integer_of(a) + sign * load_span(b).microseconds) % DAY_US


def _between(a: Value, b: Value) -> str:
    """Of two timestamps: days and time of one sign."""
    left, right = integer_of(a), integer_of(b)
    if not is_finite_timestamp(left) or not is_finite_timestamp(right):
        raise FunctionError("22008", "cannot subtract infinite timestamps")
    if not -(2**63) <= left - right < 2**63:
        raise FunctionError(
            "0A000",
            "the interval between these timestamps is not supported: PostgreSQL 15 turns it around",
            hint="Use age().",
        )
    days, clock = _divided(left - right, DAY_US)
    return _store(0, days, clock)


def _seconds(value: Value) -> str:
    return _store(0, 0, integer_of(value))


def _fit(value: Value, modifier: Value) -> str:
    """The fraction of a second cut to so many digits; other fields of a modifier are none of
    ours."""
    span, digits = load_span(value), integer_of(modifier) & 0xFFFF
    if not 0 <= digits < 6:
        return string_of(value)
    unit = 10 ** (6 - digits)
    rounded = (abs(span.microseconds) + unit // 2) // unit * unit
    return _store(span.months, span.days, rounded if span.microseconds >= 0 else -rounded)


FUNCTIONS: Final[Mapping[str, Function]] = {
    "pg_cast_interval": Function(1, lambda a: parse(string_of(a))),
    "pg_text_interval": Function(1, lambda a: show(load_span(a))),
    "pg_cast_interval_time": Function(1, _seconds),
    "pg_cast_time_interval": Function(1, lambda a: load_span(a).microseconds % DAY_US),
    "pg_add_interval": Function(2, lambda a, b: _combined(a, b, 1)),
    "pg_sub_interval": Function(2, lambda a, b: _combined(a, b, -1)),
    "pg_neg_interval": Function(1, lambda a: _combined("0 0 0", a, -1)),
    "pg_mul_interval": Function(2, _multiplied),
    "pg_div_interval": Function(2, _divided_by),
    "pg_add_timestamp_interval": Function(2, _moved(1)),
    "pg_sub_timestamp_interval": Function(2, _moved(-1)),
    "pg_add_date_interval": Function(2, _date_moved(1)),
    "pg_sub_date_interval": Function(2, _date_moved(-1)),
    "pg_add_time_interval": Function(2, _time_moved(1)),
    "pg_sub_time_interval": Function(2, _time_moved(-1)),
    "pg_sub_timestamp": Function(2, _between),
    "pg_sub_time": Function(2, lambda a, b: _store(0, 0, integer_of(a) - integer_of(b))),
    "pg_fit_interval": Function(2, _fit),
}


# --------------------------------------------------------------------------- aggregates


class _Total:
    """sum() and avg() of intervals."""

    __slots__ = ("_count", "_is_average", "_parts")

    def __init__(self, is_average: bool) -> None:
        self._is_average = is_average
        self._count = 0
        self._parts = [0, 0, 0]

    def step(self, value: Value) -> None:
        self._take(value, 1)

    def inverse(self, value: Value) -> None:
        self._take(value, -1)

    def _take(self, value: Value, times: int) -> None:
        if value is None:
            return
        self._count += times
        for i, part in enumerate(load_span(value)):
            self._parts[i] += times * part

    def value(self) -> Value:
        if not self._count:
            return None
        total = _store(*self._parts)
        return _divided_by(total, float(self._count)) if self._is_average else total

    def finalize(self) -> Value:
        return self.value()


AGGREGATES: Final[Mapping[str, Aggregate]] = {
    "pg_sum_interval": Aggregate(1, lambda: _Total(False)),
    "pg_avg_interval": Aggregate(1, lambda: _Total(True)),
}
