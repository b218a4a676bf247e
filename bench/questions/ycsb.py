"""YCSB's workloads A, B and C: reads and updates of keys, some much more wanted than others."""

from __future__ import annotations

from typing import Final

from bench.contestants import OURS, STANDBY, Started
from bench.load import UPDATES, ZIPFIAN
from bench.question import Answer, Question, Setting
from bench.runs import Figures, fill, python_client
from bench.turns import Entry, in_turns

ROWS: Final = 10_000
CLIENTS: Final = 16


async def measure(setting: Setting) -> Answer:
    async def run(started: Started, case: str) -> Figures:
        kind, length, warm_up = case.split(":")[0].lower(), setting.run_s, setting.warm_up_s
        words = (started.address, kind, str(CLIENTS), str(length), str(ROWS), str(warm_up))
        return await python_client(started, setting, "bench.load", *words)

    async def prepare(started: Started) -> None:
        await fill(started.address, ROWS)

    entries = (Entry("shardrouter", OURS, run), Entry("PostgreSQL + standby", STANDBY, run))
    cases = [f"{kind.upper()}: {share:.0%} updates" for kind, share in UPDATES.items()]
    return await in_turns(setting, entries, cases, prepare)


QUESTION: Final = Question(
    "ycsb",
    f"How many reads and updates a second of {CLIENTS} clients, keys zipfian ({ZIPFIAN})?",
    "per_second",
    measure,
)
