"""Casts as data: from which type to which, who may use it, and its text for SQLite.

PostgreSQL's pg_cast, and its conversions through text: any type may be assigned to a text, and
read from one by an explicit cast. A cast to a type with a modifier also fits the value to it:
`fit`, PostgreSQL's length coercion.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Final

from nodes.values import PLACE_DIGITS
from shardrouter.enumerations import read_label
from shardrouter.quick_dataclasses import dataclass
from shardrouter.types import (
    ARRAY_OF,
    BIGINT,
    BOOLEAN,
    BPCHAR,
    CHAR,
    DATE,
    DOUBLE,
    INT2VECTOR,
    INTEGER,
    INTERVAL,
    JSON,
    JSONB,
    NAME,
    NUMERIC,
    OID,
    OIDVECTOR,
    REAL,
    SMALLINT,
    SYSTEM_ARRAY_OF,
    SYSTEM_TYPES,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    TYPES,
    VARCHAR,
    Type,
    is_text,
)

__all__ = ["CASTS", "TO_LABEL", "Cast", "Context", "find", "fit", "is_implicit"]


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
    def asks_catalog(self) -> bool:
        """Whether only the router can make it, who knows what there is."""
        return self.sql.startswith("pgc_")

    @property
    def is_stable(self) -> bool:
        """Whether PostgreSQL leaves it to the rows: it may depend on what a session has set."""
        source, target = self.source.element or self.source, self.target.element or self.target
        if is_text(source) or is_text(target):  # by input and output functions
            has_array = (self.source is source) is not (self.target is target)
            return has_array or target is TIME or not _STABLE_TEXTS.isdisjoint((source, target))
        return TIMESTAMPTZ in (source, target) and source is not target

    @property
    def is_same_form(self) -> bool:
        """Whether the stored form stays as it is, and equal values stay equal."""
        return not self.function and not self.sql


_I, _A, _E = Context.IMPLICIT, Context.ASSIGNMENT, Context.EXPLICIT

_STABLE_TEXTS: Final = frozenset({DATE, TIMESTAMP, TIMESTAMPTZ, INTERVAL})
"""Types whose text depends on DateStyle, TimeZone or IntervalStyle."""

_REAL: Final = "CAST({0} AS REAL)"


_INTEGERS: Final = (SMALLINT, INTEGER, BIGINT)


def _numbers() -> Iterator[Cast]:
    for i, source in enumerate(_INTEGERS):
        for j, target in enumerate(_INTEGERS):
            if i < j:
                yield Cast(source, target, _I)
            elif i > j:
                yield Cast(source, target, _A, f"pg_cast_{target.short}")
        yield Cast(source, DOUBLE, _I, "pg_cast_float8", _REAL)
        yield Cast(source, REAL, _I, "pg_cast_float4")
        yield Cast(source, NUMERIC, _I, "pg_cast_numeric")
        yield Cast(DOUBLE, source, _A, f"pg_cast_{source.short}")
        yield Cast(REAL, source, _A, f"pg_cast_{source.short}")
        yield Cast(NUMERIC, source, _A, f"pg_cast_{source.short}_numeric")
    yield Cast(REAL, DOUBLE, _I)
    yield Cast(DOUBLE, REAL, _A, "pg_cast_float4")
    yield Cast(DOUBLE, NUMERIC, _A, "pg_cast_numeric")
    yield Cast(REAL, NUMERIC, _A, "pg_cast_numeric_float4")
    yield Cast(NUMERIC, DOUBLE, _I, "pg_cast_float8_numeric")
    yield Cast(NUMERIC, REAL, _I, "pg_cast_float4_numeric")
    yield Cast(INTEGER, BOOLEAN, _E, "pg_cast_bool")
    yield Cast(BOOLEAN, INTEGER, _E, "pg_cast_int4_bool", "{0}")  # it is 0 or 1


def _strings() -> Iterator[Cast]:
    yield Cast(TEXT, VARCHAR, _I)
    yield Cast(VARCHAR, TEXT, _I)
    for kind in (TEXT, VARCHAR):
        yield Cast(kind, BPCHAR, _I)
        yield Cast(BPCHAR, kind, _I, "pg_text_bpchar")
        yield Cast(kind, NAME, _I, "pg_cast_name")
    yield Cast(BPCHAR, NAME, _I, "pg_cast_name_bpchar")
    yield Cast(NAME, TEXT, _I)
    yield Cast(NAME, VARCHAR, _A)
    yield Cast(NAME, BPCHAR, _A)
    for kind in TYPES.values():
        if not is_text(kind):
            for text in (TEXT, VARCHAR, BPCHAR):
                yield Cast(kind, text, _A, f"pg_text_{kind.function_name}")
                yield Cast(text, kind, _E, f"pg_cast_{kind.function_name}")
            as_text = f"pg_text_{kind.function_name}({{0}})"
            if kind is BOOLEAN:  # its output, which is not its cast to text
                as_text = "CASE {0} WHEN 1 THEN 't' WHEN 0 THEN 'f' END"
            yield Cast(kind, NAME, _A, sql=f"pg_cast_name({as_text})")
            yield Cast(NAME, kind, _E, f"pg_cast_{kind.function_name}")


def _times() -> Iterator[Cast]:
    """Both timestamps are the same number: the session's time zone is UTC."""
    for stamp in (TIMESTAMP, TIMESTAMPTZ):
        yield Cast(DATE, stamp, _I, "pg_cast_timestamp_date")
        yield Cast(stamp, DATE, _A, "pg_cast_date_timestamp")
        yield Cast(stamp, TIME, _A, "pg_cast_time_timestamp")
    yield Cast(TIMESTAMP, TIMESTAMPTZ, _I)
    yield Cast(TIMESTAMPTZ, TIMESTAMP, _A)
    yield Cast(TIME, INTERVAL, _I, "pg_cast_interval_time")
    yield Cast(INTERVAL, TIME, _A, "pg_cast_time_interval")


def _jsons() -> Iterator[Cast]:
    yield Cast(JSON, JSONB, _A, "pg_cast_jsonb")
    yield Cast(JSONB, JSON, _A)
    for kind in (*_INTEGERS, REAL, DOUBLE, NUMERIC, BOOLEAN):
        yield Cast(JSONB, kind, _E, f"pg_cast_{kind.short}_jsonb")


def _systems() -> Iterator[Cast]:
    """Of the types of the system catalogs. What makes names of numbers, or numbers of names, asks
    the catalog (`pgc_`): only an expression of the catalogs may use it."""
    named = [kind for kind in SYSTEM_TYPES.values() if kind.is_named]
    numbers = [OID, *named]
    for kind in numbers:
        for source in _INTEGERS:
            yield Cast(source, kind, _I)
        yield Cast(kind, BIGINT, _I)
        yield Cast(kind, INTEGER, _A)
    for kind in named:
        yield Cast(OID, kind, _I)
        yield Cast(kind, OID, _I)
        for text in (TEXT, VARCHAR, NAME):
            yield Cast(kind, text, _E, sql=f"pgc_text_{kind.short}({{0}})")
            yield Cast(text, kind, _E, sql=f"pgc_{kind.short}({{0}})")
    for text in (TEXT, VARCHAR):
        yield Cast(OID, text, _A, "pg_text_int8")
        yield Cast(text, OID, _E, "pg_cast_int8")
        yield Cast(text, CHAR, _A, sql="substr({0}, 1, 1)")
        yield Cast(CHAR, text, _I if text is TEXT else _A)
    for kind in SYSTEM_TYPES.values():
        if kind.sqlite == "TEXT" and kind.element is None and kind is not CHAR:
            yield Cast(kind, TEXT, _I)
            yield Cast(TEXT, kind, _E)
        elif kind.sqlite == "INTEGER" and kind not in numbers:
            yield Cast(kind, TEXT, _A, "pg_text_int8")
            yield Cast(TEXT, kind, _E, "pg_cast_int8")
    yield from _system_arrays()


def _system_arrays() -> Iterator[Cast]:
    texts, oids = ARRAY_OF[TEXT], SYSTEM_ARRAY_OF[OID]
    yield Cast(INT2VECTOR, ARRAY_OF[SMALLINT], _I)
    yield Cast(OIDVECTOR, oids, _I)
    for kind in SYSTEM_ARRAY_OF.values():
        assert kind.element is not None
        if kind.element.is_named:
            yield Cast(oids, kind, _I)
            yield Cast(OIDVECTOR, kind, _I)
            yield Cast(kind, oids, _I)
            yield Cast(kind, texts, _E, sql=f"pgc_texts_{kind.element.short}({{0}})")
        elif kind.element.sqlite == "TEXT":
            yield Cast(kind, texts, _E)
    yield Cast(oids, texts, _E, sql="pg_each({0}, 'pg_text_int8')")


def _scalars() -> Iterator[Cast]:
    yield from _numbers()
    yield from _strings()
    yield from _times()
    yield from _jsons()


def _table() -> Iterator[Cast]:
    """An array is cast as its elements are."""
    for cast in _scalars():
        yield cast
        if cast.source in ARRAY_OF and cast.target in ARRAY_OF:
            source, target = ARRAY_OF[cast.source], ARRAY_OF[cast.target]
            if cast.is_same_form:
                yield Cast(source, target, cast.context)
            elif cast.function:
                each = "pg_eachbytes" if cast.source.sqlite == "BLOB" else "pg_each"
                sql = f"{each}({{0}}, '{cast.function}')"
                yield Cast(source, target, cast.context, sql=sql)
    yield from _systems()


CASTS: Final[Mapping[tuple[Type, Type], Cast]] = {
    (cast.source, cast.target): cast for cast in _table()
}

FITS: Final[Mapping[Type, str]] = {
    NUMERIC: "pg_fit_numeric",
    VARCHAR: "pg_fit_varchar",
    BPCHAR: "pg_fit_bpchar",
    TIME: "pg_fit_time",
    TIMESTAMP: "pg_fit_timestamp",
    TIMESTAMPTZ: "pg_fit_timestamp",
    INTERVAL: "pg_fit_interval",
}
"""The node's function (value, modifier) that fits an assigned value; with `_explicit` behind it
where an explicit cast cuts what an assignment refuses."""

_CUT_BY_CASTS: Final = frozenset({VARCHAR, BPCHAR})


TO_LABEL: Final = f"substr({{0}}, {PLACE_DIGITS + 1})"
"""SQLite's text of the label of a value of an enumeration."""


def _of_own(source: Type, target: Type) -> Cast | None:
    """Of enumerations, and arrays of them: only through text."""
    if source.is_own:
        if source.element is not None:
            text = "pg_labels_enum({0})"
            if target is ARRAY_OF[TEXT]:
                return Cast(source, target, _E, sql=text)
            whole = CASTS[ARRAY_OF[TEXT], TEXT].function
            return Cast(source, target, _A, sql=f"{whole}({text})") if is_text(target) else None
        text = f"pg_cast_name({TO_LABEL})" if target is NAME else TO_LABEL
        return Cast(source, target, _A, sql=text) if is_text(target) else None
    is_read = is_text(source) if target.element is None else source is ARRAY_OF[TEXT]
    if not is_read:
        return None
    text = read_label("\0", target).replace("{", "{{").replace("}", "}}")
    return Cast(source, target, _E, sql=text.replace("\0", "{0}"))


def find(source: Type, target: Type, context: Context) -> Cast | None:
    """The cast that `context` may use; None if there is none. Of a type to itself: no change."""
    if source is target:
        return Cast(source, target, _I)
    own = source.is_own or target.is_own
    cast = _of_own(source, target) if own else CASTS.get((source, target))
    return cast if cast is not None and cast.context <= context else None


def is_implicit(source: Type, target: Type) -> bool:
    """Whether an operand of one type may stand where the other is wanted."""
    return source is target or find(source, target, _I) is not None


def fit(kind: Type, context: Context) -> str:
    """The node's function (value, modifier) for a type that has a modifier."""
    name = FITS[kind]
    return f"{name}_explicit" if context is _E and kind in _CUT_BY_CASTS else name
