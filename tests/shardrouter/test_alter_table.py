"""ALTER TABLE through a driver, on real clusters: what the nodes allow and replicate, what rows say
against it, and what is left as it was."""

from __future__ import annotations

import asyncpg
import pytest

from shardrouter import LocalCluster


async def test_a_table_is_altered_with_its_rows() -> None:
    async with LocalCluster(nodes=1, shards=1, in_memory=True) as cluster:
        c = await asyncpg.connect(cluster.dsn)
        await c.execute("CREATE TABLE p (id int PRIMARY KEY, a int, b text) WITH (home = true)")
        await c.execute("CREATE TABLE c (id int PRIMARY KEY, p int) WITH (home = true)")
        await c.execute("INSERT INTO p VALUES (1, 10, 'x'), (2, NULL, 'x')")
        await c.execute("INSERT INTO c VALUES (1, 1), (2, 2)")
        refusals = [
            ("ALTER TABLE p ALTER a SET NOT NULL", 'column "a" of relation "p" contains null'),
            ("ALTER TABLE p ADD CHECK (a > 10)", 'check constraint "p_a_check" of relation "p" is'),
            ("ALTER TABLE p ADD UNIQUE (b)", 'could not create unique index "p_b_key"'),
            ("CREATE UNIQUE INDEX i ON p (b)", 'could not create unique index "i"'),
            ("ALTER TABLE p ADD n int NOT NULL", 'column "n" of relation "p" contains null values'),
            ("ALTER TABLE p ALTER b TYPE int USING b::int", "invalid input syntax for type int"),
            ("ALTER TABLE p ADD s serial", 'adding "s", which draws from a sequence'),
        ]
        for sql, message in refusals:
            with pytest.raises(asyncpg.PostgresError) as refused:
                await c.execute(sql)
            assert str(refused.value).startswith(message), sql
        assert [tuple(r) for r in await c.fetch("SELECT * FROM p ORDER BY id")] == [
            (1, 10, "x"),
            (2, None, "x"),
        ]
        # A migration that fails half-way.
        migration = c.transaction()
        await migration.start()
        await c.execute("ALTER TABLE p RENAME a TO amount")
        await c.execute("ALTER TABLE p ADD d int DEFAULT 7")
        await c.execute("UPDATE p SET d = 8 WHERE id = 1")
        with pytest.raises(asyncpg.CheckViolationError, match="is violated by some row"):
            await c.execute("ALTER TABLE p ADD CHECK (d = 8)")
        await migration.rollback()
        assert await c.fetchval("SELECT sum(a) FROM p") == 10
        async with c.transaction():
            await c.execute("ALTER TABLE p RENAME a TO amount")
            await c.execute("ALTER TABLE p ADD d int DEFAULT 7, ALTER amount TYPE bigint")
            await c.execute("ALTER TABLE p RENAME TO q")
            await c.execute("UPDATE q SET amount = 5000000000 WHERE d = 7 AND id = 1")
        assert [tuple(r) for r in await c.fetch("SELECT * FROM q ORDER BY id")] == [
            (1, 5_000_000_000, "x", 7),
            (2, None, "x", 7),
        ]
        await c.execute("ALTER TABLE c ADD FOREIGN KEY (p) REFERENCES q ON DELETE CASCADE")
        await c.execute("ALTER TABLE q DROP b, DROP amount")  # the rows that refer to it stay
        assert await c.fetchval("SELECT count(*) FROM c") == 2
        await c.execute("DELETE FROM q WHERE id = 1")
        assert await c.fetchval("SELECT count(*) FROM c") == 1
        await c.close()


async def test_what_one_shard_refuses_is_undone_on_the_others() -> None:
    async with LocalCluster(nodes=1, shards=3, in_memory=True) as cluster:
        c = await asyncpg.connect(cluster.dsn)
        await c.execute("CREATE TABLE t (id int PRIMARY KEY, a int, b int)")
        for i in range(30):
            await c.execute("INSERT INTO t VALUES ($1, $1, $1)", i)
        with pytest.raises(asyncpg.CheckViolationError, match="is violated by some row"):
            await c.execute("ALTER TABLE t ADD CHECK (id <> 7)")  # on one shard
        await c.execute("UPDATE t SET b = NULL WHERE id = 7")
        await c.execute("ALTER TABLE t RENAME a TO x")
        with pytest.raises(asyncpg.NotNullViolationError):
            await c.execute("ALTER TABLE t ALTER b SET NOT NULL, ADD d int DEFAULT 3")
        await c.execute("INSERT INTO t (id, x) VALUES (107, 1)")
        assert await c.fetchval("SELECT count(*) FROM t WHERE x >= 0") == 31
        with pytest.raises(asyncpg.CheckViolationError, match="is violated by some row"):
            await c.execute("ALTER TABLE t DROP x, ADD CHECK (id > 0)")
        await c.execute("ALTER TABLE t DROP x, ALTER id TYPE bigint")
        row = await c.fetchrow("SELECT * FROM t WHERE id = 9")
        assert row is not None
        assert dict(row) == {"id": 9, "b": 9}
        for refused in ("DROP id", "ALTER id TYPE text", "DROP CONSTRAINT t_pkey"):
            with pytest.raises(asyncpg.FeatureNotSupportedError):
                await c.execute(f"ALTER TABLE t {refused}")
        await c.close()
