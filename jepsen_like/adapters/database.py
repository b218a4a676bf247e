"""The two sides of a database under test: the value a test names, and the running thing.

A host is what a partition keeps together: one process of the database, the router beside it
if there are routers, and the clients bound to it. A process of host a is started by
`backend.command(a, ...)`, listens on `backend.address(a)`, and dials host b where
`backend.expose` says, or a cut is no cut; the faults verify that no byte of the database
passed. The harness itself, and the clients of a host, dial where `backend.reach` says.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jepsen_like.backends.backend import Backend
from jepsen_like.backends.probe import Prober
from jepsen_like.clients import Client
from jepsen_like.interpose.instruments import Instruments
from jepsen_like.result import ReplicaComparison
from jepsen_like.sim.children import Programs
from jepsen_like.workloads.workload import Workload

__all__ = [
    "DatabaseError",
    "Processes",
    "RunningDatabase",
    "OperableDatabase",
    "ComparableDatabase",
    "RoutedDatabase",
    "WatchedDatabase",
    "FiledDatabase",
    "Database",
    "DefiniteDatabase",
    "Offer",
    "OfferingDatabase",
    "Promise",
    "GroupedDatabase",
    "LevelledDatabase",
    "NetworkedDatabase",
    "EndableDatabase",
    "PreloadableDatabase",
    "SimulatedDatabase",
    "TellingDatabase",
]


class DatabaseError(Exception):
    """The database did not start, or not again; the message is a sentence that says why."""


class Processes(Protocol):
    """Processes of one kind, one on each host."""

    def pid(self, host: str) -> int:
        """Process id of the host's process, also while it is dead."""

    async def answering_pid(self, host: str) -> int | None:
        """The process id that answers at the host's address, by its own word; None: nobody."""

    async def restart(self, host: str) -> None:
        """Start the host's dead process again; returns when it listens. Raises DatabaseError."""


class RunningDatabase(Processes, Protocol):
    """Started and answering. Every question is asked of the processes directly, past all
    links, so that it is answered during a cut too."""

    async def prepare(self, workload: Workload, keys: Sequence[int]) -> None:
        """Create what the workload needs and load its keys, as a client would. Asked for each
        workload."""

    async def connect(self, host: str, workloads: Sequence[Workload], deadline_s: float) -> Client:
        """A client of this host for the calls of all workloads. Raises ClientError."""

    async def leaders(self) -> Mapping[str, str]:
        """Host that leads each group, by its own word; groups without a leader are left out."""

    async def groups_of(self, workload: Workload, keys: Collection[int]) -> Mapping[int, str]:
        """The group that holds each key of the workload. Asked before the load begins;
        raises DatabaseError."""

    async def stop(self) -> None:
        """End every process and wait for its end."""


@runtime_checkable
class OperableDatabase(Protocol):
    """A running database whose leaders and replicas can be told to move. What it cannot do it
    refuses with a DatabaseError."""

    async def voters(self, group: str) -> Sequence[str]:
        """Hosts with a replica of the group that counts in its majorities, in order of name."""

    async def transfer(self, group: str, to: str) -> None:
        """Return when the group is led by host `to`."""

    async def move_replica(self, group: str, source: str, to: str) -> None:
        """Return when `to` has a voter of the group and `source` no replica."""


@runtime_checkable
class ComparableDatabase(Protocol):
    """A running database that can compare its replicas."""

    async def compare_replicas(self) -> ReplicaComparison:
        """All groups, row by row. Asked when all faults have healed."""


@runtime_checkable
class WatchedDatabase(Protocol):
    """A running database whose processes say of themselves what they lead."""

    async def claims(self, host: str) -> Mapping[str, int] | None:
        """The groups that the process of `host` believes it leads, and in which term; None: it
        does not answer. Asked directly, past all links, also while it is stopped or dead."""


@runtime_checkable
class RoutedDatabase(Protocol):
    """A running database with a router beside every database process."""

    @property
    def routers(self) -> Processes: ...


@runtime_checkable
class FiledDatabase(Protocol):
    """A running database whose files can be damaged while it is stopped."""

    def data_directory(self, host: str) -> Path:
        """All that the host's database process keeps is below."""


class Offer(Enum):
    """What some faults ask of a database, and not every one can be asked for."""

    MOVES = "moves"  # leaders and replicas, as an OperableDatabase
    ROOM = "room"  # the same, and some host is without a replica of a group
    ROUTERS = "routers"  # as a RoutedDatabase
    PRELOAD = "preload"  # a library of the harness in its processes, as a PreloadableDatabase
    FILES = "files"  # as a FiledDatabase
    JOURNAL = "journal"  # the same, and it keeps its data with calls that the library follows


@runtime_checkable
class OfferingDatabase(Protocol):
    """A database that says what it offers; another one offers nothing of it."""

    @property
    def offers(self) -> frozenset[Offer]: ...


@runtime_checkable
class GroupedDatabase(Protocol):
    """A database that knows its groups before it runs."""

    @property
    def groups(self) -> tuple[str, ...]: ...


@runtime_checkable
class PreloadableDatabase(Protocol):
    """A database whose processes the harness can load a library into (`interpose`)."""

    def preloaded(self, instruments: Instruments) -> Database:
        """The same, its processes started by `instruments.command`: the database process of
        each host under the host's name, a router under `stations.router_name`."""


@runtime_checkable
class Database(Protocol):
    """What a test names: a value, from which a fresh database is started for every run."""

    @property
    def hosts(self) -> tuple[str, ...]: ...

    def describe(self) -> dict[str, Any]:
        """For the report: what it is made of."""

    def versions(self) -> dict[str, str]: ...

    async def start(
        self, backend: Backend, directory: Path, say: Callable[[str], None]
    ) -> RunningDatabase:
        """Boot all hosts with their data under `directory`, their traffic over `backend`.
        Returns when every group has a leader; raises DatabaseError with nothing left running."""


@dataclass(frozen=True)
class Promise:
    """What a level promises of its reads besides where they stand."""

    max_staleness_ns: int = 0  # no read is staler; 0: nothing is said
    keeps_sessions: bool = False
    """A client reads its own writes and nothing older than it has read: of each key."""


@runtime_checkable
class LevelledDatabase(Database, Protocol):
    """A database whose reads may be asked for at several levels of consistency: what the PACELC
    experiment compares. Its clients take calls of `workloads.levels`."""

    @property
    def levels(self) -> Mapping[str, str]:
        """Where reads of each level should stand ("PC/EC"), the default first, the weakest last."""

    @property
    def promises(self) -> Mapping[str, Promise]:
        """Of levels that promise something by themselves."""

    @property
    def writes(self) -> str:
        """Where writes should stand."""

    @property
    def group(self) -> str:
        """The group whose leader is cut off."""


@runtime_checkable
class NetworkedDatabase(Protocol):
    """A database with a network of its own, which the harness cannot make."""

    def network(self) -> tuple[Backend, Prober]:
        """In place of the test's backend, and how its links are probed."""


@runtime_checkable
class EndableDatabase(RunningDatabase, Protocol):
    """A running database whose processes are elsewhere, where no signal goes."""

    async def answers(self, host: str) -> bool:
        """Whether the host's member answers, asked past all links."""

    async def kill(self, host: str) -> None:
        """End the host's member. Raises DatabaseError."""


@runtime_checkable
class TellingDatabase(Protocol):
    """A database whose logs say what happens to it."""

    @property
    def happenings(self) -> Mapping[str, Sequence[str]]:
        """Of each kind ("elections", "snapshots", "membership changes"), words of the lines that
        tell of one."""

    def brought_by_moves(self, calls: float) -> Sequence[str]:
        """Which of these a test means to see whose replicas move, in about so many calls."""


@runtime_checkable
class DefiniteDatabase(Protocol):
    """A database that says itself which of its errors are definite. Then one that was none is a
    promise of it that was broken, and not a mistake of whoever wrote its adapter."""

    @property
    def tells_definite_errors(self) -> bool:
        """True."""


@runtime_checkable
class SimulatedDatabase(Protocol):
    """A database whose programs are Python, and may run in a simulation."""

    def programs(self) -> Programs:
        """Its programs as coroutines. Imports what they need: asked in a simulation only."""
