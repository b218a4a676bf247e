"""numeric: exact decimals, their formats, order and arithmetic.

The stored form is the text PostgreSQL prints: `1.50` keeps its scale, there is no exponent,
no -0, and `NaN`, `Infinity`, `-Infinity` are values. Results have PostgreSQL's scale (its
source: numeric.c): a sum the larger one, a product the sum of both, a quotient at least 16
significant digits (select_div_scale). Rounding is half away from zero.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from typing import Final

from nodes.pgtypes.formats import (
    SPACES,
    Aggregate,
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
    "AGGREGATES",
    "CODECS",
    "COLLATIONS",
    "EXACT",
    "FUNCTIONS",
    "NUMERIC",
    "compare",
    "fit",
    "numeric_modifier",
    "parse",
    "precision_and_scale",
    "square_root",
    "stored",
    "to_scale",
]

NUMERIC: Final = 1700

WHOLE_DIGITS_MAX: Final = 131_072
SCALE_MAX: Final = 16_383
"""PostgreSQL's limits: digits before and after the point."""

_SIGNIFICANT_MIN: Final = 16  # of a quotient
_RESULT_SCALE_MAX: Final = 1000  # of a quotient or power
_EXPONENT_DIGITS_MAX: Final = 9

EXACT: Final = Context(
    prec=2 * (WHOLE_DIGITS_MAX + SCALE_MAX) + 64,
    rounding=ROUND_HALF_UP,
    Emin=-999_999,
    Emax=999_999,
    traps=[],
)
"""Wide enough that sums and products are never rounded."""

_TEXT: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_SPECIAL: Final = {
    "nan": "NaN",
    "inf": "Infinity",
    "+inf": "Infinity",
    "infinity": "Infinity",
    "+infinity": "Infinity",
    "-inf": "-Infinity",
    "-infinity": "-Infinity",
}


def _overflow() -> ValueFormatError:
    return ValueFormatError("22003", "value overflows numeric format")


def stored(value: Decimal) -> str:
    """The stored form. Raises ValueFormatError 22003 beyond PostgreSQL's limits."""
    if not value.is_finite():
        return "NaN" if value.is_nan() else "Infinity" if value > 0 else "-Infinity"
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    if -exponent > SCALE_MAX or (value and value.adjusted() >= WHOLE_DIGITS_MAX):
        raise _overflow()
    return format(value, "f") if value else format(abs(value), "f") if exponent < 0 else "0"


def parse(text: str) -> str:
    """The stored form of what PostgreSQL reads as a numeric."""
    trimmed = text.strip(SPACES)
    if _TEXT.match(trimmed):
        exponent = trimmed.lower().partition("e")[2]
        if len(exponent.lstrip("+-0")) > _EXPONENT_DIGITS_MAX or len(trimmed) > EXACT.prec:
            raise _overflow()
        power = int(exponent) if exponent else 0
        if abs(power) > WHOLE_DIGITS_MAX + SCALE_MAX:
            raise _overflow()
        return stored(Decimal(trimmed))
    found = _SPECIAL.get(trimmed.lower())
    if found is None:
        raise bad_syntax("numeric", text)
    return found


def _decimal(value: Value) -> Decimal:
    return Decimal(text_of(value, "numeric"))


def _scale(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return -exponent if isinstance(exponent, int) and exponent < 0 else 0


def _scale_of(value: Value) -> int | None:
    number = _decimal(value)
    return _scale(number) if number.is_finite() else None


def to_scale(value: Decimal, scale: int, rounding: str = ROUND_HALF_UP) -> Decimal:
    """With `scale` digits after the point; of a negative one the digits before it go."""
    if not value.is_finite():
        return value
    result = value.quantize(Decimal(1).scaleb(-scale), rounding, context=EXACT)
    return result.quantize(Decimal(1), context=EXACT) if scale < 0 else result


# --------------------------------------------------------------------------- order


def compare(left: str, right: str) -> int:
    """By value, the scale aside; NaN equals itself and is greater than all others."""
    if left == right:
        return 0
    a, b = Decimal(left), Decimal(right)
    if a.is_nan() or b.is_nan():
        return int(a.is_nan()) - int(b.is_nan())
    return -1 if a < b else int(a > b)


COLLATIONS: Final[Mapping[str, Callable[[str, str], int]]] = {"numeric": compare}

# --------------------------------------------------------------------------- the modifier


def numeric_modifier(precision: int, scale: int) -> int:
    """atttypmod of numeric(precision, scale)."""
    return ((precision << 16) | (scale & 0x7FF)) + 4


def precision_and_scale(modifier: int) -> tuple[int, int]:
    """What `numeric_modifier` packed; the scale has eleven bits, one of them its sign."""
    return (modifier - 4) >> 16 & 0xFFFF, (((modifier - 4) & 0x7FF) ^ 1024) - 1024


def fit(value: Value, modifier: Value) -> str:
    """As numeric(p, s) holds it. Raises 22003 where it has too many digits before the point."""
    text = text_of(value, "numeric")
    assert type(modifier) is int
    if modifier < 0 or text == "NaN":
        return text
    precision, scale = precision_and_scale(modifier)
    number = Decimal(text)
    if not number.is_finite():
        raise ValueFormatError(
            "22003",
            "numeric field overflow",
            f"A field with precision {precision}, scale {scale} cannot hold an infinite value.",
        )
    result = to_scale(number, scale)
    if result and result.adjusted() >= precision - scale:
        power = precision - scale
        raise ValueFormatError(
            "22003",
            "numeric field overflow",
            f"A field with precision {precision}, scale {scale} must round to an absolute value "
            f"less than {f'10^{power}' if power else 1}.",
        )
    return stored(result)


# --------------------------------------------------------------------------- formats

_HEAD: Final = struct.Struct(">hhHH")
_SIGNS: Final = {"NaN": 0xC000, "Infinity": 0xD000, "-Infinity": 0xF000}
_SPECIALS: Final = {sign: text for text, sign in _SIGNS.items()}


def _to_text(value: Value) -> bytes:
    if type(value) is not str:
        raise mismatch(value, "numeric")
    return value.encode()


def _to_binary(value: Value) -> bytes:
    """Digits to the base 10000, the weight of the first, sign and display scale."""
    if type(value) is not str:
        raise mismatch(value, "numeric")
    if value in _SIGNS:
        scale = 0x20 if value != "NaN" else 0
        return _HEAD.pack(0, 0, _SIGNS[value], scale)
    sign = 0x4000 if value[0] == "-" else 0
    whole, _, fraction = value.lstrip("-").partition(".")
    scale = len(fraction)
    whole = whole.zfill(-(-len(whole) // 4) * 4)
    fraction = fraction.ljust(-(-len(fraction) // 4) * 4, "0")
    digits = whole + fraction
    groups = [int(digits[i : i + 4]) for i in range(0, len(digits), 4)]
    weight = len(whole) // 4 - 1
    first = next((i for i, group in enumerate(groups) if group), len(groups))
    groups, weight = groups[first:], weight - first
    while groups and not groups[-1]:
        groups.pop()
    if not groups:
        weight = sign = 0
    return _HEAD.pack(len(groups), weight, sign, scale) + struct.pack(f">{len(groups)}H", *groups)


def _from_binary(data: bytes) -> Value:
    try:
        count, weight, sign, scale = _HEAD.unpack_from(data)
        if len(data) != _HEAD.size + 2 * max(count, 0):
            raise bad_binary()
        groups = struct.unpack_from(f">{count}H", data, _HEAD.size)
    except struct.error as exc:
        raise bad_binary() from exc
    if sign in _SPECIALS:
        return _SPECIALS[sign]
    if sign not in (0, 0x4000):
        raise ValueFormatError("22P03", 'invalid sign in external "numeric" value')
    if scale > SCALE_MAX:
        raise ValueFormatError("22P03", 'invalid scale in external "numeric" value')
    if any(group > 9999 for group in groups):
        raise ValueFormatError("22P03", 'invalid digit in external "numeric" value')
    if not groups:
        return stored(Decimal(0).scaleb(-scale))
    digits = "".join(f"{group:04d}" for group in groups)
    number = Decimal(digits).scaleb((weight - count + 1) * 4, context=EXACT)
    # A sender's digits beyond its own scale are cut, as PostgreSQL does.
    return stored(to_scale(number.copy_negate() if sign else number, scale, ROUND_DOWN))


CODECS: Final = (Codec(NUMERIC, _to_text, _to_binary, parse, _from_binary),)

# --------------------------------------------------------------------------- arithmetic


def _divided_by_zero() -> FunctionError:
    return FunctionError("22012", "division by zero")


def _digit(value: Decimal) -> tuple[int, int]:
    """Weight and value of the first digit to the base 10000, as PostgreSQL estimates with."""
    if not value:
        return 0, 0
    weight = value.adjusted() // 4
    return weight, int(
        value.copy_abs().scaleb(-4 * weight, context=EXACT).to_integral_value(ROUND_DOWN)
    )


def _quotient_scale(a: Decimal, b: Decimal) -> int:
    (weight_a, first_a), (weight_b, first_b) = _digit(a), _digit(b)
    weight = weight_a - weight_b - (first_a <= first_b)
    scale = max(_SIGNIFICANT_MIN - weight * 4, _scale(a), _scale(b), 0)
    return min(scale, _RESULT_SCALE_MAX)


def _cut(a: Decimal, b: Decimal, scale: int) -> Decimal:
    """a / b cut after at least `scale` digits: rounding to fewer of them, halves up, is exact."""
    digits = max(a.adjusted() - b.adjusted() + 1, 0) + scale + 4 if a else 1
    context = Context(prec=digits, rounding=ROUND_DOWN, Emin=-999_999, Emax=999_999, traps=[])
    return context.divide(a, b)


def _add(a: Decimal, b: Decimal) -> Decimal:
    return EXACT.add(a, b)


def _subtract(a: Decimal, b: Decimal) -> Decimal:
    return EXACT.subtract(a, b)


def _multiply(a: Decimal, b: Decimal) -> Decimal:
    product = EXACT.multiply(a, b)
    return to_scale(product, SCALE_MAX) if _scale(product) > SCALE_MAX else product


def divide(a: Decimal, b: Decimal) -> Decimal:
    if a.is_nan() or b.is_nan():
        return Decimal("NaN")
    if not b:
        raise _divided_by_zero()
    if not a.is_finite():
        return Decimal("NaN") if not b.is_finite() else a if b > 0 else -a
    if not b.is_finite():
        return Decimal(0)
    scale = _quotient_scale(a, b)
    return to_scale(_cut(a, b, scale), scale)


def _remainder(a: Decimal, b: Decimal) -> Decimal:
    if a.is_nan() or b.is_nan():
        return Decimal("NaN")
    if not b:
        raise _divided_by_zero()
    if not a.is_finite():
        return Decimal("NaN")
    if not b.is_finite():
        return a
    return EXACT.remainder(a, b)


def _power(base: Decimal, power: Decimal) -> Decimal:
    """As PostgreSQL: an exact scale for whole powers, 16 significant digits for others."""
    if base.is_nan() or power.is_nan():
        return Decimal(1) if base == 1 or power == 0 else Decimal("NaN")
    if not base and power < 0:
        raise FunctionError("2201F", "zero raised to a negative power is undefined")
    whole = power == power.to_integral_value() if power.is_finite() else True
    if base < 0 and not whole:
        raise FunctionError(
            "2201F", "a negative number raised to a non-integer power yields a complex result"
        )
    if not base.is_finite() or not power.is_finite():
        return _infinite_power(base, power)
    if whole and power.copy_abs() < 1 << 31:
        scale = max(_SIGNIFICANT_MIN, _scale(base))
    elif not base:
        return Decimal(0).scaleb(-_SIGNIFICANT_MIN)
    else:
        scale = 0
    scale = min(scale, _RESULT_SCALE_MAX)
    weight = _log10(base.copy_abs()) * float(power) if base and power else 0.0
    if weight > WHOLE_DIGITS_MAX + 1:
        raise _overflow()
    if not scale:
        if weight < -_RESULT_SCALE_MAX * 1.3:
            return Decimal(0).scaleb(-_RESULT_SCALE_MAX)
        scale = max(_SIGNIFICANT_MIN - int(weight), _scale(base), _scale(power), 0)
        scale = min(scale, _RESULT_SCALE_MAX)
    if weight < -scale - 1:
        return Decimal(0).scaleb(-scale)
    digits = max(int(weight), 0) + scale + 24
    context = Context(prec=digits, Emin=-999_999, Emax=999_999, traps=[])
    # To decimal 0 ** 0 is undefined; to PostgreSQL it is 1.
    return to_scale(context.power(base, power) if power else Decimal(1), scale)


def _log10(value: Decimal) -> float:
    """About."""
    exponent = value.adjusted()
    return math.log10(float(value.scaleb(-exponent, context=EXACT))) + exponent


def _infinite_power(base: Decimal, power: Decimal) -> Decimal:
    if power == 0 or base == 1:
        return Decimal(1)
    if not power.is_finite():
        size = abs(base)
        if size == 1:
            return Decimal(1)
        return Decimal("Infinity") if (size > 1) == (power > 0) else Decimal(0)
    if power < 0:
        return Decimal(0)
    if base > 0:
        return base
    return base if power % 2 == 1 else -base


def square_root(value: Decimal) -> Decimal:
    if value.is_nan() or value == Decimal("Infinity"):
        return value
    if value < 0:
        raise FunctionError("2201F", "cannot take square root of a negative number")
    weight = _weight(value)
    # PostgreSQL assumes the root to have half as many digits before the point.
    half = (weight + 1) * 2 - 1
    scale = min(max(_SIGNIFICANT_MIN - half, _scale(value), 0), _RESULT_SCALE_MAX)
    context = Context(prec=max(value.adjusted(), 0) + scale + 8, rounding=ROUND_DOWN, traps=[])
    return to_scale(context.sqrt(value), scale)


def _weight(value: Decimal) -> int:
    """Of the first digit to the base 10000."""
    return value.adjusted() // 4 if value else 0


def _sign(value: Decimal) -> Decimal:
    return value if value.is_nan() else Decimal((value > 0) - (value < 0))


def _whole(value: Decimal, rounding: str) -> Decimal:
    return to_scale(value, 0, rounding)


def _shown_to_scale(value: Value, scale: Value, rounding: str) -> str:
    number = _decimal(value)
    assert type(scale) is int
    places = max(min(scale, SCALE_MAX), -WHOLE_DIGITS_MAX - 1)
    return stored(to_scale(number, places, rounding))


# --------------------------------------------------------------------------- casts

_RANGES: Final = {
    "int2": ("smallint", -(1 << 15), (1 << 15) - 1),
    "int4": ("integer", -(1 << 31), (1 << 31) - 1),
    "int8": ("bigint", -(1 << 63), (1 << 63) - 1),
}


def _to_integer(kind: str) -> Callable[[Value], int]:
    name, low, high = _RANGES[kind]

    def cast(value: Value) -> int:
        number = _decimal(value)
        if not number.is_finite():
            what = "NaN" if number.is_nan() else "infinity"
            raise FunctionError("0A000", f"cannot convert {what} to {name}")
        # A range check first: a hundred thousand digits need not become an int.
        whole = int(to_scale(number, 0)) if number.copy_abs() < 1 << 64 else high + 1
        if not low <= whole <= high:
            raise FunctionError("22003", f"{name} out of range")
        return whole

    return cast


def _to_float(value: Value) -> float:
    text = text_of(value, "numeric")
    if text == "NaN":
        raise FunctionError("0A000", "NaN is not supported as a value of type double precision")
    number = float(text)
    if math.isinf(number) and text[-1] != "y":
        raise FunctionError("22003", f'"{text}" is out of range for type double precision')
    if number == 0 and text.strip("-0."):
        raise FunctionError("22003", f'"{text}" is out of range for type double precision')
    return number


def from_float(value: float, digits: int) -> str:
    """As PostgreSQL casts: with so many significant digits (15 of a double, 6 of a real)."""
    if not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return stored(Decimal(f"{value:.{digits}g}"))


def _cast(value: Value) -> str:
    """From text, an integer or a double precision."""
    if type(value) is str:
        return parse(value)
    if type(value) is int:
        return str(value)
    if type(value) is float:
        return from_float(value, 15)
    raise FunctionError("42846", f"cannot cast {type(value).__name__} to numeric")


def _two(compute: Callable[[Decimal, Decimal], Decimal]) -> Function:
    return Function(2, lambda a, b: stored(compute(_decimal(a), _decimal(b))))


def _one(compute: Callable[[Decimal], Decimal]) -> Function:
    return Function(1, lambda a: stored(compute(_decimal(a))))


FUNCTIONS: Final[Mapping[str, Function]] = {
    "pg_add_numeric": _two(_add),
    "pg_sub_numeric": _two(_subtract),
    "pg_mul_numeric": _two(_multiply),
    "pg_div_numeric": _two(divide),
    "pg_mod_numeric": _two(_remainder),
    "pg_pow_numeric": _two(_power),
    "pg_neg_numeric": _one(lambda a: a.copy_negate()),
    "pg_abs_numeric": _one(lambda a: a.copy_abs()),
    "pg_sign_numeric": _one(_sign),
    "pg_sqrt_numeric": _one(square_root),
    "pg_ceil_numeric": _one(lambda a: _whole(a, ROUND_CEILING)),
    "pg_floor_numeric": _one(lambda a: _whole(a, ROUND_FLOOR)),
    "pg_round_numeric": Function(2, lambda a, s: _shown_to_scale(a, s, ROUND_HALF_UP)),
    "pg_trunc_numeric": Function(2, lambda a, s: _shown_to_scale(a, s, ROUND_DOWN)),
    "pg_scale_numeric": Function(1, _scale_of),
    "pg_fit_numeric": Function(2, fit),
    "pg_cast_numeric": Function(1, _cast),
    "pg_cast_numeric_float4": Function(1, lambda a: from_float(float(a), 6)),
    "pg_cast_float8_numeric": Function(1, _to_float),
    **{f"pg_cast_{kind}_numeric": Function(1, _to_integer(kind)) for kind in _RANGES},
    "pg_text_numeric": Function(1, lambda a: text_of(a, "numeric")),
}

# --------------------------------------------------------------------------- aggregates


class _Sum:
    """sum() of integers or numerics, exact. Takes rows back as a window moves."""

    __slots__ = ("_count", "_scales", "_special", "_sum")

    def __init__(self) -> None:
        self._sum = Decimal(0)
        self._count = 0
        self._scales: dict[int, int] = {}  # rows of each scale: the largest is the sum's
        self._special: dict[str, int] = {}  # NaN, Infinity, -Infinity

    def step(self, value: Value) -> None:
        self._take(value, 1)

    def inverse(self, value: Value) -> None:
        self._take(value, -1)

    def _take(self, value: Value, times: int) -> None:
        if value is None:
            return
        self._count += times
        number = Decimal(value) if type(value) is int else _decimal(value)
        if not number.is_finite():
            text = stored(number)
            self._special[text] = self._special.get(text, 0) + times
            return
        scale = _scale(number)
        self._scales[scale] = self._scales.get(scale, 0) + times
        self._sum = (EXACT.add if times > 0 else EXACT.subtract)(self._sum, number)

    def total(self) -> Decimal:
        special = [text for text, rows in self._special.items() if rows]
        if special:
            return Decimal(special[0] if len(special) == 1 else "NaN")
        scale = max((scale for scale, rows in self._scales.items() if rows), default=0)
        return to_scale(self._sum, scale)

    def value(self) -> Value:
        return stored(self.total()) if self._count else None

    def finalize(self) -> Value:
        return self.value()


class _Average(_Sum):
    def value(self) -> Value:
        return stored(divide(self.total(), Decimal(self._count))) if self._count else None


AGGREGATES: Final[Mapping[str, Aggregate]] = {
    "pg_sum_numeric": Aggregate(1, _Sum),
    "pg_avg_numeric": Aggregate(1, _Average),
}
