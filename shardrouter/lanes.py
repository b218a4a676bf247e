"""A (session, seq) for each exactly-once command of this router on a group, at once or when there
is one (DESIGN section 8).

A lane has the session in which its commands go out. It opens one when the first command asks, and
another when that one is lost; who has to wait, for that or for a seq that is free, waits in turn.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from nodes.protocol import Opened, OpenSession, SessionId, SqlFailure
from shardrouter.delivery import Answer, Delivery
from shardrouter.errors import RouterError, Unavailable
from shardrouter.verdicts import sql_error, time_over
from shardrouter.window import SeqWindow

__all__ = ["WAITING_MAX", "Lane", "LaneSession", "Waiter"]

WAITING_MAX: Final = 4096
"""Commands of one lane that wait for a session or a free seq; more answer 53300."""


class LaneSession:
    """An exactly-once session as the group knows it, its seqs, and the numbers of its stages."""

    __slots__ = ("id", "stages", "window")

    def __init__(self, session: SessionId) -> None:
        self.id = session
        self.window = SeqWindow()
        self.stages = 0

    def new_stage(self) -> int:
        """The number of a stage."""
        self.stages += 1
        return self.stages


class Waiter(Protocol):
    """A command that is going to be sent."""

    @property
    def until(self) -> float:
        """How long it waits."""

    def given(self, session: LaneSession, seq: int) -> None:
        """It is sent now, and the seq settled when no copy of it will be sent again."""

    def refused(self, error: RouterError) -> None:
        """It is never sent."""


class Lane:
    """Commands of one group: their session, and those that wait for one."""

    __slots__ = (
        "_delivery",
        "_is_closed",
        "_loop",
        "_name",
        "_opening",
        "_queue",
        "group",
        "session",
    )

    def __init__(self, group: str, delivery: Delivery, name: str) -> None:
        self.group = group
        self.session: LaneSession | None = None
        self._loop = asyncio.get_running_loop()
        self._delivery = delivery
        self._name = name
        self._opening = False
        self._is_closed = False
        self._queue: dict[Waiter, asyncio.TimerHandle] = {}

    def ask(self, waiter: Waiter) -> None:
        """`waiter` is given a seq, perhaps from within this call; or refused, never from within."""
        session = self.session
        if session is not None and not self._queue:
            seq = session.window.open()
            if seq is not None:
                waiter.given(session, seq)
                return
        if len(self._queue) >= WAITING_MAX:
            error = Unavailable(
                f"too many statements wait for {self.group}",
                sqlstate="53300",
                hint="Repeat it later, from fewer connections.",
            )
            self._loop.call_soon(waiter.refused, error)
            return
        self._queue[waiter] = self._loop.call_at(waiter.until, self._expire, waiter)
        if session is None:
            self._open()

    def withdraw(self, waiter: Waiter) -> bool:
        """Whether it was waiting; then it hears nothing more."""
        timer = self._queue.pop(waiter, None)
        if timer is None:
            return False
        timer.cancel()
        return True

    def settle(self, session: LaneSession, seq: int) -> None:
        """No copy of that command will be sent again."""
        session.window.settle(seq)
        if self._queue and self.session is session:
            self._drain()

    def lost(self, session: LaneSession) -> None:
        """Use it no more: the group knows it no longer, or a seq of it can never be settled."""
        if self.session is session:
            self.session = None
            self._open()

    def close(self) -> None:
        """Refuse those that wait."""
        self._is_closed = True
        for waiter in list(self._queue):
            self._expire(waiter)

    def too_late(self) -> RouterError:
        """What ends a command that was not sent."""
        if self._is_closed:
            return Unavailable("the router was closed", sqlstate="57P01")
        return time_over(self.group, self._delivery.trouble(self.group))

    def _expire(self, waiter: Waiter) -> None:
        if self.withdraw(waiter):
            waiter.refused(self.too_late())

    def _open(self) -> None:
        """Open a session for those that wait; a lost answer costs the group one session that
        expires unused."""
        if not self._opening and self._queue:
            self._opening = True
            until = max(waiter.until for waiter in self._queue)
            body = OpenSession(self._name)
            self._delivery.send(self.group, body, until, self._opened)

    def _opened(self, answer: Answer, _doubt: bool) -> None:
        self._opening = False
        if isinstance(answer, Opened):
            self.session = LaneSession(answer.session)
            self._drain()
            return
        now = self._loop.time()
        for waiter in list(self._queue):
            if isinstance(answer, SqlFailure):
                if self.withdraw(waiter):
                    waiter.refused(sql_error(answer))
            elif self._is_closed or waiter.until <= now:
                self._expire(waiter)
        self._open()

    def _drain(self) -> None:
        """Let those go that the session has room for."""
        while self._queue and self.session is not None:
            seq = self.session.window.open()
            if seq is None:
                return
            waiter = next(iter(self._queue))
            self.withdraw(waiter)
            waiter.given(self.session, seq)
