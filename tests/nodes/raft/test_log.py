"""RaftLog against a plain list, and its memory against its limits."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nodes.raft.log import MESSAGE_BYTES_MAX, MESSAGE_ENTRIES_MAX, RaftLog
from nodes.raft.messages import LogEntry
from tests.nodes.raft.group import Disk


def entries(*terms: int) -> list[LogEntry]:
    return [LogEntry(term, b"%d" % position) for position, term in enumerate(terms)]


def saved_log(terms: Sequence[int], **limits: int) -> RaftLog:
    """A log that was restarted: everything on disk, nothing in memory."""
    disk = Disk()
    disk.log = entries(*terms)
    last_term = terms[-1] if terms else 0
    return RaftLog(disk, last=len(terms), last_term=last_term, **limits)


class LogComparison(RuleBasedStateMachine):
    """Inputs that a replica's log can get, with the writer any number of steps behind."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = Disk()
        self.log = RaftLog(self.disk, tail_entries_max=4, tail_bytes_max=40)
        self.twin: list[LogEntry] = []
        self.term = 1
        self.writing: tuple[int, list[LogEntry]] | None = None

    @rule(size=st.integers(0, 12), newer=st.booleans())
    def append(self, size: int, newer: bool) -> None:
        self.term += newer
        entry = LogEntry(self.term, b"x" * size)
        self.twin.append(entry)
        assert self.log.append(entry) == len(self.twin)

    @rule(data=st.data())
    def accept(self, data: st.DataObject) -> None:
        """A request of a leader whose log equals ours up to some point, then may not."""
        previous = data.draw(st.integers(0, len(self.twin)))
        place = data.draw(st.integers(max(previous, self.log.commit), len(self.twin)))
        new_count = data.draw(st.integers(0, 4))
        if new_count:
            self.term += 1
        received = self.twin[previous:place] + [LogEntry(self.term, b"new")] * new_count
        if new_count:
            self.twin = self.twin[:previous] + received
        self.log.accept(previous, tuple(received))

    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        self.log.commit = data.draw(st.integers(self.log.commit, len(self.twin)))

    @precondition(lambda self: self.writing is None)
    @rule()
    def start_write(self) -> None:
        self.writing = (self.log.saved_index + 1, self.log.unsaved())

    @precondition(lambda self: self.writing is not None)
    @rule()
    def end_write(self) -> None:
        assert self.writing is not None
        first, written = self.writing
        if written:
            self.disk.log[first - 1 :] = written
        self.log.saved(first, written)
        self.writing = None

    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        first = data.draw(st.integers(1, len(self.twin) + 1))
        last = data.draw(st.integers(first - 1, len(self.twin)))
        if first <= last:
            assert self.log.entries(first, last) == self.twin[first - 1 : last]
            found, size = self.log.entries_for_message(first)
            assert list(found) == self.twin[first - 1 : first - 1 + len(found)]
            assert size == sum(len(entry.data) for entry in found)
            assert found

    @rule(data=st.data())
    def search(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.twin) + 3))
        term = data.draw(st.integers(0, self.term + 1))
        terms = [0, *(entry.term for entry in self.twin)]
        expected = max(at for at, found in enumerate(terms[: index + 1]) if found <= term)
        assert self.log.last_index_with_term_up_to(term, index) == expected
        if index > self.log.commit:
            matches = index < len(terms) and terms[index] == term
            assert self.log.matches(index, term) == matches

    @invariant()
    def equal(self) -> None:
        assert self.log.last == len(self.twin)
        assert self.log.last_term == (self.twin[-1].term if self.twin else 0)
        assert self.log.saved_index <= len(self.twin)
        saved = self.log.saved_index
        assert self.disk.log[:saved] == self.twin[:saved]
        assert self.log.unsaved() == self.twin[saved:]


LogComparison.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLogAgainstList = LogComparison.TestCase


def test_a_delayed_request_does_not_remove_what_a_later_one_brought() -> None:
    log = saved_log([1, 1])
    log.accept(2, tuple(entries(2, 2, 2)))

    log.accept(2, log_start := tuple(entries(2)))

    assert log.last == 5
    assert log.entries(3, 3)[0].term == log_start[0].term


def test_a_conflicting_entry_and_all_that_follow_it_are_removed() -> None:
    log = saved_log([1, 1, 2, 2])

    log.accept(1, tuple(entries(1, 3)))

    assert [entry.term for entry in log.entries(1, log.last)] == [1, 1, 3]
    assert log.saved_index == 2


def test_a_committed_entry_is_never_removed() -> None:
    log = saved_log([1, 1, 2])
    log.commit = 3

    with pytest.raises(AssertionError, match="committed"):
        log._truncate_after(2)


def test_memory_holds_no_more_durable_entries_than_the_limits() -> None:
    disk = Disk()
    log = RaftLog(disk, tail_entries_max=100, tail_bytes_max=1000)
    for _ in range(500):
        log.append(LogEntry(1, b"x" * 50))
        written, first = log.unsaved(), log.saved_index + 1
        disk.log[first - 1 :] = written
        log.saved(first, written)

        assert len(log._tail) <= 100
        assert log._tail_bytes == sum(len(entry.data) for entry in log._tail) <= 1000
    assert log.entries(1, 500) == disk.log


def test_a_message_is_bounded_in_entries_and_bytes_but_takes_one_entry_of_any_size() -> None:
    disk = Disk()
    log = RaftLog(disk)
    for size in [1] * (MESSAGE_ENTRIES_MAX + 5):
        log.append(LogEntry(1, b"x" * size))
    assert len(log.entries_for_message(1)[0]) == MESSAGE_ENTRIES_MAX

    first = log.last + 1
    third = MESSAGE_BYTES_MAX // 3
    for size in (MESSAGE_BYTES_MAX * 2, third, third, third, third):
        log.append(LogEntry(1, b"x" * size))
    assert len(log.entries_for_message(first)[0]) == 1
    assert len(log.entries_for_message(first + 1)[0]) == 3

    disk.log = log.unsaved()
    from_disk = RaftLog(disk, last=log.last, last_term=1)
    assert len(from_disk.entries_for_message(first)[0]) == 1
    assert len(from_disk.entries_for_message(first + 1)[0]) == 3
    assert len(from_disk.entries_for_message(1)[0]) == MESSAGE_ENTRIES_MAX
