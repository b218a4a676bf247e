"""A replica's log as the Raft core sees it: a tail in memory, everything older on disk.

The log does not write. It tells which entries are not durable yet (`unsaved`), is told when
they are (`saved`), and reads back durable entries that left memory through a `LogReader`. It
does not know terms' leaders, peers or votes; it knows which entries are committed, because
those it never gives up (thesis, figure 3.2: state machine safety).

    .. first-1 | first ........ offset | offset+1 ......... saved_index | ........ last
    compacted  | on disk only          | in memory and on disk          | in memory only

Entries before `first` are gone; their effect is in the state machine, and of the last of them
the term is remembered, so that a request that continues there can be checked (section 5.1).

Memory is bounded by `TAIL_ENTRIES_MAX` and `TAIL_BYTES_MAX` plus what is not durable yet,
and that is bounded by whoever proposes and by the leader's window.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, Protocol

from nodes.raft.messages import LogEntry

__all__ = [
    "LogReader",
    "RaftLog",
    "MESSAGE_BYTES_MAX",
    "MESSAGE_ENTRIES_MAX",
    "TAIL_BYTES_MAX",
    "TAIL_ENTRIES_MAX",
]

TAIL_ENTRIES_MAX: Final = 4096
"""Durable entries kept in memory: what a healthy follower may lag without reads from disk."""

TAIL_BYTES_MAX: Final = 2 * 1024 * 1024
"""Their data; a node hosts several groups and should rest below 50 MB."""

MESSAGE_ENTRIES_MAX: Final = 512
"""Entries of one AppendRequest: reading them from disk takes about a millisecond."""

MESSAGE_BYTES_MAX: Final = 1024 * 1024
"""Their data, unless one entry alone is larger; well below the limit of a frame."""

_READ_ENTRIES: Final = 16
"""Entries asked of the disk at once while the size of a message is being found out: one read
holds at most this many entries of 1 MiB."""


class LogReader(Protocol):
    """Reads durable entries of one replica. Calls block; failures are exceptions that stop
    the replica."""

    def entries(self, first: int, last: int) -> list[LogEntry]:
        """Entries first..last, both included."""

    def term(self, index: int) -> int:
        """Term of the entry at `index`."""


class RaftLog:
    """The log of one replica, indexes first..last without a gap."""

    def __init__(
        self,
        reader: LogReader,
        *,
        first: int = 1,
        base_term: int = 0,
        last: int = 0,
        last_term: int = 0,
        tail_entries_max: int = TAIL_ENTRIES_MAX,
        tail_bytes_max: int = TAIL_BYTES_MAX,
    ) -> None:
        assert first <= last + 1, f"a log of {first}..{last}"
        self._reader = reader
        self._tail_entries_max = tail_entries_max
        self._tail_bytes_max = tail_bytes_max
        self._offset = last  # the index before the tail; its term is remembered beside it
        self._offset_term = last_term
        self._tail: list[LogEntry] = []
        self._tail_bytes = 0
        self.first = first
        """Index of the oldest entry; those before it are not in this log."""
        self.base_term = base_term
        """Term of the entry before `first`, 0 if there was none."""
        self.last = last
        """Index of the newest entry, durable or not; set by the log alone."""
        self.saved_index = last
        """Every entry up to here is durable on this replica."""
        self.commit = 0
        """Every entry up to here is committed and never removed; set by the core."""

    @property
    def last_term(self) -> int:
        return self._tail[-1].term if self._tail else self._offset_term

    # ---------------------------------------------------------------- reading

    def term(self, index: int) -> int:
        """Term of the entry at `index`, which must exist or be the one before `first`."""
        assert self.first - 1 <= index <= self.last, f"{index} is not in {self.first}..{self.last}"
        if index == self.first - 1:
            return self.base_term
        if index > self._offset:
            return self._tail[index - self._offset - 1].term
        return self._offset_term if index == self._offset else self._reader.term(index)

    def entries(self, first: int, last: int) -> list[LogEntry]:
        """Entries first..last, both included and existing. The caller bounds the range."""
        assert self.first <= first <= last + 1 <= self.last + 1, f"no entries {first}..{last}"
        if first > self._offset:
            return self._tail[first - self._offset - 1 : last - self._offset]
        older = self._reader.entries(first, min(last, self._offset))
        if last > self._offset:
            older += self._tail[: last - self._offset]
        return older

    def entries_for_message(
        self, first: int, most: int = MESSAGE_ENTRIES_MAX
    ) -> tuple[tuple[LogEntry, ...], int]:
        """Entries from `first` on that fit into one message, at least one and `most` at most; and
        their bytes."""
        last = min(self.last, first + min(most, MESSAGE_ENTRIES_MAX) - 1)
        if first > self._offset:
            return _fitting(self.entries(first, last))
        found: list[LogEntry] = []
        size = 0
        while first <= last and size <= MESSAGE_BYTES_MAX:
            piece = self.entries(first, min(last, first + _READ_ENTRIES - 1))
            found += piece
            size += sum(len(entry.data) for entry in piece)
            first += len(piece)
        return _fitting(found)

    def matches(self, index: int, term: int) -> bool:
        """Whether this log has the entry (index, term) of the present leader's log.

        A committed index needs no look at the term: the leader has every committed entry
        (leader completeness, thesis figure 3.2), so both logs are equal there.
        """
        if index <= self.commit:
            return True
        return index <= self.last and self.term(index) == term

    def last_index_with_term_up_to(self, term: int, index: int) -> int:
        """The largest index <= `index` whose term is <= `term`; if it is compacted, and so not
        known, `first - 2`, which is before everything that is.

        Two logs in conflict can only agree at such an index: this skips all terms that are
        too new at once, where the paper's section 5.3 skips one per exchange. Terms never
        decrease along a log, so it is found by bisection.
        """
        low, high = self.first - 2, min(index, self.last)
        if high <= low:
            return low
        if self.term(high) <= term:
            return high
        while low < high:
            middle = (low + high + 1) // 2
            if self.term(middle) <= term:
                low = middle
            else:
                high = middle - 1
        return low

    def is_up_to_date(self, last_index: int, last_term: int) -> bool:
        """Whether a candidate's log is at least as up to date as this one (section 3.6.1)."""
        return (last_term, last_index) >= (self.last_term, self.last)

    # ---------------------------------------------------------------- writing

    def append(self, entry: LogEntry) -> int:
        """A leader adds an entry; returns its index."""
        self._tail.append(entry)
        self._tail_bytes += len(entry.data)
        self.last += 1
        return self.last

    def accept(self, previous: int, entries: Sequence[LogEntry]) -> int:
        """A follower takes a leader's entries, which follow the matching index `previous`.
        Returns how many of them were there already.

        Removes entries only from the first one that conflicts (figure 3.1, AppendEntries 3):
        a delayed request may end before what a later one already brought, and removing the
        rest would undo an acknowledgement.
        """
        assert previous <= self.last, f"a gap between {self.last} and {previous + 1}"
        present = self._count_present(previous, entries)
        new = entries[present:]
        if not new:
            return present
        place = previous + present
        if place < self.last:
            self._truncate_after(place)
        self._tail.extend(new)
        self.last = place + len(new)
        self._tail_bytes += sum(len(entry.data) for entry in new)
        return present

    def _count_present(self, previous: int, entries: Sequence[LogEntry]) -> int:
        """How many of `entries` this log already has at their places."""
        last = min(previous + len(entries), self.last)
        present = max(0, min(self.commit, last) - previous)  # committed entries are equal
        if previous + present < last:
            for mine, theirs in zip(
                self.entries(previous + present + 1, last), entries[present:], strict=False
            ):
                if mine.term != theirs.term:
                    break
                present += 1
        return present

    def _truncate_after(self, index: int) -> None:
        assert index >= self.commit, f"removing the committed entry {index + 1}"
        if index > self._offset:
            removed = self._tail[index - self._offset :]
            del self._tail[index - self._offset :]
            self._tail_bytes -= sum(len(entry.data) for entry in removed)
        else:
            self._offset_term = self.term(index)
            self._offset = index
            self._tail = []
            self._tail_bytes = 0
        self.last = index
        self.saved_index = min(self.saved_index, index)

    # ---------------------------------------------------------------- compaction (chapter 5)

    def compact(self, index: int) -> None:
        """Give up the entries up to `index`, which are committed, durable and applied."""
        assert index <= min(self.commit, self.saved_index), f"compacting the live entry {index}"
        if index < self.first:
            return
        self.base_term = self.term(index)
        self.first = index + 1
        if index > self._offset:
            self._drop(index - self._offset)

    def reset(self, index: int, term: int) -> None:
        """A snapshot of everything up to (index, term) takes the place of the whole log."""
        assert index > self.commit, "a snapshot older than what is committed"
        self.first = index + 1
        self.base_term = self._offset_term = term
        self._offset = self.last = self.saved_index = self.commit = index
        self._tail = []
        self._tail_bytes = 0

    # ---------------------------------------------------------------- durability

    def unsaved(self) -> list[LogEntry]:
        """The entries after `saved_index`."""
        return self._tail[self.saved_index - self._offset :]

    def saved(self, first: int, entries: Sequence[LogEntry]) -> None:
        """`entries` are durable at `first` and on, and nothing is behind them.

        If they were replaced in memory meanwhile the log on disk is not this one: then
        nothing new counts as durable. Index and term of the last one tell (log matching).
        """
        last = first + len(entries) - 1
        if not entries or not self.first <= last <= self.last:
            return  # a snapshot has taken their place
        if self.term(last) == entries[-1].term:
            self.saved_index = max(self.saved_index, last)
            if len(self._tail) > self._tail_entries_max or self._tail_bytes > self._tail_bytes_max:
                self._shrink()

    def _shrink(self) -> None:
        """Drop old durable entries to half of the limits, so that it happens rarely."""
        keep_entries, keep_bytes = self._tail_entries_max // 2, self._tail_bytes_max // 2
        count, size = 0, self._tail_bytes
        durable = self.saved_index - self._offset
        while count < durable and (len(self._tail) - count > keep_entries or size > keep_bytes):
            size -= len(self._tail[count].data)
            count += 1
        if count:
            self._drop(count)

    def _drop(self, count: int) -> None:
        """Forget the first `count` entries of the tail."""
        dropped = self._tail[:count]
        self._offset_term = dropped[-1].term
        self._offset += count
        self._tail_bytes -= sum(len(entry.data) for entry in dropped)
        del self._tail[:count]


def _fitting(entries: list[LogEntry]) -> tuple[tuple[LogEntry, ...], int]:
    """The longest beginning of `entries` within MESSAGE_BYTES_MAX, at least one entry."""
    size = sum([len(entry.data) for entry in entries])
    if size <= MESSAGE_BYTES_MAX:
        return tuple(entries), size
    sizes = list(accumulate(len(entry.data) for entry in entries))
    count = max(1, bisect_right(sizes, MESSAGE_BYTES_MAX))
    return tuple(entries[:count]), sizes[min(count, len(sizes)) - 1]
