"""Changes of the schema inside of a block: carried out on the leader's file like any other step,
and on the block's own draft of the catalog (docs/transactions.md).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from msgspec import structs

from nodes.protocol import Defined, Guard, Stale, Statement
from shardrouter import definition_changes
from shardrouter.block import (
    Block,
    serialization_failure,
)
from shardrouter.block_steps import BLOCK_REPLANS_MAX, BlockSteps
from shardrouter.catalog import home_guard
from shardrouter.definitions import (
    CreateIndex,
    CreateTableAs,
    Definition,
    DropIndex,
    PlaceTable,
    Truncate,
    makes_temporary,
)
from shardrouter.draft import Draft, begin_draft, drafted, is_drafted, on_other_catalog
from shardrouter.errors import NotSupported, StatementError
from shardrouter.execution import (
    Execution,
    Notice,
    Outcome,
)
from shardrouter.explained import explain_change
from shardrouter.planned import (
    SchemaChange,
)
from shardrouter.role_statements import RoleStatement
from shardrouter.schema_change import on_shard, previous_on, shards_of
from shardrouter.sql_cursors import SqlCursors
from shardrouter.tables import Change
from shardrouter.transaction_answers import being_changed, not_in_a_block, read_only_error
from shardrouter.transaction_host import Host
from shardrouter.typed import quote

__all__ = ["BlockDefinitions"]

Run: TypeAlias = Callable[[Block, Execution, float], Awaitable[Outcome]]
"""Runs a statement of a block until a deadline."""


class BlockDefinitions:
    """Of the blocks of one session."""

    def __init__(self, host: Host, steps: BlockSteps, cursors: SqlCursors, run: Run) -> None:
        self._host = host
        self._steps = steps
        self._cursors = cursors
        self._run = run

    async def change(self, block: Block, plan: SchemaChange, deadline: float) -> Outcome:
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
        self._cursors.check_unused(definition, plan.tag, self._host.catalog)
        if isinstance(definition, Truncate):
            return await self._truncate(block, plan, definition, deadline)
        if isinstance(definition, CreateIndex | DropIndex) and definition.concurrently:
            raise not_in_a_block(f"{plan.tag} CONCURRENTLY")
        if makes_temporary(definition) and not self._host.settings.temporary:
            schema = await self._host.temporary_schema(deadline)
            self._host.settings = self._host.settings.with_temporary(schema)
            block.kept = block.kept.with_temporary(schema)
            self.rebase(block)
        if block.draft is None:
            block.draft = begin_draft(await self._host.schema.settled(deadline))
        for attempt in range(BLOCK_REPLANS_MAX):
            notices = await self._define(block, block.draft, definition, deadline)
            if notices is not None:
                if isinstance(definition, CreateTableAs) and definition.fills:
                    return await self._fill(block, plan, definition, notices, deadline)
                return Outcome(plan.tag, notices=notices)
            await self._host.catch_up(deadline, attempt)
            self.rebase(block)
        raise being_changed()

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
        filled = await self._run(block, Execution(prepared), deadline)
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
            change = begun.change
            steps = [
                (
                    shard,
                    _defined(before, change, shard),
                    _relied_on(before, change, shard),
                )
                for shard in shards_of(before.base, change) or (before.base.home,)
            ]
            try:
                answer = await self._steps.define(block, steps, deadline)
            except StatementError as exc:
                raise explain_change(exc, change) from exc
            if isinstance(answer, Stale):
                return None
        block.draft = draft
        return begun.notices

    def rebase(self, block: Block | None) -> None:
        """The catalog has been read: if the block has changed it, see that its changes are still
        what they were. Raises StatementError 40001."""
        schema = self._host.schema
        if block is None or block.draft is None:
            return
        draft = on_other_catalog(block.draft, schema.catalog, schema.new_draft_version())
        if draft is None:
            raise serialization_failure("a concurrent schema change")
        block.draft = draft

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
            await self._run(block, Execution(prepared), deadline)
        return Outcome(plan.tag, notices=begun.notices)


def _defined(before: Draft, change: Change, shard: str) -> Defined:
    """What a shard does for a change."""
    here = on_shard(before.base, change, shard)
    return Defined(tuple(Statement(sql) for moved in here for sql in moved.sqlite))


def _relied_on(before: Draft, change: Change, shard: str) -> tuple[Guard, ...]:
    """The versions that the shard has, before the block, of the tables that are changed there for
    the first time."""
    base = before.base
    guards = [
        Guard(f"table:{moved.name}", previous_on(base, moved, shard))
        for moved in on_shard(base, change, shard)
        if before.published_version(moved.name) is None and not is_drafted(moved.previous)
    ]
    return (*guards, home_guard(base)) if shard == base.home else tuple(guards)


def _check_numbers(change: Change) -> None:
    """Numbers are given out beside transactions: which come next cannot be taken back."""
    if change.restarted or any(sequence.version == change.version for sequence in change.altered):
        raise NotSupported(
            "changing which numbers a sequence gives out inside a transaction is not supported",
            hint="Send ALTER SEQUENCE, SET GENERATED or RESTART outside of BEGIN and COMMIT.",
        )
