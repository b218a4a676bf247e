"""Transaction blocks as asyncpg and psql drive them, over a real cluster of one node."""

from __future__ import annotations

import shutil
import subprocess
from asyncio import to_thread
from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest
import pytest_asyncio

from nodes.config import Address
from shardrouter.pgserver import PgServer
from shardrouter.router import Router
from tests.shardrouter.cluster import one_node

pytestmark = pytest.mark.asyncio(loop_scope="module")

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

ADD = "UPDATE t SET n = n + $2 WHERE id = $1"
READ = "SELECT n FROM t WHERE id = $1"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Address]:
    async with (
        one_node(tmp_path_factory.mktemp("blocks")) as path,
        Router.open(path) as router,
    ):
        await router.execute("CREATE TABLE t (id bigint PRIMARY KEY, n bigint)")
        server = PgServer(router.new_session, host="127.0.0.1", port=0)
        yield await server.start()
        await server.close(5)


@pytest_asyncio.fixture(loop_scope="module")
async def connection(address: Address) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(f"postgresql://u@{address}/shardrouter")
    await connection.execute("DELETE FROM t WHERE id = 1")
    await connection.execute("INSERT INTO t VALUES (1, 0)")
    yield connection
    await connection.close()


async def test_a_session_has_the_number_by_which_it_is_cancelled(connection: Connection) -> None:
    """Drivers and pools tell their connections apart by it."""
    assert await connection.fetchval("SELECT pg_backend_pid()") == connection.get_server_pid()
    assert await connection.fetchval("SELECT pid FROM pg_stat_activity") == (
        connection.get_server_pid()
    )


async def test_transactions_of_asyncpg(connection: Connection) -> None:
    async with connection.transaction(isolation="serializable"):
        assert connection.is_in_transaction()
        assert await connection.execute(ADD, 1, 1) == "UPDATE 1"
        nested = connection.transaction()
        await nested.start()
        await connection.execute(ADD, 1, 100)
        await nested.rollback()
        assert await connection.fetchval(READ, 1) == 1
    assert not connection.is_in_transaction()

    async def fails() -> None:
        async with connection.transaction():
            await connection.execute(ADD, 1, 10)
            await connection.execute("INSERT INTO t VALUES (1, 0)")

    with pytest.raises(asyncpg.UniqueViolationError):
        await fails()
    assert not connection.is_in_transaction()
    assert await connection.fetchval(READ, 1) == 1


async def test_a_failed_block(connection: Connection, address: Address) -> None:
    await connection.execute("BEGIN")
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("INSERT INTO t VALUES (1, 0)")
    assert connection.is_in_transaction()
    for text in ("SELECT 1", "SELECT * FROM nosuch"):
        with pytest.raises(asyncpg.InFailedSQLTransactionError):
            await connection.fetch(text)
        with pytest.raises(asyncpg.InFailedSQLTransactionError):
            await connection.execute(text)
    assert await connection.execute("COMMIT") == "ROLLBACK"
    await connection.execute("BEGIN")
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await connection.execute("SELEC")
    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await connection.execute("SELECT 1")
    await connection.execute("ROLLBACK")
    # 40001 leaves the session as it found it.
    other = await asyncpg.connect(f"postgresql://u@{address}/shardrouter")
    await connection.execute("BEGIN")
    assert await connection.fetchval(READ, 1) == 0
    await other.execute(ADD, 1, 1)
    with pytest.raises(asyncpg.SerializationError) as caught:
        await connection.execute(ADD, 1, 1)
    assert caught.value.hint
    await connection.execute("ROLLBACK")
    assert await connection.fetchval(READ, 1) == 1
    await other.close()


async def test_what_cannot_be_prepared_comes_after_what_can(connection: Connection) -> None:
    for bad, error in (
        ("SELECT * FROM nosuch", asyncpg.UndefinedTableError),
        ("INSERT INTO t VALUES (1, 0)", asyncpg.UniqueViolationError),
    ):
        with pytest.raises(error):
            await connection.execute(f"BEGIN; UPDATE t SET n = 9 WHERE id = 1; {bad}")
        assert connection.is_in_transaction()
        with pytest.raises(error):
            await connection.execute(f"ROLLBACK; UPDATE t SET n = 7 WHERE id = 1; {bad}")
        assert not connection.is_in_transaction()
    assert await connection.fetchval(READ, 1) == 0
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await connection.execute("BEGIN; SELEC")
    assert not connection.is_in_transaction()


async def test_warnings_and_rows_of_a_block(connection: Connection) -> None:
    said: list[tuple[str, str]] = []
    connection.add_log_listener(
        lambda _, message: said.append((message.severity, message.sqlstate))
    )
    await connection.execute("COMMIT")
    await connection.execute("BEGIN; BEGIN; COMMIT")
    assert said == [("WARNING", "25P01"), ("WARNING", "25001")]
    async with connection.transaction():
        found = [row["n"] async for row in connection.cursor("SELECT n FROM t WHERE id = 1")]
    assert found == [0]


async def test_nothing_is_left_of_a_client_that_leaves(
    connection: Connection, address: Address
) -> None:
    gone = await asyncpg.connect(f"postgresql://u@{address}/shardrouter")
    await gone.execute("BEGIN")
    await gone.execute(ADD, 1, 5)
    gone.terminate()
    await connection.execute(ADD, 1, 1, timeout=2)
    assert await connection.fetchval(READ, 1) == 1


@pytest.mark.skipif(shutil.which("psql") is None, reason="apt install postgresql-client")
async def test_a_script_of_psql(connection: Connection, address: Address) -> None:
    script = (
        "BEGIN;\nUPDATE t SET n = n + 1 WHERE id = 1;\nSAVEPOINT s;\n"
        "INSERT INTO t VALUES (1, 0);\nSELECT 1;\nROLLBACK TO s;\n"
        "SELECT n FROM t WHERE id = 1;\nCOMMIT;\n"
        # One message: its statements before the failing one are answered, as they were run.
        "BEGIN \\; UPDATE t SET n = 50 WHERE id = 1 \\; INSERT INTO t VALUES (1, 0);\nEND;\n"
    )
    done = await to_thread(
        subprocess.run,
        ["psql", "-XqAt", f"postgresql://u@{address}/shardrouter"],
        input=script,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout.split() == ["1"]
    errors = [line for line in done.stderr.splitlines() if "ERROR" in line]
    assert ["unique" in errors[0], "aborted" in errors[1], "unique" in errors[2]] == [True] * 3
    assert await connection.fetchval(READ, 1) == 1
