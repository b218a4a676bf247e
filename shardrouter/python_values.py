"""Between stored forms and Python's values: the edge of the embedded API.

Pure. PostgreSQL's clients get these conversions from their driver; a program that embeds the
router gets them here, with the classes asyncpg uses: Decimal for a numeric, datetime's for dates
and times, timedelta for an interval, UUID. Inside, and on the PostgreSQL wire, there are stored
forms only. A text is taken for any of them, and read as PostgreSQL reads it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from nodes.protocol import Value
from nodes.values import (
    ARRAYS,
    BOOL,
    DATE,
    INTERVAL,
    JSON,
    JSONB,
    NUMERIC,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    UUID,
    ArrayKind,
    ValueFormatError,
    decode_text,
    stored_array,
)
from shardrouter.errors import StatementError
from shardrouter.planned import ResultColumn
from shardrouter.types import by_oid, check_value

__all__ = ["from_stored", "to_stored"]

_DAY_ONE: Final = date(2000, 1, 1)
_EPOCH: Final = datetime(2000, 1, 1)
_EPOCH_UTC: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DATE_INFINITY: Final = (1 << 31) - 1
_INFINITY: Final = (1 << 63) - 1
_DAYS_A_MONTH: Final = 30
_MONTHS_A_YEAR: Final = 12


# --------------------------------------------------------------------------- to Python


def _date(days: int) -> date:
    """Beyond Python's calendar, and for infinity, its last or first day; as asyncpg has it."""
    if days > (date.max - _DAY_ONE).days:
        return date.max
    if days < (date.min - _DAY_ONE).days:
        return date.min
    return _DAY_ONE + timedelta(days)


def _moment(epoch: datetime) -> Callable[[int], datetime]:
    last, first = datetime.max, datetime.min
    last, first = last.replace(tzinfo=epoch.tzinfo), first.replace(tzinfo=epoch.tzinfo)
    most, least = (last - epoch) // _MICROSECOND, (first - epoch) // _MICROSECOND

    def convert(microseconds: int) -> datetime:
        if microseconds >= most:
            return last
        return first if microseconds <= least else epoch + timedelta(microseconds=microseconds)

    return convert


def _time(microseconds: int) -> time:
    if microseconds >= 86_400_000_000:
        return time.max  # 24:00, which Python has not
    return (_EPOCH + timedelta(microseconds=microseconds)).time()


def _interval(stored: str) -> timedelta:
    """A year is 365 days and a month 30, as asyncpg has it: a timedelta has neither."""
    months, days, microseconds = (int(part) for part in stored.split(" "))
    years = abs(months) // _MONTHS_A_YEAR * (1 if months >= 0 else -1)
    days += years * 365 + (months - years * _MONTHS_A_YEAR) * _DAYS_A_MONTH
    return timedelta(days=days, microseconds=microseconds)


def _uuid(data: bytes) -> uuid.UUID:
    return uuid.UUID(bytes=data)


def _boolean(value: Any) -> bool:
    return bool(value)


_OF_SCALARS: Final[Mapping[int, Callable[[Any], Any]]] = {
    BOOL: _boolean,
    NUMERIC: Decimal,
    DATE: _date,
    TIME: _time,
    TIMESTAMP: _moment(_EPOCH),
    TIMESTAMPTZ: _moment(_EPOCH_UTC),
    INTERVAL: _interval,
    UUID: _uuid,
}


def _list(kind: ArrayKind) -> Callable[[str], list[Any]]:
    scalar = _OF_SCALARS.get(kind.element.oid)

    def convert(stored: str) -> list[Any]:
        found = json.loads(stored)
        if kind.is_bytes:
            found = [None if element is None else bytes.fromhex(element) for element in found]
        if scalar is None:
            return list(found)
        return [None if element is None else scalar(element) for element in found]

    return convert


_FROM_STORED: Final[Mapping[int, Callable[[Any], Any]]] = {
    **_OF_SCALARS,
    **{kind.oid: _list(kind) for kind in ARRAYS.values()},
}


# --------------------------------------------------------------------------- from Python


def _of_number(value: Any) -> Value:
    if not isinstance(value, Decimal | int | float):
        raise TypeError("a number is wanted")
    return decode_text(str(value).encode(), NUMERIC)


def _of_date(value: Any) -> Value:
    if not isinstance(value, date):
        raise TypeError("a date is wanted")
    day = date(value.year, value.month, value.day)
    if day in (date.max, date.min):
        return _DATE_INFINITY if day == date.max else -_DATE_INFINITY - 1
    return (day - _DAY_ONE).days


def _of_time(value: Any) -> Value:
    if not isinstance(value, time) or value.tzinfo is not None:
        raise TypeError("a time without a zone is wanted")
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    return seconds * 1_000_000 + value.microsecond


def _of_timestamp(value: Any) -> Value:
    if not isinstance(value, datetime) or value.tzinfo is not None:
        raise TypeError("a datetime without a zone is wanted")
    return _of_moment(value, _EPOCH)


def _of_timestamptz(value: Any) -> Value:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError("a datetime with a zone is wanted")
    return _of_moment(value, _EPOCH_UTC)


def _of_moment(value: datetime, epoch: datetime) -> int:
    """Python's first and last moment are infinity, as in asyncpg."""
    plain = value.replace(tzinfo=None)
    if plain in (datetime.max, datetime.min):
        return _INFINITY if plain == datetime.max else -_INFINITY - 1
    return (value - epoch) // _MICROSECOND


def _of_timedelta(value: Any) -> Value:
    if not isinstance(value, timedelta):
        raise TypeError("a timedelta is wanted")
    return f"0 {value.days} {value.seconds * 1_000_000 + value.microseconds}"


def _of_uuid(value: Any) -> Value:
    if isinstance(value, bytes):
        value = uuid.UUID(bytes=value)
    if not isinstance(value, uuid.UUID):
        raise TypeError("a UUID is wanted")
    return value.bytes


def _not_a_text(_value: Any) -> Value:
    raise TypeError("a text is wanted")


_TO_SCALARS: Final[Mapping[int, Callable[[Any], Value]]] = {
    NUMERIC: _of_number,
    DATE: _of_date,
    TIME: _of_time,
    TIMESTAMP: _of_timestamp,
    TIMESTAMPTZ: _of_timestamptz,
    INTERVAL: _of_timedelta,
    UUID: _of_uuid,
    JSON: _not_a_text,  # texts are read as PostgreSQL reads them
    JSONB: _not_a_text,
}


def _of_list(kind: ArrayKind) -> Callable[[Any], Value]:
    element = by_oid(kind.element.oid)
    scalar = _TO_SCALARS.get(element.oid)

    def one(value: Any) -> Value:
        if value is None:
            return None
        if scalar is None:
            return check_value(value, element, 0)
        if isinstance(value, str):
            return decode_text(value.encode(), element.oid)
        return scalar(value)

    def convert(value: Any) -> Value:
        if not isinstance(value, Sequence) or isinstance(value, bytes):
            raise TypeError("a list is wanted")
        return stored_array([one(part) for part in value])

    return convert


_TO_STORED: Final[Mapping[int, Callable[[Any], Value]]] = {
    **_TO_SCALARS,
    **{kind.oid: _of_list(kind) for kind in ARRAYS.values()},
}


def to_stored(oids: Sequence[int], arguments: Sequence[Any]) -> tuple[Value, ...]:
    """Arguments in the stored forms of their parameters' types; their number is not checked, nor
    are types whose stored form is Python's own. Raises StatementError."""
    if not any(oid in _TO_STORED for oid in oids) or len(oids) != len(arguments):
        return tuple(arguments)
    bound: list[Value] = []
    for number, (oid, value) in enumerate(zip(oids, arguments, strict=True), 1):
        convert = _TO_STORED.get(oid)
        if convert is None or value is None:
            bound.append(value)
            continue
        try:
            if isinstance(value, str):
                bound.append(decode_text(value.encode(), oid))
            else:
                bound.append(convert(value))
        except ValueFormatError as exc:
            raise StatementError(exc.message, sqlstate=exc.sqlstate) from exc
        except (TypeError, ValueError, AttributeError) as exc:
            raise StatementError(
                f"parameter ${number} cannot be {value!r}: {exc}", sqlstate="42804"
            ) from exc
    return tuple(bound)


def from_stored(
    rows: Sequence[tuple[Value, ...]], columns: Sequence[ResultColumn]
) -> tuple[tuple[Any, ...], ...]:
    """Rows as a program wants them."""
    convert = [(i, _FROM_STORED[c.oid]) for i, c in enumerate(columns) if c.oid in _FROM_STORED]
    if not convert:
        return tuple(rows)
    found: list[tuple[Any, ...]] = []
    for row in rows:
        cells = list(row)
        for i, to_python in convert:
            if cells[i] is not None:
                cells[i] = to_python(cells[i])
        found.append(tuple(cells))
    return tuple(found)
