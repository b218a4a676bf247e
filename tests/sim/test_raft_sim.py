"""The simulated Raft group keeps its promises, and convicts a Raft that does not."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter

import pytest

from tests.sim.raft_cluster import ALL_FAULTS, Options, Simulation
from tests.sim.raft_mutants import MUTANTS
from tests.sim.raft_sim import find_violation, run_seed, shape

SEEDS = 200
CONVICTION_SEEDS = 300


@pytest.mark.slow
def test_no_promise_is_broken_and_every_fault_was_met() -> None:
    totals: Counter[str] = Counter()
    for seed in range(SEEDS):
        try:
            totals.update(run_seed(seed, Options()))
        except Exception as exc:
            exc.add_note(f"replay: python -m tests.sim.raft_sim --seeds 1 --seed {seed}")
            raise
    wanted = {*ALL_FAULTS, "strikes", "elections", "truncations", "writes", "reads", "reads failed"}
    assert {name for name in wanted if not totals[name]} == set()


def test_a_single_voter_needs_nobody() -> None:
    counts = Simulation(1, Options(replicas=1, faults=("crash", "pause", "clock jump"))).run()

    assert counts["writes"] > 0
    assert counts["reads"] > 0


def test_a_seed_is_a_run_bit_for_bit() -> None:
    def run() -> tuple[object, Counter[str]]:
        simulation = Simulation(7, shape(random.Random(7), Options()))
        counts = simulation.run()
        return simulation.checker.committed, counts

    assert run() == run()


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_convicted(name: str) -> None:
    options = dataclasses.replace(Options(), **MUTANTS[name])

    found = find_violation(range(CONVICTION_SEEDS), options)

    assert found is not None, f"{name} got away with it"
