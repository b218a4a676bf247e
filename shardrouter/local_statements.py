"""Statements of a session that no shard runs: settings, names of statements and cursors, constants,
what the router itself knows, sequences and the system catalogs."""

from __future__ import annotations

import asyncio
import math
from typing import Final

from msgspec import structs

from shardrouter.catalog import Catalog, Table
from shardrouter.catalogs.asking import Asker
from shardrouter.deferring import check_named
from shardrouter.errors import DeadlineExceeded, NotSupported, StatementError
from shardrouter.exceptions import UndefinedTableError
from shardrouter.execution import Execution, Notice, Outcome, Prepared, rows_outcome
from shardrouter.levels import name_of
from shardrouter.made_keys import is_made
from shardrouter.plan import UnknownTable, bind, parameter_oids, result_columns, value_of
from shardrouter.planned import (
    Answer,
    CatalogQuery,
    CloseCursor,
    Deallocate,
    DeclareCursor,
    ExplainRoute,
    FetchRows,
    Pause,
    Plan,
    PrepareStatement,
    SequenceCall,
    SetConstraints,
    SetSetting,
    ShowColumns,
    ShowSetting,
    ShowTables,
)
from shardrouter.routes import route
from shardrouter.session_state import SessionState
from shardrouter.settings import Settings
from shardrouter.statement_names import STATEMENTS_MAX, no_such_statement
from shardrouter.transaction_answers import set_outside, setting_tag

__all__ = ["LocalStatements"]


_OUTSIDE: Final = Notice(
    "SET CONSTRAINTS can only be used in transaction blocks", "WARNING", "25P01"
)


class LocalStatements:
    """Of one session."""

    def __init__(self, state: SessionState) -> None:
        self._state = state

    async def run(
        self, execution: Execution, settings: Settings, deadline: float
    ) -> tuple[Settings, Outcome]:
        """Any of them, outside of a transaction block: the settings after it, and its outcome."""
        plan = execution.prepared.plan
        if isinstance(plan, SequenceCall):
            return settings, await self.call_sequence(execution, deadline)
        if isinstance(plan, CatalogQuery):
            return await self._asked(execution, settings, deadline)
        if isinstance(plan, FetchRows):  # of a cursor WITH HOLD: there is no other
            return settings, await self._state.transactions.cursors.fetch(plan, execution)
        if isinstance(plan, ShowTables | ShowColumns):
            await self._state.look_again(deadline)
        if _discards_temporary(plan) and self._state.settings.temporary:
            await self._discard_temporary(deadline)
        await self._pause(execution, deadline)
        return self._local(execution, settings, self._state.catalog)

    async def _discard_temporary(self, deadline: float) -> None:
        if self._state.block is not None:
            raise NotSupported(
                "DISCARD TEMP inside a transaction is not supported",
                hint="DROP TABLE says the same.",
            )
        await self._state.schema.temporary.empty(self._state.settings.temporary, deadline)

    async def ask_catalogs(
        self, execution: Execution, settings: Settings, deadline: float
    ) -> tuple[Outcome, tuple[SetSetting, ...]]:
        """A query of the system catalogs: its outcome, and the settings that it sets."""
        plan = execution.prepared.plan
        assert isinstance(plan, CatalogQuery)
        asker = Asker(self._state.role, settings, self._state.pid)
        answered = await self._state.backend.catalogs.run(
            plan,
            bind(plan, execution.arguments),
            asker,
            execution.formats,
            deadline,
            self._state.drafted,
        )
        count = len(answered.rows)
        tag = f"SELECT {count}" if plan.tag == "SELECT" else plan.tag
        sets = tuple(SetSetting(name, value, local) for name, value, local in answered.changes)
        return rows_outcome(tag, execution, answered.rows, plan.columns), sets

    async def call_sequence(self, execution: Execution, deadline: float) -> Outcome:
        plan = execution.prepared.plan
        assert isinstance(plan, SequenceCall)
        if plan.sequence not in self._state.catalog.sequences and not is_made(plan.sequence):
            await self._state.look_again(deadline)
        is_change = plan.function in ("nextval", "setval")
        is_known = plan.sequence in self._state.catalog.sequences
        if is_change and is_known and self._state.settings.read_only:
            what = f"cannot execute {plan.function}() in a read-only transaction"
            raise StatementError(what, sqlstate="25006")
        try:
            value = await self._state.sequences.call(
                plan, self._state.catalog, deadline, in_block=self._state.block is not None
            )
        except UndefinedTableError:
            await self._state.look_again(deadline)
            value = await self._state.sequences.call(
                plan, self._state.catalog, deadline, in_block=self._state.block is not None
            )
        return rows_outcome("SELECT 1", execution, [(value,)], plan.columns)

    def _prepare_name(self, plan: PrepareStatement) -> Outcome:
        if plan.name in self._state.statements:
            raise StatementError(
                f'prepared statement "{plan.name}" already exists', sqlstate="42P05"
            )
        if len(self._state.statements) >= STATEMENTS_MAX:
            raise StatementError(
                f"a session may hold {STATEMENTS_MAX} prepared statements",
                sqlstate="54000",
                hint="DEALLOCATE some of them.",
            )
        inner = plan.plan
        self._state.statements[plan.name] = Prepared(
            plan.query,
            inner,
            parameter_oids(inner),
            result_columns(inner),
            self._state.settings.search_path,
        )
        return Outcome("PREPARE")

    def _deallocate(self, name: str) -> Outcome:
        if not name:
            self._state.statements.clear()
            return Outcome("DEALLOCATE ALL")
        if self._state.statements.pop(name, None) is None:
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
        left = deadline - self._state.loop.time()
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
                return settings, self._state.transactions.close_cursor(plan)
            case DeclareCursor():
                raise StatementError(
                    "DECLARE CURSOR can only be used in transaction blocks", sqlstate="25P01"
                )
            case SetConstraints():
                check_named(plan, catalog)
                block = self._state.transactions.block
                warnings = [] if block is not None and not block.implicit else [_OUTSIDE]
                return settings, Outcome("SET CONSTRAINTS", notices=tuple(warnings))
            case SetSetting():
                if plan.discards:
                    self._state.statements.clear()
                    self._state.sequences.forget()
                    self._state.transactions.cursors.close("")
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
                if tag == "DISCARD SEQUENCES":
                    self._state.sequences.forget()
                tag = f"SELECT {len(rows)}" if tag == "SELECT" else tag
                return settings, rows_outcome(tag, execution, rows, columns)
            case ExplainRoute():
                level = name_of(settings.consistency)
                shown = route(plan, catalog, level, snapshot=settings.snapshot)
                return settings, rows_outcome("EXPLAIN", execution, shown, columns)
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


def _role(table: Table, column: str) -> str:
    """What a column is for, as SHOW COLUMNS says it."""
    roles = []
    if column == table.shard_key:
        roles.append("shard key")
    if column in table.primary_key:
        roles.append("primary key")
    return ", ".join(roles)


def _discards_temporary(plan: Plan) -> bool:
    if isinstance(plan, SetSetting):
        return plan.discards
    return isinstance(plan, Answer) and plan.tag == "DISCARD TEMP"
