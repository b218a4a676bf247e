"""to_char of times, and the patterns of `time_reading`: as PostgreSQL reads them.

A pattern is read into parts: a field with its modifiers (FM, TH), or plain text. Fields of other
calendars and languages are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from nodes.pgtypes.dates import (
    DAY_US,
    civil,
    days_of,
    is_finite_timestamp,
)
from nodes.pgtypes.formats import Function, FunctionError
from nodes.pgtypes.integers import integer_of
from nodes.pgtypes.intervals import load_span
from nodes.pgtypes.strings import string_of
from nodes.protocol import Value

__all__ = ["DAYS", "FUNCTIONS", "JULIAN_OF_2000", "MONTHS", "Part", "parts_of", "refused_field"]

MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
)
DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_ROMAN: Final = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")
_SECOND_US: Final = 1_000_000
JULIAN_OF_2000: Final = 2_451_545
LENGTH_MAX: Final = 1000
"""Of a pattern."""

_FIELDS: Final = tuple(
    sorted(
        """
        A.D. A.M. AD AM B.C. BC CC DAY DDD DD DY Day Dy D FF1 FF2 FF3 FF4 FF5 FF6 HH24 HH12 HH
        IDDD ID IW IYYY IYY IY I J MI MM MONTH MON MS Month Mon OF P.M. PM Q RM SSSSS SSSS SS TZH
        TZM TZ US WW W Y,YYY YYYY YYY YY Y a.d. ad a.m. am b.c. bc day dy month mon p.m. pm rm tz
        """.split(),  # noqa: SIM905 -- a list of words
        key=len,
        reverse=True,
    )
)
_ANY_CASE: Final = frozenset(
    """
    cc ddd dd d ff1 ff2 ff3 ff4 ff5 ff6 hh24 hh12 hh iddd id iw iyyy iyy iy i j mi mm ms of q sssss
    ssss ss tzh tzm us ww w y,yyy yyyy yyy yy y
    """.split()  # noqa: SIM905 -- a list of words
)
"""Fields that mean the same in small letters."""


@dataclass(frozen=True)
class Part:
    """A field, or `text`, which stood in quotes or is a single character; `ordinal` is TH or th
    behind it."""

    field: str = ""
    text: str = ""
    fills: bool = False
    ordinal: str = ""
    is_quoted: bool = False


@lru_cache(maxsize=256)
def parts_of(pattern: str) -> tuple[Part, ...]:
    if len(pattern) > LENGTH_MAX:
        raise FunctionError("22023", "the pattern of a date or time is too long")
    found: list[Part] = []
    at = 0
    while at < len(pattern):
        fills = False
        while pattern[at : at + 2].upper() in ("FM", "FX", "TM"):
            if pattern[at : at + 2].upper() != "FM":
                raise refused_field(pattern[at : at + 2])
            fills, at = True, at + 2
        field = _field_at(pattern, at)
        if field:
            at += len(field)
            ordinal = pattern[at : at + 2] if pattern[at : at + 2] in ("TH", "th") else ""
            if pattern[at : at + 2] == "SP":
                raise refused_field("SP")
            at += len(ordinal)
            name = field.upper() if field.lower() in _ANY_CASE else field
            found.append(Part(name, "", fills, ordinal))
        elif pattern[at : at + 1] == '"':
            text, at = _quoted(pattern, at + 1)
            found.append(Part(text=text, is_quoted=True))
        elif pattern[at : at + 1]:
            if pattern[at] == "\\" and pattern[at + 1 : at + 2] == '"':
                at += 1
            found.append(Part(text=pattern[at]))
            at += 1
    return tuple(found)


def _field_at(pattern: str, at: int) -> str:
    for field in _FIELDS:
        text = pattern[at : at + len(field)]
        if text == field or (text.lower() in _ANY_CASE and text.lower() == field.lower()):
            return text
    return ""


def _quoted(pattern: str, at: int) -> tuple[str, int]:
    out = []
    while at < len(pattern) and pattern[at] != '"':
        if pattern[at] == "\\" and at + 1 < len(pattern):
            at += 1
        out.append(pattern[at])
        at += 1
    return "".join(out), at + 1


def refused_field(field: str) -> FunctionError:
    return FunctionError(
        "0A000",
        f'"{field}" in a pattern of dates and times is not supported',
        hint="Format it in the application.",
    )


# --------------------------------------------------------------------------- to_char


@dataclass(frozen=True)
class _Moment:
    """What fields show: of a timestamp, or the months, days and time of an interval."""

    year: int
    month: int
    day: int
    clock: int
    days: int | None  # since 2000-01-01; None of an interval
    zone: str = ""

    @property
    def hour(self) -> int:
        return _toward_zero(self.clock, 3600 * _SECOND_US)

    @property
    def minute(self) -> int:
        rest = self.clock - self.hour * 3600 * _SECOND_US
        return _toward_zero(rest, 60 * _SECOND_US)

    @property
    def second(self) -> int:
        rest = self.clock - self.hour * 3600 * _SECOND_US - self.minute * 60 * _SECOND_US
        return _toward_zero(rest, _SECOND_US)

    @property
    def fraction(self) -> int:
        return self.clock - _toward_zero(self.clock, _SECOND_US) * _SECOND_US

    @property
    def shown_year(self) -> int:
        return self.year if self.days is None or self.year > 0 else 1 - self.year

    @property
    def date(self) -> int:
        if self.days is None:
            raise FunctionError(
                "22007",
                "invalid format specification for an interval value",
                hint="Intervals are not tied to specific calendar dates.",
            )
        return self.days

    @property
    def day_of_year(self) -> int:
        if self.days is None:
            return (self.year * 12 + self.month) * 30 + self.day
        return self.date - days_of(self.year, 1, 1) + 1

    @property
    def fixed_date(self) -> int:
        """Where PostgreSQL takes an interval for a date."""
        if self.days is None:
            raise FunctionError("0A000", "such a field of an interval is not supported")
        return self.days

    @property
    def iso(self) -> tuple[int, int, int]:
        """Year, week and day of the year of ISO 8601."""
        date = self.fixed_date
        thursday = date - (date + 5) % 7 + 3
        year, _, _ = civil(thursday)
        first = days_of(year, 1, 4)
        monday = first - (first + 5) % 7
        return year, (date - monday) // 7 + 1, date - monday + 1


def _toward_zero(number: int, by: int) -> int:
    return number // by if number >= 0 else -(-number // by)


def _rest(number: int, by: int) -> int:
    """What C's % leaves: it has the sign of the number."""
    return number - _toward_zero(number, by) * by


def _number(value: int, width: int, part: Part, whole: int | None = None) -> str:
    """Wider by the sign of what `value` is the rest of, which the rest need not have. Days and
    fractions have no more room for a sign."""
    is_narrow = part.field.upper() in _NARROW
    sign = (value if whole is None else whole) < 0 and not is_narrow
    text = str(value) if part.fills else f"{value:0{width + sign}d}"
    return text + _ordinal(text, part.ordinal)


def _ordinal(text: str, wanted: str) -> str:
    if not wanted:
        return ""
    if text[-2:-1] == "1" and len(text) > 1:
        ending = "th"
    else:
        ending = {"1": "st", "2": "nd", "3": "rd"}.get(text[-1], "th")
    return ending.upper() if wanted == "TH" else ending


def _word(name: str, field: str, width: int, part: Part) -> str:
    shown = name.upper() if field.isupper() else name.lower() if field.islower() else name
    return shown if part.fills else shown.ljust(width)


def _shown(part: Part, moment: _Moment) -> str:
    field = part.field
    upper = field.upper()
    if upper == "Q" and not moment.month:
        return ""
    if upper in _NUMBERS:
        width, value = _NUMBERS[upper]
        rest_of = _RESTS.get(upper)
        return _number(value(moment), width, part, rest_of and rest_of(moment))
    match upper:
        case "MONTH":
            return _word(_month(moment), field, 9, part)
        case "MON":
            return _word(_month(moment)[:3], field, 3, part)
        case "DAY":
            return _word(DAYS[(moment.date + 6) % 7], field, 9, part)
        case "DY":
            return _word(DAYS[(moment.date + 6) % 7][:3], field, 3, part)
        case "RM":
            month = moment.month + 1 if moment.month < 0 else moment.month
            is_none = not moment.month and not moment.year
            return "" if is_none else _word(_ROMAN[(month - 1) % 12], field, 4, part)
        case "AM" | "PM" | "A.M." | "P.M.":
            half = "P" if _rest(moment.hour, 24) >= 12 else "A"
            shown = f"{half}.M." if "." in field else f"{half}M"
            return shown.lower() if field.islower() else shown
        case "AD" | "BC" | "A.D." | "B.C.":
            era = "BC" if moment.date is not None and moment.year <= 0 else "AD"
            shown = f"{era[0]}.{era[1]}." if "." in field else era
            return shown.lower() if field.islower() else shown
        case "Y,YYY":
            thousands, rest = _toward_zero(moment.shown_year, 1000), _rest(moment.shown_year, 1000)
            text = f"{thousands},{rest:03d}"
            return text + _ordinal(text, part.ordinal)
        case "CC":
            return _century(moment, part)
        case "TZ":
            moment.date  # noqa: B018 -- raises for an interval
            return moment.zone.lower() if field == "tz" else moment.zone
        case "TZH" | "OF":
            return "+00" if moment.date is not None else ""
        case "TZM":
            return "00" if moment.date is not None else ""
    raise refused_field(field)


def _month(moment: _Moment) -> str:
    moment.date  # noqa: B018 -- raises for an interval
    return MONTHS[moment.month - 1]


def _century(moment: _Moment, part: Part) -> str:
    year = moment.year
    if moment.days is None:
        found = _toward_zero(year, 100)
    elif year > 0:
        found = (year - 1) // 100 + 1
    else:
        found = -(-year // 100) - 1
    return _number(found, 2, part)


_NUMBERS: Final[Mapping[str, tuple[int, Callable[[_Moment], int]]]] = {
    "HH24": (2, lambda m: m.hour),
    "HH12": (2, lambda m: _rest(m.hour, 12) or 12),
    "HH": (2, lambda m: _rest(m.hour, 12) or 12),
    "MI": (2, lambda m: m.minute),
    "SS": (2, lambda m: m.second),
    "MS": (3, lambda m: _toward_zero(m.fraction, 1000)),
    "US": (6, lambda m: m.fraction),
    "FF1": (1, lambda m: _toward_zero(m.fraction, 100_000)),
    "FF2": (2, lambda m: _toward_zero(m.fraction, 10_000)),
    "FF3": (3, lambda m: _toward_zero(m.fraction, 1000)),
    "FF4": (4, lambda m: _toward_zero(m.fraction, 100)),
    "FF5": (5, lambda m: _toward_zero(m.fraction, 10)),
    "FF6": (6, lambda m: m.fraction),
    "SSSS": (1, lambda m: _toward_zero(m.clock, _SECOND_US)),
    "SSSSS": (1, lambda m: _toward_zero(m.clock, _SECOND_US)),
    "YYYY": (4, lambda m: m.shown_year),
    "YYY": (3, lambda m: _rest(m.shown_year, 1000)),
    "YY": (2, lambda m: _rest(m.shown_year, 100)),
    "Y": (1, lambda m: _rest(m.shown_year, 10)),
    "IYYY": (4, lambda m: _iso_year(m)),
    "IYY": (3, lambda m: _iso_year(m) % 1000),
    "IY": (2, lambda m: _iso_year(m) % 100),
    "I": (1, lambda m: _iso_year(m) % 10),
    "MM": (2, lambda m: m.month),
    "DD": (2, lambda m: m.day),
    "DDD": (3, lambda m: m.day_of_year),
    "IDDD": (3, lambda m: m.iso[2]),
    "D": (1, lambda m: (m.date + 6) % 7 + 1),
    "ID": (1, lambda m: (m.date + 5) % 7 + 1),
    "W": (1, lambda m: _toward_zero(m.day - 1, 7) + 1),
    "WW": (2, lambda m: _toward_zero(m.day_of_year - 1, 7) + 1),
    "IW": (2, lambda m: m.iso[1]),
    "Q": (1, lambda m: _toward_zero(m.month - 1, 3) + 1),
    "J": (1, lambda m: m.fixed_date + JULIAN_OF_2000),
}


_NARROW: Final = frozenset({"DD", "MS", "US", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6"})

_RESTS: Final[Mapping[str, Callable[[_Moment], int]]] = {
    **dict.fromkeys(("HH12", "HH"), lambda m: m.hour),
    **dict.fromkeys(("YYY", "YY"), lambda m: m.shown_year),
}
"""What some of them show the rest of."""


def _iso_year(moment: _Moment) -> int:
    year = moment.iso[0]
    return year if year > 0 else 1 - year


def _text(pattern: Value, moment: _Moment) -> str:
    return "".join(
        _shown(part, moment) if part.field else part.text for part in parts_of(string_of(pattern))
    )


def _to_char(zone: str) -> Callable[[Value, Value], str | None]:
    def to_char(value: Value, pattern: Value) -> str | None:
        stamp = integer_of(value)
        if not is_finite_timestamp(stamp) or not string_of(pattern):
            return None
        days, clock = divmod(stamp, DAY_US)
        year, month, day = civil(days)
        return _text(pattern, _Moment(year, month, day, clock, days, zone))

    return to_char


def _to_char_interval(value: Value, pattern: Value) -> str | None:
    if not string_of(pattern):
        return None
    months, days, clock = load_span(value)
    years = _toward_zero(months, 12)
    return _text(pattern, _Moment(years, months - years * 12, days, clock, None))


FUNCTIONS: Final[Mapping[str, Function]] = {
    "pg_to_char_timestamp": Function(2, _to_char("")),
    "pg_to_char_timestamptz": Function(2, _to_char("UTC")),
    "pg_to_char_interval": Function(2, _to_char_interval),
}
