"""One-dimensional arrays: JSON arrays of their elements' stored forms.

SQLite's own json_each reads them, so that `= ANY` can use an index. Bytes stand in them as
hexadecimal digits, which sort alike. More dimensions, and lower bounds other than 1, are refused.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from nodes.pgtypes import (
    bytes_and_uuids,
    dates,
    floats,
    integers,
    intervals,
    json_values,
    numerics,
    strings,
)
from nodes.pgtypes.formats import (
    SPACES,
    Aggregate,
    Codec,
    Function,
    ValueFormatError,
    bad_binary,
    mismatch,
)
from nodes.pgtypes.integers import integer_of
from nodes.pgtypes.strings import string_of
from nodes.protocol import Value

__all__ = [
    "AGGREGATES",
    "ARRAYS",
    "CODECS",
    "COLLATIONS",
    "FUNCTIONS",
    "ORDERS",
    "ArrayKind",
    "array_codec",
    "dump",
    "elements",
    "of_elements",
    "plain",
]

ELEMENTS_MAX: Final = 1_000_000
"""Of one array that a client sends; SQLite's limit of a value ends it sooner for long ones."""

_Compare: TypeAlias = Callable[[Any, Any], int]


@dataclass(frozen=True)
class ArrayKind:
    """The array type of one element type; `collation` is the one its stored forms compare in."""

    oid: int
    element: Codec
    short: str  # of the element, as pg_type has it
    is_bytes: bool = False
    collation: str = "array"


_ELEMENTS: Final = {
    codec.oid: codec
    for module in (
        *(integers, floats, numerics, strings, bytes_and_uuids),
        *(dates, intervals, json_values),
    )
    for codec in module.CODECS
}


def _kind(oid: int, element: int, short: str, **more: Any) -> ArrayKind:
    return ArrayKind(oid, _ELEMENTS[element], short, **more)


ARRAYS: Final[Mapping[str, ArrayKind]] = {
    kind.short: kind
    for kind in (
        _kind(1005, integers.INT2, "int2"),
        _kind(1007, integers.INT4, "int4"),
        _kind(1016, integers.INT8, "int8"),
        _kind(1231, numerics.NUMERIC, "numeric", collation="array_numeric"),
        _kind(1021, floats.FLOAT4, "float4"),
        _kind(1022, floats.FLOAT8, "float8"),
        _kind(1000, strings.BOOL, "bool"),
        _kind(1009, strings.TEXT, "text"),
        _kind(1015, strings.VARCHAR, "varchar"),
        _kind(1003, strings.NAME, "name"),
        _kind(1014, strings.BPCHAR, "bpchar", collation="array_bpchar"),
        _kind(1001, bytes_and_uuids.BYTEA, "bytea", is_bytes=True),
        _kind(2951, bytes_and_uuids.UUID, "uuid", is_bytes=True),
        _kind(1182, dates.DATE, "date"),
        _kind(1183, dates.TIME, "time"),
        _kind(1115, dates.TIMESTAMP, "timestamp"),
        _kind(1185, dates.TIMESTAMPTZ, "timestamptz"),
        _kind(1187, intervals.INTERVAL, "interval", collation="array_interval"),
        _kind(3807, json_values.JSONB, "jsonb", collation="array_jsonb"),
    )
}


# --------------------------------------------------------------------------- the stored form


def dump(values: list[Any]) -> str:
    """The stored form of elements in theirs."""
    written = [plain(value) for value in values]
    text = json.dumps(written, ensure_ascii=False, separators=(",", ":"))
    if math.inf in written or -math.inf in written:  # then there are no texts in it
        text = text.replace("Infinity", "9e999")  # as SQLite and Python read it
    return text


def plain(value: Any) -> Any:
    if type(value) is bytes:
        return value.hex()
    return int(value) if type(value) is bool else value


def elements(value: Value) -> list[Any]:
    """The elements' stored forms, bytes as their digits."""
    found: list[Any] = json.loads(string_of(value))
    return found


def _native(kind: ArrayKind, value: Any) -> Any:
    return bytes.fromhex(value) if kind.is_bytes and value is not None else value


# --------------------------------------------------------------------------- formats

_QUOTED: Final = re.compile(r'[\\"{},\s]|\A\Z|\Anull\Z', re.IGNORECASE)
_HEAD: Final = struct.Struct(">iii")
_INT4: Final = struct.Struct(">i")
_BOUNDS: Final = struct.Struct(">ii")


def _malformed(text: str) -> ValueFormatError:
    return ValueFormatError("22P02", f'malformed array literal: "{text}"')


def _one_dimension() -> ValueFormatError:
    return ValueFormatError(
        "0A000",
        "arrays of several dimensions, or whose bounds do not start at 1, are not supported",
        hint="Keep the inner lists in rows of a table, or in a jsonb.",
    )


def _show(kind: ArrayKind, value: Any) -> str:
    if value is None:
        return "NULL"
    text = kind.element.to_text(_native(kind, value)).decode()
    if _QUOTED.search(text):
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return text


def _split(text: str) -> list[str | None]:
    """The elements' texts, None for NULL."""
    trimmed = text.strip(SPACES)
    if trimmed[:1] == "[":
        raise _one_dimension()
    if trimmed[:1] != "{":
        raise _malformed(text)
    found: list[str | None] = []
    at, end = 1, len(trimmed)
    while at < end and trimmed[at] in SPACES:
        at += 1
    if trimmed[at : at + 1] == "}":
        if at + 1 != end:
            raise _malformed(text)
        return found
    while True:
        element, at = _element(text, trimmed, at)
        found.append(element)
        if len(found) > ELEMENTS_MAX:
            raise ValueFormatError("54000", f"an array has more than {ELEMENTS_MAX} elements")
        if trimmed[at : at + 1] == ",":
            at += 1
        elif trimmed[at : at + 1] == "}" and at + 1 == end:
            return found
        else:
            raise _malformed(text)


_BARE: Final = re.compile(r'(?:[^\\"{},]|\\.)+', re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_STRING: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)


def _element(text: str, trimmed: str, at: int) -> tuple[str | None, int]:
    while trimmed[at : at + 1] and trimmed[at] in SPACES:
        at += 1
    if trimmed[at : at + 1] == "{":
        raise _one_dimension()
    if quoted := _STRING.match(trimmed, at):
        at = quoted.end()
        while trimmed[at : at + 1] and trimmed[at] in SPACES:
            at += 1
        return _ESCAPED.sub(r"\1", quoted[1]), at
    bare = _BARE.match(trimmed, at)
    if bare is None:
        raise _malformed(text)
    word = bare[0].rstrip(SPACES)
    if word.lower() == "null":
        return None, bare.end()
    return _ESCAPED.sub(r"\1", word), bare.end()


def array_codec(kind: ArrayKind) -> Codec:
    name = f"{kind.short}[]"
    element = kind.element

    def to_text(value: Value) -> bytes:
        if type(value) is not str:
            raise mismatch(value, name)
        return f"{{{','.join(_show(kind, part) for part in elements(value))}}}".encode()

    def to_binary(value: Value) -> bytes:
        if type(value) is not str:
            raise mismatch(value, name)
        parts = elements(value)
        if not parts:
            return _HEAD.pack(0, 0, element.oid)
        out = [_HEAD.pack(1, None in parts, element.oid), _BOUNDS.pack(len(parts), 1)]
        for part in parts:
            if part is None:
                out.append(_INT4.pack(-1))
                continue
            data = element.to_binary(_native(kind, part))
            out += (_INT4.pack(len(data)), data)
        return b"".join(out)

    def from_text(text: str) -> Value:
        return dump([part if part is None else element.from_text(part) for part in _split(text)])

    def from_binary(data: bytes) -> Value:
        try:
            dimensions, _, oid = _HEAD.unpack_from(data)
            if dimensions > 1 or dimensions < 0:
                raise _one_dimension()
            if oid != element.oid:
                raise ValueFormatError("42804", "wrong element type")
            if dimensions == 0:
                return "[]"
            count, bound = _BOUNDS.unpack_from(data, _HEAD.size)
            if bound != 1:
                raise _one_dimension()
            at = _HEAD.size + _BOUNDS.size
            if not 0 <= count <= (len(data) - at) // _INT4.size:
                raise bad_binary()
            found: list[Any] = []
            for _ in range(count):
                (length,) = _INT4.unpack_from(data, at)
                at += _INT4.size
                if length < 0:
                    found.append(None)
                    continue
                if at + length > len(data):
                    raise bad_binary()
                found.append(element.from_binary(data[at : at + length]))
                at += length
        except struct.error as exc:
            raise bad_binary() from exc
        if at != len(data):
            raise bad_binary()
        return dump(found)

    return Codec(kind.oid, to_text, to_binary, from_text, from_binary)


CODECS: Final = tuple(array_codec(kind) for kind in ARRAYS.values())


# --------------------------------------------------------------------------- order


def _plain_order(a: Any, b: Any) -> int:
    return int(a > b) - int(a < b)


ORDERS: Final[Mapping[str, _Compare]] = {
    "array": _plain_order,
    "array_numeric": numerics.compare,
    "array_bpchar": strings.COLLATIONS["bpchar"],
    "array_interval": intervals.compare,
    "array_jsonb": json_values.compare,
}


def _comparison(order: _Compare) -> Callable[[str, str], int]:
    """Element by element, NULL after all others; then the shorter one first."""

    def compare(left: str, right: str) -> int:
        if left == right:
            return 0
        a, b = json.loads(left), json.loads(right)
        for x, y in zip(a, b):  # noqa: B905 -- the lengths decide afterwards
            found = of_elements(order, x, y)
            if found:
                return found
        return _plain_order(len(a), len(b))

    return compare


def of_elements(order: _Compare, a: Any, b: Any) -> int:
    if a is None or b is None:
        return _plain_order(a is None, b is None)
    return order(a, b)


COLLATIONS: Final[Mapping[str, Callable[[str, str], int]]] = {
    name: _comparison(order) for name, order in ORDERS.items()
}


# --------------------------------------------------------------------------- functions


def _length(value: Value, dimension: Value) -> int | None:
    count = len(elements(value))
    return count if count and integer_of(dimension) == 1 else None


def _get(value: Value, subscript: Value) -> Any:
    parts, at = elements(value), integer_of(subscript)
    return parts[at - 1] if 1 <= at <= len(parts) else None


def _get_bytes(value: Value, subscript: Value) -> Any:
    found = _get(value, subscript)
    return None if found is None else bytes.fromhex(found)


def _slice(value: Value, low: Value, high: Value) -> str:
    start, end = max(integer_of(low), 1), integer_of(high)
    return dump(elements(value)[start - 1 : max(end, 0)])


def _concatenated(a: Value, b: Value) -> Value:
    """Of two arrays; one that is NULL adds nothing."""
    if a is None or b is None:
        return b if a is None else a
    return dump(elements(a) + elements(b))


def _appended(array: Value, element: Any) -> str:
    return dump([*([] if array is None else elements(array)), element])


def _prepended(element: Any, array: Value) -> str:
    return dump([element, *([] if array is None else elements(array))])


def _includes(order: _Compare, parts: list[Any], wanted: Any) -> bool:
    return any(part is not None and order(part, wanted) == 0 for part in parts)


def _contains(order: _Compare) -> Callable[[Value, Value], bool]:
    def contains(a: Value, b: Value) -> bool:
        parts = elements(a)
        return all(part is not None and _includes(order, parts, part) for part in elements(b))

    return contains


def _overlaps(order: _Compare) -> Callable[[Value, Value], bool]:
    def overlaps(a: Value, b: Value) -> bool:
        parts = elements(a)
        return any(part is not None and _includes(order, parts, part) for part in elements(b))

    return overlaps


def _position(order: _Compare) -> Callable[[Value, Value], int | None]:
    def position(array: Value, wanted: Value) -> int | None:
        if array is None:
            return None
        target = plain(wanted)
        for i, part in enumerate(elements(array), 1):
            if of_elements(order, part, target) == 0:
                return i
        return None

    return position


def _made(*values: Any) -> str:
    return dump(list(values))


def _for_kind(kind: ArrayKind, codec: Codec) -> Mapping[str, Function]:
    return {
        f"pg_cast_array_{kind.short}": Function(1, lambda a: codec.from_text(string_of(a))),
        f"pg_text_array_{kind.short}": Function(1, lambda a: codec.to_text(a).decode()),
    }


FUNCTIONS: Final[Mapping[str, Function]] = {
    "pg_array": Function(-1, _made, strict=False),
    "pg_length_array": Function(2, _length),
    "pg_cardinality_array": Function(1, lambda a: len(elements(a))),
    "pg_get_array": Function(2, _get),
    "pg_getbytes_array": Function(2, _get_bytes),
    "pg_slice_array": Function(3, _slice),
    "pg_bytes_array": Function(1, lambda a: bytes.fromhex(string_of(a))),
    "pg_concat_array": Function(2, _concatenated, strict=False),
    "pg_append_array": Function(2, _appended, strict=False),
    "pg_prepend_array": Function(2, _prepended, strict=False),
    **{f"pg_contains_{name}": Function(2, _contains(order)) for name, order in ORDERS.items()},
    **{f"pg_overlaps_{name}": Function(2, _overlaps(order)) for name, order in ORDERS.items()},
    **{
        f"pg_position_{name}": Function(2, _position(order), strict=False)
        for name, order in ORDERS.items()
    },
    **{
        name: function
        for kind, codec in zip(ARRAYS.values(), CODECS, strict=False)
        for name, function in _for_kind(kind, codec).items()
    },
}


class _Collected:
    """array_agg(): NULLs are elements."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: list[Any] = []

    def step(self, value: Any) -> None:
        self._values.append(value)

    def inverse(self, _value: Any) -> None:
        del self._values[0]  # a window drops its first row

    def value(self) -> Value:
        return dump(self._values) if self._values else None

    def finalize(self) -> Value:
        return self.value()


AGGREGATES: Final[Mapping[str, Aggregate]] = {"pg_agg_array": Aggregate(1, _Collected)}
