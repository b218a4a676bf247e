"""Changes of the schema in a transaction over several shards: `meta` is the anchor of the COMMIT:
schema and rows appear together, everywhere, or not at all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from shardrouter.router import Router
from tests.shardrouter.cluster import one_node
from tests.shardrouter.test_transactions import Client

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    async with one_node(tmp_path_factory.mktemp("ddl_over")) as path:
        yield path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router(cluster: Path) -> AsyncIterator[Router]:
    async with Router.open(cluster, rng=random.Random(1)) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other(cluster: Path, router: Router) -> AsyncIterator[Router]:
    """Another router of the same cluster."""
    async with Router.open(cluster, rng=random.Random(2)) as opened:
        yield opened


def rows(first: int, last: int) -> str:
    return ", ".join(f"({n}, {n})" for n in range(first, last + 1))


async def does(client: Client, *statements: str) -> None:
    for sql in statements:
        await client.run(sql)


async def test_schema_and_rows_of_all_shards_appear_together(router: Router, other: Router) -> None:
    client, apart = Client(router), Client(other)
    await does(
        client,
        "BEGIN",
        "CREATE TABLE a (id serial PRIMARY KEY, n int)",
        "CREATE TABLE b (id int PRIMARY KEY REFERENCES a, n int)",
        "CREATE TABLE named (id int PRIMARY KEY, name text) WITH (reference = true)",
        "CREATE TABLE alone (n int) WITH (home = true)",
        "CREATE INDEX b_n ON b (n)",
        "INSERT INTO a (n) VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9)",
        f"INSERT INTO b VALUES {rows(1, 9)}",
        "INSERT INTO named VALUES (1, 'one')",
        "INSERT INTO alone VALUES (1)",
        "UPDATE b SET n = n + 1",
    )
    joined = "SELECT count(*), sum(b.n) FROM a JOIN b USING (id) JOIN named ON named.id = 1"
    assert await client.values(joined) == [(9, 54)]
    for each in (apart, Client(router)):
        assert await each.code("SELECT 1 FROM a") == "42P01"
    await client.run("COMMIT")
    for each in (client, apart, Client(router)):
        assert await each.values(joined) == [(9, 54)]
        assert await each.code("INSERT INTO b VALUES (99, 1)") == "23503"
        assert await each.values("SELECT n FROM alone") == [(1,)]
    assert await client.code("CREATE INDEX b_n ON a (n)") == "42P07"
    [(number,)] = await apart.values("INSERT INTO a (n) VALUES (0) RETURNING id")
    assert isinstance(number, int)
    assert number > 9
    # And as any other transaction it may come to nothing.
    await does(
        client,
        "BEGIN",
        "ALTER TABLE a ADD COLUMN more int",
        "INSERT INTO a VALUES (100, 1, 2), (101, 1, 2), (102, 1, 2)",
        "DROP TABLE b",
        "ROLLBACK",
    )
    assert await client.values("SELECT count(*) FROM b") == [(9,)]
    assert await client.code("SELECT more FROM a") == "42703"
    await does(client, "BEGIN", "DROP TABLE b", "DROP TABLE a, named, alone", "COMMIT")
    assert await apart.code("SELECT 1 FROM named") == "42P01"


async def test_savepoints_take_back_schema_and_rows_on_every_shard(
    router: Router, other: Router
) -> None:
    client = Client(router)
    await does(
        client,
        "CREATE TABLE s (id int PRIMARY KEY, n int)",
        f"INSERT INTO s VALUES {rows(1, 6)}",
        "BEGIN",
        "SAVEPOINT one",
        "ALTER TABLE s ADD COLUMN m int DEFAULT 7",
        "UPDATE s SET m = n",
        "ROLLBACK TO one",
        "UPDATE s SET n = n + 1",
        "SAVEPOINT two",
    )
    assert await client.code(f"INSERT INTO s VALUES {rows(6, 9)}") == "23505"
    await does(client, "ROLLBACK TO two", "ALTER TABLE s RENAME n TO k", "RELEASE one", "COMMIT")
    assert await Client(other).values("SELECT count(*), sum(k) FROM s") == [(6, 27)]
    # What is left of the schema's changes is nothing, and the rows are kept.
    await does(
        client,
        "BEGIN",
        "SAVEPOINT one",
        "CREATE TABLE not_there (id int PRIMARY KEY)",
        "ROLLBACK TO one",
        "UPDATE s SET k = 1",
        "COMMIT",
    )
    assert await Client(other).values("SELECT sum(k) FROM s") == [(6,)]
    assert await client.code("SELECT 1 FROM not_there") == "42P01"
    await client.run("DROP TABLE s")


async def test_what_one_shard_refuses_is_made_on_none(router: Router) -> None:
    client = Client(router)
    await does(
        client,
        "CREATE TABLE u (id int PRIMARY KEY, n int)",
        f"INSERT INTO u VALUES {rows(1, 20)}, (21, 0)",
        "BEGIN",
        "ALTER TABLE u ADD COLUMN m int",
    )
    assert await client.code("ALTER TABLE u ADD CONSTRAINT positive CHECK (n > 0)") == "23514"
    assert await client.tag("COMMIT") == "ROLLBACK"
    assert await client.code("SELECT m FROM u") == "42703"
    # A statement of another that comes between: the digests differ on one shard.
    await does(client, "BEGIN", "ALTER TABLE u ADD COLUMN m int")
    assert await client.values("SELECT n FROM u WHERE id = 3") == [(3,)]
    await Client(router).run("UPDATE u SET n = 33 WHERE id = 3")
    assert await client.code("COMMIT") == "40001"
    assert await client.code("SELECT m FROM u") == "42703"
    assert await client.values("SELECT count(*), sum(n) FROM u") == [(21, 240)]
    await client.run("DROP TABLE u")


async def test_transactions_with_schema_changes_over_shards_meet(
    router: Router, other: Router
) -> None:
    """Each is made, if it says the same in the catalog that the other has left."""
    one, two = Client(router), Client(other)
    await does(one, "BEGIN", "CREATE TABLE x (id int PRIMARY KEY, n int)")
    await does(two, "BEGIN", "CREATE TABLE y (id int PRIMARY KEY, n int)")
    await one.run(f"INSERT INTO x VALUES {rows(1, 9)}")
    await two.run(f"INSERT INTO y VALUES {rows(1, 9)}")
    await asyncio.gather(one.run("COMMIT"), two.run("COMMIT"))
    for each in (one, two, Client(router)):
        assert await each.values("SELECT count(*) FROM x JOIN y USING (id)") == [(9,)]
    await does(one, "BEGIN", "CREATE TABLE z (id int PRIMARY KEY)")
    await does(two, "BEGIN", "CREATE TABLE z (id int PRIMARY KEY)", "COMMIT")
    assert await one.code("COMMIT") == "40001"
    # Rows of a session that knows the older table, while it changes.
    await does(one, "BEGIN", "ALTER TABLE x ADD COLUMN m int", "COMMIT")
    assert await two.tag(f"INSERT INTO x VALUES {rows(10, 12)}") == "INSERT 0 3"
    await does(one, "DROP TABLE x, y", "DROP TABLE z")
