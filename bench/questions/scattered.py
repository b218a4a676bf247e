"""`count(*)` of a table over eight shards, beside one of as many rows that is whole on its home.

The router is embedded, and there is one client. The two tables have the same rows and take turns,
once where the table is read in no time and what counts is what it takes to ask, once where it
takes as long as that, and once where it takes long.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from bench.clusters import routed
from bench.contestants import MAJORITY
from bench.embedded import in_blocks
from bench.question import Answer, Line, Question, Setting, Verdict, line_of
from shardrouter.router import Router

RATIO: Final = 1.6
"""Times the latency on one shard, at most."""

SHARDS: Final = 8
COUNTS: Final = {1_000: 100, 100_000: 33, 1_000_000: 10}
"""How often a table of so many rows is counted in a round."""

PIECE: Final = 100_000
"""Rows that are copied at once."""

HOME: Final = "one shard"
OVER_ALL: Final = f"{SHARDS} shards"
_TABLES: Final = {HOME: ("home", " WITH (home = true)"), OVER_ALL: ("spread", "")}


async def measure(setting: Setting) -> Answer:
    counts = {1_000: 20, 100_000: 7} if setting.quick else COUNTS
    lines: list[Line] = []
    async with routed(setting.directory, SHARDS) as (running, db):
        for size in counts:
            await _fill(db, size)
            setting.say(f"two tables of {size} rows are there")
        runs: dict[tuple[str, int], list[dict[str, float]]] = {}
        for number in range(setting.rounds):
            for size, times in counts.items():
                each = {
                    place: partial(_count, db, f"{name}_{size}", size)
                    for place, (name, _placement) in _TABLES.items()
                }
                for place, figures in (await in_blocks(running, each, times)).items():
                    runs.setdefault((place, size), []).append(figures)
            setting.say(f"round {number + 1} is over")
    for size in counts:
        lines += [line_of(place, _case(size), runs[place, size], MAJORITY) for place in _TABLES]
    p50 = {(line.contestant, line.case): line.figures["p50_ms"].median for line in lines}
    verdicts = [
        Verdict(
            f"p50 of count(*) over {OVER_ALL}, of that on one, {_case(size)}",
            round(p50[OVER_ALL, _case(size)] / p50[HOME, _case(size)], 2),
            "<=",
            RATIO,
        )
        for size in counts
    ]
    return Answer(lines, verdicts, {"shardrouter": f"{SHARDS} shards of 3 replicas"})


def _case(size: int) -> str:
    return f"{size:,} rows"


async def _fill(db: Router, size: int) -> None:
    for name, placement in _TABLES.values():
        table = f"{name}_{size}"
        await db.execute(f"CREATE TABLE {table} (id bigint PRIMARY KEY, n bigint){placement}")
        for first in range(0, size, PIECE):
            keys = range(first, min(first + PIECE, size))
            await db.copy_records_to_table(table, records=[(key, key % 7) for key in keys])


async def _count(db: Router, table: str, size: int) -> None:
    assert await db.fetchval(f"SELECT count(*) FROM {table}") == size


QUESTION: Final = Question(
    "scattered",
    f"How much longer does count(*) take over {SHARDS} shards than over one?",
    "p50_ms",
    measure,
)
