"""Temporary tables through a driver, on a real cluster: nobody else sees them, they go with their
session, and with a router that is gone when its number is taken by another."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from shardrouter import LocalCluster, Router
from shardrouter.catalog import Catalog
from shardrouter.definition_changes import begin
from shardrouter.definitions import DropTemporary, HoldTemporary
from shardrouter.schema_change import published
from shardrouter.tables import SqlSchema, Table
from shardrouter.temporary import held
from tests.shardrouter.cluster import one_node

EMPTY = Catalog(1, {}, ("shard-1",), (0,), (1,), home="shard-1")


async def test_a_temporary_table_is_its_sessions_alone_and_goes_with_it() -> None:
    async with LocalCluster(nodes=1, shards=2, in_memory=True) as cluster:
        one = await asyncpg.connect(cluster.dsn)
        other = await asyncpg.connect(cluster.dsn)
        await one.execute("CREATE TABLE t (id int PRIMARY KEY, v text) WITH (home = true)")
        await one.execute("INSERT INTO t VALUES (1, 'permanent')")
        read = await one.prepare("SELECT v FROM t")
        assert await read.fetchval() == "permanent"
        async with one.transaction():
            await one.execute("CREATE TEMP TABLE t (id serial, v text)")
            await one.execute("INSERT INTO t (v) VALUES ('temporary')")
            await one.execute("INSERT INTO public.t SELECT id + 1, v FROM t")
        assert await read.fetchval() == "temporary"  # the name means another table now
        both = await other.fetch("SELECT v FROM t ORDER BY id")
        assert [row["v"] for row in both] == ["permanent", "temporary"]
        await other.execute("CREATE TEMP TABLE t (v text)")
        assert await other.fetch("SELECT * FROM t") == []
        schema = await one.fetchval(
            "SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()"
        )
        with pytest.raises(asyncpg.UndefinedTableError):
            await other.fetch(f"SELECT * FROM {schema}.t")
        async with one.transaction():
            await one.execute("CREATE TEMP TABLE brief (a int) ON COMMIT DELETE ROWS")
            await one.execute("INSERT INTO brief VALUES (1)")
            assert await one.fetchval("SELECT count(*) FROM brief") == 1
        await one.execute("INSERT INTO brief VALUES (1)")
        assert await one.fetchval("SELECT count(*) FROM brief") == 0
        assert await one.execute("CREATE TEMP TABLE made AS SELECT id FROM public.t") == "SELECT 2"
        assert await other.execute("SELECT id INTO made FROM public.t WHERE id = 1") == "SELECT 1"
        assert await one.fetchval("SELECT count(*) FROM made JOIN public.made m USING (id)") == 1
        with pytest.raises(asyncpg.DivisionByZeroError):  # and there is no table
            await one.execute("CREATE TABLE no AS SELECT 1 / (id - 1) FROM public.t")
        assert await one.fetchval("SELECT to_regclass('no')") is None
        await one.close()
        await _gone(other, schema)
        assert await other.fetch("SELECT * FROM t") == []
        again = await asyncpg.connect(cluster.dsn)  # in the schema that is free again
        await again.execute("CREATE TEMP TABLE u (a int)")
        assert await again.fetchval("SELECT 'u'::regclass::text") == "u"
        await again.close()
        await other.close()


async def _gone(connection: asyncpg.Connection, schema: str) -> None:
    asked = (
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE nspname = $1"
    )
    async with asyncio.timeout(20):
        while await connection.fetchval(asked, schema):  # noqa: ASYNC110 -- of another process
            await asyncio.sleep(0.01)


async def test_a_router_that_ends_takes_the_temporary_tables_along(tmp_path: Path) -> None:
    async with one_node(tmp_path) as path:
        async with Router.open(path) as router, router.acquire() as connection:
            await connection.execute("CREATE TEMP TABLE t (a int)")
            await connection.execute("INSERT INTO t VALUES (1)")
            assert await connection.fetchval("SELECT a FROM t") == 1
        async with Router.open(path) as router:
            names = await router.fetch("SELECT nspname FROM pg_namespace ORDER BY 1")
            assert [row[0] for row in names] == [
                "information_schema",
                "pg_catalog",
                "pg_toast",
                "public",
            ]


def _after(catalog: Catalog, node: HoldTemporary | DropTemporary) -> Catalog:
    change = begin(catalog, node).change
    assert change is not None
    return published(catalog, change)


def test_a_number_is_held_and_taken_by_another_when_its_time_is_over() -> None:
    """What the router that is gone has left is removed by whoever comes next."""
    catalog = _after(EMPTY, HoldTemporary("a", now=0, until=100))
    assert held(catalog, "a") == "pg_temp_1"
    catalog = _after(catalog, HoldTemporary("b", now=50, until=150))
    assert held(catalog, "b") == "pg_temp_2"
    left = Table("pg_temp_1_1.t", 1, (), (), "", "home", schema="pg_temp_1_1", called="t")
    kept = Table("pg_temp_2_1.t", 1, (), (), "", "home", schema="pg_temp_2_1", called="t")
    catalog = Catalog(
        9, {left.name: left, kept.name: kept}, ("shard-1",), (0,), (1,), home="shard-1",
        schemas=catalog.schemas,
    )  # fmt: skip
    catalog = _after(catalog, HoldTemporary("a", now=90, until=110))
    assert catalog.schemas["pg_temp_1"] == SqlSchema("pg_temp_1", holder="a", until=110)
    catalog = _after(catalog, HoldTemporary("c", now=120, until=220))
    assert held(catalog, "c") == "pg_temp_1"
    assert not held(catalog, "a")
    assert list(catalog.tables) == [kept.name]
    assert begin(catalog, DropTemporary("a", ("pg_temp_1_1",))).change is None  # it is c's now
    catalog = _after(catalog, DropTemporary("b", None))
    assert not catalog.tables
    assert list(catalog.schemas) == ["public", "pg_temp_1"]
