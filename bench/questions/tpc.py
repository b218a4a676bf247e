"""TPC-B and its SELECT alone, as pgbench has them."""

from __future__ import annotations

import asyncio
import subprocess
from functools import partial
from typing import Final

import msgspec

from bench.contestants import OURS, STANDBY, Started
from bench.question import Answer, Question, Setting, Verdict, against
from bench.questions.writes import named
from bench.runs import Figures, RunFailed, pgbench, pgbench_words
from bench.turns import Entry, in_turns

CLIENTS: Final = (1, 8)
SCALE: Final = 10
QUICK_SCALE: Final = 4
"""Branches, of 100 000 accounts each: eight clients must not all wait for one row."""


async def initialize(started: Started, scale: int) -> None:
    """pgbench's tables, of which those of this database are whole on its one shard."""
    program, environment = pgbench_words(started.address)
    if started.name == OURS.name:
        environment |= {"PGOPTIONS": "-c default_placement=home -c statement_timeout=0"}
    process = await asyncio.create_subprocess_exec(
        *program[:-1], *("-i", "-q", "-s", str(scale), program[-1]),
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    if process.returncode:
        raise RunFailed(out.decode(errors="replace"))


async def measure(setting: Setting) -> Answer:
    async def run(started: Started, case: str) -> Figures:
        kind, clients, *_ = case.split()
        words = ("-S",) if kind == "TPC-S," else ("-b", "tpcb-like", "--max-tries", "100")
        return await pgbench(started, setting, int(clients), *words)

    cases = [f"{kind}, {named(n)}" for kind in ("TPC-B", "TPC-S") for n in CLIENTS]
    entries = (
        Entry("shardrouter", OURS, run),
        Entry("PostgreSQL + standby", STANDBY, run),
    )
    scale = QUICK_SCALE if setting.quick else SCALE
    answer = await in_turns(setting, entries, cases, partial(initialize, scale=scale))
    verdicts: list[Verdict] = []
    for clients, target in ((1, 0.5), (8, 0.4)):
        case = f"TPC-B, {named(clients)}"
        verdicts += against(
            answer.lines, f"{case}: transactions/s of PostgreSQL's with standby", "per_second",
            ("shardrouter", case), ("PostgreSQL + standby", case), ">=", target,
        )  # fmt: skip
    return msgspec.structs.replace(answer, verdicts=verdicts)


QUESTION: Final = Question(
    "tpc",
    "How many transactions of TPC-B a second, and how many of its SELECT alone?",
    "per_second",
    measure,
)
