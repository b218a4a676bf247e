"""A transaction over two shards beside one of the same statements on one shard: a block of two
updates, a unit of commit of two, one statement of two rows.

The router is embedded, and there is one client.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Final

from bench.clusters import routed
from bench.question import Answer, Line, Question, Setting, Verdict, line_of
from shardrouter.execution import Execution
from shardrouter.router import Router

RATIO: Final = 2.2
"""Times the latency on one shard, at most."""

SHARDS: Final = 3
_ADD: Final = "UPDATE t SET n = n + 1 WHERE id = $1"
_BOTH: Final = (
    "INSERT INTO t VALUES ($1, 0), ($2, 0) ON CONFLICT (id) DO UPDATE SET n = t.n + excluded.n"
)

Keys = tuple[int, int]
Work = Callable[[Keys], Awaitable[None]]


async def measure(setting: Setting) -> Answer:
    times = 50 if setting.quick else 100
    async with routed(setting.directory, SHARDS) as (_, db):
        await db.execute("CREATE TABLE t (id bigint PRIMARY KEY, n bigint)")
        by_shard: dict[str, list[int]] = {}
        for key in range(40):
            by_shard.setdefault((await db.where("t", key)).shard, []).append(key)
            await db.execute("INSERT INTO t VALUES ($1, 0)", key)
        here, there, *_ = by_shard.values()
        places = {"one shard": (here[0], here[1]), "two shards": (here[0], there[0])}
        runs: dict[tuple[str, str], list[dict[str, float]]] = {}
        for _ in range(setting.rounds):
            for name, work in works(db).items():
                for place, took in (await _in_turns(work, places, times)).items():
                    runs.setdefault((name, place), []).append(took_figures(took))
            setting.say("a round is over")
    lines = [line_of(place, name, of) for (name, place), of in runs.items()]
    return Answer(lines, _verdicts(lines), {"shardrouter": f"{SHARDS} shards of 3 replicas"})


def works(db: Router) -> dict[str, Work]:
    """What is done, by its name."""

    async def block(keys: Keys) -> None:
        async with db.transaction() as connection:
            for key in keys:
                await connection.execute(_ADD, key)

    async def unit(keys: Keys) -> None:
        session = db.new_session()
        prepared = await session.prepare(_ADD)
        await session.run([Execution(prepared, (key,)) for key in keys])
        await session.close()

    async def statement(keys: Keys) -> None:
        await db.execute(_BOTH, *keys)

    return {
        "a block of two updates": block,
        "a unit of two updates": unit,
        "one statement of two rows": statement,
    }


async def _in_turns(work: Work, places: dict[str, Keys], times: int) -> dict[str, list[float]]:
    """Seconds of each, one place after the other: whatever else the machine does meets both."""
    took: dict[str, list[float]] = {place: [] for place in places}
    for _ in range(times):
        for place, keys in places.items():
            began = time.perf_counter()
            await work(keys)
            took[place].append(time.perf_counter() - began)
    return took


def took_figures(took: list[float]) -> dict[str, float]:
    return {
        "p50_ms": statistics.median(took) * 1e3,
        "p99_ms": sorted(took)[int(len(took) * 0.99)] * 1e3,
    }


def _verdicts(lines: list[Line]) -> list[Verdict]:
    p50 = {(line.case, line.contestant): line.figures["p50_ms"].median for line in lines}
    return [
        Verdict(
            f"p50 over two shards, of that on one: {name}",
            round(p50[name, "two shards"] / p50[name, "one shard"], 2),
            "<=",
            RATIO,
        )
        for name in dict.fromkeys(name for name, _ in p50)
    ]


QUESTION: Final = Question(
    "two-shards",
    "How much longer does a transaction over two shards take than on one?",
    "p50_ms",
    measure,
)
