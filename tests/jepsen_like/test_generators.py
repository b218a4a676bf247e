"""Streams of calls: deterministic, and with the properties that checking and measuring need."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice, repeat

from hypothesis import given
from hypothesis import strategies as st

from jepsen_like.generators import keys_needed, mix, phases, rotate


def drawn(seed: int, count: int, keys: int = 8, calls_per_key: int = 20) -> list[int]:
    total = keys_needed(keys=keys, calls=count, calls_per_key=calls_per_key)
    stream = rotate(random.Random(seed), keys=keys, calls_per_key=calls_per_key, keys_total=total)
    return [key for key, _ in islice(stream, count)]


@given(seed=st.integers(0, 1000), keys=st.integers(1, 12), per_key=st.integers(1, 30))
def test_no_key_has_more_calls_than_its_budget(seed: int, keys: int, per_key: int) -> None:
    used = Counter(drawn(seed, 300, keys, per_key))
    assert max(used.values()) <= per_key
    assert max(used) < keys_needed(keys=keys, calls=300, calls_per_key=per_key)


def test_keys_retire_at_different_times() -> None:
    """Some key must live across any moment at which a cut may begin."""
    plan = drawn(3, 400, keys=8, calls_per_key=40)
    spans = [(plan.index(key), len(plan) - 1 - plan[::-1].index(key)) for key in set(plan)]
    for moment in range(20, 380, 10):
        assert sum(first < moment < last for first, last in spans) >= 3


def test_the_first_keys_have_budgets_of_all_sizes() -> None:
    used = Counter(drawn(3, 2000, keys=8, calls_per_key=40))
    assert [used[key] for key in range(8)] == [5, 10, 15, 20, 25, 30, 35, 40]
    assert used[8] == 40


def test_used_up_keys_come_again_but_never_beside_themselves() -> None:
    stream = rotate(random.Random(1), keys=4, calls_per_key=3, keys_total=5)
    counts: Counter[int] = Counter()
    for key, before in islice(stream, 200):
        if not before:
            counts[key] = 0
        assert counts[key] == before
        counts[key] += 1
    assert set(counts) == {0, 1, 2, 3, 4}


def test_a_mix_draws_by_weight_and_ends_with_a_stream() -> None:
    streams = [(3.0, repeat("a")), (1.0, repeat("b"))]
    counts = Counter(islice(mix(random.Random(5), streams), 4000))
    assert 2800 < counts["a"] < 3200
    assert list(mix(random.Random(5), [(1.0, iter("xyz"))])) == ["x", "y", "z"]


def test_phases_come_one_after_the_other() -> None:
    assert "".join(phases([(2, repeat("a")), (0, repeat("b")), (3, repeat("c"))])) == "aaccc"
