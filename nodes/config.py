"""`cluster.toml`: the one description of a cluster that every process reads.

    format = 1
    cluster_id = "0b1c..."
    revision = 0
    engine = "core"

    [router]
    address = "127.0.0.1:6433"
    metrics = "127.0.0.1:9433"

    [raft]
    tick_ms = 50
    election_ticks = 8
    lease_reads = false
    log_entries = 10000

    [limits]
    write_ms = 5000
    write_rows = 1000000
    write_bytes = 268435456
    transaction_bytes_max = 268435456

    [verify]
    every_s = 3600

    [nodes.n1]
    address = "127.0.0.1:6434"
    capacity = 1
    metrics = "127.0.0.1:9434"

    [groups.meta]
    replicas = [{ id = 1, node = "n1" }, { id = 2, node = "n2" }, { id = 3, node = "n3" }]

The first replica of a group is the one that should lead it: it stands for election first
when the cluster starts. `engine` says who decides the groups' logs (docs/engines.md).
`metrics`, if it is there, says where a process answers /metrics (docs/operations.md).
`revision` rises with every change that the cluster makes to the file (docs/membership.md).
Everything is checked here, once; inside there are typed values only.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeVar

__all__ = [
    "ConfigError",
    "Address",
    "NodeConfig",
    "Replica",
    "GroupConfig",
    "RaftConfig",
    "WriteLimits",
    "ClusterConfig",
    "ENGINES",
    "META_GROUP",
    "NODE_VERBS",
    "REPLICA_CHOICES",
    "parse_cluster",
    "parse_zone",
    "format_cluster",
]

META_GROUP: Final = "meta"
"""Name of the group that holds the catalog; every other group is a shard."""

ENGINES: Final = ("core", "local", "pysyncobj")
"""Who decides a group's log: our Raft core, one replica alone, or pysyncobj."""

NODE_VERBS: Final = ("add", "remove", "drain")
"""What follows `shardrouter node` in the place of a name, so no node may be called so."""

REPLICA_CHOICES: Final = (
    *("nearest", "round_robin", "weighted_round_robin", "least_connections"),
    *("least_latency", "random", "client_hash", "zone"),
)
"""How a router chooses among the replicas that may answer a read; what each does is in
`shardrouter.replica_choice`."""

_FORMAT: Final = 1
_T = TypeVar("_T")
_DATA_ID: Final = re.compile(r"([0-9a-f]{32})?\Z")
_ZONE: Final = re.compile(r"([\w.-]{1,63}(/[\w.-]{1,63}){0,7})?\Z", re.ASCII)
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}\Z")


class ConfigError(Exception):
    """The file does not describe a cluster; the message is a sentence that says what to do."""


@dataclass(frozen=True)
class Address:
    """Where a process listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @staticmethod
    def parse(text: object, where: str) -> Address:
        """`HOST:PORT`; raises ConfigError naming `where`."""
        host, colon, port = str(text).rpartition(":")
        if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ConfigError(f"{where}: {text!r} is not an address; write HOST:PORT.")
        return Address(host.strip("[]"), int(port))


@dataclass(frozen=True)
class NodeConfig:
    name: str
    address: Address
    capacity: int = 1  # relative weight for placing replicas
    drain: bool = False  # it is being emptied: no replica is placed there and it leads nothing
    data_id: str = ""  # whose files it has since it was rebuilt (nodes.whose_files)
    zone: str = ""  # where it is, "eu/paris/a", for routers that prefer what is near
    metrics: Address | None = None  # where it answers /metrics; None: nowhere


@dataclass(frozen=True)
class Replica:
    """A member of a group. Ids are never reused within a group (DESIGN section 5)."""

    id: int
    node: str


@dataclass(frozen=True)
class GroupConfig:
    name: str
    replicas: tuple[Replica, ...]

    @property
    def preferred_leader(self) -> Replica:
        return self.replicas[0]

    def replica_on(self, node: str) -> Replica | None:
        return next((r for r in self.replicas if r.node == node), None)


@dataclass(frozen=True)
class RaftConfig:
    """Times of the consensus. The election timeout is drawn from
    [election_ticks, 1.5 * election_ticks) ticks; a leader sends a heartbeat every tick."""

    tick_ms: int = 50
    election_ticks: int = 8
    lease_reads: bool = False
    """Leaders answer reads without a round while a lease holds (docs/consistency.md). It must be
    the same on all nodes, and be changed while all of them are stopped."""
    clock_drift: float = 0.01
    """How much faster one machine's clock may run than another's: 0.01 is one percent. A clock
    that is worse makes stale reads."""
    lease_margin_ms: int = 10
    """Taken off every lease for whatever else there is."""
    spread_leaders: bool = True
    """Nodes that lead more groups than others hand some over (docs/membership.md)."""
    resolve_after_ms: int = 500
    """How long a transaction over several groups is left to its router before leaders finish it
    (docs/distributed.md)."""
    log_entries: int = 10_000
    """How many entries stay in a log behind what is applied: a peer that was away for a moment
    catches up from the log, one that has missed more is sent the whole data file."""


@dataclass(frozen=True)
class WriteLimits:
    """What one write may cost, tried on the leader before it is proposed (`nodes.dry_run`).
    Keyed point writes and VALUES are bounded by the size of an entry and not tried."""

    write_ms: int = 5_000
    write_rows: int = 1_000_000
    write_bytes: int = 256 * 1024 * 1024  # by which the data file grows
    transaction_bytes_max: int = 256 * 1024 * 1024
    """Of a transaction, in statements, parameters and rows sent ahead. Each stage is held to it."""


@dataclass(frozen=True)
class ClusterConfig:
    cluster_id: str
    nodes: dict[str, NodeConfig]
    groups: dict[str, GroupConfig]
    router: Address
    raft: RaftConfig = field(default_factory=RaftConfig)
    engine: str = ENGINES[0]
    limits: WriteLimits = field(default_factory=WriteLimits)
    verify_every_s: int = 3600
    """How often the replicas of each group are compared; 0 is never."""
    router_metrics: Address | None = None
    """Where a router answers /metrics; None: nowhere, unless it is told."""
    replica_choice: str = REPLICA_CHOICES[0]
    """What routers begin with; each session may choose for itself."""
    revision: int = 0
    """How often the cluster changed this description; of two the higher one holds."""
    secret: bytes = field(default=b"", repr=False)
    """What its processes prove to each other to know; in a file of its own, never in this one.
    Empty: the cluster is on loopback only, and takes everybody there for its own."""

    @property
    def shards(self) -> tuple[str, ...]:
        """Names of the shard groups, in the order of the file."""
        return tuple(name for name in self.groups if name != META_GROUP)

    def groups_on(self, node: str) -> tuple[GroupConfig, ...]:
        return tuple(g for g in self.groups.values() if g.replica_on(node) is not None)


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where} must be a table.")
    return value


def _only(table: dict[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise ConfigError(
            f"{where}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}."
        )


def _positive(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{where}: {value!r} is not a whole number above 0.")
    return value


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{where}: {value!r} is neither true nor false.")
    return value


def _share(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ConfigError(f"{where}: {value!r} is not a number from 0 to below 1.")
    return float(value)


def _data_id(value: object, where: str) -> str:
    if not isinstance(value, str) or not _DATA_ID.match(value):
        raise ConfigError(f"{where}: {value!r} does not name a node's files.")
    return value


def _metrics(table: dict[str, Any], where: str) -> Address | None:
    return Address.parse(table["metrics"], f"{where} metrics") if "metrics" in table else None


def parse_zone(value: object, where: str) -> str:
    """Raises ConfigError naming `where`."""
    if not isinstance(value, str) or not _ZONE.match(value):
        raise ConfigError(
            f"{where}: {value!r} is not a zone; write names divided by slashes, the widest first: "
            "eu/paris/a."
        )
    return value


def _name(value: object, where: str) -> str:
    if not isinstance(value, str) or not _NAME.match(value):
        raise ConfigError(
            f"{where}: {value!r} is not a name; use a lower-case letter, then letters, "
            "digits, - and _."
        )
    return value


def parse_cluster(text: str, source: str = "cluster.toml") -> ClusterConfig:
    """Parse and check the text of a `cluster.toml`.

    Raises ConfigError with one sentence that names `source` and the place.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{source}: not valid TOML: {exc}.") from exc
    try:
        return _cluster(raw)
    except ConfigError as exc:
        raise ConfigError(f"{source}: {exc}") from exc


def _cluster(raw: dict[str, Any]) -> ClusterConfig:
    _only(
        raw,
        {
            *("format", "cluster_id", "revision", "engine"),
            *("router", "raft", "limits", "verify", "nodes", "groups"),
        },
        "top level",
    )
    if raw.get("format") != _FORMAT:
        raise ConfigError(
            f"format is {raw.get('format')!r}, this version reads format {_FORMAT}; "
            "use the version of shardrouter that wrote the file."
        )
    cluster_id = raw.get("cluster_id")
    if not isinstance(cluster_id, str) or not cluster_id:
        raise ConfigError("cluster_id is missing.")
    revision = raw.get("revision", 0)
    if not _is_count(revision):
        raise ConfigError(f"revision is {revision!r}, which is no whole number from 0 on.")
    engine = raw.get("engine", ENGINES[0])
    if engine not in ENGINES:
        raise ConfigError(f"there is no engine {engine!r}; known are {', '.join(ENGINES)}.")

    router = _table(raw.get("router", {}), "[router]")
    _only(router, {"address", "metrics", "replica_choice"}, "[router]")
    replica_choice = router.get("replica_choice", REPLICA_CHOICES[0])
    if replica_choice not in REPLICA_CHOICES:
        raise ConfigError(
            f"[router] replica_choice: there is no {replica_choice!r}; known are "
            f"{', '.join(REPLICA_CHOICES)}."
        )

    limits = _table(raw.get("limits", {}), "[limits]")
    _only(limits, {item.name for item in fields(WriteLimits)}, "[limits]")

    verify = _table(raw.get("verify", {}), "[verify]")
    _only(verify, {"every_s"}, "[verify]")
    every_s = verify.get("every_s", 3600)
    if not _is_count(every_s):
        raise ConfigError(
            f"[verify] every_s: {every_s!r} is no whole number of seconds; 0 is never."
        )

    nodes: dict[str, NodeConfig] = {}
    for name, value in _table(raw.get("nodes"), "[nodes]").items():
        where = f"[nodes.{name}]"
        table = _table(value, where)
        _only(table, {"address", "capacity", "drain", "data_id", "zone", "metrics"}, where)
        if name in NODE_VERBS:
            raise ConfigError(
                f"{where}: no node can be called {name!r}, for `shardrouter node {name}` is a "
                "verb; choose another name."
            )
        nodes[_name(name, "[nodes]")] = NodeConfig(
            name,
            Address.parse(table.get("address"), where),
            _positive(table.get("capacity", 1), f"{where} capacity"),
            _flag(table.get("drain", False), f"{where} drain"),
            _data_id(table.get("data_id", ""), f"{where} data_id"),
            parse_zone(table.get("zone", ""), f"{where} zone"),
            _metrics(table, where),
        )

    groups: dict[str, GroupConfig] = {}
    for name, value in _table(raw.get("groups"), "[groups]").items():
        where = f"[groups.{name}]"
        table = _table(value, where)
        _only(table, {"replicas"}, where)
        groups[_name(name, "[groups]")] = GroupConfig(
            name, _replicas(table.get("replicas"), nodes, where, must_exist=revision == 0)
        )
    if META_GROUP not in groups:
        raise ConfigError(f"[groups.{META_GROUP}] is missing; it holds the catalog.")
    if len(groups) < 2:
        raise ConfigError("there is no shard; name at least one group besides meta.")
    if engine == "local":
        _require_single_replicas(groups)

    return ClusterConfig(
        cluster_id=cluster_id,
        nodes=nodes,
        groups=groups,
        router=Address.parse(router.get("address", "127.0.0.1:6433"), "[router] address"),
        router_metrics=_metrics(router, "[router]"),
        raft=_raft(_table(raw.get("raft", {}), "[raft]"), engine),
        engine=engine,
        replica_choice=replica_choice,
        revision=revision,
        verify_every_s=every_s,
        limits=WriteLimits(**{key: _positive(limits[key], f"[limits] {key}") for key in limits}),
    )


def _raft(table: dict[str, Any], engine: str) -> RaftConfig:
    _only(table, {each.name for each in fields(RaftConfig)}, "[raft]")
    defaults = RaftConfig()

    def given(name: str, check: Callable[[object, str], _T]) -> _T:
        return check(table.get(name, getattr(defaults, name)), f"[raft] {name}")

    raft = RaftConfig(
        tick_ms=given("tick_ms", _positive),
        election_ticks=given("election_ticks", _positive),
        lease_reads=given("lease_reads", _flag),
        clock_drift=given("clock_drift", _share),
        lease_margin_ms=given("lease_margin_ms", _positive),
        spread_leaders=given("spread_leaders", _flag),
        resolve_after_ms=given("resolve_after_ms", _positive),
        log_entries=given("log_entries", _positive),
    )
    if raft.lease_reads and engine != "core":
        raise ConfigError(
            f'[raft] lease_reads: engine is {engine!r}, which has no leases; use engine = "core".'
        )
    if raft.lease_reads and raft.election_ticks < 4:
        raise ConfigError(
            f"[raft] lease_reads: an election timeout of {raft.election_ticks} ticks leaves no "
            "time for a lease; make election_ticks 4 or more."
        )
    return raft


def _require_single_replicas(groups: dict[str, GroupConfig]) -> None:
    for group in groups.values():
        if len(group.replicas) > 1:
            raise ConfigError(
                f"engine is 'local', which has no second replica, but [groups.{group.name}] "
                f'names {len(group.replicas)}; use engine = "core".'
            )


def _replicas(
    value: object, nodes: dict[str, NodeConfig], where: str, *, must_exist: bool
) -> tuple[Replica, ...]:
    """Founders. In a cluster that has changed, nodes of some may have left it."""
    if not isinstance(value, list) or not value:
        raise ConfigError(f"{where}: replicas must be a list that is not empty.")
    replicas: list[Replica] = []
    for item in value:
        table = _table(item, f"{where} replicas")
        _only(table, {"id", "node"}, f"{where} replicas")
        node = _name(table.get("node"), f"{where} replicas")
        if must_exist and node not in nodes:
            raise ConfigError(f"{where}: there is no [nodes.{node}].")
        replicas.append(Replica(_positive(table.get("id"), f"{where} replica id"), node))
    if len({r.id for r in replicas}) != len(replicas):
        raise ConfigError(f"{where}: two replicas have the same id.")
    if len({r.node for r in replicas}) != len(replicas):
        raise ConfigError(f"{where}: two replicas are on the same node.")
    return tuple(replicas)


def _log_entries_line(raft: RaftConfig) -> list[str]:
    """Only if it is another than the default: versions that do not know it read the file too."""
    if raft.log_entries == RaftConfig().log_entries:
        return []
    return [f"log_entries = {raft.log_entries}"]


def format_cluster(config: ClusterConfig) -> str:
    """The text of a `cluster.toml`; `parse_cluster` of it gives `config` again, but for the
    secret."""
    lines = [
        f"format = {_FORMAT}",
        f'cluster_id = "{config.cluster_id}"',
        f"revision = {config.revision}",
        f'engine = "{config.engine}"',
        "",
        "[router]",
        f'address = "{config.router}"',
        *_metrics_line(config.router_metrics),
        *_chosen(config.replica_choice),
        "",
        "[raft]",
        f"tick_ms = {config.raft.tick_ms}",
        f"election_ticks = {config.raft.election_ticks}",
        f"lease_reads = {str(config.raft.lease_reads).lower()}",
        f"clock_drift = {config.raft.clock_drift!r}",
        f"lease_margin_ms = {config.raft.lease_margin_ms}",
        f"spread_leaders = {str(config.raft.spread_leaders).lower()}",
        f"resolve_after_ms = {config.raft.resolve_after_ms}",
        *_log_entries_line(config.raft),
        "",
        "[limits]",
        *(f"{item.name} = {getattr(config.limits, item.name)}" for item in fields(WriteLimits)),
        "",
        "[verify]",
        f"every_s = {config.verify_every_s}",
    ]
    for node in config.nodes.values():
        lines += [
            "",
            f"[nodes.{node.name}]",
            f'address = "{node.address}"',
            f"capacity = {node.capacity}",
        ]
        if node.drain:
            lines.append("drain = true")
        if node.data_id:
            lines.append(f'data_id = "{node.data_id}"')
        if node.zone:
            lines.append(f'zone = "{node.zone}"')
        lines += _metrics_line(node.metrics)
    for group in config.groups.values():
        replicas = ", ".join(f'{{ id = {r.id}, node = "{r.node}" }}' for r in group.replicas)
        lines += ["", f"[groups.{group.name}]", f"replicas = [{replicas}]"]
    return "\n".join(lines) + "\n"


def _metrics_line(address: Address | None) -> list[str]:
    return [] if address is None else [f'metrics = "{address}"']


def _chosen(replica_choice: str) -> list[str]:
    """Only where it is not the default: routers of an earlier version know no such key."""
    return [] if replica_choice == REPLICA_CHOICES[0] else [f'replica_choice = "{replica_choice}"']
