"""A node that ends in order starts again, whatever was done last: Python 3.11 leaves a statement
that failed in its cursor, which keeps the file open behind a connection that was closed."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from nodes.cluster_file import load_cluster
from nodes.node import Node
from nodes.replica_files import close_replica, wal_of
from nodes.sql_connection import SqlConnection
from shardrouter.errors import RouterError
from shardrouter.router import Router
from tests.nodes.replica import Replica
from tests.shardrouter.cluster import one_node

pytestmark = pytest.mark.slow

ROWS = [(key, key) for key in range(2000)]
GROUPS = ("meta", "shard-1")

Last: TypeAlias = Callable[[Router], Awaitable[object]]


async def _write(db: Router) -> None:
    await db.execute("INSERT INTO t VALUES (1, 0)")


async def _tried_write(db: Router) -> None:
    await db.execute("UPDATE t SET v = v / (id - 7)")


async def _read(db: Router) -> None:
    await db.fetch("SELECT 1 / (v - 7) FROM t WHERE id = 7")


async def _long_read(db: Router) -> None:
    few = "a.id < 5 AND b.id < 5"
    await db.fetch(f"SELECT sum(1 / (a.v + b.v - 5)) FROM t AS a, t AS b WHERE {few}")


async def _streamed_read(db: Router) -> None:
    async for _ in db.cursor("SELECT id, 1 / (v - 1999) FROM t ORDER BY id"):
        pass


async def _block(db: Router) -> None:
    async with db.transaction() as connection:
        await connection.execute("INSERT INTO t VALUES (-1, 0)")
        await connection.execute("INSERT INTO t VALUES (1, 0)")


async def _copy(db: Router) -> None:
    await db.copy_records_to_table("t", records=[(-1, 0), (1, 0)])


FAILING: dict[str, Last] = {
    each.__name__.strip("_"): each
    for each in (_write, _tried_write, _read, _long_read, _streamed_read, _block, _copy)
}


async def _fails(db: Router) -> None:
    for each in FAILING.values():
        with pytest.raises(RouterError):
            await each(db)


async def _copies(db: Router) -> None:
    await db.copy_records_to_table("t", records=[(key + 10_000, 0) for key, _ in ROWS])


async def _is_left_in_the_middle(db: Router) -> None:
    async for _ in db.cursor("SELECT id, v FROM t ORDER BY id"):
        break
    reading = asyncio.ensure_future(db.fetch("SELECT count(*) FROM t a, t b, t c, t d"))
    await asyncio.wait([reading], timeout=0.05)
    reading.cancel()


@pytest.mark.parametrize(
    "last",
    [*FAILING.values(), _fails, _copies, _is_left_in_the_middle],
    ids=lambda last: str(last.__name__.strip("_")),
)
async def test_a_node_starts_again_whatever_was_done_last(tmp_path: Path, last: Last) -> None:
    async with one_node(tmp_path, GROUPS) as path, Router.open(path, rng=random.Random(1)) as db:
        await db.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
        await db.copy_records_to_table("t", records=ROWS)
        await db.execute("UPDATE t SET v = v WHERE id = 1")
        if last in FAILING.values():
            with pytest.raises(RouterError):
                await last(db)
        else:
            await last(db)
    for group in GROUPS:
        assert not wal_of(tmp_path / "n1" / group / "data-1.db").exists(), (
            "all of it is in the file"
        )
    again = Node(load_cluster(path), "n1", tmp_path / "n1", rng=random.Random(2))
    async with again, Router.open(path, rng=random.Random(2)) as db:
        assert await db.fetchval("SELECT sum(v) FROM t") == sum(value for _, value in ROWS)


async def test_a_file_that_is_still_in_use_is_not_sealed(tmp_path: Path) -> None:
    """Whoever has it may copy its -wal into it when it ends."""
    replica = Replica(tmp_path)
    seals: list[bytes] = []

    class Store:
        def set_seal(self, _group: str, seal: bytes) -> None:
            seals.append(seal)

    other = sqlite3.connect(replica.machine.path)
    other.execute("SELECT count(*) FROM t").fetchall()
    await close_replica(Store(), "s1", replica.machine)  # type: ignore[arg-type]
    assert seals == []
    other.close()
    replica.machine = replica.open()
    await close_replica(Store(), "s1", replica.machine)  # type: ignore[arg-type]
    assert len(seals) == 1


def test_a_connection_that_is_closed_keeps_no_file(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    connection = SqlConnection(path, is_writer=True)
    connection.raw.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    connection._cursor.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])
    connection.close()
    assert [each.name for each in tmp_path.iterdir()] == ["x.db"]
