"""Large results through the port of a router, from a real cluster of one node."""

from __future__ import annotations

import asyncio
import gc
import io
import random
from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

import asyncpg
import pytest
import pytest_asyncio

from nodes.client import Outcome
from nodes.config import Address
from nodes.cursors import Cursors
from nodes.protocol import CloseCursor, Fetch, Piece, StatementResult
from shardrouter.errors import RouterError
from shardrouter.pgserver import PgServer
from shardrouter.pgwire import messages as m
from shardrouter.router import Router
from shardrouter.row_stream import RowStream
from tests.shardrouter.cluster import one_node
from tests.shardrouter.pgserver.wire_client import WireClient, sqlstates

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROWS = 60_000
"""Of 200 bytes: twice what an answer in one frame holds."""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
ALL = "SELECT id, name FROM big ORDER BY id"

SOME_ROWS = 8_000
"""Three pieces."""

SOME = "SELECT id, name FROM small ORDER BY id"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Router]:
    async with (
        one_node(tmp_path_factory.mktemp("streams")) as path,
        Router.open(path, rng=random.Random(1)) as opened,
    ):
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(router: Router) -> AsyncIterator[Address]:
    server = PgServer(router.new_session, host="127.0.0.1", port=0)
    address = await server.start()
    connection = await asyncpg.connect(f"postgresql://u@{address}/shardrouter")
    await connection.execute("CREATE TABLE big (id int PRIMARY KEY, name text) WITH (home = true)")
    records = [(n, f"{n:0200}") for n in range(ROWS)]
    await connection.copy_records_to_table("big", records=records)
    await connection.execute(
        "CREATE TABLE small (id int PRIMARY KEY, name text) WITH (home = true)"
    )
    await connection.copy_records_to_table("small", records=records[:SOME_ROWS])
    await connection.close()
    yield address
    await server.close(5)


@pytest_asyncio.fixture(loop_scope="module")
async def connection(address: Address) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(f"postgresql://u@{address}/shardrouter")
    yield connection
    await connection.close()


def all_cursors() -> list[Cursors]:
    """Of all replicas; looked for among all objects that there are, which takes its time."""
    return [each for each in gc.get_objects() if isinstance(each, Cursors)]


def open_cursors() -> int:
    return sum(len(each._open) for each in all_cursors())


async def until_none_is_open() -> None:
    replicas = all_cursors()
    async with asyncio.timeout(10):
        while any(each._open for each in replicas):  # noqa: ASYNC110 -- they say nothing about it
            await asyncio.sleep(0.01)


async def test_more_rows_than_a_frame_holds(connection: Connection) -> None:
    rows = await connection.fetch(ALL)
    assert len(rows) == ROWS
    assert all(row["id"] == n and row["name"] == f"{n:0200}" for n, row in enumerate(rows))
    await until_none_is_open()


async def test_a_copy_out_of_all_of_it(connection: Connection) -> None:
    for options, first in (("text", b"0\t"), ("csv", b"0,")):
        out = io.BytesIO()
        tag = await connection.copy_from_query(ALL, output=out, format=options)  # type: ignore[arg-type]  # one of them
        assert tag == f"COPY {ROWS}"
        lines = out.getvalue().splitlines()
        assert len(lines) == ROWS
        assert lines[0] == first + b"0" * 200


async def test_a_portal_takes_some_rows_at_a_time(address: Address) -> None:
    async with WireClient(address) as client:
        await client.start()
        client.send(m.Parse("", ALL, ()), m.Bind("", "", (), (), ()))
        taken = 0
        for limit in (1, 9_999, 10_000, 40_000, 0):
            client.send(m.Execute("", limit), m.Flush())
            answers = await client.until(m.PortalSuspended if limit else m.CommandComplete)
            rows = [each for each in answers if isinstance(each, m.DataRow)]
            if limit:
                assert len(rows) == limit
            taken += len(rows)
        assert taken == ROWS
        client.send(m.Sync())
        await client.until(m.ReadyForQuery)
    await until_none_is_open()


@pytest.mark.parametrize("end", ["close", "sync", "leave"])
async def test_who_wants_no_more_rows_ends_the_read(address: Address, end: str) -> None:
    async with WireClient(address) as client:
        await client.start()
        client.send(m.Parse("", ALL, ()), m.Bind("p", "", (), (), ()), m.Execute("p", 5), m.Flush())
        await client.until(m.PortalSuspended)
        assert open_cursors() == 1
        if end == "close":
            client.send(m.Close(m.Target.PORTAL, "p"), m.Flush())
        elif end == "sync":
            client.send(m.Sync())
        if end != "leave":
            await until_none_is_open()
    await until_none_is_open()


async def test_a_slow_client_is_waited_for_and_nobody_else(
    address: Address, connection: Connection
) -> None:
    """It is sent what fits between the two; the rest stays where it is."""
    async with WireClient(address) as client:
        await client.start()
        client.send(m.Query(ALL))
        await client.until(m.DataRow)
        assert await connection.fetchval("SELECT count(*) FROM big") == ROWS
        answers = await client.until(m.ReadyForQuery)
        assert m.CommandComplete(f"SELECT {ROWS}") in answers


async def test_an_error_in_the_middle_is_an_error(connection: Connection) -> None:
    with pytest.raises(asyncpg.DivisionByZeroError):
        await connection.fetch("SELECT id, name, 1 / (id - 50000) FROM big ORDER BY id")
    assert await connection.fetchval("SELECT 1") == 1
    await until_none_is_open()


async def test_a_cancel_ends_it_although_the_client_does_not_read(
    address: Address, connection: Connection
) -> None:
    async with WireClient(address) as client:
        client.send(m.StartupMessage(3, 0, (("user", "u"), ("database", "shardrouter"))))
        said = await client.until(m.ReadyForQuery)
        [key] = [each for each in said if isinstance(each, m.BackendKeyData)]
        client.send(m.Query(ALL))
        await client.until(m.DataRow)
        assert await connection.fetchval("SELECT count(*) FROM big") == ROWS
        async with WireClient(address) as other:
            other.send(m.CancelRequest(key.pid, key.key))
            assert await other.receive() is None
        await until_none_is_open()
        answers = await client.until(m.ReadyForQuery)
        assert sqlstates(answers) == ["57014"]
        assert m.CommandComplete("SELECT 1") in await client.query("SELECT 1")


async def test_a_cancel_is_heard_although_the_piece_has_come() -> None:
    asked: list[object] = []
    ended: list[RowStream] = []

    def ask(body: Fetch | CloseCursor, timeout_s: float, done: Callable[[Outcome], None]) -> None:
        asked.append(body)
        if isinstance(body, Fetch):
            done(Piece(StatementResult(1, values=((1,),)), 1, 7))

    stream = RowStream(ask, 7, 1.0, ended.append)
    stream.cancel()  # the piece is there, and nobody has taken it
    with pytest.raises(RouterError) as caught:
        await stream.next()
    assert caught.value.sqlstate == "57014"
    assert asked == [Fetch(7), CloseCursor(7)]
    assert ended == [stream]


# --------------------------------------------------------------------------- in a transaction


async def test_a_cursor_of_a_transaction_shows_the_state_of_its_opening(
    connection: Connection,
) -> None:
    """Two at once, and writes between their pieces: of the transaction and of others."""
    async with connection.transaction():
        first = await connection.cursor(SOME)
        assert [row["id"] for row in await first.fetch(50)] == list(range(50))
        await connection.execute("UPDATE small SET name = 'new' WHERE id >= 100 AND id < 110")
        second = await connection.cursor(SOME)
        assert [row["name"] for row in await second.fetch(120)][100:110] == ["new"] * 10
        assert (await first.fetch(100))[60]["name"] == f"{110:0200}"
        rest = await first.fetch(SOME_ROWS)
        assert len(rest) == SOME_ROWS - 150
        assert rest[-1]["id"] == SOME_ROWS - 1
        assert len(await second.fetch(SOME_ROWS)) == SOME_ROWS - 120
        assert await connection.fetchval("SELECT count(*) FROM small WHERE name = 'new'") == 10
        await connection.execute("UPDATE small SET name = lpad(id::text, 200, '0') WHERE id < 110")
    await until_none_is_open()
    assert await connection.fetchval("SELECT name FROM small WHERE id = 105") == f"{105:0200}"


async def test_a_cursor_that_ends_with_its_transaction(connection: Connection) -> None:
    for ends in ("commit", "rollback"):
        transaction = connection.transaction()
        await transaction.start()
        seen = 0
        async for row in connection.cursor(SOME, prefetch=500):
            seen += 1
            if row["id"] == 1_000:
                break
        assert seen == 1_001
        assert open_cursors() == 1
        await getattr(transaction, ends)()
        await until_none_is_open()


async def test_a_large_result_of_a_transaction_is_compared_at_its_end(
    router: Router, connection: Connection
) -> None:
    for place in (-1, SOME_ROWS + 1):  # before the first row, and behind the last that was taken
        transaction = connection.transaction()
        await transaction.start()
        rows = await (await connection.cursor(SOME)).fetch(10)
        assert len(rows) == 10
        await router.execute("INSERT INTO small VALUES ($1, 'x')", place)
        await connection.execute("SAVEPOINT s")
        with pytest.raises(asyncpg.SerializationError):
            await connection.execute("INSERT INTO small VALUES (-7, 'seven')")
        await transaction.rollback()
        await router.execute("DELETE FROM small WHERE id = $1", place)
    await until_none_is_open()
    async with connection.transaction():
        assert len(await connection.fetch(SOME)) == SOME_ROWS
        await connection.execute("INSERT INTO small VALUES (-7, 'seven')")
        assert len(await connection.fetch(SOME)) == SOME_ROWS + 1
    assert await router.fetchval("SELECT count(*) FROM small") == SOME_ROWS + 1
    await router.execute("DELETE FROM small WHERE id = -7")
    await until_none_is_open()


async def test_an_error_in_a_large_result_of_a_transaction(connection: Connection) -> None:
    await connection.execute("BEGIN")
    await connection.execute("SAVEPOINT s")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await connection.fetch("SELECT 1 / (id - 6000), name FROM small ORDER BY id")
    await connection.execute("ROLLBACK TO s")
    await connection.execute("INSERT INTO small VALUES (-8, 'eight')")
    await connection.execute("COMMIT")
    assert await connection.execute("DELETE FROM small WHERE id = -8") == "DELETE 1"
    await until_none_is_open()
