"""What a leader does with its gates (`nodes.gates`): who waits for one, when a snapshot may pin,
and when what waited at the gate is let in.

A snapshot that finds a gate which it may not share waits for its end; what that kept out enters the
log before the next one is closed, so that snapshots one after the other keep nobody out for longer
than one of them. All of it ends with the office of the leader.

Pure: time comes in, and what the engine does is called.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from nodes.engine import Barrier
from nodes.gates import Gates
from nodes.protocol import EntryBody, NotPinned, Prepare, ResponseBody, Write
from nodes.two_phase import Touched, TwoPhaseView

__all__ = ["WAITING_MAX", "Gatekeeper"]

WAITING_MAX: Final = 256
"""Snapshots of one group that wait; one more is told to try again."""

_FULL: Final = NotPinned(f"{WAITING_MAX} snapshots wait for their gates")
_NOT_IN_TIME: Final = NotPinned("what it reads was being written for as long as a gate may last")
_OPEN: Final = NotPinned("its gate was open")


class GateMachine(Protocol):
    """What is asked of the state machine."""

    @property
    def applied(self) -> int:
        """Index of the last entry in the state that a read sees."""

    @property
    def prepared(self) -> TwoPhaseView:
        """What is prepared in that state."""


class _Asked(NamedTuple):
    """A snapshot that is not pinned yet."""

    id: bytes
    touched: Touched
    pin: Callable[[], None]
    done: Barrier


class Gatekeeper:
    """Of one replica. `enter` puts into the log what is let in, and returns the last index that
    this comes to; `let_in` what waited at a gate."""

    def __init__(
        self,
        machine: GateMachine,
        *,
        now: Callable[[], float],
        enter: Callable[[], int],
        let_in: Callable[[], None],
        lasts_s: float,
    ) -> None:
        self.gates = Gates(lasts_s)
        """Of this office."""
        self._machine = machine
        self._now = now
        self._enter = enter
        self._let_in = let_in
        self._lasts_s = lasts_s
        self._asked: dict[bytes, _Asked] = {}  # behind a gate
        self._waiting: deque[_Asked] = deque()  # for one

    def keeps_out(self, body: EntryBody | None) -> bool:
        """Whether an entry has to wait. Who comes when the gate's time is over opens it."""
        if isinstance(body, Write | Prepare) and self.gates.expire(self._now()):
            self._opened()
        return self.gates.keeps_out(body)

    def close(self, id: bytes, touched: Touched, pin: Callable[[], None], done: Barrier) -> None:
        """Close a gate; call `pin` as soon as the state is the one to read, and then `done(None)`.
        NotPinned: it did not come to that."""
        asked = _Asked(id, touched, pin, done)
        self.look()
        if len(self._waiting) + len(self._asked) >= WAITING_MAX:
            done(_FULL)
        elif self._waiting or not self._close(asked):
            self._waiting.append(asked)

    def _close(self, asked: _Asked) -> bool:
        if not self.gates.close(asked.id, asked.touched, self._enter(), self._now()):
            return False
        self._asked[asked.id] = asked
        self._try(asked)
        return True

    def _try(self, asked: _Asked) -> None:
        machine = self._machine
        if self.gates.is_late(asked.id):
            self.gates.wait_for(asked.id, self._enter())
        if self.gates.may_pin(asked.id, machine.applied, machine.prepared.holder):
            del self._asked[asked.id]
            asked.pin()
            self.gates.pinned(asked.id)
            asked.done(None)

    def look(self) -> float | None:
        """Something was applied, or time has passed. Returns how long the gate that is closed may
        last, if one is and its time is not over."""
        if self.gates.look(self._now()):
            self._opened()
        for asked in list(self._asked.values()):
            self._try(asked)
        left_s = self.gates.ends - self._now()
        return left_s if self.gates.is_closed and left_s > 0 else None

    def confirm(self, id: bytes) -> NotPinned | None:
        """None if its gate was never open; it is now, for all that this snapshot needs. What the
        word is worth a quorum has to say, asked from now on."""
        self.look()
        is_good = self.gates.confirms(id)
        self.open(id)
        return None if is_good else _OPEN

    def open(self, id: bytes) -> None:
        """The snapshot needs no gate any more. If it waits for one, or behind it, it is told so:
        what it reads may be applied for longer than anybody keeps a place for its pin."""
        left = [each for each in (*self._waiting, *self._asked.values()) if each.id == id]
        self._waiting = deque(each for each in self._waiting if each.id != id)
        self._asked.pop(id, None)
        if self.gates.open(id):
            self._opened()
        for each in left:
            each.done(_NOT_IN_TIME)

    def _opened(self) -> None:
        asked, self._asked = self._asked, {}
        self._let_in()
        while self._waiting and self._close(self._waiting[0]):
            self._waiting.popleft()
        for each in asked.values():
            each.done(_NOT_IN_TIME)

    def drop(self, answer: ResponseBody) -> None:
        """The office is over."""
        if not self.gates.is_closed:
            return
        self.gates = Gates(self._lasts_s)
        left = [*self._asked.values(), *self._waiting]
        self._asked, self._waiting = {}, deque()
        for each in left:
            each.done(answer)
