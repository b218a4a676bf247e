"""Changes of the schema beside other statements, in one message or one pipeline, as clients send
them: one unit of commit, and what follows a change is understood after it."""

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
from shardrouter.pgwire import messages as m
from shardrouter.router import Router
from tests.shardrouter.cluster import one_node
from tests.shardrouter.pgserver.wire_client import WireClient, sqlstates

pytestmark = pytest.mark.asyncio(loop_scope="module")

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Address]:
    async with one_node(tmp_path_factory.mktemp("ddl")) as path, Router.open(path) as router:
        server = PgServer(router.new_session, host="127.0.0.1", port=0)
        yield await server.start()
        await server.close(5)


@pytest_asyncio.fixture(loop_scope="module")
async def connection(address: Address) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(f"postgresql://u@{address}/shardrouter")
    await connection.execute("SET default_placement = home")
    await connection.execute("DROP TABLE IF EXISTS a, b")
    yield connection
    await connection.close()


async def code(connection: Connection, sql: str) -> str:
    with pytest.raises(asyncpg.PostgresError) as caught:
        await connection.execute(sql)
    assert not connection.is_in_transaction()
    return str(caught.value.sqlstate)


async def rows(connection: Connection, sql: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await connection.fetch(sql)]


async def test_a_message_is_one_unit(connection: Connection) -> None:
    await connection.execute(
        "CREATE TABLE a (id serial PRIMARY KEY, n int); INSERT INTO a (n) VALUES (7);"
        "CREATE TABLE b (id int REFERENCES a); INSERT INTO b SELECT id FROM a"
    )
    assert await rows(connection, "SELECT b.id, n FROM a JOIN b USING (id)") == [(1, 7)]
    # It fails as a whole, wherever it does.
    for last, sqlstate in (
        ("INSERT INTO b VALUES (9)", "23503"),
        ("CREATE TABLE a (id int)", "42P07"),
        ("SELECT nothing FROM a", "42703"),
        ("SELECT 1 / 0", "22012"),
        ("CREATE UNIQUE INDEX CONCURRENTLY ON a (n)", "25001"),
        ("SAVEPOINT s", "25P01"),
    ):
        sql = f"ALTER TABLE a ADD CHECK (n > 5); DROP TABLE b; {last.replace('INTO b', 'INTO a')}"
        if "INTO b" in last:
            sql = f"ALTER TABLE a ADD CHECK (n > 5); {last}"
        assert await code(connection, sql) == sqlstate, last
        assert await connection.fetchval("SELECT count(*) FROM b") == 1
    await connection.execute("INSERT INTO a (n) VALUES (0)")


async def test_begin_and_commit_among_the_statements(connection: Connection) -> None:
    await connection.execute(
        "BEGIN; CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1); COMMIT;"
        "CREATE TABLE b (id int); INSERT INTO b VALUES (1)"
    )
    assert await connection.fetchval("SELECT count(*) FROM a JOIN b USING (id)") == 1
    # What a COMMIT ends has happened, what comes behind it has not.
    assert await code(connection, "DROP TABLE b; COMMIT; DROP TABLE a; SELECT 1 / 0") == "22012"
    assert await code(connection, "SELECT 1 FROM b") == "42P01"
    assert await connection.fetchval("SELECT count(*) FROM a") == 1
    await connection.execute("CREATE TABLE b (id int); INSERT INTO b VALUES (1); ROLLBACK")
    assert await code(connection, "SELECT 1 FROM b") == "42P01"
    # BEGIN makes what came before it part of the transaction.
    await connection.execute("CREATE TABLE b (id int); BEGIN; INSERT INTO b VALUES (1)")
    assert await connection.fetchval("SELECT count(*) FROM b") == 1
    await connection.execute("ROLLBACK")
    assert await code(connection, "SELECT 1 FROM b") == "42P01"


async def twice(connection: Connection, sql: str) -> None:
    """In a savepoint, after a change that is taken back."""
    async with connection.transaction():
        await connection.execute("CREATE TABLE b (id int)")
        await connection.execute(sql)


async def test_a_transaction_of_asyncpg(connection: Connection) -> None:
    async with connection.transaction():
        await connection.execute("CREATE TABLE a (id int PRIMARY KEY, name text)")
        await connection.executemany("INSERT INTO a VALUES ($1, $2)", [(1, "x"), (2, "y")])
        with pytest.raises(asyncpg.DuplicateTableError):
            await twice(connection, "CREATE TABLE a (id int)")
        assert await rows(connection, "SELECT * FROM a ORDER BY id") == [(1, "x"), (2, "y")]
        await connection.copy_records_to_table("a", records=[(3, "z")])
    assert await connection.fetchval("SELECT name FROM a WHERE id = $1", 3) == "z"
    # A statement that was prepared in a transaction means what it says after it.
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("DROP TABLE a; CREATE TABLE a (id text PRIMARY KEY)")
    statement = await connection.prepare("SELECT count(*) FROM a")
    assert await statement.fetchval() == 0
    await transaction.rollback()
    assert await statement.fetchval() == 3


async def test_a_pipeline_is_one_unit(connection: Connection, address: Address) -> None:
    async def pipelined(*sent: str) -> list[str]:
        """The SQLSTATEs that are answered."""
        async with WireClient(address) as client:
            await client.start()
            await client.query("SET default_placement = home")
            steps = [
                (m.Parse("", sql, ()), m.Bind("", "", (), (), ()), m.Execute("", 0)) for sql in sent
            ]
            return sqlstates(await client.ask(*(one for step in steps for one in step), m.Sync()))

    create, insert = "CREATE TABLE a (id int PRIMARY KEY)", "INSERT INTO a VALUES (1)"
    fails = await pipelined(create, insert, "SELECT id FROM a", "SELECT 1 / 0")
    assert fails == ["22012"]
    assert await code(connection, "SELECT 1 FROM a") == "42P01"
    assert await pipelined(create, insert, "CREATE INDEX ON a (id)") == []
    assert await connection.fetchval("SELECT count(*) FROM a") == 1


@pytest.mark.skipif(shutil.which("psql") is None, reason="apt install postgresql-client")
async def test_a_script_that_psql_sends_as_one_transaction(
    connection: Connection, address: Address
) -> None:
    def psql(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["psql", "-X", "-1", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1",
             "-d", f"postgresql://u@{address}/shardrouter"],
            input=script, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    script = (
        "SET default_placement = home;\nCREATE TABLE a (id serial PRIMARY KEY, n int);\n"
        "COPY a (n) FROM stdin;\n5\n6\n\\.\nCREATE INDEX ON a (n);\nSELECT sum(n) FROM a;\n"
    )
    failed = await to_thread(psql, script + "SELECT 1 / 0;\n")
    assert "division by zero" in failed.stderr
    assert await code(connection, "SELECT 1 FROM a") == "42P01"
    done = await to_thread(psql, script)
    assert (done.stdout.strip(), done.stderr) == ("11", "")
    assert await rows(connection, "SELECT * FROM a ORDER BY id") == [(1, 5), (2, 6)]
