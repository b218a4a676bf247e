"""Node processes on this machine and the embedded router, for what is measured without a wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodes.config import ClusterConfig, format_cluster
from nodes.local_cluster import LocalCluster, free_ports, new_cluster_config
from shardrouter.placement import place_replicas
from shardrouter.router import Router

__all__ = ["NODES", "Running", "new_config", "routed", "running_nodes"]

NODES: Final = ("n1", "n2", "n3")


@dataclass(frozen=True)
class Running:
    cluster: LocalCluster
    path: Path
    """Of the cluster.toml that routers read."""

    @property
    def pids(self) -> dict[str, int]:
        return {name: self.cluster.node(name).pid for name in self.cluster.config.nodes}


def new_config(shards: int, nodes: tuple[str, ...] = NODES, replicas: int = 3) -> ClusterConfig:
    """A new cluster as `shardrouter up` would make it, on free ports."""
    *ports, router_port = free_ports(len(nodes) + 1)
    groups = ("meta", *(f"shard-{number}" for number in range(1, shards + 1)))
    placement = place_replicas(dict.fromkeys(nodes, 1), groups, replicas)
    return new_cluster_config(placement=placement, ports=ports, router_port=router_port)


@asynccontextmanager
async def running_nodes(directory: Path, config: ClusterConfig) -> AsyncIterator[Running]:
    """Its nodes, each listening."""
    path = directory / "cluster.toml"
    path.write_text(format_cluster(config))
    async with LocalCluster(config, directory) as cluster:
        await cluster.start()
        yield Running(cluster, path)


@asynccontextmanager
async def routed(directory: Path, shards: int) -> AsyncIterator[tuple[Running, Router]]:
    """Three nodes with three replicas of each shard, and a router in this process."""
    async with (
        running_nodes(directory, new_config(shards)) as running,
        Router.open(running.path, name="bench") as db,
    ):
        yield running, db
