"""A finished run that never ran: a seeded simulation of a small cluster under two faults.

Three nodes, three shards, clients on every node in an open loop; the leader of shard-1 is cut
off, later the leader of shard-2 is killed. With `stale`, the cut-off leader goes on answering
reads from its own state, which is what a checker must find.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jepsen_like.checks.availability import availability, failover
from jepsen_like.checks.linearizable import check
from jepsen_like.history import Operation, Outcome, Unserved
from jepsen_like.models import CasRegister
from jepsen_like.result import FaultRecord, RunResult, Verdict

NODES = ("n1", "n2", "n3")
LEADERS = {"meta": "n1", "shard-1": "n2", "shard-2": "n3", "shard-3": "n1"}
SECOND = 1_000_000_000
DEADLINE_NS = SECOND // 2

CUT = FaultRecord(
    name="partition isolate(leader of shard-1)",
    kind="partition",
    target="n2",
    role_before="leader of shard-1",
    role_after="follower",
    start_ns=4 * SECOND,
    end_ns=14 * SECOND,
    sides=(("n2",), ("n1", "n3")),
    verified_start=True,
    verified_end=True,
    evidence=(
        "before the cut: 12 of 12 probes arrived over all links",
        (
            "at the start of the cut: 0 of 8 probes arrived over the cut links (4 on established "
            "connections, 4 on new ones, both directions), 4 of 4 inside the sides"
        ),
        "during the cut: 0 bytes of the database were delivered across it, 913224 inside",
        "after the heal: 16 of 16 held probes arrived",
    ),
)
KILL = FaultRecord(
    name="kill -9 leader of shard-2",
    kind="kill",
    target="n3",
    role_before="leader of shard-2",
    role_after="follower",
    start_ns=18 * SECOND,
    end_ns=20 * SECOND,
    verified_start=True,
    verified_end=True,
    evidence=(
        "after SIGKILL: there is no process 4211",
        "after the restart: process 4388 answered at n3",
    ),
)


@dataclass
class Cluster:
    """Who can serve which shard when, and what its registers hold."""

    stale: bool
    failover_ns: int = int(0.83 * SECOND)
    values: dict[int, Any] = field(default_factory=dict)
    at_the_cut: dict[int, Any] | None = None

    def serves(self, group: str, node: str, now: int) -> bool:
        if CUT.start_ns <= now < CUT.end_ns:
            if node == "n2":
                return False
            return group != "shard-1" or now >= CUT.start_ns + self.failover_ns
        if KILL.start_ns <= now < KILL.start_ns + self.failover_ns:
            return group != "shard-2"
        return True

    def reads_stale(self, group: str, node: str, now: int) -> bool:
        cut_off = CUT.start_ns + SECOND // 5 <= now < CUT.end_ns
        return self.stale and cut_off and node == "n2" and group == "shard-1"


def group_of(key: int | str) -> str:
    return f"shard-{int(key) % 3 + 1}"


def simulate(
    seed: int, *, seconds: float, rate: float, keys: int, stale: bool, clients: int
) -> tuple[list[Operation], list[Unserved]]:
    rng = random.Random(seed)
    cluster = Cluster(stale)
    history, unserved = [], []
    free_at = {(node, c): 0 for node in NODES for c in range(clients)}
    process = {client: number for number, client in enumerate(free_at)}
    now = 0.0
    written = 0
    while (now := now + rng.expovariate(rate)) < seconds:
        at = int(now * SECOND)
        node, key = rng.choice(NODES), rng.randrange(keys)
        f = rng.choices(("read", "write", "cas"), (5, 3, 2))[0]
        client = min((c for c in free_at if c[0] == node), key=free_at.__getitem__)
        if free_at[client] > at:
            unserved.append(Unserved(at, node, f, key))
            continue
        sent = at + 50_000
        if cluster.at_the_cut is None and sent >= CUT.start_ns:
            cluster.at_the_cut = dict(cluster.values)
        written += 1
        operation = serve(cluster, rng, process[client], f, key, written, at, sent, node)
        history.append(operation)
        free_at[client] = operation.returned_ns
        if operation.outcome == "info":
            process[client] += len(free_at)
    return history, unserved


def serve(
    cluster: Cluster,
    rng: random.Random,
    process: int,
    f: str,
    key: int,
    new: int,
    at: int,
    sent: int,
    node: str,
) -> Operation:
    """Effects take place in the order of sending, so what a healthy cluster answers is legal."""
    latency = int(rng.lognormvariate(1.1, 0.45) * 1_000_000)
    group = group_of(key)
    state = cluster.values.get(key)
    value: Any = None if f == "read" else new if f == "write" else (state, new)
    if f == "cas" and rng.random() < 0.3:
        value = (new - rng.randrange(1, 50), new)

    def done(outcome: Outcome, output: Any = None, error: str = "") -> Operation:
        end = sent + latency
        return Operation(process, f, key, value, outcome, output, at, sent, end, node, error)

    if cluster.reads_stale(group, node, sent) and f == "read":
        assert cluster.at_the_cut is not None
        return done("ok", cluster.at_the_cut.get(key))
    if not cluster.serves(group, node, sent):
        latency = DEADLINE_NS + rng.randrange(1_000_000, 9_000_000)
        if f == "read":
            return done("fail", error="57014 canceling statement due to statement timeout")
        return done("info", error="08007 the outcome of the write is unknown")
    if f == "read":
        return done("ok", state)
    if f == "write":
        cluster.values[key] = new
        return done("ok")
    matched = value[0] == state
    if matched:
        cluster.values[key] = new
    return done("ok", matched)


def synthetic_result(
    seed: int = 1,
    *,
    seconds: float = 26.0,
    rate: float = 120.0,
    keys: int = 24,
    stale: bool = False,
    clients: int = 30,
    faults: tuple[FaultRecord, ...] = (CUT, KILL),
    change: Callable[[list[Operation]], list[Operation]] = lambda history: history,
) -> RunResult:
    history, unserved = simulate(
        seed, seconds=seconds, rate=rate, keys=keys, stale=stale, clients=clients
    )
    history = change(history)
    return RunResult(
        name="demo",
        seed=seed,
        backend="proxy",
        command=f"jepsen-like demo --seed {seed}",
        started_at="2026-03-01T12:00:00+00:00",
        duration_ns=int(seconds * SECOND),
        versions={"shardrouter": "0.1.0", "python": "3.11.7", "sqlite": "3.45.1"},
        topology={
            "database": "shardrouter",
            "nodes": 3,
            "shards": 3,
            "replicas": 3,
            "hosts": list(NODES),
            "leaders": LEADERS,
            "groups_of_keys": {str(key): group_of(key) for key in range(keys)},
        },
        operations=tuple(history),
        faults=faults,
        availability=availability(history, faults, unserved, rng=random.Random(1)),
        failovers=failover(history, faults, lambda operation: group_of(operation.key)),
        verdicts=(
            check(history, CasRegister()),
            Verdict("final reads", "valid", f"all {keys} keys were read on every host", keys * 3),
        ),
        notes=(f"{rate:g} calls/s over 3 hosts, deadline 500 ms, {clients} clients per host",),
        unserved=tuple(unserved),
    )
