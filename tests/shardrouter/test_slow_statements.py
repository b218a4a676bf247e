"""Slow statements in the log: without values, and not too many."""

from __future__ import annotations

import pytest

from shardrouter.errors import DeadlineExceeded
from shardrouter.execution import Execution, Prepared
from shardrouter.planned import ShowTables
from shardrouter.slow_statements import LINES_MAX, SlowStatements


def unit(*texts: str) -> list[Execution]:
    return [Execution(Prepared(text, ShowTables(), (), ())) for text in texts]


def test_a_line_says_what_was_slow_and_no_value(caplog: pytest.LogCaptureFixture) -> None:
    slow = SlowStatements(clock=lambda: 0.0)
    slow.note("ann", "7.1", unit("SELECT 'Ann',\n 42"), None, 1.25, "shard-1")
    slow.note("ann", "7.2", unit("DELETE FROM t", "SELECT 2"), DeadlineExceeded(""), 2)
    assert caplog.messages == [
        "slow: 1250.0 ms, request 7.1 of ann: SELECT ?, ? -> done",
        "slow: 2000.0 ms, request 7.2 of ann: DELETE FROM t (and 1 more of its unit) -> 57014",
    ]
    first, second = caplog.records
    assert first.__dict__["group"] == "shard-1"
    assert first.__dict__["request"] == "7.1"
    assert "group" not in second.__dict__


def test_what_makes_many_slow_does_not_fill_the_disk(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    slow = SlowStatements(clock=lambda: now)
    for _ in range(LINES_MAX + 7):
        slow.note("ann", "7.1", unit("SELECT 1"), None, 1.0)
    assert len(caplog.messages) == LINES_MAX
    now = 1.0
    slow.note("ann", "7.2", unit("SELECT 1"), None, 1.0)
    assert caplog.messages[LINES_MAX] == "7 slow statements were not logged"
    assert len(caplog.messages) == LINES_MAX + 2
