"""Reading dates and times: from PostgreSQL's many spellings to numbers.

Words and numbers are told apart first, then each is a part: ISO 8601 with - or without, a month's
name with day and year around it, month/day/year (DateStyle is ISO, MDY), a clock with AM or PM, a
zone as an offset or as UTC, an era. Named zones are refused, for they are data of a machine, and so
are 'now' and 'today': a literal's value would depend on when it was read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from nodes.pgtypes.date_faults import MONTHS, WEEKDAYS, fault
from nodes.pgtypes.formats import SPACES, ValueFormatError

__all__ = ["Parts", "microseconds_of", "read_parts"]

MINUTE_US: Final = 60_000_000
HOUR_US: Final = 3_600_000_000
DAY_US: Final = 86_400_000_000
OFFSET_HOURS_MAX: Final = 15

_MAY_BE_A_ZONE: Final = re.compile(r"[0-9]{6}\s*[A-Za-z]{2,}[0-9]")
"""Behind a date written in one number PostgreSQL takes such a word for the name of a time zone."""


@dataclass
class Parts:
    """What a text says. `day` is (year, month, day), of which the day is not checked against its
    month, and year 0 is 1 BC; `clock` is microseconds of the day; `offset` those east of UTC."""

    day: tuple[int, int, int] | None = None
    clock: int = 0
    offset: int | None = None
    infinite: int = 0


_UTC: Final = frozenset({"z", "utc", "gmt", "zulu", "ut", "uct"})
_MOMENTS: Final = frozenset({"now", "today", "tomorrow", "yesterday"})

_TOKEN: Final = re.compile(
    r"""
    (?P<space>[\ \t\n\v\f\r,]+)
  | (?P<clock>\d{1,2}:\d{1,2}(?::\d{1,2}(?:\.\d*)?)?)
  | (?P<iso>\d{3,}-\d{1,2}-\d{1,2})
  | (?P<named>\d+-[A-Za-z]+-\d+ | [A-Za-z]{3,}-\d+-\d+)
  | (?P<slashed>\d+[/.]\d+[/.]\d+ | \d{1,2}-\d{1,2}-\d+)
  | (?P<digits>\d+(?:\.\d*)?)
  | (?P<offset>[+-]\d{1,2}(?::\d{1,2}(?::\d{1,2})?)?(?!\d) | [+-]\d{4}(?:\d\d)?(?!\d))
  | (?P<word>[+-]?[A-Za-z]+(?:/[A-Za-z_]+)*)
    """,
    re.VERBOSE | re.ASCII,
)

_NAMED_MONTH: Final = "(?:" + "|".join(sorted(MONTHS, key=len, reverse=True)) + ")"
_ISO_DATE: Final = r"(?: \d{4,7}-\d{1,2}-\d{1,2} | \d{8} )"
_NAMED_DATE: Final = (
    "(?:"
    + "|".join(
        (
            r"\d{1,2}/\d{1,2}/\d{4}",
            rf"\d{{4}}-{_NAMED_MONTH}-\d{{1,2}}",
            rf"{_NAMED_MONTH}-\d{{1,2}}-\d{{4}}",
            rf"\d{{1,2}}-{_NAMED_MONTH}-\d{{4}}",
            rf"{_NAMED_MONTH}\s+\d{{1,2}}(?:,\s*|\s+)\d{{4}}",
            rf"\d{{1,2}}\s+{_NAMED_MONTH}\s+\d{{4}}",
        )
    )
    + ")"
)
_SHORT_DATE: Final = r"(?: \d{6} | \d{1,2}/\d{1,2}/\d{2} )"  # whose year is of this century
_ZONE: Final = r"""(?: z|utc|gmt|zulu|ut|uct
    | [+-](?: \d{1,2}(?::\d{1,2}(?::\d{1,2})?)? | \d{4} | \d{6}) )"""
_TIME: Final = rf"""(?: \d{{1,2}}:\d{{1,2}}(?::\d{{1,2}}(?:\.\d*)?)?
        (?: \s*[ap]m(?:\s+{_ZONE})? | \s*{_ZONE} )?
    | \d{{6}}(?:\.\d+)? | allballs )"""
_AFTER_DATE: Final = rf"(?: \s+{_TIME} | \s*(?:z|utc|gmt) | \s+{_ZONE} )?"
_ERA: Final = r"(?: \s+(?:bc|ad) )"
_FLAGS: Final = re.VERBOSE | re.ASCII | re.IGNORECASE
_SURE_TIME: Final = re.compile(_TIME, _FLAGS)
_SURE_DATE: Final = re.compile(
    rf"""(?: {_ISO_DATE} (?: {_ERA} | (?:{_AFTER_DATE}|t{_TIME}) {_ERA}? )?
    | {_NAMED_DATE} (?: {_ERA} | {_AFTER_DATE} {_ERA}? )? | {_SHORT_DATE} {_AFTER_DATE} )""",
    _FLAGS,
)
"""The forms in which a text is read as PostgreSQL reads it. It makes something of many others,
whose parts stand in another order or twice, and of some of these something else than is here."""


class _Reader:
    """Reads one text."""

    def __init__(self, text: str, kind: str) -> None:
        self.text = text
        self.kind = kind
        self.year: int | None = None
        self.month: int | None = None
        self.day: int | None = None
        self.clock: int | None = None
        self.offset: int | None = None
        self.is_bc = False
        self.half = ""  # am or pm
        self.has_t = False

    def malformed(self) -> ValueFormatError:
        if _MAY_BE_A_ZONE.search(self.text):
            return ValueFormatError(
                "0A000",
                f'a time zone as in "{self.text}" is not supported',
                hint="Write its offset, as in +01, or convert the time to UTC.",
            )
        return ValueFormatError(
            "22007", f'invalid input syntax for type {self.kind}: "{self.text}"'
        )

    def faulty(self, sqlstate: str) -> ValueFormatError:
        """What PostgreSQL says of the text; if that is nothing, that it is not read here."""
        match sqlstate:
            case "22007":
                return self.malformed()
            case "22008":
                return self.out_of_range()
            case "22009":
                return ValueFormatError(
                    sqlstate, f'time zone displacement out of range: "{self.text}"'
                )
            case "22023":
                return ValueFormatError(sqlstate, f'time zone "{self.text}" not recognized')
        return self.unsupported()

    def unsupported(self) -> ValueFormatError:
        return ValueFormatError(
            "0A000",
            f'this form of a {self.kind} is not supported: "{self.text}"',
            hint="Write it as 2024-02-29 12:34:56.789+01, or the part of that which it has.",
        )

    def out_of_range(self, hint: str = "") -> ValueFormatError:
        return ValueFormatError(
            "22008", f'date/time field value out of range: "{self.text}"', hint=hint
        )

    def read(self) -> Parts:
        trimmed = self.text.strip(SPACES)
        word = trimmed.lower()
        if word in ("infinity", "+infinity", "-infinity", "inf", "-inf", "+inf") and (
            self.kind != "time"
        ):
            return Parts(infinite=-1 if word[0] == "-" else 1)
        if word == "epoch" and self.kind != "time":
            return Parts(day=(1970, 1, 1), offset=0)
        at = 0
        while at < len(trimmed):
            found = _TOKEN.match(trimmed, at)
            if found is None:
                raise self.malformed()
            kind = found.lastgroup
            assert kind is not None
            if kind != "space":
                getattr(self, f"_{kind}")(found[0])
            at = found.end()
        parts = self._finish()
        sure = _SURE_TIME if self.kind == "time" else _SURE_DATE
        if not sure.fullmatch(trimmed):
            raise self.unsupported()
        return parts

    # ---- tokens

    def _iso(self, text: str) -> None:
        year, month, day = text.split("-")
        self._set_date(int(year), int(month), int(day))

    def _named(self, text: str) -> None:
        first, second, third = text.split("-")
        if first.isalpha():
            month, day, year = first, second, third
        else:
            day, month, year = first, second, third
            if len(day) > 2:
                day, year = year, day
        self._set_date(self._year_of(year), self._month_of(month), int(day))

    def _slashed(self, text: str) -> None:
        first, second, third = re.split(r"[/.-]", text)
        if len(first) > 2:
            self._set_date(int(first), int(second), int(third))
        else:
            self._set_date(self._year_of(third), int(first), int(second))

    def _year_of(self, digits: str) -> int:
        """Two digits are of the years 1970 to 2069."""
        year = int(digits)
        if len(digits) <= 2:
            year += 2000 if year < 70 else 1900
        return year

    def _month_of(self, word: str) -> int:
        month = MONTHS.get(word.lower())
        if month is None:
            raise self.malformed()
        return month

    def _set_date(self, year: int, month: int, day: int) -> None:
        if self.year is not None or self.month is not None or self.day is not None:
            raise self.malformed()
        self.year, self.month, self.day = year, month, day

    def _clock(self, text: str) -> None:
        if self.clock is not None:
            raise self.malformed()
        hour, minute, *second = text.split(":")
        self._set_clock(int(hour), int(minute), second[0] if second else "0")

    def _set_clock(self, hour: int, minute: int, second: str) -> None:
        microseconds = microseconds_of(second)
        if minute > 59 or microseconds > MINUTE_US or hour > 24:
            raise self.out_of_range()
        clock = hour * HOUR_US + minute * MINUTE_US + microseconds
        if clock > DAY_US:
            raise self.out_of_range()
        self.clock = clock

    def _digits(self, text: str) -> None:
        whole = text.partition(".")[0]
        if (
            len(whole) in (6, 8)
            and not self._has_date()
            and self.kind != "time"
            and "." not in text
        ):
            year = whole[:-4]
            self._set_date(self._year_of(year), int(whole[-4:-2]), int(whole[-2:]))
        elif len(whole) in (4, 6) and self.clock is None and (self.has_t or self._needs_clock()):
            second = (text[4:] or "0") if len(whole) == 6 else "0"
            self._set_clock(int(text[:2]), int(text[2:4]), second)
        elif "." in text:
            raise self.malformed()
        elif self.clock is None and self.kind == "time" and len(text) <= 2:
            self._set_clock(int(text), 0, "0")
        elif (self.month is not None and self.day is None and len(text) <= 2) or (
            self.month is None and self.day is None and len(text) <= 2
        ):
            self.day = int(text)
        elif self.year is None and self.kind != "time":
            self.year = self._year_of(text)
        else:
            raise self.malformed()

    def _has_date(self) -> bool:
        return self.day is not None or self.month is not None

    def _needs_clock(self) -> bool:
        return self.kind == "time" or (self.year is not None and self._has_date())

    def _offset(self, text: str) -> None:
        if self.offset is not None or (self.clock is None and self.kind == "time"):
            raise self.malformed()
        sign = -1 if text[0] == "-" else 1
        digits = text[1:]
        if ":" in digits:
            fields = [int(field) for field in digits.split(":")]
        elif len(digits) > 2:
            fields = [int(digits[i : i + 2]) for i in range(0, len(digits), 2)]
        else:
            fields = [int(digits)]
        hour, minute, second = (*fields, 0, 0)[:3]
        if hour > OFFSET_HOURS_MAX or minute > 59 or second > 59:
            raise ValueFormatError("22009", f'time zone displacement out of range: "{self.text}"')
        self.offset = sign * (hour * HOUR_US + minute * MINUTE_US + second * 1_000_000)

    def _word(self, text: str) -> None:
        word = text.lower()
        if word in MONTHS and self.month is None:
            self.month = MONTHS[word]
            if self.year is not None and self.day is None and self.year < 100:
                self.year, self.day = None, self.year
        elif word == "t" and self.clock is None:
            self.has_t = True
        elif word in ("bc", "b.c."):
            self.is_bc = True
        elif word in ("ad", "a.d.") or word in WEEKDAYS:
            pass
        elif word in ("am", "pm") and self.clock is not None and not self.half:
            self.half = word
        elif word == "allballs" and self.clock is None:
            self.clock = 0
        elif word in _UTC and self.offset is None:
            self.offset = 0
        elif word in _MOMENTS:
            raise ValueFormatError(
                "0A000",
                f"the value '{word}' is not supported in a literal",
                hint="Its value would depend on when it is read: use now() or current_date.",
            )
        elif "/" in word or (len(word) >= 3 and self.clock is not None and word.isalpha()):
            raise ValueFormatError(
                "0A000",
                f'the time zone "{text}" is not supported',
                hint="Write its offset, as in +01, or convert the time to UTC.",
            )
        else:
            raise self.malformed()

    # ---- the end

    def _finish(self) -> Parts:
        clock = self.clock
        if self.half and clock is not None:
            hour = clock // HOUR_US
            if not 1 <= hour <= 12:
                raise self.out_of_range()
            clock += ((self.half == "pm") * 12 - (12 if hour == 12 else 0)) * HOUR_US
        if self.kind == "time":
            if clock is None:
                raise self.malformed()
            return Parts(clock=clock, offset=self.offset)
        hint = 'Perhaps you need a different "datestyle" setting.'
        if self.year is None or self.month is None or self.day is None:
            if self.month is None and self.day is not None and not 1 <= self.day <= 12:
                raise self.out_of_range(hint)  # the first number is a month
            raise self.malformed()
        if not 1 <= self.month <= 12 or not 1 <= self.day <= 31:
            raise self.out_of_range(hint)
        year = self.year
        if self.is_bc:
            if year < 1:
                raise self.out_of_range()
            year = 1 - year
        elif year == 0:
            raise self.out_of_range()
        return Parts((year, self.month, self.day), clock or 0, self.offset)


def microseconds_of(seconds: str) -> int:
    """Of a text like 5.25, rounded to the nearest, halves to even as rint() does."""
    whole, _, fraction = seconds.partition(".")
    exact = Decimal(f"0.{fraction}") if fraction else Decimal(0)
    part = int((exact * 1_000_000).to_integral_value(ROUND_HALF_EVEN)) if fraction else 0
    return int(whole or "0") * 1_000_000 + part


def read_parts(text: str, kind: str) -> Parts:
    """What `text` says, for a `date`, a `time`, a `timestamp` or a `timestamp with time zone`.

    Raises ValueFormatError: 22007 for a text that is none, 22008 for a field out of its range,
    0A000 for what is PostgreSQL's but not read here.
    """
    reader = _Reader(text, kind)
    try:
        return reader.read()
    except ValueFormatError as exc:
        if exc.sqlstate not in ("22007", "22008", "22009"):
            raise
        found = fault(text, is_time=kind == "time")
        if found == exc.sqlstate:
            raise
        raise reader.faulty(found) from exc
