"""Portals of the protocol as drivers use them, on a real cluster."""

from __future__ import annotations

import io

import asyncpg
import pytest

from shardrouter import LocalCluster


async def test_portals_move_and_go_with_what_fails() -> None:
    async with LocalCluster(nodes=1, shards=1, in_memory=True) as cluster:
        c = await asyncpg.connect(cluster.dsn)
        await c.execute("CREATE TABLE t (id int PRIMARY KEY)")
        await c.execute("INSERT INTO t SELECT * FROM generate_series(1, 20)")
        async with c.transaction():
            cursor = await c.cursor("SELECT id FROM t ORDER BY id")
            assert await cursor.forward(3) == 3  # nothing of it has run yet
            assert [row["id"] for row in await cursor.fetch(2)] == [4, 5]
            assert await cursor.forward(10) == 10
            assert [row["id"] for row in await cursor.fetch(100)] == [16, 17, 18, 19, 20]
            assert await cursor.forward(1) == 0
            with pytest.raises(asyncpg.InvalidCursorNameError):
                await c.execute("MOVE 1 FROM nobodys")
        async with c.transaction():
            cursor = await c.cursor("SELECT id FROM t ORDER BY id")
            assert await cursor.fetchrow() is not None
            with pytest.raises(asyncpg.DivisionByZeroError):
                await c.execute("SELECT 1 / 0")
            with pytest.raises(asyncpg.InFailedSQLTransactionError):
                await cursor.fetch(1)
        assert await c.fetchval("SELECT 1") == 1
        await c.close()


async def test_rows_that_are_large_come_out_one_by_one() -> None:
    """Eight rows of two mebibytes are more than a frame between router and node."""
    async with LocalCluster(nodes=1, shards=1, in_memory=True) as cluster:
        c = await asyncpg.connect(cluster.dsn)
        query = "SELECT repeat('ab', 1048576) FROM generate_series(1, 8)"
        out = io.BytesIO()
        assert await c.copy_from_query(query, output=out) == "COPY 8"
        assert out.getvalue() == (b"ab" * 1048576 + b"\n") * 8
        async with c.transaction():
            rows = await c.fetch(query)
        assert {len(row[0]) for row in rows} == {1 << 21}
        await c.close()
