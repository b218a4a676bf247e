"""A whole local cluster as `shardrouter up` makes it: how soon it is there, and what it holds."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from bench.clusters import running_up
from bench.costs import costs_of, memory_mb, peak_memory_mb, spent
from bench.question import Answer, Question, Setting, Verdict, line_of

SHARDS: Final = 3
READY_S: Final = 5.0
NODE_MB: Final = 50.0
NODE_CPU_PERCENT: Final = 3.0
ROUTER_MB: Final = 100.0


async def measure(setting: Setting) -> Answer:
    rest_s = 2.0 if setting.quick else 5.0
    runs: list[dict[str, float]] = []
    for number in range(setting.rounds):
        on_wire, began = costs_of({}).wire_bytes, time.perf_counter()
        directory = setting.directory / str(number)
        async with running_up(directory, shards=SHARDS) as up:
            ready = time.perf_counter() - began
            roots = {"router": up.router, **up.nodes}
            starting, peaks = costs_of(roots), peak_memory_mb(roots)
            await asyncio.sleep(rest_s)
            cost, memory = spent(starting, costs_of(roots)), memory_mb(roots)
        router_mb = memory.pop("router")
        cpu = max(used for name, used in cost.cpu_s.items() if name != "router") / rest_s
        runs.append(
            {
                "ready_s": ready,
                "cpu_s": sum(starting.cpu_s.values()),
                "disk_bytes": starting.disk_bytes,
                "wire_bytes": starting.wire_bytes - on_wire,
                "peak_memory_mb": sum(peaks.values()),
                "node_mb": max(memory.values()),
                "node_cpu_percent": cpu * 100,
                "router_mb": router_mb,
            }
        )
        setting.say(f"ready after {ready:.1f} s")
    line = line_of("shardrouter", f"3 nodes, {SHARDS} shards of 3 replicas", runs)
    limits = {
        "ready_s": READY_S,
        "node_mb": NODE_MB,
        "node_cpu_percent": NODE_CPU_PERCENT,
        "router_mb": ROUTER_MB,
    }
    return Answer(
        [line],
        [
            Verdict(f"{name} of a new cluster", line.figures[name].median, "<=", limit)
            for name, limit in limits.items()
        ],
        {"shardrouter": f"{SHARDS} shards of 3 replicas"},
    )


QUESTION: Final = Question(
    "start",
    "How soon is a new cluster ready, and what does it hold before anybody asks?",
    "ready_s",
    measure,
)
