"""Casts as data: from which type to which, who may use it, and its text for SQLite.

PostgreSQL's pg_cast, and its conversions through text: any type may be assigned to a text, and
read from one by an explicit cast. A cast to a type with a modifier also fits the value to it:
`fit`, PostgreSQL's length coercion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from shardrouter.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTEGER,
    NUMERIC,
    SMALLINT,
    TEXT,
    TYPES,
    VARCHAR,
    Type,
    is_text,
)

__all__ = ["CASTS", "Cast", "Context", "find", "fit", "is_implicit"]


class Context(IntEnum):
    """Where a cast is made; each allows what those before it do."""

    IMPLICIT = 0  # an operand, an argument
    ASSIGNMENT = 1  # a value for a column
    EXPLICIT = 2  # CAST, ::


@dataclass(frozen=True)
class Cast:
    """`function` is the node's, of one argument; or `sql` is SQLite's own text around {0}. With
    neither the stored form stays as it is."""

    source: Type
    target: Type
    context: Context  # the first that may use it
    function: str = ""
    sql: str = ""

    @property
    def is_same_form(self) -> bool:
        """Whether the stored form stays as it is, and equal values stay equal."""
        return not self.function and not self.sql


_I, _A, _E = Context.IMPLICIT, Context.ASSIGNMENT, Context.EXPLICIT

_REAL: Final = "CAST({0} AS REAL)"


def _table() -> tuple[Cast, ...]:
    integers = (SMALLINT, INTEGER, BIGINT)
    casts: list[Cast] = []
    for i, source in enumerate(integers):
        for j, target in enumerate(integers):
            if i < j:
                casts.append(Cast(source, target, _I))
            elif i > j:
                casts.append(Cast(source, target, _A, f"pg_cast_{target.short}"))
        casts.append(Cast(source, DOUBLE, _I, "pg_cast_float8", _REAL))
        casts.append(Cast(source, NUMERIC, _I, "pg_cast_numeric"))
        casts.append(Cast(DOUBLE, source, _A, f"pg_cast_{source.short}"))
        casts.append(Cast(NUMERIC, source, _A, f"pg_cast_{source.short}_numeric"))
    casts += [
        Cast(DOUBLE, NUMERIC, _A, "pg_cast_numeric"),
        Cast(NUMERIC, DOUBLE, _I, "pg_cast_float8_numeric"),
        Cast(INTEGER, BOOLEAN, _E, "pg_cast_bool"),
        Cast(BOOLEAN, INTEGER, _E, "pg_cast_int4_bool", "{0}"),  # it is 0 or 1
        Cast(TEXT, VARCHAR, _I),
        Cast(VARCHAR, TEXT, _I),
    ]
    for kind in TYPES.values():
        if not is_text(kind):
            for text in (TEXT, VARCHAR):
                casts.append(Cast(kind, text, _A, f"pg_text_{kind.short}"))
                casts.append(Cast(text, kind, _E, f"pg_cast_{kind.short}"))
    return tuple(casts)


CASTS: Final[Mapping[tuple[Type, Type], Cast]] = {
    (cast.source, cast.target): cast for cast in _table()
}

FITS: Final[Mapping[Type, str]] = {NUMERIC: "pg_fit_numeric", VARCHAR: "pg_fit_varchar"}
"""The node's function (value, modifier) that fits an assigned value; with `_explicit` behind it
where an explicit cast cuts what an assignment refuses."""

_CUT_BY_CASTS: Final = frozenset({VARCHAR})


def find(source: Type, target: Type, context: Context) -> Cast | None:
    """The cast that `context` may use; None if there is none. Of a type to itself: no change."""
    if source is target:
        return Cast(source, target, _I)
    cast = CASTS.get((source, target))
    return cast if cast is not None and cast.context <= context else None


def is_implicit(source: Type, target: Type) -> bool:
    """Whether an operand of one type may stand where the other is wanted."""
    return source is target or find(source, target, _I) is not None


def fit(kind: Type, context: Context) -> str:
    """The node's function (value, modifier) for a type that has a modifier."""
    name = FITS[kind]
    return f"{name}_explicit" if context is _E and kind in _CUT_BY_CASTS else name
