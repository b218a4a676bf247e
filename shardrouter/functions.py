"""Scalar functions as data: each row is one of pg_proc, with its text for SQLite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from shardrouter.types import (
    ARRAY_OF,
    BIGINT,
    DATE,
    DOUBLE,
    INTEGER,
    INTERVAL,
    JSONB,
    NUMERIC,
    REAL,
    SMALLINT,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    TYPES,
    UUID,
    Type,
)

__all__ = ["NOT_HERE", "Function", "candidates"]


@dataclass(frozen=True)
class Function:
    """`text` is around {0}, {1}, ... or {all}. `node_function` also computes it for constants;
    NULL in any argument is NULL. `is_volatile`: it answers differently from call to call."""

    name: str
    arguments: tuple[Type, ...]
    result: Type
    text: str
    node_function: str = ""
    is_volatile: bool = False
    asks: str = ""
    """What the router has to know for it: of the `session`, of the `catalog`."""


def _plain(name: str, node: str, result: Type, *arguments: Type) -> Function:
    """A function of the node with the same arguments."""
    places = ", ".join(f"{{{i}}}" for i in range(len(arguments)))
    return Function(name, arguments, result, f"{node}({places})", node)


def _numbers() -> Iterator[Function]:
    for kind in (SMALLINT, INTEGER, BIGINT, NUMERIC, REAL, DOUBLE):
        yield _plain("abs", f"pg_abs_{kind.short}", kind, kind)
    for kind in (SMALLINT, INTEGER, BIGINT, NUMERIC):
        yield _plain("mod", f"pg_mod_{kind.short}", kind, kind, kind)
    for kind in (NUMERIC, DOUBLE):
        short = kind.short
        for name in ("ceil", "floor", "sign", "sqrt"):
            yield _plain(name, f"pg_{name}_{short}", kind, kind)
        yield _plain("ceiling", f"pg_ceil_{short}", kind, kind)
        for name in ("power", "pow"):
            yield _plain(name, f"pg_pow_{short}", kind, kind, kind)
    for name in ("round", "trunc"):
        yield _plain(name, f"pg_{name}_float8", DOUBLE, DOUBLE)
        yield _plain(name, f"pg_{name}_numeric", NUMERIC, NUMERIC, INTEGER)
        yield Function(name, (NUMERIC,), NUMERIC, f"pg_{name}_numeric({{0}}, 0)")
    yield _plain("scale", "pg_scale_numeric", INTEGER, NUMERIC)


def _texts() -> Iterator[Function]:
    for name in ("length", "char_length", "character_length"):
        yield _plain(name, "pg_length_text", INTEGER, TEXT)
    for name in ("lower", "upper"):
        yield _plain(name, f"pg_{name}_text", TEXT, TEXT)
    for name, result in (
        ("octet_length", INTEGER), ("bit_length", INTEGER), ("reverse", TEXT), ("md5", TEXT),
        ("initcap", TEXT), ("ascii", INTEGER), ("quote_literal", TEXT),
    ):  # fmt: skip
        yield _plain(name, f"pg_{name}", result, TEXT)
    for name in ("btrim", "ltrim", "rtrim"):
        yield _plain(name, f"pg_{name}", TEXT, TEXT, TEXT)
        yield Function(name, (TEXT,), TEXT, f"pg_{name}({{0}}, ' ')")
    for name in ("substring", "substr"):
        yield _plain(name, "pg_substring", TEXT, TEXT, INTEGER, INTEGER)
        yield _plain(name, "pg_substring_from", TEXT, TEXT, INTEGER)
    for name in ("left", "right", "repeat"):
        yield _plain(name, f"pg_{name}", TEXT, TEXT, INTEGER)
    for name in ("lpad", "rpad"):
        yield _plain(name, f"pg_{name}", TEXT, TEXT, INTEGER, TEXT)
        yield Function(name, (TEXT, INTEGER), TEXT, f"pg_{name}({{0}}, {{1}}, ' ')")
    yield _plain("replace", "pg_replace", TEXT, TEXT, TEXT, TEXT)
    yield _plain("translate", "pg_translate", TEXT, TEXT, TEXT, TEXT)
    yield _plain("split_part", "pg_split_part", TEXT, TEXT, TEXT, INTEGER)
    yield _plain("strpos", "pg_strpos", INTEGER, TEXT, TEXT)
    yield Function("position", (TEXT, TEXT), INTEGER, "pg_strpos({1}, {0})")
    yield _plain("starts_with", "pg_starts_with", TYPES["boolean"], TEXT, TEXT)
    yield _plain("overlay", "pg_overlay", TEXT, TEXT, TEXT, INTEGER, INTEGER)
    without_length = "pg_overlay({0}, {1}, {2}, pg_length_text({1}))"
    yield Function("overlay", (TEXT, TEXT, INTEGER), TEXT, without_length)
    yield _plain("chr", "pg_chr", TEXT, INTEGER)
    for kind in (INTEGER, BIGINT):
        yield _plain("to_hex", f"pg_to_hex_{kind.short}", TEXT, kind)


def _times() -> Iterator[Function]:
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


def _parts_of_times() -> Iterator[Function]:
    for kind in (TIMESTAMP, TIMESTAMPTZ, DATE, TIME, INTERVAL):
        yield _plain("extract", f"pg_extract_{kind.short}", NUMERIC, TEXT, kind)
        yield _plain("date_part", f"pg_datepart_{kind.short}", DOUBLE, TEXT, kind)
    for kind in (TIMESTAMP, TIMESTAMPTZ, INTERVAL):
        yield _plain("date_trunc", f"pg_trunc_{kind.short}", kind, TEXT, kind)
    for kind in (TIMESTAMP, TIMESTAMPTZ):
        yield _plain("age", "pg_age", INTERVAL, kind, kind)
    yield _plain("make_date", "pg_make_date", DATE, INTEGER, INTEGER, INTEGER)
    yield _plain("to_timestamp", "pg_timestamptz_epoch", TIMESTAMPTZ, DOUBLE)


def _arrays() -> Iterator[Function]:
    for element, kind in ARRAY_OF.items():
        yield _plain("array_length", "pg_length_array", INTEGER, kind, INTEGER)
        yield _plain("cardinality", "pg_cardinality_array", INTEGER, kind)
        yield Function("array_append", (kind, element), kind, "pg_append_array({0}, {1})")
        yield Function("array_prepend", (element, kind), kind, "pg_prepend_array({0}, {1})")
        yield Function("array_cat", (kind, kind), kind, "pg_concat_array({0}, {1})")
        position = f"pg_position_{kind.collation}({{0}}, {{1}})"
        yield Function("array_position", (kind, element), INTEGER, position)
    yield _plain("jsonb_typeof", "pg_typeof_jsonb", TEXT, JSONB)
    yield _plain("jsonb_array_length", "pg_length_jsonb", INTEGER, JSONB)


def _by_name(*rows: Iterator[Function]) -> Mapping[tuple[str, int], tuple[Function, ...]]:
    found: dict[tuple[str, int], list[Function]] = {}
    for row in rows:
        for function in row:
            key = (function.name, len(function.arguments))
            found.setdefault(key, []).append(function)
    return {key: tuple(functions) for key, functions in found.items()}


_FUNCTIONS: Final = _by_name(_numbers(), _texts(), _times(), _parts_of_times(), _arrays())

NOT_HERE: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        """
        acos array_agg array_remove
        array_to_string asin atan atan2 cbrt clock_timestamp convert_from cos
        current_setting current_time currval decode degrees encode
        exp factorial format gcd generate_series hashtext json_agg
        json_build_object jsonb_agg jsonb_build_object lastval ln log
        make_interval nextval obj_description pg_sleep pg_typeof pi quote_nullable
        radians regexp_match regexp_matches regexp_replace regexp_split_to_array
        row_to_json set_config setval sha256 sin string_to_array tan timezone to_char
        to_date to_json to_jsonb to_number txid_current unnest width_bucket
        """.split(),  # noqa: SIM905 -- a list of names
        "",
    ),
    "generate_series": "Write it in FROM.",
    "pg_sleep": "Wait in the application.",
}
"""Functions of PostgreSQL's that are not here, with what to do instead."""


def candidates(name: str, arguments: int) -> tuple[Function, ...]:
    """The functions of a name that take so many arguments."""
    return _FUNCTIONS.get((name, arguments), ())
