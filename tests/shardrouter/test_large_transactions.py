"""Transactions, units and statements that no entry of the log holds, on a real cluster of one
node: they are written whole or not at all, and leave no stage behind."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
import pytest_asyncio

from nodes.protocol import ENTRY_BYTES_MAX, FRAME_BYTES_MAX
from shardrouter import branch
from shardrouter.connection import Connection
from shardrouter.errors import RouterError
from shardrouter.exceptions import SerializationError, UniqueViolationError
from shardrouter.lifted import lift
from shardrouter.router import Router
from tests.shardrouter.cluster import one_node

pytestmark = pytest.mark.asyncio(loop_scope="module")

INSERT = "INSERT INTO h (id, name) VALUES ($1, $2)"
COUNT = "SELECT count(*) FROM h"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Router, Path]]:
    directory = tmp_path_factory.mktemp("large")
    async with (
        one_node(directory) as path,
        Router.open(path, rng=random.Random(1)) as router,
    ):
        yield router, directory


@pytest_asyncio.fixture(loop_scope="module")
async def router(place: tuple[Router, Path]) -> Router:
    router, _ = place
    await router.execute("DROP TABLE IF EXISTS h")
    await router.execute("CREATE TABLE h (id bigint PRIMARY KEY, name text) WITH (home = true)")
    return router


@pytest_asyncio.fixture(loop_scope="module")
async def connection(router: Router) -> AsyncIterator[Connection]:
    async with router.acquire() as connection:
        yield connection


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transactions are large when they are a hundredth of it."""
    monkeypatch.setattr("shardrouter.block_steps.HELD_BYTES_MAX", 40_000)
    monkeypatch.setattr("shardrouter.block_steps.ASKED_BYTES_MAX", 20_000)


def stages(directory: Path) -> int:
    """Chunks that the replicas keep."""
    count = 0
    for path in directory.glob("n1/*/data-*.db"):
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as file:
            count += file.execute("SELECT count(*) FROM _stages").fetchone()[0]
    return count


async def until_no_stage_is_left(directory: Path) -> None:
    async with asyncio.timeout(10):
        while stages(directory):  # noqa: ASYNC110 -- it looks into a file
            await asyncio.sleep(0.01)


def rows(count: int, size: int, start: int = 0) -> list[tuple[int, str]]:
    return [(start + n, chr(97 + n % 26) * size) for n in range(count)]


async def test_a_transaction_of_more_than_an_entry(
    place: tuple[Router, Path], router: Router, connection: Connection
) -> None:
    _, directory = place
    some = rows(700, 4_000)
    assert sum(len(str(name)) for _, name in some) > 2 * ENTRY_BYTES_MAX
    for commits in (False, True):
        transaction = connection.transaction()
        await transaction.start()
        for number, name in some:
            await connection.execute(INSERT, number, name)
        assert await connection.fetchval(COUNT) == 700
        assert await router.fetchval(COUNT) == 0
        await (transaction.commit() if commits else transaction.rollback())
        await until_no_stage_is_left(directory)
    assert await router.fetchval(COUNT) == 700
    assert await router.fetchval("SELECT name FROM h WHERE id = 699") == some[699][1]


@pytest.mark.usefixtures("small")
async def test_steps_that_were_sent_ahead_are_run_again_by_name(
    place: tuple[Router, Path], router: Router, connection: Connection
) -> None:
    """Writes of others take the file from the transaction, again and again."""
    _, directory = place
    async with connection.transaction():
        for number, name in rows(60, 2_000):
            await connection.execute(INSERT, number, name)
            if number % 4 == 0:
                await connection.execute("SAVEPOINT s")
                await connection.execute("DELETE FROM h WHERE id = $1", number)
                await connection.execute("ROLLBACK TO s")
            if number % 5 == 0:
                await router.execute(INSERT, 1000 + number, "beside")
        assert stages(directory) > 0
        assert await connection.fetchval(COUNT) == 72
    await until_no_stage_is_left(directory)
    assert await router.fetchval(COUNT) == 72


@pytest.mark.usefixtures("small")
async def test_what_was_read_is_compared_though_it_was_sent_ahead(
    place: tuple[Router, Path], router: Router, connection: Connection
) -> None:
    _, directory = place
    await router.execute(INSERT, -1, "seen")
    for when in ("at a statement", "at its end"):
        transaction = connection.transaction()
        await transaction.start()
        assert await connection.fetchval("SELECT name FROM h WHERE id = -1")
        for number, name in rows(40, 2_000):
            await connection.execute(INSERT, number, name)
        await router.execute("UPDATE h SET name = name || '!' WHERE id = -1")
        if when == "at a statement":
            with pytest.raises(SerializationError):
                await connection.execute(INSERT, 100, "x")
            await transaction.rollback()
        else:
            with pytest.raises(SerializationError):
                await transaction.commit()
        await until_no_stage_is_left(directory)
        assert await router.fetchval(COUNT) == 1


async def test_a_unit_of_more_than_an_entry(
    place: tuple[Router, Path], router: Router, connection: Connection
) -> None:
    _, directory = place
    await connection.executemany(INSERT, rows(700, 4_000))
    assert await router.fetchval(COUNT) == 700
    await until_no_stage_is_left(directory)
    with pytest.raises(UniqueViolationError) as caught:
        await connection.executemany(INSERT, [*rows(699, 4_000, 1_000), (5, "again")])
    assert caught.value.statement == 699
    assert caught.value.detail == "Key (id)=(5) already exists."
    assert await router.fetchval(COUNT) == 700
    await until_no_stage_is_left(directory)
    with pytest.raises(RouterError) as slow:  # none of it is bounded work, so it is tried
        await connection.executemany(
            "UPDATE h SET name = $1 WHERE id < $2 AND 1 / (id - 5) < 9", [("x" * 4_000, 9)] * 300
        )
    assert slow.value.sqlstate == "22012"
    await until_no_stage_is_left(directory)


async def test_a_statement_of_more_than_a_frame(
    place: tuple[Router, Path], router: Router, connection: Connection
) -> None:
    _, directory = place
    values = [value for row in rows(2_500, 4_000) for value in row]
    assert sum(len(str(value)) for value in values) > FRAME_BYTES_MAX
    places = ", ".join(f"(${n}, ${n + 1})" for n in range(1, len(values), 2))
    text = f"INSERT INTO h (id, name) VALUES {places}"
    assert await connection.execute(text, *values) == "INSERT 0 2500"
    assert await router.fetchval(COUNT) == 2_500
    await until_no_stage_is_left(directory)
    await router.execute("DELETE FROM h")
    async with connection.transaction():
        returned = await connection.fetch(f"{text} RETURNING id", *values)
        assert [row["id"] for row in returned] == list(range(2_500))
        assert await connection.fetchval(COUNT) == 2_500
        assert await connection.fetchval("SELECT $1::text = name FROM h WHERE id = 3", values[7])
        assert await connection.fetchval("SELECT length($1::text)", "é" * 200_000) == 200_000
        assert stages(directory) > 0
    assert await router.fetchval(COUNT) == 2_500
    await until_no_stage_is_left(directory)
    async with connection.transaction():
        with pytest.raises(UniqueViolationError) as caught:
            await connection.execute(text, *values)
        assert caught.value.detail == "Key (id)=(0) already exists."
        await connection.execute("ROLLBACK")


async def test_a_transaction_has_a_limit(
    place: tuple[Router, Path],
    router: Router,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, directory = place
    monkeypatch.setattr(connection._session.shards, "transaction_bytes_max", 1_000_000)

    async def write() -> None:
        async with connection.transaction():
            for number, name in rows(300, 4_000):
                await connection.execute(INSERT, number, name)

    with pytest.raises(RouterError) as caught:
        await write()
    assert caught.value.sqlstate == "54000"
    assert "transaction_bytes_max" in caught.value.detail
    await until_no_stage_is_left(directory)
    assert await router.fetchval(COUNT) == 0


async def test_a_session_that_ends_takes_its_stages_along(
    place: tuple[Router, Path], router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, directory = place
    monkeypatch.setattr("shardrouter.block_steps.HELD_BYTES_MAX", 40_000)
    assert branch.HELD_BYTES_MAX > 40_000
    async with router.acquire() as connection:
        await connection.execute("BEGIN")
        for number, name in rows(40, 2_000):
            await connection.execute(INSERT, number, name)
        assert stages(directory) > 0
    await until_no_stage_is_left(directory)
    assert await router.fetchval(COUNT) == 0


async def test_an_insert_that_is_written_out(
    place: tuple[Router, Path], router: Router, connection: Connection
) -> None:
    """One text of many rows, as programs make them that know no parameters."""
    _, directory = place
    some = rows(400, 4_000)
    written = ", ".join(f"({number}, '{name}''')" for number, name in some)
    text = f"INSERT INTO h (id, name) VALUES {written}"
    assert len(text) > ENTRY_BYTES_MAX
    assert await connection.execute(text) == "INSERT 0 400"
    found = await connection.fetch("SELECT id, name FROM h ORDER BY id")
    assert [tuple(row) for row in found] == [(number, name + "'") for number, name in some]
    with pytest.raises(UniqueViolationError):
        await connection.execute(text)
    async with connection.transaction():
        await connection.execute("DELETE FROM h")
        assert await connection.execute(text + " RETURNING id") == "INSERT 0 400"
    assert await router.fetchval(COUNT) == 400
    await until_no_stage_is_left(directory)
    with pytest.raises(RouterError) as caught:
        await connection.execute(text.replace("(399, ", "('x', "))
    assert caught.value.sqlstate == "22P02"
    assert caught.value.position > ENTRY_BYTES_MAX


async def test_only_long_texts_of_rows_are_lifted() -> None:
    long = "'" + "x" * 50 + "'"
    row = f"INSERT INTO h VALUES (1, {long}, 'short', lower({long}), {long} || 'y'), (2, {long})"
    changed, texts = lift(f"{row} ON CONFLICT (id) DO UPDATE SET name = {long}") or ("", [])
    assert texts == ["x" * 50] * 2
    assert changed.startswith(f"INSERT INTO h VALUES (1, $1, 'short', lower({long}), {long} ||")
    assert changed.endswith(f"(2, $2) ON CONFLICT (id) DO UPDATE SET name = {long}")
    assert lift(f"SELECT {long}") is None
    assert lift(f"INSERT INTO h VALUES ($1, {long})") is None
    assert lift(f"INSERT INTO h SELECT 1, {long}") is None


@pytest.mark.long
async def test_a_block_that_read_much_on_one_of_its_shards_is_not_taken_for_abandoned(
    tmp_path: Path,
) -> None:
    """The shards with next to nothing to read have prepared long before the one that reads it all
    once more; their leaders do not end it meanwhile, however soon they would end another."""
    async with (
        one_node(tmp_path, resolve_after_ms=20) as path,
        Router.open(path, rng=random.Random(1)) as router,
    ):
        await router.execute("CREATE TABLE t (k int, id int, name text, PRIMARY KEY (k, id))")
        keys = {(await router.where("t", key)).shard: key for key in range(60)}
        assert len(keys) == 3
        much, *little = keys.values()
        some = [(much, n, name) for n, name in rows(12_000, 60)]
        await router.copy_records_to_table("t", records=[(key, 0, "a") for key in little])
        await router.copy_records_to_table("t", records=some)
        async with router.acquire() as session:
            await session.execute("SET statement_timeout = '20s'")
            async with session.transaction():
                read = [tuple(row) async for row in session.cursor("SELECT k, id, name FROM t")]
                assert len(read) == len(some) + len(little)
                assert set(some) < set(read)
                for key in keys.values():
                    await session.execute("UPDATE t SET name = 'b' WHERE k = $1 AND id = 0", key)
        assert await router.fetchval("SELECT count(*) FROM t WHERE name = 'b'") == 3
