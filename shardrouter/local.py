"""A whole cluster of your own, for as long as a block of code runs.

    async with LocalCluster(nodes=1, shards=3) as cluster:
        connection = await asyncpg.connect(cluster.dsn)     # any driver, or
        await cluster.router.execute("SELECT 1")            # without one

Made for tests of applications: the nodes are real processes, the router and its PostgreSQL port
run on the event loop that enters the block, and everything is gone when it is left. From code
without an event loop use `shardrouter.blocking.LocalCluster`; pytest has the fixtures of
`shardrouter.pytest_plugin`.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from nodes import local_cluster
from nodes.cluster_file import new_secret, write_cluster
from nodes.config import META_GROUP, ClusterConfig, ConfigError
from nodes.local_cluster import free_ports, new_cluster_config
from shardrouter.access import admit_first
from shardrouter.dsn_file import read_dsn
from shardrouter.pgserver import PgServer
from shardrouter.placement import place_replicas
from shardrouter.router import OPEN_TIMEOUT_S, Router

__all__ = ["LocalCluster"]

MEMORY: Final = Path("/dev/shm")  # noqa: S108 -- not a guess: where Linux keeps files in memory
"""Directories for clusters that keep nothing."""

REPLICAS: Final = 3
"""Of each group, where there are so many nodes."""

CLOSE_GRACE_S: Final = 1.0
"""Running statements may take this long to end when the block is left."""


class LocalCluster:
    """See the module.

    nodes, shards, replicas: how many; replicas are 3 where there are so many nodes. directory:
    where the files are kept, for a look at them afterwards; None: in a directory that is removed
    with the cluster. in_memory: that directory lies in memory, so that no test waits for a disk.
    Attributes, inside the block: `dsn` (a URL for any PostgreSQL driver), `router`
    (`shardrouter.Router`), `file` (its cluster.toml), `config`, `nodes`
    (`nodes.local_cluster.LocalCluster`, to kill and start nodes with).

    Entering raises nodes.config.ConfigError for numbers that do not fit together, and
    nodes.local_cluster.ProcessFailed if a node does not start.
    """

    dsn: str
    router: Router
    file: Path
    config: ClusterConfig
    nodes: local_cluster.LocalCluster

    def __init__(
        self,
        nodes: int = 1,
        shards: int = 3,
        *,
        replicas: int | None = None,
        directory: str | Path | None = None,
        in_memory: bool = False,
    ) -> None:
        self._counts = nodes, shards, min(nodes, REPLICAS) if replicas is None else replicas
        self._directory = None if directory is None else Path(directory)
        self._in_memory = in_memory
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            directory = self._make_directory(stack)
            self.config = self._plan()
            self.file = directory / "cluster.toml"
            write_cluster(self.file, self.config)
            self.nodes = local_cluster.LocalCluster(self.config, directory)
            await stack.enter_async_context(self.nodes)
            await self.nodes.start()
            self.router = await stack.enter_async_context(Router.open(self.file, name="local"))
            listen = self.config.router
            roles = self.router.roles
            server = PgServer(
                self.router.new_session, host=listen.host, port=listen.port, authenticator=roles
            )
            await server.start()
            stack.push_async_callback(server.close, CLOSE_GRACE_S)
            deadline = asyncio.get_running_loop().time() + OPEN_TIMEOUT_S
            await admit_first(roles, self.file, listen, deadline)
            await self.router.wait_ready()
            self.dsn = read_dsn(self.file)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    def _make_directory(self, stack: AsyncExitStack) -> Path:
        if self._directory is not None:
            if self._in_memory:
                raise ConfigError("directory and in_memory exclude each other: choose one.")
            self._directory.mkdir(parents=True, exist_ok=True)
            if any(self._directory.iterdir()):
                raise ConfigError(f"{self._directory} is not empty: name a new directory.")
            return self._directory
        if self._in_memory and not MEMORY.is_dir():
            raise ConfigError(f"in_memory needs {MEMORY}, which this system has not: leave it out.")
        parent = MEMORY if self._in_memory else None
        made = tempfile.TemporaryDirectory(prefix="shardrouter-", dir=parent)
        return Path(stack.enter_context(made))

    def _plan(self) -> ClusterConfig:
        nodes, shards, replicas = self._counts
        if not (nodes >= replicas >= 1 and shards >= 1):
            raise ConfigError(
                f"{nodes} nodes cannot have {shards} shards with {replicas} replicas each."
            )
        names = [f"n{number}" for number in range(1, nodes + 1)]
        groups = [META_GROUP] + [f"shard-{number}" for number in range(1, shards + 1)]
        router_port, *ports = free_ports(nodes + 1)
        return new_cluster_config(
            placement=place_replicas(dict.fromkeys(names, 1), groups, replicas),
            nodes=names,
            ports=ports,
            router_port=router_port,
            secret=new_secret(),
        )
