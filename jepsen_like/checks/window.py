"""The last part of an illegal history that no order explains, whatever there was before it.

Where values repeat, a stale read contradicts the last few operations, and nothing before these
can be left out by itself: a write that is free to happen at any time explains everything. But a
history can be cut. At any instant it has some state. What was over by then is in that state; what
was in flight may be in it or come later, so it becomes an operation that may or may not happen.
If what came after the instant has no explanation from any state, the history has none.

States that the operations left cannot tell apart count as one; see `Model.states_to_begin_with`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from jepsen_like.checks.layout import NEVER, Found, Interval, Intervals, Limit
from jepsen_like.checks.search import search
from jepsen_like.models.model import Call, Illegal, Model, State

__all__ = ["OPERATIONS_MIN", "last_window", "refute_from_any_state"]

OPERATIONS_MIN: Final = 32  # below, a cut saves nothing
_FIRST: Final = 8  # operations sent after the first cut that is tried
_LAST: Final = 2_048


class _From(Model):
    """The same model, with another state to begin with."""

    def __init__(self, model: Model, state: State) -> None:
        self._model = model
        self._state = state

    def init(self) -> State:
        return self._state

    def step(self, state: State, call: Call) -> State | Illegal:
        return self._model.step(state, call)

    def is_pure(self, call: Call) -> bool:
        return self._model.is_pure(call)

    def observable(self, calls: Iterable[Call]) -> Callable[[State], State] | None:
        return self._model.observable(calls)


def refute_from_any_state(
    model: Model, intervals: Sequence[Interval], limit: Limit, hint: list[State]
) -> Found:
    """`no` if no order explains `intervals` from any state; `stuck` is then the latest of all.

    `hint`: the state that explained them the last time; it is tried first, and kept up to date.
    """
    states = model.states_to_begin_with([interval.call for interval in intervals])
    if states is None:
        return Found("unknown", 0)
    columns = Intervals.of(intervals)
    latest: Found | None = None
    for state in sorted(states, key=lambda state: state not in hint):
        found = search(_From(model, state), columns, limit)
        if found.answer != "no" or found.stuck is None:
            hint[:] = [state]
            return found
        if latest is None or _end(intervals, found) > _end(intervals, latest):
            latest = found
    return latest if latest is not None else Found("unknown", 0)


def last_window(
    model: Model, intervals: Sequence[Interval], stuck: int, limit: Limit
) -> dict[int, Interval] | None:
    """By position: what is left of `intervals`, up to the answer of `stuck`; None: not found.

    What was in flight at that answer may have happened or not, as at the cut.
    """
    end = intervals[stuck].returned
    until = {
        i: interval if interval.returned <= end else interval._replace(returned=NEVER)
        for i, interval in enumerate(intervals)
        if interval.returned <= end or (interval.sent <= end and not model.is_pure(interval.call))
    }
    requests = sorted(interval.sent for interval in until.values())
    cheap = replace(limit, configurations=min(limit.configurations, 8 * _LAST))
    hint: list[State] = []
    count = _FIRST
    while count < len(requests) and count <= _LAST and limit.clock() < limit.deadline:
        left = _after(model, until, requests[-count] - 1)
        found = refute_from_any_state(model, list(left.values()), cheap, hint)
        if found.answer == "no":
            return left
        count *= 2
    return None


def _after(model: Model, intervals: dict[int, Interval], cut: int) -> dict[int, Interval]:
    left = {}
    for i, interval in intervals.items():
        if interval.sent > cut:
            left[i] = interval
        elif interval.returned > cut and not model.is_pure(interval.call):
            left[i] = interval._replace(returned=NEVER)
    return left


def _end(intervals: Sequence[Interval], found: Found) -> int:
    assert found.stuck is not None
    return intervals[found.stuck].returned
