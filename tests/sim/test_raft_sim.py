"""The simulated Raft group keeps its promises, and convicts a Raft that does not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from nodes.raft.core import RaftCore
from tests.sim.raft_cluster import Options, Simulation
from tests.sim.raft_engines import ENGINES
from tests.sim.raft_mutant_table import FIRST_SEED, TICKS
from tests.sim.raft_mutants import MUTANTS, Mutant
from tests.sim.raft_sim import Found, find_violation, run, run_seed, shrink, simulation

ROOT = Path(__file__).parent.parent.parent
SEEDS = 150
QUICKLY_CONVICTED = 100
SLOWLY_CONVICTED = 1500
"""Seeds within which each mutant is convicted; how many it took is in docs/raft-mutants.md."""

NEEDS_RARE_COINCIDENCES = {
    "commits-old-term",
    "counts-stale-votes",
    "echoes-rounds-of-old-terms",
    "forgets-vote",
    "lease-from-receiving",
    "members-before-own-entry",
    "members-many-at-once",
    "members-of-removed-entries",
    "reads-take-the-round-before",
    "removed-leader-counts-itself",
    "snapshot-unchecked",
}
"""The search for them is too long for every run of the tests: `make nightly`."""


@pytest.mark.slow
def test_no_promise_is_broken_and_every_fault_was_met() -> None:
    totals: Counter[str] = Counter()
    for seed in range(SEEDS):
        try:
            totals.update(run_seed(seed, Options()))
        except Exception as exc:
            exc.add_note(
                f"replay: python -m tests.sim.raft_sim --seeds 1 --seed {seed} --ticks 150"
            )
            raise
    assert {name for name in ENGINES["core"].must_happen if not totals[name]} == set()


def test_a_single_voter_needs_nobody() -> None:
    counts = Simulation(1, Options(replicas=1, faults=("crash", "pause", "clock jump"))).run()

    assert counts["writes"] > 0
    assert counts["reads"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_a_seed_is_a_run_bit_for_bit_in_every_process(engine: str) -> None:
    def traces(hash_seed: str) -> str:
        command = ("-m", "tests.sim.raft_sim", "--engine", engine, "--trace")
        return subprocess.run(
            [sys.executable, *command, "--seed", "3", "--seeds", "3", "--ticks", "40"],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    assert traces("1") == traces("2") != ""


TRACES = {
    15: "cf2d47602946baa3e45f4449ee3a26dd358b1a70a445d0e180caa7b19fc24610",
    33: "d3030847d63cedcd2b32c82937dcd89751420b42ee35f716025314e275b66e87",
}
"""Of 40 ticks of the core. Whoever changes what the core sends, or the simulation, writes the new
ones here (`python -m tests.sim.raft_sim --trace --ticks 40 --seeds 1 --seed 15`); a Python on which
they differ without that would make every seed in a report worthless."""


@pytest.mark.parametrize("seed", TRACES)
def test_a_seed_is_the_same_run_on_every_python(seed: int) -> None:
    made = simulation(seed, Options(ticks=40))
    run(seed, made)

    assert made.trace == TRACES[seed]


def convict(name: str, seeds: int) -> None:
    found = find_violation(
        range(FIRST_SEED, FIRST_SEED + seeds), Options(ticks=TICKS), MUTANTS[name]
    )

    assert found is not None, f"{name} got away with it"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(MUTANTS.keys() - NEEDS_RARE_COINCIDENCES))
def test_a_broken_rule_is_convicted(name: str) -> None:
    convict(name, QUICKLY_CONVICTED)


@pytest.mark.long
@pytest.mark.nightly
@pytest.mark.parametrize("name", sorted(NEEDS_RARE_COINCIDENCES))
def test_a_broken_rule_that_needs_rare_coincidences_is_convicted(name: str) -> None:
    convict(name, SLOWLY_CONVICTED)


@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_still_breaks_something(name: str) -> None:
    MUTANTS[name].check()


def test_a_mutant_whose_rule_has_moved_is_refused() -> None:
    class Moved(RaftCore):
        def _a_rule_of_another_name(self) -> None:
            pass

    with pytest.raises(AssertionError, match="has no _a_rule_of_another_name"):
        Mutant({"core": Moved}).check()


@pytest.mark.slow
def test_a_violation_is_shrunk_and_says_how_to_replay_it() -> None:
    mutant, options = MUTANTS["acknowledges-early"], Options()
    found = find_violation(range(10), options, mutant)
    assert found is not None
    schedule = ("tick 0: 1 x", "tick 0: 2 x")
    first = Found(found[0], options.ticks, (), str(found[1]), schedule, "acknowledges-early")

    small = shrink(first, options)

    assert len(small.schedule) < 5
    report = small.report()
    assert f"--seeds 1 --seed {found[0]} --ticks 150 --mutant acknowledges-early" in report
