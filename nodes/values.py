"""Values on their three journeys: into a slot, into PostgreSQL's formats, and back.

Pure: knows PostgreSQL's text and binary formats of the types this database has, and nothing
of SQL, connections or catalogs. Both the router (parameters, rows it merges) and the nodes
(rows they answer) use it, so that a value looks the same whichever of them encoded it.

In SQLite a boolean is 0 or 1; `Value` has both spellings and the codecs take either. What each
type's formats are, `nodes.pgtypes` knows.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import xxhash

from nodes.pgtypes import (
    arrays,
    bytes_and_uuids,
    dates,
    enumerations,
    floats,
    integers,
    intervals,
    json_values,
    numerics,
    strings,
    system_types,
)
from nodes.pgtypes.arrays import ARRAYS, ArrayKind
from nodes.pgtypes.arrays import dump as stored_array
from nodes.pgtypes.bytes_and_uuids import BYTEA, UUID
from nodes.pgtypes.dates import DATE, TIME, TIMESTAMP, TIMESTAMPTZ
from nodes.pgtypes.enumerations import OWN_TYPES, PLACE_DIGITS, labelled, place_of, stored_label
from nodes.pgtypes.floats import FLOAT4, FLOAT8
from nodes.pgtypes.formats import Codec, ValueFormatError
from nodes.pgtypes.integers import INT2, INT4, INT8
from nodes.pgtypes.intervals import INTERVAL
from nodes.pgtypes.json_values import JSON, JSONB
from nodes.pgtypes.numerics import NUMERIC, numeric_modifier, precision_and_scale
from nodes.pgtypes.strings import (
    BOOL,
    BPCHAR,
    NAME,
    TEXT,
    UNKNOWN,
    VARCHAR,
    VOID,
    parse_bool,
    parse_text,
)
from nodes.pgtypes.system_types import ARRAYS as SYSTEM_ARRAYS
from nodes.pgtypes.system_types import NAMED, NUMBERS, TEXTS, VECTORS
from nodes.protocol import OutputColumn, Value

__all__ = [
    "BOOL",
    "BPCHAR",
    "BYTEA",
    "DATE",
    "FLOAT4",
    "FLOAT8",
    "INT2",
    "INT4",
    "INT8",
    "ARRAYS",
    "ArrayKind",
    "INTERVAL",
    "JSON",
    "JSONB",
    "NAME",
    "NAMED",
    "NUMBERS",
    "NUMERIC",
    "OWN_TYPES",
    "PLACE_DIGITS",
    "SLOTS",
    "SYSTEM_ARRAYS",
    "TEXT",
    "TEXTS",
    "TEXT_ARRAY",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "UNKNOWN",
    "UUID",
    "VARCHAR",
    "VECTORS",
    "VOID",
    "ValueFormatError",
    "canonical_key",
    "decode_binary",
    "decode_text",
    "encode_binary",
    "encode_data_row",
    "encode_data_rows",
    "encode_text",
    "labelled",
    "numeric_modifier",
    "parse_bool",
    "parse_text",
    "place_of",
    "precision_and_scale",
    "slot_finder",
    "slot_of",
    "stored_array",
    "stored_label",
]

SLOTS: Final = 16384
"""Hash buckets of shard keys; a power of two. The slot of a key never changes."""

ENCODERS_MAX: Final = 1024
"""Row encoders kept, one per distinct tuple of output columns."""


TEXT_ARRAY: Final = ARRAYS["text"].oid

# --------------------------------------------------------------------------- keys and slots

_KEY_TAGS: Final = {
    "smallint": b"i",
    "integer": b"i",
    "bigint": b"i",
    "int2": b"i",
    "int4": b"i",
    "int8": b"i",
    "text": b"t",
    "varchar": b"t",
    "character varying": b"t",
    "boolean": b"b",
    "bool": b"b",
    "date": b"i",
    "timestamp without time zone": b"i",
    "timestamp with time zone": b"i",
    "bytea": b"y",
    "uuid": b"y",
}
_KEY_INTEGER: Final = struct.Struct(">cq")


def canonical_key(value: Value, type_name: str) -> bytes:
    """The bytes of a shard-key value: type-tagged, equal exactly for values that are equal.

    `value` is a stored form. The three integer types encode alike, so that a bigint parameter
    finds the row of an integer column; so do text and varchar, and date and timestamps. Raises
    ValueError for NULL, for a value that is not of the type, and for a type that cannot be a
    shard key.
    """
    tag = _KEY_TAGS.get(type_name)
    if tag == b"i":
        if type(value) is int and -(1 << 63) <= value < 1 << 63:
            return _KEY_INTEGER.pack(b"i", value)
    elif tag == b"t":
        if type(value) is str and "\0" not in value:
            return b"t" + value.encode()
    elif tag == b"b":
        if (type(value) is bool or type(value) is int) and value in (0, 1):
            return b"b\x01" if value else b"b\x00"
    elif tag == b"y":
        if type(value) is bytes:
            return b"y" + value
    else:
        raise ValueError(f"a column of type {type_name} cannot be a shard key")
    if value is None:
        raise ValueError("a shard key cannot be NULL")
    raise ValueError(f"{value!r} is not a value of type {type_name}")


def slot_of(key: bytes) -> int:
    """The slot of a canonical key, in [0, SLOTS)."""
    return xxhash.xxh3_64_intdigest(key) & (SLOTS - 1)


@lru_cache(maxsize=len(_KEY_TAGS))
def slot_finder(type_name: str) -> Callable[[Value], int]:
    """`slot_of(canonical_key(value, type_name))` as one function, for who asks again and again."""
    hashed, pack, mask = xxhash.xxh3_64_intdigest, _KEY_INTEGER.pack, SLOTS - 1

    def of_integer(value: Value) -> int:
        if type(value) is int:
            try:
                return hashed(pack(b"i", value)) & mask
            except struct.error:
                pass  # more than 64 bits: refused like all that is no key
        return of_any(value)

    def of_any(value: Value) -> int:
        return slot_of(canonical_key(value, type_name))

    return of_integer if _KEY_TAGS.get(type_name) == b"i" else of_any


# --------------------------------------------------------------------------- formats

_CODECS: Final[Mapping[int, Codec]] = {
    codec.oid: codec
    for module in (
        *(integers, floats, numerics, strings, bytes_and_uuids),
        *(dates, intervals, json_values, arrays, system_types),
    )
    for codec in module.CODECS
}


def _codec(oid: int) -> Codec:
    codec = _CODECS.get(oid)
    if codec is None and oid >= OWN_TYPES:
        return enumerations.codec(oid)
    if codec is None:
        raise ValueFormatError("0A000", f"the type with OID {oid} is not supported")
    return codec


def encode_text(value: Value, oid: int) -> bytes:
    """`value`, not NULL, in PostgreSQL's text format. Raises ValueFormatError."""
    return _codec(oid).to_text(value)


def encode_binary(value: Value, oid: int) -> bytes:
    """`value`, not NULL, in PostgreSQL's binary format. Raises ValueFormatError."""
    return _codec(oid).to_binary(value)


def decode_text(data: bytes, oid: int) -> Value:
    """A value from PostgreSQL's text format. Raises ValueFormatError (22P02, 22003, 22007, 22008,
    22021)."""
    return _codec(oid).from_text(parse_text(data))


def decode_binary(data: bytes, oid: int) -> Value:
    """A value from PostgreSQL's binary format. Raises ValueFormatError (22P03, 22021)."""
    return _codec(oid).from_binary(data)


def value_reader(oid: int, *, binary: bool) -> Callable[[bytes], Value]:
    """`decode_binary`, or `decode_text`, of this type. Raises ValueFormatError if it is unknown."""
    codec = _codec(oid)
    if binary:
        return codec.from_binary
    from_text = codec.from_text
    return lambda data: from_text(parse_text(data))


# --------------------------------------------------------------------------- DataRow

_NULL: Final = b"\xff\xff\xff\xff"
_LENGTHS: Final = tuple(struct.pack(">i", n) for n in range(256))
_LENGTH: Final = struct.Struct(">i")
_ROW_HEAD: Final = struct.Struct(">cih")


@lru_cache(maxsize=ENCODERS_MAX)
def _rows_encoder(
    columns: tuple[OutputColumn, ...],
) -> Callable[[Iterable[Sequence[Value]]], bytes]:
    encoders = []
    for column in columns:
        codec = _codec(column.oid)
        encoders.append(codec.to_binary if column.binary else codec.to_text)
    count = len(encoders)

    def encode_rows(rows: Iterable[Sequence[Value]]) -> bytes:
        out: list[bytes] = []
        append = out.append
        for row in rows:
            if len(row) != count:
                raise ValueFormatError(
                    "42804", f"the statement returns {len(row)} columns, {count} were expected"
                )
            head = len(out)
            append(b"")
            size = 6 + 4 * count
            for encode, value in zip(encoders, row):  # noqa: B905 -- lengths compared above
                if value is None:
                    append(_NULL)
                    continue
                cell = encode(value)
                length = len(cell)
                size += length
                append(_LENGTHS[length] if length < 256 else _LENGTH.pack(length))
                append(cell)
            out[head] = _ROW_HEAD.pack(b"D", size, count)
        return b"".join(out)

    return encode_rows


def encode_data_rows(rows: Iterable[Sequence[Value]], columns: Sequence[OutputColumn]) -> bytes:
    """Whole DataRow messages, one after the other. Raises ValueFormatError."""
    return _rows_encoder(tuple(columns))(rows)


def encode_data_row(values: Sequence[Value], columns: Sequence[OutputColumn]) -> bytes:
    """One whole DataRow message. Raises ValueFormatError."""
    return _rows_encoder(tuple(columns))((values,))
