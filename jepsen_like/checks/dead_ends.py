"""Why no order explains a counterexample: every order as far as it goes, and what stops it there.

A counterexample is small, so all orders of it can be walked, one operation after the other, as
the clock allows: an operation may come next if it was sent before every operation that is still
to be placed had returned (Wing and Gong 1993). Where nothing can come next, the order is at a
dead end; two orders that placed the same operations and left the same state are one.

As in `prefix`, what was not answered when the stuck operation was may have happened or not. As
in `counterexample`, operations that are not shown may have happened at any time, or never: they
are placed where one of those shown needs them, and are told by their calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from jepsen_like.checks.layout import NEVER
from jepsen_like.history import Operation
from jepsen_like.models.model import ILLEGAL, UNOBSERVED, Call, Illegal, Model, State, call_of

__all__ = ["DEAD_ENDS_SHOWN", "DeadEnd", "Refusal", "Step", "Walk", "as_details", "walk"]

OPERATIONS_MAX: Final = 200
CONFIGURATIONS_MAX: Final = 5_000
TRIALS_MAX: Final = 200_000  # of calls that are not shown
CHAIN_MAX: Final = 3  # of these, one after the other, to make one operation possible
DEAD_ENDS_SHOWN: Final = 12
STATES_SHOWN: Final = 3
STATES_MAX: Final = 200  # remembered, to say where an operation would be possible
STATE_CHARACTERS: Final = 60
BEFORE: Final = "what came before"  # the first step of an order, if it begins in any state
ROOM: Final = 12  # characters for the end of a state that is cut


class Step(NamedTuple):
    """One operation of an order; `state`: what is there after it, in words."""

    operation: int | str  # its position among the offending ones; a text: one that is not shown
    state: str


class Refusal(NamedTuple):
    """An operation that the clock would let come next, and why the state does not."""

    operation: int
    sentence: str


@dataclass(frozen=True)
class DeadEnd:
    steps: tuple[Step, ...]
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True)
class Walk:
    dead_ends: tuple[DeadEnd, ...]  # the longest first, at most DEAD_ENDS_SHOWN
    count: int  # of all that were found
    in_full: bool  # False: there were too many orders to walk


def walk(
    model: Model,
    offending: Sequence[Operation],
    stuck: int,
    hidden: Sequence[Operation] = (),
    *,
    from_any: bool = False,
) -> Walk | None:
    """`hidden`: operations that are not shown, and may have happened at any time or never.

    `from_any`: whatever the state before them was. None: an order explains them, so it was not
    this model alone that convicted them; or there are too many to walk.
    """
    if len(offending) > OPERATIONS_MAX:
        return None
    return _Walker(model, offending, stuck, hidden).run(from_any=from_any)


def as_details(found: Walk) -> dict[str, Any]:
    """For `Verdict.details`: what JSON can hold."""
    return {
        "dead_ends": [
            {
                "order": [step.operation for step in end.steps],
                "states": [step.state for step in end.steps],
                "refused": {r.operation: r.sentence for r in end.refusals},
            }
            for end in found.dead_ends
        ],
        "dead_ends_found": found.count,
        "every_order_tried": found.in_full,
    }


_Path: TypeAlias = tuple[tuple[int | str, State], ...]


class _Walker:
    def __init__(
        self,
        model: Model,
        offending: Sequence[Operation],
        stuck: int,
        hidden: Sequence[Operation],
    ) -> None:
        self._model = model
        self._stuck = stuck
        end = offending[stuck].returned_ns
        self._calls = [call_of(o) for o in offending]
        self._sent = [o.sent_ns for o in offending]
        self._returned = [
            NEVER if o.outcome == "info" or o.returned_ns > end else o.returned_ns
            for o in offending
        ]
        self._hidden = Counter(call_of(o) for o in hidden)
        self._trials = 0
        self._states: list[State] = []  # that were reached, in the order in which they were

    def run(self, *, from_any: bool) -> Walk | None:
        starts: list[tuple[State, _Path]] = [(self._model.init(), ())]
        if from_any:
            states = self._model.states_to_begin_with([*self._calls, *self._hidden]) or ()
            starts = [(state, ((BEFORE, state),)) for state in states]
        self._states += [state for state, _ in starts]
        waiting: list[tuple[int, State, tuple[Call, ...], _Path]] = [
            (0, start, (), path) for start, path in starts
        ]
        seen: set[tuple[int, State, tuple[Call, ...]]] = {(0, start, ()) for start, _ in starts}
        ends: list[tuple[_Path, State, list[int]]] = []
        while waiting and len(seen) <= CONFIGURATIONS_MAX and self._trials <= TRIALS_MAX:
            placed, state, used, path = waiting.pop()
            open_ = [i for i in range(len(self._calls)) if not placed >> i & 1]
            first = min((self._returned[i] for i in open_), default=NEVER)
            if first == NEVER:
                return None
            refused = []
            gone_on = False
            for i in (i for i in open_ if self._sent[i] <= first):
                ways = list(self._ways(state, i, used))
                if not ways:
                    refused.append(i)
                for between, after in ways:
                    if self._returned[i] == NEVER and after == state:
                        continue  # it may as well not have happened
                    gone_on = True
                    now_used = tuple(sorted((*used, *(c for c, _ in between)), key=repr))
                    configuration = (placed | 1 << i, after, now_used)
                    if configuration not in seen:
                        seen.add(configuration)
                        told = tuple((self._model.describe(c), s) for c, s in between)
                        waiting.append((*configuration, (*path, *told, (i, after))))
            if not gone_on:
                ends.append((path, state, refused))
        ends.sort(key=lambda end: (-_shown(end[0]), self._stuck not in end[2], len(end[0])))
        shown = tuple(self._told(*end) for end in ends[:DEAD_ENDS_SHOWN])
        return Walk(shown, len(ends), in_full=not waiting)

    def _ways(
        self, state: State, i: int, used: tuple[Call, ...]
    ) -> Iterator[tuple[tuple[tuple[Call, State], ...], State]]:
        """How operation i may come next: what comes between, with the states, and the state."""
        after = self._step(state, self._calls[i])
        if after is not ILLEGAL:
            yield (), after
            return
        level: list[tuple[tuple[tuple[Call, State], ...], State]] = [((), state)]
        met = {state}
        for _ in range(CHAIN_MAX):
            deeper = []
            found = False
            for between, at in level:
                taken = Counter((*used, *(c for c, _ in between)))
                for call, limit in self._hidden.items():
                    if taken[call] >= limit:
                        continue
                    self._trials += 1
                    then = self._step(at, call)
                    if then is ILLEGAL or then in met:
                        continue
                    met.add(then)
                    chain = (*between, (call, then))
                    after = self._step(then, self._calls[i])
                    if after is not ILLEGAL:
                        found = True
                        yield chain, self._reached(after)
                    deeper.append((chain, then))
                    if self._trials > TRIALS_MAX:
                        return
            if found:
                return
            level = deeper

    def _step(self, state: State, call: Call) -> State | Illegal:
        after = self._model.step(state, call)
        return after if after is ILLEGAL else self._reached(after)

    def _reached(self, state: State) -> State:
        if state not in self._states and len(self._states) < STATES_MAX:
            self._states.append(state)
        return state

    def _told(self, path: _Path, state: State, refused: Sequence[int]) -> DeadEnd:
        steps = tuple(Step(i, state_text(after)) for i, after in path)
        return DeadEnd(steps, tuple(Refusal(i, self._why(i, state)) for i in refused))

    def _why(self, i: int, state: State) -> str:
        call = self._calls[i]
        told = f"{self._model.describe(call)} is not possible at {state_text(state)}"
        fitting = [s for s in self._states if self._is_legal(s, call)]
        if not fitting:
            return f"{told}: none of the operations leaves what it needs"
        names = " or ".join(state_text(s) for s in fitting[:STATES_SHOWN])
        return f"{told}: it needs {names}{' or others' if len(fitting) > STATES_SHOWN else ''}"

    def _is_legal(self, state: State, call: Call) -> bool:
        return self._model.step(state, call) is not ILLEGAL


def _shown(path: _Path) -> int:
    return sum(isinstance(operation, int) for operation, _ in path)


def state_text(state: State) -> str:
    text = "nothing" if state is None else str(state)
    if state is UNOBSERVED:
        return "another state"
    if len(text) <= STATE_CHARACTERS:
        return text
    return f"{text[: STATE_CHARACTERS - ROOM]}... ({len(text)} characters)"
