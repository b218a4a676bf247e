"""What SQLite refuses for its size, and what a collation cannot compare, is an error of the
statement; the next one is served."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.authorizer import Mode
from nodes.protocol import Statement
from nodes.sql_connection import Answer, Refused, SqlConnection

SIZES = {
    "54001": [
        "SELECT " + " + ".join("1" for _ in range(2000)),
        "SELECT " + "(" * 2000 + "1" + ")" * 2000,
    ],
    "54000": [
        " UNION ALL ".join("SELECT 1" for _ in range(1000)),
        "SELECT 1 FROM " + ", ".join(f"(SELECT {i}) t{i}" for i in range(70)),
        "SELECT 1 WHERE 'a' LIKE '" + "%a" * 40_000 + "'",
        "SELECT 1 ORDER BY " + ", ".join("1" for _ in range(3000)),
    ],
    "54011": ["SELECT " + ", ".join("1" for _ in range(3000))],
    "54023": ["SELECT max(" + ", ".join("1" for _ in range(200)) + ")"],
}


@pytest.fixture
def connection(tmp_path: Path) -> SqlConnection:
    return SqlConnection(tmp_path / "data.db", is_writer=True)


@pytest.mark.parametrize(
    ("sqlstate", "sql"), [(code, sql) for code, texts in SIZES.items() for sql in texts]
)
def test_what_is_too_large_says_so(connection: SqlConnection, sqlstate: str, sql: str) -> None:
    with pytest.raises(Refused) as caught:
        connection.run(Statement(sql), Answer(), 0, 0, Mode.READ)
    assert caught.value.failure.sqlstate == sqlstate
    answer = Answer()
    connection.run(Statement("SELECT 1"), answer, 0, 0, Mode.READ)
    assert answer.results[0].values == ((1,),)
    connection.close()


def test_a_text_that_is_compared_as_what_it_is_not_ends_the_statement_alone(
    connection: SqlConnection,
) -> None:
    for collation in ("numeric", "interval", "jsonb"):
        both = "SELECT v FROM (SELECT 'b' v UNION ALL SELECT 'a')"
        sql = f"{both} ORDER BY v COLLATE {collation}"
        with pytest.raises(Refused) as caught:
            connection.run(Statement(sql), Answer(), 0, 0, Mode.READ)
        assert caught.value.failure.sqlstate == "XX000"
        assert collation in caught.value.failure.message
    answer = Answer()
    connection.run(Statement("SELECT 1"), answer, 0, 0, Mode.READ)
    assert answer.results[0].values == ((1,),)
    connection.close()
