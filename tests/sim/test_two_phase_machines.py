"""Transactions over groups of real replicas are what they are over those of the model; a replica
that breaks its promise is found out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from nodes.machine import Machine
from nodes.prepared_work import PreparedWork
from nodes.two_phase import TwoPhase, TwoPhaseChanges
from tests.sim.test_two_phase import wrong
from tests.sim.two_phase import Damage
from tests.sim.two_phase_machines import run

SEEDS = range(10, 20)  # in which all that is counted below happens
LONG_SEEDS = range(20, 200)
MUTANT_SEEDS = 20

Patch = pytest.MonkeyPatch


def counted(seeds: Iterable[int], directory: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    for seed in seeds:
        found = run(seed, directory / str(seed))
        assert not wrong(found), (seed, wrong(found))
        for what, count in found.counts.items():
            counts[what] = counts.get(what, 0) + count
    return counts


RESTARTS = [f"{kind} of what is prepared" for kind in ("restart", "crash", "snapshot")]


def test_transactions_over_real_groups_are_strictly_serializable(tmp_path: Path) -> None:
    counts = counted(SEEDS, tmp_path)
    for what in ("ok", "Prepared", "Decided", "Locked", "reads that waited", "resolution: Abort"):
        assert counts[what] > 20, (what, counts)
    for what in ("elections", "crashed routers", "40001", *RESTARTS):
        assert counts[what] > 0, (what, counts)


@pytest.mark.long
def test_the_same_for_longer(tmp_path: Path) -> None:
    counts = counted(LONG_SEEDS, tmp_path)
    assert all(counts[what] > 50 for what in RESTARTS), counts


def a_restart_forgets_what_is_prepared(patch: Patch) -> None:
    restore = TwoPhase.restore
    patch.setattr(TwoPhase, "restore", lambda self, _, decided: restore(self, (), decided))


def a_restart_forgets_outcomes(patch: Patch) -> None:
    restore = TwoPhase.restore
    patch.setattr(TwoPhase, "restore", lambda self, held, _: restore(self, held, ()))


def nothing_is_written_of_it(patch: Patch) -> None:
    patch.setattr(TwoPhase, "take_changes", lambda _: TwoPhaseChanges())


def the_lock_is_gone_before_it_runs(patch: Patch) -> None:
    patch.setattr(TwoPhase, "holder", lambda *_: None)
    patch.setattr(Machine, "_locked", lambda *_: None)


def what_is_tried_stays(patch: Patch) -> None:
    patch.setattr("nodes.prepared_work.ROLLBACK_TO", "SELECT 1")


def an_outcome_runs_nothing(patch: Patch) -> None:
    patch.setattr(PreparedWork, "run", PreparedWork.drop)


MUTANTS: list[Callable[[Patch], None]] = [
    a_restart_forgets_what_is_prepared,
    a_restart_forgets_outcomes,
    nothing_is_written_of_it,
    the_lock_is_gone_before_it_runs,
    what_is_tried_stays,
    an_outcome_runs_nothing,
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: str(mutant.__name__))
def test_a_replica_that_breaks_a_rule_is_found_out(
    mutant: Callable[[Patch], None], monkeypatch: Patch, tmp_path: Path
) -> None:
    mutant(monkeypatch)
    for seed in range(MUTANT_SEEDS):
        try:
            if wrong(run(seed, tmp_path / str(seed))):
                return
        except Damage:
            return
    pytest.fail(f"not noticed in {MUTANT_SEEDS} runs")
