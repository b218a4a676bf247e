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

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from jepsen_like.models.model import ILLEGAL, Call, Model, State

__all__ = ["NEVER", "Interval", "Intervals", "Limit", "Found", "Layout", "Move", "is_new"]

NEVER = 1 << 62
"""`returned` of an operation that never returned: later than any time of a run."""

NEEDED_STATES_MAX = 32  # looked at for one crashed operation before it is tried anyway

# What may be placed next: (crashed bit, slot bit, position of the operation, its call).
Move: TypeAlias = tuple[int, int, int, int]


class Interval(NamedTuple):
    """One operation as the search sees it."""

    call: Call
    sent: int
    returned: int  # NEVER: crashed
    free: bool = False  # may also happen at any time, any number of times: see counterexample.py


class Intervals(NamedTuple):
    """Many of them in columns. `call` holds what a `Call` is made of: each is made once."""

    call: Sequence[tuple[str, Any, Any, bool]]
    sent: Sequence[int]
    returned: Sequence[int]
    free: frozenset[int] = frozenset()

    @classmethod
    def of(cls, intervals: Sequence[Interval]) -> Intervals:
        call, sent, returned, free = zip(*intervals, strict=True) if intervals else [()] * 4
        return cls(call, sent, returned, frozenset(i for i, is_free in enumerate(free) if is_free))


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

    def __init__(self, model: Model, calls: Iterable[tuple[str, Any, Any, bool]]) -> None:
        self._model = model
        self._calls: list[Call] = []
        self._call_ids: dict[tuple[str, Any, Any, bool], int] = {}
        self.pure: list[bool] = []
        known = self._call_ids
        self.ids: list[int] = []  # of each call given
        for call in calls:
            found = known.get(call)
            self.ids.append(self._add_call(call) if found is None else found)
        self._canonical = model.observable(self._calls)
        self._states: list[State] = []
        self._state_ids: dict[State, int] = {}
        self.next: list[dict[int, int]] = []  # state -> call -> state after; -1: illegal
        self._state_id(model.init())

    def _add_call(self, parts: tuple[str, Any, Any, bool]) -> int:
        call = Call(*parts)
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

    In flight are those that change nothing, as (slot bit, position, call), and the others, as
    moves, those with the first answers first. Lists that do not differ are one.
    """

    def __init__(self, model: Model, intervals: Intervals) -> None:
        self.table = Table(model, intervals.call)
        self.intervals = intervals
        self.call = self.table.ids
        self.slot: Sequence[int] = ()
        self.operation: Sequence[int] = ()
        self.pure: Sequence[list[tuple[int, int, int]]] = ()
        self.changing: Sequence[list[Move]] = ()
        self.fresh: Sequence[list[tuple[int, int, int]]] = ()  # pure, and new since the last answer
        self.available: Sequence[int] = ()  # bits of the crashed operations sent until the answer
        self.free = sorted(intervals.free)
        self._crashed = self._crashed_classes()
        self.has_crashed = bool(self._crashed or self.free)
        self._onward: dict[tuple[int, int], list[int]] = {}
        self._lay_out()

    def _crashed_classes(self) -> list[_Crashed]:
        groups: dict[int, list[int]] = {}
        free, sent = self.intervals.free, self.intervals.sent
        for i, returned in enumerate(self.intervals.returned):
            if returned == NEVER and i not in free:
                groups.setdefault(self.call[i], []).append(i)
        classes = []
        base = 0
        for call, operations in groups.items():
            if self.table.pure[call]:
                continue  # never returned and changes nothing: says nothing
            operations.sort(key=sent.__getitem__)
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
        _, sent_at, returned_at, free = self.intervals
        requests = [i for i in range(len(sent_at)) if i not in free]
        answers = [i for i in requests if returned_at[i] != NEVER]
        requests.sort(key=sent_at.__getitem__)
        answers.sort(key=returned_at.__getitem__)
        rank = [0] * len(sent_at)
        for place, i in enumerate(answers):
            rank[i] = place
        times = [sent_at[i] for i in requests]
        times.append(NEVER + 1)  # after every answer
        is_pure, call = self.table.pure, self.call
        nothing: list[tuple[int, int, int]] = []
        pure = nothing  # in flight, by rank; such a list is shared, and so another if it changes
        changing: list[Move] = []
        pure_ranks: list[int] = []
        changing_ranks: list[int] = []
        unused: list[int] = []
        fresh = nothing
        available = slots = at = 0
        rows = []
        for answer in answers:
            returned = returned_at[answer]
            while times[at] <= returned:  # closed intervals: those of the same instant come first
                i = requests[at]
                at += 1
                if returned_at[i] == NEVER:
                    available |= crashed_bit.get(i, 0)
                    continue
                if unused:
                    slot = unused.pop()
                else:
                    slot = 1 << slots
                    slots += 1
                c = call[i]
                if is_pure[c]:
                    entry = (slot, i, c)
                    fresh = [*fresh, entry]
                    place = bisect_left(pure_ranks, rank[i])
                    pure_ranks.insert(place, rank[i])
                    pure = [*pure[:place], entry, *pure[place:]] if pure else [entry]
                else:
                    move = (0, slot, i, c)
                    place = bisect_left(changing_ranks, rank[i])
                    changing_ranks.insert(place, rank[i])
                    changing = [*changing[:place], move, *changing[place:]] if changing else [move]
            if is_pure[call[answer]]:
                slot = pure[0][0]
                rows.append((slot, answer, pure, changing, fresh, available))
                pure = pure[1:]
                del pure_ranks[0]
            else:
                slot = changing[0][1]
                rows.append((slot, answer, pure, changing, fresh, available))
                changing = changing[1:]
                del changing_ranks[0]
            unused.append(slot)
            fresh = nothing
        if rows:
            columns = zip(*rows, strict=True)
            self.slot, self.operation, self.pure, self.changing, *others = columns
            self.fresh, self.available = others
        self.slots = slots

    def crashed_moves(self, answers: int, placed: int, state: int, used: int) -> Iterator[Move]:
        """Crashed and free operations that change the state, and that something needs."""
        call, available = self.call, self.available[answers]
        unused = []
        for group in reversed(self._crashed):
            bit = group.next_bit(used)
            if bit & available:
                unused.append((bit, group.operations[(bit // group.low).bit_length() - 1]))
        unused += [(0, i) for i in reversed(self.free)]
        if not unused:
            return
        waiting = {c for _, bit, _, c in self.changing[answers] if not placed & bit}
        waiting |= {c for bit, _, c in self.pure[answers] if not placed & bit}
        for bit, i in unused:
            after = self.table.after(state, call[i])
            if after not in (-1, state) and self._is_needed(state, after, waiting):
                yield bit, 0, i, call[i]

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
            calls = {self.call[i] for i in self.free} | {group.call for group in self._crashed}
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
