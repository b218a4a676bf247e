"""COPY FROM STDIN of one session: the rows that are sent ahead, and the write that names them."""

from __future__ import annotations

import time
from functools import partial

from nodes.protocol import Stale, Value
from shardrouter.copy_in import CopyIn
from shardrouter.deferring import not_yet
from shardrouter.errors import NotSupported, RouterError, Unavailable
from shardrouter.execution import Prepared
from shardrouter.explained import explain
from shardrouter.planned import CopyFrom
from shardrouter.rows_upload import RowsUpload
from shardrouter.session_state import SessionState
from shardrouter.session_statements import SessionStatements
from shardrouter.statement_log import without_values
from shardrouter.transaction_answers import read_only_error
from shardrouter.units import REPLANS_MAX, being_changed
from shardrouter.writing import write_copied

__all__ = ["SessionCopies"]


class SessionCopies:
    """Of one session."""

    def __init__(self, state: SessionState, statements: SessionStatements) -> None:
        self._state = state
        self._statements = statements
        self._under_way: set[CopyIn] = set()

    def abandon(self) -> None:
        """End all that are under way: nothing of them is written."""
        for copy in list(self._under_way):
            copy.abandon()

    def begin(self, prepared: Prepared) -> CopyIn:
        """Begin what `prepared`, a COPY FROM STDIN, says. Raises RouterError.

        statement_timeout holds for each piece of it that is on its way, and for the last step,
        which has more the more there is to apply: how long the client takes is its business."""
        plan = prepared.plan
        assert isinstance(plan, CopyFrom)
        if self._state.is_closed:
            raise Unavailable("the session is closed", sqlstate="57P01")
        target = self._state.catalog.tables[plan.insert.tables[0][0]]
        if target.on_commit and self._state.block is None:
            raise NotSupported(
                "COPY into a table with ON COMMIT outside of a transaction is not supported",
                hint="Its rows would be gone with the statement: BEGIN first.",
            )
        timeout_s = self._state.settings.statement_timeout_s
        if self._state.settings.read_only:
            raise read_only_error(plan)
        self._state.units += 1
        if self._state.backend.statement_log is not None:
            self._state.backend.statement_log.copied(self._state.role.name, prepared.text)
        upload = RowsUpload(
            self._state.shards,
            plan.insert,
            plan.shards,
            plan.table,
            self._state.catalog,
            timeout_s,
        )
        commit = partial(self._commit_copy, prepared, upload, timeout_s, time.monotonic())
        copy = CopyIn(plan, upload, commit, self._under_way.discard, partial(self._numbers, plan))
        self._under_way.add(copy)
        return copy

    async def _numbers(self, plan: CopyFrom, count: int) -> list[tuple[Value, ...]]:
        deadline = self._state.loop.time() + self._state.settings.statement_timeout_s
        return await self._state.sequences.for_rows(
            plan.insert.draws, count, self._state.catalog, deadline
        )

    async def _commit_copy(
        self, prepared: Prepared, upload: RowsUpload, timeout_s: float, began: float
    ) -> bool:
        """Write the rows that were sent ahead, exactly once; in a transaction block they are
        written with the block, and True says that they are needed until then. Raises
        RouterError, as PostgreSQL words it."""
        alone = self._state.transactions.block is None
        try:
            is_kept = await self._write_copy(prepared, upload, timeout_s)
            self._ended(prepared, None, time.monotonic() - began)
            return is_kept
        except RouterError as exc:
            self._ended(prepared, exc, time.monotonic() - began)
            error = explain(exc, self._state.catalog)
            raise error if alone else not_yet(error, self._state.catalog) from exc

    def _ended(self, prepared: Prepared, error: RouterError | None, took: float) -> None:
        state = self._state
        state.backend.meter.note("copy", error, took)
        if error is not None:
            state.backend.meter.error(error)
        if took >= state.settings.slow_s:
            text = without_values(prepared.text)
            state.backend.slow_statements.write(state.role.name, state.request, text, error, took)

    async def _write_copy(self, prepared: Prepared, upload: RowsUpload, timeout_s: float) -> bool:
        plan = prepared.plan
        assert isinstance(plan, CopyFrom)
        deadline = self._state.loop.time() + timeout_s + upload.apply_s
        for attempt in range(REPLANS_MAX):
            commands = upload.commands(plan.insert, self._state.catalog)
            if self._state.transactions.block is not None:
                await self._state.transactions.copy(commands, upload.each, deadline)
                return True
            answer = await write_copied(
                self._state.shards, self._state.catalog, commands, deadline=deadline
            )
            if not isinstance(answer, Stale):
                return len(commands) > 1  # the outcome may be applied later than here
            if len(commands) > 1:
                raise _was_changed(plan)  # some shards have forgotten their rows
            await self._state.schema.catch_up(deadline, attempt)
            fresh = (await self._statements.understood(prepared.text, (), deadline)).plan
            if (
                not isinstance(fresh, CopyFrom)
                or fresh.columns != plan.columns
                or fresh.shards != plan.shards
            ):
                raise _was_changed(plan)
            plan = fresh
        raise being_changed()


def _was_changed(plan: CopyFrom) -> NotSupported:
    return NotSupported(
        f'table "{plan.table}" was changed while rows were copied into it',
        hint="Repeat the COPY.",
    )
