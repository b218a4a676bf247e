"""Snapshots over groups fit into the one order of all transactions, whoever is elected, whatever is
prepared and however long an answer takes; with any rule of the gates left out they do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nodes import gatekeeping
from nodes.gatekeeping import Gatekeeper
from nodes.gates import GATE_S_MAX, Gates
from nodes.protocol import (
    Abort,
    Commit,
    End,
    Fence,
    Guard,
    NotLeader,
    NotPinned,
    Prepare,
    SessionId,
    TransactionId,
    TransactionOutcome,
    Write,
)
from nodes.two_phase import touched_by
from tests.sim import snapshots as model
from tests.sim.test_two_phase import wrong
from tests.sim.two_phase import run

SEEDS = 40
MUTANT_SEEDS = 300

Patch = pytest.MonkeyPatch


def test_snapshots_are_strictly_serializable_with_all_else() -> None:
    counts: dict[str, int] = {}
    for seed in range(1000, 1000 + SEEDS):
        found = run(seed)
        assert not wrong(found), (seed, wrong(found))
        for what, count in found.counts.items():
            counts[what] = counts.get(what, 0) + count
    # And what this is about did happen.
    for what in ("snapshots", "snapshots in vain", "gates that opened by themselves", "elections"):
        assert counts[what] > 20, (what, counts)


def nothing_waits_at_a_gate(patch: Patch) -> None:
    patch.setattr(Gates, "keeps_out", lambda *_: False)


def a_promise_passes_the_gate(patch: Patch) -> None:
    patch.setattr(Gates, "keeps_out", lambda self, body: self.is_closed and isinstance(body, Write))


def what_was_in_the_log_is_not_waited_for(patch: Patch) -> None:
    close = Gates.close
    patch.setattr(
        Gates, "close", lambda self, id_, touched, _last, now: close(self, id_, touched, 0, now)
    )


def what_is_prepared_is_not_waited_for(patch: Patch) -> None:
    may_pin = Gates.may_pin
    patch.setattr(
        Gates, "may_pin", lambda self, id_, applied, _: may_pin(self, id_, applied, lambda _: None)
    )


def a_pin_outlives_the_commit_of_what_it_shows(patch: Patch) -> None:
    patch.setattr(Gates, "_pass", lambda *_: None)


def a_gate_that_was_open_confirms(patch: Patch) -> None:
    patch.setattr(Gates, "confirms", lambda *_: True)


def the_word_of_who_does_not_lead_is_taken(patch: Patch) -> None:
    patch.setattr(model, "leads", lambda _leader: True)


def what_was_read_is_told_before_the_word(patch: Patch) -> None:
    patch.setattr(model, "may_tell", lambda _is_one: True)


def each_is_confirmed_when_it_is_pinned(patch: Patch) -> None:
    """And not when all are: a gate may open while another one is waited for."""
    pinned, said = Gates.pinned, set[tuple[Gates, bytes]]()

    def pin(gates: Gates, id_: bytes) -> None:
        pinned(gates, id_)
        said.add((gates, id_))

    patch.setattr(Gates, "pinned", pin)
    patch.setattr(Gates, "confirms", lambda self, id_: (self, id_) in said)


def the_gates_open_when_they_are_pinned(patch: Patch) -> None:
    """Each for itself, and with a good word for all of them."""
    close = Gatekeeper.close

    def open_at_once(keeper: Any, id_: bytes, touched: Any, pin: Any, done: Any) -> None:
        def opened(refusal: Any) -> None:
            done(refusal)
            opens.append(id_)

        opens: list[bytes] = []
        close(keeper, id_, touched, pin, opened)
        for each in opens:
            keeper.open(each)

    patch.setattr(Gatekeeper, "close", open_at_once)
    patch.setattr(Gates, "confirms", lambda *_: True)


def what_one_opens_is_open_for_all(patch: Patch) -> None:
    """Of the snapshots that share a gate."""

    def open_all(gates: Gates, id_: bytes) -> bool:
        if id_ not in gates._gates:
            return False
        gates.is_closed = False
        return True

    patch.setattr(Gates, "open", open_all)


@pytest.mark.parametrize(
    ("mutant", "first"),  # a seed a little before one that convicts
    [
        (nothing_waits_at_a_gate, 0),
        (a_promise_passes_the_gate, 0),
        (what_was_in_the_log_is_not_waited_for, 15),
        (what_is_prepared_is_not_waited_for, 0),
        (a_pin_outlives_the_commit_of_what_it_shows, 0),
        (a_gate_that_was_open_confirms, 382),
        (the_word_of_who_does_not_lead_is_taken, 192),
        (what_was_read_is_told_before_the_word, 0),
        (each_is_confirmed_when_it_is_pinned, 382),
        (the_gates_open_when_they_are_pinned, 0),
        (what_one_opens_is_open_for_all, 172),
    ],
)
def test_without_any_rule_of_the_gates_a_snapshot_is_none(
    mutant: Callable[[Patch], None], first: int, monkeypatch: Patch
) -> None:
    mutant(monkeypatch)
    assert any(wrong(run(seed)) for seed in range(first, first + MUTANT_SEEDS))


# --------------------------------------------------------------------------- the gate itself

GUARDS = (Guard("table:t", 1), Guard("slot:7", 2))
WRITE = Write(SessionId(1, 1), 1, 0, (), GUARDS)
ID = TransactionId(1, 1, 1)
END = End(ID)
COMMIT = Commit(ID, WRITE, (), ())
READS = touched_by(GUARDS)


def nobody(_touched: Any) -> None:
    return None


@pytest.fixture
def gates() -> Gates:
    found = Gates()
    assert found.close(b"one", READS, 10, 5.0)
    return found


def test_what_begins_waits_and_what_ends_passes(gates: Gates) -> None:
    begins = (WRITE, Prepare(ID, WRITE, (), "a", ()))
    ends = (COMMIT, Abort(ID, ()), End(ID), Fence(SessionId(1, 1), 1, 0))
    assert all(gates.keeps_out(body) for body in begins)
    assert not any(gates.keeps_out(body) for body in ends)
    assert not gates.keeps_out(TransactionOutcome(ID, True, None))  # type: ignore[arg-type]
    assert gates.open(b"one")
    assert not any(gates.keeps_out(body) for body in begins)


def test_it_pins_what_is_applied_and_free_and_confirms_what_it_pinned(gates: Gates) -> None:
    assert not gates.may_pin(b"one", 9, nobody)
    assert not gates.may_pin(b"one", 10, lambda touched: ID if touched.meets(READS) else None)
    assert not gates.may_pin(b"two", 10, nobody)
    assert gates.may_pin(b"one", 10, nobody)
    assert not gates.confirms(b"one")
    gates.pinned(b"one")
    assert gates.confirms(b"one")
    assert not gates.confirms(b"two")


def test_a_commit_is_waited_for_or_makes_a_pin_of_what_it_writes_void(gates: Gates) -> None:
    elsewhere = touched_by((Guard("table:t", 1), Guard("slot:8", 1)))
    assert gates.close(b"other", elsewhere, 10, 5.0)
    assert not gates.keeps_out(COMMIT)
    assert gates.is_late(b"one")
    assert not gates.is_late(b"other"), "it reads other rows"
    assert not gates.may_pin(b"one", 99, nobody)
    gates.wait_for(b"one", 11)
    assert not gates.may_pin(b"one", 10, nobody)
    assert gates.may_pin(b"one", 11, nobody)
    for id_ in (b"one", b"other"):
        gates.pinned(id_)
    assert gates.confirms(b"one")
    assert not gates.keeps_out(COMMIT)
    assert not gates.confirms(b"one")
    assert gates.confirms(b"other")


def test_the_keeper_waits_for_a_commit_that_has_passed() -> None:
    leader = _Leading()
    leader.last = 12
    leader.close(b"one")
    assert not leader.keeper.keeps_out(COMMIT)
    leader.applied, leader.last = 12, 13
    leader.keeper.look()
    assert leader.did == []
    leader.applied = 13
    leader.keeper.look()
    assert leader.did == ["pin one", "one: NoneType"]


def test_they_share_a_gate_in_its_first_half_and_it_lasts_no_longer_for_that(gates: Gates) -> None:
    gates.pinned(b"one")
    assert not gates.close(b"one", READS, 10, 5.0), "a copy of what was asked"
    assert gates.keeps_out(WRITE)
    assert gates.close(b"two", READS, 10, 5.0 + GATE_S_MAX / 4)
    assert not gates.close(b"three", READS, 10, 5.0 + GATE_S_MAX * 0.6)
    assert not gates.open(b"one"), "of two"
    assert not gates.confirms(b"two")
    gates.pinned(b"two")
    assert gates.confirms(b"two")
    assert not gates.expire(5.0 + GATE_S_MAX * 0.9)
    assert gates.expire(gates.ends)
    assert not gates.confirms(b"two")
    assert not gates.open(b"two")
    assert gates.close(b"three", READS, 10, 5.1)
    assert not gates.open(b"one"), "it has ended"
    assert gates.open(b"three")


def test_one_that_keeps_nobody_out_stays_closed_until_somebody_comes(gates: Gates) -> None:
    late = 5.0 + 3 * GATE_S_MAX
    assert not gates.look(late)
    assert gates.close(b"two", READS, 10, late), "and nobody waits for longer because of that"
    assert gates.ends == late + GATE_S_MAX
    assert gates.keeps_out(WRITE)
    assert gates.look(gates.ends)


# --------------------------------------------------------------------------- its keeper


class _Leading:
    """A leader of whom this is asked, and what it did."""

    def __init__(self) -> None:
        self.now = 5.0
        self.applied = 10
        self.last = 10
        self.prepared: Any = self
        self.held: TransactionId | None = None
        self.did: list[str] = []
        self.keeper = Gatekeeper(
            self,
            now=lambda: self.now,
            enter=lambda: self.last,
            let_in=lambda: self.note("let in"),
            lasts_s=GATE_S_MAX,
        )

    def holder(self, _touched: Any) -> TransactionId | None:
        return self.held

    def note(self, what: str) -> None:
        self.did.append(what)

    def close(self, id_: bytes) -> None:
        name = id_.decode()
        self.keeper.close(
            id_,
            READS,
            lambda: self.note(f"pin {name}"),
            lambda refusal: self.note(f"{name}: {type(refusal).__name__}"),
        )


def test_the_keeper_pins_what_is_applied_and_free() -> None:
    leader = _Leading()
    leader.last = 12
    leader.held = ID
    leader.close(b"one")
    leader.applied = 12
    leader.keeper.look()
    assert leader.did == []
    leader.held = None
    leader.keeper.look()
    assert leader.did == ["pin one", "one: NoneType"]
    assert leader.keeper.confirm(b"one") is None
    assert leader.did[2:] == ["let in"]
    assert isinstance(leader.keeper.confirm(b"one"), NotPinned)


def test_who_comes_late_waits_until_others_were_let_in() -> None:
    leader = _Leading()
    leader.close(b"one")
    assert leader.keeper.keeps_out(WRITE)
    leader.now += GATE_S_MAX * 0.75
    leader.close(b"two")
    assert leader.did == ["pin one", "one: NoneType"]
    leader.keeper.open(b"one")
    assert leader.did[2:] == ["let in", "pin two", "two: NoneType"]
    assert leader.keeper.confirm(b"two") is None


def test_a_gate_that_lasts_too_long_pins_nothing() -> None:
    leader = _Leading()
    leader.held = ID
    leader.close(b"one")
    assert leader.keeper.look() == pytest.approx(GATE_S_MAX)
    assert leader.keeper.keeps_out(WRITE)
    leader.now += GATE_S_MAX
    assert leader.keeper.look() is None
    assert leader.did == ["let in", "one: NotPinned"]


def test_one_that_is_given_up_before_it_is_pinned_is_told_so() -> None:
    leader = _Leading()
    leader.held = ID
    leader.close(b"one")
    assert leader.keeper.keeps_out(WRITE)
    leader.now += GATE_S_MAX * 0.75
    leader.close(b"two")
    leader.keeper.open(b"two")
    assert leader.did == ["two: NotPinned"], "it waited for the gate"
    leader.keeper.open(b"one")
    assert leader.did[1:] == ["let in", "one: NotPinned"]
    leader.held = None
    leader.keeper.look()
    assert leader.did[3:] == []


def test_who_comes_when_its_time_is_over_opens_it() -> None:
    leader = _Leading()
    leader.close(b"one")
    leader.now += 2 * GATE_S_MAX
    assert leader.keeper.look() is None
    assert leader.did == ["pin one", "one: NoneType"], "nobody has come"
    assert not leader.keeper.keeps_out(END)
    assert leader.did[2:] == []
    assert not leader.keeper.keeps_out(WRITE)
    assert leader.did[2:] == ["let in"]
    assert isinstance(leader.keeper.confirm(b"one"), NotPinned)


def test_with_the_office_end_its_gates() -> None:
    leader = _Leading()
    leader.close(b"one")
    leader.held = ID
    leader.close(b"two")
    leader.keeper.drop(NotLeader(None))
    assert leader.did == ["pin one", "one: NoneType", "two: NotLeader"]
    assert not leader.keeper.keeps_out(WRITE)
    assert isinstance(leader.keeper.confirm(b"one"), NotPinned)


def test_those_that_wait_are_bounded(monkeypatch: Patch) -> None:
    monkeypatch.setattr(gatekeeping, "WAITING_MAX", 2)
    leader = _Leading()
    leader.held = ID
    for id_ in (b"one", b"two", b"three"):
        leader.close(id_)
    assert leader.did == ["three: NotPinned"]
