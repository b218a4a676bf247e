"""smallint, integer and bigint: formats, arithmetic that overflows as PostgreSQL's, and bits."""

from __future__ import annotations

import math
import operator
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
)
from nodes.protocol import Value

__all__ = [
    "CODECS",
    "FUNCTIONS",
    "INT2",
    "INT4",
    "INT8",
    "RANGES",
    "Range",
    "integer_of",
    "parse_integer",
]

INT8: Final = 20
INT2: Final = 21
INT4: Final = 23

_DIGITS_MAX: Final = 19
_TEXT: Final = re.compile(r"([+-]?)([0-9]+)")


@dataclass(frozen=True)
class Range:
    """One of the three types."""

    name: str
    short: str
    oid: int
    bits: int

    @property
    def low(self) -> int:
        return -(1 << (self.bits - 1))

    @property
    def high(self) -> int:
        return (1 << (self.bits - 1)) - 1


RANGES: Final[Mapping[int, Range]] = {
    INT2: Range("smallint", "int2", INT2, 16),
    INT4: Range("integer", "int4", INT4, 32),
    INT8: Range("bigint", "int8", INT8, 64),
}


def integer_of(value: Value) -> int:
    """A stored form that is an integer. Raises FunctionError for another."""
    if type(value) is not int:
        raise FunctionError("42804", f"an integer was expected, not {type(value).__name__}")
    return value


def parse_integer(text: str, oid: int) -> int:
    """An integer of type `oid` as PostgreSQL reads it from text: too many digits are told before
    what stands behind them."""
    kind = RANGES[oid]
    trimmed = text.strip(SPACES)
    match = _TEXT.match(trimmed)
    if match is None:
        raise bad_syntax(kind.name, text)
    sign, digits = match.groups()
    # Python refuses to read thousands of digits; no type here has more than 19.
    size = int(digits) if len(digits.lstrip("0")) <= _DIGITS_MAX else 1 - kind.low
    if size <= -kind.low and match.end() < len(trimmed):
        raise bad_syntax(kind.name, text)
    value = -size if sign == "-" else size
    if not kind.low <= value <= kind.high:
        raise ValueFormatError("22003", f'value "{text}" is out of range for type {kind.name}')
    return value


def _codec(kind: Range) -> Codec:
    name, low, high = kind.name, kind.low, kind.high
    packing = struct.Struct({16: ">h", 32: ">i", 64: ">q"}[kind.bits])
    pack = packing.pack

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

    def from_binary(data: bytes) -> Value:
        try:
            found: int = packing.unpack(data)[0]
        except struct.error as exc:
            raise bad_binary() from exc
        return found

    return Codec(
        kind.oid, to_text, to_binary, lambda text: parse_integer(text, kind.oid), from_binary
    )


CODECS: Final = tuple(_codec(kind) for kind in RANGES.values())


# --------------------------------------------------------------------------- functions


def _functions(kind: Range) -> Mapping[str, Function]:
    name, low, high = kind.name, kind.low, kind.high

    def ranged(value: int) -> int:
        if low <= value <= high:
            return value
        raise FunctionError("22003", f"{name} out of range")

    def two(compute: Callable[[int, int], int]) -> Function:
        return Function(2, lambda a, b: ranged(compute(integer_of(a), integer_of(b))))

    def one(compute: Callable[[int], int]) -> Function:
        return Function(1, lambda a: ranged(compute(integer_of(a))))

    def cast(value: Value) -> int:
        if type(value) is int:
            return ranged(value)
        if type(value) is str:
            return parse_integer(value, kind.oid)
        if type(value) is float:
            # To the nearest, halves to even, as rint() does for PostgreSQL.
            return ranged(round(value) if math.isfinite(value) else high + 1)
        raise FunctionError("42846", f"cannot cast {type(value).__name__} to {name}")

    def shifted_left(value: int, by: int) -> int:
        """Bits that leave at the left are gone; the machine takes `by` modulo the width of the
        type it computes in, which is 32 bits at least."""
        width = max(kind.bits, 32)
        bits = (value << (by % width)) & ((1 << kind.bits) - 1)
        return bits - (1 << kind.bits) if bits > high else bits

    def shifted_right(value: int, by: int) -> int:
        return value >> (by % max(kind.bits, 32))

    return {
        f"pg_add_{kind.short}": two(operator.add),
        f"pg_sub_{kind.short}": two(operator.sub),
        f"pg_mul_{kind.short}": two(operator.mul),
        f"pg_div_{kind.short}": two(_quotient),
        f"pg_mod_{kind.short}": two(_remainder),
        f"pg_neg_{kind.short}": one(operator.neg),
        f"pg_abs_{kind.short}": one(operator.abs),
        f"pg_and_{kind.short}": two(operator.and_),
        f"pg_or_{kind.short}": two(operator.or_),
        f"pg_xor_{kind.short}": two(operator.xor),
        f"pg_not_{kind.short}": one(operator.invert),
        f"pg_shl_{kind.short}": two(shifted_left),
        f"pg_shr_{kind.short}": two(shifted_right),
        f"pg_cast_{kind.short}": Function(1, cast),
        f"pg_text_{kind.short}": Function(1, lambda a: str(integer_of(a))),
    }


def _quotient(a: int, b: int) -> int:
    """Truncated toward zero; Python's // rounds down."""
    if b == 0:
        raise FunctionError("22012", "division by zero")
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _remainder(a: int, b: int) -> int:
    """Of the sign of the dividend; Python's % takes the divisor's."""
    if b == 0:
        raise FunctionError("22012", "division by zero")
    remainder = abs(a) % abs(b)
    return -remainder if a < 0 else remainder


FUNCTIONS: Final[Mapping[str, Function]] = {
    name: function for kind in RANGES.values() for name, function in _functions(kind).items()
}
