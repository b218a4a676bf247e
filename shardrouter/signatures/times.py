"""Functions of dates and times, and what is drawn."""

from __future__ import annotations

from collections.abc import Iterator

from shardrouter.signatures.signature import Function, absent, plain
from shardrouter.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    INTERVAL,
    NUMERIC,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    UUID,
)

__all__ = ["rows"]


def _now() -> Iterator[Function]:
    """Of the statement, or of its transaction: never of the machine's clock where it runs."""
    names = ("now", "transaction_timestamp", "statement_timestamp", "current_timestamp")
    for name in names:
        yield Function(name, (), TIMESTAMPTZ, "pg_now()", is_volatile=True)
    yield Function("localtimestamp", (), TIMESTAMP, "pg_now()", is_volatile=True)
    date, time = "pg_cast_date_timestamp(pg_now())", "pg_cast_time_timestamp(pg_now())"
    yield Function("current_date", (), DATE, date, is_volatile=True)
    yield Function("localtime", (), TIME, time, is_volatile=True)
    yield Function("random", (), DOUBLE, "pg_random()", is_volatile=True)
    yield Function("gen_random_uuid", (), UUID, "pg_random_uuid()", is_volatile=True)
    yield Function("uuidv7", (), UUID, "pg_uuid_v7()", is_volatile=True)
    yield Function("unique_id", (), BIGINT, "pg_unique_id()", is_volatile=True, asks="keys")


def _parts_of_times() -> Iterator[Function]:
    for kind in (TIMESTAMP, TIMESTAMPTZ, DATE, TIME, INTERVAL):
        yield plain("extract", f"pg_extract_{kind.short}", NUMERIC, TEXT, kind)
        if kind is not DATE:
            yield plain("date_part", f"pg_datepart_{kind.short}", DOUBLE, TEXT, kind)
    of_midnight = "pg_datepart_timestamp({0}, pg_cast_timestamp_date({1}))"
    yield Function("date_part", (TEXT, DATE), DOUBLE, of_midnight)
    for kind in (TIMESTAMP, TIMESTAMPTZ, INTERVAL):
        yield plain("date_trunc", f"pg_trunc_{kind.short}", kind, TEXT, kind)
    for kind in (TIMESTAMP, TIMESTAMPTZ):
        yield plain("age", "pg_age", INTERVAL, kind, kind)
    yield plain("make_date", "pg_make_date", DATE, INTEGER, INTEGER, INTEGER)
    yield plain("to_timestamp", "pg_timestamptz_epoch", TIMESTAMPTZ, DOUBLE)


def _made() -> Iterator[Function]:
    date = (INTEGER, INTEGER, INTEGER)
    clock = (INTEGER, INTEGER, DOUBLE)
    yield plain("make_timestamp", "pg_make_timestamp", TIMESTAMP, *date, *clock)
    yield plain("make_timestamptz", "pg_make_timestamp", TIMESTAMPTZ, *date, *clock)
    yield plain("make_time", "pg_make_time", TIME, *clock)
    fields = (*(INTEGER,) * 6, DOUBLE)
    for count in range(len(fields) + 1):
        places = ", ".join([*(f"{{{i}}}" for i in range(count)), *["0"] * (7 - count)])
        yield Function("make_interval", fields[:count], INTERVAL, f"pg_make_interval({places})")
    for name in ("justify_hours", "justify_days", "justify_interval"):
        yield plain(name, f"pg_{name}", INTERVAL, INTERVAL)
    for kind in (TIMESTAMP, TIMESTAMPTZ):
        yield plain("date_bin", "pg_date_bin", kind, INTERVAL, kind, kind)
        yield plain("isfinite", "pg_isfinite_timestamp", BOOLEAN, kind)
        midnight = "pg_trunc_timestamp('day', pg_now())"
        yield Function("age", (kind,), INTERVAL, f"pg_age({midnight}, {{0}})", is_volatile=True)
    yield plain("isfinite", "pg_isfinite_date", BOOLEAN, DATE)
    yield plain("isfinite", "pg_isfinite_interval", BOOLEAN, INTERVAL)
    yield plain("timezone", "pg_in_utc", TIMESTAMPTZ, TEXT, TIMESTAMP)
    yield plain("timezone", "pg_in_utc", TIMESTAMP, TEXT, TIMESTAMPTZ)
    for kind in (TIMESTAMP, TIMESTAMPTZ, TIME):
        yield absent("timezone", INTERVAL, kind)
    yield absent("timezone", TEXT, TIME)
    yield absent("date_trunc", TEXT, TIMESTAMPTZ, TEXT)
    yield absent("make_timestamptz", *date, *clock, TEXT)


def _patterns() -> Iterator[Function]:
    for kind in (TIMESTAMP, TIMESTAMPTZ, INTERVAL):
        yield plain("to_char", f"pg_to_char_{kind.short}", TEXT, kind, TEXT)
    yield plain("to_timestamp", "pg_to_timestamp", TIMESTAMPTZ, TEXT, TEXT)
    yield plain("to_date", "pg_to_date", DATE, TEXT, TEXT)


def rows() -> Iterator[Function]:
    yield from _patterns()
    yield from _now()
    yield from _parts_of_times()
    yield from _made()
