"""The rows of a query over several shards: fragments are read where they are, and merged or
finished here (docs/distributed.md).

All that is asked of the shards leaves at once. Rows that are merged go on to the client as they
come, a piece at a time, with no more here than a few pieces of each shard. What is finished is held
here, which is bounded; whoever asks for more is told what made it so much.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final, TypeAlias

from nodes.protocol import StatementResult, Value
from shardrouter.asking import Part
from shardrouter.broadcasting import rows_sent
from shardrouter.catalog import Catalog
from shardrouter.errors import DeadlineExceeded, StatementError
from shardrouter.execution import (
    Command,
    Execution,
    Outcome,
    encoded_rows,
    scatter_commands,
    scattered_outcome,
)
from shardrouter.finishing import Finishing
from shardrouter.merge import Merger, totalled
from shardrouter.merged_rows import MergedRows, PassedRows
from shardrouter.planned import Broadcast, Finish, Fragment, Merge, Scatter
from shardrouter.row_stream import RowStream

__all__ = ["Gathered", "Gathering", "Held", "Limits", "Row", "gather"]

Row: TypeAlias = tuple[Value, ...]

Ask: TypeAlias = Callable[[Sequence[Command]], Awaitable[list[Part] | None]]
"""Asks shards, all at the same time; None: the catalog is stale. Raises RouterError."""

CELL_BYTES: Final = 16
"""Counted for a value beside its bytes."""


@dataclass(frozen=True)
class Limits:
    """Of what one statement may hold here."""

    rows: int
    bytes: int
    broadcast_rows: int = 0
    """Of the small side of a join, to be sent to the shards."""


@dataclass(frozen=True)
class Gathering:
    """How the rows of one statement are read, by when, and where they are finished."""

    ask: Ask
    fragments_at_once: int
    """Whose rows are read at the same time."""
    keep: Callable[[RowStream], None]
    """Is told what is left open for rows that the client has to ask for."""
    finishing: Finishing
    limits: Limits
    deadline: float
    now_us: int | None = None
    """Of the transaction's BEGIN, if there was one."""
    expect: Callable[[Sequence[Command], bool], Awaitable[None]] | None = None
    """Is told beforehand of what will be asked, and whether that is all; if not, once more."""


@dataclass(frozen=True)
class Gathered:
    """The answer, or its first rows if it is to be streamed, and of how many shards it is."""

    outcome: Outcome
    shards: int


async def gather(
    plan: Scatter, execution: Execution, catalog: Catalog, how: Gathering
) -> Gathered | None:
    """The answer; None if a shard says that the catalog is stale. Raises RouterError."""
    arguments, commands = scatter_commands(plan, execution, catalog)
    broadcasts = plan.broadcasts if how.limits.broadcast_rows else ()
    if how.expect is not None:
        await how.expect(list(chain.from_iterable(commands)), not broadcasts)
    for broadcast in broadcasts:
        parts = await _side(plan, broadcast, execution, catalog, how)
        if parts is None:
            return None
        rows = few_rows(parts, how.limits.broadcast_rows)
        if rows is not None:
            plan, sent = plan.by(broadcast), (how.limits.broadcast_rows, rows)
            arguments, commands = scatter_commands(plan, execution, catalog, sent)
            break
    if how.expect is not None and broadcasts:
        await how.expect(list(chain.from_iterable(commands)), True)
    if isinstance(plan.finish, Merge):
        outcome = await _merged(plan, plan.finish, execution, arguments, commands[0], how)
    else:
        outcome = await _finished(plan, plan.finish, execution, arguments, commands, how)
    shards = {command.shard for of_fragment in commands for command in of_fragment}
    return None if outcome is None else Gathered(outcome, len(shards))


async def _side(
    plan: Scatter, broadcast: Broadcast, execution: Execution, catalog: Catalog, how: Gathering
) -> list[Part] | None:
    """The side of a join that may be small; None as above."""
    asked = replace(plan, fragments=(broadcast.small,))
    one_more = (how.limits.broadcast_rows + 1,)
    _, [commands] = scatter_commands(asked, execution, catalog, one_more)
    parts = await how.ask(commands)
    for part in parts or ():
        if part.stream is not None:
            part.stream.close()
    return parts


def few_rows(parts: Sequence[Part], rows_max: int) -> str | None:
    """As they are sent to the shards; None if they are not few."""
    rows = [row for part in parts for row in part.result.values]
    if len(rows) > rows_max or any(part.stream is not None for part in parts):
        return None
    return rows_sent(rows)


async def _finished(
    plan: Scatter,
    finish: Finish,
    execution: Execution,
    arguments: tuple[Value, ...],
    commands: Sequence[Sequence[Command]],
    how: Gathering,
) -> Outcome | None:
    """All rows of all fragments, and what is made of them."""
    held = Held(how.limits, plan.fragments)
    rows: list[list[Row]] = []
    for start in range(0, len(commands), how.fragments_at_once):
        some = commands[start : start + how.fragments_at_once]
        parts = await how.ask([command for of_fragment in some for command in of_fragment])
        if parts is None:
            return None
        numbers = [n for n, of_fragment in enumerate(some, start) for _ in of_fragment]
        found = await _drained(parts, numbers, held, how.deadline)
        rows += [[] for _ in some]
        for number, of_part in zip(numbers, found, strict=True):
            rows[number] += of_part
    if finish.totals and (total := totalled(finish.totals, rows[0])) is not None:
        return scattered_outcome(execution, plan.columns, _result(plan, execution, [total]))
    answer = await how.finishing.run(
        finish,
        list(zip(plan.fragments, rows, strict=True)),
        arguments,
        held.check_answer,
        how.deadline,
        how.now_us,
    )
    return scattered_outcome(execution, plan.columns, _result(plan, execution, answer))


async def _merged(
    plan: Scatter,
    merge: Merge,
    execution: Execution,
    arguments: tuple[Value, ...],
    commands: Sequence[Command],
    how: Gathering,
) -> Outcome | None:
    """Rows that are those of the answer, passed on as they come or merged."""
    parts = await how.ask(commands)
    if parts is None:
        return None
    rows: PassedRows | MergedRows
    if merge.is_passing:
        rows = PassedRows(parts)
    else:
        merger = Merger(merge, len(parts), arguments)
        rows = MergedRows(parts, merger, lambda found: _result(plan, execution, found))
    streams = [part.stream for part in parts if part.stream is not None]
    if streams and execution.stream:
        for stream in streams:
            how.keep(stream)
        first = await rows.next() or StatementResult(0)
        return scattered_outcome(execution, plan.columns, first, rows)
    held = Held(how.limits, plan.fragments)
    pieces: list[StatementResult] = []
    try:
        async with asyncio.timeout_at(how.deadline):
            while (piece := await rows.next()) is not None:
                if not execution.stream:  # else it is less than a piece of each shard
                    held.count(0, piece)
                pieces.append(piece)
    except TimeoutError:
        raise _timed_out() from None
    finally:
        rows.close()
    result = StatementResult(
        sum(piece.row_count for piece in pieces),
        b"".join(piece.rows for piece in pieces),
        tuple(row for piece in pieces for row in piece.values),
    )
    return scattered_outcome(execution, plan.columns, result)


def _result(plan: Scatter, execution: Execution, rows: Sequence[Row]) -> StatementResult:
    """Rows of the answer as they leave, or in stored form."""
    if execution.stored or execution.formats is None:
        return StatementResult(len(rows), values=tuple(rows))
    return StatementResult(len(rows), encoded_rows(rows, plan.columns, execution.formats))


async def _drained(
    parts: Sequence[Part], numbers: Sequence[int], held: Held, deadline: float
) -> list[list[Row]]:
    """All rows of each part; `numbers` are those of the fragments."""
    try:
        rows = [held.add(n, part.result.values) for n, part in zip(numbers, parts, strict=True)]
        more = [
            _rest(part.stream, rows[at], numbers[at], held)
            for at, part in enumerate(parts)
            if part.stream is not None
        ]
        if more:
            async with asyncio.timeout_at(deadline):
                await _together(more)
        return rows
    except TimeoutError:
        raise _timed_out() from None
    finally:
        for part in parts:
            if part.stream is not None:
                part.stream.close()


async def _rest(stream: RowStream, rows: list[Row], number: int, held: Held) -> None:
    while (piece := await stream.next()) is not None:
        rows += held.add(number, piece.values)


async def _together(runs: Sequence[Coroutine[None, None, None]]) -> None:
    """All of them; if one fails the others are ended, and none outlives this."""
    tasks = [asyncio.ensure_future(run) for run in runs]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Held:
    """What is held of all fragments of one statement."""

    def __init__(self, limits: Limits, fragments: Sequence[Fragment]) -> None:
        self._limits = limits
        self._fragments = fragments
        self._rows = 0
        self._bytes = 0

    def add(self, number: int, rows: Sequence[Row]) -> list[Row]:
        """Some rows more of a fragment. Raises StatementError 54000."""
        self._count(number, len(rows), sum(map(_size, rows)))
        return list(rows)

    def count(self, number: int, piece: StatementResult) -> None:
        """The same, of rows that may have been encoded."""
        self._count(number, piece.row_count, len(piece.rows) + sum(map(_size, piece.values)))

    def _count(self, number: int, rows: int, size: int) -> None:
        self._rows += rows
        self._bytes += size
        if self._rows > self._limits.rows:
            raise self._too_much(f"{self._limits.rows} rows", "finish_rows_max", number)
        if self._bytes > self._limits.bytes:
            raise self._too_much(f"{self._limits.bytes} bytes", "finish_bytes_max", number)

    def check_answer(self, rows: int) -> None:
        """So many rows has the answer so far."""
        if rows > self._limits.rows:
            raise self._too_much(f"{self._limits.rows} rows", "finish_rows_max")

    def _too_much(self, what: str, setting: str, number: int | None = None) -> StatementError:
        why = "the answer" if number is None else self._fragments[number].why
        return StatementError(
            f"a query over several shards would hold more than {what} in the router",
            sqlstate="54000",
            detail=f"They were {why}.",
            hint=f"Narrow it, pin its shard key, or SET shardrouter.{setting}.",
        )


def _size(row: Row) -> int:
    return sum(
        CELL_BYTES + len(value) if isinstance(value, str | bytes) else CELL_BYTES for value in row
    )


def _timed_out() -> DeadlineExceeded:
    return DeadlineExceeded("canceling statement due to statement timeout")
