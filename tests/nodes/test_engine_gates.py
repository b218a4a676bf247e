"""What a closed gate keeps out of the log of a real engine, and when its word counts."""

from __future__ import annotations

import msgspec
import pytest

from nodes.gates import GATE_S_MAX
from nodes.protocol import (
    Done,
    EntryBody,
    Fence,
    Guard,
    NotLeader,
    NotPinned,
    Prepare,
    ResponseBody,
    SessionId,
    TransactionId,
    UnknownOutcome,
    Write,
)
from nodes.two_phase import touched_by
from tests.nodes.test_raft_engine import ELECTION_TICKS, Group, isolate_leader

GUARDS = (Guard("table:t", 1), Guard("slot:7", 1))
SESSION = SessionId(1, 1)
WRITE = Write(SESSION, 1, 0, (), GUARDS)
PREPARE = Prepare(TransactionId(1, 1, 1), WRITE, (), "g", ())
FENCE = Fence(SESSION, 1, 0)


class Led:
    """A group that replica 1 leads, and what became of what it was asked."""

    def __init__(self) -> None:
        self.group = Group()
        self.group.ticks(3)
        self.engine = self.group[1]
        self.said: list[tuple[str, str]] = []

    def note(self, what: str, answer: ResponseBody | None) -> None:
        self.said.append((what, "ok" if answer is None else type(answer).__name__))

    def propose(self, what: str, command: EntryBody) -> None:
        body = msgspec.msgpack.encode(command)
        self.engine.propose(body, lambda answer: self.note(what, answer), command=command)

    def close(self, name: str) -> None:
        self.engine.close_gate(
            name.encode(),
            touched_by(GUARDS),
            lambda: self.said.append((name, "pinned")),
            lambda answer: self.note(name, answer),
        )

    def confirm(self, name: str) -> None:
        self.engine.confirm_gate(name.encode(), lambda answer: self.note(name, answer))

    def take(self) -> list[tuple[str, str]]:
        said, self.said = self.said, []
        return said


@pytest.fixture
def led() -> Led:
    return Led()


def test_it_pins_what_was_let_in_and_keeps_out_what_comes(led: Led) -> None:
    led.propose("before", WRITE)
    led.close("one")
    led.propose("write", WRITE)
    led.propose("prepare", PREPARE)
    led.propose("fence", FENCE)
    assert led.take() == [], "nothing is committed yet"
    led.group.settle()
    assert led.take() == [
        ("before", Done.__name__),
        ("fence", Done.__name__),
        ("one", "pinned"),
        ("one", "ok"),
    ]
    led.confirm("one")
    assert led.take() == [], "a quorum has to say that it leads"
    led.group.settle()
    assert sorted(led.take()) == [("one", "ok"), ("prepare", "Done"), ("write", "Done")]


def test_who_waits_for_the_next_gate_waits_for_what_this_one_kept_out(led: Led) -> None:
    led.close("one")
    led.group.members[1].clock.time += GATE_S_MAX * 0.75
    led.propose("write", WRITE)
    led.close("two")
    led.engine.open_gate(b"one")
    led.group.settle()
    assert led.take() == [
        ("one", "pinned"),
        ("one", "ok"),
        ("write", Done.__name__),
        ("two", "pinned"),
        ("two", "ok"),
    ]


def test_it_opens_by_itself_and_confirms_nothing_then(led: Led) -> None:
    led.close("one")
    led.propose("write", WRITE)
    led.group.settle()
    assert led.take() == [("one", "pinned"), ("one", "ok")]
    led.group.members[1].clock.time += GATE_S_MAX
    assert led.engine.look_at_gates() is None
    led.group.settle()
    assert led.take() == [("write", Done.__name__)]
    led.confirm("one")
    assert led.take() == [("one", NotPinned.__name__)]


def test_a_gate_ends_with_the_office(led: Led) -> None:
    led.close("one")
    led.propose("write", WRITE)
    assert led.take() == [("one", "pinned"), ("one", "ok")]
    isolate_leader(led.group)
    assert led.take() == [("write", NotLeader.__name__)]
    led.confirm("one")
    led.close("two")
    assert led.take() == [("one", NotPinned.__name__), ("two", NotLeader.__name__)]


def test_the_word_of_a_leader_that_was_deposed_does_not_count(led: Led) -> None:
    """It has pinned, its gate is closed, and another one writes."""
    led.close("one")
    led.group.settle()
    led.take()
    led.group.cut = {1}
    for _ in range(4 * ELECTION_TICKS):
        for replica in (2, 3):
            led.group[replica].tick()
        led.group.settle()
    assert "leader" in (led.group.role(2), led.group.role(3))
    led.confirm("one")
    led.group.settle()
    assert led.take() == []
    led.group.cut = set()
    led.group.ticks(2)
    assert led.take() == [("one", NotLeader.__name__)]


def test_what_was_in_its_log_and_not_committed_is_not_pinned(led: Led) -> None:
    led.group.cut = {2, 3}
    led.propose("write", WRITE)
    led.close("one")
    led.group.settle()
    assert led.take() == []
    led.engine.stop("The disk is full.")
    assert sorted(led.take()) == [("one", NotLeader.__name__), ("write", UnknownOutcome.__name__)]
