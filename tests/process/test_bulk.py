"""Large writes and large results over three node processes, one of which dies in the middle."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nodes.client import NodeClient
from nodes.comparison import Comparison, compare
from nodes.local_cluster import LocalCluster
from shardrouter.branch import HELD_BYTES_MAX
from shardrouter.errors import IndefiniteError, RouterError
from shardrouter.router import Router
from tests.process.test_router_failover import three_nodes

pytestmark = pytest.mark.slow

PIECE = 5_000
PIECES = 14

STATEMENTS = 60
"""Of a transaction: together twice what a router holds of one."""


async def check_alike(cluster: LocalCluster) -> None:
    """The replicas of each group have the same rows, and the same stages."""
    clients = {
        name: NodeClient.to(name, cluster.config, name="test") for name in cluster.config.nodes
    }
    for group in cluster.config.groups:
        found = await compare(group, clients, timeout_s=20)
        assert isinstance(found, Comparison), found
        assert not found.differences
        assert not found.silent
    for client in clients.values():
        await client.close()


async def test_a_copy_whose_leader_dies_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """Once while its rows are sent ahead, once when the write that names them has left."""
    async with three_nodes(tmp_path) as (cluster, path), Router.open(path) as db:
        await db.execute("CREATE TABLE h (id int PRIMARY KEY, name text) WITH (home = true)")
        await db.execute("INSERT INTO h VALUES (-1, 'first')")
        before = 1
        for dies in ("half way", "at the end"):
            shard = db._backend.schema.catalog.home
            leader = (await cluster.leaders())[shard]
            session = db.new_session()
            copy = session.copy_in(await session.prepare("COPY h FROM STDIN"))
            start = 1_000_000 if dies == "at the end" else 0
            for piece in range(PIECES):
                if piece == PIECES // 2 and dies == "half way":
                    cluster.kill_node(leader)
                numbers = range(start + piece * PIECE, start + (piece + 1) * PIECE)
                copy.feed(b"".join(b"%d\tname of %d\n" % (n, n) for n in numbers))
                await copy.room()
            finishing = asyncio.create_task(copy.finish())
            if dies == "at the end":
                await asyncio.sleep(0)
                cluster.kill_node(leader)
            written: bool | None
            try:
                assert (await finishing).tag == f"COPY {PIECE * PIECES}"
                written = True
            except RouterError as error:
                written = None if isinstance(error, IndefiniteError) else False
            await cluster.node(leader).wait()
            await cluster.start_node(leader)
            await cluster.wait_for_leaders()
            count = await db.fetchval("SELECT count(*) FROM h", timeout=20)
            assert count in (before, before + PIECE * PIECES)
            if written is not None:
                assert (count > before) is written
            before = count
            await session.close()
        await check_alike(cluster)


async def test_a_result_whose_node_dies_in_the_middle_is_a_definite_error(tmp_path: Path) -> None:
    async with three_nodes(tmp_path) as (cluster, path), Router.open(path) as db:
        await db.execute("CREATE TABLE h (id int PRIMARY KEY, name text) WITH (home = true)")
        await db.copy_records_to_table("h", records=[(n, "x" * 100) for n in range(30_000)])
        leader = (await cluster.leaders())[db._backend.schema.catalog.home]
        taken = 0

        async def take() -> None:
            nonlocal taken
            async for _ in db.cursor("SELECT * FROM h"):
                taken += 1
                if taken == 1_000:
                    cluster.kill_node(leader)
                    await cluster.node(leader).wait()

        with pytest.raises(RouterError) as caught:
            await take()
        assert caught.value.sqlstate == "57P03"
        assert caught.value.definite
        assert 1_000 < taken < 30_000
        assert await db.fetchval("SELECT count(*) FROM h", timeout=20) == 30_000


@pytest.mark.long
@pytest.mark.processes
async def test_a_large_transaction_whose_leader_dies_is_written_whole_or_not_at_all(
    tmp_path: Path,
) -> None:
    """Once when the shard has most of its steps, once when its COMMIT has left; and the replicas
    are the same after all of it."""
    async with three_nodes(tmp_path) as (cluster, path), Router.open(path) as db:
        await db.execute("CREATE TABLE h (id int PRIMARY KEY, name text) WITH (home = true)")
        shard = db._backend.schema.catalog.home
        before = 0
        for dies in ("half way", "at the end", "before ROLLBACK"):
            leader = (await cluster.leaders())[shard]
            async with db.acquire() as connection:
                transaction = connection.transaction()
                await transaction.start()
                for n in range(STATEMENTS):
                    if n == STATEMENTS - 10 and dies == "half way":
                        cluster.kill_node(leader)
                    values = (before + n, "x" * (2 * HELD_BYTES_MAX // STATEMENTS))
                    await connection.execute("INSERT INTO h VALUES ($1, $2)", *values)
                assert await connection.fetchval("SELECT count(*) FROM h") == before + STATEMENTS
                ending = asyncio.create_task(
                    transaction.rollback() if "ROLLBACK" in dies else transaction.commit()
                )
                if dies != "half way":
                    await asyncio.sleep(0)
                    cluster.kill_node(leader)
                written: bool | None = "ROLLBACK" not in dies
                try:
                    await ending
                except RouterError as error:
                    written = None if isinstance(error, IndefiniteError) else False
            await cluster.node(leader).wait()
            await cluster.start_node(leader)
            await cluster.wait_for_leaders()
            count = await db.fetchval("SELECT count(*) FROM h", timeout=20)
            assert count in (before, before + STATEMENTS)
            if written is not None:
                assert (count > before) is written
            before = count
        assert before >= STATEMENTS
        await check_alike(cluster)


@pytest.mark.long
@pytest.mark.processes
async def test_many_rows_of_a_query_are_inserted_over_shards_by_one_statement(
    tmp_path: Path,
) -> None:
    """In the time that a statement has without a word, and whoever reads then sees all of them."""
    async with three_nodes(tmp_path) as (cluster, path), Router.open(path) as db:
        for name in ("source", "target"):
            await db.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, name text)")
        rows = "SELECT n, 'name of ' || n FROM generate_series(1, 50000) AS g (n)"
        assert await db.execute(f"INSERT INTO source {rows}", timeout=60) == "INSERT 0 50000"
        moved = "INSERT INTO target SELECT id + 1, name FROM source"
        assert await db.execute(moved, timeout=60) == "INSERT 0 50000"
        assert await db.fetchval("SELECT count(*) FROM target", timeout=60) == 50_000
        with pytest.raises(RouterError) as caught:
            await db.execute("INSERT INTO target SELECT id + 50000, name FROM source", timeout=60)
        assert caught.value.sqlstate == "23505"
        assert await db.fetchval("SELECT count(*) FROM target", timeout=60) == 50_000
        await check_alike(cluster)
