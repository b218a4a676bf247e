"""`node add` and `node remove` on running nodes, and what may come between."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.cluster_file import load_cluster, new_secret, write_cluster
from nodes.config import Address, ClusterConfig, ConfigError, NodeConfig, RaftConfig
from nodes.local_cluster import free_ports, new_cluster_config
from nodes.node import Node
from shardrouter import cluster_change
from shardrouter.cluster_change import change_cluster
from shardrouter.departures import accepting, keeps
from shardrouter.router import Router, node_statuses

pytestmark = pytest.mark.slow  # real nodes and files

PORTS = free_ports(8)


@asynccontextmanager
async def two_nodes(directory: Path) -> AsyncIterator[tuple[Path, dict[str, Node]]]:
    """The tool's cluster.toml, beside those of nodes a and b."""
    config = new_cluster_config(
        placement={"meta": ["a"], "shard-1": ["a"]},
        nodes=["a", "b"],
        ports=free_ports(2),
        router_port=1,
        raft=RaftConfig(tick_ms=10, election_ticks=10),
        secret=new_secret(),
    )
    write_cluster(directory / "cluster.toml", config)
    nodes: dict[str, Node] = {}
    async with AsyncExitStack() as stack:
        for name in config.nodes:
            file = directory / name / "cluster.toml"
            file.parent.mkdir()
            write_cluster(file, config)
            node = Node(config, name, file.parent / "data", file=file, rng=random.Random(name))
            nodes[name] = await stack.enter_async_context(node)
        yield directory / "cluster.toml", nodes


def adding(name: str, number: int) -> Callable[[ClusterConfig], ClusterConfig]:
    node = NodeConfig(name, Address("127.0.0.1", PORTS[number]))
    return lambda config: replace(config, nodes={**config.nodes, name: node})


async def change(
    path: Path, what: Callable[[ClusterConfig], ClusterConfig]
) -> tuple[ClusterConfig, list[str]]:
    return await change_cluster(path, load_cluster(path), what)


async def test_a_change_is_in_the_file_and_at_every_node_that_answers(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (path, nodes):
        config, unaware = await change(path, adding("d", 0))
        assert (config.revision, list(config.nodes)) == (1, ["a", "b", "d"])
        assert unaware == ["d"]  # which does not run yet
        assert load_cluster(path) == config
        for name, node in nodes.items():
            assert node.status().revision == 1
            assert load_cluster(tmp_path / name / "cluster.toml") == config
        again, _ = await change(path, adding("d", 0))  # done already: not another revision
        assert again == config


async def test_of_changes_at_once_none_is_lost(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (path, nodes):
        names = ("c", "d", "e", "f")
        changes = [change(path, adding(name, i)) for i, name in enumerate(names)]
        done = await asyncio.gather(*changes)
        assert sorted(config.revision for config, _ in done) == [1, 2, 3, 4]
        for node in nodes.values():
            assert node.status().revision == 4
        assert set(load_cluster(tmp_path / "a" / "cluster.toml").nodes) == {"a", "b", *names}


async def test_a_tool_that_died_after_the_write_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_nodes(tmp_path) as (path, nodes):
        with monkeypatch.context() as patch:

            async def killed(*_: object) -> list[str]:
                raise KeyboardInterrupt

            patch.setattr(cluster_change, "_spread", killed)
            with pytest.raises(KeyboardInterrupt):
                await change(path, adding("c", 0))
        assert nodes["a"].status().revision == 0
        config, _ = await change(path, adding("d", 1))
        assert (config.revision, list(config.nodes)) == (2, ["a", "b", "c", "d"])
        assert nodes["b"].status().revision == 2


async def test_a_file_that_is_behind_learns_what_the_nodes_know(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (path, _):
        old = load_cluster(path)
        await change(path, adding("c", 0))
        write_cluster(path, old)
        config, _ = await change(path, adding("d", 1))
        assert (config.revision, list(config.nodes)) == (2, ["a", "b", "c", "d"])
        assert load_cluster(path) == config


async def test_a_file_from_the_future_is_refused(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (path, nodes):
        write_cluster(path, replace(load_cluster(path), revision=7))
        with pytest.raises(ConfigError, match="the cluster knows of 0 only"):
            await change(path, adding("c", 0))
        assert nodes["a"].status().revision == 0


async def test_only_a_node_without_replicas_may_go(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (path, nodes):
        async with Router.open(path) as db:  # every group has a leader then
            await db.wait_ready()
        statuses = await node_statuses(load_cluster(path))
        assert "hosts a replica of shard-1" in keeps("shard-1", "a", statuses)
        assert keeps("shard-1", "b", statuses) == ""
        assert "nobody knows" in keeps("shard-1", "b", {**statuses, "a": None})
        config, _ = await change(path, lambda old: replace(old, nodes={"a": old.nodes["a"]}))
        assert list(config.nodes) == ["a"]
        assert nodes["b"].status().revision == 0  # its last word is the one with itself in it
        assert "b" not in nodes["a"]._server.peers


async def test_a_router_learns_of_nodes_that_came_after_it(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (path, _), Router.open(path) as db:
        await change(path, adding("c", 0))
        assert set(await db.status()) == {"a", "b"}
        delivery = db._backend.shards._delivery
        delivery._lost("shard-1")  # as when nobody has the group any more
        async with asyncio.timeout(10):
            while True:
                if set(await db.status()) == {"a", "b", "c"}:
                    break


async def test_new_files_are_accepted_only_where_no_replica_is_left(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (path, nodes):
        async with Router.open(path) as db:
            await db.wait_ready()
        statuses = await node_statuses(load_cluster(path))
        with pytest.raises(ConfigError, match="node a hosts a replica of"):
            await change(path, accepting("a", "0" * 32, statuses))
        with pytest.raises(ConfigError, match="there is no node z"):
            await change(path, accepting("z", "0" * 32, statuses))
        data_id = nodes["b"].status().data_id
        config, _ = await change(path, accepting("b", data_id, statuses))
        assert config.nodes["b"].data_id == data_id
        assert nodes["a"].status().revision == 1
        again, _ = await change(path, accepting("b", data_id, statuses))
        assert again == config
