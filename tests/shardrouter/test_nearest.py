"""Which replica is near: the estimate of the way, and the choice by it."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from shardrouter.nearest import NEAR_S, Distance, choose


def chosen(*distances: float | None) -> set[int]:
    rng = random.Random(1)
    return {choose(distances, rng) for _ in range(200)}


@pytest.mark.parametrize(
    ("distances", "near"),
    [
        ((0.0005, 0.05, 0.05), {0}),
        ((0.05, 0.0005, 0.3), {1}),
        ((0.0005, 0.0008, 0.0011), {0, 1, 2}),  # in one room: noise
        ((0.0005, 0.0005 + 2 * NEAR_S), {0}),
        ((0.080, 0.110, 0.150), {0, 1}),  # of far ones, those that are about as far
        ((None, None, None), {0, 1, 2}),
        ((None, 0.3, None), {1}),  # what is not known is not tried with a read
    ],
)
def test_the_nearest_is_chosen(distances: tuple[float | None, ...], near: set[int]) -> None:
    assert chosen(*distances) == near


def test_those_about_as_near_share_the_reads() -> None:
    rng = random.Random(7)
    counts = Counter(choose((0.001, 0.0011, 0.0012, 0.9), rng) for _ in range(3000))
    assert set(counts) == {0, 1, 2}
    assert min(counts.values()) > 900


def test_the_same_seed_chooses_the_same() -> None:
    first, second = random.Random(3), random.Random(3)
    way = (0.001, 0.001, None, 0.0011)
    assert [choose(way, first) for _ in range(50)] == [choose(way, second) for _ in range(50)]


def test_the_way_follows_a_change_and_forgives_one_stall() -> None:
    assert Distance().seconds is None
    way = Distance()
    way.add(0.001)
    assert way.seconds == 0.001
    for _ in range(3):
        way.add(0.051)
    assert way.seconds > 0.033  # two thirds of the change
    for _ in range(20):
        way.add(0.001)
    assert way.seconds < 0.0011
    way.add(0.003)  # a stall of two milliseconds leaves it near
    assert way.seconds - 0.001 < NEAR_S
