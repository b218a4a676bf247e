"""Expressions that the comparison is about, as data: one line for each construct.

A line is `type: text`; `{type}` in the text stands for any expression of that type. `!` before
the type: it may fail for some operands, so a statement has one such at most, and where every
server evaluates it; else it would not be told which error comes first. `?` before the type: it
may leave operands unevaluated, so nothing below it may fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["EXPRESSIONS", "OIDS", "SIMPLEST", "TAME", "TYPES", "WILD", "Expression", "type_name"]

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
        first, *rest = self.text.split("{}")
        pairs = zip(self.operands, rest, strict=True)
        return first + "".join(f"{TYPES[operand]}{text}" for operand, text in pairs)


def type_name(short: str) -> str:
    return TYPES[short]


_HOLE: Final = re.compile(r"\{(" + "|".join(map(re.escape, TYPES)) + r")\}")


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


_LOGIC: Final = """
?bool: {bool} AND {bool}
?bool: {bool} OR {bool}
bool: NOT {bool}
bool: {bool} IS TRUE
bool: {bool} IS NOT FALSE
bool: {bool} IS UNKNOWN
?int4: CASE WHEN {bool} THEN {int4} ELSE {int4} END
?text: CASE {int4} WHEN 1 THEN {text} WHEN 2 THEN {text} END
?numeric: CASE WHEN {bool} THEN {numeric} WHEN {bool} THEN 1 END
?int8: CASE WHEN {bool} THEN {int8} ELSE {int4} END
?int4: coalesce({int4}, {int4})
?text: coalesce({text}, {text}, 'z')
?numeric: coalesce({numeric}, {int4})
?timestamp: coalesce({timestamp}, {date})
int4: nullif({int4}, {int4})
text: nullif({text}, 'a')
int4: greatest({int4}, {int4}, 3)
text: least({text}, {text})
numeric: greatest({numeric}, {int4})
date: least({date}, {date})
"""

_MATHEMATICS: Final = """
numeric: round({numeric})
numeric: round({numeric}, 1)
float8: round({float8})
numeric: trunc({numeric})
numeric: trunc({numeric}, 1)
float8: trunc({float8})
float8: floor({float8})
numeric: floor({numeric})
float8: ceil({float8})
numeric: ceil({numeric})
numeric: ceiling({numeric})
float8: sign({float8})
numeric: sign({numeric})
!float8: sqrt({float8})
!numeric: sqrt({numeric})
!float8: power({float8}, {float8})
!numeric: power({numeric}, {numeric})
!float8: {float8} ^ {float8}
!float8: exp({float8})
!numeric: exp({numeric})
!float8: ln({float8})
!numeric: ln({numeric})
!float8: log({float8})
!numeric: log({numeric})
!int4: mod({int4}, {int4})
!numeric: mod({numeric}, {numeric})
!int4: div({int4}, {int4})
!numeric: div({numeric}, {numeric})
int4: gcd({int4}, {int4})
float8: pi()
float8: sin({float8})
float8: cos({float8})
float8: degrees({float8})
float8: radians({float8})
int4: {int4} & {int4}
int4: {int4} | {int4}
int4: {int4} # {int4}
int4: ~ {int4}
int4: {int4} << 2
int4: {int4} >> 1
int8: {int8} & {int8}
int4: width_bucket({numeric}, 0, 10, 5)
int4: scale({numeric})
numeric: trim_scale({numeric})
int4: min_scale({numeric})
int4: lcm({int4}, {int4})
numeric: gcd({numeric}, {numeric})
numeric: factorial(5)
!numeric: log(2.0, {numeric})
numeric: round(cbrt({float8})::numeric, 12)
numeric: round(atan2({float8}, {float8})::numeric, 12)
"""

_TEXTS: Final = """
text: {text} || {text}
text: {text} || {int4}
text: {varchar} || {text}
text: {numeric} || {text}
int4: length({text})
int4: length({bpchar})
int4: char_length({text})
int4: octet_length({text})
int4: bit_length({text})
text: upper({text})
text: lower({text})
text: initcap({text})
text: btrim({text})
text: ltrim({text})
text: rtrim({text})
text: btrim({text}, 'ab')
text: trim({text})
text: trim(both 'a' from {text})
text: trim(leading from {text})
text: substr({text}, 2)
text: substr({text}, 2, 1)
text: substring({text}, 1, 2)
text: substring({text} from 2 for 1)
text: substring({text} from 2)
text: left({text}, 2)
text: right({text}, 2)
text: left({text}, -1)
text: replace({text}, 'a', 'zz')
text: translate({text}, 'abc', 'xy')
text: reverse({text})
text: repeat({text}, 2)
text: lpad({text}, 5)
text: lpad({text}, 5, 'xy')
text: rpad({text}, 5, 'xy')
int4: position('b' in {text})
int4: strpos({text}, 'b')
text: concat({text}, {int4}, NULL)
text: concat_ws('-', {text}, {text})
!text: split_part({text}, ' ', 1)
int4: ascii({text})
!text: chr({int4})
text: md5({text})
text: quote_literal({text})
text: quote_ident({text})
text: quote_nullable({text})
bool: starts_with({text}, 'a')
bool: {text} LIKE 'a%'
bool: {text} LIKE '_b_'
bool: {text} NOT LIKE '%b%'
bool: {text} LIKE {text}
bool: {text} ILIKE 'A%'
bool: {text} NOT ILIKE '%B%'
bool: {text} LIKE 'x!_%' ESCAPE '!'
bool: {text} ~ '^a'
bool: {text} ~* 'B'
bool: {text} !~ 'b'
bool: {text} SIMILAR TO '(a|b)%'
text: regexp_replace({text}, 'b', 'X')
text: regexp_replace({text}, '[ab]', '<\\&>', 'g')
text: overlay({text} placing 'Z' from 2)
text: to_hex({int4})
text[]: regexp_split_to_array({text}, ' ')
text[]: regexp_match({text}, '(a)|(b+)')
text: substring({text} from '[a-z]+')
int4: regexp_count({text}, '[ab]')
bool: {text} ~ '^[[:alpha:]]+$'
bool: {text} NOT SIMILAR TO '_b%'
text: format('%s-%s', {text}, {int4})
text: format('%I %L', {text}, {text})
bool: {text} COLLATE "C" < {text}
text: {bpchar} || {text}
text: upper({varchar})
int4: length({varchar})
"""

_BYTES: Final = """
bytea: {bytea} || {bytea}
int4: length({bytea})
int4: octet_length({bytea})
text: encode({bytea}, 'hex')
text: encode({bytea}, 'base64')
text: encode({bytea}, 'escape')
bytea: decode('616263', 'hex')
bytea: substr({bytea}, 1, 2)
!int4: get_byte({bytea}, 0)
text: md5({bytea})
bytea: sha256({bytea})
bytea: convert_to({text}, 'UTF8')
!text: convert_from({bytea}, 'UTF8')
"""

_TIMES: Final = """
date: {date} + 3
date: {date} - {int4}
int4: {date} - {date}
timestamp: {date} + {interval}
timestamp: {date} - {interval}
timestamp: {date} + {time}
timestamp: {timestamp} + {interval}
timestamp: {timestamp} - {interval}
timestamptz: {timestamptz} + {interval}
timestamptz: {timestamptz} - {interval}
interval: {timestamp} - {timestamp}
interval: {timestamptz} - {timestamptz}
interval: {interval} + {interval}
interval: {interval} - {interval}
interval: - {interval}
interval: {interval} * 2
interval: {interval} * 1.5
interval: {interval} / 2
time: {time} + {interval}
interval: {time} - {time}
numeric: extract(year from {date})
numeric: extract(month from {timestamp})
numeric: extract(day from {timestamptz})
numeric: extract(hour from {timestamp})
numeric: extract(minute from {time})
numeric: extract(second from {timestamp})
numeric: extract(epoch from {timestamp})
numeric: extract(epoch from {timestamptz})
numeric: extract(epoch from {interval})
numeric: extract(dow from {date})
numeric: extract(doy from {date})
numeric: extract(week from {date})
numeric: extract(isodow from {timestamp})
numeric: extract(quarter from {date})
numeric: extract(day from {interval})
numeric: extract(month from {interval})
float8: date_part('year', {timestamp})
float8: date_part('day', {interval})
timestamp: date_trunc('month', {timestamp})
timestamp: date_trunc('hour', {timestamp})
timestamptz: date_trunc('day', {timestamptz})
interval: date_trunc('day', {interval})
interval: age({timestamp}, {timestamp})
date: make_date(2024, 2, 29)
timestamp: make_timestamp(2024, 2, 29, 1, 2, 3.5)
interval: make_interval(days => 3)
time: make_time(1, 2, 3.5)
timestamptz: to_timestamp({float8})
text: to_char({timestamp}, 'YYYY-MM-DD HH24:MI:SS')
text: to_char({date}, 'Mon DD, YYYY')
text: to_char({numeric}, 'FM999990.00')
date: to_date('2024-02-29', 'YYYY-MM-DD')
timestamptz: {timestamp} AT TIME ZONE 'UTC'
timestamp: {timestamptz} AT TIME ZONE 'UTC'
interval: justify_days({interval})
interval: justify_hours({interval})
interval: justify_interval({interval})
timestamp: date_bin('15 minutes', {timestamp}, '2001-01-01')
bool: isfinite({timestamp})
bool: ({date}, {date}) OVERLAPS ({date}, {date})
bool: now() = transaction_timestamp()
bool: current_date = now()::date
bool: clock_timestamp() >= now()
bool: current_timestamp = now()
"""

_JSON: Final = """
jsonb: {jsonb} -> 'a'
text: {jsonb} ->> 'a'
jsonb: {jsonb} -> 0
text: {jsonb} ->> 1
json: {json} -> 'a'
text: {json} ->> 'a'
jsonb: {jsonb} #> '{b,2}'
text: {jsonb} #>> '{b,2,c}'
bool: {jsonb} @> '{"a": 1}'
bool: {jsonb} <@ '[1, 2, 3]'
bool: {jsonb} ? 'a'
bool: {jsonb} ?| array['a', 'x']
bool: {jsonb} ?& array['a', 'b']
!jsonb: {jsonb} || '{"z": 0}'
!jsonb: {jsonb} - 'a'
text: jsonb_typeof({jsonb})
text: json_typeof({json})
!int4: jsonb_array_length({jsonb})
jsonb: to_jsonb({int4})
jsonb: to_jsonb({text})
json: to_json({text})
jsonb: jsonb_build_object('k', {int4}, 'l', {text})
json: json_build_object('k', {int4})
jsonb: jsonb_build_array({int4}, {text}, NULL)
jsonb: jsonb_strip_nulls({jsonb})
!jsonb: jsonb_set({jsonb}, '{a}', '5')
text: jsonb_pretty({jsonb})
json: to_json({timestamp})
jsonb: to_jsonb({int4[]})
json: json_build_array({date}, {numeric}, {bool})
!jsonb: {jsonb} #- '{b,0}'
text: jsonb_extract_path_text({jsonb}, 'a')
"""

_ARRAYS: Final = """
bool: {int4} = ANY({int4[]})
bool: {int4} = ANY(ARRAY[1, 2, 3])
bool: {text} = ANY({text[]})
bool: {int4} <> ALL({int4[]})
bool: {int4} > ANY({int4[]})
int4: {int4[]}[1]
text: {text[]}[2]
int4: array_length({int4[]}, 1)
int4: cardinality({int4[]})
int4[]: ARRAY[{int4}, {int4}]
text[]: ARRAY[{text}, 'x']
int4[]: {int4[]} || {int4[]}
int4[]: {int4[]} || {int4}
int4[]: array_append({int4[]}, {int4})
int4[]: array_prepend({int4}, {int4[]})
int4[]: array_cat({int4[]}, {int4[]})
int4[]: array_remove({int4[]}, 2)
int4: array_position({int4[]}, 2)
text: array_to_string({text[]}, ',')
text[]: string_to_array({text}, ' ')
bool: {int4[]} @> {int4[]}
bool: {int4[]} <@ {int4[]}
bool: {int4[]} && {int4[]}
int4[]: {int4[]}[1:2]
int4[]: {int4[]}[2:]
int4[]: array_replace({int4[]}, 2, {int4})
int4[]: array_positions({int4[]}, 2)
text: array_to_string({int4[]}, ',', '*')
int4: array_upper({int4[]}, 1)
int4: array_lower({int4[]}, 1)
"""

_AGGREGATES: Final = """
int8: count(*)
int8: count({int4})
int8: count(DISTINCT {int4})
int8: count(DISTINCT {text})
int8: sum({int2})
int8: sum({int4})
numeric: sum({int8})
numeric: sum({numeric})
float8: sum({float8})
float4: sum({float4})
numeric: avg({int4})
numeric: avg({int8})
numeric: avg({numeric})
float8: avg({float8})
int8: sum(DISTINCT {int4})
interval: sum({interval})
bool: bool_and({bool})
bool: bool_or({bool})
bool: every({bool})
text: string_agg({text}, ',' ORDER BY {text})
int4[]: array_agg({int4} ORDER BY {int4})
jsonb: jsonb_agg({int4} ORDER BY {int4})
int8: count(*) FILTER (WHERE {bool})
int8: sum({int4}) FILTER (WHERE {bool})
numeric: stddev({int4})
numeric: variance({int4})
numeric: var_pop({int4})
int4: bit_and({int4})
int4: bit_or({int4})
numeric: stddev({numeric})
text: string_agg(DISTINCT {text}, ',')
json: json_agg({text} ORDER BY {text})
float8: percentile_cont(0.5) WITHIN GROUP (ORDER BY {int4})
int4: percentile_disc(0.5) WITHIN GROUP (ORDER BY {int4})
int4: mode() WITHIN GROUP (ORDER BY {int4})
"""


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


EXPRESSIONS: Final = (
    *_lines("logic", _LOGIC),
    *_lines("comparisons", _comparisons()),
    *_lines("arithmetic", _arithmetic()),
    *_lines("mathematics", _MATHEMATICS),
    *_lines("text", _TEXTS),
    *_lines("bytea", _BYTES),
    *_lines("dates and times", _TIMES),
    *_lines("JSON", _JSON),
    *_lines("arrays", _ARRAYS),
    *_lines("casts", _casts()),
    *_lines("aggregates", _AGGREGATES, is_aggregate=True),
    *_lines("aggregates", _extremes(), is_aggregate=True),
)
