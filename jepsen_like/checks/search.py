"""Is there an order of one object's operations that explains what every client saw?

Two searches over one layout, in turns with doubling budgets: each solves histories in a
moment on which the other does not end, and nobody knows beforehand which. The price of not
knowing is at most about three times the better one.

The limits are looked at inside both loops, every few configurations.
"""

from __future__ import annotations

from jepsen_like.checks.breadth_first import breadth_first
from jepsen_like.checks.depth_first import depth_first
from jepsen_like.checks.layout import NEVER, Found, Interval, Intervals, Layout, Limit
from jepsen_like.models.model import Model

__all__ = ["NEVER", "Found", "Interval", "Intervals", "Limit", "Search", "search"]

CONFIGURATIONS_PER_ANSWER = 8  # one that passes answers at this rate keeps its turn
FIRST_TURN_CONFIGURATIONS = 1024  # most objects are settled in it


def search(model: Model, intervals: Intervals, limit: Limit) -> Found:
    return Search(model, intervals).run(limit)


class Search:
    """A search that can go on: `run` again with a larger limit does not start anew."""

    def __init__(self, model: Model, intervals: Intervals) -> None:
        self._layout = Layout(model, intervals)
        self._runs = [depth_first(self._layout), breadth_first(self._layout)]
        self._done = [0, 0]  # configurations of each
        self._turn = 0
        self._turn_end = [FIRST_TURN_CONFIGURATIONS] * 2
        self._passed_before = [0, 0]  # answers, at the start of each one's turn
        self._furthest = 0

    def run(self, limit: Limit) -> Found:
        """`limit.configurations` counts from the start of the search, over all its runs."""
        while True:
            bound = self._bound_reached(limit)
            if bound:
                stuck = self._layout.operation[self._furthest]
                return Found("unknown", sum(self._done), stuck=stuck, bound=bound)
            found = next(self._runs[self._turn])
            if isinstance(found, Found):
                return found
            self._done[self._turn], passed = found
            self._furthest = max(self._furthest, passed)
            if self._done[self._turn] >= self._turn_end[self._turn]:
                self._end_turn(passed)

    def _end_turn(self, passed: int) -> None:
        """To the other one, unless this one gets on well: it is likely to end soon."""
        turn = self._turn
        done = self._turn_end[turn]
        on = passed - self._passed_before[turn]
        self._passed_before[turn] = passed
        if on * CONFIGURATIONS_PER_ANSWER >= FIRST_TURN_CONFIGURATIONS:
            self._turn_end[turn] = done + FIRST_TURN_CONFIGURATIONS
        else:
            self._turn_end[turn] = 2 * done
            self._turn = 1 - turn

    def _bound_reached(self, limit: Limit) -> str:
        if not any(self._done):
            return ""  # the first few configurations cost nothing and settle most objects
        if sum(self._done) > limit.configurations:
            return "configurations"
        if limit.clock() > limit.deadline:
            return "time"
        return "memory" if limit.memory() > limit.memory_bytes else ""
