"""The one way in which benchmarks start this database: node processes on this machine, with a
router in this process, with one of its own, or all of it as `shardrouter up` does.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodes.cluster_file import load_cluster, write_cluster
from nodes.config import ClusterConfig
from nodes.local_cluster import LocalCluster, ManagedProcess, free_ports, new_cluster_config
from shardrouter.placement import place_replicas
from shardrouter.router import Router, node_statuses

__all__ = [
    "CLIENT",
    "NODES",
    "WITHOUT_TLS",
    "Running",
    "Up",
    "new_config",
    "routed",
    "router_process",
    "running_nodes",
    "running_up",
]

NODES: Final = ("n1", "n2", "n3")
CLIENT: Final = "client"
"""Who reads cluster.toml beside the nodes: routers. A name for `views`."""

WITHOUT_TLS: Final = "?sslmode=disable"
"""What is measured is the database, and clients of a bench are local."""


@dataclass(frozen=True)
class Running:
    cluster: LocalCluster
    path: Path
    """Of the cluster.toml that routers read."""

    @property
    def pids(self) -> dict[str, int]:
        return {name: self.cluster.node(name).pid for name in self.cluster.config.nodes}


@dataclass(frozen=True)
class Up:
    """What `shardrouter up` has started."""

    dsn: str
    router: int
    """Process id."""
    nodes: dict[str, int]
    """Name -> process id."""
    pages: tuple[str, ...] = ()
    """The URLs of the nodes' /metrics, if they were asked for."""


def new_config(
    shards: int,
    nodes: Sequence[str] = NODES,
    replicas: int = 3,
    *,
    placement: Mapping[str, Sequence[str]] | None = None,
) -> ClusterConfig:
    """A new cluster as `shardrouter up` would make it, on free ports; or with the replicas of
    `placement`, group -> nodes, the preferred leader first."""
    if placement is None:
        groups = ("meta", *(f"shard-{number}" for number in range(1, shards + 1)))
        placement = place_replicas(dict.fromkeys(nodes, 1), groups, replicas)
    *ports, router_port = free_ports(len(nodes) + 1)
    return new_cluster_config(placement=placement, ports=ports, router_port=router_port)


@asynccontextmanager
async def running_nodes(
    directory: Path,
    config: ClusterConfig,
    *,
    views: Mapping[str, ClusterConfig] | None = None,
    node_command: Sequence[str] = (sys.executable, "-m", "nodes"),
) -> AsyncIterator[Running]:
    """Its nodes, each listening. `views` says what each node believes, and CLIENT what routers
    do."""
    directory.mkdir(exist_ok=True)  # noqa: ASYNC240 -- before anything runs
    path = directory / "cluster.toml"
    write_cluster(path, (views or {}).get(CLIENT, config))
    async with LocalCluster(config, directory, views=views, node_command=node_command) as cluster:
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


@asynccontextmanager
async def router_process(
    running: Running,
    command: Sequence[str] = (sys.executable, "-m", "shardrouter.cli"),
    options: Sequence[str] = (),
) -> AsyncIterator[tuple[str, ManagedProcess]]:
    """`shardrouter serve` for nodes that run, with more options: (DSN, its process)."""
    directory = running.path.parent
    [port] = free_ports(1)
    argv = (*command, "serve", "--cluster", str(running.path), "--port", str(port), *options)
    process = ManagedProcess(
        "router", (*argv, "--exit-with-stdin"), log_path=directory / "router.log"
    )
    await process.start()
    try:
        await process.wait_ready()
        dsn = (directory / "dsn").read_text().strip()
        yield _at_port(dsn, port) + WITHOUT_TLS, process
    finally:
        await process.terminate()


def _at_port(dsn: str, port: int) -> str:
    """The file `dsn` names the router of cluster.toml; this one listens elsewhere."""
    address, _, database = dsn.rpartition("/")
    return f"{address.rpartition(':')[0]}:{port}/{database}"


@asynccontextmanager
async def running_up(
    directory: Path, *, shards: int = 1, nodes: int = 3, replicas: int = 3, metrics: bool = False
) -> AsyncIterator[Up]:
    """`shardrouter up` in a new directory; with /metrics or without."""
    port, page = free_ports(2)
    shape = ["--nodes", str(nodes), "--shards", str(shards), "--replicas", str(replicas)]
    if metrics:
        shape += ["--metrics-port", str(page)]
    log = directory.with_name(f"{directory.name}.log")
    with log.open("wb") as errors:
        up = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "shardrouter.cli", "up", str(directory), *shape),
            *("--port", str(port)),
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is heard here only: shutdown has one conductor
        )
    assert up.stdout is not None
    try:
        if not (await up.stdout.readline()).startswith(b"ready: "):
            raise RuntimeError(log.read_text(errors="replace"))
        dsn = (directory / "dsn").read_text().strip() + WITHOUT_TLS
        config = load_cluster(directory / "cluster.toml")
        statuses = await node_statuses(config, timeout=5)
        addresses = [node.metrics for node in config.nodes.values() if node.metrics]
        yield Up(
            dsn,
            up.pid,
            {node: status.pid for node, status in statuses.items() if status},
            tuple(f"http://{address}/metrics" for address in addresses),
        )
    finally:
        if up.returncode is None:
            up.terminate()
        await up.communicate()
