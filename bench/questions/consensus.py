"""Writes to three copies without a router: our nodes with either consensus, pysyncobj, etcd.

Three processes on loopback and one client, connected to the leader, with commands of 150 bytes in
flight. What each does with one is said with the answer: our nodes check its SQL, remember its
answer so that it is applied once however often it is sent, and apply it to SQLite; `core, bare`
leaves all of that away but the SQL, which shows what consensus, log and network cost. The client
speaks hand-made gRPC to etcd, because a general client costs more than the call.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import msgspec

from bench.contestants import (
    BARE_CORE,
    CORE,
    ETCD,
    PYSYNCOBJ,
    PYSYNCOBJ_INSIDE,
    Contestant,
    Started,
)
from bench.question import Answer, Question, Setting, Verdict, against
from bench.runs import Figures, python_client
from bench.turns import Entry, in_turns

IN_FLIGHT: Final = (64, 256)
ROUNDS_MAX: Final = 3
TARGETS: Final = (
    (CORE, ETCD, 256, 4.0),
    (CORE, ETCD, 64, 2.5),
    (CORE, PYSYNCOBJ, 256, 2.0),
    (PYSYNCOBJ_INSIDE, PYSYNCOBJ, 256, 1.5),
    (BARE_CORE, ETCD, 256, 4.0),
    (BARE_CORE, PYSYNCOBJ, 256, 2.0),
)
"""(who, peer, in flight, times as fast)."""

KINDS: Final = {ETCD: "etcd", PYSYNCOBJ: "stock"}
"""How bench.raft_load talks to them; `nodes` to all others."""


def in_flight(count: int) -> str:
    return f"{count} in flight"


async def measure(setting: Setting) -> Answer:
    setting = replace(setting, rounds=min(setting.rounds, ROUNDS_MAX))

    def entry(contestant: Contestant) -> Entry:
        async def run(started: Started, case: str) -> Figures:
            kind = KINDS.get(contestant, "nodes")
            times = (str(setting.run_s), str(setting.warm_up_s))
            words = (kind, started.address, started.cluster_id, case.split()[0], *times)
            return await python_client(started, setting, "bench.raft_load", *words)

        return Entry(contestant.name, contestant, run)

    everyone = (CORE, BARE_CORE, PYSYNCOBJ_INSIDE, PYSYNCOBJ, ETCD)
    answer = await in_turns(setting, [*map(entry, everyone)], [*map(in_flight, IN_FLIGHT)])
    verdicts: list[Verdict] = []
    for who, peer, count, target in TARGETS:
        case = in_flight(count)
        verdicts += against(
            answer.lines, f"writes/s of {who.name}, of those of {peer.name}, {case}", "per_second",
            (who.name, case), (peer.name, case), ">=", target,
        )  # fmt: skip
    return msgspec.structs.replace(answer, verdicts=verdicts)


QUESTION: Final = Question(
    "consensus",
    "How fast do three copies agree, without a router?",
    "per_second",
    measure,
)
