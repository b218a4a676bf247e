"""double precision and real: formats, and arithmetic with PostgreSQL's range errors.

The stored form of a real is a REAL that has been rounded to 32 bits. NaN has no place: SQLite
stores it as NULL, so it is refused when it comes in. Powers are computed by exact decimals and
rounded once: the machine's mathematics library would make replicas differ.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping
from decimal import Context, Decimal
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
from nodes.protocol import Value

__all__ = [
    "CODECS",
    "FLOAT4",
    "FLOAT8",
    "FUNCTIONS",
    "float_of",
    "nearest_real",
    "parse_float",
    "parse_real",
    "to_real",
]

FLOAT4: Final = 700
FLOAT8: Final = 701

_FIXED_POINT_MAX: Final = 1e15  # from here on PostgreSQL prints an exponent, Python from 1e16
_REAL_FIXED_POINT_MAX: Final = 1e6
_REAL_DIGITS_MAX: Final = 9

_FLOAT8: Final = struct.Struct(">d")
_FLOAT4: Final = struct.Struct(">f")

_TEXT: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\Z")
_INFINITY: Final = re.compile(r"([+-]?)inf(inity)?\Z", re.IGNORECASE)
_NAN: Final = re.compile(r"[+-]?nan\Z", re.IGNORECASE)


def _no_nan(name: str = "double precision") -> ValueFormatError:
    return ValueFormatError("0A000", f"NaN is not supported as a value of type {name}")


def float_of(value: Value) -> float:
    """A stored form that is a number. Raises FunctionError for another."""
    if type(value) is float:
        return value
    if type(value) is int:
        return float(value)
    raise FunctionError("42804", f"a number was expected, not {type(value).__name__}")


# --------------------------------------------------------------------------- real


def to_real(value: float) -> float:
    """Rounded to 32 bits; infinity where it is too large."""
    try:
        rounded: float = _FLOAT4.unpack(_FLOAT4.pack(value))[0]
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    return rounded


def nearest_real(exact: Decimal) -> float:
    """The real nearest to `exact`, rounded once: by way of a double it would be twice, which
    matters where the double is half-way between two reals."""
    near = float(exact)
    if math.isfinite(near) and Decimal(near) != exact:
        near = math.nextafter(near, math.inf if exact > Decimal(near) else -math.inf)
        bits = int.from_bytes(_FLOAT8.pack(near)) | 1  # odd: on no half-way point
        near = _FLOAT8.unpack(bits.to_bytes(8))[0]
    return to_real(near)


def _real_text(value: Value) -> bytes:
    """Shortest digits that read back the same 32 bits, laid out as PostgreSQL does."""
    number = _number(value, "real")
    if not math.isfinite(number):
        return b"Infinity" if number > 0 else b"-Infinity"
    for digits in range(1, _REAL_DIGITS_MAX + 1):
        text = f"{number:.{digits}g}"
        if to_real(float(text)) == number and not _is_half_way(text, number, 24):
            break
    return _laid_out(repr(float(text)), float(text), _REAL_FIXED_POINT_MAX).encode()


def _real_binary(value: Value) -> bytes:
    return _FLOAT4.pack(to_real(_number(value, "real")))


def parse_real(text: str) -> float:
    """A real as PostgreSQL reads it from text; NaN is refused."""
    trimmed = text.strip(SPACES)
    if not _TEXT.match(trimmed):
        if infinity := _INFINITY.match(trimmed):
            return -math.inf if infinity[1] == "-" else math.inf
        if _NAN.match(trimmed):
            raise _no_nan("real")
        raise bad_syntax("real", text)
    near = float(trimmed)
    number = nearest_real(Decimal(trimmed)) if math.isfinite(near) and near else near
    if math.isinf(number) or (number == 0 and _has_digits(trimmed)):
        raise ValueFormatError("22003", f'"{text}" is out of range for type real')
    return number


# --------------------------------------------------------------------------- double precision


def _number(value: Value, name: str) -> float:
    if type(value) is not float:
        if type(value) is not int:
            raise mismatch(value, name)
        value = float(value)
    return value


def _laid_out(text: str, value: float, fixed_max: float) -> str:
    """Python's shortest digits as PostgreSQL lays them out: 1e+20, -0, 0.1."""
    text = text.removesuffix(".0")
    if abs(value) >= fixed_max and "e" not in text:
        sign = "-" if value < 0 else ""
        whole, _, fraction = text.removeprefix("-").partition(".")
        digits = (whole[1:] + fraction).rstrip("0")
        point = "." if digits else ""
        text = f"{sign}{whole[0]}{point}{digits}e+{len(whole) - 1:02d}"
    return text


def _float_text(value: Value) -> bytes:
    """Shortest digits that read back the same, laid out as PostgreSQL does (1e+20, -0, 0.1)."""
    value = _number(value, "double precision")
    if not math.isfinite(value):
        return b"NaN" if value != value else b"Infinity" if value > 0 else b"-Infinity"
    text = repr(value)
    if abs(value) >= 1 << 54 and _is_half_way(text, value, 53):
        digits = len(text.lstrip("-").partition("e")[0].replace(".", "").rstrip("0"))
        text = repr_of(f"{value:.{digits + 1}g}")
    return _laid_out(text, value, _FIXED_POINT_MAX).encode()


def repr_of(text: str) -> str:
    """Digits and exponent as Python's repr lays them out."""
    digits, _, exponent = text.partition("e")
    return f"{digits.rstrip('0').rstrip('.')}e{exponent}" if exponent else text


def _is_half_way(text: str, value: float, bits: int) -> bool:
    """Whether the digits lie half-way to the next number. They still read back as `value` if it
    is even, but PostgreSQL's shortest digits are never so. Only integers can be that short."""
    if abs(value) < 1 << (bits + 1):
        return False
    mantissa, exponent = math.frexp(abs(value))
    step = 1 << (exponent - bits)
    distance = int(Decimal(text).copy_abs()) - int(abs(value))
    below = step // 2 if mantissa == 0.5 else step
    return distance * 2 in (step, -below)


def _float_binary(value: Value) -> bytes:
    return _FLOAT8.pack(_number(value, "double precision"))


def _has_digits(text: str) -> bool:
    """Whether the mantissa is not zero."""
    return text.lower().partition("e")[0].strip("+-0.") != ""


def parse_float(text: str) -> float:
    """A double precision as PostgreSQL reads it from text; NaN is refused."""
    trimmed = text.strip(SPACES)
    if _TEXT.match(trimmed):
        value = float(trimmed)
        if math.isinf(value) or (value == 0 and _has_digits(trimmed)):
            raise ValueFormatError("22003", f'"{text}" is out of range for type double precision')
        return value
    if infinity := _INFINITY.match(trimmed):
        return -math.inf if infinity[1] == "-" else math.inf
    if _NAN.match(trimmed):
        raise _no_nan()
    raise bad_syntax("double precision", text)


def _from_binary(packing: struct.Struct, name: str) -> Callable[[bytes], Value]:
    def read(data: bytes) -> Value:
        try:
            number: float = packing.unpack(data)[0]
        except struct.error as exc:
            raise bad_binary() from exc
        if number != number:
            raise _no_nan(name)
        return number

    return read


CODECS: Final = (
    Codec(
        FLOAT8, _float_text, _float_binary, parse_float, _from_binary(_FLOAT8, "double precision")
    ),
    Codec(FLOAT4, _real_text, _real_binary, parse_real, _from_binary(_FLOAT4, "real")),
)


# --------------------------------------------------------------------------- arithmetic


def _result(result: float, *, finite: bool, nonzero: bool) -> float:
    """`finite`, `nonzero`: what an exact result would be, so anything else is a range error."""
    if result != result:
        raise FunctionError("0A000", "NaN is not supported as a value of type double precision")
    if finite and math.isinf(result):
        raise FunctionError("22003", "value out of range: overflow")
    if nonzero and result == 0:
        raise FunctionError("22003", "value out of range: underflow")
    return result


_Round = Callable[[float], float]


def _exactly(value: float) -> float:
    return value


def _arithmetic(short: str, rounded: _Round) -> Mapping[str, Function]:
    """A result of two reals that is computed as a double and rounded once more is the one that
    was rounded once: a double has more than twice a real's digits."""

    def add(a: float, b: float) -> float:
        finite = math.isfinite(a) and math.isfinite(b)
        return _result(rounded(a + b), finite=finite, nonzero=False)

    def multiply(a: float, b: float) -> float:
        finite = math.isfinite(a) and math.isfinite(b)
        return _result(rounded(a * b), finite=finite, nonzero=a != 0 and b != 0)

    def divide(a: float, b: float) -> float:
        if b == 0:
            raise FunctionError("22012", "division by zero")
        nonzero = a != 0 and math.isfinite(b)
        return _result(rounded(a / b), finite=math.isfinite(a), nonzero=nonzero)

    return {
        f"pg_add_{short}": Function(2, lambda a, b: add(float_of(a), float_of(b))),
        f"pg_sub_{short}": Function(2, lambda a, b: add(float_of(a), -float_of(b))),
        f"pg_mul_{short}": Function(2, lambda a, b: multiply(float_of(a), float_of(b))),
        f"pg_div_{short}": Function(2, lambda a, b: divide(float_of(a), float_of(b))),
        f"pg_neg_{short}": Function(1, lambda a: -float_of(a)),
        f"pg_abs_{short}": Function(1, lambda a: abs(float_of(a))),
    }


_POWER: Final = Context(prec=60, Emin=-999_999, Emax=999_999, traps=[])


def _power(a: float, b: float) -> float:
    if a == 0 and b < 0:
        raise FunctionError("2201F", "zero raised to a negative power is undefined")
    if a < 0 and math.isfinite(b) and not b.is_integer():
        raise FunctionError(
            "2201F", "a negative number raised to a non-integer power yields a complex result"
        )
    if not math.isfinite(a) or not math.isfinite(b) or a == 0 or b == 0:
        return _result(math.pow(a, b), finite=False, nonzero=False)  # of these it is exact
    exact = _POWER.power(Decimal(a), Decimal(b))
    try:
        result = float(exact)
    except OverflowError:
        result = math.inf
    return _result(result, finite=True, nonzero=True)


def _sqrt(a: float) -> float:
    if a < 0:
        raise FunctionError("2201F", "cannot take square root of a negative number")
    return math.sqrt(a)


def _cast_double(value: Value) -> float:
    return parse_float(value) if type(value) is str else float_of(value)


def _cast_real(value: Value) -> float:
    """From text, an integer or a double precision."""
    if type(value) is str:
        return parse_real(value)
    if type(value) is int:
        return nearest_real(Decimal(value))
    number = float_of(value)
    return _result(to_real(number), finite=math.isfinite(number), nonzero=number != 0)


def _whole(value: Value, to_integer: Callable[[float], int]) -> float:
    number = float_of(value)
    return math.copysign(float(to_integer(number)), number) if math.isfinite(number) else number


FUNCTIONS: Final[Mapping[str, Function]] = {
    **_arithmetic("float8", _exactly),
    **_arithmetic("float4", to_real),
    "pg_pow_float8": Function(2, lambda a, b: _power(float_of(a), float_of(b))),
    "pg_round_float8": Function(1, lambda a: _whole(a, round)),
    "pg_trunc_float8": Function(1, lambda a: _whole(a, math.trunc)),
    "pg_ceil_float8": Function(1, lambda a: _whole(a, math.ceil)),
    "pg_floor_float8": Function(1, lambda a: _whole(a, math.floor)),
    "pg_sign_float8": Function(1, lambda a: float((float_of(a) > 0) - (float_of(a) < 0))),
    "pg_sqrt_float8": Function(1, lambda a: _sqrt(float_of(a))),
    "pg_cast_float8": Function(1, _cast_double),
    "pg_cast_float4": Function(1, _cast_real),
    "pg_cast_float4_numeric": Function(1, lambda a: parse_real(text_of(a, "numeric"))),
    "pg_text_float8": Function(1, lambda a: _float_text(float_of(a)).decode()),
    "pg_text_float4": Function(1, lambda a: _real_text(float_of(a)).decode()),
}
