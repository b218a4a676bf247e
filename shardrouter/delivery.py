"""Delivers one request at a time to whoever leads its group, until somebody answers it.

It knows groups, nodes and time; of a request's meaning only this: every body is safe to send
again (a read changes nothing, a write is applied once per (session, seq), a fence twice is a
fence, and a session opened twice is one that expires unused). So whatever does not answer is
asked again, or another replica is, until the caller's time is over. What a caller has to know
to judge an answer is whether an earlier copy may still take effect; that is the second
argument of `done`, called *doubt* here:

    delivery.send("shard-2", body, until, done)      # done(answer, doubt), exactly once

Reads that do not need the leader (`needs_leader`) go to `shardrouter.any_replica`.

A copy that a node refused (NotLeader, Busy, NoSuchGroup) or that never left (NotSent) has
ended. A copy whose connection was lost, or that was in the log when its leader lost office
(UnknownOutcome), has not: it may sit in a socket's buffer or in a log and apply later.

Finding the leader: a round asks the believed leader, then each other replica once, following
hints to replicas not yet asked in this round (two nodes that name each other do not make a
loop); between rounds a small capped pause with jitter. A node that cannot be reached is
suspect (`shardrouter.contacts`) and not waited for: dialing it takes a second, an election less
than half of one. The first answer of a new leader wakes all that pause.

A leader that falls silent (cut off, or its process stopped) does not say so, and its
connection is given up only after 1.5 s. So while an answer is overdue the other replicas are
asked for their status; one that leads in a newer term gets another copy of what is overdue.
Then two copies are under way: the first answer counts, and the doubt is there.

Replicas come and go; who belongs to a group is looked up in `shardrouter.directory`, and told to it
where an answer says so.

A linearizable read does not need the leader itself. If the router cannot reach it and a follower
names it, that follower gets the read again, to answer it by asking the leader. Its answer says
nothing of who leads, and the leader is knocked at, to be preferred again once it is there.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

import msgspec

from nodes.client import ConnectionLost, NotSent
from nodes.client import Outcome as ClientOutcome
from nodes.config import ClusterConfig
from nodes.protocol import (
    Aborted,
    AnswerNotKept,
    Avoided,
    Busy,
    Decided,
    Done,
    Locked,
    NoSuchGroup,
    NotLeader,
    NotOpen,
    NotPinned,
    Opened,
    Piece,
    Pinned,
    Prepared,
    Read,
    RequestBody,
    ResponseBody,
    Speculated,
    SqlFailure,
    Stale,
    Status,
    UnknownOutcome,
    UnknownSession,
    needs_leader,
)
from shardrouter.any_replica import AnyReplica, Sending
from shardrouter.contacts import OVERDUE_S, WATCH_S, Contact
from shardrouter.directory import Directory, Group
from shardrouter.replica_choice import NEAREST, Choice
from shardrouter.retry_budget import RetryBudget

__all__ = ["GaveUp", "Answer", "Counts", "Delivered", "Delivery", "Sending"]

PAUSE_S_MIN: Final = 0.005
"""First pause after a round in which no replica took the request."""

PAUSE_S_MAX: Final = 0.1
"""Longest pause. An election takes 0.4 s and more; a waiting statement adds 10 requests/s."""


LOOK_EVERY_S: Final = 0.05
"""How often a replica is asked whether it leads, for all who wait and may not ask themselves."""


@dataclass(frozen=True)
class GaveUp:
    """The time was over, or the router was closed, before anybody answered."""

    reason: str  # what the last attempt met
    hint: str = ""  # what to do about it, if a node has said so


class Counts:
    """Of requests: what was sent, sent again, and not taken, by the type of what was said."""

    def __init__(self) -> None:
        self.first = 0
        self.again = 0
        self.held_back = 0
        """Retries that had to wait (`shardrouter.retry_budget`)."""
        self.not_taken: defaultdict[type, int] = defaultdict(int)


Answer: TypeAlias = ResponseBody | GaveUp
Delivered: TypeAlias = Callable[[Answer, bool], None]

_FINAL: Final = frozenset(
    (
        *(Done, Piece, Speculated, NotOpen, SqlFailure, Opened, Aborted, AnswerNotKept, Stale),
        *(UnknownSession, Prepared, Locked, Decided, Pinned, NotPinned),
    )
)
"""Answers of a leader about the request itself; everything else is about who should get it."""


class _Group(Group):
    """A group, and which calls are under way to it or pause for a leader."""

    __slots__ = ("answers", "awaited", "found", "is_silent", "pausing", "seen")

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.found = 0  # how often a leader was
        self.awaited: dict[_Call, None] = {}  # calls with a copy under way, oldest copy first
        self.pausing: dict[_Call, asyncio.Handle] = {}
        self.answers = 0  # ever
        self.seen = 0  # of them, when overdue ones were looked for last
        self.is_silent = False  # it owes answers for long and gives none, while others do


class _Call(msgspec.Struct, eq=False):
    """One request until its answer."""

    group: _Group
    body: RequestBody
    until: float
    done: Delivered
    contact: Contact  # whom the last copy was sent to ...
    sent_at: float = 0.0  # ... and when
    copies: int = 0
    found: int = -1  # `_Group.found` when the last copy was sent: what was known then
    number: int = 0  # of the last copy, at its contact
    asked: list[Contact] = []  # in this round
    rounds: int = 0
    hint: str = ""  # the last that a node gave for not taking it
    doubt: bool = False  # an earlier copy may still take effect
    ended: bool = False

    def stop(self) -> None:
        self.until = asyncio.get_running_loop().time()
        self.contact.client.give_up(self.number)


class _Copy(msgspec.Struct, eq=False):
    """A copy of a call on its way. A struct, for one is made for each statement, and that takes
    half as long as a `partial`."""

    delivery: Delivery
    call: _Call
    contact: Contact
    number: int  # of the copies of its call, from 1

    def answered(self, outcome: ClientOutcome) -> None:
        call = self.call
        if call.ended:  # another copy was answered first
            return
        if type(outcome) in _FINAL:
            group = call.group
            if group.leader is not self.contact and not _is_at_follower(call.body):
                self.delivery._found(group, self.contact)  # noqa: SLF001 -- one object in two halves
            group.answers += 1
            group.awaited.pop(call, None)  # as `_end` does
            call.ended = True
            done = call.done
            done(outcome, call.doubt)  # type: ignore[arg-type]  # _FINAL are all Answers
        elif self.number == call.copies:
            call.group.awaited.pop(call)
            self.delivery._not_taken(call, outcome)  # noqa: SLF001 -- as above
        # Else a newer copy is under way, and the doubt that this one left is known.


class Delivery:
    """Connections to all nodes of a cluster, and what is known of its leaders.

    Used from one event loop, which must be running when it is made.
    """

    def __init__(
        self, config: ClusterConfig, *, name: str, rng: random.Random, zone: str = ""
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._rng = rng
        self.counts = Counts()
        self._closed = False
        self._watch: asyncio.TimerHandle | None = None
        self._groups = {group: _Group(group) for group in config.groups}
        self._directory = Directory(
            config, self._groups, name=name, found=self._found, avoided=self._avoided
        )
        self._knock, self._lost = self._directory.knock, self._directory.lost
        self._budget = RetryBudget(self._loop.time())
        self._any_replica = AnyReplica(
            self._loop, rng, self._knock, self._lost, zone, self._may_retry
        )

    # ------------------------------------------------------------------ public

    def send(
        self,
        group: str,
        body: RequestBody,
        until: float,
        done: Delivered,
        choice: Choice = NEAREST,
        within_s: float = 0.0,
    ) -> Sending:
        """Deliver `body`; `done` is called exactly once, never from within this call. `choice`
        is among replicas, where more than one may answer; what may wait `within_s` for something
        else that goes to the same node leaves with it."""
        known = self._groups[group]
        self.counts.first += 1
        if (
            type(body) is Read
            and body.consistency != "linearizable"
            and not needs_leader(body.consistency)
        ):
            self._directory.look_for_members(known)
            ended = partial(_read_ended, done)
            to_leader = partial(self._send_to_leader, group, body, until, done)
            replicas = known.contacts
            return self._any_replica.send(group, replicas, body, until, ended, to_leader, choice)
        leader = known.leader
        now = self._loop.time()
        if leader is not None and not leader.suspect and now < until and not self._closed:
            call = _Call(known, body, until, done, leader, now, 1, known.found)
            self._dispatch(call, within_s)
        else:
            call = _Call(known, body, until, done, leader or known.contacts[0])
            self._pause(call, 0.0)
        return call

    def _send_to_leader(self, group: str, read: Read, until: float, done: Delivered) -> Sending:
        read = msgspec.structs.replace(read, consistency="linearizable")
        return self.send(group, read, until, done)

    def ask(
        self,
        node: str,
        group: str,
        body: RequestBody,
        timeout_s: float,
        done: Callable[[ClientOutcome], None],
    ) -> None:
        """Ask this very node, once; `done` is called exactly once, never from within."""
        contact = self._directory.contacts.get(node)
        if contact is None or self._closed:
            reason = "the router was closed" if self._closed else f"{node} is not known any more"
            self._loop.call_soon(done, NotSent(reason))
        else:
            deadline = self._loop.time() + timeout_s
            contact.client.request(group, body, deadline=deadline, done=done)

    def trouble(self, group: str) -> str:
        """What the last failed attempt to reach the group's leader met, in words."""
        return _trouble(self._groups[group])

    def leader(self, group: str) -> str | None:
        """Name of the node believed to lead `group`."""
        leader = self._groups[group].leader
        return leader.name if leader is not None else None

    def is_led(self, group: str) -> bool:
        """Whether some node is believed to lead `group`, and to answer."""
        leader = self._groups[group].leader
        return leader is not None and not leader.suspect

    def stalled(self) -> int:
        """How many calls wait for a leader, for a replica that can answer, or for a group from
        which nothing is heard while others answer."""
        waiting = sum(
            len(group.pausing) + (len(group.awaited) if group.is_silent else 0)
            for group in self._groups.values()
        )
        return waiting + self._any_replica.pausing

    def _avoided(self) -> tuple[Avoided, ...]:
        return self._any_replica.avoided()

    async def statuses(self, timeout_s: float) -> dict[str, Status | None]:
        """What each node says of itself; None if it does not answer in time."""
        return await self._directory.statuses(timeout_s)

    async def close(self) -> None:
        """End every call with GaveUp and close the connections."""
        self._closed = True
        self._directory.stop()
        if self._watch is not None:
            self._watch.cancel()
        self._any_replica.close()
        for group in self._groups.values():
            for call, handle in list(group.pausing.items()):
                handle.cancel()
                self._try(call)
        await self._directory.close()

    # ------------------------------------------------------------------ one attempt

    def _try(self, call: _Call) -> None:
        """Send a copy to the best replica not asked in this round; pause if there is none."""
        group = call.group
        group.pausing.pop(call, None)
        now = self._loop.time()
        if self._closed:
            self._end(call, GaveUp("the router was closed"))
        elif now >= call.until:
            self._end(call, GaveUp(_trouble(group) or "the time was over", call.hint))
        elif (contact := self._pick(call)) is not None:
            if call.found != group.found or self._may_retry(now):
                self._send_copy(call, contact, now)
            else:
                self._look_for_leader(call, now)
        elif isinstance(call.body, Read) and (refusal := _refusal(group)):
            # Time mends a node that is down, but not a secret that is wrong.
            self._end(call, SqlFailure("57P03", "the cluster refuses this program", detail=refusal))
        else:
            call.asked.clear()
            longest = min(PAUSE_S_MAX, PAUSE_S_MIN * 2 ** min(call.rounds, 10))
            call.rounds += 1
            for contact in group.contacts:
                if contact.suspect:
                    self._knock(contact)
            if all(contact.suspect for contact in group.contacts):
                self._lost(group.name)
            pause = longest * self._rng.uniform(0.5, 1.0)
            self._pause(call, min(call.until - now, pause))

    def _may_retry(self, now: float) -> bool:
        """Whether something may be sent once more, though nothing new is known."""
        if self._budget.take(now, self.counts.first):
            return True
        self.counts.held_back += 1
        return False

    def _look_for_leader(self, call: _Call, now: float) -> None:
        """There is no token for a retry. One status request to each replica, however many wait,
        finds the leader too; with it everybody may go on."""
        for contact in call.group.contacts:
            contact.knock_again(now, self._knock, LOOK_EVERY_S)
        call.rounds += 1
        pause = PAUSE_S_MAX * self._rng.uniform(0.5, 1.0)
        self._pause(call, min(call.until - now, pause))

    def _send_copy(self, call: _Call, contact: Contact, now: float) -> None:
        group = call.group
        call.found = group.found
        call.contact = contact
        call.sent_at = now
        call.copies += 1
        if call.copies > 1:
            self.counts.again += 1
            group.awaited.pop(call, None)  # its place is behind the others again
        self._dispatch(call)

    def _dispatch(self, call: _Call, within_s: float = 0.0) -> None:
        """Let the last copy go, as it is noted."""
        group, contact = call.group, call.contact
        group.awaited[call] = None
        done = _Copy(self, call, contact, call.copies).answered
        call.number = contact.client.request(
            group.name, call.body, deadline=call.until, done=done, within_s=within_s
        )
        if self._watch is None:
            self._watch = self._loop.call_later(WATCH_S, self._look_for_overdue)

    @staticmethod
    def _end(call: _Call, answer: Answer) -> None:
        call.group.awaited.pop(call, None)
        call.ended = True
        call.done(answer, call.doubt)

    @staticmethod
    def _pick(call: _Call) -> Contact | None:
        leader = call.group.leader
        if leader is not None and not leader.suspect and leader not in call.asked:
            return leader
        for contact in call.group.contacts:
            if not contact.suspect and contact not in call.asked:
                return contact
        return None

    def _pause(self, call: _Call, seconds: float) -> None:
        call.group.pausing[call] = self._loop.call_later(seconds, self._try, call)

    def _not_taken(self, call: _Call, outcome: ClientOutcome) -> None:
        group, contact = call.group, call.contact
        self.counts.not_taken[type(outcome)] += 1
        call.asked.append(contact)
        hint: str | None = None
        named: Contact | None = None
        match outcome:
            case NotLeader(leader=hint):
                named = self._directory.contacts.get(hint or "")
                if named is not None:
                    group.gains(named)
                    if call.copies == 1:  # the way to the leader is told once for nothing
                        call.found = -1
                elif hint:  # a node that came after this router read cluster.toml
                    self._knock(contact)
                group.trouble = f"{contact.name} does not lead it"
                if hint:
                    group.trouble += f" and believes that {hint} does"
            case NoSuchGroup():
                group.trouble = f"{contact.name} has no replica of it"
                self._lost(group.name, contact)
            case Busy(reason=reason, hint=advice):
                call.hint = advice or call.hint
                group.trouble = f"{contact.name} is busy: {reason}"
            case UnknownOutcome(reason=reason):
                call.doubt = True
                group.trouble = f"{contact.name} lost its office: {reason}"
            case ConnectionLost(reason=reason):
                call.doubt = True
                group.trouble = reason
            case NotSent(reason=reason):
                group.trouble = reason
            case _:
                call.doubt = True
                group.trouble = f"{contact.name} answered with {type(outcome).__name__}"
        # That its time ran out is no sign of life: who is cut off has a connection for a while yet.
        is_unheard = isinstance(outcome, NotSent | ConnectionLost)
        contact.suspect = (is_unheard and contact.suspect) or not contact.client.connected
        if isinstance(outcome, Busy):
            # The leader has no room: pause, for the others would only send us back to it.
            call.asked.extend(group.contacts)
        else:
            if group.leader is contact:
                group.leader = None
            if group.leader is None and named not in call.asked:
                group.leader = named
        now = self._loop.time()
        if self._may_ask_follower(call, contact, named) and now < call.until:
            assert named is not None
            named.knock_again(now, self._knock)
            call.body = msgspec.structs.replace(call.body, at_follower=True)
            self._send_copy(call, contact, now)
        else:
            self._try(call)

    def _may_ask_follower(self, call: _Call, contact: Contact, named: Contact | None) -> bool:
        """Whether `contact`, which named the leader, is to answer a read in its place."""
        return (
            isinstance(call.body, Read)
            and not call.body.at_follower
            and named is not None
            and named is not contact
            and named.suspect
            and not self._closed
        )

    # ------------------------------------------------------------------ who leads

    def _found(self, group: _Group, leader: Contact) -> None:
        """A node answers as a leader does, or says it is one: those that pause, and those whose
        answers are overdue elsewhere, go to it at once."""
        group.leader = leader
        group.found += 1
        for call, handle in group.pausing.items():
            handle.cancel()
            call.asked.clear()
            group.pausing[call] = self._loop.call_soon(self._try, call)
        now = self._loop.time()
        for call in list(group.awaited):
            if now - call.sent_at < OVERDUE_S:
                break
            if call.contact is not leader and now < call.until:
                call.doubt = True
                self._send_copy(call, leader, now)

    def _look_for_overdue(self) -> None:
        self._watch = None
        now = self._loop.time()
        others = any(group.answers > group.seen for group in self._groups.values())
        for group in self._groups.values():
            oldest = next(iter(group.awaited), None)
            if oldest is None or group.answers > group.seen:
                group.is_silent = False
            elif others and now - oldest.sent_at >= OVERDUE_S:
                group.is_silent = True  # where all wait, for a disk, say, nothing is gained by more
            group.seen = group.answers
            if oldest is None:
                continue
            if self._watch is None:
                self._watch = self._loop.call_later(WATCH_S, self._look_for_overdue)
            if now - oldest.sent_at >= OVERDUE_S:
                silent = oldest.contact
                if silent.lost_patience():
                    self._read_elsewhere(group, silent, now)
                for contact in group.contacts:
                    if contact is silent or not contact.suspect:
                        self._knock(contact)
                    else:  # it may be back, and lead: nobody passes it over while a leader serves
                        contact.knock_again(now, self._knock)

    def _read_elsewhere(self, group: _Group, silent: Contact, now: float) -> None:
        """Ask others for the reads that a silent node owes: a read does no harm twice."""
        for call in list(group.awaited):
            if call.contact is silent and isinstance(call.body, Read) and now < call.until:
                if not self._may_retry(now):
                    break
                call.asked.append(silent)
                contact = self._pick(call)
                if contact is not None:
                    self._send_copy(call, contact, now)


def _is_at_follower(body: RequestBody) -> bool:
    return isinstance(body, Read) and body.at_follower


def _read_ended(
    done: Delivered, answer: Done | Piece | SqlFailure | Stale | None, trouble: str
) -> None:
    done(GaveUp(trouble) if answer is None else answer, False)


def _refusal(group: Group) -> str:
    """What one of its nodes said, if all of them refuse this program's connections."""
    refusals = [contact.client.refusal for contact in group.contacts]
    return refusals[0] if all(refusals) else ""


def _trouble(group: Group) -> str:
    """What the last attempt met; and why a node lets nobody of this program in, if one does not:
    the group may have its leader there."""
    refusal = next((c.client.refusal for c in group.contacts if c.client.refusal), "")
    if refusal in group.trouble:
        return group.trouble
    return "; ".join(filter(None, (group.trouble.rstrip("."), refusal)))
