"""COMMIT of transactions that change the schema, on one shard: what it says when it is cancelled,
or refused, is so."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from shardrouter.errors import RouterError
from shardrouter.router import Router
from shardrouter.session import Execution
from tests.shardrouter.cluster import one_node
from tests.shardrouter.test_schema_in_transactions import Client, client_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

MESSAGES = 4
"""Of `meta` and one shard: PREPARE, COMMIT, OUTCOME, END; then the catalog is read."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    async with one_node(tmp_path_factory.mktemp("commits")) as path:
        yield path


@pytest_asyncio.fixture(loop_scope="module")
async def routers(cluster: Path) -> AsyncIterator[tuple[Router, Router]]:
    """Two. Table `old` has two rows."""
    async with (
        Router.open(cluster, rng=random.Random(1)) as a,
        Router.open(cluster, rng=random.Random(2)) as b,
    ):
        client = await client_of(a, "old", "new")
        await client.run("CREATE TABLE old (id int PRIMARY KEY, n int)")
        await client.run("INSERT INTO old VALUES (1, 1), (2, 2)")
        yield a, b


async def is_there(router: Router) -> bool:
    return await said(Client(router).values("SELECT id FROM new")) == [(1,)]


async def said(work: Awaitable[object]) -> object:
    """The answer, or the SQLSTATE if it has not happened."""
    try:
        return await work
    except RouterError as exc:
        return exc.sqlstate if exc.definite else "unknown"


@pytest.mark.parametrize("step", range(MESSAGES + 1))
async def test_one_that_is_cancelled_says_what_became_of_it(
    routers: tuple[Router, Router], step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In front of each of its messages, and when it reads what it has made."""
    a, b = routers
    client = await client_of(a)
    await client.does(
        "BEGIN", "CREATE TABLE new (id serial PRIMARY KEY)", "INSERT INTO new DEFAULT VALUES"
    )
    coordination, schema = a._backend.shards._coordination, a._backend.schema
    send, refresh, before = coordination.send, schema.refresh, iter(range(99))
    is_committed = False

    def sending(*args: Any) -> Any:
        if next(before) == step:
            client.session.cancel()
        return send(*args)

    async def reading(*args: Any) -> Any:
        if step == MESSAGES and is_committed:
            client.session.cancel()
        return await refresh(*args)

    commit = coordination.commit

    async def committing(*args: Any) -> Any:
        nonlocal is_committed
        found = await commit(*args)
        is_committed = True
        return found

    monkeypatch.setattr(coordination, "send", sending)
    monkeypatch.setattr(coordination, "commit", committing)
    monkeypatch.setattr(schema, "refresh", reading)
    ended = await said(client.values("COMMIT"))
    monkeypatch.undo()
    client.session.note_failure()
    assert client.session.status == "I"
    assert ended == ("57014" if step < 1 else [])
    assert await is_there(b) is (ended == [])
    assert await is_there(a) is (ended == [])


async def test_one_that_is_cancelled_while_it_waits_for_its_turn_has_not_happened(
    routers: tuple[Router, Router],
) -> None:
    a, b = routers
    client = await client_of(a)
    await client.does("BEGIN", "CREATE TABLE new (id int)")
    async with a._backend.schema.changing:
        execution = Execution(await client.session.prepare("COMMIT"))
        committing = asyncio.ensure_future(client.session.run([execution]))
        for _ in range(5):
            await asyncio.sleep(0)
        client.session.cancel()
        with pytest.raises(RouterError) as caught:
            await committing
    assert caught.value.sqlstate == "57014"
    assert not await is_there(b)


async def test_one_that_is_refused_leaves_the_catalog_to_others(
    routers: tuple[Router, Router],
) -> None:
    a, b = routers
    client = await client_of(a)
    await client.does("BEGIN", "CREATE TABLE new (id int)")
    assert await client.values("SELECT n FROM old WHERE id = 1") == [(1,)]
    await Client(b).run("UPDATE old SET n = 5 WHERE id = 1")
    assert await client.code("COMMIT") == "40001"
    await client.does("BEGIN", "CREATE TABLE new (id int)", "COMMIT")
    assert await Client(b).values("SELECT count(*) FROM new") == [(0,)]
