"""Exactly-once writes on shards, each with one definite or honest outcome.

Every write of a group goes under a (session, seq) of this router, so that it is applied once
however often it is sent. `done` is called exactly once, never from within `submit`.


    answer to a write      no doubt                         doubt
    Done                   success                          success (same seq: applied once)
    SqlFailure             that error                       FENCE decides; if fenced, that error
    Stale                  Stale                            FENCE decides; if fenced, Stale
    UnknownSession         new session, new seq, go on      08007
    AnswerNotKept          08007, saying it is committed    the same
    time over              57014                            FENCE decides; if fenced, 57014

- SqlFailure with a doubt is not yet the outcome: a leader refuses what does not compile in its
  *present* state, where an earlier copy may have been applied before, say, a DROP TABLE.
- UnknownSession without a doubt: commands of an unknown session are never applied, and the
  refused copy was the only one that ever existed, so the command certainly had no effect and
  may go out under another session. With a doubt the earlier copy may have been applied while
  the session was still known; nobody can tell any more.
- AnswerNotKept: only a repeat of a write whose rows were over 4 KiB gets it. Success is known,
  the rows and counts are not. It must not look like a failure that one may repeat, nor can it
  look like a success with a wrong count; hence 08007, whose detail says that it is committed.
- A fence that is not answered by the deadline leaves the outcome unknown: 08007.
- A read changes nothing: any copy may be repeated and its time being over is definite.
- A write that is cancelled before it left is 57014. One that left is settled by FENCE at once,
  which takes a second at most: it happened, it was fenced off (57014), or 08007.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, TypeAlias

import msgspec

from nodes.protocol import (
    ENTRY_BYTES_MAX,
    Aborted,
    AnswerNotKept,
    Done,
    Fence,
    Guard,
    Locked,
    RequestBody,
    SessionId,
    SetVersion,
    SqlFailure,
    Stage,
    Staged,
    Stale,
    Statement,
    Transaction,
    UnknownSession,
    Unstage,
    Write,
)
from shardrouter.delivery import Answer, Delivery, GaveUp, Sending
from shardrouter.errors import RouterError, StatementError
from shardrouter.lanes import Lane, LaneSession
from shardrouter.session_token import SessionToken
from shardrouter.verdicts import (
    Outcome,
    answer_lost,
    canceled,
    lock_not_available,
    refused,
    sql_error,
    time_over,
    unknown,
)

__all__ = [
    "Cancel",
    "Settled",
    "ShardStage",
    "ShardWrites",
    "is_large",
    "resolve",
    "returned",
]

LARGE_BYTES: Final = 128 * 1024
"""Characters and bytes of a statement that may be more than an entry of the log holds."""

FENCE_SHARE: Final = 0.2
"""Share of a write's time that is kept for settling its outcome by FENCE ..."""

FENCE_S_MAX: Final = 1.0
"""... and the most that is kept: a fence takes one round trip and one commit."""

LOCKED_PAUSE_S: Final = 0.002
"""Before a write that met a prepared transaction is tried again; twice as long each time ..."""

LOCKED_PAUSE_S_MAX: Final = 0.05
"""... up to this: that transaction is one that its router has left."""

Settled: TypeAlias = Callable[[Outcome], None]
Cancel: TypeAlias = Callable[[], None]


class ShardWrites:
    """The writes of one router on all its groups."""

    def __init__(self, groups: Iterable[str], delivery: Delivery, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self.delivery = delivery
        self._lanes = {group: Lane(group, delivery, name) for group in groups}
        self._closed = False

    def submit(
        self,
        token: SessionToken | None,
        lock_s: float,
        group: str,
        statements: tuple[Statement, ...],
        guards: tuple[Guard, ...],
        sets: tuple[SetVersion, ...],
        quick: bool,
        deadline: float,
        done: Settled,
        transaction: Transaction | None = None,
        staged: Staged | None = None,
        *,
        bounded: bool = False,
    ) -> Cancel:
        """A unit of commit on one group: all statements or none, exactly once. Returns what
        ends it early, if it is called before `done` was. `token` is told of its entry. It waits
        no longer than `lock_s` for what is prepared, unless that is 0."""
        left = deadline - self._loop.time()
        write = _Write(
            self,
            self._lanes[group],
            statements,
            guards,
            sets,
            quick,
            deadline,
            deadline - min(FENCE_S_MAX, FENCE_SHARE * left),
            done,
            transaction,
            staged,
            bounded,
            token,
            lock_s,
        )
        if left <= 0 or self._closed:
            self._loop.call_soon(done, self._lanes[group].too_late())
        else:
            write.lane.ask(write)
            return write.cancel
        return _nothing_to_cancel

    async def write(
        self,
        group: str,
        statements: tuple[Statement, ...],
        guards: tuple[Guard, ...] = (),
        sets: tuple[SetVersion, ...] = (),
        *,
        quick: bool = False,
        deadline: float,
        transaction: Transaction | None = None,
        staged: Staged | None = None,
        bounded: bool = False,
        token: SessionToken | None = None,
        lock_s: float = 0.0,
    ) -> Done | Stale:
        """`submit`, awaited. Raises RouterError.

        A task that is cancelled here cancels the write, and goes on with the write's outcome:
        it may have left, and only that says whether it happened.
        """
        if _size(statements) > ENTRY_BYTES_MAX:
            raise StatementError(
                f"the statements and their parameters are larger than {ENTRY_BYTES_MAX} bytes",
                sqlstate="54000",
                hint="Split them into smaller ones.",
            )
        future: asyncio.Future[Outcome] = self._loop.create_future()
        settle = partial(resolve, future)
        cancel = self.submit(
            token,
            lock_s,
            group,
            statements,
            guards,
            sets,
            quick,
            deadline,
            settle,
            transaction,
            staged,
            bounded=bounded,
        )
        while not future.done():
            try:
                await asyncio.shield(future)
            except asyncio.CancelledError:
                cancel()
        return returned(future.result())

    # ------------------------------------------------------------------ what is sent ahead

    def new_stage(self, group: str) -> ShardStage:
        """For what a write of `group` will name."""
        return ShardStage(self._lanes[group])

    def submit_chunk(
        self, stage: ShardStage, number: int, data: bytes, deadline: float, done: Settled
    ) -> None:
        """Send chunk `number` of a stage, exactly once. Whatever the outcome, nobody sees it."""
        left = deadline - self._loop.time()
        chunk = _Chunk(
            self,
            stage.lane,
            (),
            (),
            (),
            False,
            deadline,
            deadline - min(FENCE_S_MAX, FENCE_SHARE * left),
            partial(_chunk_settled, stage, done),
            stage=stage,
            number=number,
            data=data,
        )
        if left <= 0 or self._closed:
            self._loop.call_soon(done, stage.lane.too_late())
        else:
            stage.lane.ask(chunk)

    def forget_stage(self, stage: ShardStage, deadline: float) -> None:
        """No write will name it. A replica that is not told finds out by itself, in time."""
        if stage.session is not None:
            body = Unstage(stage.session, stage.number)
            self.delivery.send(stage.lane.group, body, deadline, _nobody_waits)

    def close(self) -> None:
        """End what waits to be sent; what is under way ends with the delivery."""
        self._closed = True
        for lane in self._lanes.values():
            lane.close()

    def cancel(self, write: _Write) -> None:
        """Whoever asked for `write` no longer waits for it."""
        if write.cancelled or write.ended:
            return
        write.cancelled = True
        if write.lane.withdraw(write):
            write.done(canceled())
        elif write.sending is not None:
            write.sending.stop()
            write.deadline = min(write.deadline, self._loop.time() + FENCE_S_MAX)
            self._fence(write, GaveUp("it was cancelled"))

    # ------------------------------------------------------------------ outcomes

    def answered(self, write: _Write, answer: Answer, doubt: bool) -> None:
        """The answer to a copy of `write`; the table in the module's docstring."""
        if write.cancelled:
            return  # its fence, which is under way, has the outcome
        group = write.lane.group
        doubt = write.doubt = doubt or write.doubt
        match answer:
            case SqlFailure() | Stale():
                if doubt:
                    self._fence(write, answer)
                else:
                    self._settle(write, refused(answer))
            case UnknownSession():
                if doubt:
                    self._settle(write, unknown(group, "its session has expired"))
                else:
                    self._renew(write)
            case AnswerNotKept():
                self._settle(write, answer_lost(group))
            case Locked():
                self._wait(write, answer)
            case GaveUp(reason=reason, hint=hint):
                if doubt:
                    self._fence(write, answer)
                else:
                    self._settle(
                        write,
                        self._lanes[group].too_late()
                        if self._closed
                        else time_over(group, reason, hint),
                    )
            case Aborted():  # only a fence of this very seq can have said so
                self._settle(write, time_over(group, "the write was fenced off"))
            case _:
                self._settle(write, unknown(group, f"the answer was {type(answer).__name__}"))

    def _renew(self, write: _Write) -> None:
        """The session is unknown and no copy of `write` can ever apply: use another session."""
        lane, session = write.lane, write.session
        assert session is not None
        session.window.settle(write.seq)
        lane.lost(session)
        if self._closed or write.until <= self._loop.time():
            write.done(lane.too_late())
        else:
            write.lane.ask(write)

    def _wait(self, write: _Write, locked: Locked) -> None:
        """A transaction over several shards keeps the write out: try again, as long as it may
        take."""
        write.pause_s = min(LOCKED_PAUSE_S_MAX, 2 * write.pause_s or LOCKED_PAUSE_S)
        now = self._loop.time()
        again_at = now + write.pause_s
        is_over = False
        if write.lock_s:
            write.locked_until = write.locked_until or now + write.lock_s
            again_at = min(again_at, write.locked_until)
            is_over = now >= write.locked_until
        if again_at < write.until and not is_over and not self._closed:
            self._loop.call_at(again_at, self._try_again, write)
        elif write.doubt:
            self._fence(write, locked)
        else:
            self._settle(write, lock_not_available(write.lane.group))

    def _try_again(self, write: _Write) -> None:
        session = write.session
        assert session is not None
        if write.cancelled or write.ended:
            return
        if write.doubt:  # it has to be the same command
            body = write.body(session, write.seq)
            assert body is not None
            write.sending = self.delivery.send(write.lane.group, body, write.until, write.answered)
            return
        # Another: a seq that stays open holds up those behind it, who may not be kept out.
        write.lane.settle(session, write.seq)
        write.lane.ask(write)

    def _fence(self, write: _Write, refusal: SqlFailure | Stale | Locked | GaveUp) -> None:
        """Ask the log for the outcome of `write`, which an earlier copy may have had or have
        yet; `refusal` is what its last copy met."""
        session = write.session
        assert session is not None
        if self._closed:
            self._settle(write, unknown(write.lane.group, "the router was closed"))
            return
        body = Fence(session.id, write.seq, session.window.watermark)
        self.delivery.send(
            write.lane.group, body, write.deadline, partial(self._fenced, write, refusal)
        )

    def _fenced(
        self,
        write: _Write,
        refusal: SqlFailure | Stale | Locked | GaveUp,
        answer: Answer,
        _doubt: bool,
    ) -> None:
        if write.ended:
            return  # it was cancelled too late: its own answer came before that of the fence
        group = write.lane.group
        match answer:
            case Done():
                self._settle(write, answer)
            case SqlFailure():  # the stored outcome: it was applied, and failed
                self._settle(write, sql_error(answer))
            case Aborted():  # nothing of it ever applies: what its last copy met is the outcome
                if write.cancelled:
                    self._settle(write, canceled())
                elif isinstance(refusal, GaveUp):
                    reason = f"{refusal.reason.rstrip('.')}; nothing was applied"
                    self._settle(write, time_over(group, reason, refusal.hint))
                elif isinstance(refusal, Locked):
                    self._settle(write, lock_not_available(group))
                else:
                    self._settle(write, refused(refusal))
            case AnswerNotKept():
                self._settle(write, answer_lost(group))
            case GaveUp(reason=reason):
                self._settle(write, unknown(group, reason))
            case _:
                self._settle(write, unknown(group, f"the fence met {type(answer).__name__}"))

    def _settle(self, write: _Write, outcome: Outcome) -> None:
        """The end of `write`: no copy of it will be sent again."""
        session = write.session
        assert session is not None
        write.ended = True
        write.sending = None  # it knows the write: nothing but the collector would free the two
        write.lane.settle(session, write.seq)
        if write.token is not None and type(outcome) is Done:
            write.token.advance(write.lane.group, session.id.incarnation, outcome.index)
        write.done(outcome)


class _Write(msgspec.Struct, eq=False):
    """A write from submission to `done`."""

    writes: ShardWrites
    lane: Lane
    statements: tuple[Statement, ...]
    guards: tuple[Guard, ...]
    sets: tuple[SetVersion, ...]
    quick: bool
    deadline: float
    until: float  # from here on no copy is sent, only fences
    done: Settled
    transaction: Transaction | None = None  # in place of statements
    staged: Staged | None = None  # the same
    bounded: bool = False
    token: SessionToken | None = None
    lock_s: float = 0.0
    locked_until: float = 0.0  # it has met what is prepared, and waits for that until then
    session: LaneSession | None = None
    seq: int = 0
    sending: Sending | None = None  # its last copies
    doubt: bool = False  # some copy may still take effect
    pause_s: float = 0.0  # the last one, before it was tried again
    cancelled: bool = False
    ended: bool = False  # `done` was called after it had been sent

    def given(self, session: LaneSession, seq: int) -> None:
        self.session, self.seq = session, seq
        body = self.body(session, seq)
        writes, group = self.writes, self.lane.group
        if body is None:
            lost = partial(writes._settle, self, _stage_lost(group))  # noqa: SLF001 -- as below
            asyncio.get_running_loop().call_soon(lost)
            return
        self.sending = writes.delivery.send(group, body, self.until, self.answered)

    def refused(self, error: RouterError) -> None:
        self.done(error)

    def body(self, session: LaneSession, seq: int) -> RequestBody | None:
        """What to send under this seq; None if it can be part of this session no more."""
        return Write(
            session.id,
            seq,
            session.window.watermark,
            self.statements,
            self.guards,
            self.sets,
            self.quick,
            self.transaction,
            self.staged,
            self.bounded,
        )

    def cancel(self) -> None:
        self.writes.cancel(self)

    def answered(self, answer: Answer, doubt: bool) -> None:
        if self.ended:
            return  # it was cancelled, and its fence was faster
        if type(answer) is Done:
            self.writes._settle(self, answer)  # noqa: SLF001 -- one object in two halves
        else:
            self.writes.answered(self, answer, doubt)


class ShardStage:
    """What is sent to a shard ahead of the write that will name it (docs/bulk.md).

    It belongs to the session of its first chunk that was taken."""

    __slots__ = ("is_taken", "lane", "number", "session")

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.session: SessionId | None = None
        self.number = 0
        self.is_taken = False  # a chunk of it is kept under `session`


class _Chunk(_Write, eq=False, kw_only=True):
    """A chunk of a stage: a write that nobody sees."""

    stage: ShardStage
    number: int
    data: bytes

    def body(self, session: LaneSession, seq: int) -> RequestBody | None:
        stage = self.stage
        if stage.session != session.id:
            if stage.is_taken:
                return None
            stage.session = session.id
            stage.number = session.new_stage()
        watermark = session.window.watermark
        return Stage(session.id, seq, watermark, stage.number, self.number, self.data)


# --------------------------------------------------------------------------- small steps


def _chunk_settled(stage: ShardStage, done: Settled, outcome: Outcome) -> None:
    if isinstance(outcome, Done):
        stage.is_taken = True
    done(outcome)


def _stage_lost(group: str) -> RouterError:
    return StatementError(
        f"what was sent to {group} so far is no longer kept",
        sqlstate="57P05",
        detail="The session that it belonged to has expired; nothing is written.",
        hint="Repeat it.",
    )


def _nobody_waits(_answer: Answer, _doubt: bool) -> None:
    pass


def _size(statements: tuple[Statement, ...]) -> int:
    """Bytes of SQL and parameters, roughly: refuses what no frame could carry. The node checks
    the exact size of the entry."""
    return sum(map(_size_of, statements))


def _size_of(statement: Statement) -> int:
    size = len(statement.sql)
    for value in statement.parameters:
        if type(value) is str or type(value) is bytes:
            size += len(value)
    return size


def is_large(statement: Statement, size: int = LARGE_BYTES) -> bool:
    """Whether it is so large that who writes it should ask whether an entry of the log holds it;
    or larger than `size`, about."""
    return _size_of(statement) > size


def _nothing_to_cancel() -> None:
    """`done` is on its way with an error."""


def resolve(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    """The `done` of who awaits it."""
    if not future.done():
        future.set_result(outcome)


def returned(outcome: Outcome) -> Done | Stale:
    """What came of it. Raises RouterError."""
    if isinstance(outcome, RouterError):
        raise outcome
    return outcome
