"""A write whose rows are read first, as steps of a transaction: the reads, with their digests; what
is made of them here; the rows by their keys (docs/distributed.md).

The reads are steps like any other, so a COMMIT that carries the writes requires on every shard that
was read that it would still answer the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from msgspec import structs

from nodes.protocol import Stale, Value
from shardrouter.block import Block
from shardrouter.block_steps import BlockSteps, results_of
from shardrouter.errors import DeadlineExceeded
from shardrouter.execution import Command, Execution, Outcome, Prepared, command_of, rows_outcome
from shardrouter.gathering import Held, Limits
from shardrouter.plan import bind
from shardrouter.planned import Answer, Fragment, OneShard, RowsStatement, RowsWrite, Scatter
from shardrouter.row_batches import Row, batches, is_staged, once_each, parts_of, row_insert
from shardrouter.rows_upload import RowsUpload
from shardrouter.spreading import commands_of, merged_outcome
from shardrouter.sqlite_text import renumbered
from shardrouter.tables import Table
from shardrouter.transaction_answers import read_only_error
from shardrouter.transaction_host import Host

__all__ = ["RowsWriting", "held_rows"]


STAGED_AT_ONCE: Final = 1000
"""Rows that are added to a stage between two looks whether it has room."""

Gather: TypeAlias = Callable[[Block, Scatter, Execution, float], Awaitable[Outcome | None]]
"""The answer of a query over several shards, as steps of a block."""


class RowsWriting:
    """Of one statement of a block."""

    def __init__(
        self,
        host: Host,
        block: Block,
        steps: BlockSteps,
        gather: Gather,
        execution: Execution,
        deadline: float,
    ) -> None:
        plan = execution.prepared.plan
        assert isinstance(plan, RowsWrite)
        self._host = host
        self._block = block
        self._steps = steps
        self._plan = plan
        self._execution = execution
        self._arguments = bind(plan, execution.arguments)
        self._deadline = deadline
        self._fragment = held_rows(plan)
        self._gather = gather
        settings = host.settings
        self._limits = Limits(settings.finish_rows_max, settings.finish_bytes_max)

    async def run(self) -> Outcome | None:
        """Its outcome; None if a shard says that the catalog is stale. Raises RouterError; then the
        block has failed."""
        plan = self._plan
        if self._host.settings.read_only:
            raise read_only_error(plan)
        read = await self._read()
        if read is None:
            return None
        rows = once_each(plan, await self._shaped(read))
        if plan.draws:
            drawn = await self._host.sequences.for_rows(
                plan.draws, len(rows), self._host.catalog, self._deadline
            )
            rows = [(*row, *numbers) for row, numbers in zip(rows, drawn, strict=True)]
        count = 0
        told: list[Row] = []
        for write, some in parts_of(plan, rows):
            table = self._host.catalog.tables[plan.tables[0][0]]
            if is_staged(plan, write, some, table):
                outcome = await self._staged(write, some, table)
            else:
                outcome = await self._write(write, some)
            if outcome is None:
                return None
            if write.is_told:
                count += outcome.row_count
                told += outcome.values
        if not plan.columns:
            return Outcome(plan.tag_of(count), count)
        made = rows_outcome(plan.tag_of(count), self._execution, told, plan.columns)
        return structs.replace(made, row_count=count)

    async def _read(self) -> Sequence[Row] | None:
        """The rows, as the query has them."""
        read = self._plan.read
        if isinstance(read, Answer):
            return read.rows
        asked = self._asked(read)
        if isinstance(read, Scatter):
            outcome = await self._gather(self._block, read, asked, self._deadline)
            return None if outcome is None else outcome.values
        steps = await self._steps.run(
            self._block,
            [_with_its_own(command_of(read, asked, self._host.catalog))],
            quick=False,
            is_write=False,
            deadline=self._deadline,
            stream=True,
        )
        if isinstance(steps, Stale):
            return None
        [result], stream = results_of(steps), steps[0].stream
        held = Held(self._limits, (self._fragment,))
        rows = held.add(0, result.values)
        if stream is not None:
            try:
                async with asyncio.timeout_at(self._deadline):
                    while (piece := await stream.next()) is not None:
                        rows += held.add(0, piece.values)
            except TimeoutError:
                raise DeadlineExceeded("canceling statement due to statement timeout") from None
            finally:
                stream.close()
        return rows

    async def _shaped(self, read: Sequence[Row]) -> Sequence[Row]:
        """As the columns of the table take them."""
        held = Held(self._limits, (self._fragment,))
        rows = held.add(0, read)
        if not rows:
            return rows
        return await self._host.finishing.run(
            self._plan.shaped,
            [(self._fragment, rows)],
            (),
            held.check_answer,
            self._deadline,
            self._block.now_us,
        )

    async def _write(self, write: RowsStatement, rows: Sequence[Row]) -> Outcome | None:
        """Some rows at a time."""
        count = 0
        told: list[Row] = []
        for plan, values in batches(self._plan, write, rows, len(self._arguments)):
            catalog = self._host.catalog
            asked = self._asked(plan, values)
            commands = commands_of(plan, asked, catalog)
            steps = await self._steps.run(
                self._block,
                commands,
                quick=False,
                is_write=True,
                deadline=self._deadline,
                alike=plan.spread == "alike",
            )
            if isinstance(steps, Stale):
                return None
            outcome = merged_outcome(plan, asked, results_of(steps), catalog)
            count += outcome.row_count
            told += outcome.values
        return Outcome("", count, values=tuple(told))

    async def _staged(
        self, write: RowsStatement, rows: Sequence[Row], table: Table
    ) -> Outcome | None:
        """Many rows, each shard's own sent ahead into a stage there, and written by one step."""
        host, catalog = self._host, self._host.catalog
        insert = row_insert(self._plan, write)
        places: Sequence[str] = ()
        if write.key < 0 and not write.spread:
            places = (catalog.home,)
        elif write.key < 0 or len(catalog.shards) == 1:
            places = catalog.shards
        timeout_s = host.settings.statement_timeout_s
        upload = RowsUpload(host.shards, insert, places, table.relname, catalog, timeout_s)
        try:
            for start in range(0, len(rows), STAGED_AT_ONCE):
                some = rows[start : start + STAGED_AT_ONCE]
                upload.add([tuple(row[i] for i in write.fields) for row in some])
                await upload.room()
            await upload.finish()
        except BaseException:
            upload.abandon()
            raise
        self._steps.keep(upload.hand_over())
        steps = await self._steps.run(
            self._block,
            upload.commands(insert, catalog),
            quick=True,  # however many they are, it is a row at a time
            is_write=True,
            deadline=self._deadline + upload.apply_s,
            alike=write.spread == "alike",
        )
        return None if isinstance(steps, Stale) else Outcome("", len(rows))

    def _asked(self, plan: OneShard | Scatter, drawn: tuple[Value, ...] = ()) -> Execution:
        """A part of the statement, whose rows come in stored form."""
        prepared = self._execution.prepared
        part = Prepared(
            prepared.text, plan, plan.parameter_oids, plan.columns, prepared.search_path
        )
        return Execution(part, self._execution.arguments, drawn=drawn, stored=True)


def _with_its_own(command: Command) -> Command:
    """The query with those of the arguments that it has: others may be of RETURNING alone, and
    SQLite takes no more than the text has."""
    statement = command.statement
    text, numbers = renumbered(statement.sql)
    parameters = tuple(statement.parameters[number - 1] for number in numbers)
    own = structs.replace(statement, sql=text, parameters=parameters)
    return structs.replace(command, statement=own)


def held_rows(plan: RowsWrite) -> Fragment:
    """The table of the rows that were read, of which the rows that are written are made."""
    return Fragment("held", "", (), plan.held, why="rows to be written")
