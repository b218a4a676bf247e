"""A simulated replica: its process, its disk, its state machine and the files it makes."""

from __future__ import annotations

from dataclasses import dataclass, field

from nodes.raft.core import RaftCore, Ready
from nodes.raft.messages import HardState, LogBase, LogEntry, Membership, Snapshot, membership_in

__all__ = ["Disk", "ReadRequest", "Replica", "State"]


@dataclass(frozen=True)
class State:
    """A state machine: how much of the log it holds, and which commands it has seen, so that
    one that is in the log twice has its effect once."""

    applied: int = 0
    seen: frozenset[bytes] = frozenset()


class Disk:
    """What survives a crash."""

    def __init__(self, membership: Membership) -> None:
        self.hard_state = HardState()
        self.base = LogBase(0, 0, membership)
        self.log: list[LogEntry] = []  # behind the base
        self.state = State()  # of the data file, when it was last synced

    @property
    def last(self) -> int:
        return self.base.index + len(self.log)

    @property
    def last_term(self) -> int:
        return self.log[-1].term if self.log else self.base.term

    def entries(self, first: int, last: int) -> list[LogEntry]:
        assert self.base.index < first <= last <= self.last, f"no entries {first}..{last} on disk"
        return self.log[first - self.base.index - 1 : last - self.base.index]

    def term(self, index: int) -> int:
        return self.entries(index, index)[0].term

    def write(self, ready: Ready, state: State | None) -> None:
        """One transaction. `state` is what the snapshot holds that `ready` installs."""
        if ready.install is not None:
            assert state is not None
            self.base, self.log, self.state = ready.install.base, [], state
        if ready.hard_state is not None:
            self.hard_state = ready.hard_state
        if ready.entries:
            assert self.base.index < ready.first_index <= self.last + 1, "a gap on disk"
            self.log[ready.first_index - self.base.index - 1 :] = ready.entries
        assert self.hard_state.commit <= self.last, "the commit hint is beyond the log"

    def compact(self, base: LogBase) -> None:
        self.log = self.log[base.index - self.base.index :]
        self.base = base

    def holds(self, index: int, entry: LogEntry) -> bool:
        """Whether the entry, or its effect, is here."""
        place = index - self.base.index - 1
        return place < 0 or (place < len(self.log) and self.log[place] == entry)

    def memberships(self) -> list[tuple[int, Membership]]:
        found = [(self.base.index, self.base.membership)]
        for index, entry in enumerate(self.log, self.base.index + 1):
            if (membership := membership_in(entry)) is not None:
                found.append((index, membership))
        return found


@dataclass
class ReadRequest:
    must_be_seen: int


@dataclass
class Replica:
    """One process and its disk."""

    number: int
    disk: Disk
    clock_rate: float = 1.0
    core: RaftCore | None = None  # None while crashed
    life: int = 0  # events of an earlier life are void
    paused_until: float = 0.0
    slow_until: float = 0.0  # its disk
    applied: int = 0
    seen: set[bytes] = field(default_factory=set)
    decided: tuple[bool, int] = (False, 0)  # leads, commit: as the adversary last saw them
    writing: Ready | None = None
    received: bytes = b""  # of the snapshot that comes in
    installs: Snapshot | None = None  # received and intact
    proposals: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    reads: list[tuple[int, ReadRequest]] = field(default_factory=list)  # confirmed, to be applied
    beats: dict[int, tuple[int, float]] = field(default_factory=dict)  # node -> (life, when heard)

    def state(self) -> State:
        return State(self.applied, frozenset(self.seen))

    def load(self, state: State) -> None:
        self.applied, self.seen = state.applied, set(state.seen)

    def apply(self, entry: LogEntry) -> bool:
        """Take the next entry; returns whether it has an effect."""
        self.applied += 1
        if not entry.data or membership_in(entry) is not None or entry.data in self.seen:
            return False
        self.seen.add(entry.data)
        return True

    def forget(self) -> None:
        """The process ends."""
        self.core = None
        self.writing = None
        self.life += 1
        self.received, self.installs = b"", None
        self.proposals, self.reads, self.beats = {}, [], {}
