"""Hostile input over the wire: each gets a clear error or a stream, in bounded memory, and the
router serves the next client."""

from __future__ import annotations

import asyncio
import os
import re
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from shardrouter import LocalCluster
from tests.process.conftest import shardrouter

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]

ROUTER_MB_MAX = 300
"""What a router may take at its worst moment: some 90 at rest, one message of 16 MiB as bytes, as
text and as tokens, and what the allocator keeps."""

STREAM_MB_MAX = 150
"""The same while it passes a million rows on."""


@dataclass
class Served:
    """A router as a process of its own, and how to reach it."""

    pid: int
    host: str
    port: int
    dsn: str

    async def fetch(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetch(sql, *arguments)
        finally:
            await connection.close()

    async def peak_mb(self, work: Callable[[], Awaitable[object]]) -> float:
        """Run `work`, and another client's statement after it; the most memory since."""
        process = Path(f"/proc/{self.pid}")
        (process / "clear_refs").write_text("5")
        await work()
        assert (await self.fetch("SELECT 1"))[0][0] == 1
        found = re.search(r"VmHWM:\s+(\d+) kB", (process / "status").read_text())
        assert found is not None
        return int(found[1]) / 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served() -> AsyncIterator[Served]:
    async with LocalCluster(shards=1, in_memory=True) as cluster:
        process = await asyncio.create_subprocess_exec(
            *shardrouter("serve", "--port", "0", "--exit-with-stdin"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"SHARDROUTER_CLUSTER": str(cluster.file)},
        )
        assert process.stdout is not None
        assert process.stdin is not None
        address = (await process.stdout.readline()).split()[-1].decode()
        host, port = address.split(":")
        dsn = re.sub(r"@[^/]+/", f"@{address}/", cluster.dsn)
        served = Served(process.pid, host, int(port), dsn)
        await served.fetch("CREATE TABLE t (id bigint PRIMARY KEY, name text, n integer)")
        yield served
        process.stdin.close()
        await process.wait()


async def test_a_million_rows_are_a_stream(served: Served) -> None:
    """First of all: what the allocator keeps of large statements would count as well."""
    rows = 1_000_000

    async def read() -> None:
        assert len(await served.fetch("SELECT * FROM h")) == rows

    await served.fetch(
        "CREATE TABLE h (id bigint PRIMARY KEY, name text, n bigint) WITH (home = true)"
    )
    await served.fetch(f"INSERT INTO h SELECT g, 'name', g FROM generate_series(1, {rows}) AS g")
    assert await served.peak_mb(read) < STREAM_MB_MAX
    await served.fetch("DROP TABLE h")


REFUSED: dict[str, tuple[str, Callable[[], str]]] = {
    "a literal larger than a message": ("54000", lambda: "SELECT '" + "a" * 17_000_000 + "'"),
    "100 000 parameters": (
        "54000",
        lambda: "SELECT " + " + ".join(f"${i}::int" for i in range(1, 100_001)),
    ),
    "an endless recursion": (
        "54000",
        lambda: (
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"
        ),
    ),
    "an endless result": (
        "54000",
        lambda: "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r",
    ),
    "deep parentheses": ("54001", lambda: "SELECT " + "(" * 50_000 + "1" + ")" * 50_000),
    "a deep NOT": ("54001", lambda: "SELECT " + "NOT " * 20_000 + "true"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_too_much_is_refused(served: Served, name: str) -> None:
    sqlstate, statement = REFUSED[name]

    async def send() -> None:
        with pytest.raises(asyncpg.PostgresError) as caught:
            await served.fetch(statement())
        assert caught.value.sqlstate == sqlstate

    assert await served.peak_mb(send) < ROUTER_MB_MAX


ANSWERED: dict[str, tuple[Callable[[], str], tuple[int, ...]]] = {
    "20 000 conditions": (
        lambda: "SELECT id FROM t WHERE " + " AND ".join(f"id <> {i}" for i in range(20_000)),
        (),
    ),
    "30 000 parameters": (
        lambda: f"SELECT id FROM t WHERE id IN ({','.join(f'${i + 1}' for i in range(30_000))})",
        tuple(range(30_000)),
    ),
    "a literal of 15 MB": (lambda: "SELECT length('" + "a" * 15_000_000 + "')", ()),
}


@pytest.mark.parametrize("name", ANSWERED)
async def test_what_is_merely_large_is_answered(served: Served, name: str) -> None:
    statement, arguments = ANSWERED[name]
    peak = await served.peak_mb(lambda: served.fetch(statement(), *arguments))
    assert peak < ROUTER_MB_MAX


async def test_a_transaction_of_ten_thousand_statements_commits(served: Served) -> None:
    async def transact() -> None:
        connection = await asyncpg.connect(served.dsn)
        try:
            writes = ";".join(f"INSERT INTO t VALUES ({i}, 'x', 1)" for i in range(9_900))
            await connection.execute(f"BEGIN;{writes};COMMIT")
        finally:
            await connection.close()

    assert await served.peak_mb(transact) < ROUTER_MB_MAX
    assert (await served.fetch("SELECT count(*) FROM t"))[0][0] == 9_900


_WHO = b"user\0shardrouter\0database\0postgres\0\0"
HELLO = struct.pack(">II", 8 + len(_WHO), 196608) + _WHO


@pytest.mark.parametrize(
    "said",
    [
        os.urandom,
        lambda size: HELLO + b"\xff" * size,
        lambda size: HELLO + b"p" + struct.pack(">I", 2_000_000_000) + b"x" * size,
        lambda size: HELLO + b"Q" + struct.pack(">I", 2_000_000_000) + b"x" * size,
        lambda size: struct.pack(">I", 2_000_000_000) + b"x" * size,
    ],
    ids=["noise", "noise after the hello", "a long password", "a long query", "a long hello"],
)
async def test_garbage_ends_its_own_connection(
    served: Served, said: Callable[[int], bytes]
) -> None:
    async def send() -> None:
        reader, writer = await asyncio.open_connection(served.host, served.port)
        try:
            for _ in range(20):
                writer.write(said(1_000_000))
                await writer.drain()
            async with asyncio.timeout(10):
                while await reader.read(65536):
                    pass
        except ConnectionError:
            pass  # as good an end as any
        finally:
            writer.close()

    assert await served.peak_mb(send) < ROUTER_MB_MAX
