"""Types that only the system catalogs have: oid and what names an object by it, "char", vectors.

No column of a table has one. An oid, a regclass, a regtype, ... is an integer. Where a client
wants the name as text, whoever knows the names has put it in the integer's place, which is why
such a value may be either. A vector is an array whose text has no braces and which counts from 0.
"""

from __future__ import annotations

import struct
from typing import Final

from nodes.pgtypes import integers, strings
from nodes.pgtypes.arrays import ArrayKind, array_codec, elements
from nodes.pgtypes.formats import Codec, ValueFormatError, bad_binary, mismatch
from nodes.protocol import Value

__all__ = ["ARRAYS", "CODECS", "NAMED", "NUMBERS", "TEXTS", "VECTORS"]

NAMED: Final = {
    "regproc": 24,
    "regclass": 2205,
    "regtype": 2206,
    "regnamespace": 4089,
    "regrole": 4096,
    "regcollation": 4191,
    "regprocedure": 2202,
    "regoper": 2203,
    "regoperator": 2204,
    "regconfig": 3734,
    "regdictionary": 3769,
}
"""Kinds of oid whose text is a name."""

NUMBERS: Final = {"oid": 26, "xid": 28, "cid": 29}
TEXTS: Final = {
    "char": 18,
    "aclitem": 1033,
    "pg_node_tree": 194,
    "pg_lsn": 3220,
    "xid8": 5069,
    "inet": 869,
    "anyarray": 2277,
    "pg_ndistinct": 3361,
    "pg_dependencies": 3402,
    "pg_mcv_list": 5017,
    "tid": 27,
}
"""Those whose text is kept as it is."""

VECTORS: Final = {"int2vector": 22, "oidvector": 30}


def _unsigned(text: str, name: str) -> int:
    value = integers.parse_integer(text, integers.INT8)
    if not -(1 << 31) <= value < 1 << 32:
        raise ValueFormatError("22003", f'value "{text}" is out of range for type {name}')
    return value % (1 << 32)


def _number(name: str, oid: int, *, is_named: bool) -> Codec:
    packing = struct.Struct(">I")

    def to_text(value: Value) -> bytes:
        if type(value) is str:
            return value.encode()
        if type(value) is not int:
            raise mismatch(value, name)
        return b"%d" % value if value or not is_named else b"-"

    def to_binary(value: Value) -> bytes:
        if type(value) is not int or not 0 <= value < 1 << 32:
            raise mismatch(value, name)
        return packing.pack(value)

    def from_text(text: str) -> Value:
        return text if is_named else _unsigned(text, name)

    def from_binary(data: bytes) -> Value:
        try:
            found: int = packing.unpack(data)[0]
        except struct.error as exc:
            raise bad_binary() from exc
        return found

    return Codec(oid, to_text, to_binary, from_text, from_binary)


def _text(name: str, oid: int) -> Codec:
    def encode(value: Value) -> bytes:
        if type(value) is not str:
            raise mismatch(value, name)
        return value.encode()

    return Codec(oid, encode, encode, lambda text: text, strings.parse_text)


def _char() -> Codec:
    """One byte, which is sent as it is; zero is the empty text."""
    text = _text("char", TEXTS["char"])

    def to_binary(value: Value) -> bytes:
        return text.to_binary(value) or b"\0"

    def from_binary(data: bytes) -> Value:
        if len(data) != 1:
            raise bad_binary()
        return "" if data == b"\0" else text.from_binary(data)

    return Codec(TEXTS["char"], text.to_text, to_binary, text.from_text, from_binary)


_SCALARS: Final = {
    **{
        name: _number(name, oid, is_named=name in NAMED)
        for name, oid in {**NUMBERS, **NAMED}.items()
    },
    **{name: _text(name, oid) for name, oid in TEXTS.items()},
    "char": _char(),
}

ARRAYS: Final = {
    name: ArrayKind(oid, _SCALARS[name], name)
    for name, oid in (
        ("oid", 1028),
        ("char", 1002),
        ("aclitem", 1034),
        ("regproc", 1008),
        ("regclass", 2210),
        ("regtype", 2211),
        ("regnamespace", 4090),
        ("regrole", 4097),
        ("xid", 1011),
    )
}


def _vector(name: str, oid: int, element: Codec) -> Codec:
    head = struct.Struct(">iiiii")
    kind = array_codec(ArrayKind(oid, element, name))

    def to_text(value: Value) -> bytes:
        return " ".join(str(part) for part in elements(value)).encode()

    def to_binary(value: Value) -> bytes:
        """As an array of one dimension, also without an element, whose bounds begin at 0."""
        parts = [element.to_binary(part) for part in elements(value)]
        out = [head.pack(1, 0, element.oid, len(parts), 0)]
        out += [struct.pack(">i", len(part)) + part for part in parts]
        return b"".join(out)

    def from_text(text: str) -> Value:
        return kind.from_text("{" + ",".join(text.split()) + "}")

    return Codec(oid, to_text, to_binary, from_text, kind.from_binary)


_INT2: Final = next(codec for codec in integers.CODECS if codec.oid == integers.INT2)

CODECS: Final = (
    *_SCALARS.values(),
    *(array_codec(kind) for kind in ARRAYS.values()),
    _vector("int2vector", VECTORS["int2vector"], _INT2),
    _vector("oidvector", VECTORS["oidvector"], _SCALARS["oid"]),
)
