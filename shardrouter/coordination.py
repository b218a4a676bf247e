"""Transactions over several shards on their way: what `shardrouter.coordinator` decides is sent
here (docs/distributed.md, DESIGN section 8).

One object for each attempt: it asks for a (session, seq) in every participant, sends PREPAREs side
by side, COMMIT to the anchor, OUTCOMEs and END, each until it is answered or its time is over. The
caller is answered as soon as there is a verdict; the rest goes on behind him, and if it does not,
the leaders do it.

    deadline - margin        no PREPARE is sent any more
    deadline - margin / 2    no COMMIT; from here on FENCE
    deadline                 the outcome is not known (08007), if COMMIT was sent and none is learnt

An attempt that dies of a conflict (wait-die), of an expired session or of a leader in doubt has had
no effect and is made again under another id of the same age, which every new conflict goes by.
An id is never used twice: a late copy of what ended the first attempt would end the second.

Nobody waits for what comes behind the answer, and each entry of a log costs all replicas an fsync
and messages. So an OUTCOME waits a moment for something else that goes to the same node, first of
all the same client's next PREPARE, and goes into the log with it; and the ENDs of many transactions
leave together.

Commands of transactions go out in lanes of their own. A PREPARE's seq stays open until its outcome
is known, and the outcome of one that met a dead anchor is long in coming; writes of one shard do
not wait for that.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from msgspec import structs

from nodes.protocol import (
    Aborted,
    AnswerNotKept,
    Commit,
    Decided,
    Done,
    End,
    Fence,
    Guard,
    Locked,
    Prepare,
    Prepared,
    Ran,
    SessionId,
    SetVersion,
    SqlFailure,
    Staged,
    Stale,
    Statement,
    Transaction,
    TransactionId,
    TransactionOutcome,
    UnknownSession,
    Write,
)
from shardrouter.block import serialization_failure
from shardrouter.coordinator import Branch, Committed, Coordinator, Failed, Send
from shardrouter.delivery import Answer, Delivery, GaveUp, Sending
from shardrouter.errors import RouterError
from shardrouter.lanes import Lane, LaneSession
from shardrouter.session_token import SessionToken
from shardrouter.shard_writes import FENCE_S_MAX, FENCE_SHARE
from shardrouter.verdicts import (
    answer_lost,
    canceled,
    leaderless,
    lock_not_available,
    sql_error,
    time_over,
    unknown,
)

__all__ = ["LEADER_S", "Coordination", "Part"]

TELL_S: Final = 5.0
"""How long an outcome is sent to who has not heard of it; its leader asks for it after half a
second."""

PAUSE_S: Final = 0.002
"""Before an older PREPARE is sent again, or a younger transaction begun again; twice as long each
time, times a random factor ..."""

PAUSE_S_MAX: Final = 0.05
"""... up to this."""

OUTCOME_S: Final = 0.002
"""How long an outcome may wait for another request to the same node. Others wait for the rows."""

END_S: Final = 0.05
"""How long an END may wait for others to the same anchor; its leader looks after an outcome that is
still there after half a second."""

LEADER_S: Final = 2.0
"""How long a change of a reference table waits for a shard without a leader: longer than it takes
to elect one."""


class _Gathered:
    """An END that waits for others."""

    def stop(self) -> None:
        """It is sent all the same."""


_GATHERED: Final = _Gathered()


def _unheard(_answer: Answer, _doubt: bool) -> None:
    """Nobody waits for it."""


Settled: TypeAlias = Callable[["Committed | Stale | RouterError"], None]


class Part(NamedTuple):
    """What a transaction does on one shard."""

    statements: tuple[Statement, ...] = ()
    guards: tuple[Guard, ...] = ()
    sets: tuple[SetVersion, ...] = ()
    transaction: Transaction | None = None  # in place of statements
    staged: Staged | None = None  # the same
    quick: bool = False
    bounded: bool = False
    tied: tuple[str, ...] = ()  # see `Prepare`
    ordinals: tuple[int, ...] = ()  # of its statements, in their unit of commit
    patience_ms: int = 0  # see `coordinator.Branch`

    def write(self, session: SessionId, seq: int, watermark: int) -> Write:
        """As the command that is prepared."""
        return Write(
            session,
            seq,
            watermark,
            self.statements,
            self.guards,
            self.sets,
            self.quick,
            self.transaction,
            self.staged,
            self.bounded,
        )

    @property
    def is_repeatable(self) -> bool:
        """Whether it can be prepared once more after an abort, which forgets stages."""
        if self.staged is not None or any(each.staged is not None for each in self.statements):
            return False
        transaction = self.transaction
        if transaction is None:
            return True
        return transaction.staged is None and not any(
            isinstance(step, Ran) and step.statement.staged is not None
            for step in transaction.steps
        )


class Coordination:
    """Of one router."""

    def __init__(
        self, groups: Iterable[str], delivery: Delivery, name: str, rng: random.Random
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._delivery = delivery
        self._rng = rng
        self._lanes = {group: Lane(group, delivery, name) for group in groups}
        self._router = rng.getrandbits(62)
        self._number = 0
        self._ends: list[Send] = []  # that have not left

    def close(self) -> None:
        """Begin no more; what is under way ends with the delivery."""
        self._send_ends()
        for lane in self._lanes.values():
            lane.close()

    async def commit(
        self,
        begun_us: int,
        parts: Mapping[str, Part],
        anchor: str,
        deadline: float,
        token: SessionToken | None = None,
        *,
        lock_s: float = 0.0,
        patience_s: float = 0.0,
    ) -> Committed | Stale:
        """All parts or none, exactly once. Stale: none, for the caller's catalog is. Raises
        RouterError. `token` is told of its entries. It waits no longer than `lock_s` for what
        others have prepared, and than `patience_s` for a group without a leader, unless they
        are 0.

        A task that is cancelled here cancels the transaction, and goes on with its outcome."""
        future: asyncio.Future[Committed | Stale | RouterError] = self._loop.create_future()
        patience = _Patience(lock_s, patience_s)
        tries = _Tries(self, begun_us, parts, anchor, deadline, patience, future.set_result)
        tries.begin()
        while not future.done():
            try:
                await asyncio.shield(future)
            except asyncio.CancelledError:
                tries.cancel()
        found = future.result()
        if isinstance(found, RouterError):
            raise found
        if token is not None and isinstance(found, Committed):
            for group, seen in found.seen.items():
                token.advance(group, seen.incarnation, seen.index)
        return found

    def new_id(self, begun_us: int) -> TransactionId:
        """Of one attempt."""
        self._number += 1
        return TransactionId(begun_us, self._router, self._number)

    def lane(self, group: str) -> Lane:
        """Where its commands go out."""
        return self._lanes[group]

    def send(self, send: Send, until: float, done: Callable[[Answer, bool], None]) -> Sending:
        """One request, until it is answered; an END by and by, and nobody hears of it."""
        if isinstance(send.body, End):
            return self._gather(send)
        within_s = OUTCOME_S if isinstance(send.body, TransactionOutcome) else 0.0
        return self._delivery.send(send.group, send.body, until, done, within_s=within_s)

    def _gather(self, end: Send) -> Sending:
        if not self._ends:
            self._loop.call_later(END_S, self._send_ends)
        self._ends.append(end)
        return _GATHERED

    def _send_ends(self) -> None:
        ends, self._ends = self._ends, []
        until = self._loop.time() + TELL_S
        for end in ends:
            self._delivery.send(end.group, end.body, until, _unheard)

    def is_led(self, group: str) -> bool:
        """See `Delivery.is_led`."""
        return self._delivery.is_led(group)

    def pause_s(self, count: int) -> float:
        """The pause after `count` others."""
        longest: float = min(PAUSE_S_MAX, PAUSE_S * 2 ** min(count, 10))
        return longest * self._rng.uniform(0.5, 1.0)


class _Patience(NamedTuple):
    """How long it is waited for others; 0: as long as there is time."""

    lock_s: float
    leader_s: float


class _Tries:
    """A transaction from its first attempt to its outcome."""

    def __init__(
        self,
        coordination: Coordination,
        begun_us: int,
        parts: Mapping[str, Part],
        anchor: str,
        deadline: float,
        patience: _Patience,
        done: Settled,
    ) -> None:
        self._coordination = coordination
        self._loop = asyncio.get_running_loop()
        self._patience = patience
        self._locked_at = 0.0  # when it first died of a conflict
        self._begun_us = begun_us
        self._parts = parts
        self._anchor = anchor
        self._deadline = deadline
        margin = min(FENCE_S_MAX, FENCE_SHARE * (deadline - self._loop.time()))
        self._prepare_until = deadline - margin
        self._commit_until = deadline - margin / 2
        self._done = done
        self._count = 0
        self._attempt: _Attempt | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_repeatable = all(part.is_repeatable for part in parts.values())

    def begin(self) -> None:
        self._timer = None
        self._attempt = _Attempt(
            self._coordination,
            self._coordination.new_id(self._begun_us),
            self._parts,
            self._anchor,
            (self._prepare_until, self._commit_until, self._deadline),
            self._patience,
            self._ended,
        )
        self._attempt.begin()

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._done(canceled())
        elif self._attempt is not None:
            self._attempt.cancel()

    def _ended(self, verdict: Committed | Stale | RouterError | _Died) -> None:
        if not isinstance(verdict, _Died):
            self._done(verdict)
            return
        pause_s = self._coordination.pause_s(self._count)
        self._count += 1
        now = self._loop.time()
        again_at = now + pause_s
        lock_s = self._patience.lock_s
        if verdict.locked and lock_s:
            self._locked_at = self._locked_at or now
            again_at = min(again_at, self._locked_at + lock_s)
            if now >= self._locked_at + lock_s:
                self._done(lock_not_available(verdict.locked))
                return
        if self._is_repeatable and again_at < self._prepare_until:
            self._timer = self._loop.call_at(again_at, self.begin)
        else:
            self._done(serialization_failure(verdict.reason))


class _Died(NamedTuple):
    """An attempt had no effect, and another may have."""

    reason: str
    locked: str = ""  # the group where another transaction has kept it out


class _Attempt:
    """One attempt, under one id."""

    def __init__(
        self,
        coordination: Coordination,
        id_: TransactionId,
        parts: Mapping[str, Part],
        anchor: str,
        times: tuple[float, float, float],
        patience: _Patience,
        done: Callable[[Committed | Stale | RouterError | _Died], None],
    ) -> None:
        self._coordination = coordination
        self._loop = asyncio.get_running_loop()
        self._id = id_
        self._parts = parts
        self._anchor = anchor
        self._prepare_until, self._commit_until, self._deadline = times
        self._done = done
        self._is_told = False
        self._seats = {group: _Seat(self, group) for group in parts}
        self._coordinator: Coordinator | None = None
        self._sendings: dict[int, tuple[Send, Sending]] = {}
        self._sent = 0
        self._patience = patience
        self._locked = ""  # a group that keeps an older PREPARE waiting ...
        self._locked_at = 0.0  # ... since then
        self._unled = ""  # a group that has had no leader for too long
        self._pauses = 0
        self._is_known = False  # what the outcome is
        self._is_cancelled = False

    # ------------------------------------------------------------------ before it is sent

    @property
    def until(self) -> float:
        """How long a seat may be waited for."""
        return self._prepare_until

    def lane(self, group: str) -> Lane:
        """See `Coordination.lane`."""
        return self._coordination.lane(group)

    def begin(self) -> None:
        """Ask for the seqs."""
        for seat in self._seats.values():
            self._coordination.lane(seat.group).ask(seat)
        if self._patience.leader_s:
            self._loop.call_later(self._patience.leader_s, self._look_for_leaders)

    def _look_for_leaders(self) -> None:
        """Go on while all who have yet to prepare have a leader."""
        if self._is_told:
            return
        waited = [send.group for send, _ in self._sendings.values()] or list(self._parts)
        self._unled = next((g for g in waited if not self._coordination.is_led(g)), "")
        if self._unled and self._coordinator is None:
            self.refused(leaderless(self._unled))
        elif self._unled:
            self._expire()
        self._loop.call_later(self._patience.leader_s, self._look_for_leaders)

    def cancel(self) -> None:
        """Whoever asked for it no longer waits."""
        if self._is_told or self._is_cancelled:
            return
        self._is_cancelled = True
        if self._coordinator is None:
            self.refused(canceled())
            return
        self._expire()
        if not self._is_told:  # the decision is under way: ask what it is
            self._deadline = min(self._deadline, self._loop.time() + FENCE_S_MAX)

    def _expire(self) -> None:
        """Nobody waits any longer for a promise, or for the anchor to take the decision."""
        coordinator = self._coordinator
        assert coordinator is not None
        self._go_on(coordinator.expire())
        for send, sending in list(self._sendings.values()):
            if not self._is_told and isinstance(send.body, Commit):
                sending.stop()

    def given(self) -> None:
        """One more seat has its seq."""
        if self._is_told or any(seat.session is None for seat in self._seats.values()):
            return
        branches: dict[str, Branch] = {}
        for group, part in self._parts.items():
            seat = self._seats[group]
            assert seat.session is not None
            watermark = seat.session.window.watermark
            write = part.write(seat.session.id, seat.seq, watermark)
            branches[group] = Branch(write, part.tied, part.patience_ms)
        self._coordinator = Coordinator(self._id, self._anchor, branches)
        self._go_on(self._coordinator.begin())

    def refused(self, error: RouterError) -> None:
        """One of them cannot have a seq: nothing is sent."""
        if not self._is_told:
            self._tell(error)
            for seat in self._seats.values():
                seat.leave(is_known=True)

    # ------------------------------------------------------------------ under way

    def _go_on(self, sends: list[Send]) -> None:
        for send in sends:
            if send.after_pause:
                self._pause(send)
            else:
                self._send(send)
        coordinator = self._coordinator
        assert coordinator is not None
        if coordinator.verdict is not None and not self._is_told:
            self._tell(self._verdict(coordinator))
            for send, sending in list(self._sendings.values()):
                if isinstance(send.body, Prepare):
                    sending.stop()
        if coordinator.is_done and not self._sendings:
            for seat in self._seats.values():
                seat.leave(is_known=self._is_known)

    def _pause(self, send: Send) -> None:
        """Another transaction, a younger one, keeps this out: send it again, as long as it may
        take."""
        now, lock_s = self._loop.time(), self._patience.lock_s
        self._locked = send.group
        self._locked_at = self._locked_at or now
        pause_s = self._coordination.pause_s(self._pauses)
        self._pauses += 1
        if lock_s:
            pause_s = min(pause_s, self._locked_at + lock_s - now)
        if lock_s and pause_s <= 0:
            assert self._coordinator is not None
            self._loop.call_soon(self._expire_locked)
        else:
            self._loop.call_later(pause_s, self._send_again, send)

    def _send_again(self, send: Send) -> None:
        """Unless it died while this one paused."""
        assert self._coordinator is not None
        self._go_on(self._coordinator.again(send))

    def _expire_locked(self) -> None:
        """It has waited for others for long enough."""
        coordinator = self._coordinator
        assert coordinator is not None
        if coordinator.verdict is None:
            self._go_on(coordinator.expire())

    def _send(self, send: Send) -> None:
        coordinator = self._coordinator
        assert coordinator is not None
        body = send.body
        match body:
            case End():
                self._coordination.send(send, 0.0, _unheard)
                return
            case Prepare():
                until = self._prepare_until
            case Commit():
                until = self._commit_until
            case Fence():
                until = self._deadline
                session = self._seats[send.group].session
                assert session is not None
                watermark = session.window.watermark
                send = send._replace(body=structs.replace(body, watermark=watermark))
            case _:
                until = self._loop.time() + TELL_S
        self._sent += 1
        done = partial(self._answered, self._sent, send)
        self._sendings[self._sent] = send, self._coordination.send(send, until, done)

    def _answered(self, number: int, send: Send, answer: Answer, doubt: bool) -> None:
        del self._sendings[number]
        coordinator = self._coordinator
        assert coordinator is not None
        if coordinator.is_done:
            self._go_on([])
            return
        if isinstance(answer, Decided) or _is_committed(send, answer):
            self._is_known = True
        if isinstance(answer, UnknownSession):
            self._forget(send)
        if isinstance(answer, GaveUp):
            self._go_on(coordinator.gave_up(send, doubt=doubt))
        else:
            self._go_on(coordinator.answered(send, answer, doubt=doubt))

    def _forget(self, send: Send) -> None:
        seat = self._seats[send.group]
        if seat.session is not None:
            self._coordination.lane(send.group).lost(seat.session)

    def _tell(self, verdict: Committed | Stale | RouterError | _Died) -> None:
        self._is_told = True
        self._done(verdict)

    def _verdict(self, coordinator: Coordinator) -> Committed | Stale | RouterError | _Died:
        found = coordinator.verdict
        if isinstance(found, Committed):
            return found
        if not isinstance(found, Failed):
            if found is not None and found.is_committed:
                return answer_lost(self._anchor)
            return unknown(self._anchor, "nobody could say whether it was decided")
        match found.answer:
            case SqlFailure() as failure:
                error = sql_error(failure)
                error.shard = found.group
                ordinals = self._parts[found.group].ordinals
                if error.statement < len(ordinals):
                    error.statement = ordinals[error.statement]
                return error
            case Stale() as stale:
                return stale
            case Locked():
                why = "a conflict with an older transaction over several shards"
                return _Died(why, found.group)
            case Decided() | Aborted():
                if self._is_cancelled:
                    return canceled()
                return _Died("its shards did not prepare it in time")
            case UnknownSession() | Prepared():
                return _Died("an answer that was lost")
        if self._is_cancelled:
            return canceled()
        if self._unled:
            return leaderless(self._unled)
        if self._locked:
            return lock_not_available(self._locked)
        return time_over(found.group, "it did not prepare the transaction")


def _is_committed(send: Send, answer: Answer) -> bool:
    """Whether an answer says that it has happened."""
    return isinstance(send.body, Commit | Fence) and isinstance(answer, Done | AnswerNotKept)


class _Seat:
    """A command's place in the lane of its group."""

    def __init__(self, attempt: _Attempt, group: str) -> None:
        self._attempt = attempt
        self.group = group
        self.session: LaneSession | None = None
        self.seq = 0

    @property
    def until(self) -> float:
        return self._attempt.until

    def given(self, session: LaneSession, seq: int) -> None:
        self.session, self.seq = session, seq
        self._attempt.given()

    def refused(self, error: RouterError) -> None:
        self._attempt.refused(error)

    def leave(self, *, is_known: bool) -> None:
        """No copy of its command will be sent again. A seq whose outcome is not known is never
        settled: its session is left to expire."""
        lane = self._attempt.lane(self.group)
        if self.session is None:
            lane.withdraw(self)
        elif is_known:
            lane.settle(self.session, self.seq)
        else:
            lane.lost(self.session)
        self.session = None
