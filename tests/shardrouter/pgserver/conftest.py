"""A PostgreSQL port over a database in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from nodes.config import Address
from shardrouter.pgserver import PgServer
from tests.shardrouter.pgserver.memory_session import Database
from tests.shardrouter.pgserver.wire_client import WireClient

CREATE = "CREATE TABLE t (id int PRIMARY KEY, name text, ok boolean, x float8)"


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    database = Database()
    yield database
    assert database.sessions == 0, "a session was not closed"
    database.close()


@pytest.fixture
async def server(database: Database) -> AsyncIterator[PgServer]:
    server = PgServer(database.session, host="127.0.0.1", port=0)
    yield server
    if database.gate is not None:
        database.gate.set()
    await server.close(5)


@pytest.fixture
async def address(server: PgServer) -> Address:
    return await server.start()


@pytest.fixture
async def client(address: Address, database: Database) -> AsyncIterator[WireClient]:
    """Connected and greeted, with the table t."""
    async with WireClient(address) as client:
        await client.start()
        await client.query(CREATE)
        database.units.clear()
        yield client
