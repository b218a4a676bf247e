"""Leaders are spread again after a node was away, under load and at its cost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from nodes.config import RaftConfig, format_cluster
from nodes.local_cluster import LocalCluster, free_ports, new_cluster_config
from nodes.protocol import leader_of
from shardrouter.placement import place_replicas
from shardrouter.router import Router

pytestmark = pytest.mark.long

NODES = ("n1", "n2", "n3")
GROUPS = ("meta", *(f"shard-{number}" for number in range(1, 9)))
SPREAD_S = 60.0
"""Two handovers at least, each after a pause of up to two seconds; the machine may be busy."""


async def leaders(db: Router) -> Counter[str | None]:
    """How many groups each node leads."""
    statuses = (await db.status()).values()
    return Counter(leader_of(group, statuses) for group in GROUPS)


async def until(db: Router, wanted: Callable[[Counter[str | None]], bool]) -> None:
    while True:
        if wanted(await leaders(db)):
            return
        await asyncio.sleep(0.1)


async def test_leaders_are_spread_again_without_a_write_that_fails(tmp_path: Path) -> None:
    *ports, router_port = free_ports(4)
    config = new_cluster_config(
        placement=place_replicas(dict.fromkeys(NODES, 1), GROUPS, 3),
        ports=ports,
        router_port=router_port,
        raft=RaftConfig(),
    )
    path = tmp_path / "cluster.toml"
    path.write_text(format_cluster(config))
    async with LocalCluster(config, tmp_path) as cluster:
        await cluster.start()
        async with Router.open(path, rng=random.Random(1)) as db:
            await db.execute("CREATE TABLE t (id bigint PRIMARY KEY, n bigint NOT NULL)")
            loop = asyncio.get_running_loop()
            acknowledged: list[int] = []
            latencies: list[float] = []
            stopping = False

            async def write(worker: int) -> None:
                key = worker
                while not stopping:
                    begin = loop.time()
                    await db.execute("INSERT INTO t VALUES ($1, 1)", key, timeout=20)
                    latencies.append(loop.time() - begin)
                    acknowledged.append(key)
                    key += 8

            async with asyncio.timeout(150), asyncio.TaskGroup() as group:
                for worker in range(8):
                    group.create_task(write(worker))
                cluster.kill_node("n1")
                await cluster.node("n1").wait()
                await until(db, lambda counts: set(counts) == {"n2", "n3"})
                await cluster.start_node("n1")
                latencies.clear()
                begin = loop.time()
                async with asyncio.timeout(SPREAD_S):
                    await until(db, lambda counts: sorted(counts.values()) == [3, 3, 3])
                took = loop.time() - begin
                stopping = True
            found = await db.fetch("SELECT id FROM t")
            assert sorted(row["id"] for row in found) == sorted(acknowledged)
            assert set(await leaders(db)) == set(NODES)
            median = sorted(latencies)[len(latencies) // 2]
            print(
                f"spread after {took:.1f} s; {len(latencies)} writes meanwhile, median "
                f"{median * 1000:.1f} ms, longest {max(latencies) * 1000:.0f} ms"
            )
