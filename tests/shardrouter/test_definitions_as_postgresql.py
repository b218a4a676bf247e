"""Changes of the schema against what a real PostgreSQL 15 answered: errors, notices, and the rows
and columns that statements see afterwards.

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
from tests.shardrouter.planning import PlannedCluster, ShardError

RECORDED = Path(__file__).parent.parent / "testdata" / "postgresql" / "definitions.json"
BLOCKS: list[list[tuple[str, list[Any], list[list[str]]]]] = json.loads(RECORDED.read_text("utf-8"))


def _shown(value: Value, oid: int) -> str | None:
    return None if value is None else encode_text(value, oid).decode()


def _plain(rows: list[list[Any]]) -> list[list[str | None]]:
    """Recorded values as the texts they have in a client."""
    return [[None if cell is None else str(cell) for cell in row] for row in rows]


def _answer(cluster: PlannedCluster, sql: str) -> tuple[list[Any], list[list[str]]]:
    """What it answers, and what is told besides."""
    try:
        columns, rows, _ = cluster.execute(sql)
    except ShardError as exc:
        return ["error", exc.sqlstate], []  # a node's words for it are not here
    except RouterError as exc:
        return ["error", exc.sqlstate, exc.message], []
    shown = [[_shown(v, c.oid) for v, c in zip(row, columns, strict=True)] for row in rows]
    told = [[notice.severity, notice.message, notice.detail] for notice in cluster.notices]
    return ["ok", [[c.name, c.oid] for c in columns], shown if columns else []], told


@pytest.mark.parametrize("block", BLOCKS, ids=[block[0][0][:40] for block in BLOCKS])
def test_a_definition_answers_what_postgresql_answers(
    block: list[tuple[str, list[Any], list[list[str]]]],
) -> None:
    cluster = PlannedCluster(1, "home")
    wrong = []
    for sql, expected, told in block:
        found, said = _answer(cluster, sql)
        if expected[0] == "ok":
            expected[2] = _plain(expected[2])
        if found != expected[: len(found)] or said != told:
            wrong.append((sql, found, said, expected, told))
    assert not wrong, "\n".join(map(repr, wrong))
