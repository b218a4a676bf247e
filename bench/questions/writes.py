"""Replicated writes: one row by key in a transaction of its own, from 1 to 256 clients."""

from __future__ import annotations

from typing import Final

import msgspec

from bench.contestants import ETCD, OURS, PYSYNCOBJ, STANDBY, Started
from bench.load import VALUE
from bench.question import Answer, Question, Setting, Verdict, against
from bench.runs import Figures, fill, pgbench, python_client
from bench.turns import Entry, in_turns

CLIENTS: Final = (1, 16, 64, 256)
SCRIPT: Final = rf"""\set id random(1000000, 9000000000000000000)
INSERT INTO bench (id, val) VALUES (:id, '{VALUE}');
"""
COMPILED: Final = ("16 clients", "64 clients")
LARGE: Final = ("64 clients", "256 clients")
CPU_US: Final = {64: 160.0, 256: 100.0}


def named(clients: int) -> str:
    return f"{clients} client{'s' if clients > 1 else ''}"


async def measure(setting: Setting) -> Answer:
    times = (str(setting.run_s), str(setting.warm_up_s))

    async def by_asyncpg(started: Started, case: str) -> Figures:
        words = (started.address, "insert", case.split()[0], times[0], "0", times[1])
        return await python_client(started, setting, "bench.load", *words)

    async def by_pgbench(started: Started, case: str) -> Figures:
        return await pgbench(started, setting, int(case.split()[0]), script=SCRIPT)

    async def to_etcd(started: Started, case: str) -> Figures:
        words = ("etcd", started.address, "-", case.split()[0], *times)
        return await python_client(started, setting, "bench.raft_load", *words)

    async def to_stock(started: Started, case: str) -> Figures:
        words = ("stock", started.address, "-", case.split()[0], *times)
        return await python_client(started, setting, "bench.raft_load", *words)

    async def prepare(started: Started) -> None:
        if started.address.startswith("postgresql:"):
            await fill(started.address, 0)

    entries = (
        Entry("shardrouter, asyncpg", OURS, by_asyncpg),
        Entry("PostgreSQL + standby, asyncpg", STANDBY, by_asyncpg),
        Entry("etcd", ETCD, to_etcd),
        Entry("shardrouter, pgbench", OURS, by_pgbench, COMPILED),
        Entry("PostgreSQL + standby, pgbench", STANDBY, by_pgbench, COMPILED),
        Entry("pysyncobj, no fsync", PYSYNCOBJ, to_stock, LARGE),
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
    theirs = ("PostgreSQL + standby, pgbench", named(64))
    verdicts += against(
        answer.lines, "the same with pgbench for both, 64 clients", "per_second",
        ("shardrouter, pgbench", named(64)), theirs, ">=", 1.0,
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
