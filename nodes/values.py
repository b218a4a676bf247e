"""Values on their three journeys: into a slot, into PostgreSQL's formats, and back.

Pure: knows PostgreSQL's text and binary formats of the types this database has, and nothing
of SQL, connections or catalogs. Both the router (parameters, rows it merges) and the nodes
(rows they answer) use it, so that a value looks the same whichever of them encoded it.

In SQLite a boolean is 0 or 1; `Value` has both spellings and the codecs take either. NaN has
no place: SQLite stores it as NULL, so it is refused when it comes in.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final

import xxhash

from nodes.pgtypes import numerics
from nodes.pgtypes.formats import (
    SPACES,
    Codec,
    ValueFormatError,
    bad_binary,
    bad_syntax,
    mismatch,
)
from nodes.pgtypes.numerics import NUMERIC, numeric_modifier, precision_and_scale
from nodes.protocol import OutputColumn, Value

__all__ = [
    "BOOL",
    "FLOAT8",
    "INT2",
    "INT4",
    "INT8",
    "NUMERIC",
    "SLOTS",
    "TEXT",
    "UNKNOWN",
    "VARCHAR",
    "ValueFormatError",
    "canonical_key",
    "decode_binary",
    "decode_text",
    "encode_binary",
    "encode_data_row",
    "encode_data_rows",
    "encode_text",
    "numeric_modifier",
    "parse_bool",
    "parse_float",
    "parse_integer",
    "parse_text",
    "precision_and_scale",
    "slot_of",
]

BOOL: Final = 16
INT8: Final = 20
INT2: Final = 21
INT4: Final = 23
TEXT: Final = 25
FLOAT8: Final = 701
UNKNOWN: Final = 705
VARCHAR: Final = 1043
VOID: Final = 2278

SLOTS: Final = 16384
"""Hash buckets of shard keys; a power of two. The slot of a key never changes."""

ENCODERS_MAX: Final = 1024
"""Row encoders kept, one per distinct tuple of output columns."""


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
}
_KEY_INTEGER: Final = struct.Struct(">cq")


def canonical_key(value: Value, type_name: str) -> bytes:
    """The bytes of a shard-key value: type-tagged, equal exactly for values that are equal.

    The three integer types encode alike, so that a bigint parameter finds the row of an
    integer column; so do text and varchar. Raises ValueError for NULL, for a value that is
    not of the type, and for a type that cannot be a shard key.
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
    else:
        raise ValueError(f"a column of type {type_name} cannot be a shard key")
    if value is None:
        raise ValueError("a shard key cannot be NULL")
    raise ValueError(f"{value!r} is not a value of type {type_name}")


def slot_of(key: bytes) -> int:
    """The slot of a canonical key, in [0, SLOTS)."""
    return xxhash.xxh3_64_intdigest(key) & (SLOTS - 1)


# --------------------------------------------------------------------------- out of Python

_INTEGERS: Final = {
    INT2: ("smallint", -(1 << 15), (1 << 15) - 1, struct.Struct(">h")),
    INT4: ("integer", -(1 << 31), (1 << 31) - 1, struct.Struct(">i")),
    INT8: ("bigint", -(1 << 63), (1 << 63) - 1, struct.Struct(">q")),
}
_FLOAT: Final = struct.Struct(">d")
_FIXED_POINT_MAX: Final = 1e15  # from here on PostgreSQL prints an exponent, Python from 1e16


def _float_text(value: Value) -> bytes:
    """Shortest digits that read back the same, laid out as PostgreSQL does (1e+20, -0, 0.1)."""
    if type(value) is not float:
        if type(value) is not int:
            raise mismatch(value, "double precision")
        value = float(value)
    if not math.isfinite(value):
        return b"NaN" if value != value else b"Infinity" if value > 0 else b"-Infinity"
    text = repr(value)
    text = text.removesuffix(".0")
    if abs(value) >= _FIXED_POINT_MAX and "e" not in text:
        sign = "-" if value < 0 else ""
        whole, _, fraction = text.removeprefix("-").partition(".")
        digits = (whole[1:] + fraction).rstrip("0")
        point = "." if digits else ""
        text = f"{sign}{whole[0]}{point}{digits}e+{len(whole) - 1}"
    return text.encode()


def _float_binary(value: Value) -> bytes:
    if type(value) is not float and type(value) is not int:
        raise mismatch(value, "double precision")
    return _FLOAT.pack(value)


def _bool_text(value: Value) -> bytes:
    if (type(value) is bool or type(value) is int) and value in (0, 1):
        return b"t" if value else b"f"
    raise mismatch(value, "boolean")


def _bool_binary(value: Value) -> bytes:
    return b"\x01" if _bool_text(value) == b"t" else b"\x00"


def _string(value: Value) -> bytes:
    if type(value) is str:
        try:
            return value.encode()
        except UnicodeEncodeError as exc:
            raise ValueFormatError("22021", f"{value!r} cannot be encoded in UTF8") from exc
    raise mismatch(value, "text")


def _integer_codec(oid: int) -> tuple[Callable[[Value], bytes], Callable[[Value], bytes]]:
    name, low, high, binary = _INTEGERS[oid]
    pack = binary.pack

    def check(value: Value) -> int:
        if type(value) is not int:
            if type(value) is not bool:
                raise mismatch(value, name)
            value = int(value)
        if not low <= value <= high:
            raise ValueFormatError("22003", f"{name} out of range")
        return value

    def to_text(value: Value) -> bytes:
        if type(value) is int and low <= value <= high:
            return b"%d" % value
        return b"%d" % check(value)

    def to_binary(value: Value) -> bytes:
        if type(value) is int and low <= value <= high:
            return pack(value)
        return pack(check(value))

    return to_text, to_binary


_TO_TEXT: Final[dict[int, Callable[[Value], bytes]]] = {
    BOOL: _bool_text,
    FLOAT8: _float_text,
    TEXT: _string,
    VARCHAR: _string,
    UNKNOWN: _string,
    VOID: _string,
}
_TO_BINARY: Final[dict[int, Callable[[Value], bytes]]] = {
    BOOL: _bool_binary,
    FLOAT8: _float_binary,
    TEXT: _string,
    VARCHAR: _string,
    UNKNOWN: _string,
    VOID: _string,
}
for _oid in _INTEGERS:
    _TO_TEXT[_oid], _TO_BINARY[_oid] = _integer_codec(_oid)

_CODECS: Final[dict[int, Codec]] = {codec.oid: codec for codec in numerics.CODECS}
for _codec in _CODECS.values():
    _TO_TEXT[_codec.oid], _TO_BINARY[_codec.oid] = _codec.to_text, _codec.to_binary


def _unsupported(oid: int) -> ValueFormatError:
    return ValueFormatError("0A000", f"the type with OID {oid} is not supported")


def encode_text(value: Value, oid: int) -> bytes:
    """`value`, not NULL, in PostgreSQL's text format. Raises ValueFormatError."""
    encode = _TO_TEXT.get(oid)
    if encode is None:
        raise _unsupported(oid)
    return encode(value)


def encode_binary(value: Value, oid: int) -> bytes:
    """`value`, not NULL, in PostgreSQL's binary format. Raises ValueFormatError."""
    encode = _TO_BINARY.get(oid)
    if encode is None:
        raise _unsupported(oid)
    return encode(value)


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
        encode = (_TO_BINARY if column.binary else _TO_TEXT).get(column.oid)
        if encode is None:
            raise _unsupported(column.oid)
        encoders.append(encode)
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


# --------------------------------------------------------------------------- into Python

_INTEGER: Final = re.compile(r"[+-]?[0-9]+\Z")
_FLOAT_TEXT: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\Z")
_INFINITY: Final = re.compile(r"([+-]?)inf(inity)?\Z", re.IGNORECASE)
_NAN: Final = re.compile(r"[+-]?nan\Z", re.IGNORECASE)
_INT8_DIGITS: Final = 19


def _no_nan() -> ValueFormatError:
    return ValueFormatError("0A000", "NaN is not supported as a value of type double precision")


def parse_text(data: bytes) -> str:
    """UTF-8 without NUL, as PostgreSQL wants it of every string."""
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        wrong = " ".join(f"0x{byte:02x}" for byte in data[exc.start : exc.end])
        raise ValueFormatError(
            "22021", f'invalid byte sequence for encoding "UTF8": {wrong}'
        ) from exc
    if "\0" in text:
        raise ValueFormatError("22021", 'invalid byte sequence for encoding "UTF8": 0x00')
    return text


def parse_integer(text: str, oid: int) -> int:
    """An integer of type `oid` as PostgreSQL reads it from text."""
    name, low, high, _ = _INTEGERS[oid]
    trimmed = text.strip(SPACES)
    if not _INTEGER.match(trimmed):
        raise bad_syntax(name, text)
    # Python refuses to read thousands of digits; no type here has more than 19.
    value = int(trimmed) if len(trimmed.lstrip("+-0")) <= _INT8_DIGITS else high + 1
    if not low <= value <= high:
        raise ValueFormatError("22003", f'value "{text}" is out of range for type {name}')
    return value


def parse_float(text: str) -> float:
    """A double precision as PostgreSQL reads it from text; NaN is refused."""
    trimmed = text.strip(SPACES)
    if _FLOAT_TEXT.match(trimmed):
        value = float(trimmed)
        mantissa = trimmed.lower().partition("e")[0]
        if math.isinf(value) or (value == 0 and mantissa.strip("+-0.")):
            raise ValueFormatError("22003", f'"{text}" is out of range for type double precision')
        return value
    if infinity := _INFINITY.match(trimmed):
        return -math.inf if infinity[1] == "-" else math.inf
    if _NAN.match(trimmed):
        raise _no_nan()
    raise bad_syntax("double precision", text)


def parse_bool(text: str) -> bool:
    """A boolean as PostgreSQL reads it: unique prefixes of true/false/yes/no, on/off, 1/0."""
    word = text.strip(SPACES).lower()
    if word:
        if word == "1" or "true".startswith(word) or "yes".startswith(word) or word == "on":
            return True
        if word == "0" or "false".startswith(word) or "no".startswith(word):
            return False
        if word in ("of", "off"):
            return False
    raise bad_syntax("boolean", text)


def decode_text(data: bytes, oid: int) -> Value:
    """A value from PostgreSQL's text format. Raises ValueFormatError (22P02, 22003, 22021)."""
    text = parse_text(data)
    if oid in (TEXT, VARCHAR, UNKNOWN):
        return text
    if oid in _INTEGERS:
        return parse_integer(text, oid)
    if oid == BOOL:
        return parse_bool(text)
    if oid == FLOAT8:
        return parse_float(text)
    codec = _CODECS.get(oid)
    if codec is None:
        raise _unsupported(oid)
    return codec.from_text(text)


def decode_binary(data: bytes, oid: int) -> Value:
    """A value from PostgreSQL's binary format. Raises ValueFormatError (22P03, 22021)."""
    if oid in (TEXT, VARCHAR, UNKNOWN):
        return parse_text(data)
    try:
        if oid in _INTEGERS:
            integer: int = _INTEGERS[oid][3].unpack(data)[0]
            return integer
        if oid == FLOAT8:
            number: float = _FLOAT.unpack(data)[0]
            if number != number:
                raise _no_nan()
            return number
    except struct.error as exc:
        raise bad_binary() from exc
    if oid == BOOL:
        if len(data) != 1:
            raise bad_binary()
        return data != b"\x00"
    codec = _CODECS.get(oid)
    if codec is None:
        raise _unsupported(oid)
    return codec.from_binary(data)
