"""Point reads of one row by key, prepared, at each level of consistency."""

from __future__ import annotations

from typing import Final

import msgspec

from bench.contestants import ETCD, OURS, POSTGRES, Started
from bench.question import Answer, Question, Setting, Verdict, against
from bench.questions.writes import COMPILED, named
from bench.runs import Figures, fill, pgbench, python_client
from bench.turns import Entry, in_turns

ROWS: Final = 10_000
CLIENTS: Final = (1, 16, 64)
LEVELS: Final = ("linearizable", "lease", "any")
SCRIPT: Final = rf"""\set id random(0, {ROWS - 1})
SELECT val FROM bench WHERE id = :id;
"""


async def measure(setting: Setting) -> Answer:
    times = (str(setting.run_s), str(setting.warm_up_s))

    def by_asyncpg(level: str) -> Entry:
        async def run(started: Started, case: str) -> Figures:
            kind = f"select:{level}" if level else "select"
            words = (started.address, kind, case.split()[0], times[0], str(ROWS), times[1])
            return await python_client(started, setting, "bench.load", *words)

        name = f"shardrouter {level}, asyncpg" if level else "PostgreSQL, asyncpg"
        return Entry(name, OURS if level else POSTGRES, run)

    async def by_pgbench(started: Started, case: str) -> Figures:
        return await pgbench(started, setting, int(case.split()[0]), script=SCRIPT)

    async def of_etcd(started: Started, case: str) -> Figures:
        words = ("etcd-read", started.address, "-", case.split()[0], *times)
        return await python_client(started, setting, "bench.raft_load", *words)

    async def prepare(started: Started) -> None:
        if started.address.startswith("postgresql:"):
            await fill(started.address, ROWS)

    entries = (
        *(by_asyncpg(level) for level in LEVELS),
        by_asyncpg(""),
        Entry("etcd linearizable", ETCD, of_etcd),
        Entry("shardrouter linearizable, pgbench", OURS, by_pgbench, COMPILED),
        Entry("PostgreSQL, pgbench", POSTGRES, by_pgbench, COMPILED),
    )
    answer = await in_turns(setting, entries, [named(n) for n in CLIENTS], prepare)
    verdicts: list[Verdict] = []
    for clients in (16, 64):
        case = named(clients)
        for level, target in (("linearizable", 0.8), ("any", 1.0)):
            verdicts += against(
                answer.lines, f"{level} reads/s of PostgreSQL's, asyncpg, {case}", "per_second",
                (f"shardrouter {level}, asyncpg", case), ("PostgreSQL, asyncpg", case),
                ">=", target,
            )  # fmt: skip
        verdicts += against(
            answer.lines, f"linearizable reads/s of PostgreSQL's, pgbench, {case}", "per_second",
            ("shardrouter linearizable, pgbench", case), ("PostgreSQL, pgbench", case), ">=", 0.8,
        )  # fmt: skip
        verdicts += against(
            answer.lines, f"linearizable reads/s of etcd's, {case}", "per_second",
            ("shardrouter linearizable, asyncpg", case), ("etcd linearizable", case), ">=", 3.0,
        )  # fmt: skip
    return msgspec.structs.replace(answer, verdicts=verdicts)


QUESTION: Final = Question(
    "reads",
    "How many rows a second are read by key, at which level of consistency?",
    "per_second",
    measure,
)
