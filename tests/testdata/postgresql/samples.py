"""What a real PostgreSQL is asked: texts of each type, values to sort, expressions."""

from __future__ import annotations

import random
from pathlib import Path

_rng = random.Random(15)


def _numeric() -> str:
    whole = _rng.choice(
        ("", "0", "7", "12", "1000000", str(_rng.getrandbits(_rng.randrange(1, 90))))
    )
    fraction = _rng.choice(("", "0", "50", "001", str(_rng.getrandbits(_rng.randrange(1, 60)))))
    return f"{_rng.choice(('', '-'))}{whole or '0'}{'.' + fraction if fraction else ''}"


def _float() -> str:
    return repr(_rng.uniform(-1, 1) * 10.0 ** _rng.randrange(-40, 40))


NUMERICS = (
    *("0", "-0", "0.00", "1.50", "1.5", "-1.5", "10000", "100000000", "0.0001", "0.00010", "1e3"),
    *("1e-3", "1.5E+2", " 12 ", "NaN", "nan", "Infinity", "-inf", ".5", "5.", "+7", "1e131071"),
    *("99999999999999999999999999999999.99999999999", "123456789.987654321", "9999.9999"),
    *(_numeric() for _ in range(60)),
)
FLOATS = (
    *("0", "-0", "1", "0.1", "1e15", "1e14", "123456789012345", "1234567890123456", "1e-5"),
    *("0.0001", "1e300", "-1e-300", "Infinity", "-inf", " 1.5 ", "1e6", "999999", "1000000"),
    *("3.4028235e38", "1e39", "1e-46", "1.4e-45", "16777217", "0.3", "33554435", "1.17549435e-38"),
    *(_float() for _ in range(60)),
)
DATES = (
    *("2024-02-29", "1999-01-08", "0001-01-01", "4714-11-24 BC", "5874897-12-31", "infinity"),
    *(
        "-infinity",
        "epoch",
        "19990108",
        "1/8/1999",
        "January 8, 1999",
        "1999-Jan-08",
        "Jan-08-1999",
    ),
    *("08-Jan-1999", "8 Jan 1999", "2000-01-01 13:45", "1/18/99", "0044-03-15 BC", "1900-02-28"),
    *("1999-1-8", "10000-01-01", "2024-12-31", "1970-01-01", " 2020-05-05 ", "990108"),
)
BAD_DATES = (
    *("2023-02-29", "2023-13-01", "2023-00-10", "x", "", "2023-02-32", "5874898-01-01"),
    *("4714-11-23 BC", "2023", "2023-01", "13/13/2023", "0000-01-01"),
)
TIMES = (
    *(
        "04:05:06.789",
        "04:05:06",
        "04:05",
        "040506",
        "04:05 AM",
        "04:05 PM",
        "12:00 AM",
        "12:30 PM",
    ),
    *(
        "24:00:00",
        "00:00:00",
        "23:59:59.9999999",
        "23:59:60",
        "1:2:3",
        "00:00:00.000001",
        "allballs",
    ),
)
BAD_TIMES = ("25:00", "12:60", "x", "", "24:00:01", "13:00 PM", "12:00:61")
STAMPS = (
    *("2024-02-29 12:34:56.789", "1999-01-08 04:05:06", "1999-01-08T04:05:06", "infinity"),
    *("-infinity", "epoch", "2000-01-01", "294276-12-31 23:59:59.999999", "4714-11-24 00:00:00 BC"),
    *("1999-01-08 04:05:06+02", "1999-01-08 04:05:06 -08:00", "1999-01-08 04:05:06Z"),
    *("1999-01-08 04:05:06+0530", "1999-01-08 04:05:06.1234567", "Jan 8 1999 04:05 PM"),
    *("2024-06-30 23:59:60", "0044-03-15 12:00 BC", "20240229T123456", "1/8/1999 01:02"),
    *("1999-01-08 24:00", "1969-12-31 23:59:59.5", "1999-01-08 04:05:06 UTC", "2024-02-29 1:2"),
)
BAD_STAMPS = (
    *("2024-02-30 00:00", "x", "", "2024-01-01 25:00", "294277-01-01", "4714-11-23 BC"),
    *("2024-13-01 00:00", "2024-01-01 00:00:00+16"),
)
INTERVALS = (
    *(
        "1 year 2 mons 3 days 04:05:06.789",
        "1 day",
        "-1 day",
        "1 mon -1 day",
        "-1 mon +1 day 01:00",
    ),
    *("00:00:00", "1.5 days", "1.5 hours", "1.5 years", "0.5 mon", "1.25 weeks", "3 4:05:06"),
    *(
        "P1Y2M3DT4H5M6S",
        "PT36H",
        "P1W",
        "1-2",
        "-1-2",
        "@ 1 minute ago",
        "10",
        "2 hours 30 minutes",
    ),
    *("-04:05:06.7", "100 years", "13 mons", "1 millennium", "1 us", "1.5 ms", "36:00", "30 days"),
    *("1 mon", "24:00", "1 week", "1 decade", "12 mons", "360 days", "-30 days", "1 day -24:00"),
    *("04:05", "1y2mon", "0.1 sec", "-0.5 sec", "1 day 12 hours", "99999:00:00"),
)
BAD_INTERVALS = ("x", "", "1 fortnight", "1 day 1 day", "2147483648 days", "1:60:00", "P", "1 2")
BYTES = ("\\x", "\\xDEADbeef", "abc", "a\\\\b", "\\000\\377", "\\x01 02", "é", "\\xffee00")
UUIDS = (
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
    "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
    "a0eebc999c0b4ef8bb6d6bb9bd380a11",
    "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
)

JSONS = (
    *('{"b": 1, "a": 2}', '{"a":1,"a":2}', "[1, 2.50, 1e3]", '"x"', "null", "true", "1.5", "{}"),
    *(
        '{"aa": 1, "b": {"c": [null, false]}}',
        "[]",
        "  [1 ,2]  ",
        '"\\u00e9\\n\\"/"',
        '"a\\/b"',
        "-0",
    ),
    *(
        '{"": 0}',
        "[[]]",
        "[{}]",
        '["a", "b"]',
        '{"a": [1]}',
        '{"a": 1, "b": 2}',
        "1.50",
        '"\\u0001"',
    ),
    *("0.1e-3", "12345678901234567890", '{"ä": "ö"}', "[1]", "[2]", '[1, "a"]', "false", '"y"'),
)
BAD_JSONS = ("", "x", "{", "[1,]", '{"a"}', "{1:2}", "'a'", "01", "NaN", '"\\x"', "[1 2]", "tru")

TEXTS = {
    "int2": ("0", "-32768", "32767", " 5 ", "+7", "32768", "x", "", "1.0", "99999999999999999999"),
    "int4": ("0", "-2147483648", "2147483647", "2147483648", "0x10", "1e3"),
    "int8": ("0", "-9223372036854775808", "9223372036854775807", "9223372036854775808", "- 1"),
    "numeric": (*NUMERICS, "x", "", "1e", "1.2.3", "1e200000", "--1", "1_000", "0x1"),
    "float4": (*FLOATS, "x", "", "1e", "1e400"),
    "float8": (*FLOATS, "x", "", "1e400", "1e-400", "1.2.3"),
    "bool": ("t", "TRUE", "yes", "on", "1", "f", "no", "off", "0", " tr ", "o", "2", "", "truer"),
    "text": ("", "abc", "é ", "a\nb"),
    "varchar": ("", "abc "),
    "bpchar": ("", "abc ", "  x"),
    "bytea": (*BYTES, "\\xabc", "\\xzz", "\\9", "\\"),
    "uuid": (*UUIDS, "x", "", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", "{a0eebc99"),
    "date": (*DATES, *BAD_DATES),
    "time": (*TIMES, *BAD_TIMES),
    "timestamp": (*STAMPS, *BAD_STAMPS),
    "timestamptz": (*STAMPS, *BAD_STAMPS),
    "interval": (*INTERVALS, *BAD_INTERVALS),
    "json": (*JSONS, *BAD_JSONS, '"\\u0000"', '"\\ud800"'),
    "jsonb": (*JSONS, *BAD_JSONS, '"\\u0000"', '"\\ud800"'),
    "_int4": (
        "{}",
        "{1,2,3}",
        " { 1 , NULL , 3 } ",
        "{1}",
        "{3,1}",
        "{1,2",
        "{1,,2}",
        "1,2",
        "{x}",
    ),
    "_text": (
        *("{}", "{a,b}", '{"a b",c}', '{"NULL",NULL}', '{""}', '{"a\\\\b","q\\""}', "{a b}", "{é}"),
        *("{a\\,b}", '{"a,b"}', "{", "}", "{a}x", '{"a}', "{ab }", "{null}"),
    ),
    "_numeric": ("{1.50,2}", "{1.5,2.0}", "{NaN}", "{1.5}", "{}"),
    "_bool": ("{t,f}", "{true}", "{}"),
    "_float8": ("{1,2.5,Infinity}", "{-inf,1e20}", "{0.1}"),
    "_bytea": ('{"\\\\x01","\\\\xff"}', "{}", '{"\\\\x"}'),
    "_uuid": ("{00000000-0000-0000-0000-000000000007}", "{}"),
    "_date": ("{2024-01-01,1999-01-08}", "{infinity}"),
    "_timestamptz": ('{"2024-01-01 00:00:00+00"}', "{}"),
    "_interval": ('{"1 mon"}', '{"30 days"}', '{"1 day",02:00}'),
    "_jsonb": ('{"{\\"a\\": 1}",null}', '{"[1,2]"}', "{1.0}", "{1}"),
}

ORDERED = {
    "text": ("", "a", "B", "b", "ä", "a ", "aa", "10", "9", "z", "\U0001f600", "\uffee"),
    "bpchar": ("", "a", "a ", "B", "b  ", "b", "aa"),
}
"""Besides those of TEXTS that are values."""


def _arithmetic() -> list[str]:
    found = []
    for _ in range(150):
        symbol = _rng.choice("+-*/%")
        found.append(f"'{_numeric()}'::numeric {symbol} '{_numeric()}'::numeric")
    for _ in range(60):
        symbol = _rng.choice("+-*/")
        kinds = _rng.choice((("float4", "float4"), ("float8", "float8"), ("float4", "float8")))
        left, right = (repr(_rng.uniform(-1, 1) * 10.0 ** _rng.randrange(-18, 18)) for _ in "ab")
        found.append(f"'{left}'::{kinds[0]} {symbol} '{right}'::{kinds[1]}")
    for _ in range(60):
        symbol = _rng.choice(("+", "-", "*", "/", "%", "&", "|", "#", "<<", ">>"))
        kind = _rng.choice((("int2", 16), ("int4", 32), ("int8", 64)))
        first = _rng.getrandbits(kind[1] - 1) >> _rng.randrange(kind[1])
        second = _rng.getrandbits(kind[1] - 1) >> _rng.randrange(kind[1])
        if symbol in ("<<", ">>"):
            found.append(f"'{first}'::{kind[0]} {symbol} {second % kind[1]}")
        else:
            found.append(f"'{first}'::{kind[0]} {symbol} '-{second}'::{kind[0]}")
    for _ in range(40):
        left, right = _rng.choice(STAMPS[:3]), _rng.choice(INTERVALS)
        symbol = _rng.choice("+-")
        found.append(f"'{left}'::timestamp {symbol} '{right}'::interval")
    for _ in range(30):
        left, right = _rng.choice(INTERVALS), _rng.choice(INTERVALS)
        found.append(f"'{left}'::interval {_rng.choice('+-')} '{right}'::interval")
    for _ in range(40):
        factor = _rng.choice(("2", "0.5", "-1", "3", "1.1", "0.333"))
        found.append(f"'{_rng.choice(INTERVALS)}'::interval {_rng.choice('*/')} '{factor}'::float8")
    return found


EXPRESSIONS = (
    *_arithmetic(),
    *(Path(__file__).parent / "expressions.txt").read_text("utf-8").splitlines(),
)
