"""The whole stack with one rule less, simulated: each is convicted and its schedule made simple,
and the same tests without that find nothing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from jepsen_like.faults import Healthy
from jepsen_like.schedule import Schedule
from jepsen_like.sim.seeds import Simulator
from tests.sim.stack_mutant_table import FILE, Limits, Row, Shrunk, find_out, page
from tests.sim.stack_mutants import MUTANTS

SEEDS_MAX = 200

QUICK = "ack_before_durable"
"""The one of every long run; all of them are the nightly's."""


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.computes
def test_a_rule_that_is_left_out_is_found(tmp_path: Path) -> None:
    with Simulator(FILE, QUICK) as simulator:
        found = (
            simulator.run_seed(seed, out=tmp_path / str(seed)) for seed in range(1, SEEDS_MAX + 1)
        )
        assert any(result.verdict == "invalid" for result in found)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.computes
@pytest.mark.nightly
@pytest.mark.parametrize("name", MUTANTS)
def test_each_is_convicted_and_made_simple_and_with_the_rule_nothing_is_found(
    name: str, tmp_path: Path
) -> None:
    row = Row(name)
    said = list(find_out(row, Limits(seeds=SEEDS_MAX, intact=5, runs=50), tmp_path))
    assert row.is_as_it_should_be, "\n".join(said)
    assert row.intact_seeds >= 5


CONVICTED = Row(
    "ack_before_durable",
    seeds=3,
    reason="linearizable (register): read of key 2 on n1 returned 4",
    commit="abc1234",
    undecided={1: "3 of 9 final reads never came back"},
    shrunk=Shrunk(
        12,
        "of 2 faults 1 is needed, found in 12 runs",
        Schedule((Healthy(2.0),), 1, ((0, 1),), 0).as_data(),
        7,
        "gone",
    ),
    intact={"valid": 5},
)


def test_what_is_known_is_written_down_and_read_again() -> None:
    assert Row.from_data(asdict(CONVICTED)) == CONVICTED
    assert CONVICTED.is_as_it_should_be
    stale = Row("stale_leader_reads", seeds=2)
    assert not stale.is_as_it_should_be
    assert Row.from_data(asdict(stale)) == stale


def test_the_page_says_what_was_found_and_how_to_see_it_again() -> None:
    dirty = Row(
        "token_lost", 4, "stale", shrunk=CONVICTED.shrunk, intact={"valid": 4, "unknown": 1},
        intact_reasons={2: "it hangs"},
    )  # fmt: skip
    assert not dirty.is_as_it_should_be
    text = page([CONVICTED, dirty, Row("stale_leader_reads", seeds=200)], runs=50)
    assert "in at most 50 runs" in text
    assert (
        "| [ack_before_durable](#ack_before_durable) | 3 | linearizable (register) "
        "| of 2 faults 1 is needed, found in 12 runs | 5 valid | abc1234 |\n"
    ) in text
    assert "| [stale_leader_reads](#stale_leader_reads) | none of 200 |" in text
    assert "The log is synced twice a second" in text
    assert "```text\n    0.0 s  healthy for 2 s\nmeanwhile, as long as" in text
    assert "Seed 1 is unknown: 3 of 9 final reads never came back." in text
    assert "jepsen-like shrink tests/sim/stack_mutants.py:ack_before_durable --seed 3\n" in text
    assert "With the rule in its place seed 2 is not valid: it hangs." in text
    assert "Not convicted by the test `registers` in 200 seeds." in text
