"""Large results of several shards through the port of a router: merged as they come, and held by
nobody."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from nodes import cursors
from nodes.config import Address
from shardrouter.pgserver import PgServer
from shardrouter.pgwire import messages as m
from shardrouter.router import Router
from tests.shardrouter.cluster import one_node
from tests.shardrouter.pgserver.wire_client import WireClient, sqlstates
from tests.shardrouter.test_streams import (
    Connection,
    all_cursors,
    open_cursors,
    until_none_is_open,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROWS = 18_000
"""Of 200 bytes: three pieces of each shard."""

RECORDS: list[tuple[int, int | None, str]] = [
    (n, None if n % 7 == 0 else n % 100, f"{n:0200}") for n in range(ROWS)
]

SORTED = "SELECT id, n, name FROM t ORDER BY n DESC NULLS LAST, id"
BY_N = sorted(RECORDS, key=lambda row: (row[1] is None, -(row[1] or 0), row[0]))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Router]:
    async with (
        one_node(tmp_path_factory.mktemp("streams_over_shards")) as path,
        Router.open(path, rng=random.Random(1)) as opened,
    ):
        await opened.execute("CREATE TABLE t (id int PRIMARY KEY, n int, name text)")
        await opened.copy_records_to_table("t", records=RECORDS)
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(router: Router) -> AsyncIterator[Address]:
    server = PgServer(router.new_session, host="127.0.0.1", port=0)
    yield await server.start()
    await server.close(5)


@pytest_asyncio.fixture(loop_scope="module")
async def connection(address: Address) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(f"postgresql://u@{address}/shardrouter")
    await connection.execute("SET shardrouter.finish_rows_max = 100")
    yield connection
    await connection.close()


async def test_rows_pass_in_any_number_and_in_order(connection: Connection) -> None:
    """More than the router may hold; what it would have to hold is refused."""
    passed = await connection.fetch("SELECT id, n, name FROM t")
    assert sorted(map(tuple, passed)) == RECORDS
    assert list(map(tuple, await connection.fetch(SORTED))) == BY_N
    part = await connection.fetch(f"{SORTED} LIMIT 9000 OFFSET 3000")
    assert list(map(tuple, part)) == BY_N[3000:12000]
    assert len(await connection.fetch("SELECT id FROM t LIMIT 17000 OFFSET 500")) == 17_000
    assert await connection.fetch(f"{SORTED} LIMIT 9000 OFFSET 20000") == []
    with pytest.raises(asyncpg.ProgramLimitExceededError, match="more than 100 rows"):
        await connection.fetch("SELECT a.id FROM t a JOIN t b ON a.n = b.id")
    await until_none_is_open()


async def test_who_asks_for_all_at_once_is_told_what_it_may_hold(router: Router) -> None:
    """Nobody streams what `fetch` returns."""
    async with router.acquire() as session:
        assert [tuple(row) for row in await session.fetch(SORTED)] == BY_N
        await session.execute("SET shardrouter.finish_rows_max = 100")
        for sql in (SORTED, "SELECT id FROM t"):
            with pytest.raises(Exception, match="more than 100 rows"):
                await session.fetch(sql)
        rows = [tuple(row) async for row in session.cursor(SORTED)]
        assert rows == BY_N
    await until_none_is_open()


@pytest.mark.parametrize("sql", [SORTED, "SELECT id, name FROM t"])
async def test_a_portal_takes_some_rows_at_a_time(address: Address, sql: str) -> None:
    async with WireClient(address) as client:
        await client.start()
        client.send(m.Parse("", sql, ()), m.Bind("", "", (), (), ()))
        taken = 0
        for limit in (1, 4_999, 5_000, 0):
            client.send(m.Execute("", limit), m.Flush())
            answers = await client.until(m.PortalSuspended if limit else m.CommandComplete)
            rows = [each for each in answers if isinstance(each, m.DataRow)]
            taken += len(rows)
            assert not limit or len(rows) == limit
        assert taken == ROWS
        client.send(m.Bind("p", "", (), (), ()), m.Execute("p", 5), m.Flush())
        await client.until(m.PortalSuspended)
        assert open_cursors() == 3
        client.send(m.Close(m.Target.PORTAL, "p"), m.Sync())
        await client.until(m.ReadyForQuery)
        await until_none_is_open()


async def test_a_cancel_ends_it_on_all_shards(address: Address) -> None:
    async with WireClient(address) as client:
        client.send(m.StartupMessage(3, 0, (("user", "u"), ("database", "shardrouter"))))
        said = await client.until(m.ReadyForQuery)
        [key] = [each for each in said if isinstance(each, m.BackendKeyData)]
        client.send(m.Query("SELECT repeat(name, 20) FROM t ORDER BY n, id"))  # 72 MB
        await client.until(m.DataRow)
        async with WireClient(address) as other:
            other.send(m.CancelRequest(key.pid, key.key))
            assert await other.receive() is None
        await until_none_is_open()
        assert sqlstates(await client.until(m.ReadyForQuery)) == ["57014"]
        assert m.CommandComplete("SELECT 1") in await client.query("SELECT 1")


async def test_an_error_of_one_shard_in_the_middle_ends_all(connection: Connection) -> None:
    for sql in (
        "SELECT 1 / (id - 17900), name FROM t",
        "SELECT 1 / (id - 17900), name FROM t ORDER BY id",
    ):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.fetch(sql)
        await until_none_is_open()
    assert await connection.fetchval("SELECT 1") == 1


async def test_a_snapshot_older_than_its_maximum_age_is_told(
    address: Address, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one shard is enough: a part of the rows is no answer. Who was too slow goes on."""
    async with WireClient(address) as client:
        await client.start()
        for sql in (SORTED, "SELECT id, name FROM t"):
            client.send(m.Parse("", sql, ()), m.Bind("", "", (), (), ()))
            client.send(m.Execute("", 1), m.Flush())
            await client.until(m.PortalSuspended)
            assert open_cursors() == 3
            monkeypatch.setattr(cursors, "AGE_S_MAX", -1.0)
            aged = next(each for each in all_cursors() if each.open)
            aged._look()
            monkeypatch.undo()
            client.send(m.Execute("", 0), m.Sync())
            assert sqlstates(await client.until(m.ReadyForQuery)) == ["72000"]
            await until_none_is_open()
            assert m.CommandComplete("SELECT 1") in await client.query("SELECT 1")
    assert len(await connection.fetch("SELECT id FROM t")) == ROWS


async def test_the_time_of_a_statement_ends_it(connection: Connection) -> None:
    await connection.execute("SET statement_timeout = '300ms'")
    endless = "SELECT id, (SELECT count(*) FROM generate_series(1, 2000000000)) FROM t ORDER BY id"
    for sql in (endless, endless.removesuffix(" ORDER BY id")):
        with pytest.raises(asyncpg.QueryCanceledError):
            await connection.fetch(sql)
        await until_none_is_open()
    await connection.execute("RESET statement_timeout")


async def test_a_small_side_of_a_join_is_sent_to_the_shards(
    router: Router, connection: Connection
) -> None:
    """The rows of the large one, more than the router may hold, stay where they are."""
    await router.execute("CREATE TABLE names (name text PRIMARY KEY, n int, at float8, raw bytea)")
    await router.execute(
        "INSERT INTO names VALUES ('a', 1, -0.0, 'x'), ('b', 2, 'infinity', NULL), "
        "('c', 2, 0.1, '')"
    )
    joined = "SELECT s.name, s.at, s.raw, t.id FROM t JOIN names s ON t.n = s.n ORDER BY t.id, 1"
    small: dict[int, list[tuple[str, float, bytes | None]]] = {
        1: [("a", -0.0, b"x")],
        2: [("b", float("inf"), None), ("c", 0.1, b"")],
    }
    wanted = [(*row, n) for n, key, _ in RECORDS for row in small.get(key or 0, ())]
    grouped = "SELECT s.name, count(*) FROM t JOIN names s USING (n) GROUP BY 1 ORDER BY 1"
    assert list(map(tuple, await connection.fetch(joined))) == wanted
    counted = [(name, sum(row[0] == name for row in wanted)) for name in "abc"]
    assert list(map(tuple, await connection.fetch(grouped))) == counted
    async with connection.transaction():
        await connection.execute("UPDATE names SET n = 3 WHERE name = 'a'")
        found = await connection.fetchval("SELECT count(*) FROM t, names s WHERE t.n = s.n")
        threes = sum(key == 3 for _, key, _ in RECORDS)
        assert found == len(wanted) - counted[0][1] + threes
        await connection.execute("UPDATE names SET n = 1 WHERE name = 'a'")
    for few in (2, 0):
        await connection.execute(f"SET shardrouter.broadcast_rows_max = {few}")
        with pytest.raises(asyncpg.ProgramLimitExceededError, match="more than 100 rows"):
            await connection.fetch(joined)
    await connection.execute("RESET shardrouter.broadcast_rows_max")
    await until_none_is_open()


async def test_cursors_of_a_transaction_and_held_ones(connection: Connection) -> None:
    async with connection.transaction():
        rows = await connection.cursor(SORTED)
        found = [tuple(row) for row in await rows.fetch(50)]
        await connection.execute("UPDATE t SET name = 'new' WHERE id = 17999")
        found += [tuple(row) for row in await rows.fetch(ROWS)]
        assert found == BY_N
        await connection.execute("DECLARE c CURSOR FOR SELECT id FROM t")
        assert len(await connection.fetch("FETCH 10000 FROM c")) == 10_000
        assert len(await connection.fetch("FETCH ALL FROM c")) == ROWS - 10_000
        await connection.execute("UPDATE t SET name = lpad(id::text, 200, '0') WHERE id = 17999")
    await until_none_is_open()
    await connection.execute(f"DECLARE h CURSOR WITH HOLD FOR {SORTED}")
    held = [tuple(row) for _ in range(4) for row in await connection.fetch("FETCH 5000 FROM h")]
    assert held == BY_N
    await connection.execute("CLOSE h")
    await until_none_is_open()
