"""to_date and to_timestamp: what a text says by a pattern, read as DCH_from_char and
do_to_timestamp of PostgreSQL's formatting.c read it.

Names of months and days are read in any case; fields of other calendars, of eras and of zones are
refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from nodes.pgtypes.dates import DAY_US, days_of, month_length, within_timestamps
from nodes.pgtypes.formats import Function, FunctionError
from nodes.pgtypes.strings import string_of
from nodes.pgtypes.time_patterns import DAYS, JULIAN_OF_2000, MONTHS, Part, parts_of, refused_field
from nodes.protocol import Value

__all__ = ["FUNCTIONS"]

_LENGTHS: Final = {
    "YYYY": 4, "YYY": 3, "YY": 2, "Y": 1, "MM": 2, "DD": 2, "DDD": 3, "HH24": 2, "HH12": 2,
    "HH": 2, "MI": 2, "SS": 2, "SSSS": 4, "SSSSS": 5, "MS": 3, "US": 6, "J": 1, "FF1": 1, "FF2": 2,
    "FF3": 3, "FF4": 4, "FF5": 5, "FF6": 6,
}  # fmt: skip
"""Characters that a field takes where another number follows it."""

_DAY_LENGTHS: Final = {"AM": 2, "PM": 2, "A.M.": 4, "P.M.": 4}
_NAMES: Final = {
    "MONTH": MONTHS,
    "MON": tuple(name[:3] for name in MONTHS),
    "DAY": DAYS,
    "DY": tuple(name[:3] for name in DAYS),
    **dict.fromkeys(("AM", "PM"), ("am", "pm")),
    **dict.fromkeys(("A.M.", "P.M."), ("a.m.", "p.m.")),
}
_SPACES: Final = " \t\n\v\f\r"
_INTEGER: Final = re.compile(rf"[{_SPACES}]*([+-]?[0-9]+)")
_INT_MAX: Final = 2**31 - 1
_JULIAN_YEAR_MIN: Final = -4713
_JULIAN_YEAR_END: Final = 5_874_898
_DATE_END: Final = days_of(_JULIAN_YEAR_END, 1, 1)


def _is_separator(character: str) -> bool:
    return " " < character < "\x7f" and not character.isalnum()


class _Reader:
    """What a text says, as fields; the ones that it says nothing of are 0."""

    def __init__(self, text: str, pattern: str) -> None:
        self._text = text
        self._at = 0
        self.fields: dict[str, int] = {}
        self.is_twelve = False
        parts = parts_of(pattern)
        for part in parts:
            if part.field and part.field.upper() not in _LENGTHS | _NAMES:
                raise refused_field(part.field)
        self._read(parts)

    def _skip_spaces(self) -> int:
        start = self._at
        while self._at < len(self._text) and self._text[self._at] in _SPACES:
            self._at += 1
        return self._at - start

    def _read(self, parts: Sequence[Part]) -> None:
        extra = 0  # characters that were skipped, and that the pattern has none for
        for number, part in enumerate(parts):
            texts = [""] if part.field else list(part.text)
            for character in texts:
                if self._at >= len(self._text):
                    return
                if part.field or number == 0:
                    extra += self._skip_spaces()
                if not part.field:
                    extra = self._plain(part, character, extra)
                    continue
                self._field(part, parts[number + 1] if number + 1 < len(parts) else None)
                extra = self._skip_spaces()

    def _plain(self, part: Part, character: str, extra: int) -> int:
        """A character of the pattern that is no field: one of the text is skipped for it, if it
        is a separator for a separator, or any that nothing was skipped for yet."""
        found = self._text[self._at : self._at + 1]
        if not part.is_quoted and (character in _SPACES or _is_separator(character)):
            if found and (found in _SPACES or _is_separator(found)):
                self._at += 1
                return extra
            return extra - 1
        if extra > 0:
            return extra - 1
        self._at += 1
        return extra

    def _field(self, part: Part, following: Part | None) -> None:
        field = part.field.upper()
        if field in _NAMES:
            self._name(field, part)
            return
        start = self._at
        value = self._number(part, _LENGTHS[field], following)
        used = self._at - start
        if part.ordinal:
            self._at += 2
        match field:
            case "YYYY" | "YYY" | "YY" | "Y":
                self._set("YEAR", part, value)
                if field != "YYYY" and used < 4:
                    self.fields["YEAR"] = _near_2020(value)
            case "HH" | "HH12" | "HH24":
                self.is_twelve = self.is_twelve or field != "HH24"
                self._set("HH", part, value)
            case "MS":
                self._set("MS", part, value)
                self.fields["MS"] *= 10 ** max(0, 3 - used)
            case "US" | "FF1" | "FF2" | "FF3" | "FF4" | "FF5" | "FF6":
                self._set("US", part, value)
                self.fields["US"] *= 10 ** max(0, 6 - used)
            case "SSSSS":
                self._set("SSSS", part, value)
            case _:
                self._set(field, part, value)

    def _number(self, part: Part, length: int, following: Part | None) -> int:
        """from_char_parse_int_len: all digits that there are, or exactly `length` characters."""
        copy = self._text[self._at : self._at + length]
        if part.fills or part.ordinal or _is_no_digit(following):
            found = _INTEGER.match(self._text, self._at)
        else:
            if len(copy) < length:
                raise FunctionError(
                    "22007", f'source string too short for "{part.field}" formatting field'
                )
            found = _INTEGER.match(copy)
            if found is not None and found.end() < length:
                raise self._invalid(copy, part)
        if found is None:
            raise self._invalid(copy, part)
        value = int(found[1])
        if not -_INT_MAX - 1 <= value <= _INT_MAX:
            raise FunctionError(
                "22008", f'value for "{part.field}" in source string is out of range'
            )
        self._at += len(found[0])
        return value

    def _set(self, field: str, part: Part, value: int) -> None:
        """from_char_set_int."""
        if self.fields.get(field, 0) not in (0, value):
            raise FunctionError(
                "22007", f'conflicting values for "{part.field}" field in formatting string'
            )
        self.fields[field] = value

    def _name(self, field: str, part: Part) -> None:
        rest = self._text[self._at :].lower()
        names = _NAMES[field]
        at = next((i for i, name in enumerate(names) if rest.startswith(name.lower())), None)
        if at is None:
            raise self._invalid(re.split(rf"[{_SPACES}]", self._text[self._at :])[0], part)
        self._at += len(names[at])
        if field in ("MONTH", "MON"):
            self._set("MM", part, at + 1)
        elif field in _DAY_LENGTHS:
            self._set("PM", part, at)
            self.is_twelve = True

    def _invalid(self, word: str, part: Part) -> FunctionError:
        return FunctionError("22007", f'invalid value "{word}" for "{part.field}"')

    # ------------------------------------------------------------------ do_to_timestamp

    def days(self) -> int:
        """Of the date, from 2000-01-01. Raises FunctionError."""
        get = self.fields.get
        year = get("YEAR", 0)
        has_year = year != 0
        year += year < 0  # 1 BC is the year 0
        month, day = get("MM", 0) or 1, get("DD", 0) or 1
        if get("J", 0):
            if get("J", 0) < 0 or get("MM", 0) or get("DD", 0):
                raise refused_field("J")
            return get("J", 0) - JULIAN_OF_2000
        of_year = get("DDD", 0)
        if of_year and (month <= 1 or day <= 1):
            if not year:
                raise FunctionError(
                    "22007", "cannot calculate day of year without year information"
                )
            month, day = self._of_year(year, month, day, of_year)
        longest = month_length(year, month) if has_year and 1 <= month <= 12 else 31
        if not 1 <= month <= 12 or not 1 <= day <= longest:
            raise self._out_of_range()
        if not _JULIAN_YEAR_MIN <= year < _JULIAN_YEAR_END:
            raise FunctionError("22008", f'date out of range: "{self._text}"')
        return days_of(year, month, 1) + day - 1

    def _of_year(self, year: int, month: int, day: int, of_year: int) -> tuple[int, int]:
        """Its month and its day, where the text does not say them otherwise."""
        before, number = 0, 1
        while number <= 12 and of_year > before + month_length(year, number):
            before += month_length(year, number)
            number += 1
        return (number if month <= 1 else month), (of_year - before if day <= 1 else day)

    def clock(self) -> int:
        """Microseconds of the day. Raises FunctionError."""
        get = self.fields.get
        seconds = get("SSSS", 0)
        hour = get("HH", 0) or _toward_zero(seconds, 3600)
        rest = seconds - _toward_zero(seconds, 3600) * 3600
        minute = get("MI", 0) or _toward_zero(rest, 60)
        second = get("SS", 0) or rest - _toward_zero(rest, 60) * 60
        if self.is_twelve:
            if not 1 <= hour <= 12:
                raise FunctionError(
                    "22007",
                    f'hour "{hour}" is invalid for the 12-hour clock',
                    hint="Use the 24-hour clock, or give an hour between 1 and 12.",
                )
            hour = hour % 12 + 12 * get("PM", 0)
        fraction = get("MS", 0) * 1000 + get("US", 0)
        limits = ((hour, 24), (minute, 60), (second, 60), (fraction, 1_000_000))
        if any(not 0 <= value < end for value, end in limits):
            raise self._out_of_range()
        return ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction

    def _out_of_range(self) -> FunctionError:
        return FunctionError("22008", f'date/time field value out of range: "{self._text}"')


def _is_no_digit(following: Part | None) -> bool:
    """is_next_separator: what follows cannot be a part of the number."""
    if following is None:
        return True
    if following.field:
        return following.field.upper() in _NAMES
    return following.text[:1] not in "0123456789"


def _near_2020(year: int) -> int:
    """A year of less than four digits: adjust_partial_year_to_2020."""
    if year < 70 or 100 <= year < 520:
        return year + 2000
    if year < 100:
        return year + 1900
    return year + 1000 if year < 1000 else year


def _toward_zero(number: int, by: int) -> int:
    return number // by if number >= 0 else -(-number // by)


def _to_timestamp(text: Value, pattern: Value) -> int:
    reader = _Reader(string_of(text), string_of(pattern))
    days = reader.days()
    return within_timestamps(days * DAY_US + reader.clock())


def _to_date(text: Value, pattern: Value) -> int:
    reader = _Reader(string_of(text), string_of(pattern))
    days = reader.days()
    reader.clock()
    if not -JULIAN_OF_2000 <= days < _DATE_END:
        raise FunctionError("22008", f'date out of range: "{string_of(text)}"')
    return days


FUNCTIONS: Final[Mapping[str, Function]] = {
    "pg_to_timestamp": Function(2, _to_timestamp),
    "pg_to_date": Function(2, _to_date),
}
