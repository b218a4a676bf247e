"""Real cores wired together by hand: the test decides which message arrives and when."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

from nodes.raft.core import RaftCore, Ready, Role
from nodes.raft.log import RaftLog
from nodes.raft.messages import HardState, LogEntry, RaftMessage

__all__ = ["ELECTION_TICKS", "Disk", "Group"]

ELECTION_TICKS = 10


class Disk:
    """Durable entries and hard state."""

    def __init__(self) -> None:
        self.log: list[LogEntry] = []
        self.hard_state = HardState()

    def entries(self, first: int, last: int) -> list[LogEntry]:
        return self.log[first - 1 : last]

    def term(self, index: int) -> int:
        return self.log[index - 1].term

    def write(self, ready: Ready) -> None:
        if ready.hard_state is not None:
            self.hard_state = ready.hard_state
        if ready.entries:
            self.log[ready.first_index - 1 :] = ready.entries


class Group:
    """Cores 1..n over their disks. `cut` replicas send and receive nothing."""

    def __init__(
        self,
        count: int,
        logs: Mapping[int, Sequence[int]] | None = None,
        terms: Mapping[int, int] | None = None,
    ) -> None:
        self.disks = {number: Disk() for number in range(1, count + 1)}
        self.cores: dict[int, RaftCore] = {}
        self.cut: set[int] = set()
        self.lost: list[RaftMessage] = []  # what cut links swallowed, to be delivered late
        self.committed: dict[int, list[LogEntry]] = {}
        self.reads: list[object] = []
        self.reads_failed: list[object] = []
        for number, disk in self.disks.items():
            log_terms = (logs or {}).get(number, ())
            disk.log = [LogEntry(term, b"%d" % term) for term in log_terms]
            term = (terms or {}).get(number, log_terms[-1] if log_terms else 0)
            disk.hard_state = HardState(term)
            self.start(number)

    def start(self, number: int) -> RaftCore:
        """Start or restart a replica from its disk."""
        disk = self.disks[number]
        last_term = disk.log[-1].term if disk.log else 0
        self.committed[number] = []
        core = self.cores[number] = RaftCore(
            replica=number,
            voters=self.disks.keys(),
            rng=random.Random(number),
            election_ticks=ELECTION_TICKS,
            hard_state=disk.hard_state,
            log=RaftLog(disk, last=len(disk.log), last_term=last_term),
        )
        return core

    def take(self, number: int) -> list[RaftMessage]:
        """Drive one replica until it has nothing to do; its messages, not delivered."""
        core, sent = self.cores[number], []
        while core.has_ready():
            ready = core.ready()
            sent += ready.messages
            self.disks[number].write(ready)
            core.persisted(ready)
            sent += ready.messages_after
            if ready.committed:
                assert ready.committed[0] == len(self.committed[number]) + 1
                self.committed[number] += core.log.entries(ready.committed[0], ready.committed[-1])
            self.reads += [context for _, contexts in ready.reads for context in contexts]
            self.reads_failed += ready.reads_failed
        return sent

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
                    core._timer.elapsed += 1
                core._timer.timeout = 1_000_000
        core = self.cores[number]
        while core.role is Role.FOLLOWER:
            core.tick()
        self.settle()
        assert core.role is Role.LEADER, f"{number} was not elected"
        return core

    def terms(self, number: int) -> list[int]:
        core = self.cores[number]
        return [entry.term for entry in core.log.entries(1, core.log.last)]
