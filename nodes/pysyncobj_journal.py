"""The log as pysyncobj wants to see it, over the log that this database keeps.

pysyncobj expects a list of (command, index, term) that it may slice, append to and cut. Here
that list is a view of a `RaftLog`: what is added becomes durable in the node's log store, in the
same transaction as everything else of the turn, before anything that depends on it is sent.
Position 0 is pysyncobj's own first no-op; position n is entry n of our log, and its pysyncobj
index is n + 1.

Commands are marked as no-ops to pysyncobj. It neither decodes nor runs them (it would unpickle);
our applier reads them from the same log and runs them on our state machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias, overload

from nodes.raft.log import RaftLog
from nodes.raft.messages import HardState, LogEntry

__all__ = ["APPLY_MAX", "COMMAND", "Journal", "JournalEntry", "Slice"]

COMMAND: Final = b"\x01"
"""First byte of every command: pysyncobj's type NO_OP."""

JournalEntry: TypeAlias = tuple[bytes, int, int]
"""(command, pysyncobj's index, term)."""

APPLY_MAX: Final = 1024
"""Entries in a slice that has an end. pysyncobj takes such slices to go through what was
committed, and goes on with the rest at its next tick: the loop is not held up by a long log."""

_READ_ENTRIES: Final = 128
"""Entries read from the log at once while a slice is gone through."""


class Slice:
    """Positions [start, stop) of a journal, read when they are looked at.

    Looking at one entry shows index and term only, for that is all pysyncobj asks of one; going
    through them shows the commands as well.
    """

    __slots__ = ("_log", "start", "stop")

    def __init__(self, log: RaftLog, start: int, stop: int) -> None:
        self._log = log
        self.start = start
        self.stop = max(start, stop)

    def __len__(self) -> int:
        return self.stop - self.start

    @overload
    def __getitem__(self, item: int) -> JournalEntry: ...
    @overload
    def __getitem__(self, item: slice) -> Slice: ...
    def __getitem__(self, item: int | slice) -> JournalEntry | Slice:
        if isinstance(item, slice):
            start, stop, _ = item.indices(len(self))
            return Slice(self._log, self.start + start, self.start + stop)
        position = (self.start if item >= 0 else self.stop) + item
        return COMMAND, position + 1, self._log.term(position)

    def __iter__(self) -> Iterator[JournalEntry]:
        position = self.start
        if position == 0 and self.stop > 0:
            yield COMMAND, 1, 0
            position = 1
        while position < self.stop:
            last = min(position + _READ_ENTRIES, self.stop) - 1
            for entry in self._log.entries(position, last):
                position += 1
                yield COMMAND + entry.data, position, entry.term


class Journal:
    """Implements pysyncobj's `Journal`; the camel case is its."""

    def __init__(self, log: RaftLog, hard_state: HardState) -> None:
        self.log = log
        self.term = hard_state.term
        self.vote = hard_state.vote
        self.shown: int | None = None
        """If set, slices without an end stop behind this position: see `link.Link`."""
        self._cut: int | None = None

    def __len__(self) -> int:
        return self.log.last + 1

    @overload
    def __getitem__(self, item: int) -> JournalEntry: ...
    @overload
    def __getitem__(self, item: slice) -> Slice: ...
    def __getitem__(self, item: int | slice) -> JournalEntry | Slice:
        if not isinstance(item, slice):
            position = item if item >= 0 else len(self) + item
            term = self.log.last_term if position == self.log.last else self.log.term(position)
            return COMMAND, position + 1, term
        start, length = item.start, len(self)
        if item.stop is None:
            stop = length if self.shown is None else min(self.shown + 1, length)
        else:
            stop = min(item.stop, length, start + APPLY_MAX)
        return Slice(self.log, start, stop)

    def add(self, command: bytes, idx: int, term: int) -> None:
        assert command[:1] == COMMAND, "only commands are replicated, no changes of membership"
        entry = LogEntry(term, command[1:])
        if self._cut is None:
            self.log.append(entry)
        else:
            # Removing waits for the entry that replaces: RaftLog removes only what conflicts,
            # and nothing that is committed.
            self.log.accept(self._cut, [entry])
            self._cut = None
        assert self.log.last == idx - 1, f"entry {idx - 1} went to {self.log.last}"

    def deleteEntriesFrom(self, position: int) -> None:  # noqa: N802 - pysyncobj's name
        self._cut = position - 1

    def deleteEntriesTo(self, position: int) -> None:  # noqa: N802 - pysyncobj's name
        raise AssertionError("this journal is not compacted")

    def clear(self) -> None:
        raise AssertionError("this journal is not compacted")

    def setRaftCommitIndex(self, index: int) -> None:  # noqa: N802 - pysyncobj's name
        self.log.commit = max(self.log.commit, index - 1)

    def getRaftCommitIndex(self) -> int:  # noqa: N802 - pysyncobj's name
        return self.log.commit + 1

    def setCurrentTerm(self, term: int, vote: int | None) -> None:  # noqa: N802 - pysyncobj's name
        self.term, self.vote = term, vote or 0

    def getCurrentTerm(self) -> int:  # noqa: N802 - pysyncobj's name
        return self.term

    def getVotedForNodeId(self) -> int | None:  # noqa: N802 - pysyncobj's name
        return self.vote or None

    def onOneSecondTimer(self) -> None:  # noqa: N802 - pysyncobj's name
        """Nothing is put off to here."""

    def _destroy(self) -> None:
        """The log store closes itself."""
