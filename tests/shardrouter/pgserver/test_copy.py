"""COPY through the port: asyncpg's and psql's way, and message by message."""

from __future__ import annotations

import asyncio
import io
import shutil
import struct
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from nodes.config import Address
from shardrouter.pgwire import messages as m
from tests.shardrouter.pgserver.memory_session import Database
from tests.shardrouter.pgserver.test_clients import Connection, dsn
from tests.shardrouter.pgserver.wire_client import WireClient

ROWS: list[tuple[Any, ...]] = [
    (1, "a\tb\\c\nd", True, 1.5),
    (2, "", None, None),
    (3, None, False, float("inf")),
]


@pytest.fixture
async def connection(client: WireClient, address: Address) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(dsn(address))
    yield connection
    await connection.close()


async def rows_of(connection: Connection) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await connection.fetch("SELECT * FROM t ORDER BY id")]


@pytest.mark.parametrize("options", [{}, {"format": "csv", "header": True}, {"format": "binary"}])
async def test_asyncpg_copies_in_and_out(connection: Connection, options: dict[str, Any]) -> None:
    tag = await connection.copy_records_to_table("t", records=ROWS)
    assert tag == "COPY 3"
    assert await rows_of(connection) == ROWS
    out = io.BytesIO()
    assert await connection.copy_from_table("t", output=out, **options) == "COPY 3"
    await connection.execute("DELETE FROM t WHERE id IN (1, 2, 3)")
    out.seek(0)
    assert await connection.copy_to_table("t", source=out, **options) == "COPY 3"
    assert await rows_of(connection) == ROWS
    out = io.BytesIO()
    query = "SELECT name, id FROM t WHERE id > 1 ORDER BY id DESC"
    assert await connection.copy_from_query(query, output=out, format="csv") == "COPY 2"
    assert out.getvalue() == b',3\n"",2\n'


async def test_a_slow_shard_holds_the_client_back(
    connection: Connection, database: Database
) -> None:
    database.copies_are_full = True
    records = [(n, "x" * 1000, None, None) for n in range(3000)]
    await connection.copy_records_to_table("t", records=records)
    assert await connection.fetchval("SELECT count(*) FROM t") == 3000


async def test_an_error_of_the_data_says_where_and_leaves_nothing(
    connection: Connection, database: Database
) -> None:
    with pytest.raises(asyncpg.InvalidTextRepresentationError) as wrong:
        await connection.copy_to_table("t", source=io.BytesIO(b"1,a,,\nx,b,,\n"), format="csv")
    assert wrong.value.context == 'COPY t, line 2, column id: "x"'
    await connection.copy_records_to_table("t", records=ROWS)
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.copy_records_to_table("t", records=[(9, None, None, None), ROWS[0]])
    with pytest.raises(asyncpg.UndefinedColumnError):
        await connection.copy_records_to_table("t", records=[(1,)], columns=["nope"])
    assert await rows_of(connection) == ROWS
    assert database.copies == 0


async def test_a_source_that_fails_ends_the_copy(
    connection: Connection, database: Database
) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"1\ta\t\\N\t\\N\n"
        raise LookupError("no more")

    with pytest.raises(LookupError):
        await connection.copy_to_table("t", source=source())
    assert await rows_of(connection) == []
    assert database.copies == 0


@pytest.mark.skipif(shutil.which("psql") is None, reason="apt install postgresql-client")
async def test_psql_copies_from_its_input_and_to_its_output(
    address: Address, client: WireClient
) -> None:
    script = (
        b"COPY t FROM STDIN (FORMAT csv, FREEZE);\n1,one,t,0.5\n2,,f,\n\\.\n"
        b"\\copy (SELECT id, name FROM t ORDER BY id) TO STDOUT\n"
        b"COPY t (id, name) FROM STDIN WITH CSV HEADER DELIMITER ';' QUOTE '''';\n"
        b"id;name\n3;'a;b'\n\\.\nCOPY t TO STDOUT WITH CSV FORCE QUOTE name;\n"
    )
    psql = await asyncio.create_subprocess_exec(
        *("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", dsn(address)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await psql.communicate(script)
    assert error == b""
    assert out == b'1\tone\n2\t\\N\n1,"one",t,0.5\n2,,f,\n3,"a;b",,\n'


# --------------------------------------------------------------------------- the messages

COPY = "COPY t (id) FROM STDIN"


async def test_sync_before_the_data_means_nothing(client: WireClient) -> None:
    """As libpq sends it: the whole of Parse to Sync first, and another Sync behind the data."""
    client.send(m.Parse("", COPY, ()), m.Bind("", "", (), (), ()))
    client.send(m.Describe(m.Target.PORTAL, ""), m.Execute("", 0), m.Sync())
    assert [type(each).__name__ for each in await client.until(m.CopyInResponse)] == [
        "ParseComplete",
        "BindComplete",
        "NoData",
        "CopyInResponse",
    ]
    client.send(m.CopyData(b"1\n2"), m.CopyData(b"\n3\n"), m.CopyDone(), m.Sync())
    answers = await client.until(m.ReadyForQuery)
    assert answers == [m.CommandComplete("COPY 3"), m.ReadyForQuery("I")]
    assert await client.query("SELECT count(*) FROM t")


async def test_what_follows_a_failed_copy_is_read_over(client: WireClient) -> None:
    client.send(m.Query(COPY))
    await client.until(m.CopyInResponse)
    client.send(m.CopyData(b"x" * 70_000 + b"\n"), m.CopyData(b"1\n"), m.CopyDone())
    client.send(m.Query("SELECT count(*) FROM t"))
    first = await client.until(m.ReadyForQuery)
    assert isinstance(first[0], m.ErrorResponse)
    assert first[0].report.sqlstate == "22P02"
    second = await client.until(m.ReadyForQuery)
    assert m.CommandComplete("SELECT 1") in second


async def test_the_client_gives_up_or_leaves(client: WireClient, database: Database) -> None:
    client.send(m.Query(COPY))
    await client.until(m.CopyInResponse)
    client.send(m.CopyData(b"1\n"), m.CopyFail("changed my mind"))
    answers = await client.until(m.ReadyForQuery)
    assert isinstance(answers[0], m.ErrorResponse)
    assert answers[0].report.sqlstate == "57014"
    assert answers[0].report.message == "COPY from stdin failed: changed my mind"
    assert database.copies == 0


async def test_another_message_in_a_copy_ends_the_connection(client: WireClient) -> None:
    client.send(m.Query(COPY))
    await client.until(m.CopyInResponse)
    client.send(m.Query("SELECT 1"))
    answers = await client.until(m.ErrorResponse)
    assert isinstance(answers[-1], m.ErrorResponse)
    assert answers[-1].report.sqlstate == "08P01"


async def test_a_copy_is_alone_in_its_unit(client: WireClient) -> None:
    for query in (f"{COPY}; SELECT 1", f"INSERT INTO t (id) VALUES (1); {COPY}"):
        client.send(m.Query(query))
        answers = await client.until(m.ReadyForQuery)
        assert isinstance(answers[0], m.ErrorResponse)
        assert answers[0].report.sqlstate == "0A000"


async def test_the_messages_of_a_binary_copy_out(client: WireClient) -> None:
    await client.query("INSERT INTO t (id, name) VALUES (1, 'a')")
    client.send(m.Query("COPY t (id, name) TO STDOUT (FORMAT binary)"))
    answers = await client.until(m.ReadyForQuery)
    assert answers[0] == m.CopyOutResponse(1, (1, 1))
    data = [each.data for each in answers if isinstance(each, m.CopyData)]
    assert data[0].startswith(b"PGCOPY\n")
    assert data[1] == struct.pack(">hiiic", 2, 4, 1, 1, b"a")
    assert data[2] == b"\xff\xff"
    assert answers[-3:] == [m.CopyDone(), m.CommandComplete("COPY 1"), m.ReadyForQuery("I")]
