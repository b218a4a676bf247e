"""Is the history linearizable? Judged object by object, in processes side by side when it pays.

What counts: an operation with outcome `fail` never happened and is dropped; one with `info` may
have happened at any time from sending on, or never; a read without an answer says nothing. The
verdict names how many were left out.

`valid` is said only after the orders that were found have been replayed. `invalid` names a few
operations that no order explains, whatever the others did. A checker that crashes, runs out of
time, of memory or of budget says `unknown` and how far it got.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jepsen_like.checks.by_version import Labelled, by_version
from jepsen_like.checks.columnar import orders_of
from jepsen_like.checks.counterexample import explain, shrink
from jepsen_like.checks.dead_ends import as_details, walk
from jepsen_like.checks.delta import Delta, of_all, of_each, smallest_delta
from jepsen_like.checks.layout import Limit
from jepsen_like.checks.objects import (
    Judged,
    LeftOut,
    Object,
    judge_quickly,
    key_text,
    replay,
    split,
)
from jepsen_like.checks.parallel import memory_in_use, settle_side_by_side
from jepsen_like.checks.prefix import Prefix, shortest_illegal_prefix
from jepsen_like.history import Operation
from jepsen_like.history.collector import paused_collector
from jepsen_like.models.model import Model, call_of
from jepsen_like.result import Validity, Verdict

__all__ = ["Budget", "check", "replay"]

CHECK = "linearizable"
VALIDITY: dict[str, Validity] = {"yes": "valid", "no": "invalid", "unknown": "unknown"}
SHRINK_SECONDS_MIN = 0.25  # even at the deadline: a a verdict nobody can read is worth little
STALENESS_SECONDS = 1.0  # for all illegal objects but the one that is shown
UNSURE = ("unknown", "not judged")
PREFIXES_MAX = 8  # illegal objects whose first contradiction is looked for; the rest are named


@dataclass(frozen=True)
class Budget:
    configurations: int = 1_000_000  # per object; some hundred bytes of memory each
    seconds: float = 30.0  # for all objects
    shrink_configurations: int = 20_000  # per trial
    shrink_seconds: float = 5.0  # within `seconds`, but for SHRINK_SECONDS_MIN
    memory_bytes: int | None = None  # of this process and those it starts, together
    processes: int | None = None  # None: one per processor
    stop_at_first: bool = False  # one illegal object is enough


@dataclass(frozen=True)
class _Verdicts:
    objects: list[Object]
    judged: list[Judged | None]  # None: not looked at, another object was enough

    def that_are(self, answer: str) -> list[tuple[Object, Judged]]:
        pairs = zip(self.objects, self.judged, strict=True)
        return [(mine, j) for mine, j in pairs if j is not None and j.answer == answer]


def check(
    operations: Iterable[Operation],
    model: Model,
    *,
    budget: Budget | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Verdict:
    """The verdict on all objects. Never raises for what the history holds: a crash is `unknown`.

    `details` of a valid verdict holds `linearization`: for each key the order, as positions in
    `operations`.
    """
    with paused_collector():  # a check makes millions of tuples and no cycle
        return _check(operations, model, budget or Budget(), clock)


def _check(
    operations: Iterable[Operation], model: Model, budget: Budget, clock: Callable[[], float]
) -> Verdict:
    history = operations if isinstance(operations, Sequence) else list(operations)
    limit = Limit(
        budget.configurations,
        clock() + budget.seconds,
        clock,
        *(() if budget.memory_bytes is None else (budget.memory_bytes, memory_in_use)),
    )
    orders = orders_of(history, model)
    if orders is not None:
        return _valid(orders.of, orders.operations, _details(orders.left_out, len(orders.of)))
    try:
        labelled = by_version(history, model)
        if labelled is not None:
            orders = orders_of(labelled.history, model)
        if labelled is not None and orders is not None:
            details = _details(orders.left_out, len(orders.of))
            return _with_versions(_valid(orders.of, orders.operations, details), labelled)
        objects, left_out = split(history if labelled is None else labelled.history, model)
    except Exception as exc:  # a broken operation must not look like a verdict
        return Verdict(
            CHECK,
            "unknown",
            f"the checker crashed: {type(exc).__name__}: {exc}",
            details={"trace": traceback.format_exc()},
        )
    verdict = _verdict(history, objects, left_out, model, limit, budget)
    return verdict if labelled is None else _with_versions(verdict, labelled)


def _verdict(
    history: Sequence[Operation],
    objects: list[Object],
    left_out: LeftOut,
    model: Model,
    limit: Limit,
    budget: Budget,
) -> Verdict:
    verdicts = _judge(objects, model, limit, budget)
    settled = [judged for judged in verdicts.judged if judged is not None]
    count = sum(len(mine.operations) for mine in objects)
    details = _details(left_out, len(objects), settled)
    details["judged"] = {
        mine.key: [VALIDITY[j.answer], j.algorithm] if j is not None else ["not judged", ""]
        for mine, j in zip(verdicts.objects, verdicts.judged, strict=True)
        if j is None or (j.answer, j.algorithm) != ("yes", "blocks")
    }
    illegal = verdicts.that_are("no")
    if illegal:
        return _invalid(history, illegal, model, budget, limit, count, details)
    unknown = verdicts.that_are("unknown")
    if unknown:
        mine, first = unknown[0]
        details["unknown_keys"] = [mine.key for mine, _ in unknown]
        details["trace"] = first.trace
        rest = f", and {len(unknown) - 1} more keys like it" if len(unknown) > 1 else ""
        crash = f"the checker crashed on {key_text(mine.key)}: " if first.trace else ""
        return Verdict(CHECK, "unknown", crash + first.problem + rest, count, details=details)
    found = {
        mine.key: list(map(mine.positions.__getitem__, judged.order))
        for mine, judged in verdicts.that_are("yes")
    }
    return _valid(found, count, details)


def _details(left_out: LeftOut, keys: int, judged: Sequence[Judged] = ()) -> dict[str, Any]:
    algorithms = {j.algorithm for j in judged if j.algorithm} if judged else {"blocks"}
    return {
        "keys": keys,
        "configurations": sum(j.configurations for j in judged),
        "algorithms": sorted(algorithms),
        "left_out": {
            "failed": left_out.failed,
            "reads without an answer": left_out.unanswered,
        },
    }


def _valid(orders: dict[int | str, list[int]], count: int, details: dict[str, Any]) -> Verdict:
    details["linearization"] = orders
    details.setdefault("judged", {})  # as columns: all by the blocks
    where = _keys_text(len(orders))
    reason = f"{count} operations on {where} have an order that explains them all"
    return Verdict(CHECK, "valid", reason, count, details=details)


def _judge(objects: list[Object], model: Model, limit: Limit, budget: Budget) -> _Verdicts:
    """The quick algorithm on every object; then, if none is illegal, a search on the rest."""
    judged: list[Judged | None] = []
    late = Judged("unknown", problem="out of time before the first look at it")
    for mine in objects:
        in_time = limit.clock() <= limit.deadline
        judged.append(judge_quickly(mine, model) if in_time else late)
        last = judged[-1]
        if budget.stop_at_first and last is not None and last.answer == "no":
            return _Verdicts(objects[: len(judged)], judged)
    rest = [k for k, verdict in enumerate(judged) if verdict is None]
    first = any(verdict is not None and verdict.answer == "no" for verdict in judged)
    if not (first and budget.stop_at_first):
        waiting = [objects[k] for k in rest]
        for k, verdict in settle_side_by_side(
            waiting, model, limit, budget.processes, only_a_round=first
        ):
            judged[rest[k]] = verdict
            if verdict.answer == "no" and budget.stop_at_first:
                break
    return _Verdicts(objects, judged)


def _with_versions(verdict: Verdict, labelled: Labelled) -> Verdict:
    """Says which keys were told apart by versions. Versions that cannot be true are not valid."""
    details = {**verdict.details, "by_version": len(labelled.keys)}
    if not labelled.disagree:
        return replace(verdict, details=details)
    details["versions_disagree"] = labelled.disagree
    if verdict.validity == "invalid":
        return replace(verdict, details=details)
    sentence = next(iter(labelled.disagree.values()))
    reason = f"the versions do not agree with the values: {sentence}"
    return replace(verdict, validity="unknown", reason=reason, details=details)


def _invalid(
    history: Sequence[Operation],
    illegal: Sequence[tuple[Object, Judged]],
    model: Model,
    budget: Budget,
    limit: Limit,
    count: int,
    details: dict[str, Any],
) -> Verdict:
    """Shrink the object whose contradiction comes first; name the others."""
    now = limit.clock()
    end = max(min(now + budget.shrink_seconds, limit.deadline), now + SHRINK_SECONDS_MIN)
    if budget.shrink_seconds < 0:
        end = now + budget.shrink_seconds
    limit = Limit(budget.shrink_configurations, end, limit.clock)
    prefixes = [
        (mine, shortest_illegal_prefix(mine, judged, model, limit))
        for mine, judged in illegal[:PREFIXES_MAX]
    ]
    mine, prefix = min(prefixes, key=_end_of)
    small = shrink(model, prefix.intervals(mine), prefix.stuck, limit)
    operations = mine.operations
    kept = tuple(prefix.kept[i] for i in small.kept)
    stuck = prefix.kept[small.stuck]
    offending = tuple(operations[i] for i in kept)
    shown = tuple(history[mine.positions[i]] for i in kept)  # as they were recorded
    details["invalid_keys"] = [mine.key for mine, _ in illegal]
    details["minimal"] = small.minimal
    details["stuck"] = kept.index(stuck)  # in `offending`
    details["others_on_key"] = len(operations) - len(offending)
    details["prefix"] = {
        "until_ns": prefix.end,
        "operations": sum(o.sent_ns <= prefix.end for o in operations),
        "shortest": prefix.shortest,
    }
    hidden = [operations[prefix.kept[i]] for i in small.left_out]
    hidden = [o for o in hidden if not model.is_pure(call_of(o))]
    verdict_only = budget.shrink_seconds < 0
    ways = None
    if not verdict_only:
        ways = walk(model, offending, details["stuck"], hidden, from_any=small.from_any_state)
    if ways is not None:
        details.update(as_details(ways))
    few = Object(mine.key, list(offending))
    delta = smallest_delta(mine, model, limit, guess=smallest_delta(few, model, limit).ns)
    deltas = {mine.key: delta}
    others = [other for other, _ in illegal if other is not mine]
    end = min(end, limit.clock() + STALENESS_SECONDS)
    deltas |= of_each(others, model, replace(limit, deadline=end))
    unsure = [key for key, (answer, _) in details["judged"].items() if answer in UNSURE]
    deltas |= dict.fromkeys(unsure, Delta(None, known=False))
    whole = of_all(deltas.values())
    details["staleness"] = {key: {"ns": d.ns, "known": d.known} for key, d in deltas.items()}
    details["staleness_ns"] = whole.ns  # None: more than any, or not found out
    details["staleness_known"] = whole.known
    reason = explain(model, offending, operations[stuck])
    return Verdict(CHECK, "invalid", reason, count, shown, details)


def _end_of(pair: tuple[Object, Prefix]) -> int:
    return pair[1].end


def _keys_text(count: int) -> str:
    return "1 key" if count == 1 else f"{count} keys"
