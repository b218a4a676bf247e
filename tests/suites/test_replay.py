"""The log alone makes the rows again; a row that did not come from it is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nodes.cluster_file import load_cluster
from nodes.config import ClusterConfig
from nodes.node import Node
from shardrouter.router import Router
from tests.shardrouter.cluster import one_node
from tests.suites.replay import Agreement, Disagreement, compare_replicas, replay_log


async def filled(directory: Path) -> ClusterConfig:
    """A node's files with a table of 50 rows over three shards."""
    async with one_node(directory) as path, Router.open(path) as db:
        await db.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
        for key in range(50):
            await db.execute("INSERT INTO t VALUES ($1, $2)", key, f"v{key}")
        return load_cluster(path)


async def agreed(config: ClusterConfig, directory: Path) -> list[Agreement]:
    async with Node(config, "n1", directory / "n1"):
        async with Router.open(directory / "cluster.toml") as db:
            await db.wait_ready()
        return await compare_replicas(config)


async def test_a_replica_made_from_the_log_alone_has_the_same_checksum(tmp_path: Path) -> None:
    config = await filled(tmp_path)
    found = await agreed(config, tmp_path)
    assert {one.group for one in found} == set(config.groups)
    assert sum(one.rows for one in found) >= 50
    entries = replay_log(config, "n1", tmp_path / "n1", tmp_path / "again", found)
    assert entries == sum(one.index for one in found)


async def test_a_table_that_the_log_does_not_make_is_named(tmp_path: Path) -> None:
    config = await filled(tmp_path)
    found = await agreed(config, tmp_path)
    at = next(at for at, one in enumerate(found) if one.group == "shard-2")
    found[at] = replace(found[at], roots={**found[at].roots, "t": b"another"})
    with pytest.raises(Disagreement, match=r"shard-2: a replica that replays .* differs .* in t$"):
        replay_log(config, "n1", tmp_path / "n1", tmp_path / "again", found)
