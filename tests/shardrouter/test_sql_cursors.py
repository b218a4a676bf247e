"""DECLARE, FETCH, MOVE and CLOSE, and PREPARE, EXECUTE and DEALLOCATE, as drivers send them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import asyncpg
import pytest
import pytest_asyncio

from nodes.config import Address
from shardrouter.pgserver import PgServer
from shardrouter.pgwire import messages as m
from shardrouter.router import Router
from tests.shardrouter.cluster import one_node
from tests.shardrouter.pgserver.wire_client import WireClient

pytestmark = pytest.mark.asyncio(loop_scope="module")

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

ROWS = 8_000
"""Three pieces."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Router]:
    async with (
        one_node(tmp_path_factory.mktemp("cursors")) as path,
        Router.open(path, rng=random.Random(1)) as opened,
    ):
        await opened.execute(
            "CREATE TABLE h (id int PRIMARY KEY, name text, price numeric) WITH (home = true)"
        )
        records = [(n, f"{n:0200}", n) for n in range(ROWS)]
        await opened.copy_records_to_table("h", records=records)
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(router: Router) -> AsyncIterator[Address]:
    server = PgServer(router.new_session, host="127.0.0.1", port=0)
    yield await server.start()
    await server.close(5)


@pytest_asyncio.fixture(loop_scope="module")
async def connection(address: Address) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(f"postgresql://u@{address}/shardrouter")
    yield connection
    await connection.close()


DECLARE = "DECLARE c NO SCROLL CURSOR WITHOUT HOLD FOR SELECT id, name, price FROM h ORDER BY id"


async def ids(connection: Connection, fetch: str) -> list[int]:
    return [row["id"] for row in await connection.fetch(fetch)]


async def code(connection: Connection, statement: str) -> str:
    with pytest.raises(asyncpg.PostgresError) as caught:
        await connection.execute(statement)
    assert caught.value.sqlstate is not None
    return caught.value.sqlstate


async def test_a_cursor_goes_forward(connection: Connection) -> None:
    async with connection.transaction():
        assert await connection.execute(DECLARE) == "DECLARE CURSOR"
        assert await ids(connection, "FETCH c") == [0]
        assert await ids(connection, "FETCH NEXT FROM c") == [1]
        assert await ids(connection, "FETCH 3 IN c") == [2, 3, 4]
        assert await connection.execute("MOVE FORWARD 3000 FROM c") == "MOVE 3000"
        await connection.execute("UPDATE h SET name = 'new' WHERE id > 3000 AND id < 3100")
        [row] = await connection.fetch("FETCH FORWARD 1 FROM c")
        assert tuple(row) == (3005, f"{3005:0200}", 3005)
        rest = await connection.fetch("FETCH FORWARD ALL FROM c")
        assert [row["id"] for row in rest] == list(range(3006, ROWS))
        assert rest[50]["name"] == f"{3056:0200}"
        assert await ids(connection, "FETCH 5 FROM c") == []
        assert await connection.execute("MOVE ALL FROM c") == "MOVE 0"
        assert await connection.execute("CLOSE c") == "CLOSE CURSOR"
        assert await connection.execute(DECLARE) == "DECLARE CURSOR"
        assert await connection.execute("FETCH 2 FROM c") == "FETCH 2"
        await connection.execute("UPDATE h SET name = lpad(id::text, 200, '0') WHERE name = 'new'")
    assert await code(connection, "FETCH c") == "34000"


async def test_the_query_of_a_cursor_may_have_parameters(address: Address) -> None:
    """As psycopg opens one on the server: it asks for the portal of that name afterwards."""
    async with WireClient(address) as client:
        await client.start()
        client.send(m.Query("BEGIN"))
        await client.until(m.ReadyForQuery)
        text = 'DECLARE "My c" CURSOR FOR SELECT id, price FROM h WHERE id >= $1 ORDER BY id'
        client.send(m.Parse("", text, ()), m.Bind("", "", (), (b"7",), ()), m.Execute("", 0))
        client.send(m.Sync(), m.Describe(m.Target.PORTAL, "My c"), m.Sync())
        await client.until(m.ReadyForQuery)
        answers = await client.until(m.ReadyForQuery)
        [described] = [each for each in answers if isinstance(each, m.RowDescription)]
        assert [field.name for field in described.fields] == ["id", "price"]
        client.send(m.Query('FETCH FORWARD 2 FROM "My c"; CLOSE "My c"; COMMIT'))
        answers = await client.until(m.ReadyForQuery)
        rows = [each.values for each in answers if isinstance(each, m.DataRow)]
        assert rows == [(b"7", b"7"), (b"8", b"8")]


async def test_a_query_message_may_declare_and_fetch(connection: Connection) -> None:
    tag = await connection.execute(f"BEGIN; {DECLARE}; FETCH 3 FROM c; COMMIT")
    assert tag == "COMMIT"
    tag = await connection.execute(f"BEGIN; {DECLARE}; FETCH 3 FROM c")
    assert tag == "FETCH 3"
    await connection.execute("COMMIT")


async def test_a_cursor_lives_as_long_as_its_transaction(connection: Connection) -> None:
    assert await code(connection, DECLARE) == "25P01"
    await connection.execute(f"BEGIN; {DECLARE}; SAVEPOINT a; SAVEPOINT b")
    await connection.execute("DECLARE d CURSOR FOR SELECT 1 AS one")
    await connection.execute("RELEASE b; SAVEPOINT b2; ROLLBACK TO b2")
    assert await connection.fetchval("FETCH d") == 1
    await connection.execute("ROLLBACK TO a")
    assert await code(connection, "FETCH d") == "34000"
    assert await code(connection, "FETCH c") == "25P02"
    await connection.execute("ROLLBACK TO a")
    assert await ids(connection, "FETCH c") == [0]
    assert await code(connection, DECLARE) == "42P03"
    await connection.execute("ROLLBACK")
    await connection.execute(f"BEGIN; {DECLARE}; CLOSE ALL")
    assert await code(connection, "CLOSE c") == "34000"
    await connection.execute("ROLLBACK")
    assert await connection.execute("CLOSE ALL") == "CLOSE CURSOR ALL"


async def test_a_cursor_reads_the_catalogs(connection: Connection) -> None:
    async with connection.transaction():
        await connection.execute("CREATE TABLE declared (id int)")
        await connection.execute(
            "DECLARE k CURSOR FOR SELECT relname, oid FROM pg_class "
            "WHERE relname IN ('h', 'declared') ORDER BY relname"
        )
        await connection.execute("DROP TABLE declared")
        assert (await connection.fetch("FETCH k"))[0]["relname"] == "declared"
        [row] = await connection.fetch("FETCH ALL k")
        assert row["relname"] == "h"
        assert row["oid"] > 16384
    async with connection.transaction():
        with pytest.raises(asyncpg.FeatureNotSupportedError):
            await connection.execute("DECLARE k CURSOR FOR SELECT 'h'::regclass")


async def test_what_a_cursor_cannot_do_is_refused(connection: Connection) -> None:
    for statement in (
        "DECLARE c SCROLL CURSOR FOR SELECT 1",
        "DECLARE c BINARY CURSOR FOR SELECT 1",
        "DECLARE c CURSOR FOR DELETE FROM h RETURNING id",
        "DECLARE c CURSOR FOR SELECT id FROM h FOR UPDATE",
        "FETCH PRIOR FROM c",
        "FETCH -1 FROM c",
        "FETCH 0 FROM c",
        "MOVE BACKWARD ALL IN c",
    ):
        assert await code(connection, statement) == "0A000", statement
    for statement in ("DECLARE c CURSOR", "DECLARE c CURSOR FOR", "FETCH", "CLOSE", "FETCH 1.5 c"):
        assert await code(connection, statement) == "42601", statement
    with pytest.raises(asyncpg.UndefinedColumnError) as caught:
        await connection.execute("DECLARE c CURSOR FOR SELECT wrong FROM h")
    assert caught.value.position == "29"


async def test_prepare_and_execute(connection: Connection) -> None:
    assert (
        await connection.execute("PREPARE p (int, text) AS SELECT $1 + id, $2 FROM h WHERE id = $1")
        == "PREPARE"
    )
    row = await connection.fetchrow("EXECUTE p(3 + 4, 'it''s, (fine)')")
    assert row is not None
    assert tuple(row) == (14, "it's, (fine)")
    assert (
        await connection.execute("PREPARE w AS UPDATE h SET price = $2 WHERE id = $1") == "PREPARE"
    )
    assert await connection.execute("EXECUTE w(5, 1.50)") == "UPDATE 1"
    assert str(await connection.fetchval("SELECT price FROM h WHERE id = 5")) == "1.50"
    async with connection.transaction():
        assert await connection.execute("EXECUTE w(5, NULL)") == "UPDATE 1"
    assert await connection.fetchval("SELECT price FROM h WHERE id = 5") is None
    for statement, state in (
        ("PREPARE p AS SELECT 1", "42P05"),
        ("EXECUTE q", "26000"),
        ("EXECUTE p(1)", "42601"),
        ("EXECUTE p('x', 'y')", "22P02"),
        ("DEALLOCATE q", "26000"),
        ("PREPARE q (nothing) AS SELECT 1", "42704"),
        ("PREPARE q AS DROP TABLE h", "42601"),
        ("EXECUTE p(1, )", "42601"),
    ):
        assert await code(connection, statement) == state, statement
    assert await connection.execute("DEALLOCATE PREPARE p") == "DEALLOCATE"
    assert await code(connection, "EXECUTE p(1, 'a')") == "26000"
    assert await connection.execute("DEALLOCATE ALL") == "DEALLOCATE ALL"
    assert await code(connection, "EXECUTE w(5, 1)") == "26000"
    assert (
        await connection.execute("PREPARE p AS SELECT 1; EXECUTE p; DEALLOCATE p") == "DEALLOCATE"
    )


async def test_names_of_the_protocol_and_of_sql_are_one_space(address: Address) -> None:
    async def states(client: WireClient, *messages: Any) -> list[str]:
        client.send(*messages, m.Sync())
        answers = await client.until(m.ReadyForQuery)
        return [each.report.sqlstate for each in answers if isinstance(each, m.ErrorResponse)]

    async with WireClient(address) as client:
        await client.start()
        bind = m.Bind("", "p", (), (), ())
        assert not await states(client, m.Parse("p", "SELECT 7", ()), bind, m.Execute("", 0))
        client.send(m.Query("EXECUTE p"))
        answers = await client.until(m.ReadyForQuery)
        assert [each.values for each in answers if isinstance(each, m.DataRow)] == [(b"7",)]
        client.send(m.Query("DEALLOCATE p"))
        await client.until(m.ReadyForQuery)
        assert await states(client, bind) == ["26000"]
        assert not await states(client, m.Parse("p", "SELECT 8", ()), bind)
        assert await states(client, m.Parse("p", "SELECT 9", ())) == ["42P05"]
        assert not await states(client, m.Close(m.Target.STATEMENT, "p"))
        client.send(m.Query("PREPARE p AS SELECT 10"))
        await client.until(m.ReadyForQuery)
        client.send(bind, m.Execute("", 0), m.Sync())
        answers = await client.until(m.ReadyForQuery)
        assert [each.values for each in answers if isinstance(each, m.DataRow)] == [(b"10",)]


async def test_a_cursor_with_hold_outlives_transactions(connection: Connection) -> None:
    declare = "DECLARE held NO SCROLL CURSOR WITH HOLD FOR SELECT id FROM h ORDER BY id"
    await connection.execute(declare)
    assert await ids(connection, "FETCH 2 FROM held") == [0, 1]
    transaction = connection.transaction()
    await transaction.start()
    assert await ids(connection, "FETCH 3 FROM held") == [2, 3, 4]
    await connection.execute("DECLARE other CURSOR FOR SELECT id FROM h")
    with pytest.raises(asyncpg.FeatureNotSupportedError, match="WITH HOLD inside"):
        await connection.execute("DECLARE second CURSOR WITH HOLD FOR SELECT 1")
    await transaction.rollback()
    with pytest.raises(asyncpg.InvalidCursorNameError):
        await connection.fetch("FETCH 1 FROM other")
    with pytest.raises(asyncpg.DuplicateCursorError):
        await connection.execute(declare)
    assert len(await ids(connection, "FETCH ALL FROM held")) == ROWS - 5
    await connection.execute("CLOSE held")
    with pytest.raises(asyncpg.InvalidCursorNameError):
        await connection.fetch("FETCH 1 FROM held")
    await connection.execute("DECLARE one CURSOR WITH HOLD FOR SELECT 7 AS id")
    await connection.execute(declare)
    assert await ids(connection, "FETCH ALL FROM one") == [7]
    await connection.execute("CLOSE ALL")
    await connection.execute(declare)
    await connection.execute("DISCARD ALL")
    with pytest.raises(asyncpg.InvalidCursorNameError):
        await connection.fetch("FETCH 1 FROM held")
