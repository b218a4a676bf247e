"""Functions of text, as PostgreSQL 15 answers them: characters, never bytes."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Final

from nodes.pgtypes.formats import Function, FunctionError, text_of
from nodes.pgtypes.strings import lower, upper
from nodes.protocol import Value

__all__ = ["FUNCTIONS", "quote_literal"]

RESULT_CHARACTERS_MAX: Final = 8 * 1024 * 1024
"""Of repeat, lpad and rpad: what SQLite holds at most in one value."""


def _text(value: Value) -> str:
    return text_of(value, "text")


def _integer(value: Value) -> int:
    if type(value) is not int:
        raise FunctionError("42804", f"an integer was expected, not {type(value).__name__}")
    return value


def _limited(characters: int) -> None:
    if characters > RESULT_CHARACTERS_MAX:
        raise FunctionError("54000", "requested length too large")


def _substring(value: Value, start: Value, length: Value) -> str:
    text, first, count = _text(value), _integer(start), _integer(length)
    if count < 0:
        raise FunctionError("22011", "negative substring length not allowed")
    return text[max(first - 1, 0) : max(first - 1 + count, 0)]


def _substring_from(value: Value, start: Value) -> str:
    return _text(value)[max(_integer(start) - 1, 0) :]


def _left(value: Value, count: Value) -> str:
    text, number = _text(value), _integer(count)
    return text[:number]


def _right(value: Value, count: Value) -> str:
    text, number = _text(value), _integer(count)
    if number >= 0:
        return text[max(len(text) - number, 0) :]
    if number == -(2**31):
        return text  # in PostgreSQL it has no opposite, and leaves out nothing
    return text[-number:]


def _repeat(value: Value, count: Value) -> str:
    text, number = _text(value), max(_integer(count), 0)
    _limited(len(text) * number)
    return text * number


def _filling(fill: str, wanted: int) -> str:
    """Nothing, however much is wanted, if there is nothing to fill with."""
    if not fill or wanted <= 0:
        return ""
    _limited(wanted)
    return (fill * (wanted // len(fill) + 1))[:wanted]


def _lpad(value: Value, length: Value, fill: Value) -> str:
    text, wanted = _text(value), max(_integer(length), 0)
    return _filling(_text(fill), wanted - len(text)) + text[:wanted]


def _rpad(value: Value, length: Value, fill: Value) -> str:
    text, wanted = _text(value), max(_integer(length), 0)
    return text[:wanted] + _filling(_text(fill), wanted - len(text))


def _trim(strip: Callable[[str, str], str]) -> Function:
    def trimmed(value: Value, characters: Value) -> str:
        unwanted = _text(characters)
        return strip(_text(value), unwanted) if unwanted else _text(value)

    return Function(2, trimmed)


def _replace(value: Value, old: Value, new: Value) -> str:
    text, wanted = _text(value), _text(old)
    return text.replace(wanted, _text(new)) if wanted else text


def _translate(value: Value, old: Value, new: Value) -> str:
    others = _text(new)
    table: dict[int, str | None] = {}
    for i, character in enumerate(_text(old)):
        table.setdefault(ord(character), others[i] if i < len(others) else None)
    return _text(value).translate(table)


def _split_part(value: Value, separator: Value, field: Value) -> str:
    number, mark = _integer(field), _text(separator)
    if number == 0:
        raise FunctionError("22023", "field position must not be zero")
    parts = _text(value).split(mark) if mark else [_text(value)]
    index = number - 1 if number > 0 else len(parts) + number
    return parts[index] if 0 <= index < len(parts) else ""


def _strpos(value: Value, wanted: Value) -> int:
    return _text(value).find(_text(wanted)) + 1


def _overlay(value: Value, new: Value, start: Value, length: Value) -> str:
    text, first, count = _text(value), _integer(start), _integer(length)
    if first <= 0:
        raise FunctionError("22011", "negative substring length not allowed")
    if abs(first + count) >= 1 << 31:
        raise FunctionError("22003", "integer out of range")
    return text[: first - 1] + _text(new) + text[max(first - 1 + count, 0) :]


def _initcap(value: Value) -> str:
    out, inside = [], False
    for character in _text(value):
        out.append(lower(character) if inside else upper(character))
        inside = (
            character.isalpha()
            or character.isdecimal()
            or unicodedata.category(character) == "Nl"  # Roman numerals, but not powers
            or character.upper() != character.lower()  # letters in circles
        )
    return "".join(out)


def _ascii(value: Value) -> int:
    text = _text(value)
    return ord(text[0]) if text else 0


def _chr(value: Value) -> str:
    code = _integer(value)
    if code == 0:
        raise FunctionError("54000", "null character not permitted")
    if code < 0:
        raise FunctionError("22023", "character number must be positive")
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise FunctionError("54000", f"requested character too large for encoding: {code}")
    return chr(code)


def _to_hex(bits: int) -> Function:
    return Function(1, lambda a: f"{_integer(a) & ((1 << bits) - 1):x}")


def quote_literal(value: Value) -> str:
    text = _text(value).replace("'", "''")
    if "\\" in text:
        return "E'" + text.replace("\\", "\\\\") + "'"
    return f"'{text}'"


def _concat(*values: Value) -> str:
    return "".join(_text(value) for value in values if value is not None)


def _concat_ws(separator: Value, *values: Value) -> str | None:
    if separator is None:
        return None
    return _text(separator).join(_text(value) for value in values if value is not None)


def _like_escape(pattern: Value, escape: Value) -> str:
    """A pattern of LIKE ... ESCAPE as one whose escape is the backslash."""
    text, mark = _text(pattern), _text(escape)
    if len(mark) > 1:
        raise FunctionError("22025", "invalid escape string")
    if mark == "\\":
        return text
    out: list[str] = []
    characters = iter(text)
    for character in characters:
        if mark and character == mark:
            out.append("\\" + next(characters, ""))
        elif character == "\\":
            out.append("\\\\")
        else:
            out.append(character)
    return "".join(out)


def _one(compute: Callable[[str], Any]) -> Function:
    return Function(1, lambda a: compute(_text(a)))


FUNCTIONS: Final[Mapping[str, Function]] = {
    "pg_octet_length": _one(lambda a: len(a.encode())),
    "pg_bit_length": _one(lambda a: 8 * len(a.encode())),
    "pg_reverse": _one(lambda a: a[::-1]),
    "pg_md5": _one(lambda a: hashlib.md5(a.encode(), usedforsecurity=False).hexdigest()),
    "pg_initcap": Function(1, _initcap),
    "pg_ascii": Function(1, _ascii),
    "pg_chr": Function(1, _chr),
    "pg_to_hex_int4": _to_hex(32),
    "pg_to_hex_int8": _to_hex(64),
    "pg_quote_literal": Function(1, quote_literal),
    "pg_btrim": _trim(lambda text, characters: text.strip(characters)),
    "pg_ltrim": _trim(lambda text, characters: text.lstrip(characters)),
    "pg_rtrim": _trim(lambda text, characters: text.rstrip(characters)),
    "pg_substring": Function(3, _substring),
    "pg_substring_from": Function(2, _substring_from),
    "pg_left": Function(2, _left),
    "pg_right": Function(2, _right),
    "pg_repeat": Function(2, _repeat),
    "pg_lpad": Function(3, _lpad),
    "pg_rpad": Function(3, _rpad),
    "pg_replace": Function(3, _replace),
    "pg_translate": Function(3, _translate),
    "pg_split_part": Function(3, _split_part),
    "pg_strpos": Function(2, _strpos),
    "pg_starts_with": Function(2, lambda a, b: _text(a).startswith(_text(b))),
    "pg_overlay": Function(4, _overlay),
    "pg_like_escape": Function(2, _like_escape),
    "pg_concat": Function(-1, _concat, strict=False),
    "pg_concat_ws": Function(-1, _concat_ws, strict=False),
}
