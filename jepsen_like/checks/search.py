"""Is there an order of one key's operations that explains what every client saw?

Wing and Gong's search (1993) in the just-in-time form of Lowe (2017): walk the answers in the
order in which they came; before each, place the operation that got it, and before that any of
the others in flight, only as far as needed. A configuration is (answers passed, operations in
flight already placed, state, crashed operations used); one that was seen before, or that used
more crashed operations than one seen before (dominated), leads nowhere new.

Three rules make it sound, each found by fuzzing:
- Only operations that the model declares pure are placed as soon as they are legal. write(1) at
  the state 1 changes nothing there, and placing it is wrong: it may be needed after write(2).
- Intervals are closed: an answer at t and a request at t are concurrent, as clocks have a grain.
- A crashed operation (`info`) may be placed at any time after it was sent, or never; placing it
  where it changes nothing is skipped, else cas(v, v) would follow itself for ever.

Pure: no clock but the one given, no file, no history of other keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from jepsen_like.models.model import ILLEGAL, Call, Model, State

__all__ = ["NEVER", "Interval", "Limit", "Found", "search"]

NEVER = 1 << 62
"""`returned` of an operation that never returned: later than any time of a run."""

CLOCK_EVERY = 64  # configurations between two looks at the clock
NEEDED_STATES_MAX = 256  # looked at for one crashed operation before it is tried anyway


@dataclass(frozen=True, slots=True)
class Interval:
    """One operation as the search sees it."""

    call: Call
    sent: int
    returned: int  # NEVER: crashed
    free: bool = False  # may also happen at any time, any number of times: see counterexample.py


@dataclass(frozen=True)
class Limit:
    """Where the search gives up. Each configuration is some hundred bytes of memory."""

    configurations: int
    deadline: float
    clock: Callable[[], float]


@dataclass(frozen=True)
class Found:
    """`order`: for yes, the positions of the operations in an order that explains them.

    `stuck`: for no, the position of the operation whose answer no order gets past, so that
    the operations sent until that answer are already unexplainable; for unknown, the furthest.
    """

    answer: Literal["yes", "no", "unknown"]
    configurations: int
    order: tuple[int, ...] = ()
    stuck: int | None = None


@dataclass(slots=True)
class _Node:
    """A configuration on the path, with the moves from it that were not tried yet."""

    answers: int
    placed: int
    state: int
    used: int
    path_length: int
    moves: list[tuple[int, int, int, int]]  # (state after, slot bit, crashed bit, operation)


def search(model: Model, intervals: Sequence[Interval], limit: Limit) -> Found:
    return _Search(model, intervals).run(limit)


class _Table:
    """States and calls as small integers, and every transition computed once."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._calls: list[Call] = []
        self._call_ids: dict[Call, int] = {}
        self._states: list[State] = [model.init()]
        self._state_ids: dict[State, int] = {model.init(): 0}
        self._next: list[dict[int, int]] = [{}]
        self.pure: list[bool] = []

    def call_id(self, call: Call) -> int:
        found = self._call_ids.get(call)
        if found is None:
            found = self._call_ids[call] = len(self._calls)
            self._calls.append(call)
            self.pure.append(self._model.is_pure(call))
        return found

    def after(self, state: int, call: int) -> int:
        """The state after `call` at `state`; -1: illegal."""
        row = self._next[state]
        found = row.get(call)
        if found is None:
            found = row[call] = self._compute(state, call)
        return found

    def gains(self, before: int, after: int, calls: Iterable[int]) -> list[int]:
        """Where those of `calls` lead from `after` that do not lead there from `before`.

        One that changes neither is no gain: it can as well come before.
        """
        at_before, at_after = self._next[before], self._next[after]
        gains = []
        for call in calls:
            then = at_after.get(call)
            if then is None:
                then = self.after(after, call)
            if then >= 0:
                other = at_before.get(call)
                if other is None:
                    other = self.after(before, call)
                if other != then and (other != before or then != after):
                    gains.append(then)
        return gains

    def _compute(self, state: int, call: int) -> int:
        after = self._model.step(self._states[state], self._calls[call])
        if after is ILLEGAL:
            return -1
        known = self._state_ids.get(after)
        if known is None:
            known = self._state_ids[after] = len(self._states)
            self._states.append(after)
            self._next.append({})
        return known


@dataclass(slots=True)
class _Crashed:
    """Interchangeable crashed operations: bits in the order of sending, used from the lowest.

    So `used` is one integer over all classes, and "used no more" is "is a subset of".
    """

    call: int
    low: int
    bits: int
    operations: list[int]  # positions, in the order of sending

    def next_bit(self, used: int) -> int:
        """The lowest unused bit: used ones are contiguous, so adding the lowest carries past."""
        return (used & self.bits) + self.low


class _Search:
    def __init__(self, model: Model, intervals: Sequence[Interval]) -> None:
        self._table = _Table(model)
        self._intervals = intervals
        self._call = [self._table.call_id(interval.call) for interval in intervals]
        self._free = [i for i, interval in enumerate(intervals) if interval.free]
        self._crashed = self._crashed_classes()
        self._onward: dict[tuple[int, int], list[int]] = {}
        # Per answer: the slot and position of its operation, (slot, position) of what is in
        # flight, what of that is new, and the bits of the crashed operations sent before it.
        self._slot: list[int] = []
        self._operation: list[int] = []
        self._in_flight: list[list[tuple[int, int]]] = []
        self._fresh: list[list[tuple[int, int]]] = []
        self._available: list[int] = []
        self._lay_out()

    def _crashed_classes(self) -> list[_Crashed]:
        groups: dict[int, list[int]] = {}
        for i, interval in enumerate(self._intervals):
            if interval.returned == NEVER and not interval.free:
                groups.setdefault(self._call[i], []).append(i)
        classes = []
        base = 0
        for call, operations in groups.items():
            if self._table.pure[call]:
                continue  # never returned and changes nothing: says nothing
            operations.sort(key=lambda i: self._intervals[i].sent)
            # one bit above each class stays unused: the carry of a class used up ends there
            bits = ((1 << len(operations)) - 1) << base
            classes.append(_Crashed(call, 1 << base, bits, operations))
            base += len(operations) + 1
        return classes

    def _lay_out(self) -> None:
        crashed_bit = {
            i: crashed.low << k
            for crashed in self._crashed
            for k, i in enumerate(crashed.operations)
        }
        events: list[tuple[int, int, int]] = []
        for i, interval in enumerate(self._intervals):
            if interval.free:
                continue
            events.append((interval.sent, 0, i))  # 0 before 1: closed intervals
            if interval.returned != NEVER:
                events.append((interval.returned, 1, i))
        events.sort()
        in_flight: dict[int, int] = {}  # position -> slot bit
        unused: list[int] = []
        fresh: list[tuple[int, int]] = []
        available = 0
        for _, is_answer, i in events:
            if is_answer:
                slot = in_flight[i]
                self._slot.append(slot)
                self._operation.append(i)
                self._in_flight.append([(bit, j) for j, bit in in_flight.items()])
                self._fresh.append(fresh)
                self._available.append(available)
                fresh = []
                unused.append(in_flight.pop(i))
            elif self._intervals[i].returned == NEVER:
                available |= crashed_bit.get(i, 0)
            else:
                slot = unused.pop() if unused else 1 << len(in_flight)
                in_flight[i] = slot
                fresh.append((slot, i))

    def run(self, limit: Limit) -> Found:
        """Depth first: a legal history is mostly found without a wrong turn."""
        seen: dict[tuple[int, int, int], list[int]] = {}
        path: list[int] = []
        stack: list[_Node] = []
        configurations = furthest = 0
        answers = placed = state = used = 0
        to_place = self._fresh[0] if self._fresh else []
        while True:
            placed = self._place_pure(to_place, placed, state, path)
            answers, placed = self._pass_answers(answers, placed, state, path)
            if answers == len(self._slot):
                return Found("yes", configurations, order=tuple(path))
            if _is_new(seen.setdefault((answers, placed, state), []), used):
                configurations += 1
                furthest = max(furthest, answers)
                if configurations > limit.configurations or (
                    configurations % CLOCK_EVERY == 0 and limit.clock() > limit.deadline
                ):
                    return Found("unknown", configurations, stuck=self._operation[furthest])
                moves = self._moves(answers, placed, state, used)
                stack.append(_Node(answers, placed, state, used, len(path), moves))
            while stack and not stack[-1].moves:
                stack.pop()
            if not stack:
                return Found("no", configurations, stuck=self._operation[furthest])
            node = stack[-1]
            state, slot, crashed, operation = node.moves.pop()
            answers, placed, used = node.answers, node.placed | slot, node.used | crashed
            del path[node.path_length :]
            path.append(operation)
            to_place = self._in_flight[answers]

    def _place_pure(
        self, candidates: list[tuple[int, int]], placed: int, state: int, path: list[int]
    ) -> int:
        """Place every pure operation that is legal now: it costs nothing and closes no way."""
        table, call = self._table, self._call
        for slot, i in candidates:
            if not placed & slot and table.pure[call[i]] and table.after(state, call[i]) >= 0:
                placed |= slot
                path.append(i)
        return placed

    def _pass_answers(
        self, answers: int, placed: int, state: int, path: list[int]
    ) -> tuple[int, int]:
        while answers < len(self._slot) and placed & self._slot[answers]:
            placed ^= self._slot[answers]
            answers += 1
            if answers < len(self._slot):
                placed = self._place_pure(self._fresh[answers], placed, state, path)
        return answers, placed

    def _moves(
        self, answers: int, placed: int, state: int, used: int
    ) -> list[tuple[int, int, int, int]]:
        """What may be placed next, best last: the answered one, then those answered soonest."""
        table, call, intervals = self._table, self._call, self._intervals
        in_flight = [(slot, i) for slot, i in self._in_flight[answers] if not placed & slot]
        moves = [
            (after, 0, bit, i)
            for after, bit, i in self._crashed_moves(answers, state, used, in_flight)
        ]
        waiting = [
            (after, slot, 0, i)
            for slot, i in in_flight
            if not table.pure[call[i]] and (after := table.after(state, call[i])) >= 0
        ]
        waiting.sort(key=lambda move: intervals[move[3]].returned, reverse=True)
        return moves + waiting

    def _crashed_moves(
        self, answers: int, state: int, used: int, in_flight: list[tuple[int, int]]
    ) -> list[tuple[int, int, int]]:
        """Crashed and free operations that change the state, and that something needs."""
        call, available = self._call, self._available[answers]
        unused = [(0, i) for i in self._free]
        for group in self._crashed:
            bit = group.next_bit(used)
            if bit & available:
                unused.append((bit, group.operations[(bit // group.low).bit_length() - 1]))
        if not unused:
            return []
        waiting = {call[i] for _, i in in_flight}
        moves = []
        for bit, i in unused:
            after = self._table.after(state, call[i])
            if after not in (-1, state) and self._is_needed(state, after, waiting):
                moves.append((after, bit, i))
        return moves

    def _is_needed(self, before: int, after: int, waiting: set[int]) -> bool:
        """Whether going to `after` lets a waiting operation do what it cannot do at `before`,

        directly or through further crashed operations: write(2), cas(2, 1), and then read -> 1.
        """
        reached = [after]
        for state in reached:
            if len(reached) > NEEDED_STATES_MAX:
                return True  # perhaps; states may be without end, as of a text appended to
            if self._table.gains(before, state, waiting):
                return True
            reached += [
                then for then in self._through_crashed(before, state) if then not in reached
            ]
        return False

    def _through_crashed(self, before: int, after: int) -> list[int]:
        """Where any crashed operation leads from `after` that does nothing like it at `before`."""
        known = self._onward.get((before, after))
        if known is None:
            calls = {self._call[i] for i in self._free} | {group.call for group in self._crashed}
            onward = set(self._table.gains(before, after, calls))
            known = self._onward[before, after] = sorted(onward - {after})
        return known


def _is_new(smallest: list[int], used: int) -> bool:
    """Keep `smallest` the minimal sets of crashed operations a configuration was reached with."""
    if any(other & ~used == 0 for other in smallest):
        return False
    smallest[:] = [other for other in smallest if used & ~other != 0]
    smallest.append(used)
    return True
