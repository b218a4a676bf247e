"""What both searches walk: the answers of one object in order, and what was in flight at each.

Wing and Gong's search (1993) in the just-in-time form of Lowe (2017): walk the answers in the
order in which they came; before each, place the operation that got it, and before that any of
the others in flight, only as far as needed. A configuration is (answers passed, operations in
flight already placed, state, crashed operations used).

Rules that make it sound, each found by fuzzing:
- Only operations that the model declares pure are placed as soon as they are legal. write(1) at
  the state 1 changes nothing there, and placing it is wrong: it may be needed after write(2).
- Intervals are closed: an answer at t and a request at t are concurrent, as clocks have a grain.
- A crashed operation (`info`) may be placed at any time after it was sent, or never; placing it
  where it changes nothing is skipped, else cas(v, v) would follow itself for ever.
- Crashed operations with equal calls are interchangeable, so they are used in the order of
  sending, and a configuration that used more of them than one seen before leads nowhere new.

Pure: no clock but the one given, no file, no history of other objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from jepsen_like.models.model import ILLEGAL, Call, Model, State

__all__ = ["NEVER", "Interval", "Limit", "Found", "Layout", "Move", "is_new"]

NEVER = 1 << 62
"""`returned` of an operation that never returned: later than any time of a run."""

NEEDED_STATES_MAX = 32  # looked at for one crashed operation before it is tried anyway

# What may be placed next: (state after, slot bit, crashed bit, position of the operation).
Move = tuple[int, int, int, int]


class Interval(NamedTuple):
    """One operation as the search sees it."""

    call: Call
    sent: int
    returned: int  # NEVER: crashed
    free: bool = False  # may also happen at any time, any number of times: see counterexample.py


def _no_memory() -> int:
    return 0


@dataclass(frozen=True)
class Limit:
    """Where a search gives up."""

    configurations: int
    deadline: float  # on `clock`
    clock: Callable[[], float]
    memory_bytes: int = NEVER
    memory: Callable[[], int] = _no_memory  # what is in use now, of `memory_bytes`


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
    algorithm: str = ""
    bound: str = ""  # for unknown: which limit was reached


class Table:
    """States and calls as small integers, and every transition computed once."""

    def __init__(self, model: Model, calls: Iterable[Call]) -> None:
        self._model = model
        self._calls: list[Call] = []
        self._call_ids: dict[Call, int] = {}
        self.pure: list[bool] = []
        self.ids = [self._call_id(call) for call in calls]  # of each call given
        self._canonical = model.observable(self._calls)
        self._states: list[State] = []
        self._state_ids: dict[State, int] = {}
        self.next: list[dict[int, int]] = []  # state -> call -> state after; -1: illegal
        self._state_id(model.init())

    def _call_id(self, call: Call) -> int:
        found = self._call_ids.get(call)
        if found is None:
            found = self._call_ids[call] = len(self._calls)
            self._calls.append(call)
            self.pure.append(self._model.is_pure(call))
        return found

    def after(self, state: int, call: int) -> int:
        """The state after `call` at `state`; -1: illegal."""
        row = self.next[state]
        found = row.get(call)
        if found is None:
            after = self._model.step(self._states[state], self._calls[call])
            found = row[call] = -1 if after is ILLEGAL else self._state_id(after)
        return found

    def _state_id(self, state: State) -> int:
        if self._canonical is not None:
            state = self._canonical(state)
        known = self._state_ids.get(state)
        if known is None:
            known = self._state_ids[state] = len(self._states)
            self._states.append(state)
            self.next.append({})
        return known

    def gains(self, before: int, after: int, calls: Iterable[int]) -> list[int]:
        """Where those of `calls` lead from `after` that do not lead there from `before`.

        One that changes neither is no gain: it can as well come before.
        """
        at_before, at_after = self.next[before], self.next[after]
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


class Layout:
    """Per answer: the slot and position of its operation, what is in flight, what is new of that.

    In flight are (slot bit, position, call), without the pure ones in `changing`.
    """

    def __init__(self, model: Model, intervals: Sequence[Interval]) -> None:
        self.table = Table(model, [interval.call for interval in intervals])
        self.intervals = intervals
        self.call = self.table.ids
        self.slot: list[int] = []
        self.operation: list[int] = []
        self.pure: list[list[tuple[int, int, int]]] = []
        self.changing: list[list[tuple[int, int, int]]] = []
        self.fresh: list[list[tuple[int, int, int]]] = []  # pure, and new since the answer before
        self.available: list[int] = []  # bits of the crashed operations sent before the answer
        self._free = [i for i, interval in enumerate(intervals) if interval.free]
        self._crashed = self._crashed_classes()
        self.has_crashed = bool(self._crashed or self._free)
        self._onward: dict[tuple[int, int], list[int]] = {}
        self._lay_out()

    def _crashed_classes(self) -> list[_Crashed]:
        groups: dict[int, list[int]] = {}
        for i, interval in enumerate(self.intervals):
            if interval.returned == NEVER and not interval.free:
                groups.setdefault(self.call[i], []).append(i)
        classes = []
        base = 0
        for call, operations in groups.items():
            if self.table.pure[call]:
                continue  # never returned and changes nothing: says nothing
            operations.sort(key=lambda i: self.intervals[i].sent)
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
        intervals = self.intervals
        requests = [i for i, interval in enumerate(intervals) if not interval.free]
        answers = [i for i in requests if intervals[i].returned != NEVER]
        requests.sort(key=lambda i: intervals[i].sent)
        answers.sort(key=lambda i: intervals[i].returned)
        is_pure, call = self.table.pure, self.call
        pure: dict[int, tuple[int, int, int]] = {}
        changing: dict[int, tuple[int, int, int]] = {}
        nothing: list[tuple[int, int, int]] = []  # shared: most answers find little in flight
        unused: list[int] = []
        fresh: list[tuple[int, int, int]] = nothing
        available = slots = sent = 0
        for answer in answers:
            returned = intervals[answer].returned
            while sent < len(requests) and intervals[requests[sent]].sent <= returned:
                i = requests[sent]  # closed intervals: requests of the same instant come first
                sent += 1
                if intervals[i].returned == NEVER:
                    available |= crashed_bit.get(i, 0)
                    continue
                if unused:
                    slot = unused.pop()
                else:
                    slot = 1 << slots
                    slots += 1
                entry = (slot, i, call[i])
                if is_pure[call[i]]:
                    pure[i] = entry
                    fresh = [*fresh, entry]
                else:
                    changing[i] = entry
            self.pure.append(list(pure.values()) if pure else nothing)
            self.changing.append(list(changing.values()) if changing else nothing)
            self.fresh.append(fresh)
            fresh = nothing
            slot = (pure if is_pure[call[answer]] else changing).pop(answer)[0]
            self.slot.append(slot)
            self.operation.append(answer)
            self.available.append(available)
            unused.append(slot)
        self.slots = slots

    def crashed_moves(self, answers: int, placed: int, state: int, used: int) -> list[Move]:
        """Crashed and free operations that change the state, and that something needs."""
        call, available = self.call, self.available[answers]
        unused = [(0, i) for i in self._free]
        for group in self._crashed:
            bit = group.next_bit(used)
            if bit & available:
                unused.append((bit, group.operations[(bit // group.low).bit_length() - 1]))
        if not unused:
            return []
        waiting = {c for bit, _, c in self.changing[answers] if not placed & bit}
        waiting |= {c for bit, _, c in self.pure[answers] if not placed & bit}
        moves = []
        for bit, i in unused:
            after = self.table.after(state, call[i])
            if after not in (-1, state) and self._is_needed(state, after, waiting):
                moves.append((after, 0, bit, i))
        return moves

    def _is_needed(self, before: int, after: int, waiting: set[int]) -> bool:
        """Whether going to `after` lets a waiting operation do what it cannot do at `before`,

        directly or through further crashed operations: write(2), cas(2, 1), and then read -> 1.
        """
        reached = [after]
        for state in reached:
            if len(reached) > NEEDED_STATES_MAX:
                return True  # perhaps; states may be without end, as of a text appended to
            if self.table.gains(before, state, waiting):
                return True
            reached += [
                then for then in self._through_crashed(before, state) if then not in reached
            ]
        return False

    def _through_crashed(self, before: int, after: int) -> list[int]:
        """Where any crashed operation leads from `after` that does nothing like it at `before`."""
        known = self._onward.get((before, after))
        if known is None:
            calls = {self.call[i] for i in self._free} | {group.call for group in self._crashed}
            onward = set(self.table.gains(before, after, calls))
            known = self._onward[before, after] = sorted(onward - {after})
        return known


def is_new(smallest: list[int], used: int) -> bool:
    """Keep `smallest` the minimal sets of crashed operations a configuration was reached with."""
    if any(other & ~used == 0 for other in smallest):
        return False
    smallest[:] = [other for other in smallest if used & ~other != 0]
    smallest.append(used)
    return True
