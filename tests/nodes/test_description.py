"""Changes of cluster.toml reach every node that is, or comes back, in touch with another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.client import NodeClient
from nodes.cluster_file import load_cluster, write_cluster
from nodes.config import Address, ClusterConfig, NodeConfig, RaftConfig, format_cluster
from nodes.local_cluster import free_ports, new_cluster_config
from nodes.node import Node
from nodes.protocol import ClusterText, Denied, GetCluster, ResponseBody, SetCluster

pytestmark = pytest.mark.slow  # real nodes and files

SECRET = bytes(range(32))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


class Hosts:
    """Each node with a cluster.toml of its own, as on machines of their own."""

    def __init__(self, directory: Path, stack: AsyncExitStack) -> None:
        *ports, router_port = free_ports(5)
        self.config = new_cluster_config(
            placement={"meta": ["a", "b", "c"], "s1": ["b", "c", "a"]},
            ports=ports[:3],
            router_port=router_port,
            raft=RaftConfig(tick_ms=20, election_ticks=10),
            secret=SECRET,
        )
        self.free_port = ports[3]
        self.directory = directory
        self.nodes: dict[str, Node] = {}
        self._stack = stack
        self._stacks: dict[str, AsyncExitStack] = {}
        for name in self.config.nodes:
            self.write(name, self.config)

    def file(self, name: str) -> Path:
        return self.directory / name / "cluster.toml"

    def write(self, name: str, config: ClusterConfig) -> None:
        self.file(name).parent.mkdir(exist_ok=True)
        write_cluster(self.file(name), config)

    async def start(self, *names: str) -> None:
        for name in names:
            stack = self._stacks[name] = await self._stack.enter_async_context(AsyncExitStack())
            node = Node(
                load_cluster(self.file(name)),
                name,
                self.directory / name / "data",
                file=self.file(name),
            )
            self.nodes[name] = await stack.enter_async_context(node)

    async def stop(self, name: str) -> None:
        del self.nodes[name]
        await self._stacks.pop(name).aclose()

    async def ask(self, name: str, body: GetCluster | SetCluster) -> ResponseBody:
        node = self.config.nodes[name]
        client = NodeClient(
            node.address, cluster_id=self.config.cluster_id, name="test", secret=SECRET
        )
        try:
            return await client.call("", body, 10)
        finally:
            await client.close()

    async def set(self, name: str, config: ClusterConfig) -> ResponseBody:
        return await self.ask(name, SetCluster(format_cluster(config)))

    def with_d(self, revision: int = 1) -> ClusterConfig:
        d = NodeConfig("d", Address("127.0.0.1", self.free_port))
        return replace(self.config, revision=revision, nodes={**self.config.nodes, "d": d})

    def revisions(self) -> dict[str, int]:
        return {name: node.status().revision for name, node in self.nodes.items()}

    def heard(self, name: str) -> frozenset[str]:
        return self.nodes[name]._server.heard()


@asynccontextmanager
async def hosts(directory: Path) -> AsyncIterator[Hosts]:
    async with AsyncExitStack() as stack:
        yield Hosts(directory, stack)


async def test_one_node_is_told_and_all_know_and_the_new_one_is_connected(tmp_path: Path) -> None:
    async with hosts(tmp_path) as cluster:
        await cluster.start("a", "b", "c")
        await until(lambda: all(len(cluster.heard(n)) == 2 for n in "abc"))
        new = cluster.with_d()
        assert await cluster.set("b", new) == ClusterText(1, format_cluster(new))
        await until(lambda: cluster.revisions() == {"a": 1, "b": 1, "c": 1})
        for name in "abc":
            assert load_cluster(cluster.file(name)) == new
        cluster.write("d", new)
        await cluster.start("d")
        await until(lambda: all(len(cluster.heard(n)) == 3 for n in "abcd"))


async def test_a_node_that_was_down_learns_it_when_it_comes_back(tmp_path: Path) -> None:
    async with hosts(tmp_path) as cluster:
        await cluster.start("a", "b")
        new = cluster.with_d(revision=5)
        await cluster.set("a", new)
        await until(lambda: cluster.revisions() == {"a": 5, "b": 5})
        await cluster.start("c")
        assert cluster.nodes["c"].status().revision == 0
        await until(lambda: cluster.revisions() == {"a": 5, "b": 5, "c": 5})
        await cluster.stop("c")
        await cluster.start("c")  # from its own file
        assert cluster.nodes["c"].status().revision == 5


async def test_a_new_node_with_the_newest_file_brings_it_to_the_others(tmp_path: Path) -> None:
    async with hosts(tmp_path) as cluster:
        await cluster.start("a", "b")
        cluster.write("c", cluster.with_d(revision=2))
        await cluster.start("c")
        await until(lambda: cluster.revisions() == {"a": 2, "b": 2, "c": 2})


async def test_what_is_no_newer_text_of_this_cluster_changes_nothing(tmp_path: Path) -> None:
    async with hosts(tmp_path) as cluster:
        await cluster.start("a")
        await cluster.set("a", cluster.with_d(revision=3))
        before = await cluster.ask("a", GetCluster())
        config = cluster.config
        assert await cluster.set("a", replace(config, revision=2)) == before
        assert await cluster.set("a", replace(config, revision=3)) == before
        refused = {
            "belongs to cluster": replace(config, revision=9, cluster_id="other"),
            "no longer in the cluster: stop it": replace(
                config, revision=9, nodes={n: config.nodes[n] for n in "bc"}
            ),
            "stay as they were": replace(config, revision=9, engine="pysyncobj"),
        }
        for sentence, wrong in refused.items():
            answer = await cluster.set("a", wrong)
            assert isinstance(answer, Denied)
            assert sentence in answer.reason
        for text in ("", "nonsense = [", "format = 1"):
            assert isinstance(await cluster.ask("a", SetCluster(text)), Denied)
        assert await cluster.ask("a", GetCluster()) == before
        assert load_cluster(cluster.file("a")).revision == 3


async def test_a_file_that_cannot_be_written_is_no_change(tmp_path: Path) -> None:
    async with hosts(tmp_path) as cluster:
        await cluster.start("a")
        cluster.file("a").unlink()
        (cluster.file("a") / "in the way").mkdir(parents=True)
        answer = await cluster.set("a", cluster.with_d())
        assert isinstance(answer, Denied)
        assert "cannot write" in answer.reason
        assert cluster.revisions() == {"a": 0}


async def test_a_node_that_is_gone_is_hung_up_on(tmp_path: Path) -> None:
    async with hosts(tmp_path) as cluster:
        await cluster.start("a", "b", "c")
        new = cluster.with_d()
        cluster.write("d", new)
        await cluster.set("a", new)
        await cluster.start("d")
        await until(lambda: all(len(cluster.heard(n)) == 3 for n in "abcd"))
        await cluster.set("a", replace(cluster.config, revision=2))
        await until(lambda: all("d" not in cluster.heard(n) for n in "abc"))
        await until(lambda: len(cluster.nodes["d"].status().refusals) == 3)
        assert "knows no node d" in cluster.nodes["d"].status().refusals[0].reason


async def test_files_that_the_text_names_are_listened_to(tmp_path: Path) -> None:
    """What `replica rebuild` ends with, at nodes that heard of no removal."""
    async with hosts(tmp_path) as cluster:
        await cluster.start("a", "b", "c")
        await until(lambda: all(len(cluster.heard(n)) == 2 for n in "abc"))
        await cluster.stop("c")
        (tmp_path / "c" / "data").rename(tmp_path / "c" / "lost")
        await cluster.start("c")
        await until(lambda: len(cluster.nodes["c"].status().refusals) == 2)
        data_id = cluster.nodes["c"].status().data_id
        c = replace(cluster.config.nodes["c"], data_id=data_id)
        await cluster.set(
            "a", replace(cluster.config, revision=1, nodes={**cluster.config.nodes, "c": c})
        )
        await until(lambda: all("c" in cluster.heard(n) for n in "ab"))
        await until(lambda: not cluster.nodes["c"].status().refusals)
