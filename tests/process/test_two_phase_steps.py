"""Who dies at any step of a two-phase commit: its router, the anchor's leader, a participant's. The
transaction is committed everywhere or nowhere, within two seconds, and never against what its
client was told. Real processes, SIGKILL."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nodes.local_cluster import LocalCluster
from nodes.protocol import Commit, Prepare
from shardrouter.coordination import Coordination
from shardrouter.coordinator import Send
from shardrouter.delivery import Answer, GaveUp, Sending
from shardrouter.errors import RouterError
from shardrouter.exceptions import SerializationError
from shardrouter.router import Router
from tests.process.test_router_failover import three_nodes
from tests.shardrouter.cluster import one_node
from tests.shardrouter.test_transactions import Client

pytestmark = pytest.mark.slow

STEPS = 6
"""Messages of a transaction over three shards: two PREPAREs, COMMIT, two OUTCOMEs, END."""

RESOLVED_S = 10.0
"""Half a second without the router, an election, and what a busy machine adds."""
ADD = "UPDATE t SET n = n + $2 WHERE id = $1"
READ = "SELECT n FROM t WHERE id = $1"


class Silent:
    """What was sent by a router that is dead."""

    def stop(self) -> None:
        """Nothing is under way."""


@dataclass
class Watch:
    """The messages of one router's two-phase commits: what happens at the one of a number."""

    coordination: Coordination
    sent: list[Send] = field(default_factory=list)
    at: int = -1
    then: Callable[[], None] = lambda: None
    is_dead: bool = False
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    another: asyncio.Event = field(default_factory=asyncio.Event)
    _pending: list[Callable[[Answer, bool], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._send = self.coordination.send
        self.coordination.send = self._watched  # type: ignore[method-assign]

    def begin(self, at: int, then: Callable[[], None] | None = None) -> None:
        """`then` just before message `at`; without it the router dies there."""
        self.sent.clear()
        self.reached.clear()
        self.at, self.then = at, then or self._die

    def _die(self) -> None:
        self.is_dead = True

    def _watched(self, send: Send, until: float, done: Callable[[Answer, bool], None]) -> Sending:
        if len(self.sent) == self.at:
            self.then()
            self.reached.set()
        self.sent.append(send)
        self.another.set()
        if not self.is_dead:
            return self._send(send, until, done)
        self._pending.append(done)
        return Silent()

    async def until_sent(self, count: int) -> None:
        """Wait for so many messages."""
        while len(self.sent) < count:
            self.another.clear()
            await self.another.wait()

    async def revive(self, running: asyncio.Future[Any]) -> None:
        """Let go of what was under way, none of which is sent any more."""
        while not running.done() or self._pending:
            for done in [self._pending.pop() for _ in range(len(self._pending))]:
                done(GaveUp("the router is dead"), True)
            await asyncio.sleep(0)
        self.is_dead = False


async def keys_of_three_shards(db: Router) -> list[int]:
    found: dict[str, int] = {}
    for key in range(100):
        found.setdefault((await db.where("t", key)).shard, key)
    assert len(found) == 3
    return list(found.values())


async def told(db: Router, keys: list[int]) -> str:
    """What a client hears who adds 1 to each."""
    try:
        return await db.execute("UPDATE t SET n = n + 1 WHERE id IN ($1, $2, $3)", *keys)
    except RouterError as exc:
        return exc.sqlstate if exc.definite else "unknown"


async def totals(db: Router, keys: list[int]) -> list[int]:
    return [int(await db.fetchval(READ, key)) for key in keys]


async def test_a_router_may_die_at_every_step(tmp_path: Path) -> None:
    async with (
        three_nodes(tmp_path) as (_cluster, path),
        Router.open(path) as db,
        Router.open(path) as dying,
    ):
        await db.execute("CREATE TABLE t (id bigint PRIMARY KEY, n bigint)")
        keys = await keys_of_three_shards(db)
        for key in keys:
            await db.execute("INSERT INTO t VALUES ($1, 0)", key)
        watch = Watch(dying._backend.shards._coordination)
        watch.begin(-1)
        assert await told(dying, keys) == "UPDATE 3"
        await watch.until_sent(STEPS)  # the last of them come behind the answer
        expected = 1
        for step in range(STEPS):
            watch.begin(step)
            running = asyncio.ensure_future(told(dying, keys))
            await watch.reached.wait()
            began = asyncio.get_running_loop().time()
            before = [type(send.body) for send in watch.sent[:step]]
            expected += Commit in before
            # Reads and writes wait for the outcome; rows of other slots do not.
            assert await totals(db, keys) == [expected] * 3, (step, before)
            for key in keys:
                await db.execute(ADD, key, 0)
            took = asyncio.get_running_loop().time() - began
            assert took < RESOLVED_S, (step, took)
            await watch.revive(running)

        # Who waits for what another router has prepared may cancel it.
        watch.begin(2)
        running = asyncio.ensure_future(told(dying, keys))
        await watch.reached.wait()
        client = Client(db)
        waiting = asyncio.ensure_future(client.run("UPDATE t SET n = n + 1"))
        other = Watch(db._backend.shards._coordination)
        await other.until_sent(1)
        client.session.cancel()
        with pytest.raises(RouterError) as caught:
            await waiting
        assert caught.value.sqlstate == "57014"
        assert await totals(db, keys) == [expected] * 3
        await watch.revive(running)


async def test_a_router_may_die_at_every_step_of_a_change_of_the_schema(tmp_path: Path) -> None:
    """Three shards and `meta`, the anchor: three PREPAREs, COMMIT, three OUTCOMEs, END."""
    async with (
        one_node(tmp_path) as path,
        Router.open(path) as db,
        Router.open(path) as dying,
    ):
        await db.execute("CREATE TABLE known (id int PRIMARY KEY, n int)")
        watch = Watch(dying._backend.shards._coordination)
        for step in (1, 3, 4, 6, 7):
            client = Client(dying)
            await client.run("BEGIN")
            await client.run(f"CREATE TABLE t{step} (id int PRIMARY KEY, n int)")
            await client.run(f"ALTER TABLE known ADD COLUMN c{step} int DEFAULT 1")
            rows = ", ".join(f"({n}, {n})" for n in range(9))
            await client.run(f"INSERT INTO t{step} VALUES {rows}")
            watch.begin(step)
            running = asyncio.ensure_future(said(client.run("COMMIT")))
            await watch.reached.wait()
            sent = [send.body for send in watch.sent[:step]]
            assert {each.anchor for each in sent if isinstance(each, Prepare)} == {"meta"}
            # Who needs the tables waits for the leaders to end it; all of it is there, or nothing.
            is_there = any(isinstance(each, Commit) for each in sent)
            found = [
                await said(db.fetchval(f"SELECT count(*) FROM t{step}")),
                await said(db.fetchval(f"SELECT count(c{step}) FROM known")),
                await said(db.execute(f"CREATE TABLE t{step} (other text PRIMARY KEY)")),
            ]
            expected = [9, 0, "42P07"] if is_there else ["42P01", "42703", "CREATE TABLE"]
            assert found == expected, (step, sent)
            await watch.revive(running)


async def said(work: Awaitable[object]) -> object:
    """The answer, or the SQLSTATE."""
    try:
        return await work
    except RouterError as exc:
        return exc.sqlstate


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.parametrize("whose", ["anchor", "participant"])
async def test_a_leader_may_die_at_every_step(tmp_path: Path, whose: str) -> None:
    async with (
        asyncio.timeout(120),
        three_nodes(tmp_path) as (cluster, path),
        Router.open(path) as db,
    ):
        await db.execute("CREATE TABLE t (id bigint PRIMARY KEY, n bigint)")
        keys = await keys_of_three_shards(db)
        for key in keys:
            await db.execute("INSERT INTO t VALUES ($1, 0)", key)
        shards = db._backend.shards
        watch = Watch(shards._coordination)
        expected = 0
        for step in range(STEPS):
            killed = ""

            def kill() -> None:
                nonlocal killed
                send = watch.sent[0] if watch.sent else None
                anchor = send.body.anchor if send and isinstance(send.body, Prepare) else "shard-3"
                group = anchor if whose == "anchor" else _other(anchor)
                killed = shards.leader(group) or "n1"
                cluster.kill_node(killed)

            watch.begin(step, kill)
            said = await told(db, keys)
            await watch.until_sent(step + 1)
            began = asyncio.get_running_loop().time()
            found = await totals(db, keys)
            took = asyncio.get_running_loop().time() - began
            assert len(set(found)) == 1, (step, said, found)
            happened = found[0] - expected
            assert happened in {"UPDATE 3": (1,), "unknown": (0, 1)}.get(said, (0,)), (step, said)
            expected = found[0]
            assert took < RESOLVED_S, (step, took)
            await restart(cluster, killed)
        assert expected >= 1


def _other(group: str) -> str:
    return "shard-1" if group != "shard-1" else "shard-2"


async def restart(cluster: LocalCluster, node: str) -> None:
    await cluster.node(node).wait()
    await cluster.start_node(node)
    await cluster.wait_for_leaders()


async def test_money_is_neither_made_nor_lost_while_a_leader_dies(tmp_path: Path) -> None:
    """Transfers between accounts of three shards, in blocks; sums of all accounts, which are too,
    are the same at every moment, before and after a leader is killed."""
    async with three_nodes(tmp_path) as (cluster, path), Router.open(path) as db:
        await db.execute("CREATE TABLE t (id bigint PRIMARY KEY, n bigint)")
        await db.execute("INSERT INTO t VALUES " + ", ".join(f"({key}, 100)" for key in range(9)))
        stopping = asyncio.Event()
        done = {"transfers": 0, "sums": 0, "conflicts": 0}

        async def transfer(seed: int) -> None:
            rng = random.Random(seed)
            while not stopping.is_set():
                one, other = rng.sample(range(9), 2)
                try:
                    async with db.transaction() as block:
                        has = int(await block.fetchval(READ, one))
                        if has >= 10:
                            await block.execute(ADD, one, -10)
                            await block.execute(ADD, other, 10)
                    done["transfers"] += 1
                except SerializationError:
                    done["conflicts"] += 1
                except RouterError as exc:  # while nobody leads
                    if exc.sqlstate not in ("08007", "57014", "55P03", "57P03"):
                        raise

        async def add_up() -> None:
            while not stopping.is_set():
                try:
                    async with db.transaction() as block:
                        total = await block.fetchval("SELECT sum(n) FROM t")
                except SerializationError:
                    continue
                assert int(total) == 900
                done["sums"] += 1

        work = [asyncio.ensure_future(transfer(seed)) for seed in range(4)]
        work.append(asyncio.ensure_future(add_up()))

        async def until(what: str, count: int) -> None:
            async with asyncio.timeout(30):
                while done[what] < count:
                    ended = [each for each in work if each.done()]
                    assert not ended, [each.exception() for each in ended]
                    await asyncio.sleep(0.01)

        await until("transfers", 20)
        victim = db._backend.shards.leader("shard-2")
        assert victim is not None
        cluster.kill_node(victim)
        await until("transfers", done["transfers"] + 20)
        stopping.set()
        await asyncio.gather(*work)
        assert int(await db.fetchval("SELECT sum(n) FROM t")) == 900
