"""From a history that no order explains to the few operations that nobody can explain, in words.

The set shown must be illegal for the reason the history is. Dropping operations at will proves
nothing: drop write(1), and the innocent read -> 1 is "illegal". So every step here keeps
"if the history is explainable, so is this part of it":

- Cut to a prefix: nothing sent after the answer t that the search could not get past can have
  happened before it. What was still in flight at t may have happened or not: a pure operation
  is dropped, another never returned.
- Remove a pure operation: the others are explained by the same order without it.
- Remove another operation: it becomes *free*, it may happen at any time or never. What stays is
  unexplainable whatever the removed operations did. (First any number of times, which makes
  trials cheap; then at most once, which lets the long history of a value go that was
  compared and set twice.)

A long history whose values repeat is cut first: see `window.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jepsen_like.checks.layout import NEVER, Interval, Intervals, Limit
from jepsen_like.checks.search import search
from jepsen_like.checks.window import OPERATIONS_MIN, last_window, refute_from_any_state
from jepsen_like.history import Operation
from jepsen_like.models.model import Model, State, call_of

# Free operations that may repeat make a trial cheap, or, where states have no end, endless.
FREE_TRIAL_CONFIGURATIONS = 512

__all__ = ["Counterexample", "shrink", "explain"]


@dataclass(frozen=True)
class Counterexample:
    kept: tuple[int, ...]  # positions of the operations to show, in the order of sending
    stuck: int  # the one whose answer no order gets past
    minimal: bool  # False: the time for shrinking ran out
    left_out: tuple[int, ...] = ()  # changed something, and may have happened at any time or never
    from_any_state: bool = False  # None of the states there may have been before explains them


def shrink(model: Model, intervals: Sequence[Interval], stuck: int, limit: Limit) -> Counterexample:
    """The smallest set found by removing halves, quarters, ..., single operations.

    `limit.configurations` bounds each trial, the deadline all of them: what is found until
    then is a counterexample too, only a larger one.
    """
    return _Shrinker(model, intervals, stuck, limit).run()


class _Shrinker:
    def __init__(
        self, model: Model, intervals: Sequence[Interval], stuck: int, limit: Limit
    ) -> None:
        self._model = model
        self._limit = limit
        self._kept = dict(enumerate(intervals))
        self._count = len(intervals)
        self._free: dict[int, Interval] = {}
        self._stuck = stuck
        self._once = False
        self._in_time = True
        self._window: list[State] | None = None  # the hint, if the history was cut
        if len(intervals) > OPERATIONS_MIN:
            window = last_window(model, intervals, stuck, limit)
            if window is not None:
                self._kept = window
                self._window = []
        self._cut(self._kept, stuck)

    def run(self) -> Counterexample:
        # Pure ones first: they go without becoming free, and free operations make trials dear.
        for pure, self._once in ((True, False), (False, False), (False, True), (True, True)):
            size = len(self._kept) // 2
            while size >= 1 and self._in_time:
                self._remove_chunks(size, pure=pure)
                size = min(size, len(self._kept)) // 2
        kept = sorted(self._kept, key=lambda i: (self._kept[i].sent, i))
        cut = self._window is not None
        rest = self._free if cut else set(range(self._count)) - set(kept)
        return Counterexample(tuple(kept), self._stuck, self._in_time, tuple(sorted(rest)), cut)

    def _remove_chunks(self, size: int, *, pure: bool) -> None:
        """Try the latest first: old operations mostly fall in one large chunk."""
        position = 0
        while self._in_time:
            candidates = [
                i for i in reversed(self._kept) if self._model.is_pure(self._kept[i].call) == pure
            ]
            chunk = candidates[position : position + size]
            if not chunk:
                return
            if not self._remove(chunk):
                position += size

    def _remove(self, chunk: list[int]) -> bool:
        kept = {i: interval for i, interval in self._kept.items() if i not in set(chunk)}
        free = dict(self._free)
        for i in chunk:
            if not self._model.is_pure(self._kept[i].call):
                free[i] = self._kept[i]
        for i, interval in free.items():
            free[i] = interval._replace(sent=-1, returned=NEVER, free=not self._once)
        positions = [*kept, *free]
        limit = self._limit
        if free and not self._once:
            cheap = min(limit.configurations, FREE_TRIAL_CONFIGURATIONS)
            limit = replace(limit, configurations=cheap)
        trial = [*kept.values(), *free.values()]
        if self._window is None:
            found = search(self._model, Intervals.of(trial), limit)
        else:
            found = refute_from_any_state(self._model, trial, limit, self._window)
        if self._limit.clock() > self._limit.deadline:
            self._in_time = False
        if found.answer != "no" or found.stuck is None:
            return False
        self._free = free
        self._cut(kept, positions[found.stuck])
        return True

    def _cut(self, intervals: dict[int, Interval], stuck: int) -> None:
        end = intervals[stuck].returned
        self._stuck = stuck
        self._kept = {}
        for i, interval in intervals.items():
            if interval.returned <= end:
                self._kept[i] = interval
            elif interval.sent <= end and not self._model.is_pure(interval.call):
                self._kept[i] = interval._replace(returned=NEVER)


def explain(model: Model, offending: Sequence[Operation], stuck: Operation) -> str:
    """One sentence on why `offending`, ending with `stuck`, cannot be."""
    rival = _rival(offending, stuck)
    if rival is not None:
        first, second = _tell(model, rival), _tell(model, stuck)
        return f"{first} and {second}, and {stuck.value[0]} was there for only one of them"
    told = _tell(model, stuck)
    contradiction = _newest_acknowledged(offending, stuck)
    alone = len(offending) == 1  # impossible whatever all the others did
    if alone and stuck.f == "read" and stuck.output is not None:
        return f"{told}, a value that nobody had written when it returned"
    if contradiction is not None:
        ns = stuck.sent_ns - contradiction.returned_ns
        # Under that it is a clock that counts lines, and says nothing about time
        ago = f"{duration_text(ns)} " if ns >= 1_000 else ""
        before = _tell(model, contradiction, already=True)
        if contradiction.f == "write":
            return f"{told} after {before} had been acknowledged {ago}before it was sent"
        return f"{told} after {before}, {ago}before it was sent"
    others = len(offending) - 1
    return f"{told}, which no order of it and the {others} other operations shown explains"


def _tell(model: Model, operation: Operation, *, already: bool = False) -> str:
    key = f" of {key_text(operation.key)}" if operation.key != "" else ""
    where = key + (f" on {operation.node}" if operation.node else "")
    if operation.f == "read":
        output = "nothing" if operation.output is None else operation.output
        return f"read{where} {'had already ' if already else ''}returned {output}"
    if operation.f == "cas" and operation.outcome == "ok":
        expected, new = operation.value
        past = "had already " if already else ""
        matched = "matched" if operation.output else "not matched" if already else "did not match"
        return f"cas {expected} -> {new}{where} {past}{matched}"
    return f"{model.describe(call_of(operation))}{where}"


def _newest_acknowledged(offending: Sequence[Operation], stuck: Operation) -> Operation | None:
    """The last operation over before `stuck` began that showed a value `stuck` cannot have met."""
    before = [
        operation
        for operation in offending
        if operation.outcome == "ok"
        and operation.returned_ns < stuck.sent_ns
        and any(not _could_meet(stuck, value) for value in _shows(operation))
    ]
    return max(before, key=lambda operation: operation.returned_ns, default=None)


def _rival(offending: Sequence[Operation], stuck: Operation) -> Operation | None:
    """Another compare-and-set that won the value which `stuck` won, if nothing else is shown."""
    if stuck.f != "cas" or stuck.output is not True:
        return None
    writers = sum(_shows(operation) == (stuck.value[0],) for operation in offending)
    rivals = [
        operation
        for operation in offending
        if operation is not stuck
        and operation.f == "cas"
        and operation.output is True
        and operation.value[0] == stuck.value[0]
    ]
    return rivals[0] if rivals and writers <= 1 and len(offending) <= 3 else None


def _could_meet(stuck: Operation, value: object) -> bool:
    if stuck.f == "read":
        return bool(stuck.output == value)
    if stuck.f == "cas":
        return bool((stuck.value[0] == value) == stuck.output)
    return True


def _shows(operation: Operation) -> tuple[object, ...]:
    """(the value that stood in the register when `operation` ended,), or () if it shows none."""
    if operation.f == "write":
        return (operation.value,)
    if operation.f == "read":
        return (operation.output,)
    if operation.f == "cas" and operation.output is True:
        return (operation.value[1],)
    return ()


def key_text(key: int | str) -> str:
    return f"key {key}" if isinstance(key, int) else key


def duration_text(ns: int) -> str:
    if ns >= 1_000_000_000:
        return f"{ns / 1e9:.1f} s"
    if ns >= 1_000_000:
        return f"{ns / 1e6:.0f} ms"
    return f"{ns / 1e3:.0f} us" if ns >= 1_000 else "less than 1 us"
