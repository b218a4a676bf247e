"""Who is asked: this database, and what a user would take instead, each on loopback.

A contestant that has started says which processes it is made of and what it does with a write
before it acknowledges it. Those of one question run side by side for all of it, and take turns in
being loaded: what one costs at rest is in the figures of all. One that is restless, that takes much
of a core with nothing to do, runs for its own turns only.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.clusters import running_up
from bench.raft_systems import (
    ETCD_MISSING,
    RQLITE_MISSING,
    Running,
    running_etcd,
    running_nodes_of,
    running_rqlite,
    running_stock,
)
from tests.suites.postgres import PostgresMissing, find_programs, running_postgres, running_standby

__all__ = [
    "BARE_CORE",
    "CORE",
    "ETCD",
    "MAJORITY",
    "OURS",
    "PEERS",
    "POSTGRES",
    "PYSYNCOBJ",
    "PYSYNCOBJ_INSIDE",
    "RQLITE",
    "STANDBY",
    "Contestant",
    "Started",
    "ours",
]

MAJORITY: Final = "2 of 3"


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
    cluster_id: str = "-"
    """What nodes want to hear from who talks to them without a router."""
    pages: tuple[str, ...] = ()
    """The URLs of its nodes' /metrics, if it was started with them."""

    @property
    def speaks_sql(self) -> bool:
        return self.address.startswith("postgresql:")


@dataclass(frozen=True)
class Contestant:
    name: str
    durability: str
    fsynced: str
    """Of how many copies, how many have a write on disk before it is acknowledged."""
    start: Callable[[Path], AbstractAsyncContextManager[Started]]
    """In an empty directory."""
    missing: Callable[[], str] = lambda: ""
    """What to install, if it cannot be started."""
    is_restless: bool = False


@asynccontextmanager
async def _up(directory: Path, name: str, shards: int, metrics: bool) -> AsyncIterator[Started]:
    async with running_up(directory / "cluster", shards=shards, metrics=metrics) as up:
        data = tuple(directory / "cluster" / node / "data" for node in up.nodes)
        roots = {"router": up.router, **up.nodes}
        yield Started(name, up.dsn, roots, data, pages=up.pages)


def ours(shards: int = 1, name: str = "shardrouter", *, metrics: bool = False) -> Contestant:
    """This database, with three nodes and three replicas of all."""
    return Contestant(
        name,
        f"{shards} shard{'s' if shards > 1 else ''} of 3 replicas: log fsynced by a majority, "
        "exactly once, applied to SQLite",
        MAJORITY,
        lambda directory: _up(directory, name, shards, metrics),
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
    "one copy: WAL fsynced",
    "1 of 1",
    lambda _: _postgres("PostgreSQL", with_standby=False),
    _postgres_missing,
)
STANDBY: Final = Contestant(
    "PostgreSQL + standby",
    "two copies: WAL fsynced by the primary and by its synchronous standby; no failover",
    "2 of 2",
    lambda _: _postgres("PostgreSQL + standby", with_standby=True),
    _postgres_missing,
)

_MEMBERS: Final = ("leader", "follower 1", "follower 2")


def _of_members(
    name: str,
    durability: str,
    running: Callable[[Path], AbstractAsyncContextManager[Running]],
    program: str = "",
    missing: str = "",
    *,
    fsynced: str = MAJORITY,
    is_restless: bool = False,
) -> Contestant:
    """Three processes, of which one leads and is asked. `program` has to be on PATH."""

    @asynccontextmanager
    async def start(directory: Path) -> AsyncIterator[Started]:
        async with running(directory) as members:
            roots = dict(zip(_MEMBERS, members.pids, strict=True))
            yield Started(name, members.leader, roots, (directory,), members.cluster_id or "-")

    def lacking() -> str:
        return missing if program and shutil.which(program) is None else ""

    return Contestant(name, durability, fsynced, start, lacking, is_restless)


ETCD: Final = _of_members(
    "etcd",
    "3 copies: log fsynced by a majority; versioned keys in bbolt",
    running_etcd,
    "etcd",
    ETCD_MISSING,
)
RQLITE: Final = _of_members(
    "rqlite",
    "3 copies: log fsynced by a majority; applied to SQLite, which is made anew from it",
    running_rqlite,
    "rqlited",
    RQLITE_MISSING,
)
PYSYNCOBJ: Final = _of_members(
    "pysyncobj, no fsync",
    "3 copies, as shipped: the log in memory, nothing fsynced; SQLite",
    running_stock,
    fsynced="none of 3",
    is_restless=True,
)
PEERS: Final = tuple(c.name for c in (STANDBY, POSTGRES, ETCD, RQLITE, PYSYNCOBJ))
"""Who is not ours, by the beginning of the names of lines."""

CORE: Final = _of_members(
    "core",
    "a node of this database without a router: log fsynced by a majority; SQLite, exactly once, "
    "SQL checked",
    running_nodes_of("core"),
)
BARE_CORE: Final = _of_members(
    "core, bare",
    "as core, but of a command only its SQL, as pysyncobj's node does",
    running_nodes_of("core, bare"),
)
PYSYNCOBJ_INSIDE: Final = _of_members(
    "pysyncobj in our nodes",
    "as core, around the consensus of pysyncobj",
    running_nodes_of("pysyncobj"),
    is_restless=True,
)
