"""Logarithms, roots, trigonometry, divisors and buckets.

What a mathematics library would round differently from machine to machine is computed with exact
decimals to more digits than a double has, and rounded once: every replica gets the same.
Numerics have the scale that PostgreSQL gives them (its source: numeric.c).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import ROUND_DOWN, ROUND_FLOOR, Context, Decimal
from functools import lru_cache
from typing import Final

from nodes.pgtypes import numerics
from nodes.pgtypes.floats import float_of
from nodes.pgtypes.formats import Function, FunctionError
from nodes.pgtypes.integers import integer_of
from nodes.protocol import Value

__all__ = ["FUNCTIONS", "rounded_float", "square_root"]

_WIDE: Final = Context(prec=60, Emin=-999_999, Emax=999_999, traps=[])
_ONE: Final = Decimal(1)
_SIGNIFICANT_MIN: Final = 16
_SCALE_MAX: Final = 1000
_FACTORIAL_MAX: Final = 32_177
_DEGREE: Final = 0.0174532925199432957692

_NO_NAN: Final = "NaN is not supported as a value of type double precision"


def rounded_float(exact: Decimal) -> float:
    """The double nearest to an exact result; beyond the range 22003."""
    try:
        result = float(exact)
    except OverflowError:
        result = math.inf
    if math.isinf(result):
        raise FunctionError("22003", "value out of range: overflow")
    if result == 0 and exact:
        raise FunctionError("22003", "value out of range: underflow")
    return result


def square_root(value: Decimal) -> Decimal:
    return _WIDE.sqrt(value)


# --------------------------------------------------------------------------- double precision


def _exp(value: Value) -> float:
    number = float_of(value)
    if math.isinf(number):
        return math.inf if number > 0 else 0.0
    if abs(number) > 1000:
        raise FunctionError(
            "22003", f"value out of range: {'overflow' if number > 0 else 'underflow'}"
        )
    return rounded_float(_WIDE.exp(Decimal(number)))


def _logarithm(compute: Callable[[Decimal], Decimal]) -> Callable[[Value], float]:
    def logarithm(value: Value) -> float:
        number = float_of(value)
        if number == 0:
            raise FunctionError("2201E", "cannot take logarithm of zero")
        if number < 0:
            raise FunctionError("2201E", "cannot take logarithm of a negative number")
        return number if math.isinf(number) else rounded_float(compute(Decimal(number)))

    return logarithm


def _cbrt(value: Value) -> float:
    number = float_of(value)
    if number == 0 or math.isinf(number):
        return number
    root = rounded_float(_WIDE.power(Decimal(abs(number)), _WIDE.divide(Decimal(1), Decimal(3))))
    return math.copysign(root, number)


@lru_cache(maxsize=8)
def _pi(digits: int) -> Decimal:
    """By Machin's formula."""
    context = Context(prec=digits + 10, traps=[])

    def arctan_of_inverse(n: int) -> Decimal:
        term = context.divide(Decimal(1), Decimal(n))
        total, square, k = term, Decimal(n * n), 1
        limit = Decimal(10) ** -(digits + 8)
        while term.copy_abs() > limit:
            term = context.divide(term.copy_negate(), square)
            k += 2
            total = context.add(total, context.divide(term, Decimal(k)))
        return total

    four = Decimal(4)
    fifth = context.multiply(four, arctan_of_inverse(5))
    return context.multiply(four, context.subtract(fifth, arctan_of_inverse(239)))


_HALF: Final = _WIDE.plus(_pi(60))
_QUARTER: Final = _WIDE.divide(_HALF, Decimal(2))
"""Of a turn."""


def _reduced(number: float) -> tuple[Decimal, int]:
    """An angle within a quarter of a turn around 0, and how many quarters were taken off."""
    exact = Decimal(number)
    digits = max(exact.adjusted(), 0) + 60
    context = Context(prec=digits + 20, traps=[])
    quarter = context.divide(_pi(digits), Decimal(2))
    quarters = context.to_integral_value(context.divide(exact, quarter))
    rest = context.subtract(exact, context.multiply(quarters, quarter))
    return _WIDE.plus(rest), int(quarters) % 4


def _sine_of(angle: Decimal) -> Decimal:
    term = total = angle
    square, k = _WIDE.multiply(angle, angle), 1
    while term and term.adjusted() > total.adjusted() - 50:
        term = _WIDE.divide(_WIDE.multiply(term.copy_negate(), square), Decimal((k + 1) * (k + 2)))
        total = _WIDE.add(total, term)
        k += 2
    return total


def _cosine_of(angle: Decimal) -> Decimal:
    term = total = Decimal(1)
    square, k = _WIDE.multiply(angle, angle), 0
    while term and term.adjusted() > -50:
        term = _WIDE.divide(_WIDE.multiply(term.copy_negate(), square), Decimal((k + 1) * (k + 2)))
        total = _WIDE.add(total, term)
        k += 2
    return total


def _sine_and_cosine(value: Value) -> tuple[Decimal, Decimal]:
    number = float_of(value)
    if math.isinf(number):
        raise FunctionError("22003", "input is out of range")
    angle, quarters = _reduced(number)
    sine, cosine = _sine_of(angle), _cosine_of(angle)
    for _ in range(quarters):
        sine, cosine = cosine, sine.copy_negate()
    return sine, cosine


def _nearest(exact: Decimal) -> float:
    """Near zero a double of these functions is never out of range."""
    return float(exact)


def _tangent(value: Value) -> float:
    sine, cosine = _sine_and_cosine(value)
    return math.inf if not cosine else _nearest(_WIDE.divide(sine, cosine))


def _cotangent(value: Value) -> float:
    sine, cosine = _sine_and_cosine(value)
    if not sine:
        return math.copysign(math.inf, float_of(value))
    return _nearest(_WIDE.divide(cosine, sine))


def _arctangent_of(exact: Decimal) -> Decimal:
    """Halved until the series is short: atan x = 2 atan(x / (1 + sqrt(1 + x^2)))."""
    x, times = exact, 1
    while x.copy_abs() > Decimal("0.1"):
        root = _WIDE.sqrt(_WIDE.add(Decimal(1), _WIDE.multiply(x, x)))
        x = _WIDE.divide(x, _WIDE.add(Decimal(1), root))
        times *= 2
    total, power, square, k = x, x, _WIDE.multiply(x, x), 1
    while power and power.adjusted() > total.adjusted() - 55:
        power = _WIDE.multiply(power.copy_negate(), square)
        k += 2
        total = _WIDE.add(total, _WIDE.divide(power, Decimal(k)))
    return _WIDE.multiply(total, Decimal(times))


def _arctangent(value: Value) -> float:
    number = float_of(value)
    if math.isinf(number):
        return math.copysign(_nearest(_QUARTER), number)
    return number if number == 0 else _nearest(_arctangent_of(Decimal(number)))


def _arctangent_of_two(y_value: Value, x_value: Value) -> float:
    y, x = float_of(y_value), float_of(x_value)
    if y == 0 or x == 0 or math.isinf(x) or math.isinf(y):
        return math.atan2(y, x)  # multiples of an eighth of a turn: the same everywhere
    angle = _arctangent_of(_WIDE.divide(Decimal(y), Decimal(x)))
    if x < 0:
        angle = _WIDE.add(angle, _HALF.copy_sign(Decimal(y)))
    return _nearest(angle)


def _arcsine_of(number: float) -> Decimal:
    if not -1 <= number <= 1:
        raise FunctionError("22003", "input is out of range")
    exact = Decimal(number)
    if exact.copy_abs() == 1:
        return _QUARTER.copy_sign(exact)
    beside = _WIDE.sqrt(_WIDE.multiply(_WIDE.subtract(_ONE, exact), _WIDE.add(_ONE, exact)))
    return _arctangent_of(_WIDE.divide(exact, beside))


def _hyperbolic(name: str) -> Callable[[Value], float]:
    def compute(value: Value) -> float:
        number = float_of(value)
        if math.isinf(number):
            return {"sinh": number, "cosh": math.inf, "tanh": math.copysign(1.0, number)}[name]
        if number == 0:
            return {"sinh": number, "cosh": 1.0, "tanh": number}[name]
        if abs(number) > 1000:
            return {"sinh": math.copysign(math.inf, number), "cosh": math.inf}.get(
                name, math.copysign(1.0, number)
            )
        # Close to 0 the difference of the two powers loses as many digits as they have in common.
        context = Context(prec=60 + 2 * max(-Decimal(number).adjusted(), 0), traps=[])
        up, down = context.exp(Decimal(number)), context.exp(Decimal(-number))
        plus, minus = context.add(up, down), context.subtract(up, down)
        exact = {
            "sinh": context.divide(minus, Decimal(2)),
            "cosh": context.divide(plus, Decimal(2)),
            "tanh": context.divide(minus, plus),
        }[name]
        try:
            return float(exact)
        except OverflowError:
            return math.copysign(math.inf, float(exact > 0) - 0.5)

    return compute


def _degrees(value: Value) -> float:
    number = float_of(value)
    result = number / _DEGREE
    if math.isinf(result) and math.isfinite(number):
        raise FunctionError("22003", "value out of range: overflow")
    return result


def _radians(value: Value) -> float:
    number = float_of(value)
    result = number * _DEGREE
    if result == 0 and number != 0:
        raise FunctionError("22003", "value out of range: underflow")
    return result


# --------------------------------------------------------------------------- numeric


def _number(value: Value) -> Decimal:
    assert type(value) is str
    return Decimal(value)


def _moved(value: Decimal, places: int) -> Decimal:
    """The point moved, exactly."""
    return value.scaleb(places, context=numerics.EXACT)


def _scale(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return -exponent if isinstance(exponent, int) and exponent < 0 else 0


def _within(scale: int) -> int:
    return min(max(scale, 0), _SCALE_MAX)


def _context(digits: int) -> Context:
    return Context(prec=max(digits, 1) + 12, Emin=-999_999, Emax=999_999, traps=[])


def _to_scale(value: Decimal, scale: int) -> str:
    return numerics.stored(numerics.to_scale(value, scale))


def _exp_numeric(value: Value) -> str:
    number = _number(value)
    if not number.is_finite():
        return "NaN" if number.is_nan() else "Infinity" if number > 0 else "0"
    weight = max(min(float(number) * 0.434294481903252, 2000.0), -2000.0)
    scale = _within(max(_SIGNIFICANT_MIN - int(weight), _scale(number)))
    if abs(number) >= 6000:
        if number > 0:
            raise FunctionError("22003", "value overflows numeric format")
        return _to_scale(Decimal(0), scale)
    context = _context(int(max(float(number) * 0.4343, 0)) + scale + 4)
    return _to_scale(context.exp(number), scale)


def _weight_of_ln(value: Decimal) -> int:
    """PostgreSQL's estimate of the decimal weight of ln(value)."""
    if Decimal("0.9") <= value <= Decimal("1.1"):
        rest = numerics.EXACT.subtract(value, _ONE)
        if not rest:
            return 0
        weight = rest.adjusted() // 4
        first = int(_moved(rest.copy_abs(), -4 * weight).to_integral_value(ROUND_DOWN))
        return weight * 4 + int(math.log10(first))
    about = abs(math.log(float(_moved(value, -value.adjusted()))) + value.adjusted() * math.log(10))
    return int(math.log10(about))


def _checked(number: Decimal) -> None:
    if number == 0:
        raise FunctionError("2201E", "cannot take logarithm of zero")
    if number < 0:
        raise FunctionError("2201E", "cannot take logarithm of a negative number")


def _ln_numeric(value: Value) -> str:
    number = _number(value)
    if number.is_nan():
        return "NaN"
    _checked(number)
    if not number.is_finite():
        return "Infinity"
    scale = _within(max(_SIGNIFICANT_MIN - _weight_of_ln(number), _scale(number)))
    return _to_scale(_context(scale + 10).ln(number), scale)


def _log_numeric(base_value: Value, value: Value) -> str:
    base, number = _number(base_value), _number(value)
    if base.is_nan() or number.is_nan():
        return "NaN"
    _checked(base)
    _checked(number)
    if not base.is_finite() or not number.is_finite():
        if not base.is_finite() and not number.is_finite():
            return "NaN"
        return "0" if not base.is_finite() else "Infinity"
    weight = _weight_of_ln(number) - _weight_of_ln(base)
    scale = _within(max(_SIGNIFICANT_MIN - weight, _scale(base), _scale(number)))
    context = _context(scale + 20)
    divisor = context.ln(base)
    if not divisor:
        raise FunctionError("22012", "division by zero")
    return _to_scale(context.divide(context.ln(number), divisor), scale)


def _div_numeric(a_value: Value, b_value: Value) -> str:
    a, b = _number(a_value), _number(b_value)
    if a.is_nan() or b.is_nan():
        return "NaN"
    if not b:
        raise FunctionError("22012", "division by zero")
    if not a.is_finite():
        return "NaN" if not b.is_finite() else "Infinity" if (a > 0) == (b > 0) else "-Infinity"
    if not b.is_finite():
        return "0"
    context = _context(max(a.adjusted() - b.adjusted(), 0) + 4)
    context.rounding = ROUND_DOWN
    return numerics.stored(context.divide(a, b).to_integral_value(ROUND_DOWN))


def _gcd_numeric(a_value: Value, b_value: Value) -> str:
    a, b = _number(a_value), _number(b_value)
    if not a.is_finite() or not b.is_finite():
        return "NaN"
    scale = max(_scale(a), _scale(b))
    found = math.gcd(int(_moved(a, scale)), int(_moved(b, scale)))
    return _to_scale(_moved(Decimal(found), -scale), scale)


def _lcm_numeric(a_value: Value, b_value: Value) -> str:
    a, b = _number(a_value), _number(b_value)
    if not a.is_finite() or not b.is_finite():
        return "NaN"
    scale = max(_scale(a), _scale(b))
    found = math.lcm(int(_moved(a, scale)), int(_moved(b, scale)))
    return _to_scale(_moved(Decimal(found), -scale), scale)


def _of_integers(compute: Callable[[int, int], int], bits: int, name: str) -> Function:
    def call(a: Value, b: Value) -> int:
        found = compute(integer_of(a), integer_of(b))
        if found >= 1 << (bits - 1):
            raise FunctionError("22003", f"{name} out of range")
        return found

    return Function(2, call)


def _factorial(value: Value) -> str:
    number = integer_of(value)
    if number < 0:
        raise FunctionError("22003", "factorial of a negative number is undefined")
    if number > _FACTORIAL_MAX:
        raise FunctionError("22003", "value overflows numeric format")
    return numerics.stored(_context(131_072).create_decimal(math.factorial(number)))


def _trim_scale(value: Value) -> str:
    text = str(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _min_scale(value: Value) -> int | None:
    trimmed = _trim_scale(value)
    return None if trimmed[-1] in "Nny" else len(trimmed.partition(".")[2])


def _check_buckets(count: int, *, is_empty: bool, has_nan: bool, is_infinite: bool) -> None:
    for wrong, message in (
        (count <= 0, "count must be greater than zero"),
        (has_nan, "operand, lower bound, and upper bound cannot be NaN"),
        (is_infinite, "lower and upper bounds must be finite"),
        (is_empty, "lower bound cannot equal upper bound"),
    ):
        if wrong:
            raise FunctionError("2201G", message)


def _outside(operand: Decimal, low: Decimal, high: Decimal, count: int) -> int | None:
    """0 and count + 1 are what lies before and behind the buckets."""
    is_rising = low < high
    if operand < low if is_rising else operand > low:
        return 0
    if operand >= high if is_rising else operand <= high:
        return count + 1
    return None


def _limited_bucket(found: int) -> int:
    if found >= 1 << 31:
        raise FunctionError("22003", "integer out of range")
    return found


def _width_bucket_numeric(operand: Value, low: Value, high: Value, count: Value) -> int:
    x, a, b, n = _number(operand), _number(low), _number(high), integer_of(count)
    _check_buckets(
        n,
        is_empty=a == b,
        has_nan=x.is_nan() or a.is_nan() or b.is_nan(),
        is_infinite=a.is_infinite() or b.is_infinite(),
    )
    found = _outside(x, a, b, n)
    if found is None:
        # The bounds may fall: then both differences change their sign.
        exact = numerics.EXACT
        above = exact.multiply(exact.subtract(x, a).copy_abs(), Decimal(n))
        quotient = numerics.divide(above, exact.subtract(b, a).copy_abs())
        found = int(quotient.to_integral_value(ROUND_FLOOR)) + 1
    return _limited_bucket(found)


def _width_bucket_float(operand: Value, low: Value, high: Value, count: Value) -> int:
    x, a, b, n = float_of(operand), float_of(low), float_of(high), integer_of(count)
    _check_buckets(n, is_empty=a == b, has_nan=False, is_infinite=math.isinf(a) or math.isinf(b))
    found = _outside(Decimal(x), Decimal(a), Decimal(b), n)
    if found is None:
        part = (x - a) / (b - a)
        found = min(int(part * n), n - 1) + 1
    return _limited_bucket(found)


def _one(compute: Callable[[Value], Value]) -> Function:
    return Function(1, compute)


def _odd(compute: Callable[[Value], float]) -> Function:
    """Zero keeps its sign."""
    return Function(1, lambda a: float_of(a) if float_of(a) == 0 else compute(a))


FUNCTIONS: Final[Mapping[str, Function]] = {
    "pg_exp_float8": _one(_exp),
    "pg_ln_float8": _one(_logarithm(_WIDE.ln)),
    "pg_log_float8": _one(_logarithm(_WIDE.log10)),
    "pg_cbrt_float8": _one(_cbrt),
    "pg_sin": _odd(lambda a: _nearest(_sine_and_cosine(a)[0])),
    "pg_cos": _one(lambda a: _nearest(_sine_and_cosine(a)[1])),
    "pg_tan": _odd(_tangent),
    "pg_cot": _one(_cotangent),
    "pg_asin": _odd(lambda a: _nearest(_arcsine_of(float_of(a)))),
    "pg_acos": _one(lambda a: _nearest(_WIDE.subtract(_QUARTER, _arcsine_of(float_of(a))))),
    "pg_atan": _one(_arctangent),
    "pg_atan2": Function(2, _arctangent_of_two),
    **{f"pg_{name}": _one(_hyperbolic(name)) for name in ("sinh", "cosh", "tanh")},
    "pg_degrees": _one(_degrees),
    "pg_radians": _one(_radians),
    "pg_pi": Function(0, lambda: math.pi),
    "pg_exp_numeric": _one(_exp_numeric),
    "pg_ln_numeric": _one(_ln_numeric),
    "pg_log_numeric": Function(2, _log_numeric),
    "pg_div_whole_numeric": Function(2, _div_numeric),
    "pg_gcd_numeric": Function(2, _gcd_numeric),
    "pg_lcm_numeric": Function(2, _lcm_numeric),
    "pg_gcd_int4": _of_integers(math.gcd, 32, "integer"),
    "pg_gcd_int8": _of_integers(math.gcd, 64, "bigint"),
    "pg_lcm_int4": _of_integers(math.lcm, 32, "integer"),
    "pg_lcm_int8": _of_integers(math.lcm, 64, "bigint"),
    "pg_factorial": _one(_factorial),
    "pg_trim_scale": _one(_trim_scale),
    "pg_min_scale": _one(_min_scale),
    "pg_width_bucket_numeric": Function(4, _width_bucket_numeric),
    "pg_width_bucket_float8": Function(4, _width_bucket_float),
}
