"""What a shard without a quorum does to the others: the latency of their statements, before and
while it has none.

Five node processes: shard-1, and the catalog, on three of them, shard-2 on the other two, of which
one is stopped (SIGSTOP) and goes on, in turns. The router has a process of its own; clients come
over the wire. Statements for either shard arrive by chance at a rate of their own, on connections
of their own, whatever became of those before. Those of shard-2 wait while it is lost, as many as
its connections are. The latencies of shard-1 are compared in turns, so that whatever else the
machine does meets both.
"""

from __future__ import annotations

import asyncio
import os
import random
import struct
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final, cast

from bench.clusters import new_config, running_nodes
from bench.contestants import MAJORITY
from bench.costs import CLIENT, Meter
from bench.open_router import child, said
from bench.question import Answer, Question, Setting, Verdict, line_of
from bench.runs import costs_each
from nodes.local_cluster import LocalCluster
from shardrouter.pgwire import messages as m
from shardrouter.router import Router

RATIO: Final = 1.2
"""Times the p99 of before, at most."""

PLACEMENT: Final = {
    "meta": ("n1", "n2", "n3"),
    "shard-1": ("n1", "n2", "n3"),
    "shard-2": ("n4", "n5"),
}
NODES: Final = ("n1", "n2", "n3", "n4", "n5")
LOST: Final = "n5"
PHASE_S: Final = 4.0
"""Of either state, in each round."""

TIMES: Final = 3
"""As many rounds as other questions have: each has a few hundred statements, of which one in a
hundred decides."""

ROWS: Final = 200
CONNECTIONS: Final = 300
"""For each shard: those of the lost one are more than a router lets in at first."""

RATE: Final = 200.0
"""Statements a second for each shard."""

SETTLE_S: Final = 1.0
"""After a stop, or its end, that is not counted as the state that follows; the first is shown."""

_READY: Final = b"Z\0\0\0\x05I"
_SELECT: Final = "SELECT val FROM bench WHERE id = $1"
_UPDATE: Final = "UPDATE bench SET val = 'w' WHERE id = $1"


class Connection(asyncio.Protocol):
    """One statement at a time, of one shard."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._heard = b""
        self._arrived: float | None = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        startup = m.StartupMessage(
            3, 0, (("user", "bench"), ("database", "shardrouter"), ("statement_timeout", "60s"))
        )
        parses = (m.Parse("select", _SELECT, ()), m.Parse("update", _UPDATE, ()))
        said = (startup, *parses, m.Sync())
        self.transport.write(b"".join([m.encode(message) for message in said]))

    def say(self, data: bytes, arrived: float) -> None:
        self._arrived = arrived
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        if self._arrived is not None and self._heard.endswith(_READY):
            heard, self._heard = self._heard, b""
            arrived, self._arrived = self._arrived, None
            self._load.ended(self, arrived, heard)
        elif self._arrived is None and self._heard.count(_READY) == 2:
            self._heard = b""
            self.ready.set_result(None)


class Load:
    """Of one shard."""

    def __init__(self, keys: list[int], seed: int) -> None:
        self._rng = random.Random(seed)
        self._said = [
            m.encode(m.Bind("", kind, (1,), (struct.pack(">q", key),), (1,)))
            + m.encode(m.Execute("", 0))
            + m.encode(m.Sync())
            for key in keys
            for kind in ("select", "update")
        ]
        self.idle: deque[Connection] = deque()
        self.without = 0
        """Statements that found no connection: all of them wait."""
        self.took: list[float] = []
        self.failed: dict[str, int] = {}
        """By SQLSTATE."""

    async def connect(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            _, connection = await loop.create_connection(
                lambda: Connection(self), "127.0.0.1", port
            )
            await connection.ready
            self.idle.append(connection)

    def ended(self, connection: Connection, arrived: float, heard: bytes) -> None:
        self.idle.append(connection)
        if b"SERROR" in heard:
            code = heard[heard.index(b"\0C") + 2 :][:5].decode()
            self.failed[code] = self.failed.get(code, 0) + 1
        else:
            self.took.append(time.perf_counter() - arrived)

    async def run(self) -> None:
        """Until it is cancelled."""
        due = time.perf_counter()
        while True:
            while due <= (now := time.perf_counter()):
                if self.idle:
                    self.idle.popleft().say(self._rng.choice(self._said), due)
                else:
                    self.without += 1
                due += self._rng.expovariate(RATE)
            await asyncio.sleep(max(0.0, due - now))


def _p99_ms(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.99)] * 1000 if took else float("inf")


@dataclass
class Found:
    """One dictionary of figures for each round."""

    before: list[dict[str, float]] = field(default_factory=list)
    lost: list[dict[str, float]] = field(default_factory=list)
    failed: dict[str, int] = field(default_factory=dict)
    """Statements of the healthy shard, by SQLSTATE."""


async def _compare(
    setting: Setting, cluster: LocalCluster, roots: dict[str, int], healthy: Load, other: Load
) -> Found:
    """Costs are for each answer, of either shard."""
    found = Found()
    length = 0.5 if setting.quick else PHASE_S

    async def phase(seconds: float) -> list[float]:
        healthy.took = []
        await asyncio.sleep(seconds)
        return healthy.took

    async def measured() -> dict[str, float]:
        other.took = []
        meter = Meter(roots)
        took = await phase(length)
        cost, memory = meter.read()
        return {
            "p99_ms": _p99_ms(took),
            "per_second": len(took) / length,
            "router_cores": cost.cpu_s["router"] / length,
            "answers_of_the_other": float(len(other.took)),
            **costs_each(cost, memory, len(took) + len(other.took)),
        }

    running = [asyncio.ensure_future(load.run()) for load in (healthy, other)]
    try:
        await phase(SETTLE_S)
        for number in range(setting.rounds if setting.quick else TIMES * setting.rounds):
            found.before.append(await measured())
            cluster.node(LOST).pause()
            at_the_loss = _p99_ms(await phase(SETTLE_S))
            found.lost.append({**await measured(), "p99_ms_at_the_loss": at_the_loss})
            cluster.node(LOST).resume()
            await phase(SETTLE_S)
            setting.say(
                f"round {number + 1}: p99 {found.before[-1]['p99_ms']:.1f} ms before, "
                f"{found.lost[-1]['p99_ms']:.1f} while it is lost"
            )
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)
    found.failed = healthy.failed
    return found


async def measure(setting: Setting) -> Answer:
    config = new_config(2, NODES, placement=PLACEMENT)
    async with (
        running_nodes(setting.directory, config) as running,
        child("bench.open_router", str(running.path)) as router,
    ):
        port = int(await said(router))
        keys: dict[str, list[int]] = {}
        async with Router.open(running.path) as db:
            for key in range(ROWS):
                keys.setdefault((await db.where("bench", key)).shard, []).append(key)
        healthy, other = Load(keys["shard-1"], 1), Load(keys["shard-2"], 2)
        for load in (healthy, other):
            await load.connect(port)
        roots = {"router": router.pid, **running.pids, CLIENT: os.getpid()}
        found = await _compare(setting, running.cluster, roots, healthy, other)
    lines = [
        line_of(
            "shard-1",
            f"before shard-2 loses its quorum, {RATE:g}/s for each",
            found.before,
            MAJORITY,
        ),
        line_of("shard-1", f"while {CONNECTIONS} statements wait for it", found.lost, MAJORITY),
    ]
    before, lost = (line.figures["p99_ms"].median for line in lines)
    ratio = Verdict(
        "p99 while another shard is lost, of before", round(lost / before, 3), "<=", RATIO
    )
    failed = Verdict(
        "statements of the healthy shard that failed", sum(found.failed.values()), "<=", 0,
        ", ".join(f"{count} with {code}" for code, count in found.failed.items()),
    )  # fmt: skip
    return Answer(lines, [ratio, failed], {"shardrouter": "2 shards, of 3 and of 2 replicas"})


QUESTION: Final = Question(
    "lost-shard",
    "What does a shard without a quorum do to the statements of another?",
    "p99_ms",
    measure,
)
