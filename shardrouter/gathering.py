"""The rows of a query over several shards: fragments are read where they are, and merged or
finished here (docs/distributed.md).

Each shard is asked for its fragments one after the other, all shards at the same time. What is
held here of all of them is bounded; whoever asks for more is told what made it so much.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from nodes.protocol import Stale, StatementResult, Value
from shardrouter.catalog import Catalog
from shardrouter.errors import DeadlineExceeded, StatementError
from shardrouter.execution import Command, Execution, scatter_commands
from shardrouter.finishing import Finishing
from shardrouter.levels import Level
from shardrouter.merge import merge_rows
from shardrouter.planned import Fragment, Merge, Scatter
from shardrouter.replica_choice import Choice
from shardrouter.shards import Shards, Streamed

__all__ = ["Gathered", "Held", "Limits", "Reading", "gather", "gather_steps"]

Row: TypeAlias = tuple[Value, ...]

RunSteps: TypeAlias = Callable[[Sequence[Command]], Awaitable[list[StatementResult] | None]]
"""Runs one statement on the shards of some commands; None: the catalog is stale."""

CELL_BYTES: Final = 16
"""Counted for a value beside its bytes."""


@dataclass(frozen=True)
class Limits:
    """Of what one statement may hold here."""

    rows: int
    bytes: int


@dataclass(frozen=True)
class Reading:
    """How one statement is read, and by when."""

    shards: Shards
    finishing: Finishing
    limits: Limits
    consistency: Level
    choice: Choice
    deadline: float


@dataclass(frozen=True)
class Gathered:
    """The rows of the answer, and of how many shards they are."""

    rows: list[Row]
    shards: int


async def gather(
    plan: Scatter, execution: Execution, catalog: Catalog, reading: Reading
) -> Gathered | None:
    """The answer; None if a shard says that the catalog is stale. Raises RouterError."""
    arguments, commands = scatter_commands(plan, execution, catalog)
    held = Held(reading.limits, plan.fragments)
    by_shard: dict[str, list[tuple[int, Command]]] = {}
    for number, of_fragment in enumerate(commands):
        for command in of_fragment:
            by_shard.setdefault(command.shard, []).append((number, command))
    rows: dict[tuple[int, str], list[Row]] = {}

    async def read(asked: Sequence[tuple[int, Command]]) -> bool:
        for number, command in asked:
            found = await _read(command, reading, held, number)
            if found is None:
                return False
            rows[number, command.shard] = found
        return True

    if not all(await _together([read(asked) for asked in by_shard.values()])):
        return None
    of_fragments = [
        [rows[number, command.shard] for command in of_fragment]
        for number, of_fragment in enumerate(commands)
    ]
    answer = await _answer(plan, arguments, of_fragments, held, reading.finishing, reading.deadline)
    return Gathered(answer, len(by_shard))


async def gather_steps(
    plan: Scatter,
    execution: Execution,
    catalog: Catalog,
    run: RunSteps,
    limits: Limits,
    finishing: Finishing,
    deadline: float,
    now_us: int,
) -> list[Row] | None:
    """The same as statements of a transaction, which `run` runs: one fragment after the other, each
    on all of its shards at the same time."""
    arguments, commands = scatter_commands(plan, execution, catalog)
    held = Held(limits, plan.fragments)
    of_fragments = []
    for number, of_fragment in enumerate(commands):
        results = await run(of_fragment)
        if results is None:
            return None
        of_fragments.append([held.add(number, result.values) for result in results])
    return await _answer(plan, arguments, of_fragments, held, finishing, deadline, now_us)


async def _answer(
    plan: Scatter,
    arguments: tuple[Value, ...],
    of_fragments: Sequence[Sequence[list[Row]]],
    held: Held,
    finishing: Finishing,
    deadline: float,
    now_us: int | None = None,
) -> list[Row]:
    """Merged, or finished."""
    if isinstance(plan.finish, Merge):
        return merge_rows(plan.finish, of_fragments[0], arguments)
    fragments = [
        (fragment, [row for part in parts for row in part])
        for fragment, parts in zip(plan.fragments, of_fragments, strict=True)
    ]
    return await finishing.run(
        plan.finish, fragments, arguments, held.check_answer, deadline, now_us
    )


async def _together(runs: Sequence[Coroutine[None, None, bool]]) -> list[bool]:
    """All of them; if one fails the others are ended, and none outlives this."""
    tasks = [asyncio.ensure_future(run) for run in runs]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(command: Command, reading: Reading, held: Held, number: int) -> list[Row] | None:
    """All rows of one fragment that one shard has."""
    answer = await reading.shards.stream(
        command.shard,
        command.statement,
        command.guards,
        reading.deadline,
        reading.consistency,
        reading.choice,
    )
    if isinstance(answer, Stale):
        return None
    if not isinstance(answer, Streamed):
        return held.add(number, answer.results[0].values)
    rows = held.add(number, answer.result.values)
    try:
        while True:
            async with asyncio.timeout_at(reading.deadline):
                piece = await answer.stream.next()
            if piece is None:
                return rows
            rows += held.add(number, piece.values)
    except TimeoutError:
        raise DeadlineExceeded("canceling statement due to statement timeout") from None
    finally:
        answer.stream.close()


class Held:
    """What is held of all fragments of one statement."""

    def __init__(self, limits: Limits, fragments: Sequence[Fragment]) -> None:
        self._limits = limits
        self._fragments = fragments
        self._rows = 0
        self._bytes = 0

    def add(self, number: int, rows: Sequence[Row]) -> list[Row]:
        """Some rows more of a fragment. Raises StatementError 54000."""
        self._rows += len(rows)
        self._bytes += sum(map(_size, rows))
        if self._rows > self._limits.rows:
            raise self._too_much(f"{self._limits.rows} rows", "finish_rows_max", number)
        if self._bytes > self._limits.bytes:
            raise self._too_much(f"{self._limits.bytes} bytes", "finish_bytes_max", number)
        return list(rows)

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
