"""Queries and writes of every kind through a driver, on a real cluster: what the analysis makes,
the nodes must allow, replicate and answer."""

from __future__ import annotations

import asyncpg
import pytest

from shardrouter import LocalCluster


async def test_what_is_analysed_runs() -> None:
    async with LocalCluster(nodes=1, shards=2, in_memory=True) as cluster:
        c = await asyncpg.connect(cluster.dsn)
        await c.execute("CREATE TABLE t (id int PRIMARY KEY, a int, b text) WITH (home = true)")
        await c.execute("CREATE TABLE u (id int PRIMARY KEY, t_id int) WITH (home = true)")
        made = await c.fetch(
            "INSERT INTO t VALUES (1, 10, 'x'), (2, 20, NULL), (3, 30, 'z') "
            "RETURNING id, a + 1 AS n"
        )
        assert [tuple(row) for row in made] == [(1, 11), (2, 21), (3, 31)]
        await c.execute("INSERT INTO u SELECT id + 1, id FROM t WHERE a > 10")
        joined = "SELECT t.id, u.id FROM t LEFT JOIN u ON u.t_id = t.id ORDER BY 1"
        assert [tuple(r) for r in await c.fetch(joined)] == [(1, None), (2, 3), (3, 4)]
        assert await c.fetchval("SELECT count(*) FROM t WHERE id = ANY('{1,3,9}')") == 2
        ranked = "SELECT id, rank() OVER (ORDER BY a DESC), sum(a) OVER (ORDER BY id) FROM t"
        assert {tuple(r) for r in await c.fetch(ranked)} == {(1, 3, 10), (2, 2, 30), (3, 1, 60)}
        upsert = (
            "INSERT INTO t VALUES ($1, 1), (4, 4) ON CONFLICT (id) DO UPDATE SET a = t.a + 1 "
            "RETURNING id, a"
        )
        assert [tuple(r) for r in await c.fetch(upsert, 1)] == [(1, 11), (4, 4)]
        with pytest.raises(asyncpg.CardinalityViolationError):
            await c.fetch(upsert, 4)
        with pytest.raises(asyncpg.CardinalityViolationError):
            await c.fetch("SELECT (SELECT id FROM t)")
        changed = "UPDATE t SET b = 'u' || u.id FROM u WHERE u.t_id = t.id RETURNING t.b"
        assert [r["b"] for r in await c.fetch(changed)] == ["u3", "u4"]
        assert await c.execute("DELETE FROM t USING u WHERE u.t_id = t.id") == "DELETE 2"
        assert await c.fetchval("SELECT now() = now() AND gen_random_uuid() IS NOT NULL")
        endless = "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) "
        with pytest.raises(asyncpg.ProgramLimitExceededError, match="recursive query"):
            await c.fetchval(endless + "SELECT count(*) FROM r")
        await c.close()
