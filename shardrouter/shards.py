"""Groups as a router asks them: reads, exactly-once writes, statements of open transactions.

It knows groups, deadlines and what answers mean; it knows no SQL, no catalog and no clients. One
deadline comes in (a time of the event loop's clock) and is only passed down. The core is callbacks,
no task per statement; `read` and `write` are the same for code that awaits. `done` is called
exactly once, never from within `submit_*`, with

    Done           it happened; for a write exactly once
    Stale          it has not happened and never will under this command: a guard failed.
                   Read the catalog again, plan again, submit again
    RouterError    .definite says whether it can still have happened

How a write comes to its one outcome is in `shardrouter.shard_writes`.
"""

from __future__ import annotations

import asyncio
import copy
import math
import random
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, NamedTuple, TypeVar

import msgspec

from nodes.client import Outcome as ClientOutcome
from nodes.config import ClusterConfig
from nodes.protocol import (
    AtLeast,
    Done,
    Forget,
    Guard,
    NotOpen,
    Piece,
    Read,
    Speculate,
    Speculated,
    SqlFailure,
    Stale,
    Statement,
    StatementResult,
    Status,
)
from shardrouter.coordination import Coordination
from shardrouter.delivery import Answer, Counts, Delivery, GaveUp
from shardrouter.errors import RouterError, Unavailable
from shardrouter.execution import Command
from shardrouter.instants import Instant, Instants, NoInstant
from shardrouter.levels import Level
from shardrouter.replica_choice import NEAREST, Choice
from shardrouter.row_stream import RowStream
from shardrouter.session_token import NOTHING, SessionToken
from shardrouter.shard_writes import (
    Cancel,
    Settled,
    ShardStage,
    ShardWrites,
    is_large,
    resolve,
    returned,
)
from shardrouter.verdicts import Outcome, leaderless, sql_error, time_over

__all__ = ["Outcome", "ShardStage", "Shards", "Stepped", "Streamed", "is_large"]


FORGET_S: Final = 1.0
"""How long it is tried to tell a leader of the end of a transaction."""

T = TypeVar("T")


class Streamed(NamedTuple):
    """The first rows of a read, and where the others come from."""

    result: StatementResult
    stream: RowStream


class Stepped(NamedTuple):
    """What a statement of a transaction answers."""

    outcome: StatementResult | SqlFailure  # the first rows of it, if it is streamed
    digest: bytes = b""  # of all of them, if it is streamed
    stream: RowStream | None = None  # where the others come from


class Shards:
    """All groups of one cluster, `meta` among them, through one connection to each node.

    Used from one event loop, which must be running when it is made. `name` is this router's
    name in the nodes' logs, `zone` where it is.
    """

    __slots__ = (
        *("_coordination", "_delivery", "_loop", "_streams", "_token", "_writes"),
        *("commit", "forget_stage", "instants", "lock_ms", "new_stage", "pinned"),
        *("replica_choice", "submit_chunk", "submit_write", "transaction_bytes_max", "write"),
    )

    def __init__(
        self, config: ClusterConfig, *, name: str, rng: random.Random, zone: str = ""
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.replica_choice = config.replica_choice  # of sessions that have not chosen
        self.transaction_bytes_max = config.limits.transaction_bytes_max
        self._delivery = Delivery(config, name=name, rng=rng, zone=zone)
        self._streams: set[RowStream] = set()
        writes = self._writes = ShardWrites(config.groups, self._delivery, name)
        self._token: SessionToken | None = None
        self.lock_ms = 0
        """How long this session waits, unless it is 0, for what a transaction over several shards
        holds."""
        # Without a call between: nearly every statement goes through one of these.
        # What a session says of all its writes stands first: to add it by name takes a dictionary.
        self.submit_write = partial(writes.submit, None, 0.0)
        self.write = writes.write
        self.new_stage, self.forget_stage = writes.new_stage, writes.forget_stage
        self.submit_chunk = writes.submit_chunk
        self._coordination = Coordination(config.groups, self._delivery, name, rng)
        self.commit = self._coordination.commit
        self.instants = Instants(self._delivery, rng)
        self.pinned = self.instants.pinned

    def of_session(self, token: SessionToken) -> Shards:
        """The same, for a session: what it sees here is added to `token`, and its reads at level
        `session` ask for states with all that is in it."""
        view = copy.copy(self)
        view._token = token  # noqa: SLF001 -- of its own class
        view.bound_locks(0.0)
        return view

    def bound_locks(self, lock_s: float) -> None:
        """What this session asks from now on waits no longer than that, unless it is 0, for what
        a transaction over several shards holds."""
        self.lock_ms = math.ceil(lock_s * 1000)
        self.submit_write = partial(self._writes.submit, self._token, lock_s)
        self.write = partial(self._writes.write, token=self._token, lock_s=lock_s)
        self.commit = partial(self._coordination.commit, token=self._token, lock_s=lock_s)

    def stalled(self) -> int:
        """How many requests wait for a leader, for a replica that can answer, or for a group from
        which nothing is heard while others answer."""
        return self._delivery.stalled()

    @property
    def counts(self) -> Counts:
        """Of what was sent to nodes."""
        return self._delivery.counts

    # ------------------------------------------------------------------ reads

    def submit_read(
        self,
        group: str,
        statements: tuple[Statement, ...],
        guards: tuple[Guard, ...],
        quick: bool,
        deadline: float,
        done: Settled,
        consistency: Level = "linearizable",
        choice: Choice = NEAREST,
    ) -> Cancel:
        """Read-only statements, in one state of one group that `consistency` allows. Returns
        what ends it early: `done` is called all the same."""
        wanted = self._at_least(group) if consistency == "session" else consistency
        read = Read(statements, guards, quick, wanted, lock_ms=self.lock_ms)
        answered = _Reading(group, self._token, done).answered
        return self._delivery.send(group, read, deadline, answered, choice).stop

    def _at_least(self, group: str) -> AtLeast:
        """What a session that has seen nothing asks for is any state."""
        return NOTHING if self._token is None else self._token.of(group)

    async def read(
        self,
        group: str,
        statements: tuple[Statement, ...],
        guards: tuple[Guard, ...] = (),
        *,
        quick: bool = False,
        deadline: float,
        consistency: Level = "linearizable",
        choice: Choice = NEAREST,
    ) -> Done | Stale:
        """`submit_read`, awaited. Raises RouterError."""
        future: asyncio.Future[Outcome] = self._loop.create_future()
        done = partial(resolve, future)
        stop = self.submit_read(
            group, statements, guards, quick, deadline, done, consistency, choice
        )
        return returned(await _or_stop(future, stop))

    def submit_stream(
        self,
        group: str,
        statement: Statement,
        guards: tuple[Guard, ...],
        deadline: float,
        done: Callable[[Outcome | Streamed], None],
        consistency: Level = "linearizable",
        choice: Choice = NEAREST,
    ) -> Cancel:
        """A read of one statement whose rows may be many: then `done` gets the first of them,
        and what the others are got by. Returns what ends it early."""
        wanted = self._at_least(group) if consistency == "session" else consistency
        read = Read((statement,), guards, consistency=wanted, stream=True, lock_ms=self.lock_ms)
        timeout_s = deadline - self._loop.time()
        answered = partial(self._stream_answered, group, timeout_s, done)
        return self._delivery.send(group, read, deadline, answered, choice).stop

    async def stream(
        self,
        group: str,
        statement: Statement,
        guards: tuple[Guard, ...],
        deadline: float,
        consistency: Level = "linearizable",
        choice: Choice = NEAREST,
    ) -> Done | Stale | Streamed:
        """`submit_stream`, awaited. Raises RouterError."""
        future: asyncio.Future[Outcome | Streamed] = self._loop.create_future()

        def done(outcome: Outcome | Streamed) -> None:
            if not future.done():
                future.set_result(outcome)
            elif isinstance(outcome, Streamed):
                outcome.stream.close()

        stop = self.submit_stream(group, statement, guards, deadline, done, consistency, choice)
        outcome = await _or_stop(future, stop)
        if isinstance(outcome, RouterError):
            raise outcome
        return outcome

    def submit_pinned(
        self,
        instant: Instant,
        command: Command,
        deadline: float,
        done: Callable[[Outcome | Streamed], None],
        *,
        keeps: bool,
    ) -> Cancel:
        """The same, where the shard has pinned; `done` may get NoInstant: the pin is lost. Returns
        what ends it early."""
        timeout_s = deadline - self._loop.time()
        answered = partial(self._pinned_answered, command.shard, timeout_s, done)
        return instant.read(command, timeout_s, answered, keeps=keeps)

    def _pinned_answered(
        self,
        group: str,
        timeout_s: float,
        done: Callable[[Outcome | Streamed], None],
        answer: ClientOutcome,
        node: str,
    ) -> None:
        match answer:
            case Piece():
                self._advance(group, answer.incarnation, answer.index)
                stream = self._rest(node, group, answer.cursor, timeout_s)
                done(Streamed(answer.result, stream))
            case Done() | Stale():
                _Reading(group, self._token, done).answered(answer, False)
            case SqlFailure(sqlstate=sqlstate) if sqlstate != "57P03":
                _Reading(group, self._token, done).answered(answer, False)
            case _:
                done(NoInstant(f"{group} has lost what it had pinned"))

    def _stream_answered(
        self,
        group: str,
        timeout_s: float,
        done: Callable[[Outcome | Streamed], None],
        answer: Answer,
        doubt: bool,
    ) -> None:
        if not isinstance(answer, Piece):
            _Reading(group, self._token, done).answered(answer, doubt)
            return
        self._advance(group, answer.incarnation, answer.index)
        stream = self._rest(answer.node, group, answer.cursor, timeout_s)
        done(Streamed(answer.result, stream))

    def _advance(self, group: str, incarnation: int, index: int) -> None:
        if self._token is not None:
            self._token.advance(group, incarnation, index)

    def _rest(self, node: str, group: str, cursor: int, timeout_s: float) -> RowStream:
        """The rows behind the first, from the node that has them."""
        ask = partial(self._delivery.ask, node, group)
        stream = RowStream(ask, cursor, timeout_s, self._streams.discard)
        self._streams.add(stream)
        return stream

    def submit_step(
        self,
        group: str,
        asked: Speculate,
        deadline: float,
        done: Callable[[Stepped | Stale | NotOpen | RouterError], None],
    ) -> Cancel:
        """A statement of a transaction that is not committed, on the leader. RouterError: there is
        no answer, and the transaction cannot go on. Returns what ends it early: `done` is called
        all the same."""
        timeout_s = deadline - self._loop.time()

        def answered(answer: Answer, _doubt: bool) -> None:
            if type(answer) is Speculated:  # nearly always
                self._advance(group, answer.incarnation, answer.index)
                outcome = answer.result or answer.failure
                assert outcome is not None, "one of them is the answer"
                stream: RowStream | None = None
                if answer.cursor:
                    stream = self._rest(answer.node, group, answer.cursor, timeout_s)
                done(Stepped(outcome, answer.digest, stream))
            elif isinstance(answer, Stale | NotOpen):
                done(answer)
            elif isinstance(answer, SqlFailure):
                done(sql_error(answer))
            elif isinstance(answer, GaveUp):
                done(time_over(group, answer.reason, answer.hint))
            else:
                said = type(answer).__name__
                done(Unavailable(f"{group} answered a statement with {said}"))

        return self._delivery.send(group, asked, deadline, answered).stop

    async def speculate(
        self, group: str, asked: Speculate, deadline: float, *, patience_s: float = 0.0
    ) -> Stepped | Stale | NotOpen:
        """`submit_step`, awaited. Raises RouterError: if there is a patience, as soon as it is over
        and the group has no leader."""
        future: asyncio.Future[Stepped | Stale | NotOpen | RouterError]
        future = self._loop.create_future()

        def done(answer: Stepped | Stale | NotOpen | RouterError) -> None:
            if not future.done():
                future.set_result(answer)
            elif isinstance(answer, Stepped) and answer.stream is not None:
                answer.stream.close()

        stop = self.submit_step(group, asked, deadline, done)
        if patience_s:
            await self._while_led(group, future, stop, patience_s)
        answer = await _or_stop(future, stop)
        if isinstance(answer, RouterError):
            raise answer
        return answer

    async def _while_led(
        self, group: str, future: asyncio.Future[T], stop: Cancel, patience_s: float
    ) -> None:
        """Return when there is an answer. Raises Unavailable when the patience is over and nobody
        leads the group."""
        while not future.done():
            try:
                await asyncio.wait([future], timeout=patience_s)
            except asyncio.CancelledError:
                stop()
                raise
            if not future.done() and not self._delivery.is_led(group):
                stop()
                raise leaderless(group)

    def forget(self, group: str, transaction: bytes) -> None:
        """Tell the leader that a transaction has ended for which others wait; if that does not
        arrive, they wait a little longer."""
        until = self._loop.time() + FORGET_S
        self._delivery.send(group, Forget(transaction), until, lambda _answer, _doubt: None)

    # ------------------------------------------------------------------ the rest

    def anchor(self, groups: Iterable[str]) -> str:
        """The participant whose log is to decide: `meta`, else one that has a leader which
        answers. What is prepared elsewhere waits for it."""
        known = list(groups)
        led = [group for group in known if self._delivery.is_led(group)]
        return "meta" if "meta" in known else (led or known)[-1]

    def leader(self, group: str) -> str | None:
        """Name of the node believed to lead `group`."""
        return self._delivery.leader(group)

    async def statuses(self, timeout_s: float) -> dict[str, Status | None]:
        """What each node says of itself; None if it does not answer in time."""
        return await self._delivery.statuses(timeout_s)

    async def close(self) -> None:
        """End all that runs, each with its honest outcome, and close the connections."""
        for stream in list(self._streams):
            stream.close()
        self._writes.close()
        self._coordination.close()
        await self._delivery.close()


class _Reading(msgspec.Struct, eq=False):
    """A read of a group, until `done` is told what the answer means."""

    group: str
    token: SessionToken | None
    done: Settled

    def answered(self, answer: Answer, _doubt: bool) -> None:
        group, done = self.group, self.done
        if type(answer) is Done:  # nearly always
            if self.token is not None:
                self.token.advance(group, answer.incarnation, answer.index)
            done(answer)
            return
        match answer:
            case Stale():
                done(answer)
            case SqlFailure():
                done(sql_error(answer))
            case GaveUp(reason=reason, hint=hint):
                done(time_over(group, reason, hint))
            case _:
                done(Unavailable(f"{group} answered a read with {type(answer).__name__}"))


async def _or_stop(future: asyncio.Future[T], stop: Cancel) -> T:
    """The result; `stop` is called if nobody waits for it any longer."""
    try:
        return await future
    except asyncio.CancelledError:
        stop()
        raise
