"""What the language does not have is refused before anything happens, with a hint; what is too
large or endless is an error, in time."""

from __future__ import annotations

import pytest

from nodes.functions import FUNCTIONS
from nodes.pgtypes import regular_expressions
from nodes.pgtypes.formats import FunctionError
from nodes.pgtypes.regular_expressions import compiled
from nodes.protocol import Value
from shardrouter.errors import NotSupported, StatementError
from shardrouter.plan import make_plan
from tests.shardrouter.catalogs import catalog_of

CATALOG = catalog_of(
    "CREATE TABLE t (id int PRIMARY KEY, b text) WITH (home = true)",
    "CREATE TABLE h (id int PRIMARY KEY, b text) WITH (home = true)",
)


COUNTING = "WITH RECURSIVE q(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM q WHERE n < 5)"


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE t SET b = h.b FROM h WHERE h.id = t.id RETURNING *",
        "UPDATE t SET b = h.b FROM h WHERE h.id = t.id RETURNING h.id",
        "DELETE FROM h USING h AS x WHERE x.id = h.id RETURNING *",
        f"{COUNTING} SEARCH DEPTH FIRST BY n SET o SELECT n FROM q",
        f"{COUNTING} CYCLE n SET c USING p SELECT n FROM q",
        "WITH q AS (DELETE FROM t WHERE id = 1 RETURNING id) SELECT count(*) FROM q",
        "SELECT 'a' COLLATE \"en_US\"",
        "SELECT 1 ORDER BY 1 USING <",
        "SELECT x[1][1] FROM (SELECT ARRAY[1] AS x) AS q",
        "SELECT avg(id) FILTER (WHERE id > 9) OVER (ORDER BY id) FROM t",
        "SELECT avg(id) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 2 PRECEDING) FROM t",
        "SELECT avg(id) OVER (ORDER BY id ROWS BETWEEN 2 FOLLOWING AND 1 FOLLOWING) FROM t",
    ],
)
def test_a_form_that_is_not_here_is_refused_with_what_to_do(sql: str) -> None:
    with pytest.raises((NotSupported, StatementError)) as caught:
        make_plan(sql, CATALOG)
    assert caught.value.sqlstate == "0A000"
    assert caught.value.hint


def test_no_aggregate_of_a_node_is_asked_for_its_value_before_its_first_row() -> None:
    """CPython's sqlite3 would take the node down."""
    frame = "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
    plan = make_plan(f"SELECT avg(id) OVER (ORDER BY id {frame}) FROM t", CATALOG)
    assert f"{frame} EXCLUDE CURRENT ROW" in repr(plan)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("pg_regex_text", ("x", "(?=y)")),
        ("pg_regex_text", ("x", r"(x)\1")),
        ("pg_regex_text", ("\u093e", r"\w")),
        ("pg_regexp_match", ("x", "x", "w")),
        ("pg_to_char_int4", (1, "9V9")),
        ("pg_to_char_timestamp", (0, "TMMonth")),
        ("pg_to_date", ("2024-02-29", "YYYY IW")),
        ("pg_in_utc", ("Europe/Berlin", 0)),
    ],
)
def test_a_function_refuses_what_it_would_answer_otherwise(
    function: str, arguments: tuple[Value, ...]
) -> None:
    with pytest.raises(FunctionError) as caught:
        FUNCTIONS[function].call(*arguments)
    assert caught.value.sqlstate == "0A000"
    assert caught.value.hint


def test_what_is_nested_too_deeply_is_an_error_of_the_statement() -> None:
    for sql in (
        f"SELECT {'(' * 5000}1{')' * 5000}",
        f"SELECT {'CASE WHEN true THEN ' * 400}1{' END' * 400}",
    ):
        with pytest.raises(StatementError) as caught:
            make_plan(sql, CATALOG)
        assert caught.value.sqlstate == "54001"


def test_a_regular_expression_that_backtracks_elsewhere_ends_in_time() -> None:
    assert not compiled("(a+)+$", False, False).is_in("a" * 2000 + "b")


def test_a_search_without_hope_ends_after_the_same_steps_whatever_was_searched_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(regular_expressions, "STEPS_MAX", 40_000)
    expression = compiled("(a|aa)*b", False, False)

    def ends(length: int) -> bool:
        try:
            return expression.first("a" * length) is None
        except FunctionError as exc:
            return exc.sqlstate != "54000"

    first = [ends(length) for length in range(150, 350, 10)]
    assert first == [ends(length) for length in range(150, 350, 10)]
    assert True in first
    assert False in first
