"""A whole data directory put back from an older copy: what its own node cannot see, its peers do.

Without them the copy would vote for a leader that lacks acknowledged entries: it had
acknowledged them itself, with the other replica that then fails.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from nodes.protocol import Done
from nodes.server import Server
from tests.nodes.test_node import Nodes, insert, make_table, select, three

pytestmark = pytest.mark.slow  # real elections and files


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


class Cluster:
    """Nodes that are started and stopped one by one."""

    def __init__(self, directory: Path) -> None:
        self.nodes = Nodes(three(), directory)
        self.directory = directory
        self._stacks: dict[str, AsyncExitStack] = {}

    async def start(self, *names: str) -> None:
        for name in names:
            self._stacks[name] = AsyncExitStack()
            await self.nodes.start(name, self._stacks[name])

    async def stop(self, name: str) -> None:
        del self.nodes.running[name]
        await self._stacks.pop(name).aclose()

    async def close(self) -> None:
        for name in list(self._stacks):
            await self.stop(name)
        for client in self.nodes.clients.values():
            await client.close()

    def server(self, name: str) -> Server:
        return self.nodes.running[name]._server

    def refusals(self, name: str) -> dict[str, str]:
        return {r.node: r.reason for r in self.nodes.running[name].status().refusals}


async def acknowledged_without(cluster: Cluster, lagging: str) -> None:
    """A table on all three; a copy of n3's files; then a row that n3 and another one hold,
    and `lagging` does not."""
    await cluster.start("n1", "n2", "n3")
    opened = await make_table(cluster.nodes, "s1")
    applied = cluster.nodes.replica(await cluster.nodes.leader("s1"), "s1").applied
    await until(lambda: cluster.nodes.replica("n3", "s1").applied >= applied)
    await cluster.stop("n3")
    shutil.copytree(cluster.directory / "n3", cluster.directory / "older")
    await cluster.start("n3")
    await until(lambda: "n3" in cluster.server("n1").heard() & cluster.server("n2").heard())
    await cluster.stop(lagging)
    assert isinstance(await cluster.nodes.call("s1", insert(opened, 2, 7)), Done)


async def test_it_is_refused_with_the_cure_and_its_group_does_not_lose_what_was_acknowledged(
    tmp_path: Path,
) -> None:
    cluster = Cluster(tmp_path)
    try:
        await acknowledged_without(cluster, lagging="n1")
        await cluster.stop("n2")
        await cluster.stop("n3")
        shutil.rmtree(tmp_path / "n3")
        (tmp_path / "older").rename(tmp_path / "n3")
        await cluster.start("n1", "n3")  # a majority by number, and neither holds the row
        await until(lambda: "n1" in cluster.refusals("n3"))
        why = cluster.refusals("n3")["n1"]
        assert "the files of node n3 were put back from an older copy" in why
        assert "`shardrouter replica rebuild --node n3`" in why
        assert "n3" not in cluster.server("n1").heard()
        term = cluster.nodes.replica("n1", "s1").term
        for name in ("n1", "n3"):  # nobody leads, and nothing was taken back
            assert cluster.nodes.replica(name, "s1").role != "leader"
        await cluster.start("n2")  # who holds the row: the two lead on
        answer = await cluster.nodes.call("s1", select())
        assert isinstance(answer, Done)
        assert answer.results[0].values == ((7, 70),)
        assert cluster.nodes.replica("n2", "s1").term >= term
        await until(lambda: cluster.refusals("n3").keys() == {"n1", "n2"})
    finally:
        await cluster.close()


async def test_restarts_of_anybody_in_any_order_are_none_of_that(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    try:
        await cluster.start("n1", "n2", "n3")
        await cluster.nodes.leader("s1")
        for name in ("n3", "n1", "n3", "n2", "n1", "n3"):
            await cluster.stop(name)
            await cluster.start(name)
            await until(
                lambda: all(len(cluster.server(n).heard()) == 2 for n in cluster.nodes.running)
            )
            assert not any(cluster.refusals(n) for n in cluster.nodes.running)
    finally:
        await cluster.close()
