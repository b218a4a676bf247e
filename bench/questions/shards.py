"""What more shards cost: replicated writes by key over 1, 8 and 32 shards of the same three nodes.

All shards share the nodes, and the machine: nothing can become faster here. What is asked is what a
write takes when its neighbours in time are of other groups.
"""

from __future__ import annotations

from typing import Final

import msgspec

from bench.contestants import Started, ours
from bench.question import Answer, Question, Setting, against
from bench.questions.writes import named
from bench.runs import Figures, fill, python_client
from bench.turns import Entry, in_turns

SHARDS: Final = (1, 8, 32)
CLIENTS: Final = (64, 256)
CPU_RATIO: Final = 2.0


def of_shards(count: int) -> str:
    return f"{count} shard{'s' if count > 1 else ''}"


async def measure(setting: Setting) -> Answer:
    async def run(started: Started, case: str) -> Figures:
        length, warm_up = str(setting.run_s), str(setting.warm_up_s)
        words = (started.address, "insert", case.split()[0], length, "0", warm_up)
        return await python_client(started, setting, "bench.load", *words)

    async def prepare(started: Started) -> None:
        await fill(started.address, 0)

    entries = [Entry(of_shards(n), ours(n, of_shards(n)), run) for n in SHARDS]
    answer = await in_turns(setting, entries, [named(n) for n in CLIENTS], prepare)
    verdicts = [
        verdict
        for case in map(named, CLIENTS)
        for verdict in against(
            answer.lines, f"CPU of a write at {SHARDS[-1]} shards, of that at 1, {case}", "cpu_us",
            (of_shards(SHARDS[-1]), case), (of_shards(1), case), "<=", CPU_RATIO,
        )
    ]  # fmt: skip
    return msgspec.structs.replace(answer, verdicts=verdicts)


QUESTION: Final = Question(
    "shards",
    "What does a write take when there are many shards on the same nodes?",
    "cpu_us",
    measure,
)
