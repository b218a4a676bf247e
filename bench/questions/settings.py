"""What settings buy that every process of this database has: each is left out by itself, in
clusters of their own that take turns.

`as shipped` has uvloop's event loop, a garbage collector that comes rarely, and one router process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from bench.clusters import new_config, router_process, running_nodes
from bench.contestants import MAJORITY, Contestant, Started
from bench.question import Answer, Question, Setting
from bench.runs import Figures, fill, python_client
from bench.turns import Entry, in_turns
from bench.varied import COLLECTOR, LOOP, command

CLIENTS: Final = 64
ROWS: Final = 10_000
SHIPPED: Final = "as shipped"
LEFT_OUT: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    SHIPPED: ("", ()),
    "asyncio's loop": (LOOP, ()),
    "collector as in Python": (COLLECTOR, ()),
    "two router processes": ("", ("--workers", "2")),
}
"""Contestant -> (what is left out, options of the router)."""

_WORK: Final = {"SELECT": "select", "INSERT": "insert"}


@asynccontextmanager
async def _started(
    name: str, left_out: str, options: tuple[str, ...], directory: Path
) -> AsyncIterator[Started]:
    nodes, routers = command(left_out, "nodes"), command(left_out, "shardrouter")
    async with (
        running_nodes(directory / "cluster", new_config(1), node_command=nodes) as running,
        router_process(running, routers, options) as (dsn, router),
    ):
        yield Started(name, dsn, {"router": router.pid, **running.pids})


def _contestant(name: str) -> Contestant:
    left_out, options = LEFT_OUT[name]
    start = partial(_started, name, left_out, options)
    return Contestant(name, "1 shard of 3 replicas", MAJORITY, start)


async def measure(setting: Setting) -> Answer:
    times = (str(setting.run_s), str(ROWS), str(setting.warm_up_s))

    async def run(started: Started, case: str) -> Figures:
        words = (started.address, _WORK[case.split(",")[0]], str(CLIENTS), *times)
        return await python_client(started, setting, "bench.load", *words)

    async def prepare(started: Started) -> None:
        await fill(started.address, ROWS)

    entries = [Entry(name, _contestant(name), run) for name in LEFT_OUT]
    return await in_turns(setting, entries, [f"{w}, {CLIENTS} clients" for w in _WORK], prepare)


QUESTION: Final = Question(
    "settings",
    "What do the event loop, the garbage collector's thresholds and a second router process buy?",
    "cpu_us",
    measure,
)
