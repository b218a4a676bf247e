"""Delta debugging on oracles whose answer is known."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import combinations

import pytest

from jepsen_like.shrinking import OutOfRuns, Search, fewest, least

FAULTS = 26
RUNS_MAX = 50
"""What 26 faults may take."""


def shrunk(
    parts: tuple[int, ...], fails: Callable[[tuple[int, ...]], bool], runs: int = 10_000
) -> tuple[tuple[int, ...], Search[tuple[int, ...]]]:
    search = Search(parts, fails, runs=runs)
    return fewest(search, parts, lambda kept: kept), search


@pytest.mark.parametrize("causes", [1, 2, 3])
def test_26_faults_come_to_their_cause_in_under_50_runs(causes: int) -> None:
    most = 0
    for seed in range(1_000):
        cause = set(random.Random(seed).sample(range(FAULTS), causes))
        found, search = shrunk(tuple(range(FAULTS)), lambda kept, c=cause: c <= set(kept))  # type: ignore[misc]
        assert found == tuple(sorted(cause)) == search.best
        most = max(most, search.runs)
    assert most < RUNS_MAX


def test_what_fails_without_any_part_is_known_after_one_run() -> None:
    found, search = shrunk(tuple(range(FAULTS)), lambda kept: True)
    assert (found, search.best, search.runs) == ((), (), 1)


def test_the_last_part_is_not_asked_for_where_one_has_to_stay() -> None:
    asked: list[tuple[int, ...]] = []

    def fails(kept: tuple[int, ...]) -> bool:
        asked.append(kept)
        return True

    parts: tuple[int, ...] = (1, 2, 3)
    search = Search(parts, fails, runs=10)
    assert fewest(search, parts, lambda kept: kept, may_be_none=False) == (1,)
    assert () not in asked


def test_the_result_is_1_minimal_whatever_the_oracle_says() -> None:
    """Also where fewer parts fail and more do not: each subset of eight parts, by lot."""
    parts = tuple(range(8))
    subsets = [s for size in range(9) for s in combinations(parts, size)]
    for seed in range(200):
        rng = random.Random(seed)
        failing = {subset for subset in subsets if rng.random() < 0.3} | {parts}
        found, search = shrunk(parts, failing.__contains__)
        assert found == search.best
        assert found in failing
        assert not [
            gone for gone in found if tuple(part for part in found if part != gone) in failing
        ]


def test_a_part_that_can_go_only_after_another_goes() -> None:
    """5 needs 2 beside it to do no harm: what was tried once is tried again."""

    def fails(kept: tuple[int, ...]) -> bool:
        return 7 in kept and not (2 in kept and 5 not in kept)

    found, _ = shrunk((2, 5, 7), fails)
    assert found == (7,)


def test_no_candidate_is_run_twice_and_none_beyond_what_is_allowed() -> None:
    ran: list[tuple[int, ...]] = []

    def fails(kept: tuple[int, ...]) -> bool:
        ran.append(kept)
        return {3, 17} <= set(kept)

    search = Search(tuple(range(FAULTS)), fails, runs=6)
    with pytest.raises(OutOfRuns):
        fewest(search, search.best, lambda kept: kept)
    assert search.runs == len(ran) == len(set(ran)) == 6
    assert {3, 17} <= set(search.best) < set(range(FAULTS))


def test_a_variant_that_fails_takes_the_place_of_what_does_not() -> None:
    """Without a fault everything happens in another order; one of the next orders shows it."""
    search = Search(
        ("faults", 0),
        lambda candidate: candidate == ("none", 2),
        runs=10,
        variants=lambda candidate: [(candidate[0], order) for order in (1, 2, 3)],
    )
    assert search.takes(("none", 0))
    assert search.best == ("none", 2)
    assert search.runs == 3


@pytest.mark.parametrize(("needed", "found"), [(1, 1), (2, 2), (5, 5), (11, 11), (16, 16)])
def test_the_least_whole_number(needed: int, found: int) -> None:
    search = Search(16, lambda number: number >= needed, runs=10)
    assert least(search, 16, 1, int) == found == search.best


def test_the_least_duration_is_near_what_is_needed_and_never_below() -> None:
    search = Search(12.0, lambda number: number >= 2.35, runs=10)
    found = least(search, 12.0, 0.5, float)
    assert found == search.best
    assert 2.35 <= found < 2.35 + 12 / 2**5 + 0.1
