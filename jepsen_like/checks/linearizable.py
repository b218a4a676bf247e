"""Is the history linearizable? Judged key by key: locality (Herlihy and Wing 1990, theorem 1).

What counts: an operation with outcome `fail` never happened and is dropped; one with `info` may
have happened at any time from sending on, or never; a read without an answer says nothing. The
verdict names how many were left out.

`valid` is said only after the order that was found has been replayed against the model and the
clock, by code that shares nothing with the search. `invalid` names a few operations that no order
explains, whatever the others did. A checker that crashes or runs out of budget says `unknown`.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jepsen_like.checks.counterexample import explain, key_text, shrink
from jepsen_like.checks.search import NEVER, Found, Interval, Limit, search
from jepsen_like.history import Operation
from jepsen_like.models.model import ILLEGAL, Model, call_of
from jepsen_like.result import Verdict

__all__ = ["Budget", "check", "replay"]

CHECK = "linearizable"
FIRST_PASS_CONFIGURATIONS = 20_000  # so that one hard key does not starve the forty easy ones


@dataclass(frozen=True)
class Budget:
    configurations: int = 1_000_000  # per key; some hundred bytes of memory each
    seconds: float = 30.0  # for all keys
    shrink_configurations: int = 20_000  # per trial
    shrink_seconds: float = 5.0


@dataclass(frozen=True)
class _Key:
    """The operations of one key that an order has to explain."""

    key: int | str
    operations: list[Operation]
    positions: list[int]  # of each, in the whole history
    intervals: list[Interval]


@dataclass(frozen=True)
class _Judged:
    key: _Key
    answer: Literal["yes", "no", "unknown"]
    found: Found | None  # None: the search crashed
    problem: str = ""  # for unknown
    trace: str = ""


def check(
    operations: Iterable[Operation],
    model: Model,
    *,
    budget: Budget | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Verdict:
    """The verdict on all keys. Never raises for what the history holds: a crash is `unknown`.

    `details` of a valid verdict holds `linearization`: for each key the order, as positions in
    `operations`.
    """
    budget = budget or Budget()
    history = list(operations)
    deadline = clock() + budget.seconds
    try:
        keys, left_out = _split(history, model)
    except Exception as exc:  # a broken operation must not look like a verdict
        return Verdict(
            CHECK,
            "unknown",
            f"the checker crashed: {type(exc).__name__}: {exc}",
            details={"trace": traceback.format_exc()},
        )
    first = Limit(min(FIRST_PASS_CONFIGURATIONS, budget.configurations), deadline, clock)
    full = Limit(budget.configurations, deadline, clock)
    judged = [_judge(key, model, first) for key in keys]
    if not any(j.answer == "no" for j in judged):
        judged = [
            _judge(j.key, model, full)
            if j.answer == "unknown" and j.found is not None and first != full
            else j
            for j in judged
        ]
    details = {
        "keys": len(keys),
        "configurations": sum(j.found.configurations for j in judged if j.found),
        "left_out": left_out,
    }
    count = sum(len(key.operations) for key in keys)
    illegal = [j for j in judged if j.answer == "no"]
    if illegal:
        return _invalid(illegal, model, budget, clock, count, details)
    unknown = [j for j in judged if j.answer == "unknown"]
    if unknown:
        details["unknown_keys"] = [j.key.key for j in unknown]
        details["trace"] = unknown[0].trace
        rest = f", and {len(unknown) - 1} more keys like it" if len(unknown) > 1 else ""
        return Verdict(CHECK, "unknown", unknown[0].problem + rest, count, details=details)
    details["linearization"] = {
        j.key.key: [j.key.positions[i] for i in j.found.order] for j in judged if j.found
    }
    reason = f"{count} operations on {_keys_text(len(keys))} have an order that explains them all"
    return Verdict(CHECK, "valid", reason, count, details=details)


def _split(history: Sequence[Operation], model: Model) -> tuple[list[_Key], dict[str, int]]:
    keys: dict[int | str, _Key] = {}
    failed = unanswered = 0
    for position, operation in enumerate(history):
        if operation.outcome == "fail":
            failed += 1
            continue
        call = call_of(operation)
        crashed = operation.outcome == "info"
        if crashed and model.is_pure(call):
            unanswered += 1
            continue
        key = keys.get(operation.key)
        if key is None:
            key = keys[operation.key] = _Key(operation.key, [], [], [])
        key.operations.append(operation)
        key.positions.append(position)
        returned = NEVER if crashed else operation.returned_ns
        key.intervals.append(Interval(call, operation.sent_ns, returned))
    return list(keys.values()), {"failed": failed, "reads without an answer": unanswered}


def _judge(key: _Key, model: Model, limit: Limit) -> _Judged:
    try:
        found = search(model, key.intervals, limit)
        problem = replay(model, key.intervals, found.order) if found.answer == "yes" else ""
    except Exception as exc:  # e.g. an operation the model does not know
        crash = f"the checker crashed on {key_text(key.key)}: {type(exc).__name__}: {exc}"
        return _Judged(key, "unknown", None, crash, traceback.format_exc())
    if problem:
        return _Judged(key, "unknown", None, f"the checker contradicted itself: {problem}")
    if found.answer == "unknown" and found.stuck is not None:
        returned = key.intervals[found.stuck].returned
        passed = sum(interval.returned < returned for interval in key.intervals)
        problem = (
            f"out of budget on {key_text(key.key)} after {found.configurations} configurations: "
            f"{passed} of its {len(key.intervals)} operations are explained"
        )
    return _Judged(key, found.answer, found, problem)


def replay(model: Model, intervals: Sequence[Interval], order: Sequence[int]) -> str:
    """What is wrong with `order` as an explanation of `intervals`; "" if nothing.

    Straight from the definition: every operation that returned is in it once, others at most
    once; the model accepts each in turn; and none that was over before another was sent comes
    after that one.
    """
    if len(set(order)) != len(order):
        return "an operation is placed twice"
    missing = {i for i, interval in enumerate(intervals) if interval.returned != NEVER}
    if missing - set(order):
        return "an operation that returned is not placed"
    state = model.init()
    sent_last = -1
    for i in order:
        interval = intervals[i]
        if interval.returned < sent_last:
            return f"{model.describe(interval.call)} is placed after one sent when it was over"
        sent_last = max(sent_last, interval.sent)
        after = model.step(state, interval.call)
        if after is ILLEGAL:
            return f"{model.describe(interval.call)} is not possible at {state!r}"
        state = after
    return ""


def _invalid(
    illegal: Sequence[_Judged],
    model: Model,
    budget: Budget,
    clock: Callable[[], float],
    count: int,
    details: dict[str, Any],
) -> Verdict:
    """Shrink the key whose contradiction comes first; name the others."""
    worst = min(illegal, key=lambda j: j.key.intervals[_stuck(j)].returned)
    limit = Limit(budget.shrink_configurations, clock() + budget.shrink_seconds, clock)
    small = shrink(model, worst.key.intervals, _stuck(worst), limit)
    operations = worst.key.operations
    offending = tuple(operations[i] for i in small.kept)
    details["invalid_keys"] = [j.key.key for j in illegal]
    details["minimal"] = small.minimal
    details["stuck"] = small.kept.index(small.stuck)  # in `offending`
    details["others_on_key"] = len(operations) - len(offending)
    reason = explain(model, offending, operations[small.stuck])
    return Verdict(CHECK, "invalid", reason, count, offending, details)


def _stuck(judged: _Judged) -> int:
    assert judged.found is not None
    assert judged.found.stuck is not None
    return judged.found.stuck


def _keys_text(count: int) -> str:
    return "1 key" if count == 1 else f"{count} keys"
