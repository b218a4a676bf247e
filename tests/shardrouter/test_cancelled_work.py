"""What a client cancels ends on the node that works on it: whoever is next has its place."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from nodes import cursors, speculation
from nodes.dry_run import DryRun
from nodes.long_reads import LongReads
from nodes.protocol import Value
from shardrouter.errors import DeadlineExceeded, RouterError
from shardrouter.router import Router
from shardrouter.session import Execution, Outcome
from tests.shardrouter.cluster import one_node
from tests.shardrouter.test_schema_in_transactions import Client, client_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENDLESS = "SELECT count(*) FROM t a, t b, t c, t d, t e, t f, t g, t h"
ENDLESS_WRITE = f"UPDATE t SET n = ({ENDLESS})"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Router]:
    async with (
        one_node(tmp_path_factory.mktemp("cancelled")) as path,
        Router.open(path, rng=random.Random(1)) as opened,
    ):
        client = await client_of(opened)
        await client.run("CREATE TABLE t (id int PRIMARY KEY, n int)")
        for low in range(0, 200, 50):
            rows = ", ".join(f"({n}, 0)" for n in range(low, low + 50))
            await client.run(f"INSERT INTO t VALUES {rows}")
        await client.run("CREATE TABLE many (id int PRIMARY KEY)")
        yield opened


class Threads:
    """Counts what is at work on threads of the node."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.working = 0
        self.changed = asyncio.Event()
        for owner, name in (
            (LongReads, "_take_turn"),
            (cursors.Cursors, "_work"),
            (speculation.Speculation, "run"),
            (DryRun, "run"),
        ):
            self._watch(patch, owner, name)

    def _watch(self, patch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        work = getattr(owner, name)

        async def watched(*args: Value, **options: Value) -> object:
            self._add(1)
            try:
                return await work(*args, **options)
            finally:
                self._add(-1)

        patch.setattr(owner, name, watched)

    def _add(self, count: int) -> None:
        self.working += count
        self.changed.set()

    async def are(self, count: int) -> None:
        async with asyncio.timeout(4):  # less than any limit of what runs
            while self.working != count:
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Threads:
    return Threads(monkeypatch)


async def begun(client: Client, sql: str, *, stream: bool) -> asyncio.Future[list[Outcome]]:
    execution = Execution(await client.session.prepare(sql), stream=stream)
    return asyncio.ensure_future(client.session.run([execution]))


async def is_cancelled(client: Client, running: asyncio.Future[list[Outcome]]) -> None:
    client.session.cancel()
    with pytest.raises(DeadlineExceeded, match="canceling statement due to user request"):
        await running
    client.session.note_failure()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("consistency", ["linearizable", "any"])
async def test_a_read(router: Router, threads: Threads, consistency: str, *, stream: bool) -> None:
    client = Client(router)
    await client.run(f"SET shardrouter.consistency = '{consistency}'")
    running = await begun(client, ENDLESS, stream=stream)
    await threads.are(1)
    await is_cancelled(client, running)
    await threads.are(0)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("before", ["INSERT INTO many VALUES (1)", "SELECT n FROM t WHERE id = 1"])
async def test_a_read_in_a_transaction(
    router: Router, threads: Threads, before: str, *, stream: bool
) -> None:
    client, other = Client(router), Client(router)
    await client.does("BEGIN", before, "SAVEPOINT s")
    running = await begun(client, ENDLESS, stream=stream)
    await threads.are(1)
    await is_cancelled(client, running)
    await threads.are(0)
    # Others have the file, and the transaction goes on.
    await other.does("BEGIN", "SELECT count(*) FROM t", "COMMIT")
    assert await client.code("SELECT 1") == "25P02"
    await client.does("ROLLBACK TO s", "DELETE FROM many", "COMMIT")


async def test_a_write_that_is_being_tried(router: Router, threads: Threads) -> None:
    client = Client(router)
    running = await begun(client, ENDLESS_WRITE, stream=False)
    await threads.are(1)
    await is_cancelled(client, running)
    await threads.are(0)
    assert await client.values("SELECT sum(n) FROM t") == [(0,)]


async def test_what_a_router_leaves_behind_when_it_goes(
    router: Router, threads: Threads, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = next(tmp_path_factory.getbasetemp().glob("cancelled*/cluster.toml"))
    async with Router.open(path, rng=random.Random(2)) as leaving:
        client = Client(leaving)
        execution = Execution(await client.session.prepare(ENDLESS), stream=True)
        running = asyncio.ensure_future(client.session.run([execution]))
        await threads.are(1)
    with pytest.raises(RouterError):
        await running
    await threads.are(0)
