"""Commands that come together share an entry of the log, and keep an outcome of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from nodes import office, raft_engine
from nodes.protocol import (
    Done,
    Entry,
    EntryBody,
    Fence,
    Guard,
    NotLeader,
    OpenSession,
    ResponseBody,
    SessionId,
    SetVersion,
    SqlFailure,
    Stale,
    Write,
)
from tests.nodes.replica import INSERT, Replica, content, statement
from tests.nodes.test_raft_engine import Group, isolate_leader

SESSION = SessionId(1, 1)


def quick(seq: int, name: str = "a") -> Write:
    return Write(SESSION, seq, 0, (statement(INSERT, seq, name),), quick=True)


SETS = Write(SESSION, 98, 0, (), sets=(SetVersion("slot:1", 1),), quick=True)
LONG = Write(SESSION, 99, 0, (statement("DELETE FROM t"),))


@pytest.fixture
def group() -> Group:
    """Replica 1 leads, and everything is applied everywhere."""
    group = Group()
    group.ticks(3)
    return group


def propose(group: Group, *commands: EntryBody) -> list[list[ResponseBody]]:
    """All of them between two turns."""
    heard: list[list[ResponseBody]] = [[] for _ in commands]
    for command, answers in zip(commands, heard, strict=True):
        body = msgspec.msgpack.encode(command)
        group[1].propose(body, answers.append, command=command)
    return heard


def proposed(group: Group, replica: int = 1) -> list[tuple[EntryBody, ...]]:
    """What the machine of a replica was given, entry by entry."""
    return [entry.bodies for entry in group.members[replica].machine.entries]


# --------------------------------------------------------------------------- proposing


@pytest.mark.parametrize(
    ("commands", "entries"),
    [
        ([quick(1), quick(2), quick(3)], [3]),
        ([quick(1), Fence(SESSION, 1, 0), quick(2), quick(3)], [1, 1, 2]),
        ([quick(1), SETS, quick(2), LONG, quick(3)], [1, 1, 1, 1, 1]),
        ([OpenSession("r"), OpenSession("r")], [1, 1]),
    ],
)
async def test_neighbouring_quick_writes_of_a_turn_share_an_entry(
    group: Group, commands: Sequence[EntryBody], entries: list[int]
) -> None:
    answers = propose(group, *commands)
    group.ticks(1)
    await group.settle_until(lambda: all(answers))
    assert [len(bodies) for bodies in proposed(group)] == entries
    assert [body for bodies in proposed(group) for body in bodies] == list(commands)
    assert all(len(heard) == 1 for heard in answers)
    for replica in (1, 2, 3):
        await group[replica].close()


def test_an_entry_is_bounded_by_commands_and_by_bytes(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(office, "SHARED_COMMANDS_MAX", 3)
    size = len(msgspec.msgpack.encode(quick(1, "x" * 100)))
    monkeypatch.setattr(office, "SHARED_BYTES_MAX", 2 * size)
    propose(group, *[quick(seq) for seq in range(1, 8)])
    group.settle()
    propose(group, *[quick(seq, "x" * 100) for seq in range(10, 15)])
    group.settle()
    propose(group, quick(20, "x" * 1000), quick(21))  # alone over the limit: it goes all the same
    group.settle()
    assert [len(bodies) for bodies in proposed(group)] == [3, 3, 1, 2, 2, 1, 1, 1]


def test_the_leader_applies_what_the_others_read_from_the_log(group: Group) -> None:
    """It does not decode what it proposed; this compares with what those decode who have to."""
    group.members[1].clock.us = 5_000_000
    propose(group, quick(1), quick(2), Fence(SESSION, 7, 0), quick(3, "\u20ac"))
    group.settle()
    group.ticks(1)
    entries = group.members[1].machine.entries
    assert [len(entry.bodies) for entry in entries] == [2, 1, 1]
    stored = [entry.data for entry in group[1].log.entries(2, 4)]
    assert entries == [msgspec.msgpack.decode(data, type=Entry) for data in stored]
    assert entries == group.members[2].machine.entries == group.members[3].machine.entries
    times = [entry.now_us + n for entry in entries for n in range(len(entry.bodies))]
    assert times == [5_000_000, 5_000_001, 5_000_002, 5_000_003], "no two commands share theirs"


def test_what_was_queued_when_the_office_was_lost_never_entered_the_log(group: Group) -> None:
    group.cut = {1}
    (in_log,) = propose(group, quick(1))
    group.turn(1)
    last = group[1].status().last
    (queued,) = propose(group, quick(2))
    assert group[1].status().last == last
    group[1].stop("its disk is gone.")
    assert queued == [NotLeader(None)]
    assert [type(answer).__name__ for answer in in_log] == ["UnknownOutcome"]
    isolate_leader(group)
    assert group[1].status().last == last


def test_no_proposal_is_counted_twice_or_for_ever(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raft_engine, "PROPOSALS_MAX", 4)
    for _ in range(3):  # what was answered makes room, to the last one
        answers = propose(group, *[quick(seq) for seq in range(5)])
        assert [len(heard) for heard in answers] == [0, 0, 0, 0, 1]
        group.settle()
        assert all(isinstance(heard[0], Done) for heard in answers[:4])


# --------------------------------------------------------------------------- applying


def guarded(seq: int, key: int, guards: tuple[Guard, ...] = (), watermark: int = 0) -> Write:
    return Write(SESSION, seq, watermark, (statement(INSERT, key, "a"),), guards, quick=True)


async def test_each_command_of_an_entry_has_its_own_outcome(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    first = guarded(10, 1)
    answers = replica.together(
        first,
        guarded(11, 1),  # the key is taken
        first,  # a copy
        guarded(12, 2, (Guard("table:t", 7),)),
        guarded(13, 3, (Guard("table:t", 1),)),
        guarded(14, 4),
        guarded(15, 5),
    )
    assert [type(answer) for answer in answers] == [Done, SqlFailure, Done, Stale, Done, Done, Done]
    assert answers[0] == answers[2]
    assert [row[0] for row in replica.rows()] == [1, 3, 4, 5]
    for _ in range(2):  # and every one is known for itself
        copies = [guarded(15, 5), guarded(11, 1), first, guarded(14, 4), guarded(13, 3)]
        again = replica.together(*copies)
        assert list(again) == [answers[n] for n in (6, 1, 0, 5, 4)]
        await replica.reopen()
    await replica.machine.close()


async def test_sharing_an_entry_changes_no_row(tmp_path: Path) -> None:
    """Also not what is drawn by chance or read from the clock, as each has its own."""
    table = statement("CREATE TABLE r (id INTEGER PRIMARY KEY, a, at TEXT) STRICT, WITHOUT ROWID")
    table = statement(table.sql.replace("a,", "a INTEGER,"))
    insert = "INSERT INTO r VALUES (?1, random(), strftime('%f', 'now'))"
    rows = []
    for name, together in (("a", True), ("b", False)):
        replica = Replica(tmp_path / name)
        replica.write(table, sets=(SetVersion("table:r", 1),))
        writes = [Write(SESSION, n, 0, (statement(insert, n),), quick=True) for n in range(10, 15)]
        if together:
            replica.together(*writes, now_us=9_999_998, seed=5)
        else:
            for n, write in enumerate(writes):
                replica.apply(write, now_us=9_999_998 + n, seed=5 + n)
        await replica.machine.close()
        rows.append(content(tmp_path / name)["r"])
    assert rows[0] == rows[1]
    assert len({a for _, a, _ in rows[0]}) == 5
    assert [at for _, _, at in rows[0]] == ["09.999"] * 2 + ["10.000"] * 3
