"""One client's session: prepares statements, executes units of commit, keeps settings.

It carries commands to shards and schema changes to the schema, and their answers back. It knows
nothing of wires: the PostgreSQL server and the embedded API use it alike.

The hot path (one statement that one shard answers) is callbacks from `execute_unit` to `done`;
whatever takes several steps (a scatter, a schema change, a catalog that turned out stale) is a
coroutine in a task that the backend keeps (`shardrouter.units`). The deadline is made at the
entrance and only passed down.

Staleness: a plan relies on a version of its table and on who owns its slots, and its command
carries both as guards. A shard that knows better answers Stale, which is definite: the catalog
is read again, the text planned again and the command sent anew under the same deadline.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Literal, TypeAlias

from msgspec import structs

from nodes.protocol import Done, needs_leader
from shardrouter.admitting import TooMuch, takes_place
from shardrouter.catalog import Catalog
from shardrouter.copy_in import CopyIn
from shardrouter.deferring import not_yet
from shardrouter.errors import OutcomeUnknown, RouterError, Unavailable
from shardrouter.execution import (
    Execution,
    Outcome,
    Prepared,
    SeveralShards,
    command_of,
    is_current,
    outcome_of,
)
from shardrouter.explained import explain
from shardrouter.finishing import Finishing
from shardrouter.local_statements import LocalStatements
from shardrouter.planned import Begin, OneShard, ResultColumn, SetSetting
from shardrouter.replica_choice import NEAREST
from shardrouter.role_store import EMBEDDED
from shardrouter.roles import Role
from shardrouter.row_stream import RowStream
from shardrouter.schema import Schema
from shardrouter.session_copies import SessionCopies
from shardrouter.session_sequences import SessionSequences
from shardrouter.session_state import Backend, SessionState
from shardrouter.session_statements import SessionStatements
from shardrouter.settings import Settings
from shardrouter.shard_writes import Cancel
from shardrouter.shards import Outcome as ShardOutcome
from shardrouter.shards import Shards, Streamed, is_large
from shardrouter.transaction_answers import read_only_error
from shardrouter.units import Units
from shardrouter.verdicts import canceled

__all__ = ["Prepared", "Execution", "Outcome", "Backend", "Session"]

UnitDone: TypeAlias = Callable[[list[Outcome] | RouterError], None]


class Session:
    """Used from one event loop. Units of one session may overlap, if it is `shared` and takes no
    transaction blocks; the settings that a unit changes are those it began with, so a client that
    wants order waits for `done`."""

    def __init__(self, backend: Backend, role: Role = EMBEDDED, *, shared: bool = False) -> None:
        self._state = state = SessionState(backend, role, self, shared=shared)
        self._transactions = state.transactions
        self._prepared = SessionStatements(state)
        self._local = LocalStatements(state)
        self._units = Units(state, self._prepared, self._local, self)
        self._copies = SessionCopies(state, self._prepared)
        self.statements = state.statements
        self._loop = state.loop
        self._schema = backend.schema
        self._statement_log = backend.statement_log
        self._meter = backend.meter
        self._gate = backend.gate
        self._places = backend.gate.places
        self._cancel_running: Callable[[], object] | None = None

    # ------------------------------------------------------------------ settings

    @property
    def settings(self) -> Settings:
        """As they are now."""
        return self._state.settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self._state.change_settings(settings)

    @property
    def pid(self) -> int:
        """What pg_backend_pid() answers: of a client, the number that it may be cancelled by."""
        return self._state.pid

    @pid.setter
    def pid(self, pid: int) -> None:
        self._state.pid = pid

    def setting(self, name: str) -> str:
        """The value of a setting. Raises StatementError 42704."""
        return self._state.settings.get(name)

    def parameter_status(self) -> list[tuple[str, str]]:
        """The settings a client is told of when it connects."""
        return list(self._state.settings.announced())

    @property
    def status(self) -> Literal["I", "T", "E"]:
        """Idle, in a transaction block, or in one that has failed."""
        block = self._transactions.block
        if block is None:
            return "I"
        return "E" if block.failed else "T"

    def note_failure(self) -> None:
        """Something of the client's failed, perhaps before it came here: a transaction block fails
        too, and a unit is over."""
        block = self._transactions.block
        if block is not None and block.implicit:
            self._transactions.abandon()
        elif block is not None:
            block.failed = True

    def open_unit(self) -> None:
        """What is executed from now on is one unit of commit, up to `close_unit`: the statements
        are executed one by one, for what one does decides how the next is understood."""
        self._units.open_unit()

    @property
    def has_unit(self) -> bool:
        """Whether such a unit is open."""
        block = self._transactions.block
        return block is not None and block.implicit

    async def close_unit(self) -> None:
        """Its end. Raises RouterError, and then nothing of it has happened."""
        deadline = self._loop.time() + self._state.settings.statement_timeout_s
        await self._transactions.close_unit(deadline)

    @property
    def idle_timeout_s(self) -> float:
        """How long the client may say nothing, as it stands now; 0: for ever."""
        settings = self._state.settings
        if self._transactions.block is None:
            return settings.idle_session_s
        return settings.idle_in_transaction_s

    def wants(self, severity: str) -> bool:
        """Whether the client wants to hear notices of this severity."""
        return self._state.settings.wants(severity)

    async def configure(self, texts: Iterable[str]) -> None:
        """What a client asks for when it connects: SETs, each to a value. They are what RESET goes
        back to. Raises RouterError."""
        values = []
        for text in texts:
            plan = (self.prepared(text) or await self.prepare(text)).plan
            assert isinstance(plan, SetSetting)
            assert plan.value is not None
            values.append((plan.name, plan.value))
        state = self._state
        if values:
            state.change_settings(state.settings.with_values(values))
            state.change_settings(state.settings.rebased())
        self._state.change_settings(self._state.settings.rebased())

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more units."""
        return self._state.is_closed

    async def close(self) -> None:
        """Take no more units. Running ones end by themselves, at the latest by their deadline
        or when the router is closed. Of a transaction block nothing remains."""
        self._copies.abandon()
        for stream in list(self._state.streams):
            stream.close()
        self._transactions.abandon()
        self._state.leave()

    # ------------------------------------------------------------------ prepare

    def prepared(self, text: str, parameter_oids: tuple[int, ...] = ()) -> Prepared | None:
        """The statement, if it has been prepared under the present catalog."""
        return self._prepared.prepared(text, parameter_oids)

    async def prepare(self, text: str, parameter_oids: tuple[int, ...] = ()) -> Prepared:
        """Parse and plan one statement. Raises RouterError."""
        return await self._prepared.prepare(text, parameter_oids)

    def cursor_columns(self, name: str) -> tuple[ResultColumn, ...]:
        """Of what a cursor of DECLARE answers. Raises StatementError 34000."""
        return self._prepared.cursor_columns(name)

    def copy_in(self, prepared: Prepared) -> CopyIn:
        """Begin what `prepared`, a COPY FROM STDIN, says. Raises RouterError."""
        return self._copies.begin(prepared)

    # ------------------------------------------------------------------ for its blocks

    @property
    def shards(self) -> Shards:
        return self._state.shards

    @property
    def schema(self) -> Schema:
        return self._state.schema

    @property
    def finishing(self) -> Finishing:
        return self._state.backend.finishing

    @property
    def sequences(self) -> SessionSequences:
        return self._state.sequences

    @property
    def catalog(self) -> Catalog:
        """See `SessionState.catalog`."""
        return self._state.catalog

    async def temporary_schema(self, deadline: float) -> str:
        """Where the session's temporary tables are. Raises RouterError."""
        return await self._state.temporary_schema(deadline)

    async def catch_up(self, deadline: float, attempt: int) -> None:
        """A shard knows a newer catalog: read it."""
        await self._state.schema.catch_up(deadline, attempt)

    async def current(self, execution: Execution, deadline: float) -> Execution:
        """The execution, planned again if its table has changed since it was prepared."""
        return await self._prepared.current(execution, deadline)

    async def run_locally(self, execution: Execution, deadline: float) -> Outcome:
        """A statement that needs no shard, but no change of a setting."""
        _, outcome = await self._local.run(execution, self._state.settings, deadline)
        return outcome

    async def ask_catalogs(
        self, execution: Execution, settings: Settings, deadline: float
    ) -> tuple[Outcome, tuple[SetSetting, ...]]:
        """A query of the system catalogs: its outcome, and the settings that it sets."""
        return await self._local.ask_catalogs(execution, settings, deadline)

    def keep(self, stream: RowStream) -> None:
        """It ends with the session, at the latest."""
        self._state.keep(stream)

    # ------------------------------------------------------------------ execute

    async def run(self, unit: Sequence[Execution], timeout_s: float | None = None) -> list[Outcome]:
        """`execute_unit`, awaited. Raises RouterError."""
        future: asyncio.Future[list[Outcome] | RouterError] = self._loop.create_future()

        def done(result: list[Outcome] | RouterError) -> None:
            if not future.done():
                future.set_result(result)

        self.execute_unit(unit, done, timeout_s=timeout_s)
        result = await future
        if isinstance(result, RouterError):
            raise result
        return result

    def execute_unit(
        self, unit: Sequence[Execution], done: UnitDone, *, timeout_s: float | None = None
    ) -> None:
        """Execute a unit of commit (DESIGN section 8): all of it or nothing.

        `done` is called exactly once, never from within this call, with one outcome per
        statement or with the error, whose `statement` is the ordinal of the one that failed.
        A unit with a write has to be on one shard. Time: `timeout_s`, else statement_timeout;
        if nobody has set that, a schema change may take as long as its shards are at work on it.
        """
        self._cancel_running = None
        state = self._state
        state.units += 1
        if self._statement_log is not None:
            done = self._statement_log.watch(state.role.name, state.request, unit, done)
        settings = state.settings
        seconds = settings.statement_timeout_s if timeout_s is None else timeout_s
        deadline = self._loop.time() + seconds
        began = time.monotonic()  # a loop's own time may stand still for a turn
        is_one = (
            len(unit) == 1
            and type(unit[0].prepared.plan) is OneShard
            and self._transactions.block is None
            and not (settings.temporary and state.clears_at_commit)
        )
        places = self._places
        if is_one and not places.waiting and places.running < places.room and not state.is_closed:
            self._execute_one(unit[0], done, deadline, began, began)  # nearly always
            return
        lasts = timeout_s is None and not settings.bounds_statements
        if state.is_closed:
            self._loop.call_soon(done, Unavailable("the session is closed", sqlstate="57P01"))
        elif (places.waiting or places.running >= places.room) and (
            is_one
            or (
                self._transactions.block is None
                and any(takes_place(execution.prepared.plan) for execution in unit)
            )
        ):
            begin = partial(self._begin, unit, done, deadline, began, is_one=is_one, lasts=lasts)
            self._wait_for_place(unit, begin, done, began)
        else:
            self._begin(unit, done, deadline, began, is_one=False, lasts=lasts)

    def _wait_for_place(
        self,
        unit: Sequence[Execution],
        begin: Callable[[], object],
        done: UnitDone,
        began: float,
    ) -> None:
        """Others have all of them: it is begun when it has its turn, or refused."""

        def refuse(error: RouterError | None = None) -> None:
            self._cancel_running = None
            self._metered(unit, done, began)(error or TooMuch())

        client = self._state.client
        if self._places.refuses(client, self._loop.time()):
            self._gate.refuse(refuse)
            return

        def cancel() -> None:
            if self._places.withdraw(waiter):
                refuse(canceled())

        self._cancel_running = cancel
        waiter = self._gate.wait(client, len(unit), begin, refuse)

    def _begin(
        self,
        unit: Sequence[Execution],
        done: UnitDone,
        deadline: float,
        began: float,
        *,
        is_one: bool,
        lasts: bool,
    ) -> None:
        """Now, whether there is a place or not."""
        if is_one:
            self._execute_one(unit[0], done, deadline, began, time.monotonic())
        else:
            if lasts and len(unit) == 1:
                unit = [structs.replace(unit[0], lasts=True)]
            self._start(list(unit), done, deadline, began, is_stale=False)

    def _answer(
        self, done: UnitDone, result: list[Outcome] | RouterError, *, alone: bool = True
    ) -> None:
        """With what the catalog knows of the constraint that refused a row; not `alone`: there
        are other statements in its transaction."""
        if isinstance(result, RouterError):
            if result.violation is not None:
                result = explain(result, self._state.schema_now)
            if not alone:
                result = not_yet(result, self._state.schema_now)
        done(result)

    def cancel(self) -> None:
        """End early what was executed last: a read answers 57014 at once; a write when it is
        known not to happen, else what became of it, in a second at most (DESIGN section 8), as
        for each write of a schema change; a COMMIT with some goes on to its end."""
        if self._cancel_running is not None:
            self._cancel_running()

    def _start(
        self,
        unit: list[Execution],
        done: UnitDone,
        deadline: float,
        began: float,
        *,
        is_stale: bool,
    ) -> None:
        if is_stale or len(unit) != 1 or not self._submitted(unit, done, deadline, began):
            self._start_task(unit, done, deadline, began, is_stale=is_stale)

    def _start_task(
        self,
        unit: list[Execution],
        done: UnitDone,
        deadline: float,
        began: float,
        *,
        is_stale: bool,
    ) -> None:
        done = self._placed(self._metered(unit, done, began))
        task = self._state.backend.tasks.start(
            self._execute(unit, done, deadline, is_stale=is_stale)
        )
        # Not before it has begun: a task that has not runs none of its code any more.
        self._cancel_running = partial(self._loop.call_soon, task.cancel)

    def _submitted(
        self, unit: list[Execution], done: UnitDone, deadline: float, began: float
    ) -> bool:
        """What needs no task: BEGIN, and most of what comes in a block. False: nothing was done."""
        transactions, plan = self._transactions, unit[0].prepared.plan
        metered = self._metered(unit, done, began)
        if transactions.block is None:
            if not isinstance(plan, Begin) or self._state.is_shared:
                return False
            try:
                begun: list[Outcome] | RouterError = [transactions.control_idle(plan)]
            except RouterError as exc:
                begun = exc
            self._loop.call_soon(metered, begun)
            return True
        places = self._places

        def settled(result: Outcome | RouterError | None) -> None:
            self._cancel_running = None
            places.left(cohort)
            if places.waiting:
                places.go_on()
            if isinstance(result, Outcome):
                metered([result])
            elif result is not None:
                self._answer(metered, result, alone=False)
            else:
                self._start_task(unit, done, deadline, began, is_stale=False)

        cancel = self._cancel_running = transactions.submit(unit[0], deadline, settled)
        if cancel is None:
            return False
        cohort = places.enter()
        if not self._gate.is_watched:
            self._gate.watch()
        return True

    def _placed(self, done: UnitDone) -> UnitDone:
        """A `done` that frees the place which is taken now."""
        places, cohort = self._places, self._places.enter()
        if not self._gate.is_watched:
            self._gate.watch()

        def ended(result: list[Outcome] | RouterError) -> None:
            places.left(cohort)
            if places.waiting:
                places.go_on()
            done(result)

        return ended

    def _metered(
        self, unit: Sequence[Execution], done: UnitDone, began: float, group: str = ""
    ) -> UnitDone:
        """A `done` that counts, and says if it was slow, then calls the other."""

        def ended(result: list[Outcome] | RouterError) -> None:
            error = result if isinstance(result, RouterError) else None
            took = time.monotonic() - began
            self._meter.ended(unit, error, took)
            if took >= self._state.settings.slow_s:
                self._was_slow(unit, error, took, group)
            done(result)

        return ended

    def _was_slow(
        self, unit: Sequence[Execution], error: RouterError | None, took: float, group: str
    ) -> None:
        state = self._state
        slow = state.backend.slow_statements
        slow.note(state.role.name, state.request, unit, error, took, group)

    def _execute_one(
        self,
        execution: Execution,
        done: UnitDone,
        deadline: float,
        began: float,
        entered: float,
    ) -> None:
        """The hot path: one statement, one shard, no task. It may have waited for its place from
        when it `began`."""
        prepared = execution.prepared
        plan = prepared.plan
        assert type(plan) is OneShard
        catalog = self._schema.catalog  # no block has another
        state = self._state
        settings = state.settings
        is_write = plan.is_write
        if prepared.search_path != settings.search_path or not is_current(plan, catalog):
            self._start([execution], done, deadline, began, is_stale=False)
            return
        try:
            if is_write and settings.read_only:
                raise read_only_error(plan)
            if plan.numbers is not None and not execution.drawn:
                self._start([execution], done, deadline, began, is_stale=False)
                return
            if plan.draws:
                drawn = state.sequences.at_once(execution, catalog)
                if drawn is None:
                    self._start([execution], done, deadline, began, is_stale=False)
                    return
                execution = drawn
            command = command_of(plan, execution, catalog)
            level = prepared.level(settings) if prepared.may_hint else settings.consistency
        except SeveralShards:
            self._start([execution], done, deadline, began, is_stale=False)
            return
        except RouterError as exc:
            self._loop.call_soon(self._metered([execution], done, began), exc)
            return
        if is_write and is_large(command.statement):
            self._start([execution], done, deadline, began, is_stale=False)
            return

        stop: Cancel | None = None
        places = self._places  # counted without a call, as is their end
        cohort = places.cohort
        cohort.count += 1
        places.running += 1
        if not self._gate.is_watched:
            self._gate.watch()

        def settled(answer: ShardOutcome | Streamed | None = None) -> None:
            """None: it is cancelled, a read."""
            nonlocal stop
            ending, stop = stop, None
            if ending is None:  # it was cancelled
                if isinstance(answer, Streamed):
                    answer.stream.close()
                return
            if answer is None:
                ending()
            self._cancel_running = None
            cohort.count -= 1
            if cohort.is_parked:
                places.parked -= 1
            else:
                places.running -= 1
            if places.waiting:
                places.go_on()
            if type(answer) is Done:  # nearly always: counted without a call
                now = time.monotonic()
                took = now - began
                latencies = self._meter.writes if is_write else self._meter.reads
                latencies.counts[int(took * 1e6).bit_length()] += 1
                latencies.seconds += took
                if plan.quick:
                    cohort.quick += 1
                    limit = places.limit
                    limit.samples += 1
                    limit.seconds += now - entered
                if took >= state.settings.slow_s:
                    self._was_slow([execution], None, took, command.shard)
                done([outcome_of(plan, execution, answer.results[0])])
            elif isinstance(answer, Streamed):
                self._metered([execution], done, began, command.shard)(
                    [state.streamed(plan, execution, answer)]
                )
            elif isinstance(answer, RouterError):
                self._answer(self._metered([execution], done, began, command.shard), answer)
            elif answer is None:
                self._metered([execution], done, began, command.shard)(canceled())
            else:
                self._start([execution], done, deadline, began, is_stale=True)

        statements = (command.statement,)
        if is_write:
            stop = self._cancel_running = state.shards.submit_write(
                command.shard, statements, command.guards, (), plan.quick, deadline, settled
            )
        elif execution.stream and not plan.quick:
            stop = state.shards.submit_stream(
                command.shard,
                command.statement,
                command.guards,
                deadline,
                settled,
                level,
                NEAREST if needs_leader(level) else state.choice,
            )
            self._cancel_running = settled
        else:
            stop = state.shards.submit_read(
                command.shard,
                statements,
                command.guards,
                plan.quick,
                deadline,
                settled,
                level,
                NEAREST if level == "linearizable" or needs_leader(level) else state.choice,
            )
            self._cancel_running = settled

    async def _execute(
        self, unit: list[Execution], done: UnitDone, deadline: float, *, is_stale: bool
    ) -> None:
        """Any unit, step by step; reports to `done`."""
        alone = len(unit) == 1 and self._transactions.block is None
        try:
            result: list[Outcome] | RouterError = await self._units.run(
                unit, deadline, is_stale=is_stale
            )
        except RouterError as exc:
            result = exc
        except asyncio.CancelledError:  # by `cancel`, while nothing was written (Shards.write)
            result = canceled()
        except Exception as exc:
            # A bug here must not leave a client waiting; what it did before cannot be told.
            done(OutcomeUnknown(f"internal error: {exc!r}", sqlstate="XX000"))
            raise
        self._cancel_running = None
        self._answer(done, result, alone=alone)
