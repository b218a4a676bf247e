"""What must hold after every step of a simulated Raft group (thesis, figure 3.2).

The checker sees everything at once, which no replica can: all logs, all disks, what clients
were told. It compares with what it saw before, so a step costs what the step changed; at the end of
a run every log is compared as a whole once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from nodes.raft.core import RaftCore, Role
from nodes.raft.log import RaftLog
from nodes.raft.messages import LogEntry

__all__ = ["Checker", "Violation"]


class Violation(Exception):
    """A promise of Raft was broken."""


class _Log(NamedTuple):
    """A log as last seen."""

    base: int  # up to here it was found equal to what is committed
    tail: list[LogEntry]  # behind that


_EMPTY = _Log(0, [])


class Checker:
    """The history of one simulated group.

    `holds_durably(replica, index, entry)` looks at a disk. Of what a log has compacted only the
    base is left, which has to be part of what is committed.
    """

    def __init__(self, holds_durably: Callable[[int, int, LogEntry], bool]) -> None:
        self.holds_durably = holds_durably
        self.leader_of_term: dict[int, int] = {}
        self.committed: list[LogEntry] = []
        self._committed_in: list[int] = []  # term of the leader that committed each of them
        self.must_be_seen = 0  # highest index that a client was told of, by a write or a read
        self._entry_at: dict[tuple[int, int], tuple[bytes, int]] = {}
        self._logs: dict[int, _Log] = {}  # as last seen, of running replicas
        self._leading: dict[int, int] = {}  # replica -> term, of running leaders
        self._terms: dict[int, int] = {}
        # term, role, and first, commit, last and last term of the log, as last seen
        self._seen: dict[int, tuple[int, Role, int, int, int, int]] = {}
        self._effective: list[bool] = []  # for each applied entry, whether it had an effect
        self._effects: set[bytes] = set()
        self.truncations = 0

    def crashed(self, replica: int) -> None:
        """Its memory is gone; what it does next is compared with nothing."""
        self._logs.pop(replica, None)
        self._leading.pop(replica, None)
        self._terms.pop(replica, None)
        self._seen.pop(replica, None)

    def observe(self, core: RaftCore) -> None:
        """Check a replica that has just taken a step."""
        log = core.log
        seen = (core.term, core.role, log.first, log.commit, log.last, log.last_term)
        if self._seen.get(core.replica) != seen:
            self._observe_change(core)
            self._seen[core.replica] = seen

    def _observe_change(self, core: RaftCore) -> None:
        replica, raft_log = core.replica, core.log
        self._check_term(core)
        position = (raft_log.first, raft_log.commit, raft_log.last, raft_log.last_term)
        before = self._seen.get(replica)
        if before is None or before[2:] != position:
            self._observe_log(core)
        if core.role is not Role.LEADER:
            self._leading.pop(replica, None)
        elif self._leading.get(replica) != core.term:
            self._check_leader(core)

    def _observe_log(self, core: RaftCore) -> None:
        replica, log = core.replica, core.log
        base, old = self._logs.get(replica, _EMPTY)
        if log.first - 1 > base:
            self._check_base(replica, log)
            base, old = log.first - 1, old[log.first - 1 - base :]
        if log.last < base:
            raise Violation(f"{replica} lost entries that it knew to be committed")
        tail = log.entries(base + 1, log.last) if base < log.last else []
        if tail != old:
            self._check_log_matching(core, base, tail, old)
            self._logs[replica] = _Log(base, tail)
        if log.commit > base:
            self._logs[replica] = _Log(base, tail)
            self._check_committed(core, base, tail)
            self._logs[replica] = _Log(log.commit, tail[log.commit - base :])

    def _check_base(self, replica: int, log: RaftLog) -> None:
        compacted = log.first - 1
        if compacted > len(self.committed):
            raise Violation(f"{replica} compacted what is not committed")
        if self.committed[compacted - 1].term != log.base_term:
            raise Violation(f"{replica} has a wrong term at its log's base {compacted}")
        self._logs[replica] = _Log(compacted, [])

    def _check_term(self, core: RaftCore) -> None:
        if core.term < self._terms.get(core.replica, 0):
            raise Violation(f"the term of {core.replica} decreased")
        self._terms[core.replica] = core.term

    def _check_log_matching(
        self, core: RaftCore, base: int, tail: list[LogEntry], old: list[LogEntry]
    ) -> None:
        """Two logs with the same (index, term) are equal up to there: by induction it is enough
        that (index, term) determines the data and the term before it."""
        same = 0
        for mine, before in zip(tail, old, strict=False):
            if mine is not before and mine != before:
                break
            same += 1
        if same < len(old):
            if self._leading.get(core.replica) == core.term:
                raise Violation(f"leader append-only: {core.replica} rewrote its own log")
            self.truncations += 1
        if same:
            previous_term = tail[same - 1].term
        else:
            previous_term = self.committed[base - 1].term if base else 0
        for index, entry in enumerate(tail[same:], base + same + 1):
            if entry.term < previous_term:
                raise Violation(f"terms decrease in the log of {core.replica} at {index}")
            known = self._entry_at.setdefault((index, entry.term), (entry.data, previous_term))
            if known != (entry.data, previous_term):
                raise Violation(f"log matching: {core.replica} differs at {index}")
            previous_term = entry.term

    def _check_leader(self, core: RaftCore) -> None:
        other = self.leader_of_term.setdefault(core.term, core.replica)
        if other != core.replica:
            raise Violation(f"election safety: {other} and {core.replica} lead term {core.term}")
        self._leading[core.replica] = core.term
        # Elected late, by votes long under way, it owes nothing to leaders of newer terms.
        unsure = range(self._logs[core.replica].base, len(self.committed))
        self._check_complete(
            core.replica, [at for at in unsure if self._committed_in[at] < core.term]
        )

    def _check_complete(self, leader: int, positions: Iterable[int]) -> None:
        log = self._logs[leader]
        for position in positions:
            if position < log.base:
                continue
            at = position - log.base
            if at >= len(log.tail) or log.tail[at] != self.committed[position]:
                raise Violation(f"leader completeness: {leader} lacks {position + 1}")

    def _check_committed(self, core: RaftCore, base: int, tail: list[LogEntry]) -> None:
        known, commit = len(self.committed), core.log.commit
        both = min(commit, known)
        if both > base and tail[: both - base] != self.committed[base:both]:
            raise Violation(f"state machine safety: {core.replica} committed another entry")
        if commit <= known:
            return
        if commit > base + len(tail):
            raise Violation(f"{core.replica} committed beyond its log")
        voters = core.membership.voters
        for index in range(known + 1, commit + 1):
            entry = tail[index - base - 1]
            self._check_durable(voters, index, entry)
            self.committed.append(entry)
            self._committed_in.append(core.term)  # its leader commits an entry before any other
        for leader, term in self._leading.items():
            if term > core.term:
                self._check_complete(leader, range(known, commit))

    def check_whole(self, core: RaftCore) -> None:
        """Compare all that a log says is committed, also what was compared when it was new."""
        log = core.log
        if log.first > log.commit:
            return
        if log.entries(log.first, log.commit) != self.committed[log.first - 1 : log.commit]:
            raise Violation(f"{core.replica} changed what it had committed")

    def _check_durable(self, voters: Sequence[int], index: int, entry: LogEntry) -> None:
        holders = sum(self.holds_durably(voter, index, entry) for voter in voters)
        if holders * 2 <= len(voters):
            raise Violation(f"durability: {index} is committed, {holders} disks hold it")

    def took(self, replica: int, index: int, entry: LogEntry) -> None:
        """A state machine takes an entry."""
        if index > len(self.committed) or self.committed[index - 1] != entry:
            raise Violation(f"state machine safety: {replica} applied another entry at {index}")

    def applied(self, replica: int, index: int, entry: LogEntry, effective: bool) -> None:
        """A state machine takes an entry, which has an effect or is a repetition."""
        self.took(replica, index, entry)
        if index <= len(self._effective):
            if self._effective[index - 1] != effective:
                raise Violation(f"exactly once: {replica} differs in the effect of {index}")
            return
        if effective and entry.data in self._effects:
            raise Violation(f"exactly once: {replica} took {entry.data!r} twice, at {index}")
        if effective:
            self._effects.add(entry.data)
        self._effective.append(effective)

    def installed(self, replica: int, index: int) -> None:
        """A state machine was replaced by one of `index` entries."""
        if index > len(self.committed):
            raise Violation(f"{replica} installed a snapshot of what is not committed")

    def acknowledged(self, index: int, data: bytes) -> None:
        """A client is told that its write is done."""
        if index > len(self.committed) or self.committed[index - 1].data != data:
            raise Violation(f"an acknowledged write is not in the log at {index}")
        self.must_be_seen = max(self.must_be_seen, index)

    def has_read(self, seen: int, must_be_seen: int) -> None:
        """A client read the state after `seen` entries; `must_be_seen` is from its invocation.

        The state grows by appending, so its length names it: a read is linearizable if it saw
        every write acknowledged, and everything read, before it was invoked.
        """
        if seen < must_be_seen:
            raise Violation(f"stale read: saw {seen}, but {must_be_seen} was told before it began")
        self.must_be_seen = max(self.must_be_seen, seen)
