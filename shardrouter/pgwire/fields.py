"""The kinds of field that PostgreSQL's messages are made of: how each is read and written.

A field is read at a position of a message's body and yields its value and the position after
it. Pure; knows no message, only what a string, an array, a list of values ... look like.
Contents that are not of their kind raise MessageError; reading past the end may also raise
struct.error or IndexError, which whoever reads a whole message translates once.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from shardrouter.quick_enums import quick

__all__ = [
    "FIELDS",
    "BYTE",
    "COUNTED",
    "FORMATS",
    "INT32",
    "LETTER",
    "NAMES",
    "OIDS",
    "PAIRS",
    "PARAMETERS_MAX",
    "REPORT",
    "REST",
    "STRING",
    "TARGET",
    "VALUES",
    "Field",
    "Kind",
    "MessageError",
    "Report",
    "Target",
]

PARAMETERS_MAX: Final = 32_766
"""Most parameters of a statement: SQLite's SQLITE_MAX_VARIABLE_NUMBER."""


class MessageError(Exception):
    """A message's contents are not those of its kind; where it ends is still known."""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message


@quick
class Target(enum.StrEnum):
    """What Describe and Close are about."""

    STATEMENT = "S"
    PORTAL = "P"


class Field(msgspec.Struct, frozen=True, gc=False):
    """One column of a RowDescription."""

    name: str
    table_oid: int
    column: int
    oid: int
    size: int  # bytes; -1: varies, -2: a C string
    modifier: int
    format: int  # 0 text, 1 binary


class Report(msgspec.Struct, frozen=True, gc=False):
    """What an error or a notice says. Fields left empty are not sent."""

    severity: str  # ERROR, FATAL, NOTICE
    sqlstate: str
    message: str
    detail: str = ""
    hint: str = ""
    position: int = 0  # 1-based, in characters
    internal_position: int = 0  # the same, into `internal_query`
    internal_query: str = ""  # that the server made itself and that failed
    where: str = ""  # what the server was doing, outermost last
    schema: str = ""
    table: str = ""
    column: str = ""
    data_type: str = ""
    constraint: str = ""
    file: str = ""  # of the server's source, with `line` and `routine`
    line: str = ""
    routine: str = ""


_Read: TypeAlias = Callable[[bytes, int], tuple[Any, int]]
_Write: TypeAlias = Callable[[Any], bytes]


@dataclass(frozen=True)
class Kind:
    """How one field is read at a position (value, position after it), and written."""

    read: _Read
    write: _Write


_INT16: Final = struct.Struct(">h")
_UINT16: Final = struct.Struct(">H")
_INT32: Final = struct.Struct(">i")
_UINT32: Final = struct.Struct(">I")
_FIELD: Final = struct.Struct(">IhIhih")


def _number(packing: struct.Struct) -> Kind:
    def read(body: bytes, at: int) -> tuple[int, int]:
        return packing.unpack_from(body, at)[0], at + packing.size

    return Kind(read, packing.pack)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        wrong = " ".join(f"0x{byte:02x}" for byte in data[exc.start : exc.end])
        raise MessageError("22021", f'invalid byte sequence for encoding "UTF8": {wrong}') from exc


def _read_string(body: bytes, at: int) -> tuple[str, int]:
    end = body.find(b"\0", at)
    if end < 0:
        raise MessageError("08P01", "invalid string in message")
    return _text(body[at:end]) if end > at else "", end + 1


def _write_string(value: str) -> bytes:
    data = value.encode()
    assert b"\0" not in data, "a string of the protocol ends at its first NUL"
    return data + b"\0"


def _read_letter(body: bytes, at: int) -> tuple[str, int]:
    return chr(body[at]), at + 1


def _read_target(body: bytes, at: int) -> tuple[Target, int]:
    letter = body[at]
    if letter == 0x53:
        return Target.STATEMENT, at + 1
    if letter == 0x50:
        return Target.PORTAL, at + 1
    raise MessageError("08P01", f"invalid subtype {letter} of a Describe or Close message")


def _write_letter(value: str) -> bytes:
    return value.encode("latin-1")


def _read_rest(body: bytes, at: int) -> tuple[bytes, int]:
    return body[at:], len(body)


def _read_counted(body: bytes, at: int) -> tuple[bytes | None, int]:
    """A 32-bit length and so many bytes; length -1: none."""
    (length,) = _INT32.unpack_from(body, at)
    at += 4
    if length == -1:
        return None, at
    if length < 0:
        raise MessageError("08P01", f"invalid length of a value: {length}")
    return body[at : at + length], at + length


def _write_counted(value: bytes | None) -> bytes:
    return _INT32.pack(-1) if value is None else _INT32.pack(len(value)) + value


def _array(packing: str, size: int) -> Kind:
    """A 16-bit count and so many numbers."""

    def read(body: bytes, at: int) -> tuple[tuple[int, ...], int]:
        (count,) = _UINT16.unpack_from(body, at)
        at += 2
        if not count:
            return (), at
        return struct.unpack_from(f">{count}{packing}", body, at), at + size * count

    def write(values: tuple[int, ...]) -> bytes:
        return struct.pack(f">H{len(values)}{packing}", len(values), *values)

    return Kind(read, write)


def _read_values(body: bytes, at: int) -> tuple[tuple[bytes | None, ...], int]:
    (count,) = _UINT16.unpack_from(body, at)
    if count > PARAMETERS_MAX:
        raise MessageError("54000", f"{count} values in one message, the limit is {PARAMETERS_MAX}")
    at += 2
    values: list[bytes | None] = []
    for _ in range(count):
        # `_read_counted`, written out: this is the hot path of every Bind.
        (length,) = _INT32.unpack_from(body, at)
        at += 4
        if length == -1:
            values.append(None)
            continue
        if length < 0:
            raise MessageError("08P01", f"invalid length of a value: {length}")
        values.append(body[at : at + length])
        at += length  # past the end if it was too long, which the reader of the message sees
    return tuple(values), at


def _write_values(values: tuple[bytes | None, ...]) -> bytes:
    return _UINT16.pack(len(values)) + b"".join(map(_write_counted, values))


def _read_names(body: bytes, at: int) -> tuple[tuple[str, ...], int]:
    (count,) = _UINT32.unpack_from(body, at)
    at += 4
    names: list[str] = []
    while len(names) < count:
        name, at = _read_string(body, at)
        names.append(name)
    return tuple(names), at


def _write_names(names: tuple[str, ...]) -> bytes:
    return _UINT32.pack(len(names)) + b"".join(map(_write_string, names))


def _read_pairs(body: bytes, at: int) -> tuple[tuple[tuple[str, str], ...], int]:
    """Names and values, ended by an empty name."""
    pairs: list[tuple[str, str]] = []
    while True:
        name, at = _read_string(body, at)
        if not name:
            return tuple(pairs), at
        value, at = _read_string(body, at)
        pairs.append((name, value))


def _write_pairs(pairs: tuple[tuple[str, str], ...]) -> bytes:
    return b"".join(_write_string(text) for pair in pairs for text in pair) + b"\0"


def _read_fields(body: bytes, at: int) -> tuple[tuple[Field, ...], int]:
    (count,) = _UINT16.unpack_from(body, at)
    at += 2
    fields = []
    for _ in range(count):
        name, at = _read_string(body, at)
        fields.append(Field(name, *_FIELD.unpack_from(body, at)))
        at += _FIELD.size
    return tuple(fields), at


def _write_fields(fields: tuple[Field, ...]) -> bytes:
    out = [_UINT16.pack(len(fields))]
    for f in fields:
        out.append(_write_string(f.name))
        out.append(_FIELD.pack(f.table_oid, f.column, f.oid, f.size, f.modifier, f.format))
    return b"".join(out)


_REPORT: Final = {
    "V": "severity",  # never translated; S, which is, is written from it and not read
    "C": "sqlstate",
    "M": "message",
    "D": "detail",
    "H": "hint",
    "W": "where",
    "s": "schema",
    "t": "table",
    "c": "column",
    "d": "data_type",
    "n": "constraint",
    "P": "position",
    "p": "internal_position",
    "q": "internal_query",
    "F": "file",
    "L": "line",
    "R": "routine",
}
"""The letters of an ErrorResponse's fields, in the order in which PostgreSQL sends them."""


def _read_report(body: bytes, at: int) -> tuple[Report, int]:
    said: dict[str, Any] = {"severity": "", "sqlstate": "", "message": ""}
    while body[at]:
        name = _REPORT.get(chr(body[at]))  # a client ignores letters that it does not know
        text, at = _read_string(body, at + 1)
        if name is not None:
            said[name] = text
    for name in ("position", "internal_position"):
        if name in said:
            said[name] = _read_position(said[name])
    return Report(**said), at + 1


def _read_position(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise MessageError("08P01", f"invalid position of an error: {text!r}")
    return int(text)


def _write_report(report: Report) -> bytes:
    said = [b"S", _write_string(_printable(report.severity))] if report.severity else []
    for letter, name in _REPORT.items():
        value = getattr(report, name)
        if value:
            # A text from elsewhere (SQLite's message, a literal in it) must not end its field.
            said += (letter.encode(), _write_string(_printable(str(value))))
    return b"".join(said) + b"\0"


def _printable(text: str) -> str:
    return text.replace("\0", "").encode(errors="replace").decode()


BYTE: Final = Kind(lambda body, at: (body[at], at + 1), lambda value: bytes((value,)))
COUNTED: Final = Kind(_read_counted, _write_counted)
INT32: Final = _number(_INT32)
OIDS: Final = _array("I", 4)
FORMATS: Final = _array("h", 2)
STRING: Final = Kind(_read_string, _write_string)
LETTER: Final = Kind(_read_letter, _write_letter)
TARGET: Final = Kind(_read_target, _write_letter)
REST: Final = Kind(_read_rest, bytes)
VALUES: Final = Kind(_read_values, _write_values)
NAMES: Final = Kind(_read_names, _write_names)
PAIRS: Final = Kind(_read_pairs, _write_pairs)
FIELDS: Final = Kind(_read_fields, _write_fields)
REPORT: Final = Kind(_read_report, _write_report)
