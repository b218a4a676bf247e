"""Nodes whose power goes: as shipped they lose nothing, and the soak sees it when they would."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from jepsen_like.interpose import InterposeError, Survival
from tests.power.soak import Cut, Moment, Outcome, plan, soak

pytestmark = pytest.mark.slow

ONE_OF_EACH = [
    Cut(Moment.RANDOM, "n1", False, Survival.NOTHING),
    Cut(Moment.COMPACTION, "n2", False, Survival.ANY, 5),
    Cut(Moment.SNAPSHOT, "n3", False, Survival.PIECES, 20),
    Cut(Moment.RANDOM, "n1", True, Survival.NOTHING),
]


async def run(cuts: list[Cut], directory: Path, *, synchronous: str = "full") -> Outcome:
    try:
        return await soak(cuts, directory, seed=1, synchronous=synchronous)
    except InterposeError as exc:
        pytest.skip(str(exc))


@pytest.mark.long
async def test_power_cuts_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    outcome = await run(ONE_OF_EACH, tmp_path)
    assert outcome.is_good, outcome
    assert outcome.crashes == len(ONE_OF_EACH)
    assert outcome.by_trigger == 2, "the cuts missed the moments they were made for"
    assert outcome.equal_at.keys() == {"meta", "s1"}
    assert outcome.acknowledged > 100


async def test_a_log_that_does_not_wait_for_the_disk_is_convicted(tmp_path: Path) -> None:
    """And only for that: the cut is one that the nodes as shipped survive above.

    What was acknowledged is lost in silence, unless a checkpoint had made a data file durable
    beyond the log: then the replica sees what its log has lost, and refuses to start.
    """
    outcome = await run(ONE_OF_EACH[-1:], tmp_path, synchronous="off")
    assert not outcome.is_good
    assert outcome.lost > 0 or any("the log of group" in r for r in outcome.refused), outcome


def test_a_plan_repeats_by_its_seed_and_spares_nobody() -> None:
    cuts = plan(200, Random(1))
    assert cuts == plan(200, Random(1))
    assert cuts != plan(200, Random(2))
    for first in range(0, 198, 3):
        assert {cut.node for cut in cuts[first : first + 3]} == {"n1", "n2", "n3"}
    assert {cut.moment for cut in cuts} == set(Moment)
    assert {cut.survival for cut in cuts} == set(Survival)
