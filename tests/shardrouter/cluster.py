"""A whole cluster on the test's own event loop: one real node, three shards, real files."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nodes.config import RaftConfig, format_cluster
from nodes.local_cluster import free_ports, new_cluster_config
from nodes.node import Node

GROUPS = ("meta", "shard-1", "shard-2", "shard-3")


@asynccontextmanager
async def one_node(
    directory: Path,
    groups: tuple[str, ...] = GROUPS,
    *,
    resolve_after_ms: int = RaftConfig.resolve_after_ms,
) -> AsyncIterator[Path]:
    """A cluster of one node; yields its cluster.toml."""
    node_port, router_port = free_ports(2)
    config = new_cluster_config(
        placement={group: ["n1"] for group in groups},
        ports=[node_port],
        router_port=router_port,
        raft=RaftConfig(tick_ms=10, election_ticks=10, resolve_after_ms=resolve_after_ms),
    )
    path = directory / "cluster.toml"
    path.write_text(format_cluster(config))
    async with Node(config, "n1", directory / "n1", rng=random.Random(1)):
        yield path
