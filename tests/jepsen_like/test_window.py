"""The end of a history, from whatever state: nothing legal is refused, and few are left."""

from __future__ import annotations

from typing import Any

import pytest

from jepsen_like.checks.layout import NEVER, Limit
from jepsen_like.checks.linearizable import Budget, check
from jepsen_like.checks.objects import intervals
from jepsen_like.checks.window import last_window
from jepsen_like.history import Operation
from jepsen_like.models import CasRegister
from jepsen_like.models.model import UNOBSERVED
from tests.jepsen_like.histories import cas, explainable, legal_history, read, write
from tests.jepsen_like.test_steps import stale

LIMIT = Limit(100_000, 1.0, lambda: 0.0)
SHOWN_MAX = 4


@pytest.mark.parametrize("values", [2, 4])
def test_the_end_of_a_legal_history_has_an_explanation(values: int) -> None:
    """Whichever answer the search is said to have been stuck at."""
    for seed in range(60):
        history = legal_history(seed, count=60, clients=8, values=values, info=0.05)
        looked_at = [o for o in history if o.outcome != "fail"]
        spans = intervals(o for o in looked_at if o.f != "read" or o.outcome == "ok")
        answered = [i for i, span in enumerate(spans) if span.returned != NEVER]
        for stuck in answered[-1:-40:-7]:
            assert last_window(CasRegister(), spans, stuck, LIMIT) is None, seed


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_a_stale_read_of_a_repeated_value_is_shown_by_a_few(seed: int) -> None:
    history = stale(legal_history(seed, count=500, clients=4, values=40))
    verdict = check(history, CasRegister(), budget=Budget(seconds=1e9, shrink_seconds=1e9))
    assert verdict.validity == "invalid"
    assert verdict.details["minimal"]
    assert len(verdict.offending) <= SHOWN_MAX, verdict.offending
    states: list[Any] = [o.value for o in history if o.f == "write"]
    for state in {None, *states}:
        assert not explainable(list(verdict.offending), CasRegister(initial=state)), state
    for end in verdict.details["dead_ends"]:
        assert end["order"][0] == "what came before"


def test_what_was_in_flight_at_the_cut_may_have_been_before_it() -> None:
    early = [write(n % 3, 10 * n, 10 * n + 5, process=n) for n in range(40)]
    late = [read(7, 500 + 10 * n, 505 + 10 * n, process=50 + n) for n in range(12)]
    slow = write(7, 390, 1_000, process=99)
    assert check([*early, slow, *late], CasRegister()).validity == "valid"
    spans = intervals([*early, slow, *late])
    assert last_window(CasRegister(), spans, len(spans) - 1, LIMIT) is None
    without: list[Operation] = [*early, *late, read(1, 700, 705, process=98)]
    left = last_window(CasRegister(), intervals(without), len(without) - 1, LIMIT)
    assert left is not None
    assert len(left) < len(without) // 2


def test_states_to_begin_with_are_those_that_can_be_told_apart() -> None:
    calls = [span.call for span in intervals([read(1, 0, 1), cas(2, 3, False, 0, 1)])]
    assert CasRegister().states_to_begin_with(calls) == [1, 2, UNOBSERVED]
