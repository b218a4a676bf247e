"""Functions of numbers."""

from __future__ import annotations

from collections.abc import Iterator

from shardrouter.signatures.signature import Function, plain
from shardrouter.types import (
    BIGINT,
    DOUBLE,
    INTEGER,
    NUMERIC,
    REAL,
    SMALLINT,
    TEXT,
)

__all__ = ["rows"]


_OF_DOUBLES = (
    *("sin", "cos", "tan", "cot", "asin", "acos", "atan", "sinh", "cosh", "tanh"),
    *("degrees", "radians"),
)


def rows() -> Iterator[Function]:
    for kind in (SMALLINT, INTEGER, BIGINT, NUMERIC, REAL, DOUBLE):
        yield plain("abs", f"pg_abs_{kind.short}", kind, kind)
    for kind in (SMALLINT, INTEGER, BIGINT, NUMERIC):
        yield plain("mod", f"pg_mod_{kind.short}", kind, kind, kind)
    for kind in (NUMERIC, DOUBLE):
        short = kind.short
        for name in ("ceil", "floor", "sign", "sqrt"):
            yield plain(name, f"pg_{name}_{short}", kind, kind)
        yield plain("ceiling", f"pg_ceil_{short}", kind, kind)
        for name in ("power", "pow"):
            yield plain(name, f"pg_pow_{short}", kind, kind, kind)
    for name in ("round", "trunc"):
        yield plain(name, f"pg_{name}_float8", DOUBLE, DOUBLE)
        yield plain(name, f"pg_{name}_numeric", NUMERIC, NUMERIC, INTEGER)
        yield Function(name, (NUMERIC,), NUMERIC, f"pg_{name}_numeric({{0}}, 0)")
    yield plain("scale", "pg_scale_numeric", INTEGER, NUMERIC)
    for kind in (NUMERIC, DOUBLE):
        short = kind.short
        yield plain("exp", f"pg_exp_{short}", kind, kind)
        yield plain("ln", f"pg_ln_{short}", kind, kind)
        yield plain("width_bucket", f"pg_width_bucket_{short}", INTEGER, kind, kind, kind, INTEGER)
    for name in ("log", "log10"):
        yield plain(name, "pg_log_float8", DOUBLE, DOUBLE)
        yield Function(name, (NUMERIC,), NUMERIC, "pg_log_numeric('10', {0})")
    yield plain("log", "pg_log_numeric", NUMERIC, NUMERIC, NUMERIC)
    yield plain("div", "pg_div_whole_numeric", NUMERIC, NUMERIC, NUMERIC)
    for kind in (INTEGER, BIGINT, NUMERIC):
        for name in ("gcd", "lcm"):
            yield plain(name, f"pg_{name}_{kind.short}", kind, kind, kind)
    yield plain("factorial", "pg_factorial", NUMERIC, BIGINT)
    yield plain("trim_scale", "pg_trim_scale", NUMERIC, NUMERIC)
    yield plain("min_scale", "pg_min_scale", INTEGER, NUMERIC)
    for kind in (INTEGER, BIGINT, NUMERIC, REAL, DOUBLE):
        yield plain("to_char", f"pg_to_char_{kind.short}", TEXT, kind, TEXT)
    yield plain("to_number", "pg_to_number", NUMERIC, TEXT, TEXT)
    for name in _OF_DOUBLES:
        yield plain(name, f"pg_{name}", DOUBLE, DOUBLE)
    yield plain("cbrt", "pg_cbrt_float8", DOUBLE, DOUBLE)
    yield plain("dcbrt", "pg_cbrt_float8", DOUBLE, DOUBLE)
    yield plain("atan2", "pg_atan2", DOUBLE, DOUBLE, DOUBLE)
    yield plain("pi", "pg_pi", DOUBLE)
