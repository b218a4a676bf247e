"""Units of commit of one session, step by step: in and out of transaction blocks, on one shard or
several, and again as long as a shard says that the catalog they were planned under is stale.

What needs no steps, one statement that one shard answers, does not come here unless it is stale
(`shardrouter.session`).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from typing import Final

from msgspec import structs

from nodes.protocol import Done, Stale
from shardrouter.asking import Reads, ReadsAtOneInstant
from shardrouter.block import serialization_failure
from shardrouter.definition_changes import NoWayBack
from shardrouter.definitions import CreateTable, CreateTableAs, makes_temporary
from shardrouter.errors import NotSupported, RouterError, StatementError, Unavailable
from shardrouter.execution import (
    Command,
    Execution,
    Notice,
    Outcome,
    Prepared,
    changes_search_path,
    command_of,
    count_command,
    is_counted,
    is_uncounted,
    outcome_of,
    rows_outcome,
)
from shardrouter.gathering import Gathering, Limits, gather
from shardrouter.instants import NoInstant
from shardrouter.levels import name_of
from shardrouter.local_statements import LocalStatements
from shardrouter.planned import (
    Begin,
    DeclareCursor,
    EndBlock,
    Modes,
    OneShard,
    Plan,
    RowsWrite,
    Scatter,
    SchemaChange,
    TransactionControl,
)
from shardrouter.role_statements import RoleStatement
from shardrouter.session_state import SessionState
from shardrouter.session_statements import SessionStatements
from shardrouter.settings import STATEMENT_TIMEOUT_S_MAX, Settings
from shardrouter.shards import Streamed
from shardrouter.spreading import commands_of, merged_outcome
from shardrouter.sql_cursors import HELD
from shardrouter.transaction_answers import read_only_error
from shardrouter.transaction_host import Host
from shardrouter.transactions import Transactions
from shardrouter.writing import write_commands

__all__ = ["REPLANS_MAX", "Units", "being_changed", "shared_session"]

log = logging.getLogger(__name__)


REPLANS_MAX: Final = 50
"""How often a unit is planned again because a shard says that its catalog is stale."""

UNIT_TRIES: Final = 20
"""How often a transaction of one statement is begun, a read of several shards of which others write
what it has read."""

FRAGMENTS_AT_ONCE: Final = 4
"""Of one query: of each a node keeps a cursor open while there is more of it."""

_NOT_ONE_INSTANT: Final = "not at one instant (said once per session)"

SCATTER_NOTICES: Final = {
    level: f"rows of several shards: each shard is read {how} {_NOT_ONE_INSTANT}"
    for level, how in {
        "linearizable": "linearizably, but the shards are",
        "lease": "linearizably by leases, but the shards are",
        "session": "as new as this session has seen it, but the shards are",
        "bounded": "no older than shardrouter.max_staleness, but the shards are",
        "any": "as some replica has it, and",
    }.items()
}


SNAPSHOT_HINT: Final = "SET shardrouter.snapshot = on, or a transaction block, reads them at one."


class Units:
    """Of one session."""

    def __init__(
        self,
        state: SessionState,
        statements: SessionStatements,
        local: LocalStatements,
        host: Host,
    ) -> None:
        self._state = state
        self._host = host
        self._statements = statements
        self._local = local
        self._warned: set[str] = set()  # of what a scatter is not

    def open_unit(self) -> None:
        """See `Session.open_unit`."""
        if self._state.is_shared:
            raise shared_session()
        self._state.transactions.open_unit()

    async def run(self, unit: list[Execution], deadline: float, *, is_stale: bool) -> list[Outcome]:
        """The unit in pieces: statements of a transaction block one by one, and what is between
        blocks as units of their own. BEGIN among statements makes those before it part of the
        block, as in PostgreSQL; a COMMIT without it ends their unit, a ROLLBACK undoes it."""
        transactions = self._state.transactions
        outcomes: list[Outcome] = []
        while len(outcomes) < len(unit):
            start = len(outcomes)
            if transactions.block is not None:
                with _Failing(start):
                    outcomes.append(await transactions.run(unit[start], deadline))
                if self._state.block is None and self._state.sequences.has_news:
                    await self._announce(deadline)
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
            if self._state.is_shared and control is not None:
                raise shared_session()
            if end == start and control is not None:
                with _Failing(start):
                    outcomes.append(transactions.control_idle(control))
            elif control is None or control == EndBlock(commit=True, chain=False):
                piece = unit[start:end]
                if self._is_block(piece):
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

    async def _announce(self, deadline: float) -> None:
        """A setval of the block that has ended. The block's outcome stands without it."""
        try:
            await self._state.sequences.announce(deadline)
        except RouterError as exc:
            log.warning("routers may not know of a setval yet: %s", exc)

    def _is_block(self, piece: list[Execution]) -> bool:
        """Whether its statements are to be understood and run one by one."""
        if len(piece) > 1 and any(_changes_schema(each) for each in piece):
            return True
        plans = [execution.prepared.plan for execution in piece]
        if self._state.clears_at_commit and any(
            isinstance(plan, OneShard | RowsWrite) for plan in plans
        ):
            return True
        return any(map(_is_several, plans))

    async def _as_unit(self, piece: list[Execution], start: int, deadline: float) -> list[Outcome]:
        """Statements that change the schema among them, one by one, and all of them or none."""
        self.open_unit()
        outcomes: list[Outcome] = []
        try:
            for ordinal, execution in enumerate(piece, start):
                with _Failing(ordinal):
                    outcomes.append(await self._state.transactions.run(execution, deadline))
            with _Failing(start + len(piece) - 1):
                await self._state.transactions.close_unit(deadline)
        except BaseException:
            self._state.transactions.abandon()
            raise
        return outcomes

    async def _until_current(
        self, unit: list[Execution], deadline: float, *, is_stale: bool
    ) -> list[Outcome]:
        for attempt in range(REPLANS_MAX):
            if is_stale:
                await self._state.schema.catch_up(deadline, attempt)
            try:
                outcomes = await self._attempt(unit, deadline)
            except StatementError as exc:
                if exc.sqlstate != "40001" or len(unit) > 1 or not is_counted(unit[0]):
                    raise
                # An INSERT from a query that had fewer rows when they were counted.
                unit[0] = structs.replace(unit[0], drawn=())
                is_stale = False
                continue
            if outcomes is not None:
                return outcomes
            is_stale = True
        raise being_changed()

    async def _attempt(self, unit: list[Execution], deadline: float) -> list[Outcome] | None:
        """Execute the unit under the present catalog; None if a shard says that it is stale."""
        plans: list[Plan] = []
        for ordinal, execution in enumerate(unit):
            with _Failing(ordinal):
                unit[ordinal] = await self._statements.current(execution, deadline)
                plans.append(unit[ordinal].prepared.plan)
        for ordinal, plan in enumerate(plans[:-1]):
            if changes_search_path(plan):
                with _Failing(ordinal + 1):
                    raise _searched_elsewhere()
        if self._state.settings.read_only:
            for ordinal, plan in enumerate(plans):
                with _Failing(ordinal):
                    if isinstance(plan, SchemaChange | RowsWrite) or (
                        isinstance(plan, OneShard) and plan.is_write
                    ):
                        raise read_only_error(plan)
        if len(plans) == 1 and isinstance(plans[0], SchemaChange):
            return await self._change_schema(plans[0], unit[0], deadline)
        if any(isinstance(plan, RowsWrite) for plan in plans):
            if len(unit) > 1:
                return await self._as_unit(unit, 0, deadline)
            written = await Transactions(self._host).write_rows(unit[0], deadline)
            return None if written is None else [written]
        if any(map(is_uncounted, unit)):
            if len(unit) > 1:  # what comes before it may change how many rows it has
                return await self._as_unit(unit, 0, deadline)
            counted = await self._counted(unit[0], deadline)
            if counted is None:
                return None
            unit[0] = counted
        if any(isinstance(plan, OneShard) and plan.is_write for plan in plans):
            if any(isinstance(plan, Scatter) for plan in plans):  # it sees what was written before
                return await self._as_unit(unit, 0, deadline)
            return await self._write(unit, deadline)
        has_no_block = self._state.is_shared or isinstance(plans[0], DeclareCursor)  # WITH HOLD
        if len(unit) > 1 or has_no_block:
            return await self._read(unit, deadline, tries=UNIT_TRIES)
        try:
            return await self._read(unit, deadline)
        except NoInstant:
            # A transaction that only reads: its COMMIT says whether all was so at one instant.
            return await self._again_as_unit(unit, deadline)

    async def _again_as_unit(self, unit: list[Execution], deadline: float) -> list[Outcome]:
        """As a transaction, which is begun again when others have come between."""
        for _ in range(UNIT_TRIES - 1):
            try:
                return await self._as_unit(unit, 0, deadline)
            except StatementError as exc:
                if exc.sqlstate != "40001" or self._state.loop.time() >= deadline:
                    raise
        return await self._as_unit(unit, 0, deadline)

    async def _counted(self, execution: Execution, deadline: float) -> Execution | None:
        """With a number for each row that it inserts; None if a shard says that the catalog is
        stale."""
        plan = execution.prepared.plan
        assert isinstance(plan, OneShard)
        catalog = self._state.catalog
        command = count_command(plan, execution, catalog)
        answer = await self._state.shards.read(
            command.shard, (command.statement,), command.guards, deadline=deadline
        )
        if isinstance(answer, Stale):
            return None
        ((rows,),) = answer.results[0].values
        assert isinstance(rows, int)
        return await self._state.sequences.numbered(execution, rows, catalog, deadline)

    async def _change_schema(
        self, plan: SchemaChange, execution: Execution, deadline: float
    ) -> list[Outcome]:
        if isinstance(plan.definition, RoleStatement):
            said = await self._state.backend.roles.change(
                plan.definition, self._state.role, deadline
            )
            return [Outcome(plan.tag, notices=said)]
        if execution.lasts:
            deadline = asyncio.get_running_loop().time() + STATEMENT_TIMEOUT_S_MAX
        if makes_temporary(plan.definition) and not self._state.settings.temporary:
            schema = await self._state.temporary_schema(deadline)
            self._state.change_settings(self._state.settings.with_temporary(schema))
        try:
            notices = await self._state.schema.change(
                plan.definition,
                self._state.settings.placement,
                deadline,
                self._state.settings.search_path,
            )
        except NoWayBack:
            return await self._again_as_unit([execution], deadline)
        if plan.columns:
            return [rows_outcome(plan.tag, execution, [("",)], plan.columns, notices)]
        return [Outcome(plan.tag, notices=notices)]

    # ------------------------------------------------------------------ units with a write

    async def _write(self, unit: list[Execution], deadline: float) -> list[Outcome] | None:
        """All statements as one command of one shard, or one transaction over several."""
        catalog = self._state.catalog
        settings = self._state.settings
        outcomes: list[Outcome] = []
        commands: list[list[Command]] = []  # of each statement that a shard runs
        ordinals: list[int] = []  # of the unit, for each of these
        quick = True
        alike = False
        for ordinal, execution in enumerate(unit):
            plan = execution.prepared.plan
            with _Failing(ordinal):
                if isinstance(plan, OneShard):
                    commands.append(commands_of(plan, execution, catalog))
                    ordinals.append(ordinal)
                    quick = quick and plan.quick
                    alike = alike or plan.spread == "alike"
                    outcomes.append(Outcome(""))  # its place
                else:
                    settings, outcome = await self._local.run(execution, settings, deadline)
                    outcomes.append(outcome)
        results = await write_commands(
            self._state.shards,
            catalog,
            commands,
            ordinals,
            bounded=quick,
            deadline=deadline,
            timeout_s=settings.statement_timeout_s,
            alike=alike,
        )
        if isinstance(results, Stale):
            return None
        for ordinal, answers in zip(ordinals, results, strict=True):
            plan = unit[ordinal].prepared.plan
            assert isinstance(plan, OneShard)
            outcomes[ordinal] = merged_outcome(plan, unit[ordinal], answers, catalog)
        self._state.change_settings(settings)
        return outcomes

    # ------------------------------------------------------------------ units of reads

    async def _read(
        self, unit: list[Execution], deadline: float, *, tries: int = 1
    ) -> list[Outcome] | None:
        """One statement after the other; they change nothing but settings. `tries`: how often each
        that reads several shards asks for an instant. Raises RouterError, NoInstant among them."""
        settings = self._state.settings
        outcomes: list[Outcome] = []
        for ordinal, execution in enumerate(unit):
            plan = execution.prepared.plan
            with _Failing(ordinal):
                outcome: Outcome | None
                if isinstance(plan, OneShard):
                    outcome = await self._read_one(plan, execution, deadline, settings)
                elif isinstance(plan, Scatter):
                    outcome = await self._scatter(plan, execution, deadline, settings, tries)
                elif isinstance(plan, DeclareCursor) and plan.is_held:
                    outcome = await self._declare(plan, execution, settings, deadline, tries)
                else:
                    settings, outcome = await self._local.run(execution, settings, deadline)
            if outcome is None:
                return None
            outcomes.append(outcome)
        self._state.change_settings(settings)
        return outcomes

    async def _declare(
        self,
        plan: DeclareCursor,
        execution: Execution,
        settings: Settings,
        deadline: float,
        tries: int,
    ) -> Outcome | None:
        """DECLARE WITH HOLD: the rows, as they are now, are for FETCH."""
        cursors = self._state.transactions.cursors
        cursors.check_new(plan.name)
        query, prepared = plan.plan, execution.prepared
        asked = Execution(
            Prepared(
                plan.query, query, prepared.parameter_oids, query.columns, prepared.search_path
            ),
            execution.arguments,
            stream=True,
            stored=True,
        )
        outcome: Outcome | None
        if isinstance(query, OneShard):
            outcome = await self._read_one(query, asked, deadline, settings)
        elif isinstance(query, Scatter):
            outcome = await self._scatter(query, asked, deadline, settings, tries)
        else:
            _, outcome = await self._local.run(asked, settings, deadline)
        if outcome is None:
            return None
        relied = query.tables if isinstance(query, OneShard | Scatter) else ()
        tables = frozenset(name for name, _ in relied)
        cursors.declare(plan.name, query.columns, outcome, HELD, tables)
        return Outcome("DECLARE CURSOR")

    async def _read_one(
        self, plan: OneShard, execution: Execution, deadline: float, settings: Settings
    ) -> Outcome | None:
        command = command_of(plan, execution, self._state.catalog)
        consistency = execution.prepared.level(settings)
        answer: Done | Stale | Streamed
        if execution.stream and not plan.quick:
            answer = await self._state.shards.stream(
                command.shard,
                command.statement,
                command.guards,
                deadline,
                consistency,
                self._state.choice,
            )
        else:
            answer = await self._state.shards.read(
                command.shard,
                (command.statement,),
                command.guards,
                quick=plan.quick,
                deadline=deadline,
                consistency=consistency,
                choice=self._state.choice,
            )
        if isinstance(answer, Streamed):
            return self._state.streamed(plan, execution, answer)
        if isinstance(answer, Stale):
            return None
        return outcome_of(plan, execution, answer.results[0])

    async def _scatter(
        self,
        plan: Scatter,
        execution: Execution,
        deadline: float,
        settings: Settings,
        tries: int,
    ) -> Outcome | None:
        """Ask the shards that may have rows, merge or finish their answers."""
        consistency = execution.prepared.level(settings)
        shards, choice, catalog = self._state.shards, self._state.choice, self._state.catalog
        how = Gathering(
            Reads(shards, consistency, choice, deadline).ask,
            FRAGMENTS_AT_ONCE,
            self._state.keep,
            self._state.backend.finishing,
            Limits(
                settings.finish_rows_max, settings.finish_bytes_max, settings.broadcast_rows_max
            ),
            deadline,
        )
        if plan.fragments and settings.snapshot and consistency == "linearizable":
            for _ in range(tries - 1):
                with suppress(NoInstant):
                    return await self._at_one_instant(plan, execution, how)
            try:
                return await self._at_one_instant(plan, execution, how)
            except NoInstant as exc:
                if tries == 1:
                    raise
                raise serialization_failure(str(exc)) from exc
        gathered = await gather(plan, execution, catalog, how)
        if gathered is None:
            return None
        level = name_of(consistency)
        if gathered.shards <= 1 or level in self._warned:
            return gathered.outcome
        self._warned.add(level)
        hint = SNAPSHOT_HINT if level == "linearizable" else ""
        notices = (Notice(SCATTER_NOTICES[level], hint=hint),)
        return structs.replace(gathered.outcome, notices=notices)

    async def _at_one_instant(
        self, plan: Scatter, execution: Execution, how: Gathering
    ) -> Outcome | None:
        state = self._state
        reads = ReadsAtOneInstant(state.shards, state.choice, how.deadline)
        how = replace(how, ask=reads.ask, fragments_at_once=1, expect=reads.expect)
        try:
            gathered = await gather(plan, execution, state.catalog, how)
        finally:
            reads.close()
        return None if gathered is None else gathered.outcome


def _is_several(plan: Plan) -> bool:
    """A change of the schema that is more than one step: CREATE TABLE AS, ON COMMIT DROP."""
    definition = plan.definition if isinstance(plan, SchemaChange) else None
    if isinstance(definition, CreateTableAs):
        return definition.fills or definition.on_commit == "drop"
    return isinstance(definition, CreateTable) and definition.on_commit == "drop"


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


def being_changed() -> Unavailable:
    return Unavailable(
        "the tables of the statement are being changed",
        hint="Repeat it when the schema change is over.",
    )


def shared_session() -> NotSupported:
    return NotSupported(
        "BEGIN and COMMIT, CREATE beside other statements, and what else is done as a transaction "
        "need a connection of their own",
        hint="Use `async with router.transaction()`, or a connection from `router.acquire()`.",
    )
