"""Functions of bytea: encodings, digests, parts."""

from __future__ import annotations

import base64
import hashlib
import re
import string
from collections.abc import Callable, Mapping
from typing import Final

from nodes.pgtypes.bytes_and_uuids import bytes_of, parse_bytea, parse_hex
from nodes.pgtypes.formats import Function, FunctionError, ValueFormatError
from nodes.pgtypes.integers import integer_of
from nodes.pgtypes.strings import parse_text, string_of
from nodes.protocol import Value

__all__ = ["FUNCTIONS"]

_FULL_LINE: Final = re.compile(".{76}")
"""A line of base64."""

_SPACES: Final = " \t\n\r"
_BASE64: Final = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"


def _unknown(name: str) -> FunctionError:
    return FunctionError(
        "22023", f'unrecognized encoding: "{name}"', hint="Use base64, escape or hex."
    )


def _encode(data: Value, encoding: Value) -> str:
    content, name = bytes_of(data), string_of(encoding)
    match name.lower():
        case "hex":
            return content.hex()
        case "base64":
            text = base64.b64encode(content).decode()
            return _FULL_LINE.sub(r"\g<0>\n", text)  # also behind the last line, if it is full
        case "escape":
            return "".join(
                f"\\{byte:03o}" if byte == 0 or byte > 127 else "\\\\" if byte == 92 else chr(byte)
                for byte in content
            )
    raise _unknown(name)


def _decode(text: Value, encoding: Value) -> bytes:
    content, name = string_of(text), string_of(encoding)
    match name.lower():
        case "hex":
            return parse_hex(content)
        case "base64":
            return _from_base64(content)
        case "escape":
            if content.startswith("\\x"):
                raise ValueFormatError("22P02", "invalid input syntax for type bytea")
            return parse_bytea(content)
    raise _unknown(name)


def _from_base64(text: str) -> bytes:
    """As pg_base64_decode: after an end sequence digits may go on, in groups as short as it."""
    found = bytearray()
    group, count, end = 0, 0, 0
    for character in text:
        if character in _SPACES:
            continue
        if character == "=":
            if not end and count < 2:
                raise FunctionError("22023", 'unexpected "=" while decoding base64 sequence')
            end = end or count - 1
            digit = 0
        else:
            digit = _BASE64.find(character)
            if digit < 0:
                raise FunctionError(
                    "22023", f'invalid symbol "{character}" found while decoding base64 sequence'
                )
        group, count = group << 6 | digit, count + 1
        if count == 4:
            found += group.to_bytes(3)[: end or 3]
            group, count = 0, 0
    if count:
        raise FunctionError(
            "22023",
            "invalid base64 end sequence",
            hint="Input data is missing padding, is truncated, or is otherwise corrupted.",
        )
    return bytes(found)


def _part(data: Value, start: Value, length: Value) -> bytes:
    content, first, count = bytes_of(data), integer_of(start), integer_of(length)
    if count < 0:
        raise FunctionError("22011", "negative substring length not allowed")
    return content[max(first - 1, 0) : max(first - 1 + count, 0)]


def _index(content: bytes | bytearray, at: Value, size: int) -> int:
    number = integer_of(at)
    if not 0 <= number < size:
        raise FunctionError("2202E", f"index {number} out of valid range, 0..{size - 1}")
    return number


def _get_byte(data: Value, at: Value) -> int:
    content = bytes_of(data)
    return content[_index(content, at, len(content))]


def _set_byte(data: Value, at: Value, new: Value) -> bytes:
    content = bytearray(bytes_of(data))
    content[_index(content, at, len(content))] = integer_of(new) & 0xFF
    return bytes(content)


def _get_bit(data: Value, at: Value) -> int:
    content = bytes_of(data)
    number = _index(content, at, 8 * len(content))
    return content[number // 8] >> number % 8 & 1


def _set_bit(data: Value, at: Value, new: Value) -> bytes:
    content = bytearray(bytes_of(data))
    number, bit = _index(content, at, 8 * len(content)), integer_of(new)
    if bit not in (0, 1):
        raise FunctionError("22023", "new bit must be 0 or 1")
    mask = 1 << number % 8
    content[number // 8] = content[number // 8] & ~mask | (mask if bit else 0)
    return bytes(content)


def _trim(strip: Callable[[bytes, bytes], bytes]) -> Function:
    def trimmed(data: Value, unwanted: Value) -> bytes:
        return strip(bytes_of(data), bytes_of(unwanted)) if unwanted else bytes_of(data)

    return Function(2, trimmed)


def _utf8(name: Value) -> None:
    if string_of(name).lower().replace("-", "").replace("_", "") not in ("utf8", "unicode"):
        raise FunctionError(
            "0A000",
            f'the encoding "{string_of(name)}" is not supported',
            hint="Texts are in UTF8; convert them in the application.",
        )


def _to_bytes(text: Value, encoding: Value) -> bytes:
    _utf8(encoding)
    return string_of(text).encode()


def _from_bytes(data: Value, encoding: Value) -> str:
    _utf8(encoding)
    return parse_text(bytes_of(data))


def _digest(name: str) -> Function:
    return Function(1, lambda a: hashlib.new(name, bytes_of(a), usedforsecurity=False).digest())


def _md5(data: Value) -> str:
    return hashlib.md5(bytes_of(data), usedforsecurity=False).hexdigest()


FUNCTIONS: Final[Mapping[str, Function]] = {
    "pg_encode": Function(2, _encode),
    "pg_decode": Function(2, _decode),
    "pg_substring_bytea": Function(3, _part),
    "pg_substring_from_bytea": Function(2, lambda a, s: bytes_of(a)[max(integer_of(s) - 1, 0) :]),
    "pg_position_bytea": Function(2, lambda a, b: bytes_of(a).find(bytes_of(b)) + 1),
    "pg_get_byte": Function(2, _get_byte),
    "pg_set_byte": Function(3, _set_byte),
    "pg_get_bit": Function(2, _get_bit),
    "pg_set_bit": Function(3, _set_bit),
    "pg_bit_count_bytea": Function(1, lambda a: int.from_bytes(bytes_of(a)).bit_count()),
    "pg_bit_length_bytea": Function(1, lambda a: 8 * len(bytes_of(a))),
    "pg_btrim_bytea": _trim(lambda data, unwanted: data.strip(unwanted)),
    "pg_ltrim_bytea": _trim(lambda data, unwanted: data.lstrip(unwanted)),
    "pg_rtrim_bytea": _trim(lambda data, unwanted: data.rstrip(unwanted)),
    "pg_md5_bytea": Function(1, _md5),
    **{f"pg_{name}": _digest(name) for name in ("sha224", "sha256", "sha384", "sha512")},
    "pg_convert_to": Function(2, _to_bytes),
    "pg_convert_from": Function(2, _from_bytes),
}
