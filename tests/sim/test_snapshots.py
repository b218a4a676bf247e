"""Snapshots over groups fit into the one order of all transactions, whoever is elected, whatever is
prepared and however long an answer takes; with any rule of the gates left out they do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nodes.gates import GATE_S_MAX, Gates
from nodes.protocol import (
    Decide,
    End,
    Fence,
    Guard,
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
        assert counts[what] > 50, (what, counts)


def nothing_waits_at_a_gate(patch: Patch) -> None:
    patch.setattr(Gates, "keeps_out", lambda *_: False)


def a_promise_passes_the_gate(patch: Patch) -> None:
    patch.setattr(Gates, "keeps_out", lambda self, body: self._id and isinstance(body, Write))


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


def a_gate_that_was_open_confirms(patch: Patch) -> None:
    patch.setattr(Gates, "confirms", lambda *_: True)


def the_word_of_who_does_not_lead_is_taken(patch: Patch) -> None:
    patch.setattr(model, "confirmed", lambda leader, id_: leader.gates.confirms(id_))


def each_is_confirmed_when_it_is_pinned(patch: Patch) -> None:
    """And not when all are: a gate may open while another one is waited for."""
    pinned, said = model.pinned, dict[tuple[str, bytes], bool]()

    def pin(leader: Any, id_: bytes) -> Any:
        state = pinned(leader, id_)
        if state is not None:
            said[leader.group.name, id_] = bool(leader.gates.confirms(id_))
        return state

    patch.setattr(model, "pinned", pin)
    patch.setattr(model, "confirmed", lambda leader, id_: said[leader.group.name, id_])


def the_gates_open_when_they_are_pinned(patch: Patch) -> None:
    """Each for itself, and with a good word for all of them."""
    pinned = model.pinned

    def pin(leader: Any, id_: bytes) -> Any:
        state = pinned(leader, id_)
        if state is not None:
            leader.gates.open(id_)
            leader.group.let_in()
        return state

    patch.setattr(model, "pinned", pin)
    patch.setattr(model, "confirmed", lambda *_: True)


MUTANTS: dict[Callable[[Patch], None], int] = {
    nothing_waits_at_a_gate: 5,
    a_promise_passes_the_gate: 0,
    what_was_in_the_log_is_not_waited_for: 22,
    what_is_prepared_is_not_waited_for: 0,
    a_gate_that_was_open_confirms: 60,
    the_word_of_who_does_not_lead_is_taken: 184,
    each_is_confirmed_when_it_is_pinned: 60,
    the_gates_open_when_they_are_pinned: 0,
}
"""Each with the seed to begin with: the first that noticed when this was written."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: str(mutant.__name__))
def test_without_any_rule_of_the_gates_a_snapshot_is_none(
    mutant: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    mutant(monkeypatch)
    seeds = range(MUTANTS[mutant], MUTANTS[mutant] + MUTANT_SEEDS)
    assert any(wrong(run(seed)) for seed in seeds), f"not noticed in {MUTANT_SEEDS} runs"


# --------------------------------------------------------------------------- the gate itself

GUARDS = (Guard("table:t", 1), Guard("slot:7", 2))
WRITE = Write(SessionId(1, 1), 1, 0, (), GUARDS)
ID = TransactionId(1, 1, 1)
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
    ends = (Decide(ID, True, ()), End(ID), Fence(SessionId(1, 1), 1, 0))
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


def test_one_gate_at_a_time_and_none_for_long(gates: Gates) -> None:
    gates.pinned(b"one")
    assert not gates.close(b"two", READS, 10, 5.0)
    assert not gates.expire(5.0 + GATE_S_MAX / 2)
    assert gates.expire(gates.ends)
    assert not gates.is_closed
    assert not gates.confirms(b"one")
    assert not gates.open(b"one")
    assert gates.close(b"two", READS, 10, 5.1)
    assert not gates.open(b"one"), "that of another"
    assert not gates.confirms(b"two")
