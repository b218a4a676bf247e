"""bytea and uuid: both are bytes to SQLite, which compares them as PostgreSQL does."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Final

from nodes.pgtypes.formats import (
    Codec,
    Function,
    FunctionError,
    ValueFormatError,
    bad_binary,
    bad_syntax,
    mismatch,
)
from nodes.pgtypes.strings import like, string_of
from nodes.protocol import Value

__all__ = [
    "BYTEA",
    "CODECS",
    "FUNCTIONS",
    "UUID",
    "bytes_of",
    "parse_bytea",
    "parse_hex",
    "parse_uuid",
]

BYTEA: Final = 17
UUID: Final = 2950

_UUID_BYTES: Final = 16
_UUID_TEXT: Final = re.compile(r"(?:[0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4}\Z")
_ESCAPE: Final = re.compile(rb"\\(?:\\|[0-3][0-7]{2})|[^\\]")
_HEX_SPACES: Final = " \t\n\r"


def bytes_of(value: Value) -> bytes:
    """A stored form of bytes. Raises FunctionError for another."""
    if type(value) is not bytes:
        raise FunctionError("42804", f"bytes were expected, not {type(value).__name__}")
    return value


# --------------------------------------------------------------------------- bytea


def _bytea_text(value: Value) -> bytes:
    if type(value) is not bytes:
        raise mismatch(value, "bytea")
    return b"\\x" + value.hex().encode()


def _bytea_binary(value: Value) -> bytes:
    if type(value) is not bytes:
        raise mismatch(value, "bytea")
    return value


def parse_bytea(text: str) -> bytes:
    """Both formats PostgreSQL reads: \\x and hexadecimal digits, or characters and escapes."""
    if text.startswith("\\x"):
        return parse_hex(text[2:])
    found = bytearray()
    data = text.encode()
    at = 0
    while at < len(data):
        part = _ESCAPE.match(data, at)
        if part is None:
            raise bad_syntax_of_bytea()
        piece = part[0]
        found.append(piece[0] if len(piece) == 1 else 92 if len(piece) == 2 else int(piece[1:], 8))
        at = part.end()
    return bytes(found)


def bad_syntax_of_bytea() -> ValueFormatError:
    return ValueFormatError("22P02", "invalid input syntax for type bytea")


def parse_hex(text: str) -> bytes:
    """Pairs of hexadecimal digits, with spaces before each pair and at the end (hex_decode)."""
    found = bytearray()
    at = 0
    while at < len(text):
        if text[at] in _HEX_SPACES:
            at += 1
            continue
        high = _digit(text[at])
        if at + 1 == len(text):
            raise ValueFormatError("22023", "invalid hexadecimal data: odd number of digits")
        found.append(high << 4 | _digit(text[at + 1]))
        at += 2
    return bytes(found)


def _digit(character: str) -> int:
    if character not in string.hexdigits:
        raise ValueFormatError("22023", f'invalid hexadecimal digit: "{character}"')
    return int(character, 16)


def _as_it_is(data: bytes) -> Value:
    return data


# --------------------------------------------------------------------------- uuid


def _uuid_text(value: Value) -> bytes:
    if type(value) is not bytes or len(value) != _UUID_BYTES:
        raise mismatch(value, "uuid")
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}".encode()


def _uuid_binary(value: Value) -> bytes:
    if type(value) is not bytes or len(value) != _UUID_BYTES:
        raise mismatch(value, "uuid")
    return value


def parse_uuid(text: str) -> bytes:
    """Thirty-two digits, a hyphen after any group of four, braces around it if you like."""
    inner = text[1:-1] if text[:1] == "{" and text[-1:] == "}" else text
    if not _UUID_TEXT.match(inner):
        raise bad_syntax("uuid", text)
    return bytes.fromhex(inner.replace("-", ""))


def _uuid_from_binary(data: bytes) -> Value:
    if len(data) != _UUID_BYTES:
        raise bad_binary()
    return data


CODECS: Final = (
    Codec(BYTEA, _bytea_text, _bytea_binary, parse_bytea, _as_it_is),
    Codec(UUID, _uuid_text, _uuid_binary, parse_uuid, _uuid_from_binary),
)


def _like(value: Value, pattern: Value) -> bool:
    """By bytes, each of them a character of Latin-1."""
    text, wanted = bytes_of(value).decode("latin-1"), bytes_of(pattern).decode("latin-1")
    return like(text, wanted, any_case=False)


FUNCTIONS: Final[Mapping[str, Function]] = {
    # PostgreSQL's || of bytea; SQLite's makes a text of blobs.
    "pg_concat_bytea": Function(2, lambda a, b: bytes_of(a) + bytes_of(b)),
    "pg_like_bytea": Function(2, _like),
    "pg_notlike_bytea": Function(2, lambda a, b: not _like(a, b)),
    "pg_length_bytea": Function(1, lambda a: len(bytes_of(a))),
    "pg_cast_bytea": Function(1, lambda a: parse_bytea(string_of(a))),
    "pg_text_bytea": Function(1, lambda a: _bytea_text(bytes_of(a)).decode()),
    "pg_cast_uuid": Function(1, lambda a: parse_uuid(string_of(a))),
    "pg_text_uuid": Function(1, lambda a: _uuid_text(bytes_of(a)).decode()),
}
