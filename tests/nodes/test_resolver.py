"""Transactions over several groups that their router has left: leaders finish them, whoever
stops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.config import ClusterConfig
from nodes.protocol import (
    Aborted,
    Commit,
    Done,
    Guard,
    Opened,
    OpenSession,
    Participant,
    Prepare,
    Prepared,
    Read,
    SessionId,
    SetVersion,
    Statement,
    TransactionId,
    TransactionOutcome,
    Write,
)
from tests.nodes.test_fingerprint import until
from tests.nodes.test_node import CREATE, Nodes, config_of

pytestmark = pytest.mark.slow  # real elections and files

GROUPS = ("s1", "s2")
GUARDS = (Guard("table:t", 1),)
KEYS = Read((Statement("SELECT k FROM t ORDER BY k"),), GUARDS, quick=True)
RECOVERED_S = 10.0
"""Within which what was left has been finished, also on a busy machine."""


def config() -> ClusterConfig:
    found = config_of({"meta": ["n1"], "s1": ["n1", "n2", "n3"], "s2": ["n2", "n3", "n1"]})
    # Longer than a router that is well takes between two messages, also on a busy machine.
    return replace(found, raft=replace(found.raft, resolve_after_ms=800))


class Over:
    """A cluster, and transactions over its two shards; s1 is their anchor."""

    def __init__(self, directory: Path) -> None:
        self.nodes = Nodes(config(), directory)
        self.sessions: dict[str, SessionId] = {}
        self.count = 0

    async def start(self) -> None:
        names = [name for name in self.nodes.config.nodes if name not in self.nodes.running]
        made = {name: self.nodes.make(name) for name in names}
        await asyncio.gather(*(node.__aenter__() for node in made.values()))
        self.nodes.running |= made

    async def stop(self, *names: str) -> None:
        stopped = [self.nodes.running.pop(name) for name in names]
        await asyncio.gather(*(node.__aexit__(None, None, None) for node in stopped))

    async def make_tables(self) -> None:
        for group in GROUPS:
            opened = await self.nodes.call(group, OpenSession("test"))
            assert isinstance(opened, Opened)
            self.sessions[group] = opened.session
            made = Write(
                opened.session, 1, 0, (Statement(CREATE),), (), (SetVersion("table:t", 1),)
            )
            assert isinstance(await self.nodes.call(group, made), Done)

    def bodies(self) -> tuple[Commit, Prepare]:
        """Of the next transaction, which inserts its number into both shards: for its anchor, s1,
        and for s2."""
        self.count += 1
        id_ = TransactionId(time.time_ns() // 1000, 1, self.count)
        seq = 10 * self.count
        parts = tuple(Participant(group, self.sessions[group], seq) for group in GROUPS)
        text = Statement("INSERT INTO t VALUES (?1, 0)", (self.count,))
        own, other = (Write(each.session, seq, 0, (text,), GUARDS, quick=True) for each in parts)
        return Commit(id_, own, (), parts), Prepare(id_, other, (), "s1", parts)

    async def prepare(self) -> Commit:
        """It is prepared in s2. Returns what the anchor has not been sent."""
        commit, prepare = self.bodies()
        answer = await self.nodes.call("s2", prepare)
        assert isinstance(answer, Prepared), answer
        return commit

    async def commit(self, commit: Commit) -> None:
        """At the anchor, and tell nobody."""
        answer = await self.nodes.call("s1", commit)
        assert isinstance(answer, Done), answer

    def open(self) -> int:
        """How much is prepared or remembered, on all replicas together."""
        return sum(
            replica.prepared_count + replica.outcomes
            for node in self.nodes.running.values()
            for replica in node.status().replicas
        )

    async def finished(self) -> None:
        """Everything is finished everywhere."""
        await until(lambda: not self.open())

    async def keys(self, group: str) -> list[object]:
        answer = await self.nodes.call(group, KEYS)
        assert isinstance(answer, Done), answer
        return [key for (key,) in answer.results[0].values]

    async def both(self) -> list[object]:
        """What both shards have, which is the same."""
        first, second = [await self.keys(group) for group in GROUPS]
        assert first == second
        return first


@asynccontextmanager
async def over(directory: Path) -> AsyncIterator[Over]:
    found = Over(directory)
    await found.start()
    try:
        await found.make_tables()
        yield found
    finally:
        for client in found.nodes.clients.values():
            await client.close()
        await found.stop(*found.nodes.running)


async def test_what_a_router_leaves_is_finished_by_leaders(tmp_path: Path) -> None:
    async with over(tmp_path) as cluster:
        began = time.monotonic()
        made = await cluster.prepare()
        leader = await cluster.nodes.leader("s2")
        (shown,) = cluster.nodes.replica(leader, "s2").prepared
        assert (shown.id, shown.anchor, shown.objects) == (made.id, "s1", ("table:t",))
        assert await cluster.both() == [], "reads wait for the outcome"
        await cluster.finished()
        assert time.monotonic() - began < RECOVERED_S

        made = await cluster.prepare()
        await cluster.commit(made)
        assert await cluster.both() == [2], "what is committed is seen, once it is answered"
        await cluster.finished()

        made = await cluster.prepare()
        await cluster.finished()
        late = await cluster.nodes.call("s1", made)
        assert late == Aborted()
        assert await cluster.both() == [2]


STEPS = {"prepared": (False, False), "decided": (True, False), "told": (True, True)}
"""How far a router gets: whether it commits, and whether it tells the other shard. What it has
committed is there in the end, and nothing else."""


async def stop_at(cluster: Over, step: str, which: str) -> None:
    """The router goes on until `step`, and is not heard of any more; then some nodes stop."""
    decided, told = STEPS[step]
    nodes = cluster.nodes
    before = await cluster.both()
    made = await cluster.prepare()
    if decided:
        await cluster.commit(made)
    if told:
        outcome = TransactionOutcome(made.id, True, made.participants[1])
        assert isinstance(await nodes.call("s2", outcome), Done)
    stopped: Sequence[str] = []
    if which == "all":
        stopped = [*nodes.running]
    elif which != "the router":
        stopped = [await nodes.leader("s1" if which == "the anchor" else "s2")]
    began = time.monotonic()
    await cluster.stop(*stopped)
    if which == "all":
        await cluster.start()
    await cluster.finished()
    print(f"{step}, {which} stopped: {time.monotonic() - began:.2f} s")
    assert await cluster.both() == [*before, *([cluster.count] if decided else [])]
    await cluster.start()
    await cluster.finished()  # by those that were away, too


@pytest.mark.parametrize("which", ["the anchor", "the participant", "all"])
async def test_leaders_may_stop_before_and_after_the_decision(tmp_path: Path, which: str) -> None:
    async with over(tmp_path) as cluster:
        for step in ("prepared", "decided"):
            await stop_at(cluster, step, which)


@pytest.mark.long
@pytest.mark.processes  # of a kind: real elections and files
@pytest.mark.parametrize("which", ["the router", "the anchor", "the participant", "all"])
async def test_whoever_stops_at_any_step(tmp_path: Path, which: str) -> None:
    async with over(tmp_path) as cluster:
        for step in STEPS:
            await stop_at(cluster, step, which)
