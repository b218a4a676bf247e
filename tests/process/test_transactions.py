"""Nothing of an unfinished transaction survives its leader or its router; and it goes on at the
next leader. Real processes, SIGKILL."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import asyncpg
import pytest

from nodes.config import Address
from nodes.local_cluster import ManagedProcess
from shardrouter.dsn_file import make_dsn, password_of, read_dsn
from shardrouter.router import Router
from tests.process.test_router_failover import three_nodes

pytestmark = pytest.mark.slow

ADD = "UPDATE t SET n = n + $2 WHERE id = $1"
READ = "SELECT n FROM t WHERE id = $1"


async def test_a_transaction_outlives_its_leader_and_not_its_router(tmp_path: Path) -> None:
    async with three_nodes(tmp_path) as (cluster, path), Router.open(path) as db:
        await db.execute("CREATE TABLE t (id bigint PRIMARY KEY, n bigint)")
        await db.execute("INSERT INTO t VALUES (1, 0)")
        place = await db.where("t", 1)
        assert place.leader is not None
        async with db.transaction() as kept, db.acquire() as seen:
            changed = seen.transaction()
            await changed.start()
            assert await seen.fetchval(READ, 1) == 0
            await kept.execute(ADD, 1, 5)
            cluster.node(place.leader).kill()
            # Its steps are run again where the next leader is, with the same answers.
            assert await kept.fetchval(READ, 1) == 5
            assert await db.fetchval(READ, 1) == 0  # nobody else sees them
            assert await seen.fetchval(READ, 1) == 0
            await changed.rollback()
        assert await db.fetchval(READ, 1) == 5

        argv = [sys.executable, "-m", "shardrouter.cli", "serve", "--cluster", str(path)]
        router = ManagedProcess(
            "router", [*argv, "--port", "0", "--exit-with-stdin"], log_path=tmp_path / "router.log"
        )
        await router.start()
        address = Address.parse(await router.wait_ready(30), "the router")
        connection = await asyncpg.connect(make_dsn(address, password_of(read_dsn(path))))
        await connection.execute("BEGIN")
        await connection.execute(ADD, 1, 100)
        router.kill()
        await router.wait()
        async with asyncio.timeout(5):
            await db.execute(ADD, 1, 1)
        assert await db.fetchval(READ, 1) == 6
        connection.terminate()
