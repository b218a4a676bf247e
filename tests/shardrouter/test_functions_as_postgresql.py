"""Functions, aggregates and forms of queries against what a real PostgreSQL 15 answered, text by
text, with the names and types of columns and the SQLSTATE.

What it was asked, and the script that asked, are in tests/testdata/postgresql.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nodes.protocol import Value
from nodes.values import encode_text
from shardrouter.errors import RouterError
from tests.shardrouter.planning import PlannedCluster

RECORDED = Path(__file__).parent.parent / "testdata" / "postgresql" / "functions.json"


def _shown(value: Value, oid: int) -> str | None:
    return None if value is None else encode_text(value, oid).decode()


def _answer(cluster: PlannedCluster, sql: str) -> list[Any]:
    try:
        columns, rows, _ = cluster.execute(sql)
    except RouterError as exc:
        return ["error", exc.sqlstate]
    shown = [[_shown(v, c.oid) for v, c in zip(row, columns, strict=True)] for row in rows]
    return ["ok", [[c.name, c.oid] for c in columns], shown if columns else []]


def test_every_recorded_statement_answers_what_postgresql_answers() -> None:
    cluster = PlannedCluster(1)
    recorded: list[tuple[str, list[Any]]] = json.loads(RECORDED.read_text("utf-8"))
    wrong = []
    for sql, expected in recorded:
        found = _answer(cluster, sql)
        if expected[0] == found[0] == "ok" and "ORDER BY" not in sql.upper():
            for answer in (expected, found):
                answer[2] = sorted(answer[2], key=repr)
        if found != expected:
            wrong.append((sql, found, expected))
    assert not wrong
