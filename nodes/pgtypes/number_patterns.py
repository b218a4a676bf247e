"""to_char of numbers, and to_number: patterns of 9 0 . , D G S MI PL SG PR FM."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Final

from nodes.pgtypes import numerics
from nodes.pgtypes.floats import float_of
from nodes.pgtypes.formats import Function, FunctionError
from nodes.pgtypes.integers import integer_of
from nodes.pgtypes.strings import string_of
from nodes.protocol import Value

__all__ = ["FUNCTIONS"]

LENGTH_MAX: Final = 200

_TOKEN: Final = re.compile(
    r"(?P<refused>EEEE|RN|TH|th|V|L|B|C)|(?P<fill>FM)|(?P<sign>MI|PL|SG|PR|S)|(?P<digit>[90])"
    r'|(?P<point>[.D])|(?P<group>[,G])|"(?P<quoted>[^"]*)"|(?P<other>.)',
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Pattern:
    """`places` are the marks in their order: 9, 0, a point, a comma, or text with a " before it."""

    places: tuple[str, ...]
    whole: int  # digits before the point
    fraction: int
    fills: bool
    leading: str  # S, MI, PL or SG at the start
    trailing: str  # or at the end
    brackets: bool  # PR


@lru_cache(maxsize=256)
def _read(text: str) -> Pattern:
    if len(text) > LENGTH_MAX:
        raise FunctionError("22023", "the pattern of a number is too long")
    places: list[str] = []
    whole = fraction = 0
    is_behind = fills = brackets = False
    leading = trailing = ""
    for found in _TOKEN.finditer(text):
        kind, mark = found.lastgroup, found[0].upper()
        if kind == "refused":
            raise FunctionError(
                "0A000",
                f'"{found[0]}" in a pattern of numbers is not supported',
                hint="Format it in the application.",
            )
        if kind == "fill":
            fills = True
        elif kind == "sign":
            if leading or trailing or brackets:
                raise FunctionError("42601", f'cannot use "{mark}" twice')
            brackets = mark == "PR"
            if not brackets and (whole or fraction):
                trailing = mark
            elif not brackets:
                leading = mark
        elif kind == "digit":
            if brackets:
                raise FunctionError("42601", f'"{mark}" must be ahead of "PR"')
            if trailing:
                raise FunctionError("0A000", f"{trailing} between digits is not supported")
            places.append(mark)
            whole, fraction = whole + (not is_behind), fraction + is_behind
        elif kind == "point":
            if is_behind:
                raise FunctionError("42601", "multiple decimal points")
            is_behind = True
            places.append(".")
        elif kind == "group":
            places.append(",")
        else:
            places.append('"' + (found["quoted"] if found["quoted"] is not None else found[0]))
    if not whole and not fraction:
        if leading or trailing or brackets or "." in places or "," in places:
            raise FunctionError(
                "0A000",
                f'the pattern "{text}", which has no digits, is not supported',
                hint="Write 9 or 0 where digits shall be.",
            )
        return Pattern(tuple(places), 0, 0, True, "", "", False)
    return Pattern(tuple(places), whole, fraction, fills, leading, trailing, brackets)


def _to_char(number: Decimal, text: str) -> str:
    if not text:
        return ""
    pattern = _read(text)
    rounded = numerics.to_scale(number.copy_abs(), pattern.fraction, ROUND_HALF_UP)
    is_negative = number.is_signed() and bool(rounded)
    return _shown(format(rounded, "f"), pattern, is_negative=is_negative)


def _shown(digits: str, pattern: Pattern, *, is_negative: bool) -> str:
    """The digits, of which there may be fewer behind the point than the pattern has: there it
    ends."""
    whole, _, fraction = digits.partition(".")
    shown = len(fraction)
    whole = whole.lstrip("0")
    is_over = False
    if len(whole) > pattern.whole:
        whole, fraction = "#" * pattern.whole, "#" * shown
        is_over = True
    first_zero = next((i for i, mark in enumerate(pattern.places) if mark == "0"), None)
    last_zero = max((i for i, mark in enumerate(pattern.places) if mark == "0"), default=-1)
    has_point = "." in pattern.places
    point_at = pattern.places.index(".") if has_point else len(pattern.places)
    # Where only nines stand before the point, 0 is shown as nothing; alone as its last digit.
    shows_zero = not whole and not has_point
    # 0 in FM9.9 is shown as `0.`
    is_whole = not fraction.strip("0") and last_zero < point_at and not whole
    out: list[str] = []
    started = False
    seen = behind = 0

    def start() -> None:
        """The sign stands before the first digit."""
        nonlocal started
        if not started:
            started = True
            out.append(_SIGN)

    for at, mark in enumerate(pattern.places):
        if mark in "90" and at < point_at:
            seen += 1
            left = pattern.whole - seen
            if left < len(whole):
                start()
                out.append(whole[len(whole) - left - 1])
            elif (first_zero is not None and first_zero <= at) or (
                left == 0 and (shows_zero or (pattern.fills and is_whole))
            ):
                start()
                out.append("0")
            elif not pattern.fills:
                out.append(" ")
        elif mark in "90":
            behind += 1
            if behind > shown:
                break
            digit = fraction[behind - 1]
            if pattern.fills and last_zero < at and not fraction[behind - 1 :].strip("0"):
                continue
            out.append(digit)
        elif mark == ".":
            if pattern.fraction > shown == 0 and not is_over:
                break
            start()
            out.append(".")
        elif mark == ",":
            if started:
                out.append(",")
            elif not pattern.fills:
                out.append(" ")
        else:
            out.append(mark[1:])
    if not started and pattern.whole + pattern.fraction:
        out.append(_SIGN)
    return _signed("".join(out), pattern, is_negative)


_SIGN: Final = "\0"
"""Stands where the sign will be."""


def _signed(text: str, pattern: Pattern, is_negative: bool) -> str:
    plus = "" if pattern.fills else " "
    if pattern.brackets:
        before, after = ("<", ">") if is_negative else (plus, plus)
        return text.replace(_SIGN, before) + after
    mark = pattern.leading or pattern.trailing
    shown = {
        "S": "-" if is_negative else "+",
        "SG": "-" if is_negative else "+",
        "MI": "-" if is_negative else plus,
        "PL": plus if is_negative else "+",
        "": "-" if is_negative else plus,
    }[mark]
    if mark in ("", "S") and not pattern.trailing:
        return text.replace(_SIGN, shown)
    own = ""
    if mark == "PL":  # the minus has a place of its own
        own = "-" if is_negative else plus
    text = text.replace(_SIGN, own)
    return text + shown if pattern.trailing else shown + text


def _to_char_numeric(value: Value, pattern: Value) -> str:
    number = Decimal(string_of(value))
    if not number.is_finite():
        raise FunctionError(
            "0A000", f"to_char of {string_of(value)} is not supported", hint="Test for it first."
        )
    return _to_char(number, string_of(pattern))


def _to_char_integer(value: Value, pattern: Value) -> str:
    return _to_char(Decimal(integer_of(value)), string_of(pattern))


def _of_float(digits: int) -> Callable[[Value, Value], str]:
    """Doubles have so many digits at most, behind the point as many as are left."""

    def to_char(value: Value, pattern: Value) -> str:
        number = float_of(value)
        if not math.isfinite(number):
            raise FunctionError("0A000", "to_char of infinity is not supported")
        if not string_of(pattern):
            return ""
        made = _read(string_of(pattern))
        shown = max(min(made.fraction, digits - len(f"{abs(number):.0f}")), 0)
        if shown < made.fraction and (made.fills or made.brackets or made.trailing):
            raise FunctionError(
                "0A000",
                "more digits than a float has are not supported in this pattern",
                hint="Cast the number to numeric.",
            )
        is_negative = math.copysign(1.0, number) < 0  # it keeps its sign where it is rounded to 0
        return _shown(f"{abs(number):.{shown}f}", made, is_negative=is_negative)

    return to_char


_NUMBER: Final = re.compile(r"[0-9]")


def _to_number(text: Value, pattern: Value) -> str | None:
    """What is written in a pattern: digits, a point, a sign; the rest is passed over."""
    if not string_of(pattern):
        return None
    made = _read(string_of(pattern))
    content = string_of(text).strip()
    is_negative = "-" in content or (made.brackets and content.startswith("<"))
    whole, _point, fraction = content.partition(".")
    digits = "".join(_NUMBER.findall(whole))[: made.whole]
    behind = "".join(_NUMBER.findall(fraction))[: made.fraction]
    if not digits and not behind:
        raise FunctionError("22P02", f'invalid input syntax for type numeric: "{content or " "}"')
    if not set(content) <= set("0123456789.,-+<> "):
        raise FunctionError(
            "0A000",
            f'"{content}" does not follow the pattern closely enough to be read',
            hint="Take the digits out of it first.",
        )
    found = f"{'-' if is_negative else ''}{digits or '0'}"
    return numerics.parse(f"{found}.{behind}" if behind else found)


FUNCTIONS: Final[Mapping[str, Function]] = {
    "pg_to_char_numeric": Function(2, _to_char_numeric),
    "pg_to_char_int4": Function(2, _to_char_integer),
    "pg_to_char_int8": Function(2, _to_char_integer),
    "pg_to_char_float8": Function(2, _of_float(15)),
    "pg_to_char_float4": Function(2, _of_float(6)),
    "pg_to_number": Function(2, _to_number),
}
