"""Statements without their values."""

from __future__ import annotations

import pytest

from shardrouter.statement_log import without_values


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SELECT a,b FROM t WHERE c='x' AND d = -1.5e3", "SELECT a,b FROM t WHERE c=? AND d = -?"),
        ("SELECT $1 /* Ann */ + 2 -- Ben", "SELECT $1 + ?"),
        ("SELECT E'a\\'b', $q$Ann$q$, 'it''s'", "SELECT ?, ?, ?"),
        ('SELECT "Ann" FROM "t 1"', 'SELECT "Ann" FROM "t 1"'),
        ("SELECT 'Ann", "(a text of 11 characters that is no SQL)"),
    ],
)
def test_constants_and_comments_are_left_out(text: str, shown: str) -> None:
    assert without_values(text) == shown
