"""Real cores wired together by hand: the test decides which message arrives and when."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

from nodes.raft.core import RaftCore, Ready, Role
from nodes.raft.log import RaftLog
from nodes.raft.messages import (
    HardState,
    LogBase,
    LogEntry,
    Membership,
    RaftMessage,
    Snapshot,
    membership_in,
)

__all__ = ["ELECTION_TICKS", "Disk", "Group"]

ELECTION_TICKS = 10


class Disk:
    """Durable entries and hard state, and a state machine that is the list of all entries."""

    def __init__(self, membership: Membership | None = None) -> None:
        self.base = LogBase(0, 0, membership or Membership((), 0))
        self.log: list[LogEntry] = []  # behind the base
        self.hard_state = HardState()
        self.applied: list[LogEntry] = []  # from index 1 on, whatever the log still holds
        self.received = b""

    @property
    def last(self) -> int:
        return self.base.index + len(self.log)

    def entries(self, first: int, last: int) -> list[LogEntry]:
        assert self.base.index < first, f"{first} is compacted"
        return self.log[first - self.base.index - 1 : last - self.base.index]

    def term(self, index: int) -> int:
        return self.entries(index, index)[0].term

    def write(self, ready: Ready, state: Sequence[LogEntry] = ()) -> None:
        """Make durable what `ready` lists; `state` is what an installed snapshot holds."""
        for chunk in ready.chunks:
            assert chunk.offset == len(self.received) or chunk.offset == 0
            self.received = self.received[: chunk.offset] + chunk.data
        if ready.install is not None:
            self.base, self.log, self.applied = ready.install.base, [], list(state)
        if ready.hard_state is not None:
            self.hard_state = ready.hard_state
        if ready.entries:
            self.log[ready.first_index - self.base.index - 1 :] = ready.entries

    def memberships(self) -> list[tuple[int, Membership]]:
        """The base's, and all in the log."""
        found = [(self.base.index, self.base.membership)]
        for index, entry in enumerate(self.log, self.base.index + 1):
            if (membership := membership_in(entry)) is not None:
                found.append((index, membership))
        return found

    def open_log(self) -> RaftLog:
        return RaftLog(
            self,
            first=self.base.index + 1,
            base_term=self.base.term,
            last=self.last,
            last_term=self.log[-1].term if self.log else self.base.term,
        )


class Group:
    """Cores 1..n over their disks. `cut` replicas send and receive nothing."""

    def __init__(
        self,
        count: int,
        logs: Mapping[int, Sequence[int]] | None = None,
        terms: Mapping[int, int] | None = None,
    ) -> None:
        membership = Membership.of(range(1, count + 1))
        self.disks = {number: Disk(membership) for number in membership.voters}
        self.cores: dict[int, RaftCore] = {}
        self.cut: set[int] = set()
        self.lost: list[RaftMessage] = []  # what cut links swallowed, to be delivered late
        self.committed: dict[int, list[LogEntry]] = {}
        self.reads: list[object] = []
        self.reads_failed: list[object] = []
        self.files: dict[bytes, bytes] = {}  # snapshots by hash, and what they stand for
        self.states: dict[bytes, list[LogEntry]] = {}
        self.wants_snapshot: set[int] = set()
        for number, disk in self.disks.items():
            log_terms = (logs or {}).get(number, ())
            disk.log = [LogEntry(term, b"%d" % term) for term in log_terms]
            term = (terms or {}).get(number, log_terms[-1] if log_terms else 0)
            disk.hard_state = HardState(term)
            self.start(number)

    def start(self, number: int) -> RaftCore:
        """Start or restart a replica from its disk."""
        disk = self.disks[number]
        disk.received = b""
        self.committed[number] = disk.applied = disk.applied[: disk.base.index]
        core = self.cores[number] = RaftCore(
            replica=number,
            memberships=disk.memberships(),
            rng=random.Random(number),
            election_ticks=ELECTION_TICKS,
            hard_state=disk.hard_state,
            log=disk.open_log(),
            applied=disk.base.index,
        )
        return core

    def take(self, number: int) -> list[RaftMessage]:
        """Drive one replica until it has nothing to do; its messages, not delivered."""
        core, disk, sent = self.cores[number], self.disks[number], []
        while core.has_ready():
            ready = core.ready()
            sent += ready.messages
            disk.write(ready, self.states[ready.install.hash] if ready.install else ())
            core.persisted(ready)
            sent += ready.messages_after
            if ready.committed:
                assert ready.committed[0] == len(disk.applied) + 1
                disk.applied += core.log.entries(ready.committed[0], ready.committed[-1])
            self.committed[number] = disk.applied
            self.reads += [context for _, contexts in ready.reads for context in contexts]
            self.reads_failed += ready.reads_failed
            for request in ready.chunks_to_send:
                file = self.files[request.snapshot.hash]
                sent.append(request.message(file[request.offset : request.offset + request.size]))
            if ready.wants_snapshot:
                self.wants_snapshot.add(number)
            for chunk in ready.chunks:
                if chunk.offset + len(chunk.data) == chunk.snapshot.size:
                    intact = self.files.get(chunk.snapshot.hash) == disk.received
                    core.snapshot_received(intact=intact)
        return sent

    def compact(self, number: int, index: int) -> None:
        """In memory and on disk."""
        disk = self.disks[number]
        base = self.cores[number].compact(index)
        disk.log = disk.entries(index + 1, disk.last)
        disk.base = base

    def snapshot(self, number: int, file: bytes) -> Snapshot:
        """What `number` has applied, with `file` for its bytes."""
        state = self.disks[number].applied
        base = self.cores[number].base(len(state))
        snapshot = Snapshot(base, len(file), b"%d %d" % (number, base.index))
        self.files[snapshot.hash] = file
        self.states[snapshot.hash] = list(state)
        return snapshot

    def deliver(self, messages: Iterable[RaftMessage]) -> None:
        for message in messages:
            if {message.sender, message.receiver} & self.cut:
                self.lost.append(message)
            else:
                self.cores[message.receiver].step(message)

    def settle(self) -> None:
        """Deliver messages until there are none."""
        while any(core.has_ready() for core in self.cores.values()):
            for number in self.cores:
                self.deliver(self.take(number))

    def tick(self, count: int = 1, numbers: Iterable[int] | None = None) -> None:
        """Time passes, for some replicas or all, with every message delivered in between."""
        for _ in range(count):
            for number in numbers if numbers is not None else self.cores:
                self.cores[number].tick()
            self.settle()

    def elect(self, number: int) -> RaftCore:
        """Let `number` stand: the patience of the others ends first, then its own."""
        self.settle()
        for other, core in self.cores.items():
            if other != number:
                for _ in range(ELECTION_TICKS):  # votes for others are free from here on
                    core._timer.tick()
                core._timer.timeout = 1_000_000
        core = self.cores[number]
        while core.role is Role.FOLLOWER:
            core.tick()
        self.settle()
        assert core.role is Role.LEADER, f"{number} was not elected"
        return core

    def terms(self, number: int) -> list[int]:
        core = self.cores[number]
        return [entry.term for entry in core.log.entries(core.log.first, core.log.last)]
