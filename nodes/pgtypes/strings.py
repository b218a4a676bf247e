"""text, varchar(n), char(n), name and boolean.

The stored form of a char(n) has its blanks, as PostgreSQL shows it wherever it goes; the
collation `bpchar` compares without them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from nodes.pgtypes.formats import (
    SPACES,
    Codec,
    Function,
    FunctionError,
    ValueFormatError,
    bad_binary,
    bad_syntax,
    mismatch,
    text_of,
)
from nodes.pgtypes.integers import integer_of
from nodes.protocol import Value

__all__ = [
    "BOOL",
    "BPCHAR",
    "CODECS",
    "COLLATIONS",
    "FUNCTIONS",
    "NAME",
    "TEXT",
    "UNKNOWN",
    "VARCHAR",
    "VOID",
    "like",
    "lower",
    "parse_bool",
    "parse_text",
    "string_of",
    "upper",
]

BOOL: Final = 16
NAME: Final = 19
TEXT: Final = 25
UNKNOWN: Final = 705
BPCHAR: Final = 1042
VARCHAR: Final = 1043
VOID: Final = 2278

NAME_BYTES_MAX: Final = 63


# --------------------------------------------------------------------------- formats


def _bool_text(value: Value) -> bytes:
    if (type(value) is bool or type(value) is int) and value in (0, 1):
        return b"t" if value else b"f"
    raise mismatch(value, "boolean")


def _bool_binary(value: Value) -> bytes:
    return b"\x01" if _bool_text(value) == b"t" else b"\x00"


def _bool_from_binary(data: bytes) -> Value:
    if len(data) != 1:
        raise bad_binary()
    return data != b"\x00"


def _encoded(value: Value) -> bytes:
    if type(value) is str:
        try:
            return value.encode()
        except UnicodeEncodeError as exc:
            raise ValueFormatError("22021", f"{value!r} cannot be encoded in UTF8") from exc
    raise mismatch(value, "text")


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


def _as_it_is(text: str) -> Value:
    return text


def _name(text: str) -> str:
    """Cut where an identifier ends, at a whole character."""
    if len(text) * 4 <= NAME_BYTES_MAX:
        return text
    return text.encode()[:NAME_BYTES_MAX].decode(errors="ignore")


def _name_from_binary(data: bytes) -> Value:
    if len(data) > NAME_BYTES_MAX:
        raise ValueFormatError(
            "42622",
            "identifier too long",
            detail=f"Identifier must be less than {NAME_BYTES_MAX + 1} characters.",
        )
    return parse_text(data)


CODECS: Final = (
    Codec(BOOL, _bool_text, _bool_binary, parse_bool, _bool_from_binary),
    *(
        Codec(oid, _encoded, _encoded, _as_it_is, parse_text)
        for oid in (TEXT, VARCHAR, BPCHAR, UNKNOWN, VOID)
    ),
    Codec(NAME, _encoded, _encoded, _name, _name_from_binary),
)


# --------------------------------------------------------------------------- char(n)


def _compare_blank_padded(left: str, right: str) -> int:
    a, b = left.rstrip(" "), right.rstrip(" ")
    return (a > b) - (a < b)


COLLATIONS: Final[Mapping[str, Callable[[str, str], int]]] = {"bpchar": _compare_blank_padded}


def string_of(value: Value) -> str:
    """A stored form that is a text. Raises FunctionError for another."""
    return text_of(value, "text")


def _fitted(value: Value, modifier: Value, name: str) -> str:
    """Only blanks may go beyond the length."""
    text, length = string_of(value), integer_of(modifier) - 4
    if 0 <= length < len(text):
        if text[length:].strip(" "):
            raise FunctionError("22001", f"value too long for type {name}({length})")
        return text[:length]
    return text


def _cut(value: Value, modifier: Value) -> str:
    """As an explicit cast takes it."""
    length = integer_of(modifier) - 4
    return string_of(value)[:length] if length >= 0 else string_of(value)


def _padded(text: str, modifier: Value) -> str:
    return text.ljust(max(integer_of(modifier) - 4, 0))


# --------------------------------------------------------------------------- upper, lower


def upper(text: str) -> str:
    """Character by character, as PostgreSQL's locale C.UTF-8 has it: `ß` stays, it would be two."""
    if text.isascii():
        return text.upper()
    return "".join(_one(character.upper(), character.title(), character) for character in text)


def lower(text: str) -> str:
    if text.isascii():
        return text.lower()
    return "".join(character.lower()[0] for character in text)


def _one(*choices: str) -> str:
    return next(choice for choice in choices if len(choice) == 1)


# --------------------------------------------------------------------------- LIKE


@dataclass(frozen=True)
class _Segment:
    """A part of a LIKE pattern between two %: matches exactly `length` characters."""

    length: int
    expression: re.Pattern[str]


def like(value: Value, pattern: Value, *, any_case: bool) -> bool:
    """LIKE, leftmost segment first: one pass, where a regular expression of several `.*` takes
    time exponential in their number."""
    text, pattern = string_of(value), string_of(pattern)
    if any_case:
        text, pattern = lower(text), lower(pattern)
    if (len(pattern) - len(pattern.rstrip("\\"))) % 2:
        _refuse_if_reached(text, pattern[:-1])
        return False
    first, *others = _like_segments(pattern)
    if not first.expression.match(text):
        return False
    if not others:
        return len(text) == first.length
    position = first.length
    for segment in others[:-1]:
        found = segment.expression.search(text, position)
        if found is None:
            return False
        position = found.end()
    end = len(text) - others[-1].length
    return end >= position and others[-1].expression.match(text, end) is not None


def _refuse_if_reached(text: str, pattern: str) -> None:
    """Of a pattern that had an escape of nothing at its end, which is left out here: that is an
    error if it is reached while there is text, and no match else. Raises FunctionError 22025."""
    first, *others = _like_segments(pattern)
    if not first.expression.match(text):
        return
    position = first.length
    is_reached = has_text = len(text) > position
    for segment in others:
        found = segment.expression.search(text, position)
        if found is None:
            return
        position = found.end()
        # What stands behind a % and any number of _ is read before more text is asked for.
        if segment.expression.pattern.strip("."):
            is_reached = has_text = len(text) > position
        else:
            is_reached = has_text
    if is_reached:
        raise FunctionError("22025", "LIKE pattern must not end with escape character")


@lru_cache(maxsize=256)
def _like_segments(pattern: str) -> tuple[_Segment, ...]:
    segments: list[list[str]] = [[]]
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            segments[-1].append(re.escape(next(characters)))
        elif character == "%":
            segments.append([])
        else:
            segments[-1].append("." if character == "_" else re.escape(character))
    return tuple(_Segment(len(parts), re.compile("".join(parts), re.DOTALL)) for parts in segments)


# --------------------------------------------------------------------------- functions


def _cast_bool(value: Value) -> bool:
    if type(value) is str:
        return parse_bool(value)
    return integer_of(value) != 0


FUNCTIONS: Final[Mapping[str, Function]] = {
    "pg_concat_text": Function(2, lambda a, b: string_of(a) + string_of(b)),
    "pg_fit_varchar": Function(2, lambda a, m: _fitted(a, m, "character varying")),
    "pg_fit_varchar_explicit": Function(2, _cut),
    "pg_fit_bpchar": Function(2, lambda a, m: _padded(_fitted(a, m, "character"), m)),
    "pg_fit_bpchar_explicit": Function(2, lambda a, m: _padded(_cut(a, m), m)),
    "pg_cast_name": Function(1, lambda a: _name(string_of(a))),
    "pg_cast_name_bpchar": Function(1, lambda a: _name(string_of(a).rstrip(" "))),
    "pg_text_bpchar": Function(1, lambda a: string_of(a).rstrip(" ")),
    "pg_length_text": Function(1, lambda a: len(string_of(a))),
    "pg_lower_text": Function(1, lambda a: lower(string_of(a))),
    "pg_upper_text": Function(1, lambda a: upper(string_of(a))),
    "pg_like_text": Function(2, lambda a, b: like(a, b, any_case=False)),
    "pg_ilike_text": Function(2, lambda a, b: like(a, b, any_case=True)),
    "pg_notlike_text": Function(2, lambda a, b: not like(a, b, any_case=False)),
    "pg_notilike_text": Function(2, lambda a, b: not like(a, b, any_case=True)),
    "pg_cast_bool": Function(1, _cast_bool),
    "pg_cast_int4_bool": Function(1, lambda a: int(_cast_bool(int(a)))),
    "pg_output_bool": Function(1, lambda a: _bool_text(a).decode()),
    "pg_text_bool": Function(1, lambda a: "true" if _bool_text(a) == b"t" else "false"),
}
