"""Locks of a leader: who waits for whom, and who waits for himself."""

from __future__ import annotations

import pytest

from nodes import row_locks
from nodes.row_locks import LAPSE_S, RowLocks

A, B, C = b"a", b"b", b"c"
X, Y, Z = b"x", b"y", b"z"


def test_one_is_alone_and_many_may_share() -> None:
    locks = RowLocks()
    assert locks.take(A, X, 0.0, exclusive=True)
    assert locks.take(A, X, 0.0, exclusive=False)  # its own
    assert not locks.take(B, X, 0.1, exclusive=True)
    assert not locks.take(C, X, 0.1, exclusive=False)
    locks.drop(A)
    assert locks.take(B, X, 0.2, exclusive=False)
    assert locks.take(C, X, 0.2, exclusive=False)
    assert not locks.take(B, X, 0.2, exclusive=True)  # while another shares it
    locks.drop(C)
    assert locks.take(B, X, 0.2, exclusive=True)
    locks.drop(B)
    assert len(locks) == 0


def test_a_holder_that_is_silent_stands_in_nobodys_way() -> None:
    locks = RowLocks()
    assert locks.take(A, X, 0.0, exclusive=True)
    locks.touch(A, 0.5)
    assert not locks.take(B, X, LAPSE_S, exclusive=True)
    assert locks.take(B, X, 0.5 + LAPSE_S, exclusive=True)


def test_a_circle_is_seen_when_it_closes() -> None:
    locks = RowLocks()
    for holder, object in ((A, X), (B, Y), (C, Z)):
        assert locks.take(holder, object, 0.0, exclusive=True)
    for holder, object in ((A, Y), (B, Z)):
        assert not locks.take(holder, object, 0.0, exclusive=True)
        assert not locks.is_deadlocked(holder)
    assert not locks.take(C, X, 0.0, exclusive=True)
    assert locks.is_deadlocked(C)
    locks.give_up(C)
    assert not locks.is_deadlocked(A)
    locks.drop(C)
    assert locks.take(B, Z, 0.0, exclusive=True)


def test_two_that_share_and_both_want_to_be_alone_are_a_circle() -> None:
    locks = RowLocks()
    for holder in (A, B):
        assert locks.take(holder, X, 0.0, exclusive=False)
    assert not locks.take(A, X, 0.0, exclusive=True)
    assert not locks.is_deadlocked(A)
    assert not locks.take(B, X, 0.0, exclusive=True)
    assert locks.is_deadlocked(B)


def test_too_many_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_locks, "LOCKS_MAX", 1)
    locks = RowLocks()
    assert locks.take(A, X, 0.0, exclusive=True)
    assert locks.take(B, Y, 0.0, exclusive=True)
    assert locks.take(C, Y, 0.0, exclusive=True)
    assert len(locks) == 1
