"""Everything that a node does on threads, at once, in three nodes that share an interpreter which
changes threads a thousand times as often as usual: what no simulation shows (docs/simulation.md).

Writes that are tried first, transactions, streamed and long reads, checksums, cuts of the log and
snapshots run beside each other and are cancelled in the middle, while nodes stop and start.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from nodes.client import NodeClient
from nodes.comparison import Comparison, compare
from nodes.config import ClusterConfig, RaftConfig, format_cluster
from nodes.local_cluster import free_ports, new_cluster_config
from nodes.node import Node
from shardrouter.errors import DeadlineExceeded, DefiniteError, RouterError
from shardrouter.router import Router

pytestmark = [pytest.mark.slow, pytest.mark.long]

NODES: Final = ("n1", "n2", "n3")
GROUPS: Final = ("shard-1", "shard-2")
RAFT: Final = RaftConfig(tick_ms=20, election_ticks=15, log_entries=60)
ROWS: Final = 1500
RESTARTS: Final = 4
ENOUGH_S: Final = 240.0
"""Far more than anything takes that comes to an end."""

ENDLESS: Final = "SELECT count(*) FROM t a, t b, t c, t d"


@contextmanager
def threads_change_often() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual / 1000)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


@contextmanager
def nothing_goes_unheard() -> Iterator[None]:
    """What threads, callbacks and finalizers raise fails the test."""
    heard: list[str] = []
    loop = asyncio.get_running_loop()
    of_threads, of_finalizers = threading.excepthook, sys.unraisablehook
    loop.set_exception_handler(lambda _, context: heard.append(repr(context)))
    threading.excepthook = lambda args: heard.append(repr(args))
    sys.unraisablehook = lambda args: heard.append(repr(args))
    try:
        yield
        gc.collect()
    finally:
        loop.set_exception_handler(None)
        threading.excepthook, sys.unraisablehook = of_threads, of_finalizers
    assert not heard, heard


class Cluster:
    """Three nodes in this process."""

    def __init__(self, config: ClusterConfig, directory: Path) -> None:
        self.config = config
        self._directory = directory
        self._stacks = {name: AsyncExitStack() for name in NODES}

    async def start(self, name: str) -> None:
        node = Node(self.config, name, self._directory / name, rng=random.Random(name))
        await self._stacks[name].enter_async_context(node)

    async def stop(self, name: str) -> None:
        await self._stacks[name].aclose()


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[tuple[Cluster, Router]]:
    *ports, router_port = free_ports(len(NODES) + 1)
    placement = {group: list(NODES) for group in ("meta", *GROUPS)}
    config = new_cluster_config(
        placement=placement, ports=ports, router_port=router_port, raft=RAFT
    )
    path = directory / "cluster.toml"
    path.write_text(format_cluster(config))
    cluster = Cluster(config, directory)
    try:
        await asyncio.gather(*map(cluster.start, NODES))
        async with Router.open(path, rng=random.Random(1)) as db:
            yield cluster, db
    finally:
        await asyncio.gather(*map(cluster.stop, NODES))


class Work:
    """What clients do at once, and how often it ended in which way."""

    def __init__(self, db: Router) -> None:
        self._db = db
        self._rng = random.Random(2)
        self.is_over = False
        self.ended: Counter[str] = Counter()
        self.added = self.doubtful = 0

    async def repeat(self, one: Callable[[], Awaitable[None]]) -> None:
        """Until it is over; some are cancelled in the middle."""
        name = one.__name__
        while not self.is_over:
            task = asyncio.ensure_future(one())
            if self._rng.random() < 0.3:
                await asyncio.wait([task], timeout=self._rng.random() * 0.05)
                task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                self.ended[f"{name}: cancelled"] += 1
            except RouterError:
                self.ended[f"{name}: failed"] += 1
            else:
                self.ended[name] += 1

    async def _add(self, query: str, *arguments: int) -> None:
        """A write that adds one to some rows: `ROWS` of them at most."""
        try:
            tag = await self._db.execute(query, *arguments)
        except DefiniteError:
            raise
        except BaseException:  # cancelled, or its outcome is not known
            self.doubtful += ROWS
            raise
        self.added += int(tag.split()[-1])

    async def point_write(self) -> None:
        await self._add("UPDATE t SET n = n + 1 WHERE id = $1", self._rng.randrange(ROWS))

    async def large_write(self) -> None:
        await self._add("UPDATE t SET n = n + 1 WHERE id % 9 = $1", self._rng.randrange(9))

    async def transaction(self) -> None:
        async with self._db.transaction() as connection:
            key = self._rng.randrange(ROWS)
            await connection.fetchval("SELECT n FROM t WHERE id = $1", key)
            await connection.execute("UPDATE t SET m = m + 1 WHERE id = $1", key)
            await connection.fetch("SELECT id, pad FROM t WHERE id % 3 = 0")

    async def streamed_read(self) -> None:
        found = [row["id"] async for row in self._db.cursor("SELECT id, pad FROM t ORDER BY id")]
        assert found == list(range(ROWS))

    async def long_read(self) -> None:
        with suppress(DeadlineExceeded):
            await self._db.fetchval(ENDLESS, timeout=self._rng.random() * 0.1)

    async def point_read(self) -> None:
        key = self._rng.randrange(ROWS)
        assert await self._db.fetchval("SELECT id FROM t WHERE id = $1", key) == key

    async def all_ended_well(self) -> None:
        """Once at least, each kind of work: at the latest when nobody disturbs it any more."""
        while not all(self.ended[kind.__name__] for kind in self.kinds):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    @property
    def kinds(self) -> list[Callable[[], Awaitable[None]]]:
        return [
            *(self.point_write, self.large_write, self.transaction, self.streamed_read),
            *(self.long_read, self.point_read),
        ]


async def compared(config: ClusterConfig) -> dict[str, Comparison | str]:
    """The replicas of each group, all of whose nodes run."""
    async with AsyncExitStack() as stack:
        clients: dict[str, NodeClient] = {}
        for name in NODES:
            clients[name] = NodeClient.to(name, config, name="test")
            stack.push_async_callback(clients[name].close)
        return {group: await compare(group, clients, timeout_s=60) for group in GROUPS}


def held() -> tuple[int, int]:
    """(threads, file descriptors) of this process, without the threads that the loop keeps."""
    gc.collect()
    threads = [each for each in threading.enumerate() if not each.name.startswith("asyncio_")]
    return len(threads), len(list(Path("/proc/self/fd").iterdir()))


async def disturb(cluster: Cluster, ended: Counter[str]) -> None:
    """Stop and start one node after the other; compare replicas meanwhile."""
    for number in range(RESTARTS):
        name = NODES[number % len(NODES)]
        await cluster.stop(name)
        await asyncio.sleep(0.4)  # writes go on, and logs are cut behind them
        await cluster.start(name)
        found: Any = await compared(cluster.config)
        ended["compared"] += sum(isinstance(each, Comparison) for each in found.values())
        for each in found.values():
            assert isinstance(each, str) or not each.differences, each


async def test_all_that_runs_on_threads_at_once(tmp_path: Path) -> None:
    before = held()
    with nothing_goes_unheard(), threads_change_often():
        async with running(tmp_path) as (cluster, db):
            await db.execute("CREATE TABLE t (id int PRIMARY KEY, n bigint, m bigint, pad text)")
            rows = [(key, 0, 0, "x" * 400) for key in range(ROWS)]
            await db.copy_records_to_table("t", records=rows)
            work = Work(db)
            clients = [asyncio.ensure_future(work.repeat(kind)) for kind in work.kinds * 2]
            try:
                async with asyncio.timeout(ENOUGH_S):
                    await disturb(cluster, work.ended)
                    await work.all_ended_well()
            finally:
                work.is_over = True
            await asyncio.gather(*clients)
            total = await db.fetchval("SELECT sum(n) FROM t")
            assert work.added <= total <= work.added + work.doubtful
            for group, found in (await compared(cluster.config)).items():
                assert isinstance(found, Comparison), (group, found)
                assert not found.differences, (group, found)
                assert len(found.compared) == len(NODES), (group, found)
    print(dict(sorted(work.ended.items())))
    assert work.ended["compared"]
    assert held() == before
