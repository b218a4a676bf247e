"""How long a shard takes no writes when its leader is killed, and when a partition heals.

Three nodes, a router in this process, some writers that leave the machine idle. A failover is the
time from SIGKILL for the node that leads the shard to the first acknowledgement of a write that was
sent after it. Then the node comes back, catches up, and the next leader is killed. Most of it is
the election timeout, which counts from the last heartbeat.

For the partition the leader is cut off from everybody, routers included, by a proxy for each link
that holds what is sent. The others elect a leader and go on; when the cut heals, the old one must
not take that away: the longest time without an acknowledgement around the heal is measured.

Costs are of whole faults, from a kill until the killed one has caught up, from a cut until the
heal is over, for each write that was acknowledged meanwhile. Router, writers and proxies are one
process, and one figure.
"""

from __future__ import annotations

import asyncio
import os
import statistics
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final

from bench.clusters import CLIENT, NODES, new_config, running_nodes
from bench.contestants import MAJORITY
from bench.costs import Meter
from bench.embedded import ROUTER
from bench.question import Answer, Line, Question, Setting, Verdict, line_of
from bench.runs import costs_each
from jepsen_like.backends.proxy import Mesh
from nodes.config import Address, ClusterConfig
from nodes.local_cluster import LocalCluster
from nodes.protocol import ReplicaStatus
from shardrouter.errors import RouterError
from shardrouter.router import Router

GROUP: Final = "shard-1"
PLACEMENT: Final = {"meta": NODES[1:] + NODES[:1], GROUP: NODES}
KILLS: Final = 30
CUTS: Final = 5
QUICK: Final = (5, 1)
"""Kills and cuts."""

WRITERS: Final = 8
PAUSE_S: Final = 0.004
"""Of a writer between two writes: the load leaves the machine idle."""

TIMEOUT_S: Final = 20.0
DEADLINE_S: Final = 60.0
SETTLED_S: Final = 0.5
"""Of undisturbed writes before the next fault."""

CUT_S: Final = 2.5
WATCH_S: Final = 3.0
"""After a heal; old connections are found dead within this time."""

P50_S: Final = 0.5
SLOW_S: Final = 1.0
SLOW_MAX: Final = 1
"""Failovers over SLOW_S among KILLS."""

HEAL_GAP_S: Final = 0.3
"""Under an election timeout: nobody was deposed."""

MINE: Final = "shardrouter"
KILLED: Final = "SIGKILL for the leader"
CUT: Final = "the leader cut off"


class Writers:
    """Writes all the time, and when each was sent and acknowledged."""

    def __init__(self, db: Router) -> None:
        self._db = db
        self._loop = asyncio.get_running_loop()
        self._next = 0
        self._more = asyncio.Condition()
        self.acknowledged: list[tuple[float, float]] = []
        self.failed: list[str] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self._db.execute("CREATE TABLE t (id bigint PRIMARY KEY, n bigint NOT NULL)")
        tasks = [asyncio.create_task(self._write_on()) for _ in range(WRITERS)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _write_on(self) -> None:
        while True:
            key, self._next = self._next, self._next + 1
            sent = self._loop.time()
            try:
                await self._db.execute(
                    "INSERT INTO t (id, n) VALUES ($1, $2)", key, 10 * key, timeout=TIMEOUT_S
                )
            except RouterError as exc:
                self.failed.append(str(exc))
            else:
                self.acknowledged.append((sent, self._loop.time()))
                async with self._more:
                    self._more.notify_all()
            await asyncio.sleep(PAUSE_S)

    async def first_after(self, moment: float) -> float:
        """When the first write that was sent after `moment` was acknowledged."""
        start = len(self.acknowledged)

        def found() -> float | None:
            return next((done for sent, done in self.acknowledged[start:] if sent > moment), None)

        async with self._more:
            await self._more.wait_for(lambda: found() is not None)
        done = found()
        assert done is not None
        return done


def longest_gap(acknowledged: Sequence[tuple[float, float]], begin: float, end: float) -> float:
    """Between two acknowledgements of (sent, acknowledged), or the ends of what was watched."""
    inside = sorted(done for _, done in acknowledged if begin <= done <= end)
    return max(later - earlier for earlier, later in pairwise([begin, *inside, end]))


@asynccontextmanager
async def loaded(
    directory: Path, config: ClusterConfig, views: Mapping[str, ClusterConfig]
) -> AsyncIterator[tuple[LocalCluster, Writers]]:
    """Nodes and writers; `views` says what each node believes, and what the router does."""
    async with running_nodes(directory, config, views=views) as running:
        await running.cluster.wait_for_leaders()
        async with Router.open(running.path, name="bench") as db:
            writers = Writers(db)
            async with writers.running():
                yield running.cluster, writers


def roots_of(cluster: LocalCluster) -> dict[str, int]:
    return {ROUTER: os.getpid(), **{node: cluster.node(node).pid for node in NODES}}


async def replicas(cluster: LocalCluster) -> dict[str, ReplicaStatus]:
    """The shard's replicas, by node; without those that do not answer."""
    return {
        node: replica
        for node, status in (await cluster.status()).items()
        if status is not None
        for replica in status.replicas
        if replica.group == GROUP
    }


async def settle(cluster: LocalCluster) -> str:
    """Until every replica has what was committed a moment ago; the shard's leader."""
    async with asyncio.timeout(DEADLINE_S):
        goal = max(replica.commit for replica in (await replicas(cluster)).values())
        while True:
            found = await replicas(cluster)
            if len(found) == len(NODES) and all(r.applied >= goal for r in found.values()):
                break
            await asyncio.sleep(0.02)
        leaders = await cluster.wait_for_leaders()
    await asyncio.sleep(SETTLED_S)
    return leaders[GROUP]


async def views_through(mesh: Mesh, config: ClusterConfig) -> dict[str, ClusterConfig]:
    """What each host believes: itself where it is, all others behind the mesh."""
    nodes = {host: dict(config.nodes) for host in (*NODES, CLIENT)}
    for host, node in config.nodes.items():
        dial = await mesh.expose(host, "node", (node.address.host, node.address.port))
        for source, address in dial.items():
            if source != host:
                nodes[source][host] = replace(node, address=Address(*address))
    return {host: replace(config, nodes=known) for host, known in nodes.items()}


async def kill_leaders(setting: Setting, count: int) -> tuple[list[dict[str, float]], list[str]]:
    """(each failover, errors of writers)."""
    loop = asyncio.get_running_loop()
    found: list[dict[str, float]] = []
    config = new_config(1, placement=PLACEMENT)
    async with loaded(setting.directory / "kills", config, {}) as (cluster, writers):
        leader = await settle(cluster)
        for number in range(count):
            meter, before = Meter(roots_of(cluster)), len(writers.acknowledged)
            term = max(replica.term for replica in (await replicas(cluster)).values())
            killed = loop.time()
            cluster.kill_node(leader)
            async with asyncio.timeout(DEADLINE_S):
                took = await writers.first_after(killed) - killed
            terms = max(replica.term for replica in (await replicas(cluster)).values()) - term
            setting.say(f"{number + 1}/{count}: {leader} killed, {took:.3f} s, {terms} terms")
            await cluster.node(leader).wait()
            await cluster.start_node(leader)
            meter.restarted(leader, cluster.node(leader).pid, ROUTER)
            leader = await settle(cluster)
            costs = costs_each(*meter.read(), len(writers.acknowledged) - before)
            found.append({"seconds": took, "terms": float(terms), **costs})
        return found, writers.failed


async def cut_leaders(setting: Setting, count: int) -> tuple[list[dict[str, float]], list[str]]:
    """(each cut and its heal, errors of writers)."""
    loop = asyncio.get_running_loop()
    found: list[dict[str, float]] = []
    config = new_config(1, placement=PLACEMENT)
    mesh = Mesh([*NODES, CLIENT])
    try:
        views = await views_through(mesh, config)
        async with loaded(setting.directory / "cuts", config, views) as (cluster, writers):
            for number in range(count):
                leader = await settle(cluster)
                others = [host for host in (*NODES, CLIENT) if host != leader]
                meter, before = Meter(roots_of(cluster)), len(writers.acknowledged)
                cut = loop.time()
                await mesh.cut([(leader, o) for o in others] + [(o, leader) for o in others])
                async with asyncio.timeout(DEADLINE_S):
                    took = await writers.first_after(cut) - cut
                await asyncio.sleep(CUT_S)
                healed = loop.time()
                await mesh.heal(mesh.pairs)
                await asyncio.sleep(WATCH_S)
                gap = longest_gap(writers.acknowledged, healed - SETTLED_S, loop.time())
                costs = costs_each(*meter.read(), len(writers.acknowledged) - before)
                found.append({"seconds": took, "gap_at_heal_s": gap, **costs})
                setting.say(
                    f"{number + 1}/{count}: {leader} cut off, {took:.3f} s; healed, longest gap "
                    f"{gap:.3f} s"
                )
            return found, writers.failed
    finally:
        await mesh.close()


def judged(
    kills: Sequence[Mapping[str, float]], cuts: Sequence[Mapping[str, float]]
) -> list[Verdict]:
    slow = [kill for kill in kills if kill["seconds"] > SLOW_S]
    failed = sum(kill["terms"] > 1 for kill in slow)
    median = statistics.median(kill["seconds"] for kill in kills)
    return [
        Verdict("s from SIGKILL to the next write, p50", round(median, 3), "<=", P50_S),
        Verdict(
            f"failovers over {SLOW_S:g} s of {len(kills)}", len(slow), "<=", SLOW_MAX,
            f"{failed} after an election that failed" if slow else "",
        ),
        Verdict(
            "s without an acknowledgement around a heal, the longest",
            round(max(cut["gap_at_heal_s"] for cut in cuts), 3), "<=", HEAL_GAP_S,
        ),
    ]  # fmt: skip


async def measure(setting: Setting) -> Answer:
    kills, cuts = QUICK if setting.quick else (KILLS, CUTS)
    killed, failed = await kill_leaders(setting, kills)
    cut, failed_too = await cut_leaders(setting, cuts)
    lines: list[Line] = [
        line_of(MINE, f"{KILLED}, {kills} times; costs of each write", killed, MAJORITY),
        line_of(MINE, f"{CUT}, {cuts} times; costs of each write", cut, MAJORITY),
    ]
    verdicts = judged(killed, cut)
    unacknowledged = len(failed) + len(failed_too)
    verdicts.append(Verdict("writes that were not acknowledged", unacknowledged, "<=", 0))
    return Answer(lines, verdicts, {MINE: "1 shard of 3 replicas: log fsynced by a majority"})


QUESTION: Final = Question(
    "failover",
    "How long does a shard take no writes when its leader dies, or a partition heals?",
    "seconds",
    measure,
)
