"""Every algorithm by itself against brute force, and the traps that fuzzing found."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jepsen_like.checks import blocks
from jepsen_like.checks.breadth_first import breadth_first
from jepsen_like.checks.depth_first import depth_first
from jepsen_like.checks.layout import Found, Layout
from jepsen_like.checks.objects import decide, in_columns, replay
from jepsen_like.history import Operation
from jepsen_like.models import CasRegister
from jepsen_like.models.model import LINK, READ, WRITE, Versions, call_of
from tests.jepsen_like.histories import cas, explainable, legal_history, read, write
from tests.jepsen_like.oracle import compared

# `make nightly` sets it: histories drawn per test, on top of what hypothesis draws.
HISTORIES = int(os.environ.get("ORACLE_HISTORIES", "150"))

MODEL = CasRegister()


def random_history(rng: random.Random, *, distinct: bool, model: CasRegister) -> list[Operation]:
    """What a real register answers, then some outputs changed: about half are linearizable."""
    count, clients = rng.randrange(2, 11), rng.randrange(1, 6)
    info, corrupt = rng.choice([0.0, 0.1, 0.3]), rng.choice([0.0, 0.0, 0.15, 0.3])
    cases = rng.choice([0.0, 0.2, 0.4])
    free_at = [0] * clients
    drawn = []
    for _ in range(count):
        client = rng.randrange(clients)
        sent = free_at[client] + rng.randrange(3)
        returned = sent + rng.randrange(6)
        free_at[client] = returned + rng.randrange(2)
        drawn.append((rng.uniform(sent, returned), sent, returned))
    state: Any = model.initial
    history = []
    for written, (_, *at) in enumerate(sorted(drawn), 1):
        lost = rng.random() < info
        happens = not lost or rng.random() < 0.5
        new = written if distinct else rng.randrange(3)
        kind = rng.random()
        if kind < 0.45:
            operation = read(state, *at)
        elif kind < 0.45 + cases:
            expected = state if rng.random() < 0.6 else rng.randrange(written + 1)
            operation = cas(expected, new, state == expected, *at)
            if happens and state == expected:
                state = new
        else:
            operation = write(new, *at)
            if happens:
                state = new
        if lost:
            operation = replace(operation, outcome="info", output=None)
        elif operation.f == "read" and rng.random() < corrupt:
            operation = replace(operation, output=rng.choice([None, *range(written + 1)]))
        elif operation.f == "cas" and rng.random() < corrupt / 2:
            operation = replace(operation, output=not operation.output)
        history.append(operation)
    rng.shuffle(history)
    # as `split` does: a read without an answer says nothing
    return [o for o in history if o.outcome != "info" or not model.is_pure(call_of(o))]


def run(search: Iterator[object]) -> Found:
    return next(found for found in search if isinstance(found, Found))


def assert_right(history: list[Operation], model: CasRegister) -> str:
    """All algorithms agree with the definition, and what they show for it holds."""
    expected = "yes" if explainable(history, model) else "no"
    layout = Layout(model, in_columns(history))
    ends = []
    for algorithm in (depth_first, breadth_first):
        found = run(algorithm(layout))
        assert found.answer == expected, algorithm
        if found.answer == "yes":
            assert replay(model, history, found.order) == ""
        else:
            assert found.stuck is not None
            ends.append(history[found.stuck].returned_ns)
            assert not explainable(history, model, until=ends[-1])
            assert explainable(history, model, until=ends[-1] - 1)
    assert len(set(ends)) <= 1
    compared(history, "depth first", "breadth first", "blocks")
    answer = decide(history, model)
    assert answer is not None
    assert answer.answer in (expected, "unclear")
    if answer.answer == "yes":
        assert replay(model, history, answer.order) == ""
    return answer.answer


@pytest.mark.parametrize("failed_cas", ["constrains", "dropped"])
@pytest.mark.parametrize("distinct", [True, False])
def test_every_algorithm_agrees_with_brute_force(distinct: bool, failed_cas: Any) -> None:
    model = CasRegister(failed_cas=failed_cas)
    said = {"yes": 0, "no": 0, "unclear": 0}
    for seed in range(HISTORIES):
        rng = random.Random(seed)
        history = random_history(rng, distinct=distinct, model=model)
        try:
            said[assert_right(history, model)] += 1
        except AssertionError as exc:
            raise AssertionError(f"seed {seed}: {history}") from exc
    if distinct:  # the blocks settle most of them, both ways
        assert said["unclear"] < 0.2 * HISTORIES, said
        assert min(said["yes"], said["no"]) > 0.1 * HISTORIES, said


@st.composite
def versions(draw: st.DrawFn) -> list[Operation]:
    """Writes of distinct values, and reads and cas of any."""
    history: list[Operation] = []
    for value in range(draw(st.integers(1, 7))):
        sent = draw(st.integers(0, 9))
        at = (sent, sent + draw(st.integers(0, 6)))
        seen = draw(st.one_of(st.none(), st.integers(0, 7)))
        f = draw(st.sampled_from(["read", "write", "cas"]))
        if f == "read":
            history.append(read(seen, *at))
            continue
        lost = draw(st.booleans()) and draw(st.booleans())
        more: dict[str, Any] = {"outcome": "info"} if lost else {}
        if f == "write":
            history.append(write(value, *at, **more))
        else:
            matched = None if lost else draw(st.booleans())
            history.append(cas(seen, value, matched, *at, **more))
    return history


@settings(max_examples=300)
@given(versions())
def test_drawn_histories_of_distinct_values(history: list[Operation]) -> None:
    assert_right(history, MODEL)


# --- blocks: what each rule is for ----------------------------------------------------------


def verdict(*history: Operation) -> str:
    return assert_right(list(history), MODEL)


def test_trap_two_failed_compare_and_sets_each_have_a_moment_but_not_in_their_order() -> None:
    """The first was over before the second began; its only moment is after the second's."""
    history = [write(1, 0, 1), write(2, 2, 9), cas(1, 8, False, 3, 4), cas(2, 9, False, 5, 6)]
    assert verdict(*history) == "unclear"
    assert not explainable(history, MODEL)
    too_late = [write(1, 0, 1), cas(1, 8, False, 2, 3), write(2, 4, 5)]
    assert verdict(*too_late) == "unclear"
    assert not explainable(too_late, MODEL)
    later = [write(1, 0, 1), write(2, 2, 9), cas(2, 8, False, 3, 4), cas(1, 9, False, 5, 6)]
    assert verdict(*later) == "yes"


def test_trap_a_value_written_twice_is_no_rivalry() -> None:
    """Two links from 2 contradict each other only if 2 was written once."""
    links = [cas(2, 0, True, 0, 9), cas(2, 1, True, 0, 9)]
    assert verdict(write(2, 0, 9), *links) == "no"
    assert verdict(*links, write(2, 0, 9), write(2, 0, 9)) == "unclear"
    assert verdict(*links, write(2, 0, 9), write(2, 0, 9, outcome="info")) == "unclear"


def test_trap_two_indeterminate_writes_of_a_value_that_is_read() -> None:
    lost = [write(1, 0, 1, outcome="info"), write(1, 5, 6, outcome="info")]
    assert verdict(*lost, read(1, 7, 8)) == "unclear"
    assert verdict(*lost, read(None, 7, 8)) == "yes"  # nobody saw either


def test_trap_an_observed_indeterminate_link_needs_the_one_before_it() -> None:
    chain = [write(1, 0, 1, outcome="info"), cas(1, 2, None, 2, 3, outcome="info")]
    assert verdict(*chain, read(2, 4, 5)) == "yes"
    assert verdict(*chain, read(2, 4, 5), read(None, 6, 7)) == "no"
    assert verdict(chain[1], read(2, 4, 5)) == "no"


def test_links_in_a_circle() -> None:
    assert verdict(cas(1, 2, True, 0, 9), cas(2, 1, True, 0, 9)) == "no"
    assert verdict(cas(1, 1, None, 0, 9, outcome="info"), read(1, 0, 9)) == "no"


def test_a_backward_block_inside_a_forward_one() -> None:
    history = [write(1, 0, 1), read(1, 8, 9)]
    assert verdict(*history, write(2, 3, 4)) == "no"
    assert verdict(*history, write(2, 3, 8)) == "yes"
    assert verdict(*history, write(2, 1, 4)) == "yes"


def test_two_forward_blocks_that_overlap() -> None:
    history = [write(1, 0, 1), write(2, 0, 2), read(1, 4, 5)]
    assert verdict(*history, read(2, 6, 7)) == "no"
    assert verdict(write(1, 0, 1), read(1, 4, 5), write(2, 0, 5), read(2, 6, 7)) == "yes"


def test_blocks_take_times_before_zero() -> None:
    steps = Versions(None, [WRITE, READ, LINK], [None, None, 1], [1, 1, 2])
    assert blocks.decide(steps, [-9, -7, -5], [-8, -6, -4]).order == (0, 1, 2)
    assert blocks.decide(steps, [-7, -9, -5], [-6, -8, -4]).answer == "no"


def test_trap_an_indeterminate_write_observed_in_two_ways_is_not_two_writes() -> None:
    lost = [write(1, 0, 1, outcome="info"), cas(1, 2, None, 2, 3, outcome="info")]
    assert verdict(*lost, read(1, 2, 4), read(2, 5, 6)) == "yes"


# --- good histories, broken -------------------------------------------------------------------


def stale_read(history: list[Operation], rng: random.Random) -> list[Operation]:
    """A read returns what another one returned, long before."""
    reads = [i for i, o in enumerate(history) if o.f == "read"]
    early, late = rng.choice(reads[: len(reads) // 2]), rng.choice(reads[len(reads) // 2 :])
    return put(history, late, output=history[early].output)


def lost_write(history: list[Operation], rng: random.Random) -> list[Operation]:
    """A write that was acknowledged left no trace."""
    i = rng.choice([i for i, o in enumerate(history) if o.f == "write" and o.outcome == "ok"])
    return [*history[:i], *history[i + 1 :]]


def swapped_values(history: list[Operation], rng: random.Random) -> list[Operation]:
    """Two reads each got the other's answer."""
    i, j = rng.sample([i for i, o in enumerate(history) if o.f == "read"], 2)
    swapped = put(history, i, output=history[j].output)
    return put(swapped, j, output=history[i].output)


def shifted_times(history: list[Operation], rng: random.Random) -> list[Operation]:
    """The clock of one client was off."""
    i = rng.randrange(len(history))
    by = rng.choice([-1, 1]) * rng.randrange(1_000, 20_000)
    o = history[i]
    return put(history, i, sent_ns=o.sent_ns + by, returned_ns=o.returned_ns + by)


def put(history: list[Operation], i: int, **changes: Any) -> list[Operation]:
    return [*history[:i], replace(history[i], **changes), *history[i + 1 :]]


@pytest.mark.parametrize("mutate", [stale_read, lost_write, swapped_values, shifted_times])
@pytest.mark.parametrize("values", [None, 6])
def test_all_algorithms_agree_on_broken_histories(mutate: Any, values: int | None) -> None:
    model = CasRegister(failed_cas="dropped")
    said = {"yes": 0, "no": 0}
    for seed in range(max(8, HISTORIES // 20)):
        good = legal_history(seed, count=120, clients=4, values=values, info=0.02)
        good = [o for o in good if o.outcome == "ok" or o.f != "read"]
        history = mutate(good, random.Random(seed))
        layout = Layout(model, in_columns(history))
        deep, broad = run(depth_first(layout)), run(breadth_first(layout))
        assert deep.answer == broad.answer, seed
        if deep.answer == "no":
            assert deep.stuck is not None
            assert broad.stuck is not None
            assert history[deep.stuck].returned_ns == history[broad.stuck].returned_ns
        for found in (deep, broad):
            assert found.answer == "no" or replay(model, history, found.order) == ""
        answer = decide(history, model)
        if answer is not None and answer.answer != "unclear":
            assert answer.answer == deep.answer, seed
        else:
            assert values is not None, seed
        said[str(deep.answer)] += 1
    assert said["no"] > said["yes"] // 4, said
