"""PostgreSQL's functions, and SQLite's made deterministic."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nodes.functions import FUNCTIONS, Environment, FunctionError, install
from nodes.protocol import Value

NOW_US = 1_767_225_600_123_456  # 2026-01-01 00:00:00.123456 UTC
RANGES = {"int2": (15, "smallint"), "int4": (31, "integer"), "int8": (63, "bigint")}


class Database:
    """An in-memory database with the functions installed."""

    def __init__(self) -> None:
        self.environment = Environment()
        self.calculator = sqlite3.connect(":memory:")
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        install(self.connection, self.environment, self.calculator)

    def value(self, sql: str, *parameters: Value) -> Value:
        value: Value = self.connection.execute(f"SELECT {sql}", parameters).fetchone()[0]
        return value

    def error(self, sql: str, *parameters: Value) -> tuple[str, str]:
        with pytest.raises(sqlite3.OperationalError):
            self.value(sql, *parameters)
        error = self.environment.take_error()
        assert error is not None
        assert self.environment.take_error() is None
        return error.sqlstate, error.message

    def close(self) -> None:
        self.connection.close()
        self.calculator.close()


@pytest.fixture
def db() -> Iterator[Database]:
    database = Database()
    yield database
    database.close()


# --------------------------------------------------------------------------- arithmetic


@given(
    st.sampled_from(["int2", "int4", "int8"]),
    st.sampled_from(["add", "sub", "mul", "div", "mod"]),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(-(1 << 63), (1 << 63) - 1),
)
@example("int8", "div", -(1 << 63), -1)
@example("int4", "mod", -(1 << 31), -1)
@example("int4", "div", -7, 2)
@example("int4", "mod", -7, 2)
@example("int8", "div", 0, 0)
def test_integers_as_exact_numbers_in_a_range(suffix: str, op: str, a: int, b: int) -> None:
    bits, name = RANGES[suffix]
    a, b = a >> (63 - bits), b >> (63 - bits)
    exact: int | None
    if op in ("div", "mod"):
        exact = None if b == 0 else math.trunc(Fraction(a, b))
        if exact is not None and op == "mod":
            exact = a - b * exact
    else:
        exact = {"add": a + b, "sub": a - b, "mul": a * b}[op]
    call = FUNCTIONS[f"pg_{op}_{suffix}"].call
    if exact is None:
        with pytest.raises(FunctionError, match="division by zero") as caught:
            call(a, b)
        assert caught.value.sqlstate == "22012"
    elif not -(1 << bits) <= exact < 1 << bits:
        with pytest.raises(FunctionError, match=f"^{name} out of range$") as caught:
            call(a, b)
        assert caught.value.sqlstate == "22003"
    else:
        assert call(a, b) == exact


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("pg_add_int4(1, NULL)", None),
        ("pg_neg_int2(5)", -5),
        ("pg_abs_int8(-5)", 5),
        ("pg_cast_int4(' 12 ')", 12),
        ("pg_cast_int4(2.5)", 2),
        ("pg_cast_int4(3.5)", 4),
        ("pg_cast_int4(-2.5)", -2),
        ("pg_cast_float8('1e3')", 1000.0),
        ("pg_cast_float8(3)", 3.0),
        ("pg_cast_bool('yes')", 1),
        ("pg_cast_bool(7)", 1),
        ("pg_add_float8(0.1, 0.2)", 0.1 + 0.2),
        ("pg_sub_float8(1, 0.5)", 0.5),
        ("pg_div_float8(1.0, 4)", 0.25),
        ("pg_text_bool(1)", "true"),
        ("pg_text_float8(1e20)", "1e+20"),
        ("pg_text_int8(-9223372036854775807)", "-9223372036854775807"),
        ("pg_length_text('h\u00e9')", 2),
        ("lower('\u00c9A')", "\u00e9a"),
        ("upper('\u00e9a')", "\u00c9A"),
        ("pg_like_text('Abc', 'A_c')", 1),
        ("pg_like_text('Abc', 'a%')", 0),
        ("pg_ilike_text('Abc', 'a%')", 1),
        ("pg_like_text('a%c', 'a\\%c')", 1),
        ("pg_like_text('abc', 'a\\%c')", 0),
        ("pg_like_text('a\nb', 'a%b')", 1),
        ("pg_like_text('', '')", 1),
        ("pg_like_text('aXbXc', '%X%c')", 1),
        ("pg_like_text('ab', 'ab%b')", 0),
        ("pg_like_text('a.c', 'a.c')", 1),
        ("pg_like_text('abc', 'a.c')", 0),
    ],
)
def test_values(db: Database, sql: str, value: Value) -> None:
    got = db.value(sql)
    assert (got, type(got)) == (value, type(value))


@pytest.mark.parametrize(
    ("sql", "sqlstate", "message"),
    [
        ("pg_neg_int2(-32768)", "22003", "smallint out of range"),
        ("pg_add_int4(2147483647, 1)", "22003", "integer out of range"),
        ("pg_mul_int8(9223372036854775807, 2)", "22003", "bigint out of range"),
        ("pg_div_int4(1, 0)", "22012", "division by zero"),
        ("pg_mod_int4(1, 0)", "22012", "division by zero"),
        ("pg_div_float8(1.0, 0)", "22012", "division by zero"),
        ("pg_mul_float8(1e300, 1e300)", "22003", "value out of range: overflow"),
        ("pg_mul_float8(1e-300, 1e-300)", "22003", "value out of range: underflow"),
        ("pg_cast_int4('abc')", "22P02", 'invalid input syntax for type integer: "abc"'),
        ("pg_cast_int2('40000')", "22003", 'value "40000" is out of range for type smallint'),
        ("pg_cast_int4(1e300)", "22003", "integer out of range"),
        ("pg_cast_bool('maybe')", "22P02", 'invalid input syntax for type boolean: "maybe"'),
        ("pg_cast_float8('x')", "22P02", 'invalid input syntax for type double precision: "x"'),
        ("pg_like_text('ab', 'a\\')", "22025", "LIKE pattern must not end with escape character"),
        ("pg_add_int4('1', 1)", "42804", "an integer was expected, not str"),
        ("randomblob(10000000)", "54000", "randomblob is limited to 1048576 bytes"),
        (
            "datetime('now', 'localtime')",
            "0A000",
            "the modifier localtime depends on the machine's time zone",
        ),
        ("date(x'6e6f77')", "42804", "text was expected, not bytes"),
    ],
)
def test_errors_keep_their_type(db: Database, sql: str, sqlstate: str, message: str) -> None:
    assert db.error(sql) == (sqlstate, message)


@given(
    st.text("ab%_\\", max_size=8).filter(lambda p: not p.replace("\\\\", "").endswith("\\")),
    st.text("ab%_", max_size=8),
)
def test_like_against_its_definition(pattern: str, text: str) -> None:
    def matches(p: str, t: str) -> bool:
        if not p:
            return not t
        if p[0] == "%":
            return matches(p[1:], t) or (bool(t) and matches(p, t[1:]))
        if p[0] == "\\":
            return t[:1] == p[1] and matches(p[2:], t[1:])
        return bool(t) and p[0] in ("_", t[0]) and matches(p[1:], t[1:])

    assert FUNCTIONS["pg_like_text"].call(text, pattern) == matches(pattern, text)


def test_like_does_not_explode() -> None:
    assert not FUNCTIONS["pg_like_text"].call("a" * 10_000, "%a" * 50 + "%b")


# --------------------------------------------------------------------------- time and chance

_TABLE = """CREATE TABLE t (
    id INTEGER PRIMARY KEY, r DEFAULT (random()), b DEFAULT (randomblob(4)),
    at DEFAULT current_timestamp, day DEFAULT current_date, hour DEFAULT current_time,
    s DEFAULT (strftime('%s', 'now')), j DEFAULT (julianday())) STRICT"""


def _fill(db: Database) -> list[tuple[Value, ...]]:
    db.connection.execute(_TABLE.replace(" DEFAULT", " ANY DEFAULT"))
    for ordinal in range(3):
        db.environment.begin(NOW_US, 42, ordinal)
        db.connection.execute("INSERT INTO t (id) VALUES (?1), (?1 + 1)", (10 * ordinal,))
    db.environment.begin(NOW_US, 42, 3)
    db.connection.execute("INSERT INTO t (id, r) SELECT 100 + id, r FROM t ORDER BY random()")
    return db.connection.execute("SELECT * FROM t").fetchall()


def test_two_replicas_compute_the_same_rows_whenever_they_run() -> None:
    one, two = Database(), Database()
    rows = _fill(one)
    two.value("random()")  # what ran before leaves no trace
    assert _fill(two) == rows
    assert rows[0][3:7] == ("2026-01-01 00:00:00", "2026-01-01", "00:00:00", "1767225600")
    assert len({row[1] for row in rows[:6]}) == 6, "every statement has its own sequence"
    one.close()
    two.close()


def test_time_is_the_entrys(db: Database) -> None:
    db.environment.begin(NOW_US, 0, 0)
    assert db.value("datetime()") == "2026-01-01 00:00:00"
    assert db.value("datetime('NOW', '+1 day', 'start of month')") == "2026-01-01 00:00:00"
    assert db.value("strftime('%Y-%f', 'now')") == "2026-00.123"
    assert db.value("date('2020-02-28', '+1 day')") == "2020-02-29"
    assert db.value("unixepoch()") == 1767225600
    assert db.value("date(?)", "now\0x") == "2026-01-01"
    assert db.value("date(NULL)") is None
    db.environment.begin(0, 0, 0)
    assert db.value("current_timestamp") == "1970-01-01 00:00:00"


def test_random_is_a_signed_64_bit_integer(db: Database) -> None:
    db.environment.begin(0, 1, 0)
    values = [db.value("random()") for _ in range(100)]
    assert all(isinstance(v, int) and -(1 << 63) <= v < 1 << 63 for v in values)
    assert any(isinstance(v, int) and v < 0 for v in values)
    db.environment.begin(0, 1, 1)
    assert db.value("random()") not in values
    db.environment.begin(0, 1, 0)
    assert db.value("random()") == values[0]


# --------------------------------------------------------------------------- what is drawn


def test_uuids_of_version_7_grow_within_a_statement_and_are_the_same_on_every_replica(
    db: Database,
) -> None:
    def drawn(seed: int) -> list[bytes]:
        db.environment.begin(NOW_US, seed, 0)
        rows = db.connection.execute(
            "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
            "SELECT pg_uuid_v7() FROM n"
        )
        return [value for (value,) in rows]

    made = drawn(7)
    assert made == drawn(7) == sorted(made)
    assert not set(made) & set(drawn(8))
    first, later = made[0], made[4096]  # more than the count holds: of the next millisecond
    assert int.from_bytes(first[:6], "big") == NOW_US // 1000
    assert int.from_bytes(later[:6], "big") == NOW_US // 1000 + 1
    assert {(each[6] >> 4, each[8] >> 6) for each in made} == {(7, 2)}
