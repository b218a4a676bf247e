"""A transaction over two shards beside one of the same statements on one shard: a block of two
updates, a unit of commit of two, one statement of two rows.

The router is embedded, and there is one client. Each transaction has other rows than those shortly
before it: what a transaction leaves to be done behind its answer is waited for by who wants the
same rows next, and that would be counted as theirs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import cycle, pairwise
from typing import Final

from bench.clusters import routed
from bench.contestants import MAJORITY
from bench.embedded import in_blocks
from bench.question import Answer, Line, Question, Setting, Verdict, line_of
from shardrouter.execution import Execution
from shardrouter.router import Router

RATIO: Final = 2.2
"""Times the latency on one shard, at most."""

SHARDS: Final = 3
KEYS: Final = 200
_ADD: Final = "UPDATE t SET n = n + 1 WHERE id = $1"
_BOTH: Final = (
    "INSERT INTO t VALUES ($1, 0), ($2, 0) ON CONFLICT (id) DO UPDATE SET n = t.n + excluded.n"
)

Keys = tuple[int, int]
Work = Callable[[Keys], Awaitable[None]]


async def measure(setting: Setting) -> Answer:
    times = 50 if setting.quick else 100
    async with routed(setting.directory, SHARDS) as (running, db):
        await db.execute("CREATE TABLE t (id bigint PRIMARY KEY, n bigint)")
        by_shard: dict[str, list[int]] = {}
        await db.copy_records_to_table("t", records=[(key, 0) for key in range(KEYS)])
        for key in range(KEYS):
            by_shard.setdefault((await db.where("t", key)).shard, []).append(key)
        here, there, *_ = by_shard.values()
        places = {"one shard": cycle(pairwise(here))}
        places["two shards"] = cycle(zip(here, there, strict=False))
        runs: dict[tuple[str, str], list[dict[str, float]]] = {}
        for _ in range(setting.rounds):
            for name, work in works(db).items():
                each = {place: partial(_next, work, keys) for place, keys in places.items()}
                for place, figures in (await in_blocks(running, each, times)).items():
                    runs.setdefault((name, place), []).append(figures)
            setting.say("a round is over")
    lines = [line_of(place, name, of, MAJORITY) for (name, place), of in runs.items()]
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


async def _next(work: Work, keys: Iterator[Keys]) -> None:
    await work(next(keys))


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
