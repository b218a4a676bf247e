"""What idle groups cost a node, in CPU and memory.

Three node processes, each with a replica of every group, and nobody who asks for anything. CPU is
what the kernel counted for the process, so other load on the machine hardly changes it. Nobody
asks, so costs are for each second in which all of them rest, of the three nodes together.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from bench.clusters import new_config, running_nodes
from bench.costs import Meter, memory_mb
from bench.question import Answer, Line, Question, Setting, Verdict, line_of, spread_of
from bench.runs import costs_each

GROUPS: Final = 100
SETTLE_S: Final = 3.0
CPU_PERCENT: Final = 5.0
MEMORY_MB: Final = 150.0


async def measure(setting: Setting) -> Answer:
    seconds = 5.0 if setting.quick else 20.0
    async with running_nodes(setting.directory, new_config(GROUPS - 1)) as running:
        await running.cluster.wait_for_leaders()
        await asyncio.sleep(SETTLE_S)
        meter, began = Meter(running.pids), time.perf_counter()
        await asyncio.sleep(seconds)
        length = time.perf_counter() - began
        cost, peaks = meter.read()
        memory = spread_of(list(memory_mb(running.pids).values()))
    percent = spread_of([used / length * 100 for used in cost.cpu_s.values()])
    figures = {
        "cpu_percent_of_a_core": percent,
        "memory_mb": memory,
    }
    each_second = line_of(
        "shardrouter",
        f"a second of three nodes, {GROUPS} groups",
        [costs_each(cost, peaks, round(length))],
    )
    return Answer(
        [Line("shardrouter", f"each of three nodes, {GROUPS} groups", figures), each_second],
        [
            Verdict("% of a core that a node at rest takes", percent.most, "<=", CPU_PERCENT),
            Verdict("MB of a node at rest", memory.most, "<=", MEMORY_MB),
        ],
        {"shardrouter": f"{GROUPS} groups of 3 replicas"},
    )


QUESTION: Final = Question(
    "idle",
    "What does a node cost that has a hundred groups, and nothing to do?",
    "cpu_percent_of_a_core",
    measure,
)
