"""One object's part of a history, and the verdict on it: the first algorithm that fits.

Objects are judged one by one: a history is linearizable exactly if each object's part is
(Herlihy and Wing 1990, theorem 1). Values written once: `blocks.py`. Everything else: `search.py`.

`yes` is said only after the order that was found has been replayed against the model and the
clock, by code that shares nothing with what found it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from jepsen_like.checks import blocks
from jepsen_like.checks.layout import NEVER, Interval, Intervals, Limit
from jepsen_like.checks.search import Search
from jepsen_like.history import Operation
from jepsen_like.models.model import LINK, WRITE, Model, call_of

__all__ = [
    "Object",
    "Judged",
    "LeftOut",
    "split",
    "judge_quickly",
    "settle",
    "replay",
    "intervals",
    "in_columns",
    "looks_distinct",
]

PROBE = 64  # operations whose values are compared before all of them are
FIRST_ROUND_CONFIGURATIONS = 2_048  # so that one hard object does not starve the forty easy ones


@dataclass
class Object:
    """The operations of one object that an order has to explain."""

    key: int | str
    operations: list[Operation] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)  # of each, in the whole history

    def returned(self, i: int) -> int:
        return NEVER if self.operations[i].outcome == "info" else self.operations[i].returned_ns


@dataclass(frozen=True)
class LeftOut:
    """Operations that say nothing about any order."""

    failed: int
    unanswered: int


@dataclass(frozen=True)
class Judged:
    """What one object's part of the history is; positions count within the object."""

    answer: Literal["yes", "no", "unknown"]
    algorithm: str = ""
    configurations: int = 0
    order: tuple[int, ...] = ()  # for yes
    stuck: int | None = None  # for no: whose answer no order gets past; None: not looked for
    culprits: tuple[int, ...] = ()  # for no, of the blocks: operations that contradict each other
    problem: str = ""  # for unknown
    trace: str = ""  # for unknown: where the checker crashed


def split(history: Sequence[Operation], model: Model) -> tuple[list[Object], LeftOut]:
    objects: dict[int | str, Object] = {}
    adding: dict[int | str, tuple[Callable[[Operation], None], Callable[[int], None]]] = {}
    failed = unanswered = 0
    by_key = type(model).partition is Model.partition
    for position, operation in enumerate(history):
        if operation.outcome != "ok":
            if operation.outcome == "fail":
                failed += 1
                continue
            if model.is_pure(call_of(operation)):
                unanswered += 1
                continue
        key = operation.key if by_key else model.partition(operation)
        add = adding.get(key)
        if add is None:
            mine = objects[key] = Object(key)
            add = adding[key] = (mine.operations.append, mine.positions.append)
        add[0](operation)
        add[1](position)
    return list(objects.values()), LeftOut(failed, unanswered)


def intervals(operations: Iterable[Operation]) -> list[Interval]:
    return [
        Interval(call_of(o), o.sent_ns, NEVER if o.outcome == "info" else o.returned_ns)
        for o in operations
    ]


def in_columns(operations: Sequence[Operation]) -> Intervals:
    """As `intervals`, without an object for each."""
    returned = [NEVER if o.outcome == "info" else o.returned_ns for o in operations]
    call = [
        (o.f, o.value, None, False) if o.outcome == "info" else (o.f, o.value, o.output, True)
        for o in operations
    ]
    return Intervals(call, [o.sent_ns for o in operations], returned)


def judge_quickly(mine: Object, model: Model) -> Judged | None:
    """The verdict if the blocks have one; None: it takes a search."""
    try:
        answer = decide(mine.operations, model)
        if answer is None or answer.answer == "unclear":
            return None
        if answer.answer == "no":
            return Judged("no", "blocks", culprits=answer.culprits)
        return _replayed(mine, model, Judged("yes", "blocks", order=answer.order))
    except Exception as exc:  # e.g. an operation the model does not know
        return _crashed(exc)


def decide(
    operations: Sequence[Operation], model: Model, *, want_order: bool = True
) -> blocks.Answer | None:
    """What the blocks say; None: the model's states are no versions."""
    if len(operations) > PROBE and not looks_distinct(operations[:PROBE], model):
        return None
    versions = model.versions(operations)
    if versions is None:
        return None
    sent = [o.sent_ns for o in operations]
    returned = [NEVER if o.outcome == "info" else o.returned_ns for o in operations]
    return blocks.decide(versions, sent, returned, want_order=want_order)


def looks_distinct(operations: Sequence[Operation], model: Model) -> bool:
    """Whether nothing in `operations` rules the blocks out; cheaper than finding out from all."""
    versions = model.versions(operations)
    if versions is None:
        return False
    written = [
        (operation.key, value)
        for operation, kind, value in zip(operations, versions.kind, versions.after, strict=True)
        if kind in (WRITE, LINK) and operation.outcome == "ok"
    ]
    return len(set(written)) == len(written)


def settle(objects: Sequence[Object], model: Model, limit: Limit) -> Iterator[tuple[int, Judged]]:
    """Search each, smallest first, in rounds with doubling budgets: a bad one fails fast.

    Yields (index, verdict) as they come; whoever needs no more stops asking.
    """
    waiting: dict[int, Search] = {}
    budget = min(FIRST_ROUND_CONFIGURATIONS, limit.configurations)
    order = sorted(range(len(objects)), key=lambda k: len(objects[k].operations))
    while order:
        last_round = budget >= limit.configurations
        unsettled = []
        for k in order:
            mine = objects[k]
            if limit.clock() > limit.deadline and k not in waiting:
                yield k, Judged("unknown", problem=f"out of time before {key_text(mine.key)}")
                continue
            try:
                search = waiting.get(k)
                if search is None:
                    search = waiting[k] = Search(model, in_columns(mine.operations))
                found = search.run(replace(limit, configurations=budget))
                if found.answer == "unknown" and found.bound == "configurations" and not last_round:
                    unsettled.append(k)
                    continue
                judged = Judged(
                    found.answer, found.algorithm, found.configurations, found.order, found.stuck
                )
                if found.answer == "yes":
                    judged = _replayed(mine, model, judged)
                elif found.answer == "unknown":
                    judged = replace(judged, problem=_how_far(mine, judged, found.bound))
            except Exception as exc:
                judged = _crashed(exc)
            waiting.pop(k, None)  # not there if it could not even be laid out
            yield k, judged
        order = unsettled
        budget = min(budget * 2, limit.configurations)


def _how_far(mine: Object, judged: Judged, bound: str) -> str:
    assert judged.stuck is not None
    end = mine.returned(judged.stuck)
    passed = sum(mine.returned(i) < end for i in range(len(mine.operations)))
    return (
        f"out of {'budget' if bound == 'configurations' else bound} on {key_text(mine.key)} "
        f"after {judged.configurations} configurations: {passed} of its "
        f"{len(mine.operations)} operations are explained"
    )


def _replayed(mine: Object, model: Model, judged: Judged) -> Judged:
    problem = replay(model, mine.operations, judged.order)
    if not problem:
        return judged
    return Judged(
        "unknown", judged.algorithm, problem=f"the checker contradicted itself: {problem}"
    )


_NO_MEMORY: Final = "more memory was needed than the system gives"


def _crashed(exc: Exception) -> Judged:
    if isinstance(exc, MemoryError):
        return Judged("unknown", problem=_NO_MEMORY)
    trace = "".join(traceback.format_exception(exc))
    if isinstance(exc, SystemError) and "without setting an exception" in str(exc):
        return Judged("unknown", problem=_NO_MEMORY, trace=trace)  # CPython lost its MemoryError
    return Judged("unknown", problem=f"{type(exc).__name__}: {exc}", trace=trace)


def replay(model: Model, operations: Sequence[Operation], order: Sequence[int]) -> str:
    """What is wrong with `order` as an explanation of `operations`; "" if nothing.

    Straight from the definition: every operation that returned is in it once, others at most
    once; the model accepts each in turn; and none that was over before another was sent comes
    after that one.
    """
    placed = set(order)
    if len(placed) != len(order):
        return "an operation is placed twice"
    if len(placed) != len(operations):
        for i, operation in enumerate(operations):
            if operation.outcome != "info" and i not in placed:
                return "an operation that returned is not placed"
    run = [operations[i] for i in order]
    sent_last = -NEVER
    for operation in run:
        if operation.returned_ns < sent_last and operation.outcome != "info":
            called = model.describe(call_of(operation))
            return f"{called} is placed after one sent when it was over"
        sent = operation.sent_ns
        if sent > sent_last:
            sent_last = sent
    illegal = model.first_illegal(run)
    if illegal is not None:
        return f"{model.describe(call_of(run[illegal]))} is not possible where it is placed"
    return ""


def key_text(key: int | str) -> str:
    return f"key {key}" if isinstance(key, int) else key
