"""What the modules of the types are made of: codecs, functions of SQL, and their errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from nodes.protocol import Value

__all__ = [
    "SPACES",
    "Aggregate",
    "Codec",
    "Function",
    "FunctionError",
    "ValueFormatError",
    "bad_binary",
    "bad_syntax",
    "mismatch",
    "text_of",
]

SPACES: Final = " \t\n\v\f\r"
"""C's isspace, which PostgreSQL trims; not Unicode's spaces."""


class ValueFormatError(ValueError):
    """A value is not of its type's format or range; `sqlstate` and texts as PostgreSQL's."""

    def __init__(self, sqlstate: str, message: str, detail: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message
        self.detail = detail
        self.hint = hint


class FunctionError(Exception):
    """What a function has against its arguments; the same on every replica."""

    def __init__(self, sqlstate: str, message: str, detail: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message
        self.detail = detail
        self.hint = hint


@dataclass(frozen=True)
class Codec:
    """A type's formats: from the stored form, never NULL, to bytes, and back.

    All raise ValueFormatError: 22P02, 22003 and 22007 for texts, 22P03 for binary data, 42804
    for a stored form that is not the type's.
    """

    oid: int
    to_text: Callable[[Value], bytes]
    to_binary: Callable[[Value], bytes]
    from_text: Callable[[str], Value]
    from_binary: Callable[[bytes], Value]


@dataclass(frozen=True)
class Function:
    """A function of SQL. NULL in any argument gives NULL without a call, unless it is not
    `strict`; -1 arguments are any number of them."""

    arguments: int
    call: Callable[..., Value]
    strict: bool = True


@dataclass(frozen=True)
class Aggregate:
    """An aggregate of SQL, also over a window: `make` answers an object with step(*values),
    inverse(*values), value() and finalize(), as sqlite3 wants it. NULLs reach it."""

    arguments: int
    make: Callable[[], Any]


def mismatch(value: Value, type_name: str) -> ValueFormatError:
    return ValueFormatError(
        "42804", f"a value of type {type(value).__name__} was produced for type {type_name}"
    )


def bad_syntax(type_name: str, text: str) -> ValueFormatError:
    return ValueFormatError("22P02", f'invalid input syntax for type {type_name}: "{text}"')


def bad_binary() -> ValueFormatError:
    return ValueFormatError("22P03", "incorrect binary data format")


def text_of(value: Value, type_name: str) -> str:
    """A stored form that is a text. Raises FunctionError for another."""
    if type(value) is not str:
        raise FunctionError("42804", f"{type_name} was expected, not {type(value).__name__}")
    return value
