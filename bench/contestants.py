"""Who is asked: this database, and what a user would take instead, each on loopback.

A contestant that has started says which processes it is made of and what it does with a write
before it acknowledges it. Those of one question run side by side for all of it, and take turns in
being loaded: what one costs at rest is in the figures of all.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from bench.raft_systems import ETCD_MISSING, running_etcd, running_stock
from nodes.cluster_file import load_cluster
from nodes.local_cluster import free_ports
from shardrouter.router import node_statuses
from tests.suites.postgres import PostgresMissing, find_programs, running_postgres, running_standby

__all__ = [
    "ETCD",
    "OURS",
    "POSTGRES",
    "PYSYNCOBJ",
    "STANDBY",
    "Contestant",
    "Started",
    "ours",
    "running_up",
]


@dataclass(frozen=True)
class Started:
    """A contestant that runs."""

    name: str
    address: str
    """Where clients go: a DSN, or HOST:PORT."""
    roots: dict[str, int]
    """Its processes, by name; each with its children."""
    directories: tuple[Path, ...] = field(default=())
    """Where its data is."""


@dataclass(frozen=True)
class Contestant:
    name: str
    speaks: Literal["sql", "etcd", "stock"]
    durability: str
    start: Callable[[Path], AbstractAsyncContextManager[Started]]
    missing: Callable[[], str] = lambda: ""
    """What to install, if it cannot be started."""


@asynccontextmanager
async def running_up(
    directory: Path, name: str, *, shards: int = 1, nodes: int = 3, replicas: int = 3
) -> AsyncIterator[Started]:
    """`shardrouter up` in a new directory."""
    [port] = free_ports(1)
    shape = ("--nodes", str(nodes), "--shards", str(shards), "--replicas", str(replicas))
    up = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shardrouter.cli", "up", str(directory), *shape),
        *("--port", str(port)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert up.stdout is not None
    assert up.stderr is not None
    try:
        if not (await up.stdout.readline()).startswith(b"ready: "):
            raise RuntimeError((await up.stderr.read()).decode(errors="replace"))
        # Without TLS: what is measured is the database, and clients of a bench are local.
        dsn = (directory / "dsn").read_text().strip() + "?sslmode=disable"
        config = load_cluster(directory / "cluster.toml")
        statuses = await node_statuses(config, timeout=5)
        pids = {node: status.pid for node, status in statuses.items() if status}
        data = tuple(directory / node / "data" for node in config.nodes)
        yield Started(name, dsn, {"router": up.pid, **pids}, data)
    finally:
        if up.returncode is None:
            up.terminate()
        await up.communicate()


def ours(shards: int = 1, name: str = "shardrouter") -> Contestant:
    """This database, with three nodes and three replicas of all."""
    return Contestant(
        name,
        "sql",
        f"{shards} shard{'s' if shards > 1 else ''} of 3 replicas: log fsynced by a majority, "
        "exactly once, applied to SQLite",
        lambda directory: running_up(directory / "cluster", name, shards=shards),
    )


OURS: Final = ours()

_DURABLE: Final = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "autovacuum": "on",
    "shared_buffers": "256MB",
    "max_connections": "600",
}


def _postgres_missing() -> str:
    try:
        find_programs()
    except PostgresMissing as exc:
        return str(exc)
    return ""


@asynccontextmanager
async def _postgres(name: str, *, with_standby: bool) -> AsyncIterator[Started]:
    with ExitStack() as stack:
        primary = stack.enter_context(running_postgres(**_DURABLE))
        roots = {"primary": primary.pid}
        directories = [primary.log.parent / "data"]
        if with_standby:
            standby = stack.enter_context(running_standby(primary, **_DURABLE))
            roots["standby"] = standby.pid
            directories.append(standby.log.parent / "data")
        yield Started(name, primary.dsn + "?sslmode=disable", roots, tuple(directories))


POSTGRES: Final = Contestant(
    "PostgreSQL",
    "sql",
    "one copy: WAL fsynced",
    lambda _: _postgres("PostgreSQL", with_standby=False),
    _postgres_missing,
)
STANDBY: Final = Contestant(
    "PostgreSQL + standby",
    "sql",
    "two copies: WAL fsynced by the primary and by its synchronous standby; no failover",
    lambda _: _postgres("PostgreSQL + standby", with_standby=True),
    _postgres_missing,
)


@asynccontextmanager
async def _etcd(directory: Path) -> AsyncIterator[Started]:
    async with running_etcd(directory) as running:
        names = ("leader", "follower 1", "follower 2")
        roots = dict(zip(names, running.pids, strict=True))
        yield Started("etcd", running.leader, roots, (directory,))


ETCD: Final = Contestant(
    "etcd",
    "etcd",
    "3 copies: log fsynced by a majority; versioned keys in bbolt",
    _etcd,
    lambda: "" if shutil.which("etcd") else ETCD_MISSING,
)


@asynccontextmanager
async def _stock(directory: Path) -> AsyncIterator[Started]:
    async with running_stock(directory) as running:
        names = ("leader", "follower 1", "follower 2")
        yield Started(
            "pysyncobj", running.leader, dict(zip(names, running.pids, strict=True)), (directory,)
        )


PYSYNCOBJ: Final = Contestant(
    "pysyncobj",
    "stock",
    "3 copies, as shipped: the log in memory, nothing fsynced; SQLite",
    _stock,
)
