"""Delivers reads that any replica may answer: of consistency `any`, `session` and `bounded`
(DESIGN section 9).

Nobody has to lead, so `any` works on both sides of a partition; the others where a replica has
what the session has seen, or can ask its leader. Which replica is asked the session's policy says
(`shardrouter.replica_choice`); one that is suspect (`shardrouter.contacts`) is passed over while
another is there, and knocked at so that it comes back; so is one that keeps failing
(`shardrouter.breaker`), and one that says that it is about to stop. They are asked all the same
when nobody else is left. What a replica cannot answer is asked of the next: it is stopped, busy or
gone, or its state is *behind*, older than what the caller's plan was made for, or than what the
session has seen. If the session has seen more than a replica has, the leader is asked after one
round, as for a linearizable read: that sees all that a session can have seen, whatever has become
of its group since. After another round in which nobody could, a small pause; then the next one,
until the caller's time is over. A state that is ahead of the plan is an answer: the plan is out of
date.

A read changes nothing, so it may be under way twice: a node that owes an answer and has fallen
silent (cut off, or its process stopped) is not waited for. What was under way to it when it did
goes to another replica without a token of the budget of retries: that is no more than it had, since
what comes after passes it over. In a cut the tokens are gone at once, with those who look for a
leader that is on the other side.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from nodes.client import ConnectionLost, NotSent, Outcome
from nodes.protocol import (
    Avoided,
    Behind,
    Bounded,
    Busy,
    Done,
    NoSuchGroup,
    NotLeader,
    Piece,
    Read,
    SqlFailure,
    Stale,
)
from shardrouter.breaker import Breaker
from shardrouter.contacts import OVERDUE_S, WATCH_S, Contact, Knock
from shardrouter.replica_choice import NEAREST, Choice, Chooser

__all__ = ["AnyReplica"]

PAUSE_S_MIN: Final = 0.005
"""First pause after a round in which no replica answered, doubled up to ..."""

PAUSE_S_MAX: Final = 0.1
"""... this: a replica that is behind has to wait for its leader."""

ReadDone = Callable[[Done | Piece | SqlFailure | Stale | None, str], None]
"""The answer, or None and what the last attempt met."""


class Sending(Protocol):
    """A request from `send` to `done`."""

    def stop(self) -> None:
        """Send no more copies, and let the node end what it does for the last one, if that has
        had no effect; `done` hears of it, or that it gave up."""


ToLeader = Callable[[], Sending]
"""Ask the leader instead; whoever waits is told by it."""


@dataclass(eq=False, slots=True)
class _Call:
    group: str
    contacts: Sequence[Contact]
    read: Read
    until: float
    done: ReadDone
    to_leader: ToLeader
    choice: Choice
    asked: list[Contact] = field(default_factory=list)  # in this round
    contact: Contact | None = None  # whom the last copy was sent to ...
    sent_at: float = 0.0  # ... and when
    copies: int = 0
    rounds: int = 0
    number: int = 0  # of the last copy, at its contact
    trouble: str = "no replica of it can be reached"
    is_deserted: bool = False  # its first copy went to a node that fell silent, or is gone
    behind: bool = False  # a replica has not seen what the session has, or is not of its group
    elsewhere: Sending | None = None  # the leader has it now
    ended: bool = False

    def stop(self) -> None:
        """Send no more copies, and let the node end the read."""
        self.until = asyncio.get_running_loop().time()
        if self.elsewhere is not None:
            self.elsewhere.stop()
        elif self.contact is not None:
            self.contact.client.give_up(self.number)


class AnyReplica:
    """Used from one event loop. `knock` is the router's way to try a suspect, `lost` its way to
    find replicas: it is told the group, and the node that says it has no replica of it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        rng: random.Random,
        knock: Knock,
        lost: Callable[[str, Contact | None], None],
        zone: str = "",
        may_retry: Callable[[float], bool] = lambda _now: True,
    ) -> None:
        self._may_retry = may_retry
        self._zone = zone
        self._choosers: dict[str, Chooser] = {}  # by group
        self._breakers: dict[tuple[str, str], Breaker] = {}  # by group and node
        self._loop = loop
        self._rng = rng
        self._knock = knock
        self._lost = lost
        self._awaited: dict[_Call, None] = {}  # with a copy under way, oldest copy first
        self._pausing: dict[_Call, asyncio.Handle] = {}
        self._watch: asyncio.TimerHandle | None = None
        self._is_closed = False

    def send(
        self,
        group: str,
        contacts: Sequence[Contact],
        read: Read,
        until: float,
        done: ReadDone,
        to_leader: ToLeader,
        choice: Choice = NEAREST,
    ) -> _Call:
        """Deliver `read` to one of `contacts`, which may change while it is under way; `done` is
        called exactly once, never from within this call, unless `to_leader` is."""
        call = _Call(group, contacts, read, until, done, to_leader, choice)
        now = self._loop.time()
        contact = self._pick(call, now)
        if contact is not None and now < until and not self._is_closed:
            self._send_copy(call, contact, now)
        else:
            self._pausing[call] = self._loop.call_soon(self._try, call)
        return call

    @property
    def pausing(self) -> int:
        """How many calls wait until a replica can answer."""
        return len(self._pausing)

    def avoided(self) -> tuple[Avoided, ...]:
        """The replicas whose breakers are not closed."""
        now = self._loop.time()
        return tuple(
            Avoided(group, node, state, breaker.reason)
            for (group, node), breaker in self._breakers.items()
            if (state := breaker.state(now)) != "closed"
        )

    def close(self) -> None:
        """End what pauses. Copies that are under way end with their connections."""
        self._is_closed = True
        if self._watch is not None:
            self._watch.cancel()
        for call, handle in list(self._pausing.items()):
            handle.cancel()
            self._try(call)

    # ------------------------------------------------------------------ one attempt

    def _try(self, call: _Call) -> None:
        self._pausing.pop(call, None)
        now = self._loop.time()
        if self._is_closed:
            self._end(call, None, "the router was closed")
        elif now >= call.until:
            self._end(call, None, call.trouble)
        elif (contact := self._pick(call, now)) is not None and self._may_send(call, now):
            self._send_copy(call, contact, now)
        elif call.behind:
            call.ended = True
            call.elsewhere = call.to_leader()
        else:
            call.asked.clear()
            longest = min(PAUSE_S_MAX, PAUSE_S_MIN * 2 ** min(call.rounds, 10))
            call.rounds += 1
            if all(contact.suspect for contact in call.contacts):
                self._lost(call.group, None)
            pause = min(call.until - now, longest * self._rng.uniform(0.5, 1.0))
            self._pausing[call] = self._loop.call_later(pause, self._try, call)

    def _may_send(self, call: _Call, now: float) -> bool:
        """One copy is free, and one more if nobody can answer the first."""
        if not call.copies or (call.copies == 1 and call.is_deserted):
            return True
        return self._may_retry(now)

    def _pick(self, call: _Call, now: float) -> Contact | None:
        """A replica that was not asked in this round: of those that are well the one that the
        session's policy chooses."""
        ready: list[Contact] = []
        for contact in call.contacts:
            if contact.suspect:
                contact.knock_again(now, self._knock)
            elif contact not in call.asked:
                ready.append(contact)
        if not ready:
            return None
        breakers, group = self._breakers, call.group
        well = [
            contact
            for contact in ready
            if not contact.draining
            and ((breaker := breakers.get((group, contact.name))) is None or breaker.admits(now))
        ]
        ready = well or ready
        chooser = self._choosers.get(call.group)
        if chooser is None:
            chooser = self._choosers[call.group] = Chooser(self._rng, self._zone)
        return ready[chooser.choose(call.choice, ready, now)]

    def _send_copy(self, call: _Call, contact: Contact, now: float) -> None:
        call.contact = contact
        call.asked.append(contact)
        call.sent_at = now
        call.copies += 1
        if (breaker := self._breakers.get((call.group, contact.name))) is not None:
            breaker.asked(now)
        self._awaited.pop(call, None)
        self._awaited[call] = None
        call.number = contact.client.request(
            call.group,
            call.read,
            deadline=call.until,
            done=partial(self._answered, call, contact, call.copies, now),
        )
        if self._watch is None:
            self._watch = self._loop.call_later(WATCH_S, self._look_for_overdue)

    def _answered(
        self, call: _Call, contact: Contact, copy: int, sent_at: float, outcome: Outcome
    ) -> None:
        if call.read.quick and type(outcome) is Done:
            # How long a long scan takes says nothing of its replica, nor how soon one refuses.
            now = self._loop.time()
            contact.latency.add(now, now - sent_at)
        if call.ended:  # another copy was answered first
            return
        match outcome:
            case Done() | Piece() | SqlFailure():
                self._answers(call.group, contact)
                self._end(call, outcome, "")
                return
            case Stale(object=name, have=have, want=want):
                if have > want:
                    self._answers(call.group, contact)
                    self._end(call, outcome, "")
                    return
                call.trouble = (
                    f"{contact.name} is behind: it has {name} at version {have}, not {want}"
                )
            case NotLeader():
                what = (
                    "cannot ask its leader"
                    if isinstance(call.read.consistency, Bounded)
                    else "has stopped"
                )
                call.trouble = f"the replica on {contact.name} {what}"
            case Behind():
                call.behind = True
                call.trouble = f"{contact.name} does not have what the session has seen"
            case NoSuchGroup():
                call.trouble = f"{contact.name} has no replica of it"
                self._lost(call.group, contact)
            case Busy(reason=reason):
                call.trouble = f"{contact.name} is busy: {reason}"
            case NotSent(reason=reason) | ConnectionLost(reason=reason):
                call.trouble = reason
                contact.suspect = contact.suspect or not contact.client.connected
                call.is_deserted = True
            case _:
                call.trouble = f"{contact.name} answered with {type(outcome).__name__}"
        self._fails(call, contact)
        if copy == call.copies:  # else a newer copy is under way
            self._awaited.pop(call, None)
            self._try(call)

    def _answers(self, group: str, contact: Contact) -> None:
        if (breaker := self._breakers.get((group, contact.name))) is not None:
            breaker.succeeded(self._loop.time())

    def _fails(self, call: _Call, contact: Contact) -> None:
        """It could not answer, or has not: unless nobody waits for it, that counts."""
        now = self._loop.time()
        if now >= call.until or self._is_closed:
            return
        breaker = self._breakers.get((call.group, contact.name))
        if breaker is None:
            breaker = self._breakers[call.group, contact.name] = Breaker()
        breaker.failed(now, call.trouble)

    def _end(
        self, call: _Call, answer: Done | Piece | SqlFailure | Stale | None, trouble: str
    ) -> None:
        self._awaited.pop(call, None)
        call.ended = True
        call.done(answer, trouble)

    # ------------------------------------------------------------------ silent nodes

    def _look_for_overdue(self) -> None:
        self._watch = None
        if not self._awaited:
            return
        self._watch = self._loop.call_later(WATCH_S, self._look_for_overdue)
        now = self._loop.time()
        for call in list(self._awaited):
            if now - call.sent_at < OVERDUE_S:
                break
            silent = call.contact
            assert silent is not None
            if silent.lost_patience():
                for other in call.contacts:  # one that is on its side of a cut is not asked next
                    if other.is_knocked_at:
                        other.lost_patience()
                call.trouble = f"{silent.name} is silent"
                call.is_deserted = True
                self._fails(call, silent)
                if (
                    (contact := self._pick(call, now)) is not None
                    and now < call.until
                    and self._may_send(call, now)
                ):
                    self._send_copy(call, contact, now)
            else:
                for contact in call.contacts:
                    if contact is silent or contact.client.is_silent(OVERDUE_S):
                        self._knock(contact)
