"""Consensus of a group with one replica: what is durable here is committed.

For a database on one machine that wants transactions, exactly-once and the same files, and no
election: it leads from its start, in a term of its own, and never loses its office. It keeps
the log and its rules (index, term, a no-op first), so that such a group can be given to the
Raft core later, and gain replicas, without being rewritten.

It promises no more than its one disk: whoever acknowledges here has an fsync, and no second
copy.
"""

from __future__ import annotations

from nodes.consensus import FixedGroup
from nodes.raft.core import Role
from nodes.raft.log import RaftLog
from nodes.raft.messages import HardState, LogBase, LogEntry, Membership, RaftMessage
from nodes.raft.ready import Ready

__all__ = ["LocalConsensus"]


class LocalConsensus(FixedGroup):
    """The only replica of its group (`nodes.consensus.Consensus`).

    Each start begins a new term, with a no-op in it: entries of an earlier run that became
    durable, but were never acknowledged, are committed by it as Raft would do it (thesis,
    section 3.6.2), and an answer can never be given to a proposal of an earlier run.
    """

    role = Role.LEADER

    def __init__(
        self,
        *,
        replica: int,
        membership: Membership,
        hard_state: HardState,
        log: RaftLog,
        applied: int = 0,
    ) -> None:
        assert membership.voters == (replica,), "a local group has one replica"
        assert max(applied, hard_state.commit) <= log.last, "the log lost committed entries"
        self.replica = replica
        self.leader = replica
        self.term = max(hard_state.term, log.last_term) + 1
        self.log = log
        super().__init__("local", membership)
        self._handed_out = applied
        self._reads: list[object] = []
        self._outstanding: Ready | None = None
        self._saved_term = hard_state.term
        log.commit = log.last
        log.append(LogEntry(self.term, b""))

    @property
    def commit(self) -> int:
        return self.log.commit

    @property
    def compaction_limit(self) -> int:
        return self.log.commit

    def base(self, index: int) -> LogBase:
        return LogBase(index, self.log.term(index), self.membership)

    def compact(self, index: int) -> LogBase:
        """No replica will ever ask for the entries; the state machine has them."""
        base = self.base(index)
        self.log.compact(index)
        return base

    def step(self, message: RaftMessage) -> None:
        """There is nobody to hear from."""

    def tick(self, now: float) -> None:
        """Nothing here depends on time."""

    def propose(self, data: bytes) -> int | None:
        return self.log.append(LogEntry(self.term, data))

    def read_index(self, context: object) -> bool:
        """Confirmed at once: nobody else can have committed anything."""
        self._reads.append(context)
        return True

    def has_ready(self) -> bool:
        if self._outstanding is not None:
            return False
        log = self.log
        return bool(log.saved_index < log.last or self._handed_out < log.saved_index or self._reads)

    def ready(self) -> Ready:
        assert self._outstanding is None, "the last Ready is not persisted yet"
        log = self.log
        entries = log.unsaved()
        hard_state = None
        if self.term != self._saved_term:
            hard_state = HardState(self.term, self.replica, log.commit)
            self._saved_term = self.term
        ready = Ready(
            messages=[],
            hard_state=hard_state,
            first_index=log.saved_index + 1,
            entries=entries,
            messages_after=[],
            # The driver applies them once the entries above are durable.
            committed=range(self._handed_out + 1, log.last + 1),
            reads=[(log.commit, self._reads)] if self._reads else [],
            reads_failed=[],
        )
        self._reads = []
        self._handed_out = log.last
        self._outstanding = ready
        return ready

    def persisted(self, ready: Ready) -> None:
        assert ready is self._outstanding, "not the Ready that is outstanding"
        self._outstanding = None
        self.log.saved(ready.first_index, ready.entries)
        self.log.commit = self.log.saved_index
