"""The load plan: deterministic, and with the properties that checking and measuring need."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jepsen_like.load import (
    Call,
    arrivals,
    final_reads,
    open_loop,
    register_calls,
    register_keys,
    seconds,
)


def some_calls(seed: int, count: int, keys: int = 8, calls_per_key: int = 20) -> list[Call]:
    total = register_keys(keys=keys, calls=count, calls_per_key=calls_per_key)
    stream = register_calls(
        random.Random(seed), keys=keys, calls_per_key=calls_per_key, keys_total=total
    )
    return list(islice(stream, count))


def test_the_same_seed_gives_the_same_plan() -> None:
    def plan(seed: int) -> list[object]:
        rng = random.Random(seed)
        calls = register_calls(rng, keys=5, calls_per_key=10, keys_total=50)
        return list(islice(arrivals(calls, hosts=("a", "b"), rate=10, rng=rng), 200))

    assert plan(1) == plan(1)
    assert plan(1) != plan(2)


@given(seed=st.integers(0, 1000), keys=st.integers(1, 12), per_key=st.integers(1, 30))
def test_no_key_has_more_calls_than_its_budget(seed: int, keys: int, per_key: int) -> None:
    used = Counter(call.key for call in some_calls(seed, 300, keys, per_key))
    assert max(used.values()) <= per_key
    assert min(used) == 0 or keys > 1
    assert max(used) < register_keys(keys=keys, calls=300, calls_per_key=per_key)


@given(seed=st.integers(0, 1000))
def test_every_value_is_written_once(seed: int) -> None:
    values = [
        call.value[1] if call.f == "cas" else call.value
        for call in some_calls(seed, 300)
        if call.f != "read"
    ]
    assert len(values) == len(set(values))
    assert 0 not in values  # what registers start with


def test_a_compare_and_set_expects_a_value_planned_before_for_its_key() -> None:
    written: dict[int, set[int]] = defaultdict(set)
    expected_last = 0
    last: dict[int, int] = {}
    calls = some_calls(7, 2000)
    for call in calls:
        if call.f == "cas":
            expected, new = call.value
            assert expected in written[call.key]
            expected_last += expected == last[call.key]
        elif call.f == "write":
            new = call.value
        else:
            continue
        written[call.key].add(new)
        last[call.key] = new
    kinds = Counter(call.f for call in calls)
    assert kinds["cas"] > 100
    assert 0.7 < expected_last / kinds["cas"] < 0.95
    assert 0.45 < kinds["read"] / len(calls) < 0.55


def test_keys_retire_at_different_times() -> None:
    """Some key must live across any moment at which a cut may begin."""
    calls = some_calls(3, 400, keys=8, calls_per_key=40)
    spans = {
        key: (
            next(i for i, c in enumerate(calls) if c.key == key),
            max(i for i, c in enumerate(calls) if c.key == key),
        )
        for key in {c.key for c in calls}
    }
    for moment in range(20, 380, 10):
        assert sum(first < moment < last for first, last in spans.values()) >= 3


def test_the_first_keys_have_budgets_of_all_sizes() -> None:
    used = Counter(call.key for call in some_calls(3, 2000, keys=8, calls_per_key=40))
    assert [used[key] for key in range(8)] == [5, 10, 15, 20, 25, 30, 35, 40]
    assert used[8] == 40


def test_used_up_keys_come_again_but_never_beside_themselves() -> None:
    stream = register_calls(random.Random(1), keys=4, calls_per_key=3, keys_total=5)
    assert {call.key for call in islice(stream, 200)} == {0, 1, 2, 3, 4}


def test_arrivals_come_at_the_rate_and_on_every_host() -> None:
    rng = random.Random(1)
    calls = register_calls(rng, keys=4, calls_per_key=50, keys_total=100)
    plan = list(islice(arrivals(calls, hosts=("a", "b", "c"), rate=100, rng=rng), 3000))
    assert 27 < plan[-1].at_ns / 1e9 < 33
    assert all(a.at_ns <= b.at_ns for a, b in pairwise(plan))
    assert all(count > 900 for count in Counter(a.host for a in plan).values())


def test_final_reads_are_evenly_spaced() -> None:
    plan = list(final_reads([(3, "a"), (3, "b"), (5, "a")], rate=100))
    assert [(a.call, a.host) for a in plan] == [
        (Call("read", 3), "a"),
        (Call("read", 3), "b"),
        (Call("read", 5), "a"),
    ]
    assert [a.at_ns for a in plan] == [0, 10_000_000, 20_000_000]


@pytest.mark.parametrize(
    ("text", "value"), [("500ms", 0.5), ("10s", 10.0), ("1.5 s", 1.5), ("2min", 120.0), (3, 3.0)]
)
def test_durations(text: str | float, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "10", "ten s", "-1s", "10h", -1.0])
def test_a_duration_that_is_none_is_named(text: str | float) -> None:
    with pytest.raises(ValueError, match="duration"):
        seconds(text)


def test_an_open_loop_has_connections_for_calls_that_hang() -> None:
    load = open_loop(rate=120, deadline="500ms")
    assert load.deadline_s == 0.5
    assert load.clients >= 120 / 3 * 0.5
    with pytest.raises(ValueError, match="above 0"):
        open_loop(rate=0)
