"""Expressions that the comparison is about, as data: one line for each construct.

A line is `type: text`; `{type}` in the text stands for any expression of that type, `{same}` for
the one before it once more. `!` before the type: it may fail for some operands, so a statement has
one such at most, and where every server evaluates it; else it would not be told which error comes
first. `?` before the type: it may leave operands unevaluated, so nothing below it may fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["EXPRESSIONS", "OIDS", "SAME", "SIMPLEST", "TAME", "TYPES", "WILD", "Expression"]

TYPES: Final = {
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "numeric": "numeric",
    "bool": "boolean",
    "text": "text",
    "varchar": "varchar",
    "bpchar": "char(4)",
    "name": "name",
    "bytea": "bytea",
    "uuid": "uuid",
    "date": "date",
    "time": "time",
    "timestamp": "timestamp",
    "timestamptz": "timestamptz",
    "interval": "interval",
    "json": "json",
    "jsonb": "jsonb",
    "int4[]": "integer[]",
    "text[]": "text[]",
}
"""Short names, and the types as a statement writes them."""

OIDS: Final = {
    "int2": 21,
    "int4": 23,
    "int8": 20,
    "float4": 700,
    "float8": 701,
    "numeric": 1700,
    "bool": 16,
    "text": 25,
    "varchar": 1043,
    "bpchar": 1042,
    "name": 19,
    "bytea": 17,
    "uuid": 2950,
    "date": 1082,
    "time": 1083,
    "timestamp": 1114,
    "timestamptz": 1184,
    "interval": 1186,
    "json": 114,
    "jsonb": 3802,
    "int4[]": 1007,
    "text[]": 1009,
}

TAME: Final[dict[str, tuple[str, ...]]] = {
    "int2": ("0", "1", "2", "3", "-1", "-3"),
    "int4": ("0", "1", "2", "3", "7", "10", "-1", "-4"),
    "int8": ("0", "1", "2", "5", "11", "-1", "-6"),
    "float4": ("0", "0.5", "1", "-2.25", "3.75"),
    "float8": ("0", "0.5", "1", "-2.25", "3.75", "10"),
    "numeric": ("0", "1", "1.50", "2.25", "-3.7", "10"),
    "bool": ("true", "false"),
    "text": ("", "a", "b", "abc", "Abc", "a b", "12", "x_y%z"),
    "varchar": ("", "a", "b", "abc", "B"),
    "bpchar": ("a", "ab", "b", "abcd"),
    "name": ("a", "b", "abc", "A"),
    "bytea": (r"\x", r"\x00ff", r"\x616263", r"\x61"),
    "uuid": (
        "00000000-0000-0000-0000-000000000000",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "ffffffff-ffff-4fff-bfff-ffffffffffff",
    ),
    "date": ("2000-01-01", "2024-02-29", "1999-12-31", "2023-03-15"),
    "time": ("00:00:00", "12:34:56", "23:59:59.5"),
    "timestamp": ("2000-01-01 00:00:00", "2024-02-29 12:34:56.789", "1999-12-31 23:59:59"),
    "timestamptz": ("2000-01-01 00:00:00+00", "2024-02-29 12:34:56.789+02", "1999-12-31 23:59:59Z"),
    "interval": ("0", "1 day", "1 mon", "02:03:04", "1 year 2 mons 3 days", "-1 day 05:00:00"),
    "json": ("1", '{"a": 1}', "[1, 2]", "null"),
    "jsonb": ("1", '{"a": 1, "b": [1, 2, {"c": "d"}]}', "[1, 2, 3]", "null", '"x"', "true"),
    "int4[]": ("{}", "{1,2,3}", "{2,NULL}", "{7}"),
    "text[]": ("{}", "{a,b}", '{"a b",NULL}', "{abc}"),
}
"""Values with which arithmetic stays within every type's range."""

WILD: Final[dict[str, tuple[str, ...]]] = {
    "int2": ("32767", "-32768"),
    "int4": ("2147483647", "-2147483648"),
    "int8": ("9223372036854775807", "-9223372036854775808", "4294967296"),
    "float4": ("1e38", "1e-37", "Infinity", "NaN", "0.1", "-0"),
    "float8": (
        "1e308",
        "1e-307",
        "Infinity",
        "-Infinity",
        "NaN",
        "0.1",
        "-0",
        "123456789012345678",
    ),
    "numeric": ("NaN", "0.000000000000000000001", "99999999999999999999.99", "-0.0", "1e20"),
    "bool": ("true",),
    "text": ("äöü", "ẞ", "日本語", "it's", 'quote"d', "back\\slash", "line\nbreak", "😀", "  "),
    "varchar": ("äöü", "Zz", " x "),
    "bpchar": ("", "ä", "a  b"),
    "name": ("", "ä", " x ", "ö" * 40),
    "bytea": (r"\xdeadbeef", r"\x000000"),
    "uuid": ("12345678-1234-5678-1234-567812345678",),
    "date": ("0001-01-01", "4713-01-01 BC", "infinity", "-infinity", "9999-12-31", "5874897-12-31"),
    "time": ("24:00:00", "00:00:00.000001"),
    "timestamp": ("infinity", "-infinity", "0044-03-15 12:00:00 BC", "9999-12-31 23:59:59.999999"),
    "timestamptz": ("infinity", "-infinity", "2024-07-01 12:00:00-07:30"),
    "interval": ("178000000 years", "-1 mon 1 day -00:00:01", "1 day 25:00:00", "0.000001 sec"),
    "json": ('"ä"', '  {"a" : [ ] }  ', '{"a":1,"a":2}'),
    "jsonb": ('{"b":1,"a":2,"aa":3}', '{"a":1,"a":2}', "1.0", "1.00", '{"":{}}', "[]", "-0.0"),
    "int4[]": ("{NULL}", "{2147483647,-2147483648}"),
    "text[]": ('{"NULL",NULL,"",","}', '{"{","}","\\""}'),
}
"""Values at the edges, for what compares, sorts, stores and returns them."""

SIMPLEST: Final = {
    name: values[0] if name in ("int4", "bool") else f"'{values[0]}'::{TYPES[name]}"
    for name, values in TAME.items()
}

SAME: Final = "same"
"""An operand that is the one before it once more."""

ORDERED: Final = [name for name in TYPES if name != "json"]
INTEGERS: Final = ("int2", "int4", "int8")
NUMBERS: Final = (*INTEGERS, "float4", "float8", "numeric")


@dataclass(frozen=True)
class Expression:
    """One construct."""

    result: str
    text: str
    """With `{}` for each operand."""
    operands: tuple[str, ...]
    section: str
    may_fail: bool = False
    is_lazy: bool = False
    is_aggregate: bool = False

    @property
    def name(self) -> str:
        """As a table of constructs shows it."""
        return self.around([TYPES.get(operand, "") for operand in self.operands])

    def around(self, operands: Sequence[str]) -> str:
        """Its text with these operands; that of `same` is the one before it."""
        first, *rest = self.text.split("{}")
        shown, before = [first], ""
        for kind, operand, text in zip(self.operands, operands, rest, strict=True):
            before = before if kind == SAME else operand
            shown += [before, text]
        return "".join(shown)


_HOLE: Final = re.compile(r"\{(" + "|".join(map(re.escape, [*TYPES, SAME])) + r")\}")


def _lines(section: str, text: str, *, is_aggregate: bool = False) -> Iterator[Expression]:
    for line in text.strip().splitlines():
        result, _, body = line.strip().partition(": ")
        yield Expression(
            result.lstrip("!?"),
            _HOLE.sub("{}", body),
            tuple(_HOLE.findall(body)),
            section,
            may_fail=result.startswith("!"),
            is_lazy=result.startswith("?"),
            is_aggregate=is_aggregate,
        )


def _wider(left: str, right: str) -> str:
    """The type of arithmetic between numbers."""
    if left == right:
        return left
    if {left, right} <= set(INTEGERS):
        return max(left, right, key=INTEGERS.index)
    if "float8" in (left, right) or "float4" in (left, right):
        return "float8"
    return "numeric"


def _comparisons() -> str:
    lines = [
        f"bool: {{{t}}} {sign} {{{t}}}"
        for t in ORDERED
        for sign in ("=", "<>", "<", "<=", ">", ">=")
    ]
    lines += [
        f"bool: {{{a}}} {sign} {{{b}}}"
        for a in NUMBERS
        for b in NUMBERS
        if a != b
        for sign in ("=", "<")
    ]
    lines += [f"bool: {{{t}}} IS NULL" for t in TYPES]
    lines += [f"bool: {{{t}}} IS NOT NULL" for t in ("int4", "text", "numeric", "date", "jsonb")]
    for t in ORDERED:
        lines += [
            f"?bool: {{{t}}} IN ({{{t}}}, {{{t}}})",
            f"?bool: {{{t}}} BETWEEN {{{t}}} AND {{{t}}}",
            f"bool: {{{t}}} IS DISTINCT FROM {{{t}}}",
        ]
    lines += [
        "bool: {date} < {timestamp}",
        "bool: {timestamp} >= {date}",
        "bool: {timestamptz} > {date}",
        "bool: {text} = {varchar}",
        "bool: {text} = {bpchar}",
        "bool: {name} = {text}",
        "bool: {text} < {name}",
        "bool: {name} LIKE {text}",
        "bool: {varchar} = {bpchar}",
        "bool: {int4} NOT IN (1, 2, NULL)",
        "?bool: {int4} NOT BETWEEN {int4} AND {int4}",
        "bool: {text} IS NOT DISTINCT FROM {text}",
        "bool: ({int4}, {text}) = ({int4}, {text})",
        "bool: ({int4}, {text}) < ({int4}, {text})",
    ]
    return "\n".join(lines)


def _arithmetic() -> str:
    lines = []
    for a in NUMBERS:
        for b in NUMBERS:
            result = _wider(a, b)
            lines += [
                f"{result}: {{{a}}} + {{{b}}}",
                f"{result}: {{{a}}} - {{{b}}}",
                f"!{result}: {{{a}}} * {{{b}}}",
                f"!{result}: {{{a}}} / {{{b}}}",
            ]
            if "float" not in a + b:
                lines.append(f"!{result}: {{{a}}} % {{{b}}}")
    for t in NUMBERS:
        lines += [f"{t}: - {{{t}}}", f"!{t}: abs({{{t}}})"]
    lines += [f"{t}: {{{t}}} / 2::{t}" for t in NUMBERS]
    return "\n".join(lines)


def _extremes() -> str:
    named = [t for t in ORDERED if t not in ("bool", "name", "bytea", "uuid", "jsonb")]
    return "\n".join(f"{t}: {f}({{{t}}})" for t in named for f in ("min", "max"))


_SAFE_CASTS: Final = {
    "int2": ("int4", "int8", "float4", "float8", "numeric", "text"),
    "int4": ("int8", "float4", "float8", "numeric", "text", "varchar", "bool"),
    "int8": ("float8", "numeric", "text"),
    "float4": ("float8", "text"),
    "float8": ("text", "numeric"),
    "numeric": ("float8", "text"),
    "bool": ("int4", "text"),
    "text": ("varchar", "bpchar", "name", "bytea"),
    "varchar": ("text", "bpchar", "name"),
    "bpchar": ("text", "varchar", "name"),
    "name": ("text", "varchar", "bpchar"),
    "bytea": ("text",),
    "uuid": ("text",),
    "date": ("timestamp", "timestamptz", "text"),
    "time": ("interval", "text"),
    "timestamp": ("date", "time", "timestamptz", "text"),
    "timestamptz": ("date", "timestamp", "time", "text"),
    "interval": ("time", "text"),
    "json": ("jsonb", "text"),
    "jsonb": ("json", "text"),
    "int4[]": ("text[]", "text"),
    "text[]": ("text",),
}

_UNSAFE_CASTS: Final = {
    "int4": ("int2",),
    "int8": ("int4", "int2"),
    "float8": ("int4", "int8", "float4"),
    "float4": ("int4",),
    "numeric": ("int2", "int4", "int8"),
    "text": ("int2", "int4", "int8", "float8", "numeric", "bool", "date", "timestamp", "uuid"),
    "varchar": ("int4",),
    "jsonb": ("int4", "numeric", "bool"),
}


def _casts() -> str:
    lines = [
        f"{to}: {{{source}}}::{TYPES[to]}"
        for source, targets in _SAFE_CASTS.items()
        for to in targets
    ]
    lines += [
        f"!{to}: CAST({{{source}}} AS {TYPES[to]})"
        for source, targets in _UNSAFE_CASTS.items()
        for to in targets
    ]
    lines += [
        "numeric: {numeric}::numeric(6,1)",
        "!numeric: {numeric}::numeric(3,2)",
        "varchar: {text}::varchar(2)",
        "bpchar: {text}::char(3)",
        "timestamp: {timestamp}::timestamp(0)",
        "time: {time}::time(0)",
    ]
    return "\n".join(lines)


def _sections() -> dict[str, str]:
    """The lines of `expressions.txt`, by their section."""
    text = Path(__file__).with_name("expressions.txt").read_text(encoding="utf-8")
    parts = re.split(r"^## (.*)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


_LISTED: Final = _sections()

EXPRESSIONS: Final = (
    *_lines("logic", _LISTED["logic"]),
    *_lines("comparisons", _comparisons()),
    *_lines("arithmetic", _arithmetic()),
    *(
        line
        for section in ("mathematics", "text", "bytea", "dates and times", "JSON", "arrays")
        for line in _lines(section, _LISTED[section])
    ),
    *_lines("casts", _casts()),
    *_lines("aggregates", _LISTED["aggregates"], is_aggregate=True),
    *_lines("aggregates", _extremes(), is_aggregate=True),
)
