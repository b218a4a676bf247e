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
    final_rate,
    final_reads,
    open_loop,
    seconds,
)
from jepsen_like.workloads import register

WORKLOAD = register(keys=8, calls_per_key=20)


def some_calls(seed: int, count: int) -> list[Call]:
    return list(islice(WORKLOAD.calls(random.Random(seed), WORKLOAD.keys(count)), count))


def test_the_same_seed_gives_the_same_plan() -> None:
    def plan(seed: int) -> list[object]:
        rng = random.Random(seed)
        calls = WORKLOAD.calls(rng, range(50))
        return list(islice(arrivals(calls, hosts=("a", "b"), rate=10, rng=rng), 200))

    assert plan(1) == plan(1)
    assert plan(1) != plan(2)


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


def test_arrivals_come_at_the_rate_and_on_every_host() -> None:
    rng = random.Random(1)
    calls = WORKLOAD.calls(rng, range(100))
    plan = list(islice(arrivals(calls, hosts=("a", "b", "c"), rate=100, rng=rng), 3000))
    assert 27 < plan[-1].at_ns / 1e9 < 33
    assert all(a.at_ns <= b.at_ns for a, b in pairwise(plan))
    assert all(count > 900 for count in Counter(a.host for a in plan).values())


def test_calls_with_a_home_come_from_one_host() -> None:
    rng = random.Random(1)
    calls = (Call("write", number % 5, number, home=number % 5) for number in range(100))
    hosts: dict[int, set[str]] = defaultdict(set)
    for arrival in arrivals(calls, hosts=("a", "b", "c"), rate=100, rng=rng):
        hosts[arrival.call.key].add(arrival.host)
    assert hosts == {0: {"a"}, 1: {"b"}, 2: {"c"}, 3: {"a"}, 4: {"b"}}


def test_each_round_of_final_reads_asks_half_as_much_down_to_a_rate_that_anybody_can_bear() -> None:
    assert [final_rate(number, 90) for number in range(4)] == [90, 45, 25, 25]
    assert [final_rate(number, 2000) for number in range(6)] == [400, 200, 100, 50, 25, 25]
    assert final_rate(0, 5) == 25, "a test that asks little is not long in reading"


def test_final_reads_are_evenly_spaced() -> None:
    reads = [(Call("read", 3), "a"), (Call("read", 3), "b"), (Call("read", 5), "a")]
    plan = list(final_reads(reads, rate=100))
    assert [(a.call, a.host) for a in plan] == reads
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
