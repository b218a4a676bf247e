"""How long a group is without a leader that takes writes: after kill -9, and around a partition.

    python bench/failover.py
    python bench/failover.py --quick     one of each, to see that it works

Three nodes as `shardrouter up` makes them, a router, some writers. A failover is the time from
kill -9 of the node that leads the shard to the first acknowledgement of a write that was sent
after it. Then the node comes back, catches up, and the next leader is killed.

For the partition the leader is cut off from everybody, routers included, by a proxy for each
link that holds what is sent. The others elect a leader and go on; when the cut heals, the old
one must not take that away: the longest time without an acknowledgement around the heal is
measured.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import click

from bench.machine import commit, machine
from jepsen_like.backends.proxy import Mesh
from nodes.cluster_file import write_cluster
from nodes.config import Address, ClusterConfig
from nodes.local_cluster import LocalCluster, free_ports, new_cluster_config
from nodes.protocol import ReplicaStatus
from shardrouter.errors import RouterError
from shardrouter.router import Router

GROUP = "shard-1"
NODES = ("n1", "n2", "n3")
CLIENT = "client"
WRITERS = 8
PAUSE_S = 0.004  # of a writer between two writes: the load leaves the machine idle
TIMEOUT_S = 20.0
DEADLINE_S = 60.0
SETTLED_S = 0.5  # of undisturbed writes before the next fault
CUT_S = 2.5
WATCH_S = 3.0  # after a heal; old connections are found dead within this time

FAILOVER_P50_S = 0.5
FAILOVER_SLOW_S = 1.0
SLOW_MAX = 1  # failovers over FAILOVER_SLOW_S in a run of 30
HEAL_GAP_S = 0.3  # under an election timeout: nobody was deposed


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


def new_config() -> ClusterConfig:
    ports = free_ports(len(NODES) + 1)
    return new_cluster_config(
        placement={"meta": NODES[1:] + NODES[:1], GROUP: NODES},
        ports=ports[:-1],
        router_port=ports[-1],
    )


@asynccontextmanager
async def loaded(
    config: ClusterConfig,
    directory: Path,
    *,
    views: dict[str, ClusterConfig],
) -> AsyncIterator[tuple[LocalCluster, Writers]]:
    """Nodes and writers; `views` says what each node believes, and what the router does."""
    async with LocalCluster(config, directory, views=views) as cluster:
        await cluster.start()
        await cluster.wait_for_leaders()
        file = directory / "cluster.toml"
        write_cluster(file, views.get(CLIENT, config))
        async with Router.open(file, name="bench") as db:
            writers = Writers(db)
            async with writers.running():
                yield cluster, writers


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


async def kill_leaders(count: int, directory: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """(each failover, errors of writers)."""
    loop = asyncio.get_running_loop()
    found: list[dict[str, Any]] = []
    async with loaded(new_config(), directory, views={}) as (cluster, writers):
        for number in range(count):
            leader = await settle(cluster)
            term = max(replica.term for replica in (await replicas(cluster)).values())
            killed = loop.time()
            cluster.kill_node(leader)
            async with asyncio.timeout(DEADLINE_S):
                took = await writers.first_after(killed) - killed
            terms = max(replica.term for replica in (await replicas(cluster)).values()) - term
            found.append({"seconds": round(took, 3), "terms": terms})
            click.echo(f"{number + 1}: {leader} killed, {took:.3f} s, {terms} terms", err=True)
            await cluster.node(leader).wait()
            await cluster.start_node(leader)
        return found, writers.failed


async def cut_leaders(count: int, directory: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """(each cut and its heal, errors of writers)."""
    loop = asyncio.get_running_loop()
    found: list[dict[str, Any]] = []
    config = new_config()
    mesh = Mesh([*NODES, CLIENT])
    try:
        views = await views_through(mesh, config)
        async with loaded(config, directory, views=views) as (cluster, writers):
            for number in range(count):
                leader = await settle(cluster)
                others = [host for host in (*NODES, CLIENT) if host != leader]
                cut = loop.time()
                await mesh.cut([(leader, o) for o in others] + [(o, leader) for o in others])
                async with asyncio.timeout(DEADLINE_S):
                    took = await writers.first_after(cut) - cut
                await asyncio.sleep(CUT_S)
                healed = loop.time()
                await mesh.heal(mesh.pairs)
                await asyncio.sleep(WATCH_S)
                gap = longest_gap(writers.acknowledged, healed - SETTLED_S, loop.time())
                found.append({"seconds": round(took, 3), "gap_at_heal_s": round(gap, 3)})
                click.echo(
                    f"{number + 1}: {leader} cut off, {took:.3f} s; "
                    f"healed, longest gap {gap:.3f} s",
                    err=True,
                )
            return found, writers.failed
    finally:
        await mesh.close()


async def views_through(mesh: Mesh, config: ClusterConfig) -> dict[str, ClusterConfig]:
    """What each host believes: itself where it is, all others behind the mesh."""
    nodes = {host: dict(config.nodes) for host in (*NODES, CLIENT)}
    for host, node in config.nodes.items():
        dial = await mesh.expose(host, "node", (node.address.host, node.address.port))
        for source, address in dial.items():
            if source != host:
                nodes[source][host] = replace(node, address=Address(*address))
    return {host: replace(config, nodes=known) for host, known in nodes.items()}


def judged(kills: Sequence[dict[str, Any]], cuts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    seconds = sorted(kill["seconds"] for kill in kills)
    slow = [kill for kill in kills if kill["seconds"] > FAILOVER_SLOW_S]
    heal = max(cut["gap_at_heal_s"] for cut in cuts)

    def figure(name: str, value: float, target: float | None) -> dict[str, Any]:
        met = target is None or value <= target
        return {"figure": name, "measured": round(value, 3), "target": target, "met": met}

    return [
        figure("kill -9 to the next write, p50, s", statistics.median(seconds), FAILOVER_P50_S),
        figure("fastest, s", seconds[0], None),
        figure("slowest, s", seconds[-1], None),
        figure(f"over {FAILOVER_SLOW_S:g} s", len(slow), SLOW_MAX),
        figure("of these after an election that failed", sum(k["terms"] > 1 for k in slow), None),
        figure(
            "cut to the next write, p50, s", statistics.median(c["seconds"] for c in cuts), None
        ),
        figure("longest gap at a heal, s", heal, HEAL_GAP_S),
    ]


@click.command()
@click.option("--kills", default=30, show_default=True, help="Leaders to kill.")
@click.option("--cuts", default=8, show_default=True, help="Leaders to cut off.")
@click.option("--quick", is_flag=True, help="One of each: does it work?")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(__file__).with_name("results"),
    help="Where the JSON goes.",
)
def main(kills: int, cuts: int, quick: bool, out: Path) -> None:
    """Measure how long writes stop when their leader dies, or is cut off."""
    from rich.console import Console
    from rich.table import Table

    if quick:
        kills = cuts = 1
    with tempfile.TemporaryDirectory(prefix="bench-failover-") as directory:
        killed, failed = asyncio.run(kill_leaders(kills, Path(directory) / "kills"))
        cut, failed_too = asyncio.run(cut_leaders(cuts, Path(directory) / "cuts"))
    figures = judged(killed, cut)
    content = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "figures": figures,
        "kills": killed,
        "cuts": cut,
        "failed_writes": failed + failed_too,
    }
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"failover-{commit()}.json"
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    table = Table(title=f"{kills} kills, {cuts} cuts, commit {commit()}, {machine()}")
    for title in ("figure", "measured", "target", ""):
        table.add_column(title)
    for found in figures:
        target = "" if found["target"] is None else f"<= {found['target']:g}"
        met = "" if found["target"] is None else "met" if found["met"] else "missed"
        table.add_row(found["figure"], f"{found['measured']:g}", target, met)
    table.add_row("writes that were not acknowledged", str(len(failed + failed_too)), "", "")
    Console(width=120).print(table)
    click.echo(f"written: {path}")


if __name__ == "__main__":
    main()
