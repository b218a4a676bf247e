"""From the text of a statement to its plan, as one session sees the catalog; and again when that
has changed.

What this router does not know, or knows otherwise, may be newer than its catalog: the catalog is
read again before a statement is refused for it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from msgspec import structs

from shardrouter import types
from shardrouter.catalog import Catalog
from shardrouter.enumerations import UnknownLabel
from shardrouter.errors import (
    DeadlineExceeded,
    NotSupported,
    RouterError,
    StatementError,
    Unavailable,
)
from shardrouter.exceptions import UndefinedTableError
from shardrouter.execution import Execution, Prepared, is_current
from shardrouter.plan import UnknownTable
from shardrouter.plan_cache import PlanCache
from shardrouter.planned import (
    Answer,
    EndBlock,
    ExecuteStatement,
    FetchRows,
    ResultColumn,
    SavepointStep,
)
from shardrouter.schema_change import published
from shardrouter.session_state import SessionState
from shardrouter.statement_names import no_such_statement
from shardrouter.transaction_answers import in_failed_block

__all__ = ["SessionStatements"]

_GRAMMAR: Final = re.compile(
    r' at or near "| at end of input\Z|\A(?:WITH TIES|constraint declared|invalid Unicode escape)'
)
"""Messages of PostgreSQL's grammar. Other mistakes of class 42601 are found by its analysis."""


def _is_of_grammar(error: RouterError) -> bool:
    return error.sqlstate == "42601" and _GRAMMAR.search(error.message) is not None


class SessionStatements:
    """Of one session."""

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self._plans = state.backend.plans

    def prepared(self, text: str, parameter_oids: tuple[int, ...] = ()) -> Prepared | None:
        """The statement, if it has been prepared under the present catalog."""
        found = self._plans_now.get(
            text, parameter_oids, self._state.schema_now, self._state.settings.search_path
        )
        if found is not None and isinstance(found.plan, FetchRows | ExecuteStatement):
            return None  # what it answers is known by `prepare`
        return found

    async def prepare(self, text: str, parameter_oids: tuple[int, ...] = ()) -> Prepared:
        """Parse and plan one statement. Raises RouterError.

        What this router does not know, or knows otherwise, may be newer than its catalog: the
        catalog is read again before the statement is refused for it.
        """
        deadline = self._state.loop.time() + self._state.settings.statement_timeout_s
        try:
            prepared = await self.understood(text, parameter_oids, deadline)
            if self._state.status != "E":
                prepared = await self._of_session(prepared, deadline)
        except RouterError as exc:
            self._state.backend.meter.refused(exc)
            if self._state.backend.statement_log is not None:
                self._state.backend.statement_log.refused(self._state.role.name, text, exc)
            if self._state.status != "E" or _is_of_grammar(exc):
                raise
            raise in_failed_block() from exc
        if self._state.status != "E":
            return prepared
        if not isinstance(prepared.plan, EndBlock | SavepointStep):
            raise in_failed_block()
        return prepared

    async def understood(self, text: str, oids: tuple[int, ...], deadline: float) -> Prepared:
        """The same, whatever a transaction block makes of it. Raises RouterError."""
        catalog = self._state.catalog
        prepared = self._plans_now.get(text, oids, catalog, catalog.search_path)
        if prepared is not None:
            return prepared
        try:
            return await self._plan(text, oids, catalog)
        except StatementError as exc:
            may_be_newer = exc.sqlstate.startswith("42") and exc.sqlstate != "42601"
            if not may_be_newer and not isinstance(exc, UnknownLabel):
                raise
            try:
                await self._state.look_again(deadline)
            except (Unavailable, DeadlineExceeded):
                if isinstance(exc, UnknownTable):
                    raise
                raise exc from None  # no news: what the statement met stands
        try:
            return await self._plan(text, oids, self._state.catalog)
        except StatementError:
            if not await self._is_for_what_pends(text, oids):
                raise
        await self._state.schema.settled(deadline)
        await self._state.look_again(deadline)
        return await self._plan(text, oids, self._state.catalog)

    async def _is_for_what_pends(self, text: str, oids: tuple[int, ...]) -> bool:
        """Whether a change of the schema that is not on all shards yet would make the statement
        right: its router has died, or met a shard without a leader, and left it to whoever needs
        it."""
        known = self._state.schema.catalog
        pending = known.pending
        if pending is None or pending.undone or pending.relocated or self._state.drafted:
            return False
        catalog = published(known, pending).searched(self._state.settings.search_path)
        try:
            await PlanCache().make(text, oids, catalog, self._state.role.name)
        except RouterError:
            return False
        return True

    async def _plan(self, text: str, oids: tuple[int, ...], catalog: Catalog) -> Prepared:
        return await self._plans_now.make(text, oids, catalog, self._state.role.name)

    @property
    def _plans_now(self) -> PlanCache:
        """For the catalog as it is now."""
        return self._state.transactions.plans or self._plans

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
        return self._state.transactions.cursors.columns(name)

    async def _bound(self, plan: ExecuteStatement, deadline: float) -> Prepared:
        """What EXECUTE names, with the arguments that it gives."""
        prepared = self._state.statements.get(plan.name)
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
        arguments = (await self.understood(f"SELECT {', '.join(casts)}", (), deadline)).plan
        if not isinstance(arguments, Answer):
            raise NotSupported(
                "EXECUTE with arguments that are no constants is not supported",
                hint="Write the values, or prepare through the extended query protocol.",
            )
        return replace(prepared, bound=arguments.rows[0])

    async def current(self, execution: Execution, deadline: float) -> Execution:
        """The execution, planned again if its table has changed since it was prepared."""
        prepared = execution.prepared
        if self.is_current(prepared):
            return await self._drawn(execution, deadline)
        fresh = await self.understood(prepared.text, prepared.parameter_oids, deadline)
        if fresh.columns != prepared.columns or fresh.parameter_oids != prepared.parameter_oids:
            raise _changed_type()
        return await self._drawn(structs.replace(execution, prepared=fresh, drawn=()), deadline)

    def is_current(self, prepared: Prepared) -> bool:
        """Whether it still means what it meant when it was prepared."""
        return prepared.search_path == self._state.settings.search_path and is_current(
            prepared.plan, self._state.schema_now
        )

    async def _drawn(self, execution: Execution, deadline: float) -> Execution:
        """With the numbers of sequences that it needs."""
        try:
            return await self._state.sequences.fill(execution, self._state.catalog, deadline)
        except UndefinedTableError:  # or is another one since another router has altered it
            await self._state.look_again(deadline)
            return await self._state.sequences.fill(execution, self._state.catalog, deadline)


def _changed_type() -> NotSupported:
    error = NotSupported(
        "cached plan must not change result type",
        detail="A table has other columns than when the statement was prepared.",
        hint="Prepare the statement again.",
    )
    error.routine = "RevalidateCachedQuery"  # asyncpg and JDBC prepare it again by that
    return error
