"""Reads of several shards, outside of a transaction: all leave in one turn of the loop, so that
those of one node leave in one frame, and each is answered by its first rows.

If one fails, the others are ended at their nodes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

from nodes.protocol import Done, Guard, Stale, StatementResult
from shardrouter.errors import RouterError
from shardrouter.execution import Command
from shardrouter.instants import Instant, guards_of
from shardrouter.levels import Level
from shardrouter.replica_choice import Choice
from shardrouter.row_stream import RowStream
from shardrouter.shards import Shards, Streamed
from shardrouter.verdicts import Outcome

__all__ = ["Part", "Reads", "ReadsAtOneInstant"]

Came: TypeAlias = Callable[[Outcome | Streamed], None]
Stop: TypeAlias = Callable[[], None]


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
        return await _Asked(self._submit, commands).answered()

    def _submit(self, command: Command, done: Came) -> Stop:
        return self.shards.submit_stream(
            command.shard,
            command.statement,
            command.guards,
            self.deadline,
            done,
            self.consistency,
            self.choice,
        )


class ReadsAtOneInstant:
    """How they are read if all have to be of one instant: the commands of a shard one after the
    other. To be closed."""

    def __init__(self, shards: Shards, choice: Choice, deadline: float) -> None:
        self._shards = shards
        self._alone = Reads(shards, "linearizable", choice, deadline)
        self._deadline = deadline
        self._left: Counter[str] = Counter()  # of commands, by shard
        self._is_all = True
        self._instant: Instant | None = None
        self._guards: dict[str, tuple[Guard, ...]] = {}  # of all that will be asked

    async def expect(self, commands: Sequence[Command], is_all: bool) -> None:
        """These will be asked; unless that `is_all`, others of the same tables, on the same shards.
        Raises NoInstant, RouterError."""
        self._is_all = is_all
        self._left = Counter(command.shard for command in commands)
        if self._instant is None and (len(commands) > 1 or not is_all):
            self._guards = guards_of(commands, whole=not is_all)
            self._instant = await self._shards.pinned(self._guards, self._deadline)

    async def ask(self, commands: Sequence[Command]) -> list[Part] | None:
        """See `Reads.ask`; of a shard one at a time. Raises NoInstant if there is none, or it has
        been lost."""
        instant = self._instant
        if instant is None:
            return await self._alone.ask(commands)
        left = self._left.copy()
        asked = _Asked(self._submit, commands)
        while not await asked.unless_ended(instant.holds()):
            asked.end()
            instant.close()
            self._left = left.copy()
            pinned = self._shards.pinned(self._guards, self._deadline, instant.tries)
            instant = self._instant = await pinned
            asked = _Asked(self._submit, commands)
        return await asked.answered()

    def _submit(self, command: Command, done: Came) -> Stop:
        assert self._instant is not None
        self._left[command.shard] -= 1
        keeps = self._left[command.shard] > 0 or not self._is_all
        return self._shards.submit_pinned(self._instant, command, self._deadline, done, keeps=keeps)

    def close(self) -> None:
        """Nothing more will be asked."""
        if self._instant is not None:
            self._instant.close()


class _Asked:
    def __init__(
        self, submit: Callable[[Command, Came], Stop], commands: Sequence[Command]
    ) -> None:
        self._parts: list[Part | None] = [None] * len(commands)
        self._future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._stops: dict[int, Callable[[], None]] = {}  # of those that have no answer
        if not commands:
            self._future.set_result(True)
        for number, command in enumerate(commands):
            self._stops[number] = submit(command, partial(self._came, number))

    async def answered(self) -> list[Part] | None:
        if await self.unless_ended(self._future):
            return [part for part in self._parts if part is not None]
        self.end()
        return None

    async def unless_ended(self, waited: Awaitable[bool]) -> bool:
        """What is waited for; whatever ends that ends all that was asked."""
        try:
            return await waited
        except BaseException:
            self.end()
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

    def end(self) -> None:
        """Nobody waits for any of them."""
        if self._future.done() and not self._future.cancelled():
            self._future.exception()  # nobody asks for it
        self._future.cancel()
        for stop in list(self._stops.values()):
            stop()
        for part in self._parts:
            if part is not None and part.stream is not None:
                part.stream.close()
