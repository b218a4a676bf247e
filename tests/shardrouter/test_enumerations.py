"""CREATE TYPE ... AS ENUM through a driver: values, their order, and what the type is made of."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import asyncpg
import pytest

from shardrouter import LocalCluster
from shardrouter.enumerations import first_values, labels_of, with_label


@pytest.fixture
async def c() -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    async with LocalCluster(nodes=1, shards=2, in_memory=True) as cluster:
        connection = await asyncpg.connect(cluster.dsn)
        await connection.execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')")
        yield connection
        await connection.close()


async def rows(
    c: asyncpg.Connection[asyncpg.Record], query: str, *arguments: object
) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await c.fetch(query, *arguments)]


async def test_values_are_labels_in_their_order(
    c: asyncpg.Connection[asyncpg.Record],
) -> None:
    await c.execute("CREATE TABLE t (id int PRIMARY KEY, m mood DEFAULT 'ok', all_of mood[])")
    await c.execute("INSERT INTO t VALUES (1, 'happy', '{sad,ok}'), (2, 'sad', NULL)")
    await c.execute("INSERT INTO t (id) VALUES (3)")
    await c.execute("INSERT INTO t VALUES (4, $1, $2)", "ok", ["happy", None])
    assert await rows(c, "SELECT id, m FROM t ORDER BY m DESC, id") == [
        (1, "happy"),
        (3, "ok"),
        (4, "ok"),
        (2, "sad"),
    ]
    assert await rows(c, "SELECT all_of FROM t WHERE all_of IS NOT NULL ORDER BY id") == [
        (["sad", "ok"],),
        (["happy", None],),
    ]
    assert await c.fetchval("SELECT count(*) FROM t WHERE m > 'sad'") == 3
    assert await c.fetchval("SELECT count(*) FROM t WHERE m = $1", "ok") == 2
    assert await c.fetchval("SELECT id FROM t WHERE m = ANY($1)", ["happy"]) == 1
    assert await c.fetchval("SELECT count(*) FROM t WHERE m IN ('sad', 'happy')") == 2
    assert await rows(c, "SELECT min(m), max(m) FROM t WHERE id < 9 AND id = 1") == [
        (
            "happy",
            "happy",
        )
    ]
    assert await rows(c, "SELECT m::text, 'is ' || m, upper(m::text) FROM t WHERE id = 1") == [
        (
            "happy",
            "is happy",
            "HAPPY",
        )
    ]
    assert await c.fetchval("SELECT row_to_json(t)::text FROM t WHERE id = 1") == (
        '{"id":1,"m":"happy","all_of":["sad","ok"]}'
    )
    assert await rows(c, "SELECT 'ok'::mood, $1::mood, ARRAY['ok'::mood]", "sad") == [
        (
            "ok",
            "sad",
            ["ok"],
        )
    ]
    await c.execute("CREATE TABLE h (m mood, all_of mood[])")
    await c.copy_records_to_table("h", records=[("ok", ["sad"]), (None, None)])
    assert await rows(c, "SELECT * FROM h WHERE m IS NOT NULL") == [("ok", ["sad"])]
    out = io.BytesIO()
    await c.copy_from_query("SELECT m, all_of FROM h ORDER BY m", output=out)
    assert out.getvalue() == b"ok\t{sad}\n\\N\t\\N\n"
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await c.copy_to_table("h", source=io.BytesIO(b"glad\t{}\n"))


REFUSED = [
    ("SELECT 'glad'::mood", "22P02"),
    ("INSERT INTO t VALUES (1, 'glad')", "22P02"),
    ("SELECT * FROM t WHERE m = 'glad'", "22P02"),
    ("SELECT * FROM t WHERE m = 'ok'::text", "42883"),
    ("INSERT INTO t VALUES (1, 'ok'::text)", "42804"),
    ("SELECT 1::mood", "42846"),
    ("SELECT upper(m) FROM t", "42883"),
    ("CREATE TYPE mood AS ENUM ('a')", "42710"),
    ("CREATE TYPE t AS ENUM ('a')", "42710"),
    ("CREATE TABLE mood (a int)", "42710"),
    ("CREATE TYPE n AS ENUM ('a', 'a')", "23505"),
    ("CREATE TYPE n AS (a int)", "0A000"),
    ("CREATE TYPE n AS RANGE (subtype = int4)", "0A000"),
    ("ALTER TYPE mood ADD VALUE 'ok'", "42710"),
    ("ALTER TYPE mood ADD VALUE 'x' BEFORE 'y'", "22023"),
    ("ALTER TYPE nope ADD VALUE 'x'", "42704"),
    ("ALTER TYPE mood RENAME TO m", "0A000"),
    ("DROP TYPE mood", "2BP01"),
    ("DROP TYPE mood CASCADE", "0A000"),
    ("DROP TYPE nope", "42704"),
    ("SELECT NULL::nope", "42704"),
]


async def test_refusals(c: asyncpg.Connection[asyncpg.Record]) -> None:
    await c.execute("CREATE TABLE t (id int PRIMARY KEY, m mood)")
    found = []
    for statement, _ in REFUSED:
        with pytest.raises(asyncpg.PostgresError) as refused:
            await c.execute(statement)
        found.append((statement, refused.value.sqlstate))
    assert found == REFUSED


async def test_one_more_label_and_the_end_of_a_type(
    c: asyncpg.Connection[asyncpg.Record],
) -> None:
    await c.execute("CREATE TABLE t (id int PRIMARY KEY, m mood)")
    insert = await c.prepare("INSERT INTO t VALUES ($1, $2)")
    await insert.fetch(1, "happy")
    await c.execute("ALTER TYPE mood ADD VALUE 'fine' BEFORE 'happy'")
    await c.execute("ALTER TYPE mood ADD VALUE IF NOT EXISTS 'fine'")
    await insert.fetch(2, "fine")
    await c.execute("INSERT INTO t VALUES (3, 'ok')")
    assert await rows(c, "SELECT m FROM t ORDER BY m") == [("ok",), ("fine",), ("happy",)]
    assert await rows(c, "SELECT enumlabel FROM pg_enum ORDER BY enumsortorder") == [
        (label,) for label in ("sad", "ok", "fine", "happy")
    ]
    assert await rows(
        c, "SELECT data_type, udt_name FROM information_schema.columns WHERE table_name = 't'"
    ) == [("integer", "int4"), ("USER-DEFINED", "mood")]
    async with c.transaction():
        await c.execute("CREATE TYPE size AS ENUM ('s', 'l')")
        assert await c.fetchval("SELECT 'l'::size > 's'") is True
    await c.execute("DROP TABLE t")
    await c.execute("DROP TYPE mood, size")
    with pytest.raises(asyncpg.UndefinedObjectError):
        await c.execute("SELECT 'ok'::mood")


def test_labels_find_a_place() -> None:
    values = first_values(("b", "d"))
    for label, neighbour, before in (("c", "b", False), ("a", "b", True), ("e", None, False)):
        grown = with_label(values, label, neighbour, before=before)
        assert grown is not None
        values = grown
    assert labels_of(values) == ("a", "b", "c", "d", "e")
    assert list(values) == sorted(values)
    crowded: tuple[str, ...] | None = values
    for number in range(40):  # there is no room for ever
        crowded = crowded and with_label(crowded, str(number), "a")
    assert crowded is None
