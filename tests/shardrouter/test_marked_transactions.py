"""Transactions that change the schema and whose routers fall silent in the middle of COMMIT:
another router finds the mark and does what the log of the shard says."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from nodes.protocol import Done, Stale
from shardrouter import schema_commits
from shardrouter.catalog import Catalog
from shardrouter.errors import OutcomeUnknown, RouterError
from shardrouter.router import Router
from shardrouter.session import Execution
from tests.shardrouter.cluster import one_node
from tests.shardrouter.test_schema_in_transactions import Client, client_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

SILENT = OutcomeUnknown("the router is gone")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    async with one_node(tmp_path_factory.mktemp("marks")) as path:
        yield path


@pytest_asyncio.fixture(loop_scope="module")
async def routers(
    cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Router, Router, Router]]:
    """Three, which do not wait long for each other. Table `old` has two rows."""
    monkeypatch.setattr(schema_commits, "COMMIT_WAIT_S", 0.05)
    monkeypatch.setattr(schema_commits, "COMMIT_LOOK_S", 0.02)
    async with (
        Router.open(cluster, rng=random.Random(1)) as a,
        Router.open(cluster, rng=random.Random(2)) as b,
        Router.open(cluster, rng=random.Random(3)) as c,
    ):
        client = await client_of(a, "old", "new", "newer")
        await client.run("DROP SEQUENCE IF EXISTS counter")
        await client.run("CREATE TABLE old (id int PRIMARY KEY, n int)")
        await client.run("INSERT INTO old VALUES (1, 1), (2, 2)")
        yield a, b, c


async def catalog_of(router: Router) -> Catalog:
    return await router._backend.schema.refresh(asyncio.get_running_loop().time() + 10)


class Cut:
    """The router falls silent when it sends the COMMIT of a transaction: before, or after it has
    arrived."""

    def __init__(self, router: Router, *, arrives: bool) -> None:
        self._shards = router._backend.shards
        self._write: Callable[..., Any] = self._shards.write
        self._arrives = arrives
        self._sent: Any = None
        self._shards.write = self._cut

    async def _cut(self, *args: Any, **options: Any) -> Any:
        if options.get("transaction") is None:
            return await self._write(*args, **options)
        if self._arrives:
            assert isinstance(await self._write(*args, **options), Done)
        self._sent = args, options
        raise SILENT

    async def arrives_late(self) -> Done | Stale:
        """What it is told then."""
        args, options = self._sent
        options["deadline"] = asyncio.get_running_loop().time() + 10
        answer: Done | Stale = await self._write(*args, **options)
        return answer


async def migrate(router: Router) -> None:
    """A transaction that ends without its client learning how."""
    client = await client_of(router)
    await client.does(
        "BEGIN",
        "CREATE TABLE new (id serial PRIMARY KEY, name text)",
        "CREATE SEQUENCE counter",
        "INSERT INTO new (name) VALUES ('a'), ('b')",
        "ALTER TABLE old ADD CHECK (n > 0)",
        "UPDATE old SET n = n + 10",
    )
    await client.values("SELECT nextval('counter')")
    assert await client.code("COMMIT") == "08007"
    assert client.session.status == "I"


async def test_a_commit_that_never_left_is_fenced_off_and_nothing_of_it_happens(
    routers: tuple[Router, Router, Router],
) -> None:
    a, b, _ = routers
    cut = Cut(a, arrives=False)
    await migrate(a)
    assert (await catalog_of(b)).pending is not None
    other = await client_of(b)
    # Nobody is disturbed by the mark, before or after it is found to be void.
    assert await other.values("SELECT n FROM old ORDER BY id") == [(1,), (2,)]
    assert await other.code("SELECT * FROM new") == "42P01"
    assert (await catalog_of(b)).pending is None
    assert isinstance(await cut.arrives_late(), Stale)
    await other.run("INSERT INTO old VALUES (3, -1)")
    await other.does("CREATE TABLE new (other text)", "CREATE SEQUENCE counter")
    assert isinstance(await cut.arrives_late(), Stale)
    assert await other.values("SELECT * FROM new") == []


FINDERS: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
    "an unknown name": ("SELECT id, name FROM new ORDER BY id", [(1, "a"), (2, "b")]),
    "a version that is newer": ("SELECT n FROM old ORDER BY id", [(11,), (12,)]),
    "an unknown sequence": ("SELECT nextval('counter')", [(2,)]),
    "a number that was not given out": ("INSERT INTO new (name) VALUES ('c') RETURNING id", [(3,)]),
}


@pytest.mark.parametrize("how", FINDERS)
async def test_a_commit_that_arrived_is_published_by_whoever_finds_it(
    routers: tuple[Router, Router, Router], how: str
) -> None:
    a, b, c = routers
    for router in (b, c):
        await Client(router).values("SELECT n FROM old")  # a plan that grows stale
    Cut(a, arrives=True)
    await migrate(a)
    assert (await catalog_of(b)).pending is not None
    sql, rows = FINDERS[how]
    finder = Client(b)
    assert await finder.values(sql) == rows
    assert (await catalog_of(b)).pending is None
    for router in (b, c):
        client = Client(router)
        assert await client.values("SELECT name FROM new WHERE id = 2") == [("b",)]
        assert await client.code("INSERT INTO old VALUES (3, -1)") == "23514"


@pytest.mark.parametrize("arrives", [True, False])
async def test_two_that_find_it_at_once_and_one_that_wants_to_change_the_schema(
    routers: tuple[Router, Router, Router], *, arrives: bool
) -> None:
    a, b, c = routers
    Cut(a, arrives=arrives)
    await migrate(a)

    async def look(router: Router) -> str:
        try:
            await Client(router).values("SELECT id FROM new")
        except RouterError as exc:
            return exc.sqlstate
        return "found"

    changer = await client_of(c)
    create = changer.run("CREATE TABLE newer (id int PRIMARY KEY)")
    one, two, _ = await asyncio.gather(look(b), look(c), create)
    assert (one, two) == (("found", "found") if arrives else ("42P01", "42P01"))
    assert [row[0] for row in await Client(b).values("SHOW TABLES")].count("newer") == 1
    assert (await catalog_of(b)).pending is None


async def test_a_refused_commit_withdraws_its_mark(routers: tuple[Router, Router, Router]) -> None:
    a, b, _ = routers
    client = await client_of(a)
    await client.does("BEGIN", "CREATE TABLE new (id int)")
    assert await client.values("SELECT n FROM old WHERE id = 1") == [(1,)]
    await Client(b).run("UPDATE old SET n = 5 WHERE id = 1")
    assert await client.code("COMMIT") == "40001"
    assert (await catalog_of(b)).pending is None
    await client.does("BEGIN", "CREATE TABLE new (id int)", "COMMIT")


@pytest.mark.parametrize("step", range(3))
@pytest.mark.parametrize("is_sent", [False, True])
async def test_a_commit_that_is_cancelled_says_what_became_of_it(
    routers: tuple[Router, Router, Router], step: int, *, is_sent: bool
) -> None:
    """In front of its mark, itself, and its publication, or while that is on its way: the mark has
    to be followed up, so it goes on to its end, and is a success."""
    a, b, _ = routers
    client = await client_of(a)
    await client.does(
        "BEGIN", "CREATE TABLE new (id serial PRIMARY KEY)", "INSERT INTO new DEFAULT VALUES"
    )
    shards = a._backend.shards
    write, before = shards.write, iter(range(99))

    async def cancelling(*args: Any, **options: Any) -> Any:
        if next(before) != step:
            return await write(*args, **options)
        if not is_sent:
            client.session.cancel()
            return await write(*args, **options)
        writing = asyncio.ensure_future(write(*args, **options))
        await asyncio.sleep(0)
        client.session.cancel()
        return await writing

    shards.write = cancelling
    try:
        assert (await client.run("COMMIT")).tag == "COMMIT"
    finally:
        shards.write = write
    assert client.session.status == "I"
    assert next(before) == 3
    assert await Client(b).values("SELECT id FROM new") == [(1,)]
    assert (await catalog_of(b)).pending is None


async def test_a_commit_that_is_cancelled_while_it_waits_for_its_turn_goes_on_too(
    routers: tuple[Router, Router, Router],
) -> None:
    a, _, _ = routers
    client = await client_of(a)
    await client.does("BEGIN", "CREATE TABLE new (id int)")
    async with a._backend.schema.changing:
        execution = Execution(await client.session.prepare("COMMIT"))
        committing = asyncio.ensure_future(client.session.run([execution]))
        for _ in range(5):
            await asyncio.sleep(0)
        client.session.cancel()
        await asyncio.sleep(0)
    [outcome] = await committing
    assert outcome.tag == "COMMIT"
    assert await Client(a).values("SELECT count(*) FROM new") == [(0,)]
