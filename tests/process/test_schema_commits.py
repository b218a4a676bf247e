"""kill -9 of a leader in every moment of a schema change: all of it, or nothing, and what its
client was told is true."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from nodes.config import META_GROUP
from nodes.local_cluster import LocalCluster
from shardrouter.coordinator import Send
from shardrouter.delivery import Answer, Sending
from shardrouter.errors import IndefiniteError, RouterError
from shardrouter.router import Router
from tests.process.test_router_failover import three_nodes

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.processes]

STEPS = 3
"""Writes of a schema change: its mark, the change, its publication."""

MESSAGES = 4
"""Of a transaction that changes the schema of one shard: PREPARE, COMMIT, OUTCOME, END."""

MOMENTS = (None, 0.0, 0.002, 0.005, 0.015)
"""On its way, in the leader's log, in others' logs, applied and not yet answered: as it happens."""


@dataclass
class Killer:
    """Kills the leader of the group of the next write but `step`, before it is sent, or so long
    after it has been sent, if it is not answered by then."""

    cluster: LocalCluster
    router: Router
    step: int
    after_s: float | None
    killed: str = ""
    _write: Callable[..., Any] = field(init=False)

    def __post_init__(self) -> None:
        shards = self.router._backend.shards
        self._write = shards.write
        shards.write = self._watched

    async def _watched(self, group: str, *args: Any, **options: Any) -> Any:
        self.step -= 1
        if self.step >= 0 or self.killed:
            return await self._write(group, *args, **options)
        leader = self.router._backend.shards.leader(group)
        assert leader is not None
        self.killed = leader
        if self.after_s is None:
            self.cluster.kill_node(leader)
            return await self._write(group, *args, **options)
        writing = asyncio.ensure_future(self._write(group, *args, **options))
        await asyncio.wait({writing}, timeout=self.after_s)
        self.cluster.kill_node(leader)
        return await writing

    async def restore(self) -> None:
        """What was killed is back."""
        self.router._backend.shards.write = self._write
        await self.cluster.node(self.killed).wait()
        await self.cluster.start_node(self.killed)
        await self.cluster.wait_for_leaders()


@dataclass
class CommitKiller:
    """The same of the messages of a two-phase commit, the last of which come behind its answer."""

    cluster: LocalCluster
    router: Router
    step: int
    after_s: float | None
    killed: str = ""
    _is_killed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._coordination = self.router._backend.shards._coordination
        self._send = self._coordination.send
        self._coordination.send = self._watched  # type: ignore[method-assign]

    def _watched(self, send: Send, until: float, done: Callable[[Answer, bool], None]) -> Sending:
        self.step -= 1
        if self.step >= 0 or self.killed:
            return self._send(send, until, done)
        leader = self.router._backend.shards.leader(send.group)
        assert leader is not None
        self.killed = leader
        if self.after_s is None:
            self._kill()
            return self._send(send, until, done)
        sending = self._send(send, until, done)
        asyncio.get_running_loop().call_later(self.after_s, self._kill)
        return sending

    def _kill(self) -> None:
        self.cluster.kill_node(self.killed)
        self._is_killed.set()

    async def restore(self) -> None:
        """What is killed is back."""
        await self._is_killed.wait()
        self._coordination.send = self._send  # type: ignore[method-assign]
        await self.cluster.node(self.killed).wait()
        await self.cluster.start_node(self.killed)
        await self.cluster.wait_for_leaders()


async def outcome_of(work: Any) -> str:
    results: list[Any] = list(await asyncio.gather(work, return_exceptions=True))
    error = results[0]
    if isinstance(error, RouterError):
        assert error.sqlstate in ("08007", "40001", "57014", "57P03"), error
        return "unknown" if isinstance(error, IndefiniteError) else "nothing"
    return "all"


async def tables_of(router: Router) -> set[str]:
    await router._backend.schema.settled(asyncio.get_running_loop().time() + 30)
    return {row[0] for row in await router.fetch("SHOW TABLES")}


async def test_the_commit_of_a_transaction_with_schema_changes(tmp_path: Path) -> None:
    async with (
        three_nodes(tmp_path) as (cluster, path),
        Router.open(path, rng=random.Random(1)) as db,
        Router.open(path, rng=random.Random(2)) as other,
    ):
        said: dict[tuple[int, float | None], str] = {}
        await db.execute("CREATE TABLE base (id int PRIMARY KEY) WITH (home = true)")
        for number, (step, after_s) in enumerate(product(range(MESSAGES), MOMENTS[::2])):
            async with db.acquire() as client:
                await client.execute("SET default_placement = home")
                transaction = client.transaction()
                await transaction.start()
                await client.execute(f"CREATE TABLE t{number} (id serial PRIMARY KEY, name text)")
                await client.execute(f"INSERT INTO t{number} (name) VALUES ('a'), ('b')")
                await client.execute(f"ALTER TABLE base ADD COLUMN c{number} int")
                await client.execute(f"INSERT INTO base (id, c{number}) VALUES ({number}, 1)")
                killer = CommitKiller(cluster, db, step, after_s)
                said[step, after_s] = ended = await outcome_of(transaction.commit())
            await killer.restore()
            there = f"t{number}" in await tables_of(other)
            assert ended == "unknown" or there is (ended == "all"), (said, there)
            rows = await other.fetch("SELECT * FROM base WHERE id = $1", number)
            assert len(rows) == there, said
            columns = {row[0] for row in await other.fetch("SHOW COLUMNS FROM base")}
            assert (f"c{number}" in columns) is there, said
            if there:
                names = await other.fetch(f"SELECT id, name FROM t{number} ORDER BY id")
                assert [tuple(row) for row in names] == [(1, "a"), (2, "b")], said
                again = f"INSERT INTO t{number} (name) VALUES ('c') RETURNING id"
                assert await other.fetchval(again) > 2
        assert "all" in said.values()
        print(said)


async def test_a_key_that_is_added_to_a_table(tmp_path: Path) -> None:
    async with (
        three_nodes(tmp_path) as (cluster, path),
        Router.open(path, rng=random.Random(1)) as db,
        Router.open(path, rng=random.Random(2)) as other,
    ):
        said: dict[tuple[int, float | None], str] = {}
        for number, (step, after_s) in enumerate(product(range(STEPS), MOMENTS[::2])):
            await db.execute(f"CREATE TABLE t{number} (id int, n int) WITH (home = true)")
            rows = ", ".join(f"({n}, {n})" for n in range(500))
            await db.execute(f"INSERT INTO t{number} VALUES {rows}")
            killer = Killer(cluster, db, step, after_s)
            change = db.execute(f"ALTER TABLE t{number} ADD PRIMARY KEY (id)")
            said[step, after_s] = ended = await outcome_of(change)
            await killer.restore()
            await tables_of(other)
            catalog = other._backend.schema.catalog
            there = catalog.tables[f"t{number}"].primary_key == ("id",)
            assert ended == "unknown" or there is (ended == "all"), (said, there)
            assert await other.fetchval(f"SELECT sum(n) FROM t{number}") == sum(range(500))
            is_refused = False
            with suppress(RouterError):
                await other.execute(f"INSERT INTO t{number} VALUES (7, 7)")
                is_refused = True
            assert is_refused is not there, said
        assert META_GROUP in await cluster.leaders()
        assert set(said.values()) == {"all"}, "a majority was there all the time"
        print(said)
