"""Point reads of one row by key, prepared, at each level of consistency."""

from __future__ import annotations

from typing import Final

import msgspec

from bench.contestants import ETCD, OURS, POSTGRES, Started
from bench.question import Answer, Question, Setting, Verdict, against
from bench.questions.writes import named
from bench.runs import Figures, fill, pgbench, python_client
from bench.turns import Entry, in_turns

ROWS: Final = 10_000
CLIENTS: Final = (1, 16, 64)
LARGE: Final = ("16 clients", "64 clients")
SCRIPT: Final = rf"""\set id random(0, {ROWS - 1})
SELECT val FROM bench WHERE id = :id;
"""


async def measure(setting: Setting) -> Answer:
    times = (str(setting.run_s), str(setting.warm_up_s))

    def by_asyncpg(level: str, cases: tuple[str, ...] = ()) -> Entry:
        async def run(started: Started, case: str) -> Figures:
            kind = f"select:{level}" if level else "select"
            words = (started.address, kind, case.split()[0], times[0], str(ROWS), times[1])
            return await python_client(started, setting, "bench.load", *words)

        name = f"shardrouter {level}, asyncpg" if level else "PostgreSQL, asyncpg"
        return Entry(name, OURS if level else POSTGRES, run, cases)

    def by_pgbench(level: str) -> Entry:
        async def run(started: Started, case: str) -> Figures:
            options = f"-c shardrouter.consistency={level}" if level else ""
            clients = int(case.split()[0])
            return await pgbench(
                started, setting, clients, scripts=[(SCRIPT, 1.0)], options=options
            )

        name = f"shardrouter {level}, pgbench" if level else "PostgreSQL, pgbench"
        return Entry(name, OURS if level else POSTGRES, run)

    async def of_etcd(started: Started, case: str) -> Figures:
        words = ("etcd-read", started.address, "-", case.split()[0], *times)
        return await python_client(started, setting, "bench.raft_load", *words)

    async def prepare(started: Started) -> None:
        if started.speaks_sql:
            await fill(started.address, ROWS)

    entries = (
        by_asyncpg("linearizable"),
        *(by_asyncpg(level, LARGE) for level in ("lease", "bounded", "session")),
        by_asyncpg("any"),
        by_asyncpg(""),
        Entry("etcd linearizable", ETCD, of_etcd),
        by_pgbench("linearizable"),
        by_pgbench("any"),
        by_pgbench(""),
    )
    answer = await in_turns(setting, entries, [named(n) for n in CLIENTS], prepare)
    verdicts: list[Verdict] = []
    for clients in (16, 64):
        case = named(clients)
        for client in ("pgbench", "asyncpg"):
            for level, target in (("linearizable", 0.8), ("any", 1.0)):
                verdicts += against(
                    answer.lines, f"{level} reads/s of PostgreSQL's, {client}, {case}",
                    "per_second", (f"shardrouter {level}, {client}", case),
                    (f"PostgreSQL, {client}", case), ">=", target,
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
