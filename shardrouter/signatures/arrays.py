"""Functions of arrays: what takes any array has a row for each type of them."""

from __future__ import annotations

from collections.abc import Iterator

from shardrouter.signatures.signature import Function, absent, plain
from shardrouter.types import (
    ARRAY_OF,
    BOOLEAN,
    BPCHAR,
    INTEGER,
    NAME,
    SYSTEM_ARRAY_OF,
    TEXT,
    VARCHAR,
    Type,
)

__all__ = ["of_enumeration", "rows"]


def rows() -> Iterator[Function]:
    for element, kind in ARRAY_OF.items():
        yield from _of_any(element, kind)
        if element in (TEXT, VARCHAR, BPCHAR, NAME):
            texts_of = "{0}"
        elif element is BOOLEAN:
            texts_of = "pg_each({0}, 'pg_output_bool')"
        else:
            each = "pg_eachbytes" if element.sqlite == "BLOB" else "pg_each"
            texts_of = f"{each}({{0}}, 'pg_text_{element.short}')"
        yield from _joined(kind, texts_of)
    yield from _of_system_types()
    texts = ARRAY_OF[TEXT]
    text = "pg_string_to_array({0}, {1}, %s)"
    yield Function("string_to_array", (TEXT, TEXT), texts, text % "NULL")
    yield Function("string_to_array", (TEXT, TEXT, TEXT), texts, text % "{2}")


def of_enumeration(element: Type, kind: Type) -> Iterator[Function]:
    """The same of the arrays of an enumeration."""
    yield from _of_any(element, kind)
    yield from _joined(kind, "pg_labels_enum({0})")


def _of_any(element: Type, kind: Type) -> Iterator[Function]:
    yield plain("array_length", "pg_length_array", INTEGER, kind, INTEGER)
    yield plain("cardinality", "pg_cardinality_array", INTEGER, kind)
    yield Function("array_append", (kind, element), kind, "pg_append_array({0}, {1})")
    yield Function("array_prepend", (element, kind), kind, "pg_prepend_array({0}, {1})")
    yield Function("array_cat", (kind, kind), kind, "pg_concat_array({0}, {1})")
    position = f"pg_position_{kind.collation}({{0}}, {{1}})"
    yield Function("array_position", (kind, element), INTEGER, position)
    collation = kind.collation
    for name, result in (("remove", kind), ("positions", ARRAY_OF[INTEGER])):
        text = f"pg_{name}_{collation}({{0}}, {{1}})"
        yield Function(f"array_{name}", (kind, element), result, text)
    text = f"pg_replace_{collation}({{0}}, {{1}}, {{2}})"
    yield Function("array_replace", (kind, element, element), kind, text)
    text = f"pg_positionfrom_{collation}({{0}}, {{1}}, {{2}})"
    yield Function("array_position", (kind, element, INTEGER), INTEGER, text)
    yield plain("array_upper", "pg_upper_array", INTEGER, kind, INTEGER)
    yield plain("array_lower", "pg_lower_array", INTEGER, kind, INTEGER)
    yield plain("array_ndims", "pg_ndims_array", INTEGER, kind)
    yield plain("array_dims", "pg_dims_array", TEXT, kind)
    yield plain("trim_array", "pg_trim_array", kind, kind, INTEGER)
    counts = ARRAY_OF[INTEGER]
    yield absent("width_bucket", element, kind)
    yield absent("array_fill", element, counts, counts)
    yield Function("array_fill", (element, counts), kind, "pg_fill_array({0}, {1})")


def _joined(kind: Type, texts_of: str) -> Iterator[Function]:
    """array_to_string, of the array of the elements' texts."""
    joined = f"pg_array_to_string({texts_of}, {{1}}, %s)"
    yield Function("array_to_string", (kind, TEXT), TEXT, joined % "NULL")
    yield Function("array_to_string", (kind, TEXT, TEXT), TEXT, joined % "{2}")


def _of_system_types() -> Iterator[Function]:
    """What clients ask of arrays that only the catalogs have."""
    for element, kind in SYSTEM_ARRAY_OF.items():
        yield plain("array_length", "pg_length_array", INTEGER, kind, INTEGER)
        yield plain("cardinality", "pg_cardinality_array", INTEGER, kind)
        yield plain("array_upper", "pg_upper_array", INTEGER, kind, INTEGER)
        yield plain("array_lower", "pg_lower_array", INTEGER, kind, INTEGER)
        position = f"pg_position_{kind.collation}({{0}}, {{1}})"
        yield Function("array_position", (kind, element), INTEGER, position)
        if element.sqlite == "TEXT":
            joined = "pg_array_to_string({0}, {1}, NULL)"
            yield Function("array_to_string", (kind, TEXT), TEXT, joined)
