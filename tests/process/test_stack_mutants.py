"""The whole stack with one rule less, simulated: each is convicted, and the same tests without that
find nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from jepsen_like.sim.seeds import Simulator
from tests.sim.stack_mutants import MUTANTS

pytestmark = [pytest.mark.slow, pytest.mark.long]

FILE = Path("tests/sim/stack_mutants.py")

SEEDS_MAX = 200

QUICK = "ack_before_durable"
"""The one of every long run; all of them are the nightly's."""

NIGHTLY = [pytest.param(name, marks=pytest.mark.nightly) for name in MUTANTS if name != QUICK]


@pytest.mark.parametrize("name", [QUICK, *NIGHTLY])
def test_a_rule_that_is_left_out_is_found(name: str, tmp_path: Path) -> None:
    with Simulator(FILE, name) as simulator:
        found = (
            simulator.run_seed(seed, out=tmp_path / str(seed)) for seed in range(1, SEEDS_MAX + 1)
        )
        assert any(result.verdict == "invalid" for result in found)


@pytest.mark.nightly
@pytest.mark.parametrize("name", MUTANTS)
def test_with_the_rule_nothing_is_found(name: str, tmp_path: Path) -> None:
    with Simulator(FILE, f"intact_{name}") as simulator:
        for seed in range(1, 6):
            result = simulator.run_seed(seed, out=tmp_path / str(seed))
            assert result.verdict != "invalid", result.reason
