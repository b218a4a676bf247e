"""Transactions over several shards on a real cluster of one node: what sessions answer, and what is
kept."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from shardrouter.coordination import Coordination
from shardrouter.errors import RouterError
from shardrouter.exceptions import UniqueViolationError
from shardrouter.router import Router
from tests.shardrouter.cluster import one_node
from tests.shardrouter.test_transactions import ADD, READ, Client

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Router]:
    async with (
        one_node(tmp_path_factory.mktemp("over_shards")) as path,
        Router.open(path, rng=random.Random(1)) as opened,
    ):
        await opened.execute("CREATE TABLE t (id bigint PRIMARY KEY, n bigint, name text)")
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def keys(router: Router) -> list[int]:
    """A key of each shard, whose rows are there with n = 0; no others are."""
    await router.execute("DELETE FROM t")
    found: dict[str, int] = {}
    for key in range(60):
        found.setdefault((await router.where("t", key)).shard, key)
    assert len(found) == 3
    a, b, c = found.values()
    assert await router.execute(f"INSERT INTO t (id, n) VALUES ({a}, 0), ({b}, 0), ({c}, 0)") == (
        "INSERT 0 3"
    )
    return [a, b, c]


async def values(router: Router, keys: list[int]) -> list[object]:
    return [await router.fetchval(READ, key) for key in keys]


async def test_commit_and_rollback(router: Router, keys: list[int]) -> None:
    a, b, c = keys
    client = Client(router)
    await client.run("BEGIN")
    assert await client.tag(ADD, a, -5) == "UPDATE 1"
    assert await client.tag(ADD, b, 5) == "UPDATE 1"
    assert await client.values(READ, c) == [(0,)]
    assert await values(router, keys) == [0, 0, 0]
    assert await client.tag("COMMIT") == "COMMIT"
    assert await values(router, keys) == [-5, 5, 0]
    await client.run("BEGIN")
    await client.run(ADD, a, 1)
    await client.run(ADD, c, 1)
    assert await client.tag("ROLLBACK") == "ROLLBACK"
    assert await values(router, keys) == [-5, 5, 0]


async def test_savepoints_are_of_all_shards(router: Router, keys: list[int]) -> None:
    a, b, c = keys
    client = Client(router)
    await client.run("BEGIN")
    await client.run(ADD, a, 1)
    await client.run("SAVEPOINT s")
    await client.run(ADD, a, 10)
    await client.run(ADD, b, 10)  # its branch is younger than the savepoint
    assert await client.code(f"INSERT INTO t (id) VALUES ({c})") == "23505"
    await client.run("ROLLBACK TO s")
    await client.run(ADD, b, 1)
    await client.run(ADD, c, 1)
    await client.run("RELEASE s")
    assert await client.tag("COMMIT") == "COMMIT"
    assert await values(router, keys) == [1, 1, 1]


async def test_what_was_read_or_written_elsewhere_meanwhile(
    router: Router, keys: list[int]
) -> None:
    a, b, _ = keys
    first, second = Client(router), Client(router)
    for client, mine, other in ((first, a, b), (second, b, a)):
        await client.run("BEGIN")
        assert await client.values(READ, other) == [(0,)]
        await client.run(ADD, mine, 1)
    said = await asyncio.gather(first.run("COMMIT"), second.run("COMMIT"), return_exceptions=True)
    failures = [each for each in said if isinstance(each, RouterError)]
    assert [each.sqlstate for each in failures] == ["40001"] * len(failures)
    assert len(failures) >= 1  # write skew: not both
    assert sum(map(int, map(str, await values(router, [a, b])))) == 2 - len(failures)


async def test_who_only_read_saw_one_state(router: Router, keys: list[int]) -> None:
    a, b, _ = keys
    client = Client(router)
    await client.run("BEGIN")
    assert await client.values(READ, a) == [(0,)]
    await router.execute(ADD, a, 1)
    await router.execute(ADD, b, 1)
    assert await client.values(READ, b) == [(1,)]
    assert await client.code("COMMIT") == "40001"
    await client.run("BEGIN")
    assert [await client.values(READ, key) for key in (a, b)] == [[(1,)], [(1,)]]
    assert await client.tag("COMMIT") == "COMMIT"


async def test_a_statement_over_shards_is_one_transaction(router: Router, keys: list[int]) -> None:
    a, b, c = keys
    assert await router.execute("UPDATE t SET n = n + 1") == "UPDATE 3"
    assert await router.execute("UPDATE t SET n = n + 1 WHERE id IN ($1, $2)", a, c) == "UPDATE 2"
    assert await values(router, keys) == [2, 1, 2]
    with pytest.raises(UniqueViolationError):
        await router.execute(
            "INSERT INTO t (id, n) VALUES (100, 1), (101, 1), (102, 1), ($1, 1)", b
        )
    assert await router.fetchval("SELECT count(*) FROM t") == 3
    rows = await router.fetch(
        "INSERT INTO t (id, n) VALUES (100, 1), ($1, 1), (101, 2), (102, 3), ($2, 1), (103, 4) "
        "ON CONFLICT (id) DO NOTHING RETURNING id, n",
        *(a, c),
    )
    assert [(row["id"], row["n"]) for row in rows] == [(100, 1), (101, 2), (102, 3), (103, 4)]
    rows = await router.fetch("DELETE FROM t WHERE n > 0 AND id >= 100 RETURNING id")
    assert sorted(row["id"] for row in rows) == [100, 101, 102, 103]
    many = ", ".join(f"({key}, 1)" for key in range(120, 100, -1))
    for begun in range(2):  # the second time half of them are there
        rows = await router.fetch(
            f"INSERT INTO t (id, n) VALUES {many} ON CONFLICT DO NOTHING RETURNING id"
        )
        left = range(120, 100, -1) if not begun else range(120, 110, -1)
        assert [row["id"] for row in rows] == list(left)
        await router.execute("DELETE FROM t WHERE id > 110")
    await router.execute("DELETE FROM t WHERE id > 100")
    when = await router.fetch("UPDATE t SET name = now()::text RETURNING name")
    assert len({row["name"] for row in when}) == 1
    assert len(when) == 3


async def test_a_unit_of_commit_over_shards(router: Router, keys: list[int]) -> None:
    a, b, c = keys
    client = Client(router)
    tags = await client.unit(
        f"UPDATE t SET n = 7 WHERE id = {a}",
        f"SELECT n FROM t WHERE id = {b}",
        f"DELETE FROM t WHERE id IN ({b}, {c})",
    )
    assert tags == ["UPDATE 1", "SELECT 1", "DELETE 2"]
    with pytest.raises(RouterError) as caught:
        await client.unit(
            f"UPDATE t SET n = 8 WHERE id = {a}",
            f"INSERT INTO t (id, n) VALUES ({b}, 1)",
            f"INSERT INTO t (id, n) VALUES ({a}, 1)",
        )
    assert (caught.value.sqlstate, caught.value.statement) == ("23505", 2)
    assert await values(router, keys) == [7, None, None]


async def test_reference_tables_change_on_every_shard(router: Router) -> None:
    await router.execute("CREATE TABLE r (id int PRIMARY KEY, v text) WITH (reference = true)")
    assert await router.execute("INSERT INTO r VALUES (1, 'a'), (2, 'b')") == "INSERT 0 2"
    assert await router.execute("UPDATE r SET v = v || 'x' WHERE id = 1") == "UPDATE 1"
    rows = await router.fetch("DELETE FROM r WHERE id = 2 RETURNING v")
    assert [row["v"] for row in rows] == ["b"]
    for key in range(8):  # whichever shard is asked
        found = await router.fetchval("SELECT r.v FROM t JOIN r ON r.id = 1 WHERE t.id = $1", key)
        assert found in (None, "ax")
    client = Client(router)
    await client.run("BEGIN")
    await client.run("INSERT INTO r VALUES (3, 'c')")
    await client.run("ROLLBACK")
    assert await router.fetchval("SELECT count(*) FROM r") == 1
    assert await client.code("INSERT INTO r VALUES (9, gen_random_uuid()::text)") == "0A000"
    await router.execute("DROP TABLE r")


async def copied(router: Router, table: str, data: str, client: Client | None = None) -> str:
    session = (client or Client(router)).session
    copy = session.copy_in(await session.prepare(f"COPY {table} FROM STDIN"))
    copy.feed(data.encode())
    return (await copy.finish()).tag


async def test_rows_are_copied_to_the_shards_of_their_keys(router: Router, keys: list[int]) -> None:
    lines = "".join(f"{key}\t1\t\\N\n" for key in range(200, 260))
    assert await copied(router, "t", lines) == "COPY 60"
    assert await router.fetchval("SELECT count(*) FROM t WHERE n = 1") == 60
    shards = {(await router.where("t", key)).shard for key in range(200, 260)}
    assert len(shards) == 3
    for at, line in ((7, f"{keys[2]}\t2\t\\N\n"), (31, "\\N\t2\t\\N\n")):  # there already; no key
        bad = [f"{key}\t2\t\\N\n" for key in range(300, 360)]
        bad.insert(at - 1, line)
        with pytest.raises(RouterError) as caught:
            await copied(router, "t", "".join(bad))
        assert f"line {at}" in caught.value.where
    client = Client(router)
    await client.run("BEGIN")
    await client.run("DELETE FROM t WHERE n = 1")
    assert await copied(router, "t", lines.replace("\t1\t", "\t5\t"), client) == "COPY 60"
    assert await client.values("SELECT count(*) FROM t WHERE n = 5") == [(60,)]
    assert await router.fetchval("SELECT count(*) FROM t WHERE n > 1") == 0
    await client.run("COMMIT")
    assert await router.fetchval("SELECT count(*) FROM t WHERE n = 5") == 60


async def test_rows_are_copied_to_every_shard_of_a_reference_table(router: Router) -> None:
    await router.execute("CREATE TABLE r (id int PRIMARY KEY, v text) WITH (reference = true)")
    assert await copied(router, "r", "1\ta\n2\tb\n") == "COPY 2"
    assert await router.execute("UPDATE r SET v = 'c'") == "UPDATE 2"  # or they would not agree
    await router.execute("DROP TABLE r")


async def test_queries_over_shards_are_statements_of_the_transaction(
    router: Router, keys: list[int]
) -> None:
    a, b, _ = keys
    client = Client(router)
    await client.run("BEGIN")
    await client.run(ADD, a, 4)
    total = "SELECT sum(n), count(*) FROM t WHERE n >= 0"
    assert [tuple(map(int, row)) for [*row] in await client.values(total)] == [(4, 3)]
    joined = "SELECT x.id FROM t x JOIN t y ON x.n > y.n AND y.id = $1"
    assert await client.values(joined, b) == [(a,)]
    assert await client.tag("COMMIT") == "COMMIT"
    await client.run("BEGIN")
    assert len(await client.values(total)) == 1
    await router.execute(ADD, b, 1)
    await client.run(ADD, a, 1)
    assert await client.code("COMMIT") == "40001"  # the sum is another one by now
    assert await values(router, keys) == [4, 1, 0]


async def test_a_session_sees_what_it_wrote_on_every_shard(router: Router, keys: list[int]) -> None:
    client = Client(router)
    await client.run("SET shardrouter.consistency = session")
    await client.run("UPDATE t SET n = n + 1")
    token = client.session.setting("shardrouter.session_token")
    assert all(f"shard-{number}=" in token for number in (1, 2, 3))
    assert [await client.values(READ, key) for key in keys] == [[(1,)]] * 3


async def test_no_two_shards_draw_the_same_at_random(router: Router, keys: list[int]) -> None:
    for begins in (False, True):
        client = Client(router)
        if begins:
            await client.run("BEGIN")
        await client.run("UPDATE t SET name = gen_random_uuid()::text")
        drawn = await client.values("SELECT name FROM t")
        assert len(set(drawn)) == 3


async def test_the_next_one_on_the_same_rows_waits_for_no_pause(
    router: Router, keys: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the one before leaves to be done behind its answer is ahead of it on the same way."""
    a, b, _ = keys
    pauses = []
    pause_s = Coordination.pause_s

    def counted(self: Coordination, count: int) -> float:
        pauses.append(count)
        return pause_s(self, count)

    monkeypatch.setattr(Coordination, "pause_s", counted)
    for _ in range(20):
        await router.execute("UPDATE t SET n = n + 1 WHERE id IN ($1, $2)", a, b)
    assert await values(router, keys) == [20, 20, 0]
    assert pauses == []
