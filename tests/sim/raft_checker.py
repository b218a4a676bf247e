"""What must hold after every step of a simulated Raft group (thesis, figure 3.2).

The checker sees everything at once, which no replica can: all logs, all disks, what clients
were told. It compares with what it saw before, so a step costs what the step changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nodes.raft.core import RaftCore, Role
from nodes.raft.messages import LogEntry

__all__ = ["Checker", "Violation"]


class Violation(Exception):
    """A promise of Raft was broken."""


class Checker:
    """The history of one simulated group.

    `holds_durably(replica, index, entry)` looks at a disk. What a log has compacted is compared
    with what is committed, which its base has to be part of.
    """

    def __init__(self, holds_durably: Callable[[int, int, LogEntry], bool]) -> None:
        self._holds_durably = holds_durably
        self.leader_of_term: dict[int, int] = {}
        self.committed: list[LogEntry] = []
        self._committed_in: list[int] = []  # term of the leader that committed each of them
        self.must_be_seen = 0  # highest index that a client was told of, by a write or a read
        self._entry_at: dict[tuple[int, int], tuple[bytes, int]] = {}
        self._logs: dict[int, list[LogEntry]] = {}  # as last seen, of running replicas
        self._leading: dict[int, int] = {}  # replica -> term, of running leaders
        self._terms: dict[int, int] = {}
        self._positions: dict[int, tuple[int, int, int, int]] = {}  # of the logs as last seen
        self._effective: list[bool] = []  # for each applied entry, whether it had an effect
        self._effects: set[bytes] = set()
        self.truncations = 0

    def crashed(self, replica: int) -> None:
        """Its memory is gone; what it does next is compared with nothing."""
        self._logs.pop(replica, None)
        self._leading.pop(replica, None)
        self._terms.pop(replica, None)
        self._positions.pop(replica, None)

    def observe(self, core: RaftCore) -> None:
        """Check a replica that has just taken a step."""
        replica, raft_log = core.replica, core.log
        self._check_term(core)
        position = (raft_log.first, raft_log.last, raft_log.last_term, raft_log.commit)
        if self._positions.get(replica) != position:
            self._positions[replica] = position
            self._observe_log(core)
        if core.role is Role.LEADER:
            if self._leading.get(replica) != core.term:
                self._check_leader(core, self._logs[replica])
        else:
            self._leading.pop(replica, None)

    def _observe_log(self, core: RaftCore) -> None:
        replica, raft_log = core.replica, core.log
        compacted = raft_log.first - 1
        if compacted > len(self.committed):
            raise Violation(f"{replica} compacted what is not committed")
        if compacted and self.committed[compacted - 1].term != raft_log.base_term:
            raise Violation(f"{replica} has a wrong term at its log's base {compacted}")
        log = self.committed[:compacted] + raft_log.entries(raft_log.first, raft_log.last)
        before = self._logs.get(replica, [])
        if log != before:
            self._check_log_matching(replica, log, before)
            if self._leading.get(replica) == core.term and log[: len(before)] != before:
                raise Violation(f"leader append-only: {replica} rewrote its own log")
            self.truncations += log[: len(before)] != before
            self._logs[replica] = log
        self._check_committed(core, log)

    def _check_term(self, core: RaftCore) -> None:
        if core.term < self._terms.get(core.replica, 0):
            raise Violation(f"the term of {core.replica} decreased")
        self._terms[core.replica] = core.term

    def _check_log_matching(
        self, replica: int, log: list[LogEntry], before: list[LogEntry]
    ) -> None:
        """Two logs with the same (index, term) are equal up to there: by induction it is enough
        that (index, term) determines the data and the term before it."""
        same = 0
        for mine, old in zip(log, before, strict=False):
            if mine is not old and mine != old:
                break
            same += 1
        for index in range(same + 1, len(log) + 1):
            entry = log[index - 1]
            previous_term = log[index - 2].term if index > 1 else 0
            if entry.term < previous_term:
                raise Violation(f"terms decrease in the log of {replica} at {index}")
            known = self._entry_at.setdefault((index, entry.term), (entry.data, previous_term))
            if known != (entry.data, previous_term):
                raise Violation(f"log matching: {replica} differs at {index}")

    def _check_leader(self, core: RaftCore, log: list[LogEntry]) -> None:
        other = self.leader_of_term.setdefault(core.term, core.replica)
        if other != core.replica:
            raise Violation(f"election safety: {other} and {core.replica} lead term {core.term}")
        self._leading[core.replica] = core.term
        # Elected late, by votes long under way, it owes nothing to leaders of newer terms.
        older = [at for at, term in enumerate(self._committed_in) if term < core.term]
        self._check_complete(core.replica, log, older)

    def _check_complete(
        self, leader: int, log: Sequence[LogEntry], positions: Iterable[int]
    ) -> None:
        for position in positions:
            if position >= len(log) or log[position] != self.committed[position]:
                raise Violation(f"leader completeness: {leader} lacks {position + 1}")

    def _check_committed(self, core: RaftCore, log: list[LogEntry]) -> None:
        known = len(self.committed)
        if log[: min(core.commit, known)] != self.committed[: core.commit]:
            raise Violation(f"state machine safety: {core.replica} committed another entry")
        if core.commit <= known:
            return
        if core.commit > len(log):
            raise Violation(f"{core.replica} committed beyond its log")
        for index in range(known + 1, core.commit + 1):
            self._check_durable(core.membership.voters, index, log[index - 1])
            self.committed.append(log[index - 1])
            self._committed_in.append(core.term)  # its leader commits an entry before any other
        for leader, term in self._leading.items():
            if term > core.term:
                self._check_complete(leader, self._logs[leader], range(known, core.commit))

    def _check_durable(self, voters: Sequence[int], index: int, entry: LogEntry) -> None:
        holders = sum(self._holds_durably(voter, index, entry) for voter in voters)
        if holders * 2 <= len(voters):
            raise Violation(f"durability: {index} is committed, {holders} disks hold it")

    def applied(self, replica: int, index: int, entry: LogEntry, effective: bool) -> None:
        """A state machine takes an entry, which has an effect or is a repetition."""
        if index > len(self.committed) or self.committed[index - 1] != entry:
            raise Violation(f"state machine safety: {replica} applied another entry at {index}")
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
