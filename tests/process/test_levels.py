"""What each level of consistency answers on one node of three, while the others are silent: as a
client on the small side of a partition meets it, and once it is over."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nodes.local_cluster import LocalCluster
from shardrouter.errors import DeadlineExceeded
from shardrouter.router import Router
from tests.process.test_router_failover import NODES, three_nodes

pytestmark = pytest.mark.slow

READ = "SELECT n FROM t WHERE id = 1"


async def test_what_each_level_answers_without_a_majority(tmp_path: Path) -> None:
    async with three_nodes(tmp_path) as (cluster, path), Router.open(path) as db:
        await db.execute("CREATE TABLE t (id bigint PRIMARY KEY, n bigint NOT NULL)")
        await db.execute("INSERT INTO t VALUES (1, 0)")
        place = await db.where("t", 1)
        survivor = next(name for name in NODES if name != place.leader)
        others = [name for name in NODES if name != survivor]

        # Every replica answers, and none of them shows what is older than the write.
        for level in ("session", "bounded", "lease", "linearizable"):
            await db.execute(f"SET shardrouter.consistency = {level}")
            if level == "bounded":
                await db.execute("SET shardrouter.max_staleness = 0")
            for n in range(1, 31):
                await db.execute("UPDATE t SET n = $1 WHERE id = 1", n)
                assert await db.fetchval(READ) == n, level
        token = await db.fetchval("SHOW shardrouter.session_token")
        group = place.shard
        (seen,) = (item.removeprefix(f"{group}=1:") for item in token.split(",") if group in item)

        # The one that is left has all of it by now, or the session would not be answered here.
        await db.execute("SET shardrouter.consistency = session")
        await db.execute("SET shardrouter.max_staleness = '2s'")
        async with asyncio.timeout(30):
            while not await _has(cluster, survivor, group, int(seen)):
                await db.fetchval(READ)
        for name in others:
            cluster.node(name).pause()
        assert await db.fetchval(READ, timeout=5.0) == 30
        assert await db.fetchval(f"/*+ consistency=any */ {READ}", timeout=5.0) == 30
        for level in ("linearizable", "lease", "bounded max_staleness=100ms"):
            with pytest.raises(DeadlineExceeded):
                await db.fetchval(f"/*+ consistency={level} */ {READ}", timeout=0.7)

        # A session that has seen more, elsewhere, is answered nothing older.
        async with db.acquire() as fresh:
            await fresh.execute("SET shardrouter.consistency = session")
            assert await fresh.fetchval(READ, timeout=5.0) == 30
            more = f"{group}=1:{int(seen) + 1}"
            await fresh.execute(f"SET shardrouter.session_token = '{more}'")
            with pytest.raises(DeadlineExceeded):
                await fresh.fetchval(READ, timeout=0.7)
            for name in others:
                cluster.node(name).resume()
            await db.execute("UPDATE t SET n = 31 WHERE id = 1", timeout=30)
            assert await fresh.fetchval(READ, timeout=30) == 31


async def _has(cluster: LocalCluster, node: str, group: str, index: int) -> bool:
    status = await cluster.status_of(node)
    assert status is not None
    return any(r.group == group and r.applied >= index for r in status.replicas)
