"""INSERT from a query into tables with sequences: each row has a number, in the query's order."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from shardrouter.connection import Connection
from shardrouter.errors import NotSupported
from shardrouter.exceptions import SerializationError
from shardrouter.router import Router
from tests.shardrouter.cluster import one_node

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Router]:
    async with (
        one_node(tmp_path_factory.mktemp("drawn")) as path,
        Router.open(path, rng=random.Random(1)) as opened,
    ):
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def connection(router: Router) -> AsyncIterator[Connection]:
    async with router.acquire() as acquired:
        yield acquired


async def numbered(connection: Connection, name: str) -> None:
    await connection.execute(
        f"CREATE TABLE {name} (id serial PRIMARY KEY, word text UNIQUE, n int) WITH (home = true)"
    )


async def test_numbers_follow_the_order_of_the_query(connection: Connection) -> None:
    await numbered(connection, "a")
    sql = "INSERT INTO a (word, n) SELECT * FROM unnest($1::text[], $2::int[]) u(w, n) ORDER BY w"
    assert await connection.execute(sql, ["c", "a", "b"], [3, 1, 2]) == "INSERT 0 3"
    rows = await connection.fetch("SELECT id, word, n FROM a ORDER BY id")
    assert list(map(tuple, rows)) == [(1, "a", 1), (2, "b", 2), (3, "c", 3)]
    made = await connection.fetch(
        "INSERT INTO a (word) SELECT word || '!' FROM a ORDER BY id DESC RETURNING id, word"
    )
    assert [row["word"] for row in made] == ["c!", "b!", "a!"]
    numbers = [row["id"] for row in made]
    assert numbers == list(range(numbers[0], numbers[0] + 3))
    assert await connection.execute("INSERT INTO a (word) SELECT word FROM a WHERE n > 9") == (
        "INSERT 0 0"
    )


async def test_identity_steps_and_conflicts(connection: Connection) -> None:
    await connection.execute(
        "CREATE TABLE b (id bigint GENERATED ALWAYS AS IDENTITY (START 10 INCREMENT -5 MINVALUE "
        "-1000 MAXVALUE 10) PRIMARY KEY, a int UNIQUE, s serial) WITH (home = true)"
    )
    await connection.execute("INSERT INTO b (a) SELECT * FROM generate_series(1, 3)")
    made = await connection.fetch(
        "INSERT INTO b (a) SELECT * FROM generate_series(3, 5) ON CONFLICT DO NOTHING RETURNING *"
    )
    assert [(row["a"], row["s"]) for row in made] == [(4, 5), (5, 6)]
    first = await connection.fetch("SELECT id, a, s FROM b WHERE a < 4 ORDER BY a")
    assert list(map(tuple, first)) == [(10, 1, 1), (5, 2, 2), (0, 3, 3)]


async def test_in_a_transaction_it_sees_and_keeps_what_the_transaction_does(
    connection: Connection, router: Router
) -> None:
    await numbered(connection, "c")
    async with router.acquire() as other:
        async with connection.transaction():
            await connection.execute("INSERT INTO c (word) VALUES ('x')")
            await connection.execute("INSERT INTO c (word) SELECT word || '2' FROM c")
            assert await connection.fetchval("SELECT count(*) FROM c") == 2
        await connection.execute("BEGIN")
        await connection.execute("INSERT INTO c (word) SELECT word || id FROM c")
        await other.execute("INSERT INTO c (word) VALUES ('between')")
        with pytest.raises(SerializationError):
            await connection.execute("COMMIT")
        async with connection.transaction():
            await connection.execute(
                "CREATE TABLE d (id serial PRIMARY KEY, w text) WITH (home = true)"
            )
            await connection.execute("INSERT INTO d (w) SELECT word FROM c ORDER BY id")
        rows = await connection.fetch("SELECT id, w FROM d ORDER BY id")
        assert list(map(tuple, rows)) == [(1, "x"), (2, "x2"), (3, "between")]
        assert await connection.fetchval("INSERT INTO d (w) VALUES ('y') RETURNING id") == 4


async def test_a_session_that_is_shared_has_no_room_for_two_steps(router: Router) -> None:
    with pytest.raises(NotSupported, match="connection of their own"):
        await router.execute("INSERT INTO a (word) SELECT 'x'")
