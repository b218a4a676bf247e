"""Replicated writes: one row by key in a transaction of its own, from 1 to 256 clients."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Literal

import msgspec

from bench.contestants import ETCD, OURS, POSTGRES, PYSYNCOBJ, RQLITE, STANDBY, Started
from bench.load import VALUE
from bench.question import Answer, Question, Setting, Verdict, against
from bench.runs import Figures, fill, pgbench, python_client
from bench.turns import Entry, in_turns

CLIENTS: Final = (1, 16, 64, 256)
SCRIPT: Final = rf"""\set id random(1000000, 9000000000000000000)
INSERT INTO bench (id, val) VALUES (:id, '{VALUE}');
"""
COMPILED: Final = ("1 client", "64 clients", "256 clients")
"""Where pgbench asks too: its keys are at random, those of asyncpg one after the other."""

LARGE: Final = ("64 clients", "256 clients")
ALONE: Final = ("64 clients",)
CPU_US: Final = {64: 160.0, 256: 100.0}


def named(clients: int) -> str:
    return f"{clients} client{'s' if clients > 1 else ''}"


async def measure(setting: Setting) -> Answer:
    times = (str(setting.run_s), str(setting.warm_up_s))

    async def by_asyncpg(started: Started, case: str) -> Figures:
        words = (started.address, "insert", case.split()[0], times[0], "0", times[1])
        return await python_client(started, setting, "bench.load", *words)

    async def by_pgbench(started: Started, case: str) -> Figures:
        return await pgbench(started, setting, int(case.split()[0]), scripts=[(SCRIPT, 1.0)])

    def to(kind: str) -> Callable[[Started, str], Awaitable[Figures]]:
        async def run(started: Started, case: str) -> Figures:
            words = (kind, started.address, started.cluster_id, case.split()[0], *times)
            return await python_client(started, setting, "bench.raft_load", *words)

        return run

    async def prepare(started: Started) -> None:
        if started.speaks_sql:
            await fill(started.address, 0)

    entries = (
        Entry("shardrouter, asyncpg", OURS, by_asyncpg),
        Entry("PostgreSQL + standby, asyncpg", STANDBY, by_asyncpg),
        Entry("PostgreSQL, asyncpg", POSTGRES, by_asyncpg, ALONE),
        Entry("etcd", ETCD, to("etcd")),
        Entry("rqlite", RQLITE, to("rqlite")),
        Entry("shardrouter, pgbench", OURS, by_pgbench, COMPILED),
        Entry("PostgreSQL + standby, pgbench", STANDBY, by_pgbench, COMPILED),
        Entry(PYSYNCOBJ.name, PYSYNCOBJ, to("stock"), LARGE),
    )
    answer = await in_turns(setting, entries, [named(n) for n in CLIENTS], prepare)
    mine = "shardrouter, asyncpg"
    verdicts: list[Verdict] = []
    etcd, standby = "etcd", "PostgreSQL + standby, asyncpg"
    for other, clients, target in ((etcd, 64, 1.5), (etcd, 256, 2.0), (standby, 64, 1.0)):
        case = named(clients)
        verdicts += against(
            answer.lines, f"writes/s of those of {other}, {case}", "per_second",
            (mine, case), (other, case), ">=", target,
        )  # fmt: skip
    verdicts += against(
        answer.lines, f"p50 of that of {standby}, {named(1)}", "p50_ms",
        (mine, named(1)), (standby, named(1)), "<=", 2.0,
    )  # fmt: skip
    mine_compiled, theirs = "shardrouter, pgbench", "PostgreSQL + standby, pgbench"
    compiled: tuple[tuple[int, str, Literal["<=", ">="], float], ...] = (
        (64, "per_second", ">=", 1.0),
        (1, "p50_ms", "<=", 2.0),
    )
    for clients, figure, sign, target in compiled:
        case = named(clients)
        verdicts += against(
            answer.lines, f"{figure} of that of {theirs}, {case}", figure,
            (mine_compiled, case), (theirs, case), sign, target,
        )  # fmt: skip
    for clients, most in CPU_US.items():
        for line in answer.lines:
            if (line.contestant, line.case) == (mine, named(clients)):
                what = f"CPU us per write, all processes and the client, {clients} clients"
                verdicts.append(Verdict(what, line.figures["cpu_us"].median, "<=", most))
    return msgspec.structs.replace(answer, verdicts=verdicts)


QUESTION: Final = Question(
    "writes",
    "How many rows a second are written by key, each in its own transaction, to all copies?",
    "per_second",
    measure,
)
