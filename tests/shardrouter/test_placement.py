"""The three bounds of slot assignment, and the spread of replicas and leaders."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.router import TARGETS, measure
from nodes.values import SLOTS
from shardrouter.placement import (
    PlacementError,
    assign_slots,
    place_replicas,
    reassign,
    shares,
)


def names(count: int) -> list[str]:
    return [f"shard{i}" for i in range(1, count + 1)]


def assert_within_bounds(owners: list[int], parts: list[Fraction]) -> None:
    owned = Counter(owners)
    for index, part in enumerate(parts):
        assert math.floor(part) <= owned[index] <= math.ceil(part)
        assert math.floor(part * 90 / 100) <= owned[index] <= math.ceil(part * 105 / 100)


def moved(before: list[int], old: list[str], after: list[int], new: list[str]) -> int:
    return sum(old[a] != new[b] for a, b in zip(before, after, strict=True))


FIRST_SLOTS = [2, 1, 2, 0, 2, 1, 0, 2, 2, 1, 1, 1, 2, 0, 1, 0]

few_examples = settings(max_examples=12, deadline=None)


@few_examples
@given(st.integers(1, 1000))
def test_every_shard_owns_its_share_of_the_slots(count: int) -> None:
    shards = names(count)
    assert_within_bounds(assign_slots(shards), shares(shards))


@few_examples
@given(st.lists(st.integers(1, 8), min_size=1, max_size=120))
def test_every_shard_owns_its_weighted_share_of_the_slots(weights: list[int]) -> None:
    shards = names(len(weights))
    weight_of = dict(zip(shards, weights, strict=True))
    assert_within_bounds(assign_slots(shards, weight_of), shares(shards, weight_of))


@few_examples
@given(st.integers(1, 999))
def test_adding_a_shard_moves_little_more_than_its_share(count: int) -> None:
    old, new = names(count), names(count + 1)
    before = assign_slots(old)
    after = reassign(before, old, new)
    ideal = Fraction(SLOTS, count + 1)
    assert moved(before, old, after, new) <= ideal * 115 / 100
    assert all(a == b or b == count for a, b in zip(before, after, strict=True))
    assert_within_bounds(after, shares(new))


@few_examples
@given(st.integers(2, 1000), st.data())
def test_removing_a_shard_moves_little_more_than_its_share(count: int, data: st.DataObject) -> None:
    old = names(count)
    gone = data.draw(st.sampled_from(old))
    new = [name for name in old if name != gone]
    before = assign_slots(old)
    after = reassign(before, old, new)
    assert moved(before, old, after, new) <= Fraction(SLOTS, count) * 115 / 100
    assert moved(before, old, after, new) == before.count(old.index(gone))
    assert_within_bounds(after, shares(new))


@few_examples
@given(st.lists(st.booleans(), max_size=12), st.integers(1, 40))
def test_a_long_history_of_changes_keeps_the_bounds(grows: list[bool], count: int) -> None:
    shards, fresh = names(count), count
    owners = assign_slots(shards)
    for grow in grows:
        old, before = shards, owners
        if grow:
            fresh += 1
            shards = [*shards, f"shard{fresh}"]
        elif len(shards) > 1:
            shards = shards[1:]
        owners = reassign(before, old, shards)
        assert_within_bounds(owners, shares(shards))
        assert moved(before, old, owners, shards) <= Fraction(
            SLOTS, max(len(old), len(shards))
        ) * Fraction(115, 100)


@few_examples
@given(st.lists(st.integers(1, 8), min_size=2, max_size=60))
def test_adding_a_weighted_shard_moves_little_more_than_its_share(weights: list[int]) -> None:
    shards = names(len(weights))
    weight_of = dict(zip(shards, weights, strict=True))
    before = assign_slots(shards[:-1], weight_of)
    after = reassign(before, shards[:-1], shards, weight_of)
    ideal = shares(shards, weight_of)[-1]
    assert moved(before, shards[:-1], after, shards) <= ideal * 115 / 100


def test_reassigning_to_the_same_shards_moves_nothing() -> None:
    shards = names(7)
    owners = assign_slots(shards)
    assert reassign(owners, shards, shards) == owners


def test_the_assignment_is_the_same_in_every_process() -> None:
    """A router that boots a cluster and one that finishes its work must agree."""
    assert assign_slots(names(3))[:16] == FIRST_SLOTS


def test_slots_that_the_ring_can_place_stay_where_the_ring_wants_them() -> None:
    """Two shards swap their names' positions in the list: nothing but indexes may change."""
    a = assign_slots(["x", "y", "z"])
    b = assign_slots(["z", "y", "x"])
    same = sum(["x", "y", "z"][i] == ["z", "y", "x"][j] for i, j in zip(a, b, strict=True))
    assert same > SLOTS * 0.9


@pytest.mark.parametrize(
    ("shards", "weights", "sentence"),
    [
        ([], None, "no shard"),
        (["a", "a"], None, "same name"),
        (["a"], {"a": 0}, "at least 1"),
    ],
)
def test_impossible_assignments_are_refused(
    shards: list[str], weights: dict[str, int] | None, sentence: str
) -> None:
    with pytest.raises(PlacementError, match=sentence):
        assign_slots(shards, weights)


def test_three_shards_on_three_nodes_lead_one_each() -> None:
    placed = place_replicas({"n1": 1, "n2": 1, "n3": 1}, ["meta", "s1", "s2", "s3"], 3)
    assert all(sorted(chosen) == ["n1", "n2", "n3"] for chosen in placed.values())
    assert Counter(chosen[0] for chosen in placed.values()) == {"n1": 2, "n2": 1, "n3": 1}


@few_examples
@given(st.integers(1, 7), st.integers(1, 24), st.data())
def test_replicas_and_leaders_are_spread_evenly(
    count: int, groups: int, data: st.DataObject
) -> None:
    replicas = data.draw(st.integers(1, count))
    nodes = {f"n{i}": 1 for i in range(count)}
    placed = place_replicas(nodes, [f"g{i}" for i in range(groups)], replicas)
    hosted = Counter(dict.fromkeys(nodes, 0))
    led = Counter(dict.fromkeys(nodes, 0))
    for chosen in placed.values():
        assert len(set(chosen)) == replicas
        hosted.update(chosen)
        led[chosen[0]] += 1
    assert max(hosted.values()) - min(hosted.values()) <= 1
    assert max(led.values()) - min(led.values()) <= 1


def test_replicas_go_by_free_capacity() -> None:
    placed = place_replicas({"big": 3, "small": 1, "tiny": 1}, [f"g{i}" for i in range(10)], 1)
    assert Counter(chosen[0] for chosen in placed.values()) == {"big": 6, "small": 2, "tiny": 2}


def test_leaderships_are_passed_along_where_the_first_choice_was_unlucky() -> None:
    """Six groups in pairs of three unequal nodes: taken one by one they would be led 3, 2, 1."""
    placed = place_replicas({"n1": 2, "n2": 2, "n3": 1}, [f"g{i}" for i in range(6)], 2)
    assert Counter(chosen[0] for chosen in placed.values()) == {"n1": 2, "n2": 2, "n3": 2}


def test_more_replicas_than_nodes_are_refused() -> None:
    with pytest.raises(PlacementError, match="need 3 nodes, there are 2"):
        place_replicas({"n1": 1, "n2": 1}, ["meta"], 3)


def test_the_figures_of_the_router_are_those_that_have_targets() -> None:
    figures = measure(repeat=20)
    assert figures.keys() == TARGETS.keys()
    assert all(figure > 0 for figure in figures.values())
