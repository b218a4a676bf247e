"""What goes on while half of the shards are down, and what a client leaves that vanishes in the
middle of a transaction over shards."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from nodes.config import RaftConfig, format_cluster, parse_cluster
from nodes.local_cluster import free_ports, new_cluster_config
from nodes.node import Node
from shardrouter.errors import RouterError
from shardrouter.pgserver import PgServer
from shardrouter.router import Router
from tests.shardrouter.cluster import one_node

UP = ("meta", "shard-1", "shard-2")
DOWN = ("shard-3", "shard-4")


@pytest.mark.slow
@pytest.mark.long
async def test_while_half_of_the_shards_are_down_the_others_serve(tmp_path: Path) -> None:
    """What needs one that is down is told so when its time is over, and has not happened; meanwhile
    the others answer as ever, and then also for the rows that it would have changed."""
    ports = free_ports(3)
    config = new_cluster_config(
        placement={**{group: ["n1"] for group in UP}, **{group: ["n2"] for group in DOWN}},
        ports=ports[:2],
        router_port=ports[2],
        raft=RaftConfig(tick_ms=10, election_ticks=10),
    )
    path = tmp_path / "cluster.toml"
    path.write_text(format_cluster(config))
    config = parse_cluster(path.read_text())
    async with Node(config, "n1", tmp_path / "n1", rng=random.Random(1)), AsyncExitStack() as stack:
        async with Node(config, "n2", tmp_path / "n2", rng=random.Random(2)):
            router = await stack.enter_async_context(Router.open(path, rng=random.Random(3)))
            await router.execute("CREATE TABLE t (id int PRIMARY KEY, n int)")
            await router.execute("CREATE TABLE o (id int PRIMARY KEY, n int)")
            await router.execute("CREATE TABLE r (id int PRIMARY KEY) WITH (reference = true)")
            await router.execute("INSERT INTO r VALUES (1)")
            keys: dict[str, int] = {}
            for key in range(100):
                keys.setdefault((await router.where("t", key)).shard, key)
            assert set(keys) == {*UP[1:], *DOWN}
            for key in keys.values():
                await router.execute("INSERT INTO t VALUES ($1, 0)", key)
                await router.execute("INSERT INTO o VALUES ($1, 0)", key)
        a, b, c, d = (keys[shard] for shard in (*UP[1:], *DOWN))

        async def refused(sql: str, *arguments: object) -> str:
            async with router.acquire() as session:
                await session.execute("SET statement_timeout = '1s'")
                with pytest.raises(RouterError) as caught:
                    await session.execute(sql, *arguments)
                return caught.value.sqlstate

        assert await refused("SELECT n FROM t WHERE id = $1", c) == "57014"
        waiting = [
            asyncio.ensure_future(each)
            for each in (
                refused("SELECT n FROM t WHERE id = $1", c),
                refused("SELECT count(*) FROM t"),
                refused("UPDATE t SET n = n + 1 WHERE id = $1", d),
                refused("UPDATE t SET n = n + 100 WHERE id IN ($1, $2)", a, c),
                refused("UPDATE t SET n = n + 100"),
            )
        ]
        served = 0
        while not all(each.done() for each in waiting):
            assert await router.fetchval("SELECT count(*) FROM o WHERE id IN ($1, $2)", a, b) == 2
            await router.execute("UPDATE o SET n = n + 1 WHERE id IN ($1, $2)", a, b)
            await router.execute("UPDATE o SET n = n + 1 WHERE id = $1", a)
            assert await router.fetchval("SELECT id FROM r") == 1
            served += 1
        assert await router.fetchval("SELECT n FROM o WHERE id = $1", a) == 2 * served > 0
        read, counted, *written = [await each for each in waiting]
        assert read == counted == "57014"
        assert {*written} <= {"57014", "40001", "55P03"}, "each is definite"
        async with asyncio.timeout(10):
            await router.execute("UPDATE t SET n = n + 1 WHERE id IN ($1, $2)", a, b)
        rows = await router.fetch("SELECT n FROM t WHERE id IN ($1, $2)", a, b)
        assert [row[0] for row in rows] == [1, 1], "nothing of what was refused has happened"


@pytest.mark.slow
@pytest.mark.parametrize("last", ["UPDATE", "COMMIT"])
async def test_who_vanishes_in_the_middle_of_a_transaction_holds_nothing(
    tmp_path: Path, last: str
) -> None:
    """Locks and all, on every shard. With COMMIT on its way it has happened on all or on none."""
    async with (
        one_node(tmp_path) as path,
        Router.open(path, rng=random.Random(1)) as router,
    ):
        server = PgServer(router.new_session, host="127.0.0.1", port=0)
        address = await server.start()
        await router.execute("CREATE TABLE t (id int PRIMARY KEY, n int)")
        await router.execute("INSERT INTO t SELECT g, 0 FROM generate_series(1, 30) g")
        connection = await asyncpg.connect(f"postgresql://u@{address}/shardrouter")
        await connection.execute("BEGIN")
        await connection.fetch("SELECT n FROM t WHERE id = 1 FOR UPDATE")
        await connection.execute("UPDATE t SET n = n + 1")
        if last == "COMMIT":
            answer = asyncio.ensure_future(connection.execute("COMMIT"))
            await asyncio.sleep(0)
            connection.terminate()
            await asyncio.gather(answer, return_exceptions=True)
        else:
            connection.terminate()
        async with asyncio.timeout(10):
            await router.execute("UPDATE t SET n = n + 10")
        rows = await router.fetch("SELECT DISTINCT n FROM t")
        assert [row[0] for row in rows] in ([[10], [11]] if last == "COMMIT" else [[10]])
        await server.close(5)
