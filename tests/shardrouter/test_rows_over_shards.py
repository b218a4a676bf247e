"""Writes whose rows are read over several shards, on a real cluster of one node."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio

from shardrouter import row_batches
from shardrouter.block_steps import BlockSteps
from shardrouter.errors import RouterError
from shardrouter.router import Router
from shardrouter.upload import Upload
from tests.shardrouter.cluster import one_node
from tests.shardrouter.test_transactions import Client

COLUMNS = """id serial PRIMARY KEY, n numeric(6, 2) NOT NULL CHECK (n < 9000),
    twice numeric GENERATED ALWAYS AS (n * 2) STORED, v varchar(5) DEFAULT 'none',
    m mood DEFAULT 'ok', at timestamptz DEFAULT now()"""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Router]:
    async with (
        one_node(tmp_path_factory.mktemp("rows")) as path,
        Router.open(path, rng=random.Random(1)) as opened,
    ):
        await opened.execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')")
        for sql in (
            "t (id int PRIMARY KEY, n bigint)",
            f"u ({COLUMNS})",
            "h (id int PRIMARY KEY, v text) WITH (home = true)",
            "r (id int PRIMARY KEY, v text) WITH (reference = true)",
        ):
            await opened.execute(f"CREATE TABLE {sql}")
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def router(opened: Router) -> Router:
    for name in "tuhr":
        await opened.execute(f"DELETE FROM {name}")
    await opened.execute("INSERT INTO t SELECT g, g * 10 FROM generate_series(1, 9) AS g")
    return opened


async def ids(router: Router) -> list[object]:
    return [row["id"] for row in await router.fetch("SELECT id FROM t ORDER BY id")]


async def test_each_is_one_statement(router: Router) -> None:
    assert await ids(router) == [*range(1, 10)]
    assert await router.execute("UPDATE t SET id = id + 3 WHERE n > $1", 50) == "UPDATE 4"
    assert await ids(router) == [1, 2, 3, 4, 5, 9, 10, 11, 12]
    rows = await router.fetch("UPDATE t SET id = id - 3, n = 0 WHERE n > 50 RETURNING id, n")
    assert sorted((row["id"], row["n"]) for row in rows) == [(k, 0) for k in range(6, 10)]
    await router.execute("INSERT INTO h SELECT n / 10, 'h' || id FROM t WHERE n > 20")
    assert await router.execute("DELETE FROM t USING h WHERE h.id = t.n / 10") == "DELETE 3"
    assert await router.execute("INSERT INTO r SELECT id, 'r' FROM t") == "INSERT 0 6"
    assert await router.execute("UPDATE r SET v = gen_random_uuid()::text") == "UPDATE 6"
    drawn = await router.fetch("SELECT r.v FROM t JOIN r ON r.id = t.id")
    assert len({row["v"] for row in drawn}) == 6
    assert await router.execute("UPDATE t SET n = 1 FROM h WHERE h.id = -1") == "UPDATE 0"
    for begun in ("INSERT INTO t SELECT id + 1, n FROM t", "UPDATE t SET id = 1 WHERE id = 2"):
        before = await ids(router)
        with pytest.raises(RouterError) as caught:
            await router.execute(begun)
        assert caught.value.sqlstate == "23505"
        assert await ids(router) == before
    with pytest.raises(RouterError) as caught:
        await router.execute("UPDATE t SET id = NULL")
    assert caught.value.sqlstate == "23502"


async def test_the_query_and_returning_have_arguments_of_their_own(router: Router) -> None:
    """Of a query of one shard: SQLite takes no argument that its text does not have."""
    await router.execute("INSERT INTO h VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    alone = "INSERT INTO t SELECT id + 20, 7 FROM h ORDER BY id RETURNING id + $1::int"
    rows = await router.fetch(alone, 100)
    assert [tuple(row) for row in rows] == [(121,), (122,), (123,)]
    both = (
        "INSERT INTO t SELECT id + 30, $3::bigint FROM h WHERE id > $2::int ORDER BY id "
        "RETURNING n + $1::int, id"
    )
    rows = await router.fetch(both, 100, 1, 5)
    assert [tuple(row) for row in rows] == [(105, 32), (105, 33)]


async def test_rows_are_as_the_table_takes_them(router: Router) -> None:
    sql = (
        "INSERT INTO u (n, v) SELECT id + 0.125, NULL FROM t ORDER BY id RETURNING id, n, twice, v"
    )
    rows = [tuple(row.values()) for row in await router.fetch(sql)]
    first = int(str(rows[0][0]))
    assert [row[0] for row in rows] == [*range(first, first + 9)]
    assert [(str(n), str(twice), v) for _, n, twice, v in rows[:2]] == [
        ("1.13", "2.26", None),
        ("2.13", "4.26", None),
    ]
    whens = await router.fetch("SELECT DISTINCT at, m::text FROM u")
    assert [row["m"] for row in whens] == ["ok"]  # at one time
    assert (
        await router.execute(
            "UPDATE u SET m = 'happy', v = DEFAULT FROM t WHERE u.n > t.id AND t.id = $1", 5
        )
        == "UPDATE 5"
    )
    assert await router.fetchval("SELECT count(*) FROM u WHERE m = 'happy' AND v = 'none'") == 5
    moved = await router.fetch(
        "UPDATE u SET id = -id WHERE m = 'happy' RETURNING id, m::text, twice"
    )
    assert {(row["id"] < 0, row["m"]) for row in moved} == {(True, "happy")}
    for bad, code in (
        ("INSERT INTO u (n, v) SELECT 1, 'longer' FROM t", "22001"),
        ("INSERT INTO u (n) SELECT n * 1000 FROM t", "22003"),
        ("INSERT INTO u (n) SELECT 9000 FROM t", "23514"),
        ("INSERT INTO u (n, twice) SELECT 1, 2 FROM t", "428C9"),
        ("INSERT INTO u (v) SELECT 'x' FROM t", "23502"),
        ("INSERT INTO u (n, m) SELECT n, v FROM t, h", "42804"),
    ):
        with pytest.raises(RouterError) as caught:
            await router.execute(bad)
        assert caught.value.sqlstate == code, bad


async def test_in_a_block(router: Router) -> None:
    client = Client(router)
    await client.run("BEGIN")
    assert await client.tag("INSERT INTO t SELECT id + 100, n FROM t WHERE id < 4") == "INSERT 0 3"
    assert await client.tag("UPDATE t SET id = id + 100 WHERE id > 100") == "UPDATE 3"
    await client.run("SAVEPOINT s")
    assert await client.tag("DELETE FROM t WHERE n < (SELECT avg(n) FROM t)") == "DELETE 7"
    await client.run("ROLLBACK TO s")
    assert await client.values("SELECT id FROM t WHERE id > 9 ORDER BY id") == [
        (201,), (202,), (203,),
    ]  # fmt: skip
    assert await ids(router) == [*range(1, 10)]
    assert await client.tag("COMMIT") == "COMMIT"
    assert await ids(router) == [*range(1, 10), 201, 202, 203]
    await client.run("BEGIN READ ONLY")
    assert await client.code("UPDATE t SET id = id + 1") == "25006"
    await client.run("ROLLBACK")
    tags = await client.unit("DELETE FROM t WHERE id > 9", "UPDATE t SET id = id + 20 WHERE n > 50")
    assert tags == ["DELETE 3", "UPDATE 4"]


async def test_what_was_read_stands_when_it_commits(router: Router) -> None:
    client = Client(router)
    await client.run("BEGIN")
    await client.run("INSERT INTO h SELECT 1, sum(n)::text FROM t")
    await router.execute("UPDATE t SET n = 11 WHERE id = 1")
    assert await client.code("COMMIT") == "40001"
    # Without a block it is begun again: each sum is that of a moment.
    adds = [router.execute("UPDATE t SET n = n + 1 WHERE id = $1", 1 + i % 9) for i in range(12)]
    sums = [router.execute(f"INSERT INTO h SELECT {i}, sum(n)::text FROM t") for i in range(4)]
    await asyncio.gather(*adds, *sums)
    assert await router.fetchval("SELECT count(*) FROM h") == 4
    found = {int(str(row["v"])) for row in await router.fetch("SELECT v FROM h")}
    assert found <= set(range(451, 464))


async def test_many_rows(router: Router) -> None:
    many = "INSERT INTO t SELECT g, -1 FROM generate_series(1000, 3999) AS g"
    assert await router.execute(many) == "INSERT 0 3000"
    assert await router.execute("UPDATE t SET id = -id WHERE n < 0") == "UPDATE 3000"
    rows = await router.fetch("DELETE FROM t WHERE id < (SELECT min(id) + 1000 FROM t) RETURNING n")
    assert len(rows) == 1000
    assert await router.fetchval("SELECT count(*) FROM t") == 2009
    client = Client(router)
    await client.run("SET shardrouter.finish_rows_max = 1500")
    assert await client.code("INSERT INTO t SELECT id - 100000, n FROM t") == "54000"


async def test_many_rows_of_an_insert_are_sent_ahead(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_batches, "PARAMETERS_MAX", 60)
    kept: list[int] = []
    keep = BlockSteps.keep

    def noted(steps: BlockSteps, uploads: Sequence[Upload]) -> None:
        kept.append(len(uploads))
        keep(steps, uploads)

    monkeypatch.setattr(BlockSteps, "keep", noted)
    many = "SELECT g, g FROM generate_series(100, 399) AS g"
    assert await router.execute(f"INSERT INTO t {many}") == "INSERT 0 300"
    assert await router.execute("INSERT INTO t SELECT id + 1000, n FROM t") == "INSERT 0 309"
    assert await router.execute("INSERT INTO h SELECT id, n FROM t WHERE n > 99") == "INSERT 0 600"
    assert await router.execute("INSERT INTO r SELECT id, n FROM t WHERE n > 99") == "INSERT 0 600"
    assert kept == [3, 3, 1, 3], "stages: one on each shard that gets rows"
    joined = "SELECT count(*) FROM t JOIN r ON r.id = t.id JOIN h ON h.id = t.id AND h.v = r.v"
    assert await router.fetchval(joined) == 600
    filled = "INSERT INTO u (n) SELECT id + 0.125 FROM t ORDER BY id"
    assert await router.execute(filled) == "INSERT 0 618"
    told = await router.fetchrow(
        "SELECT count(DISTINCT id) AS ids, sum(twice) = 2 * sum(n) AS twice, min(v) AS v FROM u"
    )
    assert told is not None
    assert tuple(told.values()) == (618, True, "none")
    for sql, sqlstate in (
        ("INSERT INTO t SELECT id + 300, n FROM t", "23505"),
        ("INSERT INTO u (n) SELECT id * 6.5 FROM t", "23514"),
        ("INSERT INTO u (n, v) SELECT 1, 'longer than 5' FROM t", "22001"),
        ("INSERT INTO t SELECT CASE WHEN id <> 300 THEN id + 9000 END, n FROM t", "23502"),
    ):
        with pytest.raises(RouterError) as caught:
            await router.execute(sql)
        assert caught.value.sqlstate == sqlstate, sql
    assert await router.fetchval("SELECT count(*) FROM t") == 618, "nothing of those that failed"
    client = Client(router)
    await client.run("BEGIN")
    await client.run("INSERT INTO t SELECT id + 5000, n FROM t")
    await client.run("SAVEPOINT s")
    await client.run("INSERT INTO t SELECT id + 50000, n FROM t")
    assert await client.values("SELECT count(*) FROM t") == [(2472,)]
    await client.run("ROLLBACK TO s")
    await client.run("COMMIT")
    assert await router.fetchval("SELECT count(*) FROM t") == 1236
    before = len(kept)
    told_of = await router.fetch("INSERT INTO t SELECT id + 100000, n FROM t RETURNING id")
    upsert = "INSERT INTO t SELECT id, n FROM t ON CONFLICT (id) DO UPDATE SET n = t.n + 1"
    assert (len(told_of), await router.execute(upsert)) == (1236, "INSERT 0 2472")
    assert len(kept) == before, "whose rows are told, or may be there, are not"


async def test_what_is_drawn_for_a_reference_table_is_the_same_on_every_shard(
    router: Router,
) -> None:
    columns = "id int PRIMARY KEY, u uuid DEFAULT gen_random_uuid(), f float DEFAULT random()"
    await router.execute(f"CREATE TABLE d ({columns}) WITH (reference = true)")
    await router.execute("INSERT INTO d (id, f) VALUES (1, 0), (2, 0)")
    await router.execute("INSERT INTO d VALUES (3, gen_random_uuid(), 0)")
    await router.execute("INSERT INTO d (id, f) SELECT id + 10, random() FROM t")
    await router.execute("UPDATE d SET u = DEFAULT, f = DEFAULT WHERE id = 2")
    with pytest.raises(RouterError, match="random") as caught:
        await router.execute("INSERT INTO d (id) VALUES (4)")
    assert caught.value.sqlstate == "0A000"
    shown = "SELECT d.id, d.u, d.f FROM t JOIN d ON true WHERE t.id = $1 ORDER BY d.id"
    each = {tuple(map(tuple, await router.fetch(shown, key))) for key in range(1, 10)}
    [rows] = each
    assert len({row[1] for row in rows}) == 12
    assert len({row[2] for row in rows}) == 11  # all but 1 and 3
    await router.execute("DROP TABLE d")
