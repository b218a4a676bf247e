"""The transaction block of one session: its statements one by one, and its end.

It carries what `shardrouter.block` decides: each statement to the leader of the block's shard,
which runs it without keeping it; the COMMIT into the log of that shard (docs/transactions.md).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import structs

from nodes.protocol import (
    Lock,
    Stale,
)
from shardrouter.asking import Part
from shardrouter.block import (
    Block,
    lock_of,
)
from shardrouter.block_callbacks import BlockCallbacks
from shardrouter.block_definitions import BlockDefinitions
from shardrouter.block_steps import BLOCK_REPLANS_MAX, BlockSteps, results_of
from shardrouter.definitions import (
    DropTable,
)
from shardrouter.draft import is_drafted
from shardrouter.errors import NotSupported, RouterError, StatementError
from shardrouter.execution import (
    Command,
    Execution,
    Outcome,
    Prepared,
    count_command,
    is_uncounted,
)
from shardrouter.gathering import Gathering, Limits, gather
from shardrouter.plan_cache import PlanCache
from shardrouter.planned import (
    Answer,
    Begin,
    CatalogQuery,
    CloseCursor,
    DeclareCursor,
    EndBlock,
    FetchRows,
    Modes,
    OneShard,
    RowsWrite,
    SavepointStep,
    Scatter,
    SchemaChange,
    SetModes,
    SetSetting,
    TransactionControl,
)
from shardrouter.rows_upload import RowsUpload
from shardrouter.rows_writing import RowsWriting
from shardrouter.settings import TRANSACTION_MODES, Settings
from shardrouter.spreading import commands_of, merged_outcome
from shardrouter.sql_cursors import SqlCursors
from shardrouter.syntax import Name
from shardrouter.transaction_answers import (
    being_changed,
    in_failed_block,
    modes_of,
    not_in_a_block,
    outside,
    read_only_error,
    setting_tag,
    warning,
    word,
)
from shardrouter.transaction_host import Host
from shardrouter.turn import Turn
from shardrouter.typed import quote

__all__ = ["Transactions"]

_ID_BYTES: Final = 16

_OF_ROWS: Final = frozenset({"21", "22"})
"""Classes of errors of single rows, which a FETCH tells that comes to them."""


def _new_block(settings: Settings, now_us: int) -> Block:
    return Block(secrets.token_bytes(_ID_BYTES), now_us, secrets.randbits(63), settings)


class _Begun(NamedTuple):
    """A beginning, which is the next one too if nothing was set meanwhile."""

    before: Settings
    asked: Modes
    settings: Settings  # with which it began
    modes: Modes


class Transactions:
    """The block, if one is open, and what changes it."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._turn = Turn()  # one statement at a time
        self._begun: _Begun | None = None  # how the last block began
        self.block: Block | None = None
        self.cursors = SqlCursors()
        self._draft_plans = PlanCache()  # of a block that has changed the schema
        self._steps = BlockSteps(host)
        self.submit = BlockCallbacks(host, self._steps, self._turn, self).submit
        self._definitions = BlockDefinitions(host, self._steps, self.cursors, self._statement)

    @property
    def plans(self) -> PlanCache | None:
        """For the catalog as the block has changed it, if it has."""
        block = self.block
        return self._draft_plans if block is not None and block.draft is not None else None

    # ------------------------------------------------------------------ without a block

    def begin(self, modes: Modes, *, implicit: bool = False) -> None:
        """Open a block. Nothing is sent anywhere."""
        host = self._host
        before, begun = host.settings, self._begun
        block = _new_block(before, time.time_ns() // 1000)
        if begun is None or begun.before is not before or begun.asked != modes:
            settings = block.with_modes(before, modes)
            for mode in TRANSACTION_MODES:  # whatever becomes of the defaults meanwhile
                settings = settings.with_value(mode, settings.get(mode))
            begun = self._begun = _Begun(before, modes, settings, modes_of(settings))
        host.settings = begun.settings
        block.modes = begun.modes
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
                raise outside(f"{command} AND CHAIN can only be used in transaction blocks")
            case EndBlock():
                tag = "COMMIT" if plan.commit else "ROLLBACK"
                idle = warning("there is no transaction in progress", "25P01")
                return Outcome(tag, notices=(idle,))
            case SavepointStep():
                before = {"savepoint": "", "rollback": "ROLLBACK TO ", "release": "RELEASE "}
                what = before[plan.what] + "SAVEPOINT"
                raise outside(f"{what} can only be used in transaction blocks")
            case SetModes(for_session=True):
                return self._set_for_session(plan.modes)
            case SetModes():
                said = "SET TRANSACTION can only be used in transaction blocks"
                return Outcome("SET", notices=(warning(said, "25P01"),))

    def _set_for_session(self, modes: Modes) -> Outcome:
        host = self._host
        before = host.settings
        for name, value in (
            ("isolation", modes.isolation),
            ("read_only", word(modes.read_only)),
            ("deferrable", word(modes.deferrable)),
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
                raise outside("the transaction ended before the statement had its turn")
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
                said = warning("there is already a transaction in progress", "25001")
                host.settings = block.with_modes(host.settings, plan.modes)
                return Outcome(plan.tag, notices=(said,))
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
        for attempt in range(BLOCK_REPLANS_MAX):
            execution = await host.current(execution, deadline)
            plan = execution.prepared.plan
            if not isinstance(plan, OneShard | Scatter | RowsWrite):
                if isinstance(plan, SchemaChange):
                    return await self._definitions.change(block, plan, deadline)
                if isinstance(plan, SetSetting):
                    if plan.discards:
                        raise not_in_a_block("DISCARD ALL")
                    return self._set(block, plan)
                if isinstance(plan, Answer) and plan.alone:
                    raise not_in_a_block(plan.tag)
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
            if isinstance(plan, RowsWrite):
                found = await self._rows_written(block, execution, deadline)
            elif isinstance(plan, Scatter):
                found = await self._gathered(block, plan, execution, deadline)
            else:
                found = await self._ran(block, plan, execution, deadline)
            if found is not None:
                return found
            await self._catch_up(deadline, attempt)
        raise being_changed()

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
        steps = await self._steps.run(
            block, [command], quick=False, is_write=False, deadline=deadline
        )
        if isinstance(steps, Stale):
            return None
        [outcome] = results_of(steps)
        ((rows,),) = outcome.values
        assert isinstance(rows, int)
        return await host.sequences.numbered(execution, rows, host.catalog, deadline)

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
        relied = plan.plan.tables if isinstance(plan.plan, OneShard | Scatter) else ()
        tables = frozenset(name for name, _ in relied)
        try:
            outcome = await self._statement(block, query, deadline)
        except StatementError as exc:
            if exc.sqlstate[:2] not in _OF_ROWS:
                raise
            self.cursors.declare_failed(plan.name, columns, exc, block.depth, tables)
        else:
            self.cursors.declare(plan.name, columns, outcome, block.depth, tables)
        return Outcome("DECLARE CURSOR")

    def rebase(self) -> None:
        """The catalog has been read: see `BlockDefinitions.rebase`."""
        self._definitions.rebase(self.block)

    def close_cursor(self, plan: CloseCursor) -> Outcome:
        """CLOSE, also where there is no block. Raises StatementError 34000."""
        self.cursors.close(plan.name)
        return Outcome("CLOSE CURSOR" if plan.name else "CLOSE CURSOR ALL")

    async def _ran(
        self, block: Block, plan: OneShard, execution: Execution, deadline: float
    ) -> Outcome | None:
        """A statement that shards run as it is; None if one says that the catalog is stale."""
        host = self._host
        if plan.is_write and host.settings.read_only:
            raise read_only_error(plan)
        catalog = host.catalog
        commands = commands_of(plan, execution, catalog)
        lock = self.lock(plan, commands[0])
        steps = await self._steps.run(
            block,
            commands,
            quick=plan.quick,
            is_write=plan.is_write,
            deadline=deadline,
            lock=lock,
            stream=execution.stream and not (plan.quick or plan.is_write or lock),
            alike=plan.spread == "alike",
        )
        if isinstance(steps, Stale):
            return None
        outcome = merged_outcome(plan, execution, results_of(steps), catalog)
        rest = steps[0].stream
        if rest is None:
            return outcome
        host.keep(rest)
        return structs.replace(outcome, more=rest)

    async def _gathered(
        self, block: Block, plan: Scatter, execution: Execution, deadline: float
    ) -> Outcome | None:
        """A query over several shards, each of which answers its part as a step; None as above."""
        host = self._host

        async def ask(commands: Sequence[Command]) -> list[Part] | None:
            steps = await self._steps.run(
                block, commands, quick=False, is_write=False, deadline=deadline, stream=True
            )
            if isinstance(steps, Stale):
                return None
            results = results_of(steps)
            return [Part(result, step.stream) for result, step in zip(results, steps, strict=True)]

        settings = host.settings
        gathered = await gather(
            plan,
            execution,
            host.catalog,
            Gathering(
                ask,
                1,  # one step of a branch after the other
                host.keep,
                host.finishing,
                Limits(
                    settings.finish_rows_max,
                    settings.finish_bytes_max,
                    settings.broadcast_rows_max,
                ),
                deadline,
                block.now_us,
            ),
        )
        return None if gathered is None else gathered.outcome

    def lock(self, plan: OneShard, command: Command) -> Lock | None:
        """What a SELECT ... FOR UPDATE or FOR SHARE waits for. Raises StatementError 25006."""
        if not plan.locking:
            return None
        settings = self._host.settings
        if settings.read_only:
            raise read_only_error(plan)
        return lock_of(command.statement, plan.locking, settings.lock_timeout_s)

    async def _rows_written(
        self, block: Block, execution: Execution, deadline: float
    ) -> Outcome | None:
        """A write whose rows are read first; None as above."""
        writing = RowsWriting(self._host, block, self._steps, self._gathered, execution, deadline)
        return await writing.run()

    async def write_rows(self, execution: Execution, deadline: float) -> Outcome | None:
        """The same as a transaction of its own, which is begun again, as old as before, if what it
        had read is not so any more when it commits. Of an object that nobody else uses."""
        now_us = time.time_ns() // 1000
        while True:
            block = _new_block(self._host.settings, now_us)
            try:
                outcome = await self._rows_written(block, execution, deadline)
                if outcome is not None and block.participants:
                    await self._steps.commit(block, deadline)
                return outcome
            except StatementError as exc:
                if exc.sqlstate != "40001" or asyncio.get_running_loop().time() >= deadline:
                    raise
            finally:
                self._steps.forget()

    async def copy(self, commands: Sequence[Command], upload: RowsUpload, deadline: float) -> None:
        """Write rows that were sent ahead, in the open block; they are kept as long as it is.
        Raises RouterError; then the block has failed."""
        async with self._turn:
            assert self.block is not None
            await self._steps.copy(self.block, commands, upload, deadline)

    # ------------------------------------------------------------------ its end

    async def _end(self, block: Block, plan: EndBlock, deadline: float) -> Outcome:
        host = self._host
        before = host.settings
        modes = block.modes if block.failed else modes_of(before)  # a failure undid what was SET
        commits = plan.commit and not block.failed
        failure = await self._clear_temporary(block, deadline) if commits else None
        commits = commits and failure is None
        self.leave(block)
        try:
            if commits and block.participants:
                await self._steps.commit(block, deadline)
        finally:
            self.left(block)
        outcome = self.ended(block, before, commits=commits)
        if failure is not None:
            raise failure
        if plan.chain:
            self.begin(modes)
        return outcome

    def leave(self, block: Block) -> None:
        """Whatever comes of it, the block is over."""
        self.block = None
        self.cursors.end()
        self._host.settings = block.settings

    def left(self, block: Block) -> None:
        """Nothing of it is under way any more."""
        self._steps.forget()
        self._forget(block)

    def ended(self, block: Block, before: Settings, *, commits: bool) -> Outcome:
        """It has come to this end, as a client is told whose settings were `before`."""
        host = self._host
        if commits:
            host.settings = block.kept
        after = host.settings.announced_since(before)
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
                    await self._definitions.change(block, gone, deadline)
                elif block.guards_on(f"table:{table.name}") or is_drafted(table.version):
                    whole = f"{quote(own)}.{quote(table.relname)}"
                    prepared = await host.prepare(f"DELETE FROM {whole}")  # noqa: S608 -- quoted
                    if not host.settings.read_only:
                        await self._statement(block, Execution(prepared), deadline)
        except RouterError as exc:
            return exc
        return None

    def _forget(self, block: Block) -> None:
        """It has ended; somebody may wait for it."""
        self._host.sequences.forget_drafted()
        if block.draft is not None:
            self._draft_plans = PlanCache()
        for branch in block.branches.values():
            if branch.locks:
                self._host.shards.forget(branch.shard, block.id)

    def abandon(self) -> None:
        """The session ends, or what was to become a block has failed: nothing of it remains."""
        self._steps.forget()
        self.cursors.end()
        block = self.block
        if block is not None:
            self._host.settings = block.settings
            self.block = None
            self._forget(block)
