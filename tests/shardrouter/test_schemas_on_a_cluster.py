"""Schemas through a driver, on a real cluster: what search_path means to statements that a session
has prepared, and what the others see."""

from __future__ import annotations

import asyncpg
import pytest

from shardrouter import LocalCluster


async def test_a_session_sees_what_its_search_path_names() -> None:
    async with LocalCluster(nodes=1, shards=2, in_memory=True) as cluster:
        c = await asyncpg.connect(cluster.dsn)
        other = await asyncpg.connect(cluster.dsn)
        await c.execute("CREATE SCHEMA s")
        await c.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
        await c.execute("CREATE TABLE s.t (id int PRIMARY KEY, v text) WITH (home = true)")
        await c.execute("INSERT INTO t VALUES (1, 'public')")
        await c.execute("INSERT INTO s.t VALUES (1, 's')")
        read = await c.prepare("SELECT v FROM t WHERE id = $1")
        assert await read.fetchval(1) == "public"
        await c.execute("SET search_path TO s, public")
        assert await read.fetchval(1) == "s"  # planned again
        assert await other.fetchval("SELECT v FROM t WHERE id = 1") == "public"
        # One message: what follows SET is looked up as it then is.
        await other.execute("SET search_path TO s; INSERT INTO t VALUES (2, 'two')")
        assert await c.fetchval("SELECT v FROM s.t WHERE id = 2") == "two"
        with pytest.raises(asyncpg.UndefinedTableError):  # and all of it or nothing
            await other.execute("SET search_path TO public; SELECT 1 FROM nope")
        assert await other.fetchval("SHOW search_path") == "s"
        async with c.transaction():
            await c.execute("SET LOCAL search_path TO public")
            assert await c.fetchval("SELECT v FROM t WHERE id = 1") == "public"
        assert await c.fetchval("SELECT v FROM t WHERE id = 1") == "s"
        await c.copy_records_to_table("t", schema_name="s", records=[(9, "copied")])
        assert await c.fetchval("SELECT v FROM t WHERE id = 9") == "copied"
        with pytest.raises(asyncpg.UniqueViolationError) as refused:
            await c.execute("INSERT INTO t VALUES (9, 'again')")
        assert (refused.value.schema_name, refused.value.table_name) == ("s", "t")
        await c.execute("TRUNCATE t")
        assert await c.fetchval("SELECT count(*) FROM public.t") == 1
        await c.close()
        await other.close()
