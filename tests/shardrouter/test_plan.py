"""Plans, as transcripts; and binding arguments to them."""

from __future__ import annotations

import os
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.pgtypes.numerics import numeric_modifier
from nodes.protocol import Value
from nodes.values import BOOL, FLOAT8, INT2, INT4, INT8, TEXT, canonical_key, slot_of
from shardrouter.errors import RouterError, StatementError
from shardrouter.plan import (
    UnknownTable,
    bind,
    make_plan,
    parameter_oids,
    result_columns,
    slots,
)
from shardrouter.planned import OneShard, ResultColumn, Scatter
from tests.shardrouter.catalogs import catalog_of
from tests.shardrouter.planning import PlannedCluster
from tests.shardrouter.transcript import replay

TRANSCRIPTS = sorted((Path(__file__).parent.parent / "testdata" / "plan").glob("*.txt"))

CATALOG = catalog_of(
    "CREATE TABLE t (id int PRIMARY KEY, b text, f float8, n bigint, s smallint, ok bool)",
    "CREATE TABLE u (k varchar, j int, x int, PRIMARY KEY (k, j))",
)


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path) -> None:
    expected, actual = replay(path)
    if os.environ.get("REWRITE"):
        path.write_text(actual, encoding="utf-8")
        return
    assert actual == expected


def test_there_are_transcripts() -> None:
    assert len(TRANSCRIPTS) >= 5


# --------------------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("sql", "oids"),
    [
        ("SELECT id FROM t WHERE id = $1", [INT4]),
        ("SELECT id FROM t WHERE $1 = n", [INT8]),
        ("SELECT id FROM t WHERE f < $1 AND ok = $2", [FLOAT8, BOOL]),
        ("SELECT id FROM t WHERE s IN ($1, $2)", [INT2, INT2]),
        ("SELECT id FROM t WHERE id BETWEEN $1 AND $2", [INT4, INT4]),
        ("SELECT id FROM t WHERE b = $1 || 'x'", [TEXT]),
        ("SELECT n + $1 FROM t LIMIT $2 OFFSET $3", [INT8, INT8, INT8]),
        ("SELECT $1 FROM t", [TEXT]),
        ("SELECT id FROM t WHERE id = $1::bigint", [INT8]),
        ("SELECT id FROM t WHERE $1", [BOOL]),
        ("SELECT j FROM u WHERE k = $1", [TEXT]),
        ('SELECT $1 COLLATE "C" + 1, coalesce(b, $2 COLLATE "C") FROM t', [INT4, TEXT]),
        ("SELECT $1 IN ('a'::varchar, $2)", [TEXT, 1043]),
        ("INSERT INTO u VALUES ($1, $2, $2 + 1)", [1043, INT4]),
        ("INSERT INTO t (ok, id, f) VALUES ($1, $2, $3)", [BOOL, INT4, FLOAT8]),
        ("UPDATE t SET f = $1 WHERE id = $2", [FLOAT8, INT4]),
    ],
)
def test_parameters_take_the_type_of_what_they_meet(sql: str, oids: list[int]) -> None:
    assert list(parameter_oids(make_plan(sql, CATALOG))) == oids


def test_a_declared_type_is_kept() -> None:
    plan = make_plan("SELECT id FROM t WHERE id = $1", CATALOG, (INT8,))
    assert parameter_oids(plan) == (INT8,)
    assert isinstance(plan, OneShard)


def test_a_declared_type_that_compares_in_another_kind_does_not_route() -> None:
    """id = $1::float8 compares floats: 1.5 must find no row, not the slot of a truncated key."""
    plan = make_plan("SELECT id FROM t WHERE id = $1", CATALOG, (FLOAT8,))
    assert isinstance(plan, Scatter)
    assert not plan.fragments[0].keys


def test_a_declared_type_that_does_not_compare_is_an_error() -> None:
    with pytest.raises(StatementError) as error:
        make_plan("SELECT id FROM t WHERE id = $1", CATALOG, (TEXT,))
    assert error.value.sqlstate == "42883"


@pytest.mark.parametrize(
    ("sql", "oids", "sqlstate"),
    [
        ("SELECT id FROM t WHERE id = $2", (), "42P18"),
        ("SELECT id FROM t WHERE $1 IS NULL", (), "42P18"),
        ("SELECT id FROM t WHERE id = 1", (INT4,), "42P18"),
        ("SELECT id FROM t WHERE id = $0", (), "42P02"),
        ("SELECT id FROM t WHERE id = $70000", (), "42P02"),
        ("SELECT id FROM t WHERE id = $40000", (), "0A000"),
        ("SELECT id FROM t WHERE id = $1", (790,), "0A000"),
        ("SELECT id FROM t WHERE b = $1 AND id = $1", (), "42883"),
        ("SELECT id FROM t WHERE id IN (SELECT $1)", (), "42883"),
        ('SELECT $1 COLLATE "C" UNION SELECT 1', (), "42P18"),
        ("SELECT b FROM t UNION ALL SELECT 'a' UNION ALL SELECT ($1 COLLATE \"C\")", (), "42P18"),
        (
            'WITH RECURSIVE n (c) AS (SELECT $1 COLLATE "C" UNION ALL SELECT c FROM n) TABLE n',
            (),
            "42P18",
        ),
        (
            """WITH RECURSIVE n (c) AS (SELECT 'a' COLLATE "C" UNION SELECT $1 COLLATE "C" FROM n)
            TABLE n""",
            (),
            "42P18",
        ),
        ('INSERT INTO t (id, b) SELECT 1, $1 COLLATE "C"', (), "42P18"),
        ("SELECT $1 IN ('a'::varchar, $2, $1)", (), "42P08"),
        ("SELECT $1 NOT IN ($1, 'a'::varchar, 'b')", (), "42P08"),
    ],
)
def test_parameters_that_cannot_be_typed(sql: str, oids: tuple[int, ...], sqlstate: str) -> None:
    with pytest.raises(RouterError) as error:
        make_plan(sql, CATALOG, oids)
    assert error.value.sqlstate == sqlstate


@pytest.mark.parametrize(
    ("sql", "sqlstate"),
    [
        ("SELECT 'abc'::text::int", "22P02"),
        ("SELECT 'abc'::text::int, nowhere", "42703"),
        ("SELECT 1 / 0, to_char('1', '2')", "42725"),
        ("SELECT 1 / 0, 'a'::int", "22P02"),
        ("SELECT 1 / 0, 2147483648::int", "22012"),
        ("SELECT 'abc'::int, nowhere", "22P02"),
        ("SELECT array_agg('{}'::json ORDER BY 'null'::jsonb)", "0A000"),
        ("SELECT ('abc'::name)[1]", "0A000"),
        ("SELECT jsonb_agg(1 ORDER BY 'null'::json) FROM t", "42883"),
        ("SELECT sum(b ORDER BY 'null'::json) FROM t", "42883"),
    ],
)
def test_a_constant_is_computed_when_all_is_understood(sql: str, sqlstate: str) -> None:
    with pytest.raises(RouterError) as error:
        make_plan(sql, CATALOG)
    assert error.value.sqlstate == sqlstate


@pytest.mark.parametrize(
    ("value", "oid", "bound"),
    [(1, FLOAT8, 1.0), (5, INT2, 5), ("é", TEXT, "é"), (True, BOOL, True), (None, INT4, None)],
)
def test_an_argument_becomes_what_its_column_stores(value: Value, oid: int, bound: Value) -> None:
    plan = OneShard("SELECT", (("t", 1),), "", "integer", (), True, parameter_oids=(oid,))
    (found,) = bind(plan, (value,))
    assert found == bound
    assert type(found) is type(bound)


@pytest.mark.parametrize(
    ("arguments", "oids", "sqlstate"),
    [
        ((), (INT4,), "08P01"),
        ((1, 2), (INT4,), "08P01"),
        ((1 << 31,), (INT4,), "22003"),
        ((-(1 << 63) - 1,), (INT8,), "22003"),
        ((1 << 15,), (INT2,), "22003"),
        (("1",), (INT4,), "42804"),
        ((True,), (INT4,), "42804"),
        ((1,), (BOOL,), "42804"),
        ((1.0,), (INT4,), "42804"),
        ((b"x",), (TEXT,), "42804"),
        (("a\0b",), (TEXT,), "22021"),
        (("\ud800",), (TEXT,), "22021"),
        ((float("nan"),), (FLOAT8,), "0A000"),
        ((10**400,), (FLOAT8,), "22003"),
    ],
)
def test_an_argument_that_sqlite_would_alter_is_refused(
    arguments: tuple[Value, ...], oids: tuple[int, ...], sqlstate: str
) -> None:
    plan = OneShard("SELECT", (("t", 1),), "", "integer", (), True, parameter_oids=oids)
    with pytest.raises(RouterError) as error:
        bind(plan, arguments)
    assert error.value.sqlstate == sqlstate


@pytest.mark.parametrize("sql", ["SELECT id FROM t", "SELECT id FROM t WHERE id = 1"])
def test_a_negative_limit_is_an_error_and_not_no_limit(sql: str) -> None:
    plan = make_plan(sql + " LIMIT $1 OFFSET $2", CATALOG)
    assert bind(plan, (None, None)) == (None, None)
    for arguments, sqlstate in (((-1, 0), "2201W"), ((0, -1), "2201X")):
        with pytest.raises(StatementError) as error:
            bind(plan, arguments)
        assert error.value.sqlstate == sqlstate


# --------------------------------------------------------------------------- routing


def slot(value: Value, kind: str) -> int:
    return slot_of(canonical_key(value, kind))


def slots_of(sql: str, *arguments: Value) -> tuple[int, ...]:
    plan = make_plan(sql, CATALOG)
    assert isinstance(plan, OneShard | Scatter)
    asked = plan.fragments[0] if isinstance(plan, Scatter) else plan
    return slots(asked, bind(plan, arguments))


def test_constants_and_parameters_of_one_value_have_one_slot() -> None:
    wanted = (slot(5, "integer"),)
    assert slots_of("SELECT * FROM t WHERE id = 5") == wanted
    assert slots_of("SELECT * FROM t WHERE '5' = id") == wanted
    assert slots_of("SELECT * FROM t WHERE id = $1", 5) == wanted
    assert slots_of("SELECT * FROM t WHERE id = $1::bigint", 5) == wanted
    assert slots_of("DELETE FROM t WHERE (id = 4 + 1) AND (ok)") == wanted
    assert slots_of("INSERT INTO t (b, id) VALUES ('x', 5), ('y', $1)", 5) == wanted
    assert slots_of("UPDATE t SET n = 0 WHERE n > 1 AND id IN (5, $1)", 5) == wanted
    assert slots_of("SELECT * FROM u WHERE k = $1", "a") == (slot("a", "varchar"),)


@pytest.mark.parametrize(
    "where",
    [
        "id = 5 OR ok",
        "NOT id = 5",
        "id > 4",
        "id <> 5",
        "id = n",
        "id + 0 = 5",
        "id = 5::float8",
        "id IN (5, n)",
        "(id = 5) IS NULL",
        "(id = 5) = ok",
        "id IS NULL",
        "n = 5",
    ],
)
def test_what_does_not_pin_the_key_is_asked_of_every_shard(where: str) -> None:
    plan = make_plan(f"SELECT * FROM t WHERE {where}", CATALOG)
    assert isinstance(plan, Scatter)
    assert plan.fragments[0].keys == ()
    change = make_plan(f"DELETE FROM t WHERE {where}", CATALOG)
    assert isinstance(change, OneShard)
    assert (change.keys, change.spread) == ((), "every")


def test_a_key_that_is_null_matches_no_row_and_is_no_row() -> None:
    assert slots_of("SELECT * FROM t WHERE id = $1", None) == ()
    assert slots_of("DELETE FROM t WHERE id = NULL") == ()
    with pytest.raises(StatementError) as error:
        slots_of("INSERT INTO t (id) VALUES ($1)", None)
    assert error.value.sqlstate == "23502"
    assert 'column "id" of relation "t"' in error.value.message


def test_an_unknown_table_is_an_error_of_its_own() -> None:
    with pytest.raises(UnknownTable) as error:
        make_plan("SELECT * FROM nope", CATALOG)
    assert (error.value.sqlstate, error.value.position, error.value.name) == ("42P01", 15, "nope")


def test_every_plan_tells_its_columns() -> None:
    assert result_columns(make_plan("SHOW search_path", CATALOG)) == (
        ResultColumn("search_path", TEXT),
    )
    assert result_columns(make_plan("SHOW TABLES", CATALOG))[0] == ResultColumn("name", TEXT)
    assert result_columns(make_plan("DROP TABLE t", CATALOG)) == ()


# --------------------------------------------------------------------------- bad input

WORDS = [
    "SELECT",
    "FROM",
    "WHERE",
    "AND",
    "OR",
    "NOT",
    "INSERT",
    "INTO",
    "VALUES",
    "UPDATE",
    "SET",
    "DELETE",
    "CREATE",
    "TABLE",
    "DROP",
    "t",
    "u",
    "id",
    "b",
    "f",
    "n",
    "ok",
    "k",
    "j",
    "x",
    "=",
    "<",
    ">",
    "<>",
    "+",
    "-",
    "*",
    "/",
    "%",
    "||",
    "(",
    ")",
    ",",
    ".",
    ";",
    "::",
    ":",
    "$1",
    "$2",
    "$0",
    "1",
    "2.5",
    "'a'",
    "''",
    "NULL",
    "TRUE",
    "DEFAULT",
    "IS",
    "IN",
    "BETWEEN",
    "AS",
    "ORDER",
    "BY",
    "LIMIT",
    "OFFSET",
    "ASC",
    "DESC",
    "NULLS",
    "FIRST",
    "ON",
    "CONFLICT",
    "DO",
    "NOTHING",
    "int",
    "text",
    "PRIMARY",
    "KEY",
    "UNIQUE",
    "count",
    "(",
    "*",
    ")",
    '"t"',
    '"ab"',
    "user",
    "$$x$$",
    "E'\\\\'",
    "/*",
    "--",
    "SHOW",
    "RESET",
    "WITH",
    "CASE",
    "[",
    "]",
    "interval",
    "cast",
    "convert",
    "if",
    "exists",
]


def plan_or_definite_error(sql: str) -> None:
    try:
        make_plan(sql, CATALOG)
    except RouterError as caught:
        error = caught
    else:
        return
    assert error.definite
    assert len(error.sqlstate) == 5
    assert 0 <= error.position <= len(sql) + 1


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=14).map(" ".join))
def test_any_sequence_of_words_is_a_plan_or_a_definite_error(sql: str) -> None:
    plan_or_definite_error(sql)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=string.printable + "é\0", max_size=30))
def test_any_text_is_a_plan_or_a_definite_error(text: str) -> None:
    for sql in (text, "SELECT " + text, f"SELECT '{text}'"):
        plan_or_definite_error(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 5000 + "1" + ")" * 5000,
        "SELECT " + "NOT " * 5000 + "true",
        "SELECT " + "- " * 5000 + "1",
        "SELECT " + " + ".join(["id"] * 5000) + " FROM t",
        "SELECT 1" + "::int" * 5000,
    ],
)
def test_what_is_nested_too_deep_is_an_error_and_no_crash(sql: str) -> None:
    with pytest.raises(RouterError) as error:
        make_plan(sql, CATALOG)
    assert error.value.sqlstate == "54001"


def test_many_conditions_and_many_rows_are_fine() -> None:
    where = " AND ".join(["n = 1"] * 400)
    assert isinstance(make_plan(f"SELECT * FROM t WHERE {where}", CATALOG), Scatter)
    rows = ", ".join(f"({i}, 'x')" for i in range(1000))
    plan = make_plan(f"INSERT INTO t (id, b) VALUES {rows}", CATALOG)
    assert isinstance(plan, OneShard)
    assert len(plan.keys) == 1000


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("SELECT k FROM p ORDER BY $1, k DESC", [(3,), (2,), (1,)]),
        ("SELECT k FROM p WHERE k = 2 ORDER BY $1 LIMIT 1", [(2,)]),
        ("SELECT sum(k) FROM p GROUP BY $1", [(6,)]),
        ("SELECT DISTINCT ON ($1) k FROM p ORDER BY $1, k", [(1,)]),
        ("SELECT k FROM p WHERE k IN (SELECT 4 - k FROM p ORDER BY $1 LIMIT 9) AND k > 2", [(3,)]),
    ],
)
def test_a_parameter_that_orders_nothing_is_bound(
    shards: int, sql: str, wanted: list[tuple[Value, ...]]
) -> None:
    cluster = PlannedCluster(shards)
    cluster.execute("CREATE TABLE p (k int PRIMARY KEY)")
    cluster.execute("INSERT INTO p VALUES (1), (2), (3)")
    _, rows, _ = cluster.execute(sql, "x", oids=[TEXT])
    assert rows == wanted


def test_a_cast_to_a_type_alone_takes_its_modifier_away() -> None:
    catalog = catalog_of(
        "CREATE TABLE m (id int PRIMARY KEY, n numeric(4,1), v varchar(3), d timestamp(2))"
    )
    text = "SELECT n, n::numeric, v::varchar, d::timestamp, n::numeric(4,1), n::numeric::numeric"
    columns = result_columns(make_plan(f"{text} FROM m", catalog))
    assert columns is not None
    own = numeric_modifier(4, 1)
    assert [column.modifier for column in columns] == [own, -1, -1, -1, own, -1]


@pytest.mark.parametrize("kind", ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
def test_a_column_of_using_has_the_modifier_that_both_sides_have(kind: str) -> None:
    catalog = catalog_of(
        "CREATE TABLE a (id int PRIMARY KEY, n numeric(4,1), v varchar(3))",
        "CREATE TABLE b (id int PRIMARY KEY, n numeric(4,1), v varchar(5))",
    )
    columns = result_columns(make_plan(f"SELECT n, v FROM a {kind} b USING (n, v)", catalog))
    assert columns is not None
    assert [column.modifier for column in columns] == [numeric_modifier(4, 1), -1]
