"""This database as a suite finds it: three node processes, a router process, their logs whole.

async with served(shards=3) as database:
    ... database.dsn ...
    print(await database.audit())
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from nodes.cluster_file import new_secret, write_cluster
from nodes.config import META_GROUP, ClusterConfig, RaftConfig
from nodes.local_cluster import LocalCluster, ManagedProcess, free_ports, new_cluster_config
from shardrouter.cli.up import connectable
from shardrouter.router import Router
from tests.suites.keeping_node import NEVER
from tests.suites.replay import compare_replicas, replay_log

__all__ = ["Served", "served"]

NODES = ("n1", "n2", "n3")

KEEPING_NODE = (sys.executable, "-m", "tests.suites.keeping_node")


class Served:
    """A database that runs; made by `served` only."""

    def __init__(
        self, config: ClusterConfig, directory: Path, cluster: LocalCluster, placement: str
    ) -> None:
        self.config = config
        self.directory = directory
        self._cluster = cluster
        self._placement = placement

    @property
    def port(self) -> int:
        return self.config.router.port

    @property
    def dsn(self) -> str:
        return connectable(self.directory / "cluster.toml")

    @property
    def password(self) -> str:
        """Of the role shardrouter."""
        return unquote(urlsplit(self.dsn).password or "")

    @property
    def setup(self) -> str:
        """What a suite says first: where tables are that do not say it themselves."""
        return f"SET default_placement = '{self._placement}'"

    async def home(self) -> str:
        """The shard that holds all tables that are whole on one."""
        async with Router.open(self.directory / "cluster.toml", name="suite") as router:
            return router._backend.schema.catalog.home

    async def kill_leader(self, group: str) -> str:
        """SIGKILL the node that leads `group`; returns its name once another one leads all."""
        leaders = await self._cluster.wait_for_leaders()
        node = leaders[group]
        self._cluster.kill_node(node)
        await self._cluster.node(node).wait()
        await self._cluster.wait_for_leaders(other_than=node)
        return node

    async def start_node(self, name: str) -> None:
        await self._cluster.start_node(name)

    async def audit(self) -> str:
        """Compare all replicas, stop the nodes, replay a leader's log into new replicas; returns
        what was found, in one sentence. Raises replay.Disagreement."""
        await self._cluster.wait_for_leaders()
        agreed = await compare_replicas(self.config)
        leaders = await self._cluster.wait_for_leaders()
        await self._cluster.stop()
        entries = 0
        for node in sorted(set(leaders.values())):
            own = [one for one in agreed if leaders[one.group] == node]
            data = self.directory / node / "data"
            scratch = self.directory / f"replay-{node}"
            entries += await asyncio.to_thread(replay_log, self.config, node, data, scratch, own)
        rows = sum(one.rows for one in agreed)
        return (
            f"{len(agreed)} groups: {len(NODES)} replicas of each are equal ({rows} rows), and so "
            f"is one that replays the log from its first entry ({entries} entries)"
        )


@asynccontextmanager
async def served(shards: int = 3, placement: str = "home") -> AsyncIterator[Served]:
    """A new database, stopped and removed at the end. `placement` is that of tables that say
    nothing. Raises nodes.local_cluster.ProcessFailed."""
    *ports, router_port = free_ports(len(NODES) + 1)
    groups = (META_GROUP, *(f"shard-{number}" for number in range(1, shards + 1)))
    config = new_cluster_config(
        placement={
            group: [NODES[(i + j) % len(NODES)] for j in range(len(NODES))]
            for i, group in enumerate(groups)
        },
        ports=ports,
        router_port=router_port,
        raft=RaftConfig(log_entries=NEVER),
        secret=new_secret(),
    )
    with tempfile.TemporaryDirectory(prefix="suite-") as name:
        directory = Path(name)
        file = directory / "cluster.toml"
        write_cluster(file, config)
        router = ManagedProcess(
            "router",
            [
                *(sys.executable, "-m", "shardrouter.cli", "serve", "--cluster", str(file)),
                "--exit-with-stdin",
            ],
            log_path=directory / "router.log",
        )
        async with LocalCluster(config, directory, node_command=KEEPING_NODE) as cluster:
            await cluster.start()
            await router.start()
            try:
                await router.wait_ready()
                yield Served(config, directory, cluster, placement)
            finally:
                await router.terminate()
