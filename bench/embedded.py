"""Operations by a router in this process, one client, in turns of small blocks: how long each took
and what it cost. Client and router are one process then, and one figure.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from bench.clusters import Running
from bench.costs import Costs, Meter
from bench.runs import Figures, costs_each

__all__ = ["ROUTER", "in_blocks"]

BLOCKS: Final = 4
"""Of each kind in a round: costs are counted by the kernel's tick of 10 ms, so that a block of one
operation would have none."""

ROUTER: Final = "router and client"


async def in_blocks(
    running: Running, works: Mapping[str, Callable[[], Awaitable[None]]], times: int
) -> dict[str, Figures]:
    """Each of the works so many times, a block of one after a block of the other (A B A B):
    whatever else the machine does meets all of them. Latencies, and costs for each time."""
    roots = {ROUTER: os.getpid(), **running.pids}
    took: dict[str, list[float]] = {name: [] for name in works}
    costs: dict[str, list[Costs]] = {name: [] for name in works}
    memory: dict[str, dict[str, float]] = {name: {} for name in works}
    blocks = min(BLOCKS, times)
    for number in range(blocks):
        length = times * (number + 1) // blocks - times * number // blocks
        for name, work in works.items():
            meter = Meter(roots)
            for _ in range(length):
                began = time.perf_counter()
                await work()
                took[name].append(time.perf_counter() - began)
            cost, peaks = meter.read()
            costs[name].append(cost)
            memory[name] = {who: max(mb, memory[name].get(who, 0)) for who, mb in peaks.items()}
    return {
        name: {
            "p50_ms": statistics.median(took[name]) * 1e3,
            "p99_ms": sorted(took[name])[int(times * 0.99)] * 1e3,
            **costs_each(_sum(costs[name]), memory[name], times),
        }
        for name in works
    }


def _sum(costs: list[Costs]) -> Costs:
    return Costs(
        {name: sum(cost.cpu_s[name] for cost in costs) for name in costs[0].cpu_s},
        {name: sum(cost.system_s[name] for cost in costs) for name in costs[0].system_s},
        sum(cost.disk_bytes for cost in costs),
        sum(cost.wire_bytes for cost in costs),
    )
