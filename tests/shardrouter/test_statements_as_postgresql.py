"""Whole statements against what a real PostgreSQL 15 answered: rows, names and types of columns,
SQLSTATE and message.

What it was asked, and the script that asked, are in tests/testdata/postgresql.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nodes.protocol import Value
from nodes.values import encode_text
from shardrouter.errors import RouterError
from tests.shardrouter.planning import PlannedCluster

RECORDED = Path(__file__).parent.parent / "testdata" / "postgresql" / "statements.json"
BLOCKS: list[list[tuple[str, list[Any]]]] = json.loads(RECORDED.read_text("utf-8"))


def _key(row: list[str | None]) -> list[tuple[bool, str]]:
    return [(cell is None, cell or "") for cell in row]


def _shown(value: Value, oid: int) -> str | None:
    return None if value is None else encode_text(value, oid).decode()


def _answer(cluster: PlannedCluster, sql: str) -> list[Any]:
    try:
        columns, rows, _ = cluster.execute(sql)
    except RouterError as exc:
        return ["error", exc.sqlstate, exc.message]
    shown = [[_shown(v, c.oid) for v, c in zip(row, columns, strict=True)] for row in rows]
    return ["ok", [[c.name, c.oid] for c in columns], shown if columns else []]


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_a_statement_answers_what_postgresql_answers(block: list[tuple[str, list[Any]]]) -> None:
    cluster = PlannedCluster(1)
    wrong = []
    for sql, expected in block:
        found = _answer(cluster, sql)
        if expected[0] == found[0] == "ok" and "ORDER BY" not in sql.upper():
            for answer in (expected, found):
                answer[2] = sorted(answer[2], key=_key)
        if found != expected:
            wrong.append((sql, found, expected))
    assert not wrong
