"""Replicas that come and go, on real nodes: four or five in one process, with logs and files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest

from nodes.config import ClusterConfig
from nodes.protocol import (
    Changed,
    ChangeReplicas,
    Denied,
    Done,
    MoveLeadership,
    NoSuchGroup,
    Opened,
    OpenSession,
    ReplicaStatus,
    ResponseBody,
)
from tests.nodes.test_node import Nodes, config_of, insert, make_table, select

pytestmark = pytest.mark.slow  # real elections and files

Step = Literal["learner", "voter", "remove"]


class Cluster(Nodes):
    """Nodes that can be started and stopped one by one."""

    def __init__(self, config: ClusterConfig, directory: Path) -> None:
        super().__init__(config, directory)
        self.stacks: dict[str, AsyncExitStack] = {}

    async def up(self, *names: str) -> None:
        for name in names:
            self.stacks[name] = AsyncExitStack()
        await asyncio.gather(*(self.start(name, self.stacks[name]) for name in names))

    async def down(self, name: str) -> None:
        del self.running[name]
        await self.stacks.pop(name).aclose()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while True:
                if condition():
                    return
                await asyncio.sleep(0.005)

    async def change(self, group: str, step: Step, replica: int, node: str = "") -> ResponseBody:
        return await self.call(group, ChangeReplicas(step, replica, node))

    async def must_change(self, group: str, step: Step, replica: int, node: str = "") -> None:
        """As a tool does it: a step that has to wait for something is asked for again."""
        async with asyncio.timeout(20):
            while True:
                answer = await self.change(group, step, replica, node)
                if isinstance(answer, Changed):
                    return
                assert isinstance(answer, Denied), answer
                assert answer.reason.endswith("ask again."), answer
                await asyncio.sleep(0.01)

    async def add(self, group: str, replica: int, node: str) -> None:
        await self.must_change(group, "learner", replica, node)
        await self.until(lambda: self.find(node, group) is not None)
        await self.must_change(group, "voter", replica)

    async def leading(self, group: str) -> ReplicaStatus:
        return self.replica(await self.leader(group), group)

    async def is_applied_by(self, group: str, answer: Done, *names: str) -> None:
        await self.until(
            lambda: all(self.replica(name, group).applied >= answer.index for name in names)
        )


@asynccontextmanager
async def cluster(
    directory: Path, *, nodes: int = 4, s1: tuple[str, ...] = ("n1", "n2", "n3")
) -> AsyncIterator[Cluster]:
    """`meta` and `s1`, both on n1 to n3 if nothing else is said, and nodes without a replica."""
    names = [f"n{number}" for number in range(1, nodes + 1)]
    config = config_of({"meta": ["n1", "n2", "n3"], "s1": list(s1)}, nodes=names)
    found = Cluster(config, directory)
    try:
        await found.up(*names)
        yield found
    finally:
        for client in found.clients.values():
            await client.close()
        for name in list(found.stacks):
            await found.down(name)


def members(status: ReplicaStatus) -> list[tuple[int, str, bool]]:
    return [(m.replica, m.node, m.is_voter) for m in status.members]


async def write(nodes: Cluster, opened: Opened, key: int) -> Done:
    answer = await nodes.call("s1", insert(opened, 2 + key, key))
    assert isinstance(answer, Done), answer
    return answer


def rows(nodes: Cluster, node: str) -> int:
    """How many rows the replica of s1 on `node` holds."""
    read = nodes.running[node]._hosting.running["s1"].machine.read(select("SELECT k FROM t"))
    assert isinstance(read, Done), read
    return len(read.results[0].values)


async def test_a_group_of_three_grows_to_four(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        for key in range(5):
            await write(nodes, opened, key)
        assert await nodes.call("s1", select(), "n4") == NoSuchGroup()
        assert isinstance(await nodes.change("s1", "learner", 4, "n4"), Changed)
        await nodes.until(lambda: nodes.find("n4", "s1"))
        assert members(await nodes.leading("s1"))[-1] == (4, "n4", False)
        await nodes.must_change("s1", "voter", 4)
        last = await write(nodes, opened, 5)
        await nodes.is_applied_by("s1", last, "n4")
        assert rows(nodes, "n4") == 6
        status = nodes.replica("n4", "s1")
        assert members(status) == [(n, f"n{n}", True) for n in (1, 2, 3, 4)]
        assert (status.last_id, status.is_changing) == (4, False)
        # Four voters need three: with n4 the group survives the loss of its leader.
        await nodes.down(await nodes.leader("s1"))
        await write(nodes, opened, 6)


async def test_a_replica_moves_to_a_new_node_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        await nodes.add("s1", 4, "n4")
        await nodes.must_change("s1", "remove", 3)
        await nodes.until(lambda: nodes.find("n3", "s1") is None)
        assert not (tmp_path / "n3" / "s1").exists()
        assert [r.group for r in nodes.running["n3"].status().replicas] == ["meta"]
        last = await write(nodes, opened, 1)
        await nodes.is_applied_by("s1", last, "n1", "n2", "n4")
        assert await nodes.call("s1", select(), "n3") == NoSuchGroup()
        # Started again it hosts what its log store says, not what cluster.toml founded.
        await nodes.down("n3")
        await nodes.up("n3")
        assert nodes.find("n3", "s1") is None
        assert isinstance(await nodes.call("meta", OpenSession("test")), Opened)
        # The same node may get the group again, with a new id.
        await nodes.add("s1", 5, "n3")
        last = await write(nodes, opened, 2)
        await nodes.is_applied_by("s1", last, "n3")
        assert rows(nodes, "n3") == 2


async def test_a_leader_hands_over_and_is_removed(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        old = await nodes.leading("s1")
        assert isinstance(await nodes.call("s1", MoveLeadership(2)), Changed)
        assert await nodes.leader("s1") == "n2"
        await nodes.must_change("s1", "remove", old.replica)
        await nodes.until(lambda: nodes.find(f"n{old.replica}", "s1") is None)
        await write(nodes, opened, 1)


async def test_a_leader_that_removes_itself_steps_down_when_that_is_committed(
    tmp_path: Path,
) -> None:
    async with cluster(tmp_path) as nodes:
        opened = await make_table(nodes, "s1")
        leader = await nodes.leading("s1")
        name = f"n{leader.replica}"
        assert isinstance(await nodes.change("s1", "remove", leader.replica), Changed)
        await nodes.until(lambda: nodes.find(name, "s1") is None)
        await write(nodes, opened, 1)
        assert leader.replica not in [m.replica for m in (await nodes.leading("s1")).members]
