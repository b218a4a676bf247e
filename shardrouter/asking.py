"""Reads of several shards, outside of a transaction: all leave in one turn of the loop, so that
those of one node leave in one frame, and each is answered by its first rows.

If one fails, the others are ended at their nodes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from nodes.protocol import Done, Stale, StatementResult
from shardrouter.errors import RouterError
from shardrouter.execution import Command
from shardrouter.levels import Level
from shardrouter.replica_choice import Choice
from shardrouter.row_stream import RowStream
from shardrouter.shards import Shards, Streamed
from shardrouter.verdicts import Outcome

__all__ = ["Part", "Reads"]


class Part(NamedTuple):
    """What a shard answers to one command: the first rows, and where the others come from."""

    result: StatementResult
    stream: RowStream | None = None


@dataclass(frozen=True)
class Reads:
    """How they are read, and by when."""

    shards: Shards
    consistency: Level
    choice: Choice
    deadline: float

    async def ask(self, commands: Sequence[Command]) -> list[Part] | None:
        """What each command is answered; None if a shard says that the catalog is stale. Raises
        RouterError."""
        return await _Asked(self, commands).answered()


class _Asked:
    def __init__(self, how: Reads, commands: Sequence[Command]) -> None:
        self._parts: list[Part | None] = [None] * len(commands)
        self._future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._stops: dict[int, Callable[[], None]] = {}  # of those that have no answer
        if not commands:
            self._future.set_result(True)
        for number, command in enumerate(commands):
            self._stops[number] = how.shards.submit_stream(
                command.shard,
                command.statement,
                command.guards,
                how.deadline,
                partial(self._came, number),
                how.consistency,
                how.choice,
            )

    async def answered(self) -> list[Part] | None:
        try:
            if await self._future:
                return [part for part in self._parts if part is not None]
            self._end()
            return None
        except BaseException:
            self._end()
            raise

    def _came(self, number: int, outcome: Outcome | Streamed) -> None:
        del self._stops[number]
        if self._future.done():
            if isinstance(outcome, Streamed):
                outcome.stream.close()
            return
        match outcome:
            case Done(results=[result]):
                self._parts[number] = Part(result)
            case Streamed(result=result, stream=stream):
                self._parts[number] = Part(result, stream)
            case Stale():
                self._future.set_result(False)
            case RouterError():
                self._future.set_exception(outcome)
            case _:
                raise AssertionError(f"a read of one statement is not answered by {outcome!r}")
        if not self._stops and not self._future.done():
            self._future.set_result(True)

    def _end(self) -> None:
        """Nobody waits for any of them."""
        for stop in list(self._stops.values()):
            stop()
        for part in self._parts:
            if part is not None and part.stream is not None:
                part.stream.close()
