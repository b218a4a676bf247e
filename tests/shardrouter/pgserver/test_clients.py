"""Real clients against the port: asyncpg, psql, and uvloop as the server's loop."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest
import uvloop

from nodes.config import Address
from shardrouter.pgserver import PgServer
from tests.shardrouter.pgserver.conftest import CREATE
from tests.shardrouter.pgserver.memory_session import Database

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


def dsn(address: Address) -> str:
    return f"postgresql://u@{address}/shardrouter"


@pytest.fixture
async def connection(address: Address) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(dsn(address))
    await connection.execute(CREATE)
    yield connection
    await connection.close()


async def test_values_go_in_and_come_back(connection: Connection) -> None:
    rows = [
        (1, "é\n'", True, 1.5),
        (2, None, None, None),
        (-(2**31), "", False, -1e300),
        (2**31 - 1, "x" * 100_000, True, float("inf")),
    ]
    for row in rows:
        tag = await connection.execute("INSERT INTO t VALUES ($1, $2, $3, $4)", *row)
        assert tag == "INSERT 0 1"
    for row in rows:
        assert (
            tuple(await connection.fetchrow("SELECT * FROM t WHERE id = $1", row[0]) or ()) == row
        )
    assert await connection.fetchval("SELECT count(*) FROM t") == 4
    assert await connection.execute("UPDATE t SET ok = $2 WHERE id = $1", 1, False) == "UPDATE 1"
    assert await connection.fetchval("SELECT ok FROM t WHERE id = 1") is False
    assert await connection.execute("DELETE FROM t WHERE id = $1", 77) == "DELETE 0"
    assert await connection.fetchrow("SELECT * FROM t WHERE id = $1", 77) is None


async def test_a_prepared_statement_knows_its_types(connection: Connection) -> None:
    statement = await connection.prepare("SELECT * FROM t WHERE id = $1")
    assert [t.name for t in statement.get_parameters()] == ["int4"]
    attributes = [(a.name, a.type.name) for a in statement.get_attributes()]
    assert attributes == [("id", "int4"), ("name", "text"), ("ok", "bool"), ("x", "float8")]
    assert await statement.fetch(1) == []
    assert statement.get_statusmsg() == "SELECT 0"


async def test_executemany_is_one_unit_of_commit(
    connection: Connection, database: Database
) -> None:
    insert = "INSERT INTO t (id, name) VALUES ($1, $2)"
    database.units.clear()
    await connection.executemany(insert, [(i, str(i)) for i in range(3000)])
    assert [len(unit) for unit in database.units] == [3000]
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.executemany(insert, [(5000, "a"), (1, "b"), (5001, "c")])
    assert await connection.fetchval("SELECT count(*) FROM t") == 3000


async def test_errors_carry_what_postgresql_would_say(connection: Connection) -> None:
    await connection.execute("INSERT INTO t (id) VALUES (1)")
    with pytest.raises(asyncpg.UniqueViolationError) as taken:
        await connection.execute("INSERT INTO t (id) VALUES ($1)", 1)
    assert taken.value.detail == "A detail."
    with pytest.raises(asyncpg.UndefinedTableError) as unknown:
        await connection.fetch("SELECT * FROM nosuch")
    assert unknown.value.as_dict()["position"] == "15"
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await connection.execute("SELEC 1")
    with pytest.raises(asyncpg.FeatureNotSupportedError) as refused:
        await connection.execute("LOCK t")
    assert refused.value.hint
    with pytest.raises(asyncpg.DataError):
        await connection.fetch("SELECT * FROM t WHERE id = $1", "x")
    assert await connection.fetchval("SELECT 1") == 1


async def test_settings_of_a_connection(address: Address) -> None:
    settings = {"statement_timeout": "1500ms", "application_name": "tests"}
    connection = await asyncpg.connect(dsn(address), server_settings=settings)
    assert await connection.fetchval("SHOW statement_timeout") == "1500ms"
    assert connection.get_settings().application_name == "tests"
    await connection.execute("SET application_name = 'other'")
    assert connection.get_settings().application_name == "other"
    assert connection.get_server_version().major == 15
    await connection.close()
    settings = {"options": "-c shardrouter.consistency=any"}
    connection = await asyncpg.connect(dsn(address), server_settings=settings)
    assert await connection.fetchval("SHOW shardrouter.consistency") == "any"
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await connection.execute("SET shardrouter.consistency = 'eventual'")
    await connection.close()
    with pytest.raises(asyncpg.UndefinedObjectError):
        await asyncpg.connect(dsn(address), server_settings={"nosuch": "1"})


async def test_a_pool_resets_what_it_gets_back(address: Address) -> None:
    async with asyncpg.create_pool(dsn(address), min_size=1, max_size=1) as pool:
        for _ in range(3):
            async with pool.acquire() as connection:
                assert await connection.fetchval("SHOW statement_timeout") == "10s"
                await connection.execute("SET statement_timeout = '1s'")
        await asyncio.gather(*(pool.fetchval("SELECT 1") for _ in range(20)))


async def test_many_connections_at_once(connection: Connection, address: Address) -> None:
    async def work(number: int) -> int:
        own = await asyncpg.connect(dsn(address))
        for i in range(10):
            await own.execute("INSERT INTO t (id) VALUES ($1)", number * 10 + i)
        found = await own.fetchval("SELECT id FROM t WHERE id = $1", number * 10)
        await own.close()
        assert isinstance(found, int)
        return found

    assert await asyncio.gather(*map(work, range(20))) == [n * 10 for n in range(20)]
    assert await connection.fetchval("SELECT count(*) FROM t") == 200


async def test_a_schema_change_makes_old_plans_new(connection: Connection) -> None:
    assert await connection.fetch("SELECT * FROM t WHERE id = $1", 1) == []
    await connection.execute("DROP TABLE t")
    with pytest.raises(asyncpg.UndefinedTableError):
        await connection.fetch("SELECT x FROM t WHERE id = $1", 1)


def test_the_port_works_on_uvloop_too() -> None:
    async def main() -> None:
        database = Database()
        server = PgServer(database.session, host="127.0.0.1", port=0)
        address = await server.start()
        connection = await asyncpg.connect(dsn(address))
        await connection.execute(CREATE)
        await connection.executemany(
            "INSERT INTO t (id, name) VALUES ($1, $2)", [(i, "x" * 1000) for i in range(1000)]
        )
        rows = await connection.fetch("SELECT * FROM t ORDER BY id")
        assert [row["id"] for row in rows] == list(range(1000))
        await server.close(5)
        assert database.sessions == 0
        database.close()
        connection.terminate()

    uvloop.run(main())


# ------------------------------------------------------------------------------------ psql

PSQL = shutil.which("psql")
needs_psql = pytest.mark.skipif(
    PSQL is None, reason="psql is not installed (Debian package postgresql-client)"
)


async def psql(address: Address, script: str) -> tuple[str, str]:
    """What psql prints on standard output and standard error."""
    assert PSQL is not None
    process = await asyncio.create_subprocess_exec(
        *(PSQL, "--no-psqlrc", "--no-align", "--tuples-only", dsn(address)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"LANG": "C.UTF-8"},
    )
    out, err = await process.communicate(script.encode())
    return out.decode(), err.decode()


@needs_psql
async def test_psql_reads_a_script(address: Address) -> None:
    out, err = await psql(
        address,
        f"""
        {CREATE};
        INSERT INTO t VALUES (1, 'é', true, 1.5), (2, NULL, false, NULL);
        SELECT * FROM t ORDER BY id;
        UPDATE t SET name = 'b' WHERE id = 2;
        SELECT name FROM t WHERE id = 2 \\; SELECT 2;
        DELETE FROM t WHERE id = 1;
        SELECT count(*) FROM t;
        \\set FETCH_COUNT 0
        """,
    )
    assert err == ""
    assert out.splitlines() == [
        *("CREATE TABLE", "INSERT 0 2", "1|é|t|1.5", "2||f|", "UPDATE 1", "b", "2", "DELETE 1"),
        "1",
    ]


@needs_psql
async def test_psql_shows_errors_where_they_are_and_goes_on(address: Address) -> None:
    out, err = await psql(address, "SELECT nosuch;\nSELECT 1;\n")
    assert out == "1\n"
    assert err.splitlines() == [
        'ERROR:  column "nosuch" does not exist',
        "LINE 1: SELECT nosuch;",
        "               ^",
    ]
