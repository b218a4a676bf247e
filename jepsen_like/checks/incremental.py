"""Linearizability while the test runs: the first answer that no order explains, as it comes.

An answer can be judged once every operation on its key that was sent before it has ended, for
only then is it known what they did; a client that never hears back holds its key up until it
gives up. From then on it is the walk of `layout.py`, breadth first: before each answer the set of
configurations (operations in flight that are placed, state, crashed operations used), and where
none gets past an answer the history is not linearizable, whatever comes later. What is before
that answer need not be remembered, so memory holds what is in flight, what waits to be judged,
and the crashed operations; none of it grows with the length of the test.

What is bounded can be too little: then a key is given up, and the verdict at the end is `unknown`
unless another key is illegal. Whoever has the whole history judges it afterwards; what this
checker calls invalid, that one does too.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from jepsen_like.checks.layout import NEVER, is_new
from jepsen_like.checks.objects import key_text
from jepsen_like.checks.online import online_name
from jepsen_like.history import Operation
from jepsen_like.models.model import ILLEGAL, Call, Illegal, Model, State, call_of
from jepsen_like.result import Verdict

__all__ = ["OnlineChecker"]

CHECK: Final = online_name("linearizable")
CONFIGURATIONS_MAX: Final = 20_000  # of one key, before one answer
WAITING_MAX: Final = 10_000  # operations of one key that are not judged yet
CRASHED_MAX: Final = 1_000  # of one key
STATES_SHOWN: Final = 5

_Configuration = tuple[int, State, int]  # placed, state, used


class OnlineChecker:
    """An `Online` that judges linearizability.

    online = OnlineChecker(CasRegister())
    recorder = Recorder("history.jsonl", watch=online.feed)
    """

    def __init__(
        self,
        model: Model,
        *,
        configurations_max: int = CONFIGURATIONS_MAX,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self.violation: Verdict | None = None
        self.ended = 0  # operations fed that have ended
        self._model = model
        self._limits = (configurations_max, waiting_max)
        self._keys: dict[int | str, _Key] = {}
        self._soon: list[tuple[int, int, _Key]] = []  # answers, to be judged when time has passed
        self._events = 0
        self._given_up: dict[int | str, str] = {}

    def feed(self, operation: Operation, is_open: bool = False) -> Verdict | None:
        """`is_open`: it was just sent. Returns the violation once there is one."""
        if self.violation is not None:
            return self.violation
        self._events += 1
        self.ended += not is_open
        key = self._key(operation)
        try:
            if is_open:
                key.sent(operation)
                now = operation.sent_ns
            else:
                answered = key.ended(operation)
                now = operation.returned_ns
                if answered:
                    heapq.heappush(self._soon, (now, self._events, key))
        except Exception as exc:  # an operation that the model does not know
            key.give_up(f"{type(exc).__name__}: {exc}")
            self._given_up[key.name] = key.given_up
            return None
        while self._soon and self._soon[0][0] < now and self.violation is None:
            self._advance(heapq.heappop(self._soon)[2], now)
        if self.violation is None:
            self._advance(key, now)
        return self.violation

    def _key(self, operation: Operation) -> _Key:
        name = self._model.partition(operation)
        key = self._keys.get(name)
        if key is None:
            key = self._keys[name] = _Key(name, self._model, *self._limits)
        return key

    def finish(self) -> Verdict:
        """The verdict on all that was fed; what is still open may have happened, or not."""
        for key in list(self._keys.values()):
            if self.violation is None:
                key.end_all()
                self._advance(key, NEVER)
        if self.violation is not None:
            return self.violation
        details: dict[str, Any] = {"keys": len(self._keys)}
        if self._given_up:
            details["given_up"] = self._given_up
            key_given_up, why = next(iter(self._given_up.items()))
            reason = f"{key_text(key_given_up)} was given up: {why}"
            return Verdict(CHECK, "unknown", reason, self.ended, details=details)
        reason = f"{self.ended} operations were explained as they came"
        return Verdict(CHECK, "valid", reason, self.ended, details=details)

    @property
    def remembered(self) -> int:
        """Operations and configurations in memory."""
        return sum(key.remembered for key in self._keys.values()) + len(self._soon)

    def _advance(self, key: _Key, now: int) -> None:
        try:
            stuck = key.advance(now)
        except Exception as exc:
            key.give_up(f"{type(exc).__name__}: {exc}")
            stuck = None
        if key.given_up:
            self._given_up.setdefault(key.name, key.given_up)
        if stuck is None:
            return
        operation, states = stuck
        called = self._model.describe(call_of(operation))
        where = f"{called} of {key_text(operation.key)} on {operation.node or 'the database'}"
        shown = " or ".join(str(state) for state in states[:STATES_SHOWN])
        more = " or others" if len(states) > STATES_SHOWN else ""
        reason = f"no order explains {where}: it could only be at {shown}{more}"
        details = {"at_operation": self.ended, "answered_ns": operation.returned_ns}
        self.violation = Verdict(CHECK, "invalid", reason, self.ended, (operation,), details)


@dataclass(slots=True)
class _InFlight:
    operation: Operation
    call: Call
    is_pure: bool
    slot: int = 0  # its bit, once it is in flight


@dataclass(slots=True)
class _Crashed:
    """Crashed operations of equal calls, in the order of sending: used from the first on."""

    call: Call
    bits: list[int] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)

    def next_bit(self, used: int, now: int) -> int:
        for bit, sent in zip(self.bits, self.sent, strict=True):
            if not used & bit:
                return bit if sent <= now else 0
        return 0


class _Key:
    def __init__(
        self, name: int | str, model: Model, configurations_max: int, waiting_max: int
    ) -> None:
        self.name = name
        self.given_up = ""
        self._model = model
        self._configurations_max = configurations_max
        self._waiting_max = waiting_max
        self._open: dict[int, Operation] = {}  # by process
        self._requests: list[tuple[int, int, _InFlight]] = []  # ended, by the time of sending
        self._answers: list[tuple[int, int, _InFlight]] = []  # the same, by answer
        self._in_flight: dict[int, _InFlight] = {}  # by slot, at the answer that is judged next
        self._crashed: dict[Call, _Crashed] = {}
        self._crashed_count = 0
        self._free: list[int] = []  # slots
        self._slots = 0
        self._count = 0
        self._passed_ns = -NEVER  # of the last answer that was judged
        self._frontier: list[_Configuration] = [(0, model.init(), 0)]

    @property
    def remembered(self) -> int:
        held = len(self._open) + len(self._requests) + len(self._answers) + len(self._in_flight)
        return held + len(self._frontier) + self._crashed_count

    def give_up(self, why: str) -> None:
        self.given_up = why
        for held in (
            self._open, self._requests, self._answers, self._in_flight, self._crashed,
            self._frontier,
        ):  # fmt: skip
            held.clear()

    def sent(self, operation: Operation) -> None:
        if not self.given_up:
            self._open[operation.process] = operation
            self._look_back(operation)

    def ended(self, operation: Operation) -> bool:
        """Whether it has an answer that is to be judged."""
        if self.given_up:
            return False
        self._open.pop(operation.process, None)
        self._look_back(operation)
        if operation.outcome == "fail":
            return False
        call = call_of(operation)
        is_pure = self._model.is_pure(call)
        if operation.outcome == "info":
            if not is_pure:
                self._crash(call, operation.sent_ns)
            return False
        mine = _InFlight(operation, call, is_pure)
        self._count += 1
        heapq.heappush(self._requests, (operation.sent_ns, self._count, mine))
        heapq.heappush(self._answers, (operation.returned_ns, self._count, mine))
        if len(self._answers) > self._waiting_max:
            self.give_up(f"more than {self._waiting_max} operations waited for one to end")
        return True

    def end_all(self) -> None:
        for operation in self._open.values():
            call = call_of(operation)
            if not self._model.is_pure(call):
                self._crash(call, operation.sent_ns)
        self._open.clear()

    def _look_back(self, operation: Operation) -> None:
        if operation.sent_ns <= self._passed_ns:
            self.give_up("an operation was not announced when it was sent")

    def _crash(self, call: Call, sent: int) -> None:
        if self._crashed_count >= CRASHED_MAX:
            self.give_up(f"more than {CRASHED_MAX} operations of unknown outcome")
            return
        crashed = self._crashed.setdefault(call, _Crashed(call))
        place = sum(other <= sent for other in crashed.sent)
        crashed.sent.insert(place, sent)
        # Those sent later are not used yet: nothing after the answers judged so far was
        crashed.bits.append(1 << self._crashed_count)
        self._crashed_count += 1

    def advance(self, now: int) -> tuple[Operation, list[State]] | None:
        """Judge the answers of which everything is known; the one that no order gets past."""
        settled = min((o.sent_ns for o in self._open.values()), default=NEVER)
        while self._answers and self._answers[0][0] < min(now, settled):
            returned, _, answered = heapq.heappop(self._answers)
            while self._requests and self._requests[0][0] <= returned:
                _, _, mine = heapq.heappop(self._requests)
                if self._free:
                    mine.slot = self._free.pop()
                else:
                    mine.slot = 1 << self._slots
                    self._slots += 1
                self._in_flight[mine.slot] = mine
            before = self._frontier
            self._frontier = self._past(answered, returned)
            if self.given_up:
                return None
            if not self._frontier:
                states = list(dict.fromkeys(state for _, state, _ in before))
                return answered.operation, states
            del self._in_flight[answered.slot]
            self._free.append(answered.slot)
            self._passed_ns = returned
        return None

    def _past(self, answered: _InFlight, now: int) -> list[_Configuration]:
        """The configurations after the answer, each with as few crashed operations as can be."""
        step = self._model.step
        pure = [(o.slot, o.call) for o in self._in_flight.values() if o.is_pure]
        changing = [(o.slot, o.call) for o in self._in_flight.values() if not o.is_pure]
        passed: dict[tuple[int, State], list[int]] = {}
        seen: dict[tuple[int, State], list[int]] = {}
        waiting = sorted(self._frontier, key=lambda configuration: configuration[2].bit_count())
        looked_at = 0
        for placed, state, used in waiting:
            for slot, call in pure:
                if not placed & slot and step(state, call) is not ILLEGAL:
                    placed |= slot
            if placed & answered.slot:
                is_new(passed.setdefault((placed ^ answered.slot, state), []), used)
                continue
            if not is_new(seen.setdefault((placed, state), []), used):
                continue
            looked_at += 1
            if looked_at > self._configurations_max:
                self.give_up(f"more than {self._configurations_max} configurations at one answer")
                return []
            for slot, call in changing:
                if not placed & slot:
                    after = step(state, call)
                    if after is not ILLEGAL:
                        waiting.append((placed | slot, after, used))
            if self._crashed:
                unplaced = [call for slot, call in (*pure, *changing) if not placed & slot]
                for bit, after in self._crashed_moves(state, used, unplaced, now):
                    waiting.append((placed, after, used | bit))
        return [(placed, state, used) for (placed, state), all_ in passed.items() for used in all_]

    def _crashed_moves(
        self, state: State, used: int, unplaced: Iterable[Call], now: int
    ) -> list[tuple[int, State]]:
        """Crashed operations that let something happen which cannot happen as it is."""
        wanting = [*unplaced, *self._crashed]
        moves = []
        for call, crashed in self._crashed.items():
            bit = crashed.next_bit(used, now)
            after = self._model.step(state, call) if bit else ILLEGAL
            if isinstance(after, Illegal) or after == state:
                continue
            if any(self._gains(state, after, wanted) for wanted in wanting):
                moves.append((bit, after))
        return moves

    def _gains(self, before: State, after: State, call: Call) -> bool:
        """Whether `call` does at `after` what it does not at `before`."""
        then = self._model.step(after, call)
        if then is ILLEGAL:
            return False
        other = self._model.step(before, call)
        return other is ILLEGAL or (other != then and (other != before or then != after))
