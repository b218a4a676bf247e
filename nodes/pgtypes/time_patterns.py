"""to_char of times, and to_date and to_timestamp: patterns as PostgreSQL reads them.

A pattern is read into parts: a field with its modifiers (FM, TH), or plain text. Fields of other
calendars and languages are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from nodes.pgtypes.dates import (
    DAY_US,
    civil,
    days_of,
    is_finite_timestamp,
    month_length,
    within_timestamps,
)
from nodes.pgtypes.formats import Function, FunctionError
from nodes.pgtypes.integers import integer_of
from nodes.pgtypes.intervals import load_span
from nodes.pgtypes.strings import string_of
from nodes.protocol import Value

__all__ = ["FUNCTIONS"]

MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
)
DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_ROMAN: Final = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")
_SECOND_US: Final = 1_000_000
_JULIAN_OF_2000: Final = 2_451_545
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
    """A field, or `text`; `ordinal` is TH or th behind it."""

    field: str = ""
    text: str = ""
    fills: bool = False
    ordinal: str = ""


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
                raise _refused(pattern[at : at + 2])
            fills, at = True, at + 2
        field = _field_at(pattern, at)
        if field:
            at += len(field)
            ordinal = pattern[at : at + 2] if pattern[at : at + 2] in ("TH", "th") else ""
            if pattern[at : at + 2] == "SP":
                raise _refused("SP")
            at += len(ordinal)
            name = field.upper() if field.lower() in _ANY_CASE else field
            found.append(Part(name, "", fills, ordinal))
        elif pattern[at : at + 1] == '"':
            text, at = _quoted(pattern, at + 1)
            found.append(Part(text=text))
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


def _refused(field: str) -> FunctionError:
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
        return self.date - days_of(self.year, 1, 1) + 1

    @property
    def iso(self) -> tuple[int, int, int]:
        """Year, week and day of the year of ISO 8601."""
        thursday = self.date - (self.date + 5) % 7 + 3
        year, _, _ = civil(thursday)
        first = days_of(year, 1, 4)
        monday = first - (first + 5) % 7
        return year, (self.date - monday) // 7 + 1, self.date - monday + 1


def _toward_zero(number: int, by: int) -> int:
    return number // by if number >= 0 else -(-number // by)


def _number(value: int, width: int, part: Part) -> str:
    sign = value < 0 and part.field != "DD"
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
    if upper in _NUMBERS:
        width, value = _NUMBERS[upper]
        return _number(value(moment), width, part)
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
            return _word(_ROMAN[(moment.month - 1) % 12] if moment.month else "", field, 4, part)
        case "AM" | "PM" | "A.M." | "P.M.":
            half = "P" if moment.hour % 24 >= 12 else "A"
            shown = f"{half}.M." if "." in field else f"{half}M"
            return shown.lower() if field.islower() else shown
        case "AD" | "BC" | "A.D." | "B.C.":
            era = "BC" if moment.date is not None and moment.year <= 0 else "AD"
            shown = f"{era[0]}.{era[1]}." if "." in field else era
            return shown.lower() if field.islower() else shown
        case "Y,YYY":
            thousands, rest = divmod(moment.shown_year, 1000)
            text = f"{thousands},{rest:03d}"
            return text + _ordinal(text, part.ordinal)
        case "CC":
            return _century(moment, part)
        case "TZ":
            return moment.zone.lower() if field == "tz" else moment.zone
        case "TZH" | "OF":
            return "+00" if moment.date is not None else ""
        case "TZM":
            return "00" if moment.date is not None else ""
    raise _refused(field)


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
    "HH12": (2, lambda m: m.hour % 12 or 12),
    "HH": (2, lambda m: m.hour % 12 or 12),
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
    "YYY": (3, lambda m: m.shown_year % 1000),
    "YY": (2, lambda m: m.shown_year % 100),
    "Y": (1, lambda m: m.shown_year % 10),
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
    "W": (1, lambda m: (m.day - 1) // 7 + 1),
    "WW": (2, lambda m: (m.day_of_year - 1) // 7 + 1),
    "IW": (2, lambda m: m.iso[1]),
    "Q": (1, lambda m: (m.month - 1) // 3 + 1),
    "J": (1, lambda m: m.date + _JULIAN_OF_2000),
}


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


# --------------------------------------------------------------------------- to_timestamp

_LENGTHS: Final = {
    "YYYY": 4, "YYY": 3, "YY": 2, "Y": 1, "MM": 2, "DD": 2, "DDD": 3, "HH24": 2, "HH12": 2,
    "HH": 2, "MI": 2, "SS": 2, "MS": 3, "US": 6, "J": 7, "FF1": 1, "FF2": 2, "FF3": 3, "FF4": 4,
    "FF5": 5, "FF6": 6,
}  # fmt: skip
_DIGITS: Final = re.compile(r"[0-9]+")
_LETTERS: Final = re.compile(r"[A-Za-z.]+")


class _Read:
    """What a text says, by a pattern."""

    def __init__(self, text: str, pattern: str) -> None:
        self._text = text
        self._at = 0
        self.fields: dict[str, int] = {}
        self.fraction = 0
        parts = parts_of(pattern)
        for part, following in zip(parts, [*parts[1:], None], strict=True):
            if not part.field:
                self._separator(part.text)
            else:
                self._skip_spaces()
                self._field(part, following)

    def _skip_spaces(self) -> None:
        while self._text[self._at : self._at + 1] in (" ", "\t", "\n"):
            self._at += 1

    def _separator(self, text: str) -> None:
        """Text of the pattern: the same there, or what stands between fields."""
        for character in text:
            if character in " \t\n":
                self._skip_spaces()
                continue
            found = self._text[self._at : self._at + 1]
            if found == character or (found and not found.isalnum() and not character.isalnum()):
                self._at += 1
            elif found:
                raise self._refused()

    def _refused(self) -> FunctionError:
        return FunctionError(
            "0A000",
            f'"{self._text}" does not follow the pattern closely enough to be read',
            hint="Write the pattern with the separators that the text has.",
        )

    def _field(self, part: Part, following: Part | None) -> None:
        field = part.field.upper()
        if field in ("MONTH", "MON", "DAY", "DY", "AM", "PM", "A.M.", "P.M."):
            self._name(field, part)
            return
        if field not in _LENGTHS:
            raise _refused(part.field)
        length = _LENGTHS[field]
        is_open = following is None or (not following.field and not following.text[:1].isdigit())
        found = _DIGITS.match(self._text, self._at)
        if found is None:
            rest = self._text[self._at : self._at + length]
            if not rest:
                return  # the text has ended: the rest has its least value
            raise FunctionError(
                "22007", f'invalid value "{rest}" for "{part.field}"', "Value must be an integer."
            )
        digits = found[0] if is_open and field[:2] not in ("MS", "US", "FF") else found[0][:length]
        if len(digits) > 9:
            raise FunctionError(
                "22008", f'value for "{part.field}" in source string is out of range'
            )
        self._at += len(digits)
        if field in ("MS", "US") or field.startswith("FF"):
            self.fraction = int(digits.ljust(6, "0")[:6])
            return
        self.fields[field] = int(digits)
        if part.ordinal:
            self._at += 2

    def _name(self, field: str, part: Part) -> None:
        found = _LETTERS.match(self._text, self._at)
        word = found[0].lower() if found else ""
        if field in ("AM", "PM", "A.M.", "P.M."):
            length = len(field)
            half = word[:length].replace(".", "")
            if half not in ("am", "pm"):
                raise self._invalid(part, word)
            self.fields["PM"] = int(half == "pm")
            self._at += length
            return
        names = MONTHS if field.startswith("MON") else DAYS
        shown = [name if len(field) > 3 or field == "DAY" else name[:3] for name in names]
        at = next((i for i, name in enumerate(shown) if word.startswith(name.lower())), None)
        if at is None:
            raise self._invalid(part, word)
        self._at += len(shown[at])
        if field.startswith("MON"):
            self.fields["MM"] = at + 1

    def _invalid(self, part: Part, word: str) -> FunctionError:
        return FunctionError(
            "22007",
            f'invalid value "{word}" for "{part.field}"',
            "The given value did not match any of the allowed values for this field.",
        )

    def stamp(self) -> int:
        get = self.fields.get
        if "J" in self.fields:
            days = self.fields["J"] - _JULIAN_OF_2000
        else:
            year, month, day = self._year(), get("MM", 1), get("DD", 1)
            if not 1 <= month <= 12 or not 1 <= day <= month_length(year, month):
                raise self._out_of_range()
            days = days_of(year, month, day)
            if "DDD" in self.fields:
                days = days_of(year, 1, 1) + self.fields["DDD"] - 1
                if not 1 <= self.fields["DDD"] <= 366:
                    raise self._out_of_range()
        return within_timestamps(days * DAY_US + self._clock())

    def _year(self) -> int:
        for field, length in (("YYYY", 4), ("YYY", 3), ("YY", 2), ("Y", 1)):
            if field in self.fields:
                year = self.fields[field]
                if length < 4 and year < 10**length:
                    # As close to 2020 as it can be.
                    if length == 3:
                        year += 2000 if year < 520 else 1000
                    else:
                        year += 2000 if year < 70 else 1900
                if year == 0:
                    year = 1 if len(self.fields) else 0
                return year
        return 0  # 1 BC, as PostgreSQL has it

    def _clock(self) -> int:
        get = self.fields.get
        hour, minute, second = get("HH24", 0), get("MI", 0), get("SS", 0)
        twelve = get("HH12", get("HH"))
        if twelve is not None:
            if not 1 <= twelve <= 12:
                raise FunctionError(
                    "22007",
                    f'hour "{twelve}" is invalid for the 12-hour clock',
                    hint="Use the 24-hour clock, or give an hour between 1 and 12.",
                )
            hour = twelve
        if "PM" in self.fields:
            hour = hour % 12 + 12 * self.fields["PM"] if twelve is not None else hour
        if hour > 23 or minute > 59 or second > 59:
            raise self._out_of_range()
        return ((hour * 60 + minute) * 60 + second) * _SECOND_US + self.fraction

    def _out_of_range(self) -> FunctionError:
        return FunctionError("22008", f'date/time field value out of range: "{self._text}"')


def _to_timestamp(text: Value, pattern: Value) -> int:
    return _Read(string_of(text), string_of(pattern)).stamp()


def _to_date(text: Value, pattern: Value) -> int:
    return _to_timestamp(text, pattern) // DAY_US


FUNCTIONS: Final[Mapping[str, Function]] = {
    "pg_to_char_timestamp": Function(2, _to_char("")),
    "pg_to_char_timestamptz": Function(2, _to_char("UTC")),
    "pg_to_char_interval": Function(2, _to_char_interval),
    "pg_to_timestamp": Function(2, _to_timestamp),
    "pg_to_date": Function(2, _to_date),
}
