"""This project's own database under test: nodes, shards, and a router beside every node.

A host is a node, the router beside it and the clients bound to that router. Each host's
processes read a cluster.toml of their own: in it the host's own node has its real address and
every other node the backend's, so that a cut host's router is cut off with it. Where routers are
stations of their own (`backends.stations`), a router reaches every node over the backend.

The only module of the harness that knows this database.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sqlite3
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from typing import Any, ClassVar, Final

from jepsen_like.adapters.database import DatabaseError, Offer, Promise
from jepsen_like.adapters.sql_loading import LOAD_DEADLINE_S, LOADERS, load
from jepsen_like.backends.backend import Backend, Endpoint
from jepsen_like.backends.stations import clients_name, router_name
from jepsen_like.clients import Client, ClientError, SqlClient, connect_sql
from jepsen_like.interpose.instruments import Instruments
from jepsen_like.kernel import kernel
from jepsen_like.load import Call
from jepsen_like.result import ReplicaComparison
from jepsen_like.sim.children import Programs
from jepsen_like.workloads.levels import Levels
from jepsen_like.workloads.workload import SqlCall, Statements, Workload, sql_of
from nodes.client import NodeClient
from nodes.cluster_file import new_secret, write_cluster
from nodes.comparison import compare, describe
from nodes.config import META_GROUP, Address, ClusterConfig, NodeConfig, RaftConfig
from nodes.local_cluster import (
    LocalCluster,
    ManagedProcess,
    ProcessFailed,
    free_ports,
    new_cluster,
)
from shardrouter.dsn_file import USER, new_dsn, new_password
from shardrouter.errors import RouterError
from shardrouter.mover import Mover
from shardrouter.moves import Goal, view_of
from shardrouter.pgwire.scram import SALT_BYTES, make_verifier
from shardrouter.placement import place_replicas
from shardrouter.router import Router

__all__ = ["ShardRouter", "RunningShardRouter", "DEFINITE_CODES"]

NODE_SERVICE: Final = "node"

SQL_SERVICE: Final = "sql"

LOOPBACK: Final = "127.0.0.1"

OWN_PORTS: Final = range(7000, 8000)
"""Taken where hosts have all ports to themselves."""

LEVEL_SETTING: Final = "shardrouter.consistency"
STALENESS_SETTING: Final = "shardrouter.max_staleness"
SNAPSHOT_SETTING: Final = "shardrouter.snapshot"

MAX_STALENESS_S: Final = 0.5
"""Of reads at level `bounded`: what takes several round trips of the longest sweep is not late."""

READY_TIMEOUT_S: Final = 30.0

CALLS_PER_ENTRY: Final = 5.0
"""So many calls fill a log by one of the entries that it keeps, for sure: a third of them read,
writes share entries, and it is cut when there is half as much again."""

OPERATE_TIMEOUT_S: Final = 60.0
"""How long a leadership or a replica may take to move."""

GREET_S: Final = 1.0
"""How long a router may take to greet a client, when it is asked whether it is there."""

COMPARE_TIMEOUT_S: Final = 30.0
"""How long the replicas of one group may take to compare themselves."""

DEFINITE_CODES: Final = frozenset(
    {
        "57014",  # the time was over and nothing was sent
        "57P03",  # not taken
        "53300",  # not taken: too many
        "40001",  # aborted, and recorded as such
        "55P03",  # the same, for a lock
        "0A000",  # refused before anything was sent
        "22",  # a value that does not fit
        "23",  # a constraint
        "42",  # a statement that does not parse or name things that exist
        "54",  # over a limit
    }
)
"""SQLSTATEs, or their classes, with which this database says that nothing has happened and
nothing will (its `errors.DefiniteError`). 08007 is the opposite and stands nowhere here."""


@dataclass(frozen=True)
class ShardRouter:
    """A cluster of `nodes` hosts with `shards` groups of `replicas` each, and `meta`. The last
    `spares` hosts begin without replicas.

    `raft` is what [raft] of its cluster.toml says. `node_command` starts a node, `router_command` a
    router; another program in its place (a mutant) must take the same options.
    """

    nodes: int = 3
    shards: int = 3
    replicas: int = 3
    spares: int = 0
    raft: RaftConfig = field(default_factory=RaftConfig)
    node_command: tuple[str, ...] = field(default=(sys.executable, "-m", "nodes"))
    router_command: tuple[str, ...] = field(default=(sys.executable, "-m", "shardrouter.cli"))
    consistency: str = "linearizable"  # of reads that ask for no other
    snapshot: bool = False  # whether a linearizable read over several shards is of one instant
    instruments: Instruments | None = field(default=None, repr=False, compare=False)

    levels: ClassVar[Mapping[str, str]] = {
        "linearizable": "PC/EC",
        "lease": "PC/EC",
        "session": "PA/EL",
        "bounded": "PC/EL",
        "any": "PA/EL",
    }
    promises: ClassVar[Mapping[str, Promise]] = {
        "session": Promise(keeps_sessions=True),
        "bounded": Promise(max_staleness_ns=round(MAX_STALENESS_S * 1e9)),
    }
    happenings: ClassVar[Mapping[str, Sequence[str]]] = {
        "elections": ("leads group ",),
        "snapshots": (" goes on from a snapshot of index ",),
        "membership changes": (", written to by node ", " is removed"),
    }
    tells_definite_errors: ClassVar[bool] = True  # by their SQLSTATEs
    writes: ClassVar[str] = "PC/EC"
    group: ClassVar[str] = "shard-1"

    def brought_by_moves(self, calls: float) -> Sequence[str]:
        """A replica that moves needs a snapshot only of a group that has cut its log."""
        has_cut = calls > CALLS_PER_ENTRY * self.raft.log_entries
        return ("membership changes", *(("snapshots",) if has_cut else ()))

    @classmethod
    def with_leases(cls) -> ShardRouter:
        """With what every level needs to be what it is."""
        return cls(raft=RaftConfig(lease_reads=True))

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(f"n{i}" for i in range(1, self.nodes + 1))

    @property
    def offers(self) -> frozenset[Offer]:
        return frozenset(Offer) - ({Offer.ROOM} if self.nodes <= self.replicas else set())

    def preloaded(self, instruments: Instruments) -> ShardRouter:
        return replace(self, instruments=instruments)

    @property
    def groups(self) -> tuple[str, ...]:
        return (META_GROUP, *(f"shard-{i}" for i in range(1, self.shards + 1)))

    def programs(self) -> Programs:
        from jepsen_like.adapters.shardrouter_programs import PROGRAMS

        return PROGRAMS

    def describe(self) -> dict[str, Any]:
        return {
            "database": "shardrouter",
            "nodes": self.nodes,
            "shards": self.shards,
            "replicas": self.replicas,
            "spares": self.spares,
            "raft": asdict(self.raft),
            "consistency": self.consistency,
            "snapshot": self.snapshot,
            "node_command": _in_short(self.node_command),
            "router_command": _in_short(self.router_command),
        }

    def versions(self) -> dict[str, str]:
        return {
            "shardrouter": version("shardrouter"),
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "asyncpg": version("asyncpg"),
        }

    async def start(
        self, backend: Backend, directory: Path, say: Callable[[str], None]
    ) -> RunningShardRouter:
        ports = OWN_PORTS[: self.nodes + 1] if backend.has_own_ports else free_ports(self.nodes + 1)
        first = dict.fromkeys(self.hosts[: self.nodes - self.spares], 1)
        config = new_cluster(
            nodes={
                host: Address(backend.address(host), port)
                for host, port in zip(self.hosts, ports[1:], strict=True)
            },
            placement=place_replicas(first, self.groups, self.replicas),
            router=Address(LOOPBACK, ports[0]),  # of each host's own loopback
            raft=self.raft,
            secret=new_secret(),
        )
        views = await _views(config, backend)
        config = await _seen_by_the_harness(config, backend)

        def start_node(host: str, argv: Sequence[str]) -> Sequence[str]:
            data = directory / host / "data"
            return backend.command(host, self._with_library(host, data, argv))

        cluster = LocalCluster(
            config, directory, node_command=self.node_command, views=views, command_on=start_node
        )
        routers = {}
        password = new_password()
        for host in self.hosts:
            name = router_name(host)
            station = _router_station(host, backend)
            options = _router_options(name, views[station], directory / name, password)
            argv = [*self.router_command, *options]
            command = backend.command(station, self._with_library(name, directory / name, argv))
            log = directory / name / "router.log"
            routers[host] = ManagedProcess(name, command, log_path=log)
        running = RunningShardRouter(
            config,
            cluster,
            Routers(routers, backend, password),
            directory / "cluster.toml",
            {
                LEVEL_SETTING: self.consistency,
                STALENESS_SETTING: f"{round(MAX_STALENESS_S * 1000)}ms",
                SNAPSHOT_SETTING: "on" if self.snapshot else "off",
            },
        )
        try:
            await running.boot(say)
        except (ProcessFailed, TimeoutError, RouterError, ClientError) as exc:
            await running.stop()
            why = str(exc) or "not every group has a leader"
            raise DatabaseError(f"the cluster did not start: {why}") from exc
        except BaseException:
            await running.stop()
            raise
        return running

    def _with_library(self, process: str, data: Path, argv: Sequence[str]) -> Sequence[str]:
        if self.instruments is None:
            return argv
        return self.instruments.command(process, data, argv)


async def _views(config: ClusterConfig, backend: Backend) -> dict[str, ClusterConfig]:
    """What the processes of each station believe: its own node is here, the others behind links."""
    stations = {*config.nodes, *(_router_station(host, backend) for host in config.nodes)}
    nodes: dict[str, dict[str, NodeConfig]] = {station: {} for station in stations}
    for host, node in config.nodes.items():
        dial = await backend.expose(host, NODE_SERVICE, (node.address.host, node.address.port))
        for source in stations:
            address = node.address if source == host else Address(*dial[source])
            nodes[source][host] = replace(node, address=address)
    return {station: replace(config, nodes=nodes[station]) for station in stations}


def _router_station(host: str, backend: Backend) -> str:
    name = router_name(host)
    return name if name in backend.layout.stations else host


async def _seen_by_the_harness(config: ClusterConfig, backend: Backend) -> ClusterConfig:
    """The same cluster with addresses that are dialed past all links."""
    nodes = {}
    for host, node in config.nodes.items():
        reached = await backend.reach(host, (node.address.host, node.address.port))
        nodes[host] = replace(node, address=Address(*reached))
    return replace(config, nodes=nodes)


def _in_short(command: Sequence[str]) -> str:
    return " ".join(Path(word).name for word in command)


def _router_options(name: str, view: ClusterConfig, directory: Path, password: str) -> list[str]:
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "cluster.toml"
    write_cluster(file, view)
    new_dsn(file, view.router, password)
    options = ["serve", "--cluster", str(file), "--name", name]
    return [*options, "--port", "0", "--no-tls", "--exit-with-stdin"]


def at_levels(
    to_sql: Callable[[Call], Statements], workloads: Sequence[Workload]
) -> Callable[[Call], Statements]:
    """The same, with the level that a call asks for at the head of its statement."""
    asking = {w.name: w for w in workloads if isinstance(w, Levels)}

    def at_level(call: Call) -> Statements:
        statements = to_sql(call)
        workload = asking.get(call.workload)
        level = "" if workload is None else workload.level_of(call)
        if not level:
            return statements
        assert isinstance(statements, SqlCall), "a level is that of one read"
        return replace(statements, text=f"/*+ consistency={level} */ {statements.text}")

    return at_level


class RunningShardRouter:
    """The processes of one cluster, and questions to them."""

    def __init__(
        self,
        config: ClusterConfig,
        cluster: LocalCluster,
        routers: Routers,
        direct_file: Path,
        settings: Mapping[str, str],
    ) -> None:
        self._config = config
        self._settings = settings  # of each client
        self._cluster = cluster
        self.routers = routers
        self.direct_file = direct_file
        """A cluster.toml with addresses past all links."""

    async def boot(self, say: Callable[[str], None]) -> None:
        """Nodes and routers side by side: importing is what takes their time."""
        write_cluster(self.direct_file, self._config)
        say(f"starting {len(self._config.nodes)} nodes and a router beside each")
        await self.routers.start()
        await self._cluster.start()
        leaders = await self._cluster.wait_for_leaders(READY_TIMEOUT_S)
        for host in self._config.nodes:
            await self.routers.wait_ready(host)
        if not kernel().simulates:  # there nobody waits for a CPU
            await self.routers.ease_logins(next(iter(self._config.nodes)))
        led = ", ".join(f"{group} by {host}" for group, host in sorted(leaders.items()))
        say(f"ready; led: {led}")

    async def prepare(self, workload: Workload, keys: Sequence[int]) -> None:
        async with AsyncExitStack() as stack:
            clients = []
            for host in islice(cycle(self._config.nodes), LOADERS):
                client = await self._connect(host, sql_of([workload]), LOAD_DEADLINE_S)
                stack.callback(client.abort)
                clients.append(client)
            await load(clients, workload, keys)

    async def connect(self, host: str, workloads: Sequence[Workload], deadline_s: float) -> Client:
        """One session for the calls of all levels: what it has seen binds those that promise so."""
        to_sql = at_levels(sql_of(workloads), workloads)
        return await self._connect(host, to_sql, deadline_s, self._settings)

    async def _connect(
        self,
        host: str,
        to_sql: Callable[[Call], Statements],
        deadline_s: float,
        settings: Mapping[str, str] | None = None,
    ) -> SqlClient:
        return await self.routers.connect(host, to_sql, deadline_s, settings)

    async def leaders(self) -> Mapping[str, str]:
        return await self._cluster.leaders()

    async def claims(self, host: str) -> Mapping[str, int] | None:
        status = await self._cluster.status_of(host)
        if status is None:
            return None
        return {r.group: r.term for r in status.replicas if r.role == "leader"}

    async def groups_of(self, workload: Workload, keys: Collection[int]) -> Mapping[int, str]:
        try:
            async with Router.open(self.direct_file, name="jepsen-like") as router:
                return {key: (await router.where(workload.table, key)).shard for key in keys}
        except RouterError as exc:
            raise DatabaseError(f"the cluster does not say where keys are: {exc}") from exc

    async def voters(self, group: str) -> Sequence[str]:
        view = view_of(group, await self._cluster.status())
        return sorted(seat.node for seat in view.voters)

    async def transfer(self, group: str, to: str) -> None:
        await self._reach(group, Goal(leader=to))

    async def move_replica(self, group: str, source: str, to: str) -> None:
        await self._reach(group, Goal(on=frozenset([to]), off=frozenset([source])))

    async def _reach(self, group: str, goal: Goal) -> None:
        until = asyncio.get_running_loop().time() + OPERATE_TIMEOUT_S
        async with Mover(self._config, report=lambda group, move: None) as mover:
            end = await mover.reach(group, goal, until)
        if not end.reached:
            raise DatabaseError(end.what)

    async def compare_replicas(self) -> ReplicaComparison:
        """By a CHECKSUM entry in the log of each group."""
        differences: list[str] = []
        silent: list[str] = []
        replicas = 0
        async with AsyncExitStack() as stack:
            clients = {}
            for name in self._config.nodes:
                client = NodeClient.to(name, self._config, name="jepsen-like")
                stack.push_async_callback(client.close)
                clients[name] = client
            for group in self._config.groups:
                voters = await self.voters(group)
                mine = {host: clients[host] for host in voters}
                found = await compare(group, mine, timeout_s=COMPARE_TIMEOUT_S)
                if isinstance(found, str):
                    silent.append(found)
                    continue
                replicas += len(found.compared)
                differences += [describe(group, difference) for difference in found.differences]
                silent += [f"{group} on {host}: {why}" for host, why in found.silent.items()]
        return ReplicaComparison(replicas, tuple(differences), tuple(silent))

    def data_directory(self, host: str) -> Path:
        return self._cluster.directory / host / "data"

    def pid(self, host: str) -> int:
        return self._cluster.node(host).pid

    async def answering_pid(self, host: str) -> int | None:
        status = (await self._cluster.status())[host]
        return None if status is None else status.pid

    async def restart(self, host: str) -> None:
        await self._cluster.node(host).wait()
        try:
            await self._cluster.start_node(host)
        except ProcessFailed as exc:
            raise DatabaseError(f"node {host} did not start again: {exc}") from exc

    async def stop(self) -> None:
        await asyncio.gather(
            self.routers.stop(),
            self._cluster.stop(),
        )


class Routers:
    """The router of each host."""

    def __init__(
        self, processes: Mapping[str, ManagedProcess], backend: Backend, password: str
    ) -> None:
        self._processes = processes
        self._password = password
        self._backend = backend
        self._ports: dict[str, int] = {}  # as the router itself sees them
        self._reached: dict[str, Endpoint] = {}  # past all links
        self._dialed: dict[str, Endpoint] = {}  # by clients of the host

    async def start(self) -> None:
        for process in self._processes.values():
            await process.start()

    async def wait_ready(self, host: str) -> None:
        ready = await self._processes[host].wait_ready(READY_TIMEOUT_S)
        address = Address.parse(ready, f"the router of {host}")
        endpoint = (address.host, address.port)
        station, clients = _router_station(host, self._backend), clients_name(host)
        self._ports[host] = address.port
        self._reached[host] = self._dialed[host] = await self._backend.reach(station, endpoint)
        if clients in self._backend.layout.stations:
            dial = await self._backend.expose(station, SQL_SERVICE, endpoint)
            self._dialed[host] = await self._backend.reach(clients, dial[clients])

    async def ease_logins(self, host: str) -> None:
        """Let the proof of the password cost clients nothing. Its iterations are against those who
        guess, and nobody guesses what was drawn at random; but to the clients, which share the
        machine with the database, they are most of what a connection costs, and all of them lose
        theirs together."""
        verifier = make_verifier(self._password, os.urandom(SALT_BYTES), iterations=1)
        client = await self._connect(self._reached[host], sql_of([]), LOAD_DEADLINE_S)
        try:
            await client.load(SqlCall(f"ALTER ROLE {USER} PASSWORD '{verifier}'", (), "done"))
        finally:
            client.abort()

    async def connect(
        self,
        host: str,
        to_sql: Callable[[Call], Statements],
        deadline_s: float,
        settings: Mapping[str, str] | None = None,
    ) -> SqlClient:
        return await self._connect(self._dialed[host], to_sql, deadline_s, settings)

    async def _connect(
        self,
        endpoint: Endpoint,
        to_sql: Callable[[Call], Statements],
        deadline_s: float,
        settings: Mapping[str, str] | None = None,
    ) -> SqlClient:
        return await connect_sql(
            *endpoint,
            to_sql,
            user=USER,
            password=self._password,
            database=USER,
            deadline_s=deadline_s,
            definite_codes=DEFINITE_CODES,
            settings=settings,
        )

    def pid(self, host: str) -> int:
        return self._processes[host].pid

    async def answering_pid(self, host: str) -> int | None:
        """The PostgreSQL protocol does not tell it: one that greets a client, and of which the
        kernel says that it listens there."""
        try:
            client = await self._connect(self._reached[host], sql_of([]), GREET_S)
        except ClientError:
            return None
        client.abort()
        pid = self.pid(host)
        return pid if kernel().listens(pid, self._ports[host]) else None

    async def restart(self, host: str) -> None:
        process = self._processes[host]
        await process.wait()
        try:
            await process.start()
            await self.wait_ready(host)
        except ProcessFailed as exc:
            raise DatabaseError(f"the router of {host} did not start again: {exc}") from exc

    async def stop(self) -> None:
        await asyncio.gather(*(process.terminate() for process in self._processes.values()))
