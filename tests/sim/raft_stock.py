"""The library pysyncobj as its authors ship it, in virtual time.

Nothing of the library is changed: election, replication, journal file, dump file and the bytes
in them are its own. Replaced, in a private copy of two of its modules, are the clock, the chance
and the time stamp in a gzip header, so that a seed is a run; and its sockets, by connections of
the simulated network that carry each message as a pickle, in order, and break as TCP's do. Each
write to the journal is a moment in which the process may be killed; everything it wrote before
survives, although nothing is ever synced.

The store on top is one that a user of the library would write. What the library does not promise
is not asked for: reads are local, and a command is sent once.
"""

from __future__ import annotations

import gzip
import importlib.util
import logging
import pickle
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from pysyncobj.journal import FileJournal
from pysyncobj.node import Node
from pysyncobj.transport import Transport

from nodes.raft.core import Role
from nodes.raft.messages import LogEntry, Membership
from tests.sim.raft_checker import Violation

__all__ = ["Connections", "Killed", "Library", "StockCore", "StockDisk"]

SUCCESS: Final = 0
"""pysyncobj's FAIL_REASON.SUCCESS."""

_GRAIN_S: Final = 1e-4
"""Seconds that pass between two looks at the clock: a loop of the library that waits for time
to pass comes to its end."""


class Killed(BaseException):
    """The process is killed in the middle of what it does."""


class _Clock:
    """The library's clock; `simulated` tells the seconds of the simulation."""

    def __init__(self, simulated: Callable[[], float]) -> None:
        self._simulated = simulated
        self._last = 0.0

    def __call__(self) -> float:
        self._last = max(self._last + _GRAIN_S, self._simulated())
        return self._last


class _Gzip:
    """Stands in for the module `gzip`, which would write the time into every file."""

    @staticmethod
    def GzipFile(**arguments: Any) -> gzip.GzipFile:  # noqa: N802 - the module's name
        return gzip.GzipFile(mtime=0, filename="", **arguments)


def _copy_of(name: str) -> Any:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.logger = logging.Logger("a simulated run says what broke", logging.CRITICAL + 1)
    return module


class Library:
    """A private copy for one run, and the store that is replicated by it."""

    def __init__(self, simulated_s: Callable[[], float], rng: random.Random) -> None:
        serializer = _copy_of("pysyncobj.serializer")
        serializer.gzip = _Gzip
        serializer.open = self._open
        self._files: list[IO[bytes]] = []
        self.module = module = _copy_of("pysyncobj.syncobj")
        module.monotonicTime = _Clock(simulated_s)
        module.random = rng
        module.Serializer = serializer.Serializer
        module.createJournal = self._journal
        self.journals: dict[str, Journal] = {}
        """By file: given to whoever opens it next."""

        class Store(module.SyncObj):  # type: ignore[name-defined,misc]  # pysyncobj has no types
            def __init__(self, core: StockCore, *arguments: Any, **keywords: Any) -> None:
                self._core = core  # set before: what is set after belongs to the dump
                super().__init__(*arguments, **keywords)
                self.values: list[str] = []

            @module.replicated  # type: ignore[untyped-decorator]  # pysyncobj has no types
            def put(self, value: str) -> int:
                index: int = self.raftLastApplied
                self._core.applied.append(index)
                self.values.append(value)
                return index

        self.store = Store

    def _journal(self, file: str) -> Journal:
        return self.journals.pop(file)

    def _open(self, file: str, mode: str) -> IO[bytes]:
        opened: IO[bytes] = Path(file).open(mode)  # noqa: SIM115 - the library forgets it
        self._files.append(opened)
        return opened

    def close(self) -> None:
        """The processes have ended: so have the files that they had open."""
        for file in self._files:
            file.close()


class Journal(FileJournal):  # type: ignore[misc]  # pysyncobj has no types
    """The library's own file; `writes_left` counts down to the kill."""

    def __init__(self, file: str) -> None:
        self.writes_left: int | None = None
        self.is_dead = False
        """Killed; the library catches whatever is raised while it reads a dump."""
        super().__init__(file)

    def _before_a_write(self) -> None:
        if self.writes_left is not None:
            if self.writes_left == 0:
                self.is_dead = True
                raise Killed
            self.writes_left -= 1

    def add(self, command: bytes, idx: int, term: int) -> None:
        self._before_a_write()
        super().add(command, idx, term)

    def deleteEntriesFrom(self, entryFrom: int) -> None:  # noqa: N802, N803 - pysyncobj's names
        self._before_a_write()
        super().deleteEntriesFrom(entryFrom)

    def clear(self) -> None:
        self._before_a_write()
        super().clear()


class _View:
    """A journal as the checker sees a log. pysyncobj's entry 1 is a no-op that every replica
    makes for itself: it stands where our logs have nothing, at index 0. The first entry of a
    journal that was cut stands for all before it."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.commit = 0

    @property
    def first(self) -> int:
        first: int = self.journal[0][1]
        return first

    @property
    def base_term(self) -> int:
        term: int = self.journal[0][2]
        return term

    @property
    def last(self) -> int:
        last: int = self.journal[-1][1]
        return last - 1

    @property
    def last_term(self) -> int:
        term: int = self.journal[-1][2]
        return term

    def entries(self, first: int, last: int) -> list[LogEntry]:
        start = first + 1 - self.journal[0][1]
        found = self.journal[start : start + last - first + 1]
        return [LogEntry(term, bytes(command)) for command, _, term in found]


class StockDisk:
    """The files of one replica."""

    def __init__(self, directory: Path, number: int) -> None:
        self.journal_file = str(directory / f"{number}.journal")
        self.dump_file = str(directory / f"{number}.dump")
        self.journal = Journal(self.journal_file)

    def close(self) -> None:
        self.journal._destroy()  # changes nothing in the file

    def reopen(self) -> None:
        """What a killed process has left."""
        self.close()
        self.journal = Journal(self.journal_file)

    def holds(self, index: int, entry: LogEntry) -> bool:
        if len(self.journal) == 0:
            return False
        view = _View(self.journal)
        if index < view.first:
            return True
        return index <= view.last and view.entries(index, index) == [entry]


class StockTransport(Transport):  # type: ignore[misc]  # pysyncobj has no types
    """Hands messages to the simulated connections."""

    def __init__(self, core: StockCore, connections: Connections) -> None:
        super().__init__(None, None, None)
        self._core = core
        self._connections = connections

    def send(self, node: Node, message: Any) -> bool:
        return self._connections.send(self._core.replica, node.id, message)


class StockCore:
    """One process: what the simulator and the checker want to see of it."""

    def __init__(
        self,
        replica: int,
        voters: tuple[int, ...],
        library: Library,
        disk: StockDisk,
        connections: Connections,
        compact_entries: int,
    ) -> None:
        self.replica = replica
        self.membership = Membership.of(voters)
        self.applied: list[int] = []
        """Indexes that the store has applied and the checker has not looked at."""
        self._acknowledged: list[tuple[int, str]] = []
        self._transport = StockTransport(self, connections)
        self._peers = {peer: Node(peer) for peer in voters if peer != replica}
        self.journal = disk.journal
        library.journals[disk.journal_file] = disk.journal
        conf = library.module.SyncObjConf(
            autoTick=False,
            journalFile=disk.journal_file,
            fullDumpFile=disk.dump_file,
            useFork=False,
            logCompactionMinEntries=compact_entries,
            connectionTimeout=3.5,
        )
        self.store = library.store(
            self, Node(replica), list(self._peers.values()), conf, transport=self._transport
        )
        self.log = _View(disk.journal)

    @property
    def role(self) -> Role:
        return Role.LEADER if self.store._isLeader() else Role.FOLLOWER

    @property
    def term(self) -> int:
        term: int = self.store.raftCurrentTerm
        return term

    @property
    def commit(self) -> int:
        return self.log.commit

    def tick(self) -> None:
        self.store.doTick()

    def step(self, sender: int, message: Any) -> None:
        self._transport._onMessageReceived(self._peers[sender], message)
        self.store.doTick()  # subclasses of Transport; a message wakes the library's thread

    def connected(self, peer: int, *, is_up: bool) -> None:
        told = self._transport._onNodeConnected if is_up else self._transport._onNodeDisconnected
        told(self._peers[peer])

    def put(self, value: str) -> None:
        """A client's write."""

        def answer(index: int, error: int) -> None:
            if error == SUCCESS:
                self._acknowledged.append((index, value))

        self.store.put(value, callback=answer)

    def take_applied(self) -> list[int]:
        taken, self.applied = self.applied, []
        return taken

    def take_acknowledged(self) -> list[tuple[int, str]]:
        """What clients were told is done since the last look."""
        taken, self._acknowledged = self._acknowledged, []
        return taken

    def look(self) -> None:
        """Before the checker does."""
        self.log.commit = self.store.raftCommitIndex - 1


@dataclass
class _Connection:
    """Between two replicas: one queue for each direction, in order and without loss."""

    is_up: bool = False
    retry_at: float = 0.0
    cut_since: float | None = None
    queues: dict[int, deque[tuple[float, bytes]]] = field(default_factory=dict)  # by receiver


class Connections:
    """All of them. A cut holds back what is sent, as TCP does; after `timeout` the connection
    breaks, and what it held is lost."""

    def __init__(
        self,
        pairs: list[tuple[int, int]],
        timeout: float,
        retry: float,
        delay: Callable[[], float],
        now: Callable[[], float],
        arrives: Callable[[float, int, int], None],
        trace: Callable[[bytes], None],
    ) -> None:
        self._pairs = {pair: _Connection() for pair in pairs}
        self._timeout = timeout
        self._retry = retry
        self._delay = delay
        self._now = now
        self._arrives = arrives
        self._trace = trace

    def _between(self, one: int, other: int) -> _Connection:
        return self._pairs[min(one, other), max(one, other)]

    def send(self, sender: int, receiver: int, message: Any) -> bool:
        connection = self._between(sender, receiver)
        if not connection.is_up:
            return False
        data = pickle.dumps(message, 2)
        plain = {key: value for key, value in message.items() if key != "serialized"}
        self._trace(repr((self._now(), sender, receiver, sorted(plain.items()))).encode())
        queue = connection.queues.setdefault(receiver, deque())
        at = max(self._now() + self._delay(), queue[-1][0] if queue else 0.0)
        queue.append((at, data))
        self._arrives(at - self._now(), sender, receiver)
        return True

    def take(self, sender: int, receiver: int) -> Any:
        """The next message that has arrived, None if there is none."""
        connection = self._between(sender, receiver)
        queue = connection.queues.get(receiver)
        if connection.cut_since is not None or not queue or queue[0][0] > self._now():
            return None
        return pickle.loads(queue.popleft()[1])

    def has(self, sender: int, receiver: int) -> bool:
        return bool(self._between(sender, receiver).queues.get(receiver))

    def tend(
        self, is_cut: Callable[[int, int], bool], is_up: Callable[[int], bool]
    ) -> list[tuple[int, int, bool]]:
        """Look at every connection: (one, other, is up) of those that changed."""
        changed = []
        now = self._now()
        for (one, other), connection in self._pairs.items():
            cut = is_cut(one, other) or is_cut(other, one)
            if not cut:
                connection.cut_since = None
            elif connection.cut_since is None:
                connection.cut_since = now
            ends_are_up = is_up(one) and is_up(other)
            if connection.is_up:
                waited = connection.cut_since is not None and (
                    now - connection.cut_since > self._timeout
                )
                if waited or not ends_are_up:
                    self._break(connection)
                    changed.append((one, other, False))
            elif ends_are_up and not cut and now >= connection.retry_at:
                connection.is_up = True
                changed.append((one, other, True))
        return changed

    def lost(self, replica: int) -> list[int]:
        """The process is gone; its peers that learn of it."""
        peers = []
        for (one, other), connection in self._pairs.items():
            if replica in (one, other) and connection.is_up:
                self._break(connection)
                peers.append(other if replica == one else one)
        return peers

    def _break(self, connection: _Connection) -> None:
        connection.is_up = False
        connection.queues.clear()
        connection.retry_at = self._now() + self._retry


def check_acknowledged(committed: list[LogEntry], index: int, value: str) -> None:
    """The library said SUCCESS for what its store answered: `index`."""
    if index > len(committed) or value.encode() not in committed[index - 1].data:
        raise Violation(f"an acknowledged write is not in the log at {index}")
