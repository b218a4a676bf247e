"""The transaction block of one session: its statements one by one, and its end.

It carries what `shardrouter.block` decides: each statement to the leader of the block's shard,
which runs it without keeping it; the COMMIT into the log of that shard (docs/transactions.md).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from msgspec import structs

from nodes.protocol import (
    Defined,
    Guard,
    Lock,
    NotOpen,
    Ran,
    SqlFailure,
    Stale,
    Statement,
    StatementResult,
)
from nodes.stage_content import ITEM_BYTES_MAX
from shardrouter import definition_changes, merge
from shardrouter.block import (
    ASKED_BYTES_MAX,
    HELD_BYTES_MAX,
    Block,
    lock_of,
    serialization_failure,
    spans_shards,
    transaction_too_large,
)
from shardrouter.catalog import Catalog, home_guard
from shardrouter.definitions import (
    CreateIndex,
    CreateTableAs,
    Definition,
    DropIndex,
    DropTable,
    PlaceTable,
    Truncate,
    makes_temporary,
)
from shardrouter.draft import Draft, begin_draft, drafted, is_drafted, on_other_catalog
from shardrouter.errors import NotSupported, RouterError, StatementError, Unavailable
from shardrouter.execution import (
    Command,
    Execution,
    Notice,
    Outcome,
    Prepared,
    command_of,
    count_command,
    is_uncounted,
    outcome_of,
    rows_outcome,
    scatter_commands,
)
from shardrouter.explained import explain_change
from shardrouter.plan_cache import PlanCache
from shardrouter.planned import (
    Answer,
    Begin,
    CatalogQuery,
    CloseCursor,
    CopyFrom,
    DeclareCursor,
    EndBlock,
    FetchRows,
    Modes,
    OneShard,
    Plan,
    SavepointStep,
    Scatter,
    SchemaChange,
    SetModes,
    SetSetting,
    TransactionControl,
)
from shardrouter.role_statements import RoleStatement
from shardrouter.row_stream import RowStream
from shardrouter.schema import Schema
from shardrouter.schema_change import UNDONE
from shardrouter.session_sequences import SessionSequences
from shardrouter.settings import TRANSACTION_MODES, Settings
from shardrouter.shards import Shards, Stepped, is_large
from shardrouter.sql_cursors import SqlCursors
from shardrouter.syntax import Name
from shardrouter.tables import Change
from shardrouter.typed import quote
from shardrouter.upload import Upload
from shardrouter.verdicts import sql_error

__all__ = [
    "Host",
    "Transactions",
    "in_failed_block",
    "read_only_error",
    "set_outside",
    "setting_tag",
]

STEP_BYTES_MAX: Final = 1024 * 1024
"""Of a statement that is sent with its parameters."""

REPLANS_MAX: Final = 50
"""How often a statement is planned again because the shard says that its catalog is stale."""

_ID_BYTES: Final = 16

_Finish = Callable[[StatementResult], Outcome]


class Host(Protocol):
    """The session whose block it is."""

    settings: Settings

    @property
    def shards(self) -> Shards: ...

    @property
    def schema(self) -> Schema: ...

    @property
    def sequences(self) -> SessionSequences: ...

    @property
    def catalog(self) -> Catalog:
        """As statements see it now: with what the block has changed, if it has."""

    async def current(self, execution: Execution, deadline: float) -> Execution:
        """The execution, planned again if its tables have changed."""

    async def prepare(self, text: str, parameter_oids: tuple[int, ...] = ()) -> Prepared:
        """Parse and plan one statement."""

    async def catch_up(self, deadline: float, attempt: int) -> None:
        """A shard knows a newer catalog: read it."""

    async def temporary_schema(self, deadline: float) -> str:
        """Where the session's temporary tables are."""

    async def ask_catalogs(
        self, execution: Execution, settings: Settings, deadline: float
    ) -> tuple[Outcome, tuple[SetSetting, ...]]:
        """A query of the system catalogs, and the settings that it sets."""

    async def run_locally(self, execution: Execution, deadline: float) -> Outcome:
        """A statement that needs no shard."""

    def keep(self, stream: RowStream) -> None:
        """It ends with the session, at the latest."""


class Transactions:
    """The block, if one is open, and what changes it."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._turn = asyncio.Lock()  # one statement at a time
        self.block: Block | None = None
        self.cursors = SqlCursors()
        self._draft_plans = PlanCache()  # of a block that has changed the schema
        self._uploads: list[Upload] = []  # of what the block has sent ahead
        self._steps_ahead: Upload | None = None  # the one that has its steps

    @property
    def plans(self) -> PlanCache | None:
        """For the catalog as the block has changed it, if it has."""
        block = self.block
        return self._draft_plans if block is not None and block.draft is not None else None

    # ------------------------------------------------------------------ without a block

    def begin(self, modes: Modes, *, implicit: bool = False) -> None:
        """Open a block. Nothing is sent anywhere."""
        host = self._host
        block = Block(
            secrets.token_bytes(_ID_BYTES),
            time.time_ns() // 1000,
            secrets.randbits(63),
            host.settings,
        )
        settings = block.with_modes(host.settings, modes)
        for mode in TRANSACTION_MODES:  # whatever becomes of the defaults meanwhile
            settings = settings.with_value(mode, settings.get(mode))
        host.settings = settings
        block.modes = _modes_of(settings)
        block.implicit = implicit
        self.block = block

    def open_unit(self) -> None:
        """What comes now is a unit of commit, statement by statement, up to `close_unit`."""
        if self.block is None:
            self.begin(Modes(), implicit=True)

    async def close_unit(self, deadline: float) -> None:
        """The end of such a unit, unless one of its statements has ended it. Raises RouterError."""
        block = self.block
        if block is None or not block.implicit:
            return
        async with self._turn:
            await self._end(block, EndBlock(commit=True, chain=False), deadline)

    def begin_here(self, plan: Begin) -> Outcome:
        """BEGIN behind statements of the same unit, which are in the block already. Raises
        StatementError for modes that come too late for them."""
        assert self.block is not None
        self._host.settings = self.block.with_modes(self._host.settings, plan.modes)
        self.block.implicit = False
        return Outcome(plan.tag)

    def control_idle(self, plan: TransactionControl) -> Outcome:
        """Carry out what came outside of a block. Raises StatementError."""
        match plan:
            case Begin():
                self.begin(plan.modes)
                return Outcome(plan.tag)
            case EndBlock(chain=True):
                command = "COMMIT" if plan.commit else "ROLLBACK"
                raise _outside(f"{command} AND CHAIN can only be used in transaction blocks")
            case EndBlock():
                tag = "COMMIT" if plan.commit else "ROLLBACK"
                warning = _warning("there is no transaction in progress", "25P01")
                return Outcome(tag, notices=(warning,))
            case SavepointStep():
                before = {"savepoint": "", "rollback": "ROLLBACK TO ", "release": "RELEASE "}
                what = before[plan.what] + "SAVEPOINT"
                raise _outside(f"{what} can only be used in transaction blocks")
            case SetModes(for_session=True):
                return self._set_for_session(plan.modes)
            case SetModes():
                said = "SET TRANSACTION can only be used in transaction blocks"
                return Outcome("SET", notices=(_warning(said, "25P01"),))

    def _set_for_session(self, modes: Modes) -> Outcome:
        host = self._host
        before = host.settings
        for name, value in (
            ("isolation", modes.isolation),
            ("read_only", _word(modes.read_only)),
            ("deferrable", _word(modes.deferrable)),
        ):
            if value is not None:
                setting = f"default_transaction_{name}"
                host.settings = host.settings.with_value(setting, value)
                if self.block is not None:
                    self.block.kept = self.block.kept.with_value(setting, value)
        return Outcome("SET", parameter_status=host.settings.announced_since(before))

    def _set(self, block: Block, plan: SetSetting) -> Outcome:
        """SET, SET LOCAL or RESET in the block. Raises StatementError."""
        host = self._host
        before, name = host.settings, plan.name.lower()
        after = before.with_value(plan.name, plan.value)
        if not plan.is_local and name not in TRANSACTION_MODES:
            block.kept = block.kept.with_value(plan.name, plan.value)
        if name == "all":  # the transaction stays what it is
            for mode in TRANSACTION_MODES:
                after = after.with_value(mode, before.get(mode))
        host.settings = after
        tag = setting_tag(plan)
        return Outcome(tag, parameter_status=after.announced_since(before))

    # ------------------------------------------------------------------ in the block

    async def run(self, execution: Execution, deadline: float) -> Outcome:
        """A statement of the open block, after those that were asked before. Raises RouterError;
        then the block has failed, or is over."""
        async with self._turn:
            block = self.block
            if block is None:
                raise _outside("the transaction ended before the statement had its turn")
            return await self._run(block, execution, deadline)

    async def _run(self, block: Block, execution: Execution, deadline: float) -> Outcome:
        plan = execution.prepared.plan
        if isinstance(plan, EndBlock) and not block.implicit:
            return await self._end(block, plan, deadline)
        try:
            if block.implicit and isinstance(plan, Begin):
                return self.begin_here(plan)
            if block.implicit and isinstance(plan, EndBlock | SavepointStep):
                return await self._end_unit(block, plan, deadline)
            if isinstance(plan, SavepointStep) and plan.what == "rollback":
                return self._roll_back_to(block, plan.name)
            if block.failed:
                raise in_failed_block()
            if isinstance(plan, TransactionControl):
                return self._control(block, plan)
            return await self._statement(block, execution, deadline)
        except BaseException:
            block.failed = True
            raise

    async def _end_unit(
        self, block: Block, plan: EndBlock | SavepointStep, deadline: float
    ) -> Outcome:
        """What is for a block comes outside of one: COMMIT and ROLLBACK end the unit all the
        same."""
        said = self.control_idle(plan)  # or raises
        assert isinstance(plan, EndBlock)
        return structs.replace(await self._end(block, plan, deadline), notices=said.notices)

    def _control(self, block: Block, plan: TransactionControl) -> Outcome:
        host = self._host
        match plan:
            case Begin():
                warning = _warning("there is already a transaction in progress", "25001")
                host.settings = block.with_modes(host.settings, plan.modes)
                return Outcome(plan.tag, notices=(warning,))
            case SavepointStep(what="savepoint"):
                block.savepoint(plan.name, host.settings)
                return Outcome("SAVEPOINT")
            case SavepointStep():
                block.release(plan.name)
                self.cursors.released(block.depth)
                return Outcome("RELEASE")
            case SetModes(for_session=True):
                return self._set_for_session(plan.modes)
            case SetModes():
                host.settings = block.with_modes(host.settings, plan.modes)
                return Outcome("SET")
            case _:
                raise AssertionError(plan)

    def _roll_back_to(self, block: Block, name: str) -> Outcome:
        host = self._host
        before = host.settings
        host.settings = block.roll_back_to(name)
        self.cursors.rolled_back(block.depth)
        if block.draft is not None:
            block.draft = block.draft.at(host.schema.new_draft_version())
        return Outcome("ROLLBACK", parameter_status=host.settings.announced_since(before))

    async def _statement(self, block: Block, execution: Execution, deadline: float) -> Outcome:
        host = self._host
        for attempt in range(REPLANS_MAX):
            execution = await host.current(execution, deadline)
            plan = execution.prepared.plan
            if not isinstance(plan, OneShard | Scatter):
                if isinstance(plan, SchemaChange):
                    return await self._change_schema(block, plan, deadline)
                if isinstance(plan, SetSetting):
                    if plan.discards:
                        raise _not_in_a_block("DISCARD ALL")
                    return self._set(block, plan)
                if isinstance(plan, Answer) and plan.alone:
                    raise _not_in_a_block(plan.tag)
                if isinstance(plan, DeclareCursor):
                    return await self._declare(block, plan, execution, deadline)
                if isinstance(plan, FetchRows):
                    return await self.cursors.fetch(plan, execution)
                if isinstance(plan, CloseCursor):
                    return self.close_cursor(plan)
                if isinstance(plan, CatalogQuery):
                    outcome, sets = await host.ask_catalogs(execution, host.settings, deadline)
                    before = host.settings
                    for change in sets:
                        self._set(block, change)
                    told = host.settings.announced_since(before)
                    return structs.replace(outcome, parameter_status=told) if sets else outcome
                return await host.run_locally(execution, deadline)
            if is_uncounted(execution):
                counted = await self._counted(block, execution, deadline)
                if counted is None:
                    await self._catch_up(deadline, attempt)
                    continue
                execution = counted
            command, quick, finish = self._command(plan, execution)
            block.move_to(command.shard)
            lock = self._lock(plan, command)
            if is_large(command.statement, STEP_BYTES_MAX):
                statement = await self._parameters_ahead(block, command.statement)
                command = structs.replace(command, statement=statement)
            is_write = isinstance(plan, OneShard) and plan.is_write
            stream = execution.stream and not (quick or is_write or lock)
            stream = stream and isinstance(plan, OneShard)  # else its rows have yet to be merged
            step, guards = Ran(command.statement, stream=stream), block.published(command.guards)
            answer = await self._speculate(
                block,
                step,
                guards,
                quick=quick,
                deadline=deadline,
                lock=lock,
                is_write=is_write,
            )
            if isinstance(answer, Stale):
                if block.guards_on(answer.object):
                    raise serialization_failure("a concurrent schema change")
                await self._catch_up(deadline, attempt)
                continue
            block.took(
                step, guards, answer.outcome, quick=quick, is_write=is_write, digest=answer.digest
            )
            if isinstance(answer.outcome, SqlFailure):
                raise sql_error(answer.outcome)
            outcome = finish(answer.outcome)
            if answer.stream is None:
                return outcome
            host.keep(answer.stream)
            return structs.replace(outcome, more=answer.stream)
        raise _being_changed()

    async def _catch_up(self, deadline: float, attempt: int) -> None:
        await self._host.catch_up(deadline, attempt)
        self.rebase()

    async def _counted(
        self, block: Block, execution: Execution, deadline: float
    ) -> Execution | None:
        """With a number for each row that an INSERT from a query inserts: how many they are is a
        step of the block, which COMMIT requires to be as many. None if a shard says that the
        catalog is stale."""
        host = self._host
        plan = execution.prepared.plan
        assert isinstance(plan, OneShard)
        command = count_command(plan, execution, host.catalog)
        block.move_to(command.shard)
        step, guards = Ran(command.statement), block.published(command.guards)
        answer = await self._speculate(
            block, step, guards, quick=False, deadline=deadline, is_write=False
        )
        if isinstance(answer, Stale):
            if block.guards_on(answer.object):
                raise serialization_failure("a concurrent schema change")
            return None
        outcome = answer.outcome
        block.took(step, guards, outcome, quick=False, is_write=False, digest=answer.digest)
        if isinstance(outcome, SqlFailure):
            raise sql_error(outcome)
        ((rows,),) = outcome.values
        assert isinstance(rows, int)
        return await host.sequences.numbered(execution, rows, host.catalog, deadline)

    # ------------------------------------------------------------------ changes of the schema

    async def _change_schema(self, block: Block, plan: SchemaChange, deadline: float) -> Outcome:
        definition = plan.definition
        if self._host.settings.read_only:
            raise read_only_error(plan)
        if isinstance(definition, RoleStatement):
            raise NotSupported(
                f"{plan.tag} inside a transaction is not supported",
                hint="Send it outside of BEGIN and COMMIT.",
            )
        if isinstance(definition, PlaceTable):
            raise NotSupported(
                "placing a table inside a transaction is not supported",
                hint="Send it alone, outside of BEGIN and COMMIT.",
            )
        self.cursors.check_unused(definition, plan.tag, self._host.catalog)
        if isinstance(definition, Truncate):
            return await self._truncate(block, plan, definition, deadline)
        if isinstance(definition, CreateIndex | DropIndex) and definition.concurrently:
            raise _not_in_a_block(f"{plan.tag} CONCURRENTLY")
        if makes_temporary(definition) and not self._host.settings.temporary:
            schema = await self._host.temporary_schema(deadline)
            self._host.settings = self._host.settings.with_temporary(schema)
            block.kept = block.kept.with_temporary(schema)
            self.rebase()
        if block.draft is None:
            block.draft = begin_draft(await self._host.schema.settled(deadline))
        for attempt in range(REPLANS_MAX):
            notices = await self._define(block, block.draft, definition, deadline)
            if notices is not None:
                if isinstance(definition, CreateTableAs) and definition.fills:
                    return await self._fill(block, plan, definition, notices, deadline)
                return Outcome(plan.tag, notices=notices)
            await self._host.catch_up(deadline, attempt)
            self.rebase()
        raise _being_changed()

    async def _fill(
        self,
        block: Block,
        plan: SchemaChange,
        definition: CreateTableAs,
        notices: tuple[Notice, ...],
        deadline: float,
    ) -> Outcome:
        """The rows of CREATE TABLE AS, if the table was not there."""
        assert block.draft is not None
        change = block.draft.steps[-1].change
        if change is None:
            return Outcome(plan.tag, notices=notices)
        made = next(moved.after for moved in change.tables if moved.before is None)
        assert made is not None
        whole = f"{quote(made.schema)}.{quote(made.relname)}"
        prepared = await self._host.prepare(f"INSERT INTO {whole} {definition.text}")
        filled = await self._statement(block, Execution(prepared), deadline)
        return structs.replace(filled, tag=f"SELECT {filled.row_count}", notices=notices)

    async def _define(
        self, block: Block, before: Draft, definition: Definition, deadline: float
    ) -> tuple[Notice, ...] | None:
        """Carry out a change of the schema in the block; None if a shard says that the catalog
        is stale."""
        host = self._host
        version = host.schema.new_draft_version()
        draft, begun = drafted(
            before, definition, host.settings.placement, host.settings.search_path, version
        )
        if begun.change is not None:
            _check_numbers(begun.change)
            guards: list[Guard] = []
            for moved in begun.change.tables:
                for table in (moved.before, moved.after):
                    if table is not None and len(before.base.shards_of(table)) > 1:
                        raise _spans_shards(table.name)
                if not is_drafted(moved.previous) and before.published_version(moved.name) is None:
                    guards.append(Guard(f"table:{moved.name}", moved.previous))
            block.move_to(before.base.home)
            texts = tuple(sql for moved in begun.change.tables for sql in moved.sqlite)
            step = Defined(tuple(map(Statement, texts)))
            asked = (*guards, home_guard(before.base))
            answer = await self._speculate(
                block, step, asked, quick=False, deadline=deadline, is_write=True
            )
            if isinstance(answer, Stale):
                if block.guards_on(answer.object):
                    raise serialization_failure("a concurrent schema change")
                return None
            block.took(step, asked, answer.outcome, quick=False, is_write=True)
            if isinstance(answer.outcome, SqlFailure):
                raise explain_change(sql_error(answer.outcome), begun.change)
        block.draft = draft
        return begun.notices

    def rebase(self) -> None:
        """The catalog has been read: if the block has changed it, see that its changes are still
        what they were. Raises StatementError 40001."""
        block, schema = self.block, self._host.schema
        if block is None or block.draft is None:
            return
        draft = on_other_catalog(block.draft, schema.catalog, schema.new_draft_version())
        if draft is None:
            raise serialization_failure("a concurrent schema change")
        block.draft = draft

    async def _declare(
        self, block: Block, plan: DeclareCursor, execution: Execution, deadline: float
    ) -> Outcome:
        """Its query is a statement of the block; the rows are for FETCH."""
        if plan.is_held:
            raise NotSupported(
                "DECLARE of a cursor WITH HOLD inside of a transaction is not supported",
                hint="Declare it outside, or fetch its rows before COMMIT.",
            )
        self.cursors.check_new(plan.name)
        columns = plan.plan.columns
        oids = execution.prepared.parameter_oids
        query = Execution(
            Prepared(plan.query, plan.plan, oids, columns, execution.prepared.search_path),
            execution.arguments,
            stream=True,
            stored=True,
        )
        outcome = await self._statement(block, query, deadline)
        relied = plan.plan.tables if isinstance(plan.plan, OneShard | Scatter) else ()
        tables = frozenset(name for name, _ in relied)
        self.cursors.declare(plan.name, columns, outcome, block.depth, tables)
        return Outcome("DECLARE CURSOR")

    def close_cursor(self, plan: CloseCursor) -> Outcome:
        """CLOSE, also where there is no block. Raises StatementError 34000."""
        self.cursors.close(plan.name)
        return Outcome("CLOSE CURSOR" if plan.name else "CLOSE CURSOR ALL")

    async def _truncate(
        self, block: Block, plan: SchemaChange, node: Truncate, deadline: float
    ) -> Outcome:
        """TRUNCATE is a DELETE of all rows, which a rollback undoes like any other."""
        host = self._host
        begun = definition_changes.begin(host.catalog, node)
        assert begun.change is not None
        _check_numbers(begun.change)
        left = {moved.name: moved.before for moved in begun.change.tables}
        while left:
            # Rows that reference others first; tables that reference each other as they come.
            name = next(
                (
                    name
                    for name, table in left.items()
                    if table is None or not (set(table.referenced_by) - {name}) & left.keys()
                ),
                next(iter(left)),
            )
            del left[name]
            found = host.catalog.tables[name]
            whole = f"{quote(found.schema)}.{quote(found.relname)}"
            prepared = await host.prepare(f"DELETE FROM {whole}")  # noqa: S608 -- quoted
            await self._statement(block, Execution(prepared), deadline)
        return Outcome(plan.tag, notices=begun.notices)

    def _command(
        self, plan: OneShard | Scatter, execution: Execution
    ) -> tuple[Command, bool, _Finish]:
        """What the shard is asked, whether it is bounded work, and what its answer becomes."""
        host = self._host
        if isinstance(plan, OneShard):
            if plan.is_write and host.settings.read_only:
                raise read_only_error(plan)
            command = command_of(plan, execution, host.catalog)
            return command, plan.quick, partial(outcome_of, plan, execution)
        arguments, commands = scatter_commands(plan, execution, host.catalog)
        if len(commands) != 1:
            raise spans_shards("The statement concerns all shards.")

        def merged(result: StatementResult) -> Outcome:
            rows = merge.merge_rows(plan, [result.values], arguments)
            return rows_outcome(f"SELECT {len(rows)}", execution, rows, plan.columns)

        return commands[0], False, merged

    def _lock(self, plan: OneShard | Scatter, command: Command) -> Lock | None:
        """What a SELECT ... FOR UPDATE or FOR SHARE waits for. Raises StatementError 25006."""
        if not isinstance(plan, OneShard) or not plan.locking:
            return None
        settings = self._host.settings
        if settings.read_only:
            raise read_only_error(plan)
        return lock_of(command.statement, plan.locking, settings.lock_timeout_s)

    async def _speculate(
        self,
        block: Block,
        step: Ran | Defined,
        guards: tuple[Guard, ...],
        *,
        quick: bool,
        deadline: float,
        lock: Lock | None = None,
        is_write: bool,
    ) -> Stepped | Stale:
        """What the leader answers to the next statement, when it has all that came before."""
        host = self._host
        whole = False
        while True:
            if block.size > host.shards.transaction_bytes_max:
                raise transaction_too_large(host.shards.transaction_bytes_max)
            if block.holds_more_than(ASKED_BYTES_MAX if whole else HELD_BYTES_MAX):
                await self._send_ahead(block)
                whole = True  # its entry has taken the file from what was open
            asked = block.request(
                step, guards, quick=quick, whole=whole, lock=lock, is_write=is_write
            )
            answer = await host.shards.speculate(block.shard, asked, deadline)
            if not isinstance(answer, NotOpen):
                return answer
            whole = True

    async def copy(self, command: Command, upload: Upload, deadline: float) -> None:
        """Write rows that were sent ahead, in the open block; they are kept as long as it is.
        Raises RouterError; then the block has failed."""
        async with self._turn:
            await self._copy(command, upload, deadline)

    async def _copy(self, command: Command, upload: Upload, deadline: float) -> None:
        block = self.block
        assert block is not None
        self._uploads.append(upload)
        try:
            if block.failed:
                raise in_failed_block()
            block.move_to(command.shard)
            step, guards = Ran(command.statement), block.published(command.guards)
            answer = await self._speculate(
                block, step, guards, quick=False, deadline=deadline, is_write=True
            )
            if isinstance(answer, Stale):
                raise serialization_failure("a concurrent schema change")
            outcome = answer.outcome
            block.took(step, guards, outcome, quick=True, is_write=True)
            if isinstance(outcome, SqlFailure):
                raise sql_error(outcome)
        except BaseException:
            block.failed = True
            raise

    # ------------------------------------------------------------------ sent ahead

    async def _send_ahead(self, block: Block) -> None:
        """The steps so far into a stage: too many to send with every statement, or for an entry.
        Raises RouterError; then they can be sent no more."""
        host = self._host
        if self._steps_ahead is None:
            timeout_s = host.settings.statement_timeout_s
            self._steps_ahead = Upload(host.shards, block.shard, timeout_s, item="statement")
            self._uploads.append(self._steps_ahead)
        self._steps_ahead.add(block.held)
        staged = await self._steps_ahead.finish()
        assert staged is not None, "there are steps"
        block.sent_ahead(staged)

    async def _parameters_ahead(self, block: Block, statement: Statement) -> Statement:
        """The statement, its parameters in a stage of their own: it is run once, with them. So
        that steps are small, and may be sent again."""
        host = self._host
        timeout_s = host.settings.statement_timeout_s
        upload = Upload(
            host.shards, block.shard, timeout_s, item="statement", item_bytes_max=ITEM_BYTES_MAX
        )
        self._uploads.append(upload)
        upload.add([statement.parameters])
        staged = await upload.finish()
        return Statement(statement.sql, columns=statement.columns, staged=staged)

    # ------------------------------------------------------------------ its end

    async def _end(self, block: Block, plan: EndBlock, deadline: float) -> Outcome:
        host = self._host
        before = host.settings
        modes = block.modes if block.failed else _modes_of(before)  # a failure undid what was SET
        commits = plan.commit and not block.failed
        failure = await self._clear_temporary(block, deadline) if commits else None
        commits = commits and failure is None
        # Whatever comes of it, the block is over.
        self.block = None
        self.cursors.end()
        host.settings = block.settings
        try:
            if commits and block.writes:
                await self._commit(block, deadline)
        finally:
            self._forget_uploads()
            self._forget(block)
        if commits:
            host.settings = block.kept
        after = host.settings.announced_since(before)
        if failure is not None:
            raise failure
        if plan.chain:
            self.begin(modes)
        return Outcome("COMMIT" if commits else "ROLLBACK", parameter_status=after)

    async def _clear_temporary(self, block: Block, deadline: float) -> RouterError | None:
        """ON COMMIT of the temporary tables that the block has to do with; what went wrong."""
        host = self._host
        own = host.settings.temporary
        if not own:
            return None
        try:
            for table in list(host.catalog.tables.values()):
                if table.schema != own or not table.on_commit:
                    continue
                name = Name(table.relname, schema=own)
                if table.on_commit == "drop":
                    gone = SchemaChange("DROP TABLE", DropTable((name,), cascade=True))
                    await self._change_schema(block, gone, deadline)
                elif block.guards_on(f"table:{table.name}") or is_drafted(table.version):
                    whole = f"{quote(own)}.{quote(table.relname)}"
                    prepared = await host.prepare(f"DELETE FROM {whole}")  # noqa: S608 -- quoted
                    if not host.settings.read_only:
                        await self._statement(block, Execution(prepared), deadline)
        except RouterError as exc:
            return exc
        return None

    async def _commit(self, block: Block, deadline: float) -> None:
        if not block.fits_an_entry:
            await self._send_ahead(block)
        transaction, guards = block.transaction()
        deadline += sum(upload.apply_s for upload in self._uploads)
        if block.draft is not None and block.draft.changes:
            numbers = self._host.sequences.drafted_numbers(block.draft)
            await self._host.schema.commit(block.draft, transaction, guards, numbers, deadline)
            return
        answer = await self._host.shards.write(
            block.shard,
            (),
            guards,
            (UNDONE,) if block.defines else (),
            quick=block.is_quick and not block.defines,
            bounded=block.is_bounded,
            deadline=deadline,
            transaction=transaction,
        )
        if isinstance(answer, Stale):
            raise serialization_failure("a concurrent schema change")

    def _forget_uploads(self) -> None:
        """The block is over. What it wrote of them is written, or is not any more."""
        for upload in self._uploads:
            upload.abandon()
        self._uploads.clear()
        self._steps_ahead = None

    def _forget(self, block: Block) -> None:
        """It has ended; somebody may wait for it."""
        self._host.sequences.forget_drafted()
        if block.draft is not None:
            self._draft_plans = PlanCache()
        if block.locks:
            self._host.shards.forget(block.shard, block.id)

    def abandon(self) -> None:
        """The session ends, or what was to become a block has failed: nothing of it remains."""
        self._forget_uploads()
        self.cursors.end()
        block = self.block
        if block is not None:
            self._host.settings = block.settings
            self.block = None
            self._forget(block)


def set_outside(settings: Settings, plan: SetSetting) -> tuple[Settings, tuple[Notice, ...]]:
    """SET or RESET outside of a block: the settings after it. Raises StatementError."""
    after = settings.with_value(plan.name, plan.value)
    if plan.is_local:
        said = "SET LOCAL can only be used in transaction blocks"
        return settings, (_warning(said, "25P01"),)
    if plan.name.lower() in TRANSACTION_MODES:  # of a transaction that is over with this
        return settings, ()
    return after, ()


def _modes_of(settings: Settings) -> Modes:
    return Modes(
        settings.get("transaction_isolation"),
        settings.read_only,
        settings.get("transaction_deferrable") == "on",
    )


def _word(switch: bool | None) -> str | None:
    return None if switch is None else "on" if switch else "off"


def setting_tag(plan: SetSetting) -> str:
    """The command tag of SET, RESET or DISCARD ALL."""
    if plan.discards:
        return "DISCARD ALL"
    return "RESET" if plan.value is None else "SET"


def _not_in_a_block(what: str) -> StatementError:
    return StatementError(f"{what} cannot run inside a transaction block", sqlstate="25001")


def _check_numbers(change: Change) -> None:
    """Numbers are given out beside transactions: which come next cannot be taken back."""
    if change.restarted or any(sequence.version == change.version for sequence in change.altered):
        raise NotSupported(
            "changing which numbers a sequence gives out inside a transaction is not supported",
            hint="Send ALTER SEQUENCE, SET GENERATED or RESTART outside of BEGIN and COMMIT.",
        )


def _being_changed() -> Unavailable:
    return Unavailable(
        "the tables of the statement are being changed",
        hint="Repeat the transaction when the schema change is over.",
    )


def _spans_shards(table: str) -> NotSupported:
    return NotSupported(
        f'a change of "{table}" inside a transaction is not supported, for it is on every shard',
        hint="Send it alone, outside of BEGIN and COMMIT; or make it a home table: "
        "WITH (home = true), or SET default_placement = home before it is created.",
    )


def _warning(message: str, sqlstate: str) -> Notice:
    return Notice(message, "WARNING", sqlstate)


def _outside(message: str) -> StatementError:
    return StatementError(message, sqlstate="25P01")


def in_failed_block() -> StatementError:
    """For whatever comes after a failure, but the end of the block."""
    return StatementError(
        "current transaction is aborted, commands ignored until end of transaction block",
        sqlstate="25P02",
    )


def read_only_error(plan: Plan) -> StatementError:
    """For a write, or a lock, in a transaction that is READ ONLY."""
    what = "this statement"
    if isinstance(plan, OneShard):
        what = f"SELECT FOR {plan.locking}" if plan.locking else plan.tag
    elif isinstance(plan, SchemaChange):
        what = plan.tag
    elif isinstance(plan, CopyFrom):
        what = "COPY FROM"
    return StatementError(f"cannot execute {what} in a read-only transaction", sqlstate="25006")
