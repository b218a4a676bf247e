"""Every query of the transcripts is answered by three shards as by one."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from nodes.protocol import Value
from tests.shardrouter.planning import PlannedCluster

FILES = sorted((Path(__file__).parent.parent / "testdata" / "plan").glob("scatter_*.txt"))
UNTOLD = re.compile(r"now\(\)|random\(\)|string_agg\(\w+, ','\)")
"""What two right answers may differ in."""

IN_PART = re.compile(r"LIMIT|OFFSET|FETCH")
"""Which of equal rows are the first is untold; how many there are is not."""


def cases(path: Path) -> tuple[list[str], list[str]]:
    """What makes the tables, and the queries that have a plan."""
    definitions: list[str] = []
    queries: list[str] = []
    for block in path.read_text(encoding="utf-8").strip("\n").split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        if not lines or lines[lines.index("----") + 1].startswith("error"):
            continue
        sql = lines[0]
        (definitions if sql.startswith("CREATE") else queries).append(sql)
    return definitions, queries


def filled(shards: int, definitions: list[str]) -> PlannedCluster:
    cluster = PlannedCluster(shards)
    for sql in definitions:
        cluster.execute(sql)
    rng = random.Random(7)

    def some(*values: Value) -> Value:
        return rng.choice([None, *values])

    for k in range(1, 21):
        row = (k, some("x", "y", "Z"), some(*range(6)), some(0.5, 2.25, -1.0, -0.0))
        cluster.execute(
            "INSERT INTO a VALUES ($1, $2, $3, $4, $5, $6)",
            *row, some("1.5", "2.50", "-2"), some(True, False),
        )  # fmt: skip
        for i in range(rng.choice([0, 1, 1, 3])):
            row = (k, i, some("x", "y", "w"), some(*range(6)))
            cluster.execute("INSERT INTO b VALUES ($1, $2, $3, $4)", *row)
        if k % 3:
            cluster.execute("INSERT INTO c VALUES ($1, $2, $3)", k + 4, some("x"), some("7", "8.0"))
    for name in ("x", "y", "v"):
        cluster.execute("INSERT INTO d VALUES ($1, $2)", name, rng.randrange(5))
    for key in range(4):
        cluster.execute("INSERT INTO h VALUES ($1, $2)", key, some("x", "one"))
        for group in cluster.shards.values():
            group.connection.execute('INSERT INTO "r" VALUES (?, ?)', (key, f"r{key % 3}"))
    return cluster


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_three_shards_answer_as_one_whatever_is_broadcast(path: Path) -> None:
    definitions, queries = cases(path)
    many, one = filled(3, definitions), filled(1, definitions)
    told = broadcast = 0
    for sql in queries:
        if UNTOLD.search(sql):
            continue
        arguments = tuple(range(1, 1 + len(set(re.findall(r"\$\d", sql)))))
        _, wanted, _ = one.execute(sql, *arguments)
        many.broadcast = None
        _, found, _ = many.execute(sql, *arguments)
        check(sql, found, wanted)
        for number in range(many.broadcasts):
            many.broadcast = number
            _, found, _ = many.execute(sql, *arguments)
            check(f"broadcast {number}: {sql}", found, wanted)
            broadcast += 1
        told += bool(wanted)
        many.broadcasts = 0
    assert told > len(queries) * 0.7
    assert broadcast or "merging" in path.stem


def check(sql: str, found: list[tuple[Value, ...]], wanted: list[tuple[Value, ...]]) -> None:
    if IN_PART.search(sql):
        assert len(found) == len(wanted), sql
    else:
        assert sorted(map(repr, found)) == sorted(map(repr, wanted)), sql
