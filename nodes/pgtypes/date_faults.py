"""What PostgreSQL says of a text that is no date or time: ParseDateTime, DecodeDateTime and
DecodeTimeOnly of its datetime.c, as far as they find a fault.

It takes a text apart and goes through its fields from the left; the first that makes no sense
decides the SQLSTATE. Some texts make sense to it that nobody would write: those are told apart, for
here they are refused.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["MONTHS", "WEEKDAYS", "fault"]

BAD_FORMAT: Final = "22007"
OVERFLOW: Final = "22008"
ZONE_OVERFLOW: Final = "22009"
NO_ZONE: Final = "22023"

_INT: Final = 2**31 - 1
_YEAR, _MONTH, _DAY, _TIME, _ZONE, _OF_YEAR = 1, 2, 4, 8, 16, 32
_DATE: Final = _YEAR | _MONTH | _DAY
_FIELDS_MAX: Final = 25
_OFFSET_HOURS_MAX: Final = 15

MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            ("jan", "january"), ("feb", "february"), ("mar", "march"), ("apr", "april"),
            ("may",), ("jun", "june"), ("jul", "july"), ("aug", "august"),
            ("sep", "sept", "september"), ("oct", "october"), ("nov", "november"),
            ("dec", "december"),
        ),
        1,
    )
    for name in names
}  # fmt: skip
_IGNORED: Final = frozenset({"at", "on"})
WEEKDAYS: Final = frozenset(
    """
    sun sunday mon monday tue tues tuesday wed weds wednesday thu thur thurs thursday fri friday
    sat saturday
    """.split()  # noqa: SIM905 -- a list of words
)
_SPECIAL: Final = frozenset(
    """
    ad allballs am bc d dow doy dst epoch h infinity isodow isoyear j jd julian m mm now pm s t
    today tomorrow y yesterday
    """.split()  # noqa: SIM905 -- a list of words
)
_KNOWN: Final = MONTHS.keys() | _IGNORED | WEEKDAYS | _SPECIAL

_ZONES: Final = frozenset(
    """
    acdt acsst acst act acwst adt aedt aesst aest aft akdt akst almst almt amst amt anast anat
    arst art ast awsst awst azost azot azst azt bdst bdt bnt bort bot bra brst brt bst btt cadt
    cast cct cdt cest cet cetdst chadt chast chut ckt clst clt cot cst cuba cxt davt ddut easst
    east eat edt eest eet eetdst egst egt egypt eire est factory fet fjst fjt fkst fkt fnst fnt
    galt gamt gb gest get gft gilt gmt greenwich gyt hkt hongkong hst iceland ict idt iot iran
    irkst irkt irt israel ist jamaica japan jayt jst kdt kgst kgt kost krast krat kst kwajalein
    lhdt lhst libya ligt lint lkt localtime magst magt mart mawt mdt mest mesz met metdst mez mht
    mmt mpt msd msk mst must mut mvt myt navajo ndt nft novst novt npt nst nut nz nzdt nzst nzt
    omsst omst pdt pet petst pett pgt pht pkst pkt pmdt pmst poland pont portugal posixrules prc
    pst pwt pyst pyt ret roc rok sadt sast sct sgt singapore taht tft tjt tkt tmt tot trut turkey
    tvt uct ulast ulat universal ut utc uyst uyt uzst uzt vet vlast vlat volt vut wadt wakt wast
    wat wdt wet wetdst wft wgst wgt xjt yakst yakt yapt yekst yekt z zulu
    """.split()  # noqa: SIM905 -- a list of words
)
"""Names and abbreviations of time zones that are one word."""
_ZONE_WORD: Final = re.compile(r"[a-z_]+(?:[/-][a-z_+0-9-]+)+")
"""What may be the name of a time zone."""
_POSIX_ZONE: Final = re.compile(
    r"[^\d,+-]+[+-]?0*(\d{1,3})(?::\d+){0,2}(?:[^\d,+-]+(?:[+-]?0*(\d{1,3})(?::\d+){0,2})?)?"
)
"""A name, even of one letter, and an offset: a time zone in the style of POSIX. Another name and
its offset may follow."""
_POSIX_HOURS_MAX: Final = 167

_FIELD: Final = re.compile(
    r"""
    (?P<time>\d+:[\d:.]*)
  | (?P<date>\d+(?:-\d+-[\d-]* | /\d+/[\d/]* | \.\d+\.[\d.]*))
  | (?P<short>\d+[-/]\d+)
  | (?P<named>\d+(?P<delimiter>[-/.])(?!\d)(?:[A-Za-z0-9]|(?P=delimiter))*)
  | (?P<number>\d+(?:\.\d+)?|\.\d*)
  | (?P<word>[A-Za-z]+)
  | (?P<sign>[+-]\s*(?:\d[\d:.-]*|[A-Za-z]+)?)
  | (?P<ignored>[^\w\s]|_)
    """,
    re.VERBOSE | re.ASCII,
)
_REST_OF_NAME: Final = re.compile(r"[-+/_.:A-Za-z0-9]+", re.ASCII)
_DATE_PART: Final = re.compile(r"[^A-Za-z0-9]*(\d+|[A-Za-z]+)?", re.ASCII)


class _Fault(Exception):
    """The text is no date or time; the SQLSTATE says why."""


class _Unsure(Exception):
    """PostgreSQL may make sense of the text."""


def _fields(text: str) -> list[tuple[str, str]]:
    """Kinds and texts of the fields: ParseDateTime."""
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        if text[at] in " \t\n\v\f\r":
            at += 1
            continue
        match = _FIELD.match(text, at)
        if match is None:
            raise _Fault(BAD_FORMAT)
        kind, field = str(match.lastgroup), match[0]
        kind = "named" if match["named"] is not None else kind
        at = match.end()
        if kind == "ignored":
            continue
        if len(found) == _FIELDS_MAX:
            raise _Fault(BAD_FORMAT)
        if kind == "word":
            following = text[at : at + 1]
            if following in ("-", "/", ".") or (
                (following == "+" or following.isdigit())
                and following.isascii()
                and following
                and field.lower() not in _KNOWN
            ):
                rest = _REST_OF_NAME.match(text, at)
                assert rest is not None
                kind, field, at = "name", field + rest[0], rest.end()
        elif kind == "sign":
            if not field[1:].strip():
                raise _Fault(BAD_FORMAT)
            kind = "zone" if field[-1].isdigit() or field[1:].strip()[0].isdigit() else "special"
            field = field[0] + field[1:].strip()
        elif kind in ("short", "named"):
            kind = "date"
        found.append((kind, field.lower()))
    return found


def _whole(digits: str) -> int:
    number = int(digits[:20] or "0")
    if number > _INT:
        raise _Fault(OVERFLOW)
    return number


class _Reader:
    """Goes through the fields."""

    def __init__(self, fields: list[tuple[str, str]], *, is_time: bool) -> None:
        self.fields = fields
        self.is_time = is_time
        self.seen = 0
        self.year = self.month = self.day = 0
        self.has_named_month = False
        self.is_short_year = False
        self.is_over = False
        """The clock is past the end of the day."""

    def run(self) -> None:
        """Raises _Fault or _Unsure."""
        if not self.fields:
            raise _Fault(BAD_FORMAT)
        for at, (kind, field) in enumerate(self.fields):
            added = getattr(self, f"_{kind}")(field, at)
            if added & self.seen:
                raise _Fault(BAD_FORMAT)
            self.seen |= added
        self._validate()
        if self.is_over:
            raise _Fault(OVERFLOW)
        if self.is_time and not self.seen & _TIME:
            raise _Fault(BAD_FORMAT)
        if not self.is_time and self.seen & _DATE != _DATE:
            raise _Fault(BAD_FORMAT)
        raise _Unsure

    def _validate(self) -> None:
        if self.seen & _YEAR and self.year <= 0 and not self.is_short_year:
            raise _Fault(OVERFLOW)
        if self.seen & _OF_YEAR:
            raise _Unsure
        if self.seen & _MONTH and not 1 <= self.month <= 12:
            raise _Fault(OVERFLOW)
        if self.seen & _DAY and not 1 <= self.day <= 31:
            raise _Fault(OVERFLOW)

    # ---- fields

    def _date(self, field: str, at: int) -> int:
        if not self.is_time:
            if self.seen & (_MONTH | _DAY) == _MONTH | _DAY:
                raise _Unsure
            return self._of_date(field)
        following = [kind for kind, _ in self.fields[1:]]
        if at == 0 and following and (following[-1] in ("date", "name") or following[0] == "time"):
            return self._of_date(field)
        if self.seen & _TIME or "-" not in field:
            raise _Fault(BAD_FORMAT)
        clock, _, offset = field.partition("-")
        self._zone(f"-{offset}", at)
        return self._joined(clock, _DATE) | _ZONE

    def _name(self, field: str, at: int) -> int:
        """It begins with a letter and has other characters."""
        if not self.is_time and self.seen & (_MONTH | _DAY) != _MONTH | _DAY:
            return self._of_date(field)
        if self.is_time and at == 0 and [k for k, _ in self.fields[1:2]] == ["time"]:
            return self._of_date(field)
        posix = _POSIX_ZONE.fullmatch(field)
        if posix is not None and max(int(posix[1]), int(posix[2] or 0)) <= _POSIX_HOURS_MAX:
            return _ZONE
        raise _Unsure if _ZONE_WORD.fullmatch(field) else _Fault(NO_ZONE)

    def _time(self, field: str, _at: int) -> int:
        hour, minute, second = (*field.split(":"), "0")[:3]
        if field.count(":") > 2 or "." in hour or not minute:
            raise _Unsure
        if "." in minute:
            hour, minute, second = "0", hour, minute
        clock = _whole(hour), _whole(minute), _whole(second.partition(".")[0])
        if clock[1] > 59 or clock[2] > 60:
            raise _Fault(OVERFLOW)
        self.is_over = clock > (24, 0, 0)
        if self.is_over and not self.is_time:
            raise _Fault(OVERFLOW)
        return _TIME

    def _zone(self, field: str, _at: int) -> int:
        found = re.match(r"[+-]?\d*", field[1:])
        assert found is not None
        digits, rest = found[0].lstrip("+-")[:20], field[1 + found.end() :]
        hour = int(digits or "0") * (-1 if found[0].startswith("-") and digits else 1)
        if hour > _INT or hour < 0:
            raise _Fault(ZONE_OVERFLOW)
        minute = second = 0
        if rest.startswith(":"):
            parts = re.match(r":(\d*)(?::(\d*))?", rest)
            assert parts is not None
            minute, second = int(parts[1][:20] or "0"), int((parts[2] or "0")[:20])
            rest = rest[parts.end() :]
        elif not rest and len(field) > 3:
            hour, minute = divmod(hour, 100)
        if hour > _OFFSET_HOURS_MAX or minute > 59 or second > 59:
            raise _Fault(ZONE_OVERFLOW)
        if rest:
            raise _Fault(BAD_FORMAT)
        return _ZONE

    def _number(self, field: str, _at: int) -> int:
        whole, point, _ = field.partition(".")
        if self.is_time:
            if (point and len(whole) > 2) or (not point and len(field) > 4):
                return self._joined(field, _DATE)
            if point:
                raise _Fault(BAD_FORMAT)
            return self._counted(field, _DATE)
        if point and not self.seen & _DATE:
            return self._of_date(field)
        if (point and len(whole) > 2) or (
            not point and len(field) >= 6 and not (self.seen & _DATE and self.seen & _TIME)
        ):
            return self._joined(field, self.seen)
        return self._counted(field, self.seen)

    def _word(self, word: str, _at: int) -> int:
        if word in MONTHS and not self.is_time:
            added = _MONTH
            is_first = self.seen & _MONTH and not self.has_named_month and not self.seen & _DAY
            if is_first and 1 <= self.month <= 31:
                self.day, added = self.month, _DAY
            self.has_named_month, self.month = True, MONTHS[word]
            return added
        if word in _IGNORED:
            return 0
        if word in WEEKDAYS and not self.is_time:
            return 0
        if word in _SPECIAL or (word in _ZONES and len(self.fields) > 1):
            raise _Unsure
        raise _Fault(BAD_FORMAT)

    def _special(self, word: str, _at: int) -> int:
        raise _Unsure if word in ("-infinity", "+infinity") else _Fault(BAD_FORMAT)

    # ---- parts of fields

    def _of_date(self, field: str) -> int:
        """DecodeDate: a character behind each part is left out, whatever it is."""
        parts: list[str] = []
        at = 0
        while at < len(field):
            found = _DATE_PART.match(field, at)
            if found is None or found[1] is None:
                raise _Fault(BAD_FORMAT)
            parts.append(found[1])
            at = found.end() + 1
        seen = self.seen
        for part in parts:
            if part.isalpha() and part not in _IGNORED:
                if part not in MONTHS or seen & _MONTH:
                    raise _Fault(BAD_FORMAT)
                self.month, self.has_named_month = MONTHS[part], True
                seen |= _MONTH
        for part in parts:
            if part.isdigit():
                added = self._counted(part, seen)
                if added & seen:
                    raise _Fault(BAD_FORMAT)
                seen |= added
        if seen & ~(_OF_YEAR | _ZONE) != _DATE:
            raise _Fault(BAD_FORMAT)
        return seen & ~self.seen

    def _counted(self, field: str, seen: int) -> int:
        """DecodeNumber: what a number is by what there was before it."""
        digits, point, _ = field.partition(".")
        if not digits:
            raise _Fault(BAD_FORMAT)
        number = _whole(digits)
        if point and len(digits) > 2:
            return self._joined(field, seen | _DATE)
        if len(field) == 3 and seen & _DATE == _YEAR and 1 <= number <= 366:
            return _OF_YEAR | _MONTH | _DAY
        match seen & _DATE:
            case 0:
                added = _YEAR if len(field) >= 3 else _MONTH
            case 1 | 4:
                added = _MONTH
            case 2:
                added = _YEAR if self.has_named_month and len(field) >= 3 else _DAY
            case 3:
                if self.has_named_month and len(field) >= 3 and self.is_short_year:
                    raise _Unsure
                added = _DAY
            case 6:
                added = _YEAR
            case 7:
                return self._joined(field, seen)
            case _:
                raise _Fault(BAD_FORMAT)
        if added == _YEAR:
            self.year, self.is_short_year = number, len(field) <= 2
        elif added == _MONTH:
            self.month = number
        else:
            self.day = number
        return added

    def _joined(self, field: str, seen: int) -> int:
        """DecodeNumberField: a date or a time written in one number."""
        digits, point, _ = field.partition(".")
        if not point and seen & _DATE != _DATE and len(digits) >= 6:
            self.day, self.month = int(digits[-2:]), int(digits[-4:-2])
            year = digits[:-4]
            # What C's atoi() makes of a longer one matters only where all is well with the rest.
            self.year, self.is_short_year = int(year[-9:]) or len(year) > 9, len(year) == 2
            return _DATE
        if not self.seen & _TIME and len(digits) in (4, 6):
            clock = int(digits[:2]), int(digits[2:4]), int(digits[4:] or "0")
            self.is_over = clock[1] > 59 or clock[2] > 60 or clock > (24, 0, 0)
            return _TIME
        raise _Fault(BAD_FORMAT)


def fault(text: str, *, is_time: bool) -> str:
    """The SQLSTATE with which PostgreSQL refuses the text as a date or a timestamp, or as a time;
    empty if it may make sense of it."""
    try:
        _Reader(_fields(text), is_time=is_time).run()
    except _Fault as exc:
        return str(exc)
    except _Unsure:
        return ""
    return ""
