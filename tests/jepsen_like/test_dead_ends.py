"""Every order of a counterexample, as far as it goes: against the definition, and in words."""

from __future__ import annotations

import random
from itertools import permutations

import pytest

from jepsen_like.checks.dead_ends import DEAD_ENDS_SHOWN, Walk, walk
from jepsen_like.history import Operation
from jepsen_like.models import ILLEGAL, CasRegister, Text, call_of
from tests.jepsen_like.histories import cas, explainable, op, read, write

MODEL = CasRegister()


def walked(*operations: Operation, stuck: int = -1, hidden: tuple[Operation, ...] = ()) -> Walk:
    found = walk(MODEL, operations, stuck % len(operations), hidden)
    assert found is not None
    return found


def test_the_order_and_what_stops_it() -> None:
    found = walked(write(1, 0, 1), write(2, 2, 3), read(1, 4, 5))
    (end,) = found.dead_ends
    assert [tuple(step) for step in end.steps] == [(0, "1"), (1, "2")]
    assert [tuple(r) for r in end.refusals] == [(2, "read -> 1 is not possible at 2: it needs 1")]
    assert (found.count, found.in_full) == (1, True)


def test_each_order_of_concurrent_operations_has_its_own_dead_end() -> None:
    found = walked(write(1, 0, 9), write(2, 0, 9), read(3, 10, 11))
    assert [[s.operation for s in end.steps] for end in found.dead_ends] == [[1, 0], [0, 1]]
    assert [end.refusals[0].sentence for end in found.dead_ends] == [
        f"read -> 3 is not possible at {left}: none of the operations leaves what it needs"
        for left in (1, 2)
    ]


def test_an_operation_that_is_not_shown_is_placed_where_one_needs_it() -> None:
    found = walked(write(3, 0, 1), read(2, 2, 3), read(3, 4, 5), hidden=(write(2, 7, 8),))
    (end,) = found.dead_ends
    assert [s.operation for s in end.steps] == [0, "write 2", 1]
    assert end.refusals[0].sentence == "read -> 3 is not possible at 2: it needs 3"


def test_each_hidden_operation_is_used_once() -> None:
    shown = (write(3, 0, 1), read(2, 2, 3), write(3, 4, 5), read(2, 6, 7))
    once = walked(*shown, hidden=(write(2, 0, 1),))
    assert [s.operation for s in once.dead_ends[0].steps] == [0, "write 2", 1, 2]
    assert walk(MODEL, shown, 3, (write(2, 0, 1), write(2, 0, 1))) is None


def test_a_chain_of_hidden_operations() -> None:
    hidden = (write(4, 0, 1), cas(4, 5, True, 2, 3))
    assert walk(MODEL, (read(5, 6, 7),), 0, hidden) is None
    (end,) = walked(read(5, 6, 7), read(4, 8, 9), hidden=hidden).dead_ends
    assert [s.operation for s in end.steps] == ["write 4", "cas 4 -> 5", 0]


def test_what_was_in_flight_when_the_answer_came_need_not_have_happened() -> None:
    stuck = read(1, 4, 5)
    found = walked(write(1, 0, 1), write(2, 2, 3), stuck, write(7, 4, 99), stuck=2)
    assert all(2 in dict(end.refusals) for end in found.dead_ends)


def test_what_an_order_explains_is_not_walked() -> None:
    assert walk(MODEL, (write(1, 0, 1), read(1, 2, 3)), 1) is None


def test_many_orders_are_bounded_and_said_to_be() -> None:
    everything = [op("append", f"{i}", at=(0, 9)) for i in range(10)]
    found = walk(Text(""), [*everything, op("get", None, "no", at=(10, 11))], 10)
    assert found is not None
    assert not found.in_full
    assert len(found.dead_ends) <= DEAD_ENDS_SHOWN


def test_a_huge_state_is_cut_and_its_length_said() -> None:
    long = "v" * 10_000
    (end,) = walked(write(long, 0, 1), read(1, 2, 3)).dead_ends
    assert end.steps[0].state.endswith("... (10000 characters)")
    assert len(end.steps[0].state) < 100


@pytest.mark.parametrize("seed", range(150))
def test_it_goes_as_far_as_any_permutation_does(seed: int) -> None:
    rng = random.Random(seed)
    history = []
    for _ in range(5):
        sent = rng.randrange(12)
        at = (sent, sent + rng.randrange(1, 8))
        value = rng.randrange(3)
        history.append(rng.choice([write(value, *at), read(value, *at), cas(value, 1, True, *at)]))
    last = max(range(5), key=lambda i: history[i].returned_ns)
    found = walk(MODEL, history, last)
    assert (found is None) is explainable(history, MODEL)
    if found is not None:
        assert len(found.dead_ends[0].steps) == longest(tuple(history))


def longest(shown: tuple[Operation, ...]) -> int:
    best = 0
    for order in permutations(shown):
        state = MODEL.init()
        for placed, operation in enumerate(order):
            if any(other.returned_ns < operation.sent_ns for other in order[placed + 1 :]):
                break
            after = MODEL.step(state, call_of(operation))
            if after is ILLEGAL:
                break
            state = after
            best = max(best, placed + 1)
    return best
