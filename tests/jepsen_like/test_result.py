"""What a verdict says beyond valid and invalid, and the bounds that it keeps."""

from __future__ import annotations

import gc
import os
import random
import time
from dataclasses import replace
from typing import Any

import pytest

from jepsen_like.checks import parallel
from jepsen_like.checks.delta import Delta, smallest_delta
from jepsen_like.checks.layout import Limit
from jepsen_like.checks.linearizable import Budget, check
from jepsen_like.checks.objects import split
from jepsen_like.checks.parallel import memory_in_use, settle_side_by_side
from jepsen_like.history import Operation
from jepsen_like.models import CasRegister, Counter, Model
from jepsen_like.models.model import call_of
from tests.jepsen_like.histories import cas, explainable, legal_history, op, read, write
from tests.jepsen_like.oracle import compared
from tests.jepsen_like.test_algorithms import HISTORIES, random_history

MODEL = CasRegister()
FREELY = Limit(20_000, float("inf"), time.monotonic)


# --- the shortest illegal prefix ----------------------------------------------------------------


@pytest.mark.parametrize("distinct", [True, False])
def test_the_prefix_shown_is_illegal_and_one_answer_less_is_not(distinct: bool) -> None:
    found = 0
    for seed in range(200):
        history = random_history(random.Random(seed), distinct=distinct, model=MODEL)
        verdict = check(history, MODEL)
        if verdict.validity != "invalid":
            continue
        found += 1
        end = verdict.details["prefix"]["until_ns"]
        assert verdict.details["prefix"]["shortest"]
        assert not explainable(history, MODEL, until=end), seed
        assert explainable(history, MODEL, until=end - 1), seed
    assert found > 25


def test_a_counterexample_is_small_however_long_the_history() -> None:
    history = legal_history(5, count=3_000, clients=10, info=0.02)
    late = max(history, key=lambda o: o.sent_ns if o.f == "read" and o.outcome == "ok" else 0)
    stale = next(o.value for o in history if o.f == "write" and o.outcome == "ok")
    broken = [replace(o, output=stale) if o is late else o for o in history]
    verdict = check(broken, MODEL)
    assert verdict.details["algorithms"] == ["blocks"]
    assert verdict.details["minimal"]
    assert replace(late, output=stale) in verdict.offending
    assert len(verdict.offending) <= 5


# --- staleness ------------------------------------------------------------------------------------


def lag(*history: Operation, model: Model = MODEL) -> Delta:
    (mine,), _ = split(history, model)
    return smallest_delta(mine, model, FREELY)


def test_the_smallest_staleness_that_would_make_it_legal() -> None:
    overwritten = [write(1, 0, 10), write(2, 20, 30)]
    assert lag(*overwritten, read(2, 75, 80)) == Delta(0)
    assert lag(*overwritten, read(1, 75, 80)) == Delta(45)  # 30, when 2 was certain, is 45 before
    assert lag(*overwritten, read(None, 75, 80)) == Delta(65)
    assert lag(*overwritten, read(3, 75, 80)) == Delta(None)
    assert lag(write(1, 0, 1), cas(1, 2, True, 2, 3), cas(1, 3, True, 4, 5)) == Delta(None)


def test_staleness_where_only_a_search_can_tell() -> None:
    ones = [write(1, 0, 10), write(2, 20, 30), write(1, 40, 50)]
    assert lag(*ones, read(2, 75, 80)) == Delta(25)
    adds = [op("add", 1, at=(0, 10)), op("add", 1, at=(20, 30))]
    assert lag(*adds, op("read", None, 1, at=(50, 60)), model=Counter()) == Delta(20)


@pytest.mark.parametrize("distinct", [True, False])
def test_staleness_agrees_with_brute_force(distinct: bool) -> None:
    def legal(history: list[Operation], delay: int) -> bool:
        moved = [
            replace(o, sent_ns=o.sent_ns - delay) if MODEL.is_pure(call_of(o)) else o
            for o in history
        ]
        return explainable(moved, MODEL)

    seen = set()
    for seed in range(max(120, HISTORIES // 4)):
        history = random_history(random.Random(seed), distinct=distinct, model=MODEL)
        if not history:
            continue
        found = lag(*history)
        assert found.known
        assert found.ns == next((d for d in range(60) if legal(history, d)), None), seed
        compared(history, "Delta")
        seen.add(found.ns)
        (mine,), _ = split(history, MODEL)
        for guess in (0, 1, 5, found.ns, 10**6):
            assert smallest_delta(mine, MODEL, FREELY, guess=guess) == found
    assert len(seen) > 4


def test_an_invalid_verdict_names_the_staleness() -> None:
    verdict = check([write(1, 0, 10), write(2, 20, 30), read(1, 75, 80)], MODEL)
    assert verdict.details["staleness_ns"] == 45


SEVERAL = [
    *(write(1, 0, 10, key=key) for key in "abcd"),
    *(write(2, 20, 30, key=key, process=1) for key in "abcd"),
    read(1, 75, 80, key="a", process=2),
    read(1, 40, 80, key="b", process=3),
    read(2, 75, 80, key="c", process=4),
]
NEVER_WRITTEN = read(3, 85, 90, key="d", process=5)


def test_an_invalid_verdict_names_the_staleness_of_each_bad_key_and_of_all() -> None:
    details = check(SEVERAL, MODEL).details
    assert details["staleness"] == {
        "a": {"ns": 45, "known": True},
        "b": {"ns": 10, "known": True},
    }
    assert (details["staleness_ns"], details["staleness_known"]) == (45, True)
    details = check([*SEVERAL, NEVER_WRITTEN], MODEL).details
    assert details["staleness"]["d"] == {"ns": None, "known": True}
    assert details["staleness"]["b"]["ns"] == 10
    assert (details["staleness_ns"], details["staleness_known"]) == (None, True)


def test_the_staleness_of_a_key_that_is_not_found_out_in_time_is_not_known() -> None:
    details = check(SEVERAL, MODEL, budget=Budget(shrink_seconds=-1)).details
    assert not any(delta["known"] for delta in details["staleness"].values())
    assert (details["staleness_ns"], details["staleness_known"]) == (None, False)


def test_every_bad_key_of_a_random_history_has_the_staleness_it_has_alone() -> None:
    several = 0
    for seed in range(40):
        parts = []
        for n, key in enumerate("abcdefgh"):
            rng = random.Random(seed + 1_000 * n)
            mine = random_history(rng, distinct=seed % 2 == 0, model=MODEL)
            parts.append([replace(o, key=key, process=o.process + 100 * n) for o in mine])
        verdict = check([o for part in parts for o in part], MODEL)
        alone = {part[0].key: check(part, MODEL).details for part in parts if part}
        bad = {
            key: details["staleness"][key]
            for key, details in alone.items()
            if "staleness" in details
        }
        assert verdict.details.get("staleness", {}) == bad, seed
        several += len(bad) > 1
    assert several > 5


# --- bounds -----------------------------------------------------------------------------------


def endless(key: str = "x", pairs: int = 16) -> list[Operation]:
    """Repeated values, all concurrent, and a read that nothing explains: every order is tried."""
    history = [cas(i, (i * 7 + k) % 40, None, 0, 100, key=key) for i in range(40) for k in (1, 2)]
    lost = [replace(o, outcome="info", output=None) for o in history]
    writes = [write(i % pairs, 0, 100, key=key) for i in range(2 * pairs)]
    reads = [read(i % pairs, 0, 100, key=key) for i in range(pairs)]
    return [*lost, *writes, *reads, read(99, 200, 201, key=key)]


ENDLESS_S = 10.0
"""Behind a limit of half a second. How late a judge is on a machine that does nothing else is
measured by tests/jepsen_like/test_limits.py at full size."""


@pytest.mark.slow
def test_the_time_limit_holds() -> None:
    start = time.monotonic()
    verdict = check(endless(), MODEL, budget=Budget(configurations=10**9, seconds=0.5))
    assert time.monotonic() - start < ENDLESS_S
    assert verdict.validity == "unknown"
    assert "out of time on x after" in verdict.reason
    assert "operations are explained" in verdict.reason


@pytest.mark.slow
def test_the_memory_limit_holds() -> None:
    gc.collect()
    allowed = memory_in_use() + (24 << 20)
    budget = Budget(configurations=10**9, seconds=20, memory_bytes=allowed)
    verdict = check(endless(), MODEL, budget=budget)
    assert verdict.validity == "unknown"
    assert "out of memory on x after" in verdict.reason
    assert memory_in_use() < allowed + (2 << 20)


def test_a_memory_limit_that_nothing_reaches_changes_nothing() -> None:
    for history in ([], [write(1, 0, 1)], [write(1, 0, 1), write(1, 0, 1), read(1, 2, 3)]):
        limited = check(history, MODEL, budget=Budget(memory_bytes=1 << 40))
        assert limited == check(history, MODEL)
        assert limited.validity == "valid"


def test_memory_is_looked_at_inside_the_searches() -> None:
    used = iter(range(1_000_000))
    limit = Limit(10**9, float("inf"), time.monotonic, 5, lambda: next(used))
    objects, _ = split(endless(), MODEL)
    ((_, judged),) = settle_side_by_side(objects, MODEL, limit, 1)
    assert judged.answer == "unknown"
    assert judged.problem.startswith("out of memory")


# --- processes side by side --------------------------------------------------------------------


@pytest.fixture
def forking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "PARALLEL_OPERATIONS_MIN", 1)


def several(count: int) -> list[Operation]:
    return legal_history(2, count=count, keys=8, clients=10, values=4, info=0.01)


@pytest.mark.usefixtures("forking")
def test_processes_find_what_one_finds() -> None:
    history = several(800)
    together = check(history, MODEL, budget=Budget(processes=3))
    alone = check(history, MODEL, budget=Budget(processes=1))
    assert together == alone
    assert together.validity == "valid"
    broken = [*history, read(99, 10**9, 10**9 + 1, key=3)]
    assert check(broken, MODEL, budget=Budget(processes=3)).details["invalid_keys"] == [3]


@pytest.mark.slow
@pytest.mark.usefixtures("forking")
def test_the_limits_hold_in_processes() -> None:
    history = [o for key in "abcd" for o in endless(key)]
    start = time.monotonic()
    budget = Budget(configurations=10**9, seconds=0.5, processes=2)
    verdict = check(history, MODEL, budget=budget)
    assert time.monotonic() - start < ENDLESS_S
    assert verdict.validity == "unknown"
    assert verdict.details["unknown_keys"] == ["a", "b", "c", "d"]


class Deadly(CasRegister):
    """A model that takes its process down, as one out of memory does."""

    parent = os.getpid()

    def versions(self, operations: object) -> Any:
        del operations

    def step(self, state: Any, call: Any) -> Any:
        if call.value == 13 and os.getpid() != self.parent:
            os._exit(1)
        return super().step(state, call)


@pytest.mark.usefixtures("forking")
def test_a_process_that_dies_leaves_its_objects_unknown() -> None:
    history = [write(13, 0, 1, key="a"), write(1, 0, 1, key="b"), write(1, 0, 1, key="c")]
    verdict = check(history, Deadly(), budget=Budget(processes=3))
    assert verdict.validity == "unknown"
    assert verdict.reason == "the process that searched a ended early"


class Starved(CasRegister):
    """One whose steps find no memory, which CPython does not always tell by a MemoryError."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def versions(self, operations: object) -> Any:
        del operations

    def step(self, state: Any, call: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [MemoryError(), SystemError("<function f at 0x1> returned NULL without setting an exception")],
)
def test_no_memory_is_said_however_it_comes_to_light(error: Exception) -> None:
    history = [write(1, 0, 1), write(2, 0, 1), read(1, 0, 1)]
    verdict = check(history, Starved(error))
    assert verdict.validity == "unknown"
    assert "more memory was needed than the system gives" in verdict.reason


def test_one_illegal_object_is_enough_where_that_is_asked() -> None:
    history = [read(1, 0, 1, key=key) for key in range(5)]
    first = check(history, MODEL, budget=Budget(stop_at_first=True))
    assert first.details["invalid_keys"] == [0]
    assert check(history, MODEL).details["invalid_keys"] == [0, 1, 2, 3, 4]
