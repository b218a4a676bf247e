"""A bulk load and a scan: COPY in, COPY out and one large SELECT of pgbench_accounts.

As `pgbench -i` fills it, in text, into a table with its primary key in place; then the whole table,
read as it comes and counted. All is durable on all copies that count when COPY answers. One client,
in a process of its own (`bench.bulk_client`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import msgspec

from bench.contestants import OURS, POSTGRES, STANDBY, Started
from bench.question import Answer, Question, Setting, Verdict
from bench.runs import Figures, python_client
from bench.turns import Entry, in_turns

ROWS: Final = 1_000_000
QUICK_ROWS: Final = 100_000
ROUNDS_MAX: Final = 2
"""A round takes more than a minute."""

ROWS_IN_PER_S: Final = 25_000.0
ROUTER_MB: Final = 150.0
KINDS: Final = {"copy-in": "COPY in", "copy-out": "COPY out", "select": "SELECT"}


async def measure(setting: Setting) -> Answer:
    setting = replace(setting, rounds=min(setting.rounds, ROUNDS_MAX))
    rows = QUICK_ROWS if setting.quick else ROWS
    cases = {f"{name} of {rows:,} rows": kind for kind, name in KINDS.items()}

    async def run(started: Started, case: str) -> Figures:
        home = "home" if started.name == OURS.name else "-"
        words = (started.address, cases[case], str(rows), home)
        return await python_client(started, setting, "bench.bulk_client", *words)

    entries = [Entry(c.name, c, run) for c in (OURS, STANDBY, POSTGRES)]
    answer = await in_turns(setting, entries, list(cases))
    mine = {line.case: line.figures for line in answer.lines if line.contestant == OURS.name}
    verdicts: list[Verdict] = []
    for case, kind in cases.items():
        if case not in mine:
            continue
        if kind == "copy-in":
            rate = mine[case]["per_second"].median
            verdicts.append(Verdict("rows/s of COPY in", rate, ">=", ROWS_IN_PER_S))
        router = mine[case]["peak_memory_mb router"].most
        verdicts.append(Verdict(f"MB of the router at most, {case}", router, "<=", ROUTER_MB))
    return msgspec.structs.replace(answer, verdicts=verdicts)


QUESTION: Final = Question(
    "bulk",
    "How many rows a second go in and come out in bulk, and what does the router hold meanwhile?",
    "per_second",
    measure,
)
