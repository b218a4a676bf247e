"""One client's session: prepares statements, executes units of commit, keeps settings.

It carries commands to shards and schema changes to the schema, and their answers back. It knows
nothing of wires: the PostgreSQL server and the embedded API use it alike.

The hot path (one statement that one shard answers) is callbacks from `execute_unit` to `done`;
whatever takes several steps (a scatter, a schema change, a catalog that turned out stale) is a
coroutine in a task that the backend keeps. The deadline is made at the entrance and only
passed down.

Staleness: a plan relies on a version of its table and on who owns its slots, and its command
carries both as guards. A shard that knows better answers Stale, which is definite: the catalog
is read again, the text planned again and the command sent anew under the same deadline.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal, TypeAlias
from weakref import WeakSet

from msgspec import structs

from nodes.protocol import Consistency, Done, Guard, Staged, Stale, Statement, Value
from shardrouter import merge, types
from shardrouter.catalog import Catalog, Table
from shardrouter.catalogs.asking import Asker, Catalogs
from shardrouter.copy_in import CopyIn
from shardrouter.enumerations import UnknownLabel
from shardrouter.errors import (
    DeadlineExceeded,
    NotSupported,
    OutcomeUnknown,
    RouterError,
    StatementError,
    Unavailable,
)
from shardrouter.exceptions import UndefinedTableError
from shardrouter.execution import (
    Execution,
    Notice,
    Outcome,
    Prepared,
    changes_search_path,
    command_of,
    copy_command,
    is_current,
    outcome_of,
    rows_outcome,
    scatter_commands,
)
from shardrouter.explained import explain
from shardrouter.large_writes import write_statements
from shardrouter.plan import UnknownTable, bind, parameter_oids, result_columns, value_of
from shardrouter.plan_cache import PlanCache
from shardrouter.planned import (
    Answer,
    Begin,
    CatalogQuery,
    CloseCursor,
    CopyFrom,
    Deallocate,
    DeclareCursor,
    EndBlock,
    ExecuteStatement,
    FetchRows,
    Modes,
    OneShard,
    Pause,
    Plan,
    PrepareStatement,
    ResultColumn,
    SavepointStep,
    Scatter,
    SchemaChange,
    SequenceCall,
    SetSetting,
    ShowColumns,
    ShowSetting,
    ShowTables,
    TransactionControl,
)
from shardrouter.role_statements import RoleStatement
from shardrouter.role_store import EMBEDDED, RoleStore
from shardrouter.roles import Role
from shardrouter.row_stream import RowStream
from shardrouter.schema import Schema
from shardrouter.session_sequences import SessionSequences
from shardrouter.settings import Settings
from shardrouter.shards import Outcome as ShardOutcome
from shardrouter.shards import Shards, Streamed, is_large
from shardrouter.sql_cursors import no_such_cursor
from shardrouter.statement_log import StatementLog
from shardrouter.statement_names import STATEMENTS_MAX, no_such_statement
from shardrouter.tasks import Tasks
from shardrouter.transactions import (
    Transactions,
    in_failed_block,
    read_only_error,
    set_outside,
    setting_tag,
)
from shardrouter.upload import Upload
from shardrouter.verdicts import canceled

__all__ = ["Prepared", "Execution", "Outcome", "Backend", "Session"]

REPLANS_MAX: Final = 50
"""How often a unit is planned again because a shard says that its catalog is stale."""

UnitDone: TypeAlias = Callable[[list[Outcome] | RouterError], None]

SCATTER_NOTICES: Final[dict[Consistency, str]] = {
    "linearizable": "rows of several shards: each shard is read linearizably, but the shards are "
    "not read at one instant (said once per session)",
    "any": "rows of several shards: each shard is read as some replica has it, and not at one "
    "instant (said once per session)",
}


@dataclass(frozen=True)
class Backend:
    """What all sessions of a router share."""

    shards: Shards
    schema: Schema
    tasks: Tasks
    plans: PlanCache
    roles: RoleStore
    catalogs: Catalogs
    statement_log: StatementLog | None = None


class Session:
    """Used from one event loop. Units of one session may overlap, if it is `shared` and takes no
    transaction blocks; the settings that a unit changes are those it began with, so a client that
    wants order waits for `done`."""

    def __init__(self, backend: Backend, role: Role = EMBEDDED, *, shared: bool = False) -> None:
        self._shared = shared
        self._role = role
        self._roles = backend.roles
        self._catalogs = backend.catalogs
        self._loop = asyncio.get_running_loop()
        self.shards = backend.shards
        self.schema = backend.schema
        self._tasks = backend.tasks
        self._plans = backend.plans
        self._statement_log = backend.statement_log
        self.settings = Settings(
            facts={
                "session_authorization": role.name,
                "is_superuser": "on" if role.is_superuser else "off",
            }
        )
        self.pid = os.getpid()
        """What pg_backend_pid() answers: of a client, the number that it may be cancelled by."""
        self._warned: set[Consistency] = set()  # of what a scatter is not
        self._closed = False
        self._cancel_running: Callable[[], object] | None = None
        self._copies: set[CopyIn] = set()  # under way
        self._streams: WeakSet[RowStream] = WeakSet()
        self._transactions = Transactions(self)
        self.statements: dict[str, Prepared] = {}
        """By the name that PREPARE, or the client's protocol, has given them."""
        self.sequences = SessionSequences(backend.schema.sequences)

    # ------------------------------------------------------------------ settings

    def setting(self, name: str) -> str:
        """The value of a setting. Raises StatementError 42704."""
        return self.settings.get(name)

    def parameter_status(self) -> list[tuple[str, str]]:
        """The settings a client is told of when it connects."""
        return list(self.settings.announced())

    @property
    def status(self) -> Literal["I", "T", "E"]:
        """Idle, in a transaction block, or in one that has failed."""
        block = self._transactions.block
        return "I" if block is None else block.status

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
        if self._shared:
            raise _shared_session()
        self._transactions.open_unit()

    @property
    def has_unit(self) -> bool:
        """Whether such a unit is open."""
        block = self._transactions.block
        return block is not None and block.implicit

    async def close_unit(self) -> None:
        """Its end. Raises RouterError, and then nothing of it has happened."""
        deadline = self._loop.time() + self.settings.statement_timeout_s
        await self._transactions.close_unit(deadline)

    @property
    def idle_timeout_s(self) -> float:
        """How long the client may say nothing, as it stands now; 0: for ever."""
        settings = self.settings
        if self._transactions.block is None:
            return settings.idle_session_s
        return settings.idle_in_transaction_s

    def wants(self, severity: str) -> bool:
        """Whether the client wants to hear notices of this severity."""
        return self.settings.wants(severity)

    def rebase_settings(self) -> None:
        """What was set so far is what RESET goes back to."""
        self.settings = self.settings.rebased()

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more units."""
        return self._closed

    async def close(self) -> None:
        """Take no more units. Running ones end by themselves, at the latest by their deadline
        or when the router is closed. Of a transaction block nothing remains."""
        self._closed = True
        for copy in list(self._copies):
            copy.abandon()
        for stream in list(self._streams):
            stream.close()
        self._transactions.abandon()

    # ------------------------------------------------------------------ prepare

    def prepared(self, text: str, parameter_oids: tuple[int, ...] = ()) -> Prepared | None:
        """The statement, if it has been prepared under the present catalog."""
        found = self._plans_now.get(
            text, parameter_oids, self.schema_now, self.settings.search_path
        )
        if found is not None and isinstance(found.plan, FetchRows | ExecuteStatement):
            return None  # what it answers is known by `prepare`
        return found

    async def prepare(self, text: str, parameter_oids: tuple[int, ...] = ()) -> Prepared:
        """Parse and plan one statement. Raises RouterError.

        What this router does not know, or knows otherwise, may be newer than its catalog: the
        catalog is read again before the statement is refused for it.
        """
        deadline = self._loop.time() + self.settings.statement_timeout_s
        try:
            prepared = await self._prepare(text, parameter_oids, deadline)
            if self.status != "E":
                prepared = await self._of_session(prepared, deadline)
        except RouterError as exc:
            if self._statement_log is not None:
                self._statement_log.refused(self._role.name, text, exc)
            if self.status != "E" or exc.sqlstate == "42601":
                raise
            raise in_failed_block() from exc
        if self.status != "E":
            return prepared
        if not isinstance(prepared.plan, EndBlock | SavepointStep):
            raise in_failed_block()
        return prepared

    async def _prepare(self, text: str, oids: tuple[int, ...], deadline: float) -> Prepared:
        catalog = self.catalog
        prepared = self._plans_now.get(text, oids, catalog, catalog.search_path)
        if prepared is not None:
            return prepared
        try:
            return await self._plan(text, oids, catalog)
        except UnknownTable:
            await self._look_again(deadline)
        except StatementError as exc:
            is_newer = exc.sqlstate.startswith("42") and exc.sqlstate != "42601"
            if not is_newer and not isinstance(exc, UnknownLabel):
                raise
            try:
                await self._look_again(deadline)
            except (Unavailable, DeadlineExceeded):  # no news: what the statement met stands
                raise exc from None
            if self.catalog.version == catalog.version:
                raise
        return await self._plan(text, oids, self.catalog)

    async def _plan(self, text: str, oids: tuple[int, ...], catalog: Catalog) -> Prepared:
        return await self._plans_now.make(text, oids, catalog, self._role.name)

    @property
    def _plans_now(self) -> PlanCache:
        """For the catalog as it is now."""
        return self._transactions.plans or self._plans

    async def _look_again(self, deadline: float) -> None:
        """Something is unknown, or not as it should be: read the catalog."""
        await self.schema.committed(deadline)
        self._transactions.rebase()

    async def _of_session(self, prepared: Prepared, deadline: float) -> Prepared:
        """With what only the session knows: what a cursor answers, and what EXECUTE names."""
        plan = prepared.plan
        if isinstance(plan, FetchRows) and not plan.moves:
            return replace(prepared, columns=self.cursor_columns(plan.name))
        if isinstance(plan, ExecuteStatement):
            return await self._bound(plan, deadline)
        return prepared

    def cursor_columns(self, name: str) -> tuple[ResultColumn, ...]:
        """Of what a cursor of DECLARE answers. Raises StatementError 34000."""
        return self._transactions.cursors.columns(name)

    async def _bound(self, plan: ExecuteStatement, deadline: float) -> Prepared:
        """What EXECUTE names, with the arguments that it gives."""
        prepared = self.statements.get(plan.name)
        if prepared is None:
            raise no_such_statement(plan.name)
        oids = prepared.parameter_oids
        if len(oids) != len(plan.arguments):
            raise StatementError(
                f'wrong number of parameters for prepared statement "{plan.name}"',
                sqlstate="42601",
                detail=f"Expected {len(oids)} parameters but got {len(plan.arguments)}.",
            )
        if not oids:
            return replace(prepared, bound=())
        casts = [
            f"({argument})::{types.by_oid(oid).name}"
            for argument, oid in zip(plan.arguments, oids, strict=True)
        ]
        arguments = (await self._prepare(f"SELECT {', '.join(casts)}", (), deadline)).plan
        if not isinstance(arguments, Answer):
            raise NotSupported(
                "EXECUTE with arguments that are no constants is not supported",
                hint="Write the values, or prepare through the extended query protocol.",
            )
        return replace(prepared, bound=arguments.rows[0])

    @property
    def catalog(self) -> Catalog:
        """As this router knows it, as the open block has changed it, and as this session looks for
        names in it."""
        return self.schema_now.searched(self.settings.search_path)

    @property
    def schema_now(self) -> Catalog:
        """The same, wherever names are looked for."""
        block = self._transactions.block
        if block is not None and block.draft is not None:
            return block.draft.catalog
        return self.schema.catalog

    async def catch_up(self, deadline: float, attempt: int) -> None:
        """A shard knows a newer catalog: read it."""
        await self.schema.catch_up(deadline, attempt)

    async def run_locally(self, execution: Execution, deadline: float) -> Outcome:
        """A statement that needs no shard, but no change of a setting."""
        if isinstance(execution.prepared.plan, ShowTables | ShowColumns):
            await self._look_again(deadline)
        await self._pause(execution, deadline)
        if isinstance(execution.prepared.plan, SequenceCall):
            return await self._call_sequence(execution, deadline)
        _, outcome = self._local(execution, self.settings, self.catalog)
        return outcome

    async def ask_catalogs(
        self, execution: Execution, settings: Settings, deadline: float
    ) -> tuple[Outcome, tuple[SetSetting, ...]]:
        """A query of the system catalogs: its outcome, and the settings that it sets."""
        plan = execution.prepared.plan
        assert isinstance(plan, CatalogQuery)
        asker = Asker(self._role, settings, self.pid)
        answered = await self._catalogs.run(
            plan, bind(plan, execution.arguments), asker, execution.formats, deadline
        )
        count = len(answered.rows)
        tag = f"SELECT {count}" if plan.tag == "SELECT" else plan.tag
        sets = tuple(SetSetting(name, value, local) for name, value, local in answered.changes)
        return rows_outcome(tag, execution, answered.rows, plan.columns), sets

    async def current(self, execution: Execution, deadline: float) -> Execution:
        """The execution, planned again if its table has changed since it was prepared."""
        prepared = execution.prepared
        if self._is_current(prepared):
            return await self._drawn(execution, deadline)
        fresh = await self._prepare(prepared.text, prepared.parameter_oids, deadline)
        if fresh.columns != prepared.columns or fresh.parameter_oids != prepared.parameter_oids:
            raise NotSupported(
                "cached plan must not change result type",
                detail="The table was created anew since the statement was prepared.",
                hint="Prepare the statement again.",
            )
        return await self._drawn(structs.replace(execution, prepared=fresh, drawn=()), deadline)

    def _is_current(self, prepared: Prepared) -> bool:
        """Whether it still means what it meant when it was prepared."""
        return prepared.search_path == self.settings.search_path and is_current(
            prepared.plan, self.schema_now
        )

    async def _drawn(self, execution: Execution, deadline: float) -> Execution:
        """With the numbers of sequences that it needs."""
        try:
            return await self.sequences.fill(execution, self.catalog, deadline)
        except UndefinedTableError:  # or is another one since another router has altered it
            await self._look_again(deadline)
            return await self.sequences.fill(execution, self.catalog, deadline)

    async def _call_sequence(self, execution: Execution, deadline: float) -> Outcome:
        plan = execution.prepared.plan
        assert isinstance(plan, SequenceCall)
        if plan.sequence not in self.catalog.sequences:
            await self._look_again(deadline)
        try:
            value = await self.sequences.call(plan, self.catalog, deadline)
        except UndefinedTableError:
            await self._look_again(deadline)
            value = await self.sequences.call(plan, self.catalog, deadline)
        return rows_outcome("SELECT 1", execution, [(value,)], plan.columns)

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
        A unit with a write has to be on one shard. Time: `timeout_s`, else statement_timeout.
        """
        self._cancel_running = None
        if self._statement_log is not None:
            done = self._statement_log.watch(self._role.name, unit, done)
        if timeout_s is None:
            timeout_s = self.settings.statement_timeout_s
        deadline = self._loop.time() + timeout_s
        if self._closed:
            self._loop.call_soon(done, Unavailable("the session is closed", sqlstate="57P01"))
        elif (
            len(unit) == 1
            and type(unit[0].prepared.plan) is OneShard
            and self._transactions.block is None
        ):
            self._execute_one(unit[0], done, deadline)
        else:
            self._start(list(unit), done, deadline, is_stale=False)

    def _answer(self, done: UnitDone, result: list[Outcome] | RouterError) -> None:
        """With what the catalog knows of the constraint that refused a row."""
        if isinstance(result, RouterError) and result.violation is not None:
            result = explain(result, self.catalog)
        done(result)

    def cancel(self) -> None:
        """End early what was executed last: a read answers 57014 at once; a write when it is
        known not to happen, else what became of it, in a second at most (DESIGN section 8).
        A schema change is not ended."""
        if self._cancel_running is not None:
            self._cancel_running()

    def _start(
        self, unit: list[Execution], done: UnitDone, deadline: float, *, is_stale: bool
    ) -> None:
        task = self._tasks.start(self._execute(unit, done, deadline, is_stale=is_stale))
        if not any(isinstance(e.prepared.plan, SchemaChange) for e in unit):
            # Not before it has begun: a task that has not runs none of its code any more.
            self._cancel_running = partial(self._loop.call_soon, task.cancel)

    def _execute_one(self, execution: Execution, done: UnitDone, deadline: float) -> None:
        """The hot path: one statement, one shard, no task."""
        plan = execution.prepared.plan
        assert type(plan) is OneShard
        catalog = self.schema_now
        if not self._is_current(execution.prepared):
            self._start([execution], done, deadline, is_stale=False)
            return
        try:
            if plan.is_write and self.settings.read_only:
                raise read_only_error(plan)
            if plan.draws:
                drawn = self.sequences.at_once(execution, catalog)
                if drawn is None:
                    self._start([execution], done, deadline, is_stale=False)
                    return
                execution = drawn
            command = command_of(plan, execution, catalog)
        except RouterError as exc:
            self._loop.call_soon(done, exc)
            return
        if plan.is_write and is_large(command.statement):
            self._start([execution], done, deadline, is_stale=False)
            return

        is_over = False

        def settled(answer: ShardOutcome | Streamed | None) -> None:
            nonlocal is_over
            if is_over:  # it was cancelled
                if isinstance(answer, Streamed):
                    answer.stream.close()
                return
            is_over = True
            self._cancel_running = None
            if type(answer) is Done:
                done([outcome_of(plan, execution, answer.results[0])])
            elif isinstance(answer, Streamed):
                done([self._streamed(plan, execution, answer)])
            elif isinstance(answer, RouterError):
                self._answer(done, answer)
            elif answer is None:
                done(canceled())
            else:
                self._start([execution], done, deadline, is_stale=True)

        statements = (command.statement,)
        if plan.is_write:
            self._cancel_running = self.shards.submit_write(
                command.shard, statements, command.guards, (), plan.quick, deadline, settled
            )
        elif execution.stream and not plan.quick:
            self._cancel_running = partial(settled, None)
            self.shards.submit_stream(
                command.shard,
                command.statement,
                command.guards,
                deadline,
                settled,
                self.settings.consistency,
            )
        else:
            self._cancel_running = partial(settled, None)
            self.shards.submit_read(
                command.shard,
                statements,
                command.guards,
                plan.quick,
                deadline,
                settled,
                self.settings.consistency,
            )

    async def _execute(
        self, unit: list[Execution], done: UnitDone, deadline: float, *, is_stale: bool
    ) -> None:
        """Any unit, step by step; reports to `done`."""
        try:
            result: list[Outcome] | RouterError = await self._in_blocks(
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
        self._answer(done, result)

    async def _in_blocks(
        self, unit: list[Execution], deadline: float, *, is_stale: bool
    ) -> list[Outcome]:
        """The unit in pieces: statements of a transaction block one by one, and what is between
        blocks as units of their own. BEGIN among statements makes those before it part of the
        block, as in PostgreSQL; a COMMIT without it ends their unit, a ROLLBACK undoes it."""
        transactions = self._transactions
        outcomes: list[Outcome] = []
        while len(outcomes) < len(unit):
            start = len(outcomes)
            if transactions.block is not None:
                with _Failing(start):
                    outcomes.append(await transactions.run(unit[start], deadline))
                continue
            end = next(
                (
                    ordinal
                    for ordinal in range(start, len(unit))
                    if isinstance(unit[ordinal].prepared.plan, TransactionControl)
                ),
                len(unit),
            )
            control = unit[end].prepared.plan if end < len(unit) else None
            assert control is None or isinstance(control, TransactionControl)
            if self._shared and control is not None:
                raise _shared_session()
            if end == start and control is not None:
                with _Failing(start):
                    outcomes.append(transactions.control_idle(control))
            elif control is None or control == EndBlock(commit=True, chain=False):
                piece = unit[start:end]
                if len(piece) > 1 and any(_changes_schema(each) for each in piece):
                    outcomes += await self._as_unit(piece, start, deadline)
                    continue
                with _FailingFrom(start):
                    outcomes += await self._until_current(piece, deadline, is_stale=is_stale)
            else:
                transactions.begin(Modes())
                try:
                    for ordinal in range(start, end):
                        with _Failing(ordinal):
                            outcomes.append(await transactions.run(unit[ordinal], deadline))
                    if isinstance(control, Begin):
                        with _Failing(end):
                            outcomes.append(transactions.begin_here(control))
                except BaseException:
                    transactions.abandon()
                    raise
                if not isinstance(control, Begin):
                    transactions.abandon()  # by ROLLBACK, or what fails outside of a block
        return outcomes

    async def _as_unit(self, piece: list[Execution], start: int, deadline: float) -> list[Outcome]:
        """Statements that change the schema among them, one by one, and all of them or none."""
        self.open_unit()
        outcomes: list[Outcome] = []
        try:
            for ordinal, execution in enumerate(piece, start):
                with _Failing(ordinal):
                    outcomes.append(await self._transactions.run(execution, deadline))
            with _Failing(start + len(piece) - 1):
                await self._transactions.close_unit(deadline)
        except BaseException:
            self._transactions.abandon()
            raise
        return outcomes

    async def _until_current(
        self, unit: list[Execution], deadline: float, *, is_stale: bool
    ) -> list[Outcome]:
        for attempt in range(REPLANS_MAX):
            if is_stale:
                await self.schema.catch_up(deadline, attempt)
            outcomes = await self._attempt(unit, deadline)
            if outcomes is not None:
                return outcomes
            is_stale = True
        raise _being_changed()

    async def _attempt(self, unit: list[Execution], deadline: float) -> list[Outcome] | None:
        """Execute the unit under the present catalog; None if a shard says that it is stale."""
        plans: list[Plan] = []
        for ordinal, execution in enumerate(unit):
            with _Failing(ordinal):
                unit[ordinal] = await self.current(execution, deadline)
                plans.append(unit[ordinal].prepared.plan)
        for ordinal, plan in enumerate(plans[:-1]):
            if changes_search_path(plan):
                with _Failing(ordinal + 1):
                    raise _searched_elsewhere()
        if self.settings.read_only:
            for ordinal, plan in enumerate(plans):
                with _Failing(ordinal):
                    if isinstance(plan, SchemaChange) or (
                        isinstance(plan, OneShard) and plan.is_write
                    ):
                        raise read_only_error(plan)
        if len(plans) == 1 and isinstance(plans[0], SchemaChange):
            return await self._change_schema(plans[0], deadline)
        if any(isinstance(plan, OneShard) and plan.is_write for plan in plans):
            return await self._write(unit, deadline)
        return await self._read(unit, deadline)

    async def _change_schema(self, plan: SchemaChange, deadline: float) -> list[Outcome]:
        if isinstance(plan.definition, RoleStatement):
            said = await self._roles.change(plan.definition, self._role, deadline)
            return [Outcome(plan.tag, notices=said)]
        notices = await self.schema.change(
            plan.definition, self.settings.placement, deadline, self.settings.search_path
        )
        return [Outcome(plan.tag, notices=notices)]

    # ------------------------------------------------------------------ units with a write

    async def _write(self, unit: list[Execution], deadline: float) -> list[Outcome] | None:
        """All statements as one command of one shard."""
        catalog = self.catalog
        settings = self.settings
        outcomes: list[Outcome] = []
        statements: list[Statement] = []
        guards: dict[Guard, None] = {}
        ordinals: list[int] = []  # of the unit, for each of `statements`
        shard = ""
        quick = True
        for ordinal, execution in enumerate(unit):
            plan = execution.prepared.plan
            with _Failing(ordinal):
                if isinstance(plan, OneShard):
                    command = command_of(plan, execution, catalog)
                    if shard not in ("", command.shard):
                        raise _several_shards()
                    shard = command.shard
                    statements.append(command.statement)
                    guards.update(dict.fromkeys(command.guards))
                    ordinals.append(ordinal)
                    quick = quick and plan.quick
                    outcomes.append(Outcome(""))  # its place
                elif isinstance(plan, Scatter):
                    raise _several_shards()
                elif isinstance(plan, SequenceCall):
                    outcomes.append(await self._call_sequence(execution, deadline))
                elif isinstance(plan, CatalogQuery):
                    settings, outcome = await self._asked(execution, settings, deadline)
                    outcomes.append(outcome)
                else:
                    await self._pause(execution, deadline)
                    settings, outcome = self._local(execution, settings, self.catalog)
                    outcomes.append(outcome)
        try:
            answer = await write_statements(
                self.shards,
                shard,
                statements,
                tuple(guards),
                bounded=quick,
                deadline=deadline,
                timeout_s=settings.statement_timeout_s,
            )
        except RouterError as exc:
            exc.statement = ordinals[exc.statement]
            raise
        if isinstance(answer, Stale):
            return None
        for ordinal, result in zip(ordinals, answer.results, strict=True):
            plan = unit[ordinal].prepared.plan
            assert isinstance(plan, OneShard)
            outcomes[ordinal] = outcome_of(plan, unit[ordinal], result)
        self.settings = settings
        return outcomes

    # ------------------------------------------------------------------ COPY FROM

    def copy_in(self, prepared: Prepared) -> CopyIn:
        """Begin what `prepared`, a COPY FROM STDIN, says. Raises RouterError.

        statement_timeout holds for each piece of it that is on its way, and for the last step,
        which has more the more there is to apply: how long the client takes is its business."""
        plan = prepared.plan
        assert isinstance(plan, CopyFrom)
        if self._closed:
            raise Unavailable("the session is closed", sqlstate="57P01")
        timeout_s = self.settings.statement_timeout_s
        if self.settings.read_only:
            raise read_only_error(plan)
        if self._statement_log is not None:
            self._statement_log.copied(self._role.name, prepared.text)
        upload = Upload(self.shards, plan.shard, timeout_s)
        commit = partial(self._commit_copy, prepared, upload, timeout_s)
        copy = CopyIn(plan, upload, commit, self._copies.discard, partial(self._numbers, plan))
        self._copies.add(copy)
        return copy

    async def _numbers(self, plan: CopyFrom, count: int) -> list[tuple[int, ...]]:
        deadline = self._loop.time() + self.settings.statement_timeout_s
        return await self.sequences.for_rows(plan.insert.draws, count, self.catalog, deadline)

    async def _commit_copy(
        self, prepared: Prepared, upload: Upload, timeout_s: float, staged: Staged
    ) -> bool:
        """Write the rows that were sent ahead, exactly once; in a transaction block they are
        written with the block, and True says that they are needed until then. Raises
        RouterError."""
        plan = prepared.plan
        assert isinstance(plan, CopyFrom)
        deadline = self._loop.time() + timeout_s + upload.apply_s
        for attempt in range(REPLANS_MAX):
            command = copy_command(plan, staged, self.catalog)
            if self._transactions.block is not None:
                await self._transactions.copy(command, upload, deadline)
                return True
            answer = await self.shards.write(
                command.shard, (command.statement,), command.guards, bounded=True, deadline=deadline
            )
            if not isinstance(answer, Stale):
                return False
            await self.schema.catch_up(deadline, attempt)
            fresh = (await self._prepare(prepared.text, (), deadline)).plan
            if (
                not isinstance(fresh, CopyFrom)
                or fresh.columns != plan.columns
                or fresh.shard != plan.shard
            ):
                raise NotSupported(
                    f'table "{plan.table}" was changed while rows were copied into it',
                    hint="Repeat the COPY.",
                )
            plan = fresh
        raise _being_changed()

    # ------------------------------------------------------------------ units of reads

    async def _read(self, unit: list[Execution], deadline: float) -> list[Outcome] | None:
        """One statement after the other; they change nothing but settings."""
        settings = self.settings
        outcomes: list[Outcome] = []
        for ordinal, execution in enumerate(unit):
            plan = execution.prepared.plan
            with _Failing(ordinal):
                outcome: Outcome | None
                if isinstance(plan, OneShard):
                    outcome = await self._read_one(plan, execution, deadline, settings.consistency)
                elif isinstance(plan, Scatter):
                    outcome = await self._scatter(plan, execution, deadline, settings.consistency)
                elif isinstance(plan, SequenceCall):
                    outcome = await self._call_sequence(execution, deadline)
                elif isinstance(plan, CatalogQuery):
                    settings, outcome = await self._asked(execution, settings, deadline)
                else:
                    if isinstance(plan, ShowTables | ShowColumns):
                        await self._look_again(deadline)
                    await self._pause(execution, deadline)
                    settings, outcome = self._local(execution, settings, self.catalog)
            if outcome is None:
                return None
            outcomes.append(outcome)
        self.settings = settings
        return outcomes

    def keep(self, stream: RowStream) -> None:
        """It ends with the session, at the latest."""
        self._streams.add(stream)
        if self._closed:
            stream.close()

    def _streamed(self, plan: OneShard, execution: Execution, answer: Streamed) -> Outcome:
        """The first of many rows; who takes them sees to the rest, or the end of the session."""
        self.keep(answer.stream)
        return structs.replace(outcome_of(plan, execution, answer.result), more=answer.stream)

    async def _read_one(
        self, plan: OneShard, execution: Execution, deadline: float, consistency: Consistency
    ) -> Outcome | None:
        command = command_of(plan, execution, self.catalog)
        answer: Done | Stale | Streamed
        if execution.stream and not plan.quick:
            answer = await self.shards.stream(
                command.shard, command.statement, command.guards, deadline, consistency
            )
        else:
            answer = await self.shards.read(
                command.shard,
                (command.statement,),
                command.guards,
                quick=plan.quick,
                deadline=deadline,
                consistency=consistency,
            )
        if isinstance(answer, Streamed):
            return self._streamed(plan, execution, answer)
        if isinstance(answer, Stale):
            return None
        return outcome_of(plan, execution, answer.results[0])

    async def _scatter(
        self, plan: Scatter, execution: Execution, deadline: float, consistency: Consistency
    ) -> Outcome | None:
        """Ask every shard that may have rows, merge their answers."""
        arguments, commands = scatter_commands(plan, execution, self.catalog)
        answers = await asyncio.gather(
            *(
                self.shards.read(
                    c.shard, (c.statement,), c.guards, deadline=deadline, consistency=consistency
                )
                for c in commands
            ),
            return_exceptions=True,  # all reads end before this does
        )
        rows: list[Sequence[tuple[Value, ...]]] = []
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            if isinstance(answer, Stale):
                return None
            rows.append(answer.results[0].values)
        merged = merge.merge_rows(plan, rows, arguments)
        notices: tuple[Notice, ...] = ()
        if len(commands) > 1 and consistency not in self._warned:
            self._warned.add(consistency)
            notices = (Notice(SCATTER_NOTICES[consistency]),)
        return rows_outcome(f"SELECT {len(merged)}", execution, merged, plan.columns, notices)

    # ------------------------------------------------------------------ prepared statements

    def _prepare_name(self, plan: PrepareStatement) -> Outcome:
        if plan.name in self.statements:
            raise StatementError(
                f'prepared statement "{plan.name}" already exists', sqlstate="42P05"
            )
        if len(self.statements) >= STATEMENTS_MAX:
            raise StatementError(
                f"a session may hold {STATEMENTS_MAX} prepared statements",
                sqlstate="54000",
                hint="DEALLOCATE some of them.",
            )
        inner = plan.plan
        self.statements[plan.name] = Prepared(
            plan.query,
            inner,
            parameter_oids(inner),
            result_columns(inner),
            self.settings.search_path,
        )
        return Outcome("PREPARE")

    def _deallocate(self, name: str) -> Outcome:
        if not name:
            self.statements.clear()
            return Outcome("DEALLOCATE ALL")
        if self.statements.pop(name, None) is None:
            raise no_such_statement(name)
        return Outcome("DEALLOCATE")

    async def _asked(
        self, execution: Execution, settings: Settings, deadline: float
    ) -> tuple[Settings, Outcome]:
        """The same outside of a transaction block: the settings after it, and its outcome."""
        outcome, sets = await self.ask_catalogs(execution, settings, deadline)
        after = settings
        for change in sets:
            if not change.is_local:  # that is over with the statement
                after, _ = set_outside(after, change)
        if after is not settings:
            outcome = structs.replace(outcome, parameter_status=after.announced_since(settings))
        return after, outcome

    # ------------------------------------------------------------------ without a shard

    async def _pause(self, execution: Execution, deadline: float) -> None:
        """If the statement asks for a pause, take it; 57014 at the deadline."""
        plan = execution.prepared.plan
        if not isinstance(plan, Pause):
            return
        seconds = value_of(plan.seconds, bind(plan, execution.arguments))
        if not isinstance(seconds, float) or seconds <= 0 or math.isnan(seconds):
            return
        left = deadline - self._loop.time()
        await asyncio.sleep(min(seconds, max(left, 0.0)))
        if seconds > left:
            raise DeadlineExceeded("canceling statement due to statement timeout")

    def _local(
        self, execution: Execution, settings: Settings, catalog: Catalog
    ) -> tuple[Settings, Outcome]:
        """A statement that needs no shard: the settings after it, and its outcome."""
        plan = execution.prepared.plan
        columns = execution.prepared.columns
        match plan:
            case PrepareStatement():
                return settings, self._prepare_name(plan)
            case Deallocate(name=name):
                return settings, self._deallocate(name)
            case CloseCursor():
                return settings, self._transactions.close_cursor(plan)
            case FetchRows(name=name):
                raise no_such_cursor(name)
            case DeclareCursor():
                raise StatementError(
                    "DECLARE CURSOR can only be used in transaction blocks", sqlstate="25P01"
                )
            case SetSetting():
                if plan.discards:
                    self.statements.clear()
                after, notices = set_outside(settings, plan)
                return after, Outcome(
                    setting_tag(plan),
                    notices=notices,
                    parameter_status=after.announced_since(settings),
                )
            case Pause(seconds=seconds):
                is_null = value_of(seconds, execution.arguments) is None
                row = (None,) if is_null else ("",)
                return settings, rows_outcome("SELECT 1", execution, [row], columns)
            case ShowSetting(name=name):
                return settings, rows_outcome("SHOW", execution, [(settings.get(name),)], columns)
            case Answer(tag=tag, rows=rows):
                for name in plan.tables:
                    if catalog.table(name) is None:
                        raise UnknownTable(name)
                tag = f"SELECT {len(rows)}" if tag == "SELECT" else tag
                return settings, rows_outcome(tag, execution, rows, columns)
            case ShowTables():
                tables = [
                    (table.relname, table.shard_key, len(table.columns))
                    for _, table in sorted(catalog.tables.items())
                ]
                return settings, rows_outcome("SHOW", execution, tables, columns)
            case ShowColumns(table=name):
                table = catalog.table(name)
                if table is None:
                    raise UnknownTable(name)
                described = [
                    (column.name, column.type, not column.not_null, _role(table, column.name))
                    for column in table.columns
                ]
                return settings, rows_outcome("SHOW", execution, described, columns)
            case _:
                raise AssertionError(f"{type(plan).__name__} needs shards")


def _changes_schema(execution: Execution) -> bool:
    return isinstance(execution.prepared.plan, SchemaChange)


class _FailingFrom:
    """Errors raised inside count their statement from another one of the unit."""

    __slots__ = ("_start",)

    def __init__(self, start: int) -> None:
        self._start = start

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, RouterError):
            error.statement += self._start


class _Failing:
    """Errors raised inside carry the ordinal of the statement that failed."""

    __slots__ = ("_ordinal",)

    def __init__(self, ordinal: int) -> None:
        self._ordinal = ordinal

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, RouterError):
            error.statement = self._ordinal


def _searched_elsewhere() -> NotSupported:
    return NotSupported(
        "a statement in one unit of commit with a change of search_path before it is not supported",
        hint="Send SET search_path alone, with a Sync behind it.",
    )


def _being_changed() -> Unavailable:
    return Unavailable(
        "the tables of the statement are being changed",
        hint="Repeat it when the schema change is over.",
    )


def _shared_session() -> NotSupported:
    return NotSupported(
        "BEGIN and COMMIT, and CREATE beside other statements, need a connection of their own",
        hint="Use `async with router.transaction()`, or a connection from `router.acquire()`.",
    )


def _several_shards() -> NotSupported:
    return NotSupported(
        "a unit of commit that writes and spans several shards is not supported",
        hint="Send the statements one by one, or together only those with shard-key values of "
        "one shard; `shardrouter where TABLE KEY` tells the shard.",
    )


def _role(table: Table, column: str) -> str:
    """What a column is for, as SHOW COLUMNS says it."""
    roles = []
    if column == table.shard_key:
        roles.append("shard key")
    if column in table.primary_key:
        roles.append("primary key")
    return ", ".join(roles)
