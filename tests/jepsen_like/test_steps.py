"""What a verdict costs, counted in steps: the same on every machine, however loaded it is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest

from bench.histories import Load, append_history
from jepsen_like.checks import blocks
from jepsen_like.checks.linearizable import Budget, check
from jepsen_like.checks.transactions import check as check_transactions
from jepsen_like.history import Operation
from jepsen_like.models import CasRegister
from tests.jepsen_like.histories import legal_history

LOOKS_PER_OPERATION = 16  # of the blocks, until a verdict has its prefix and its staleness
CONFIGURATIONS_PER_OPERATION = 3


def lines_run(run: Callable[[], object]) -> int:
    """How many lines of Python `run` goes through, each time through one of a loop counted."""
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return count


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many operations the blocks were given, each time they were asked."""
    counts: list[int] = []
    decide = blocks.decide

    def counted(versions: Any, sent: Any, returned: Any, *, want_order: bool = True) -> Any:
        counts.append(len(sent))
        return decide(versions, sent, returned, want_order=want_order)

    monkeypatch.setattr(blocks, "decide", counted)
    return counts


def stale(history: list[Operation]) -> list[Operation]:
    """A late read returns what stood in the middle."""
    reads = [i for i, o in enumerate(history) if o.f == "read" and o.outcome == "ok"]
    old, late = history[reads[len(reads) // 2]].output, reads[len(reads) * 9 // 10]
    return [*history[:late], replace(history[late], output=old), *history[late + 1 :]]


@pytest.mark.parametrize("count", [1_000, 4_000])
def test_a_legal_history_is_looked_at_once(count: int, looked_at: list[int]) -> None:
    history = legal_history(3, count=count, clients=8)
    assert check(history, CasRegister(failed_cas="dropped")).validity == "valid"
    assert looked_at == [count]


@pytest.mark.parametrize("count", [1_000, 4_000])
@pytest.mark.parametrize("seed", range(4))
def test_a_contradiction_is_found_and_measured_in_a_few_looks(
    seed: int, count: int, looked_at: list[int]
) -> None:
    history = stale(legal_history(seed, count=count, clients=8))
    budget = Budget(seconds=1e9, shrink_seconds=1e9)
    verdict = check(history, CasRegister(failed_cas="dropped"), budget=budget)
    assert verdict.validity == "invalid"
    assert verdict.details["prefix"]["shortest"]
    assert verdict.details["staleness_known"]
    assert sum(looked_at) <= LOOKS_PER_OPERATION * count, looked_at


@pytest.mark.parametrize("count", [1_000, 4_000])
def test_a_search_of_a_legal_history_is_linear_in_it(count: int) -> None:
    history = legal_history(5, count=count, clients=8, values=5)
    verdict = check(history, CasRegister())
    assert verdict.validity == "valid"
    assert verdict.details["configurations"] <= CONFIGURATIONS_PER_OPERATION * count


@pytest.mark.parametrize("clients", [5, 80])
def test_transactions_cost_lines_in_proportion(clients: int) -> None:
    def lines(count: int) -> int:
        history = append_history(Load(count, clients, keys=4, info=0.01))
        return lines_run(lambda: check_transactions(history, "list-append"))

    few = lines(400)
    assert lines(1_600) < 4.4 * few
