"""The ranges of sequences that a router has taken and not used up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Final

from nodes.protocol import Done, Guard, SetVersion, Stale
from shardrouter.catalog import Parts
from shardrouter.definitions import Renumber
from shardrouter.errors import StatementError
from shardrouter.made_keys import KeyMaker
from shardrouter.sequences import (
    State,
    checked,
    following,
    guard_of,
    set_parts,
    state_of,
    take_parts,
)
from shardrouter.tables import SqlSequence

__all__ = ["SequenceCache"]

FIRST_RANGE: Final = 32
"""Numbers taken at once from a sequence that was not used for a while: a restart loses as many."""

RANGE_MAX: Final = 1024
"""Of a busy one: each range that is used up makes the next twice as long, up to this."""

SEQUENCES_MAX: Final = 4096
"""Sequences whose ranges are kept; the one taken first goes first, and its range is a gap."""


@dataclass
class _Kept:
    state: State  # of the row, as far as known
    numbers: range = range(0)
    size: int = FIRST_RANGE  # of the next range
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


_STARTS: Final = "routers"
"""The object of `meta` whose version counts the routers that have taken a number."""


class SequenceCache:
    """Used from one event loop. `write` carries a write to `meta`, `read` asks it whether guards
    hold, and `change` carries a change of the schema."""

    def __init__(
        self,
        write: Callable[[Parts, float], Awaitable[Done | Stale]],
        read: Callable[[tuple[Guard, ...], float], Awaitable[Done | Stale]],
        change: Callable[[Renumber, float], Awaitable[object]],
    ) -> None:
        self._write = write
        self._read = read
        self._change = change
        self.keys = KeyMaker(lambda: time.time_ns() // 1_000_000, SystemRandom())
        self._numbering = asyncio.Lock()
        self._making = threading.Lock()
        self._kept: dict[tuple[str, int], _Kept] = {}

    def at_hand(self, sequence: SqlSequence) -> int:
        """How many numbers can be taken at once."""
        kept = self._kept.get((sequence.name, sequence.version))
        return 0 if kept is None else len(kept.numbers)

    def take(self, sequence: SqlSequence) -> int:
        """The next number; there must be one at hand."""
        kept = self._kept[sequence.name, sequence.version]
        number, kept.numbers = kept.numbers[0], kept.numbers[1:]
        return number

    async def draw(self, sequence: SqlSequence, deadline: float, wanted: int = 1) -> int:
        """The next number, the first of so many that are wanted. Raises RouterError."""
        kept = self._kept_of(sequence)
        async with kept.lock:  # one range at a time
            while not kept.numbers:
                await self._refill(sequence, kept, deadline, wanted)
            return self.take(sequence)

    async def _refill(
        self, sequence: SqlSequence, kept: _Kept, deadline: float, wanted: int
    ) -> None:
        """One try: if the row is another one than this router knew, it knows it now."""
        state = kept.state
        numbers = following(sequence, state, max(kept.size, wanted))
        answer = await self._write(take_parts(sequence, state, numbers[-1]), deadline)
        if isinstance(answer, Stale):
            raise _gone(sequence)
        taken, row = answer.results
        kept.state = state_of(row)
        if taken.row_count:
            kept.numbers = numbers
            kept.size = min(2 * kept.size, RANGE_MAX)

    def make(self, drawn: str) -> bytes | int:
        """A key that the router makes up. From any thread: a query is finished on one."""
        with self._making:
            return self.keys.make(drawn)

    async def have_number(self, deadline: float) -> None:
        """The router has a number of its own, for `unique_id()`. Raises RouterError."""
        async with self._numbering:
            number = 0
            while self.keys.number is None:
                guard = Guard(_STARTS, number)
                parts = Parts((), (guard,), (SetVersion(_STARTS, number + 1),))
                answer = await self._write(parts, deadline)
                if isinstance(answer, Stale):
                    number = answer.have
                else:
                    self.keys.number = number

    async def confirm(self, sequences: Sequence[SqlSequence], deadline: float) -> None:
        """What is at hand of these may be given out: nobody has set them meanwhile. Raises
        StatementError 42P01 if they are others by now."""
        answer = await self._read(tuple(map(guard_of, sequences)), deadline)
        if isinstance(answer, Stale):
            raise _gone(sequences[0])

    async def set(self, sequence: SqlSequence, state: State, deadline: float) -> None:
        """setval(): no router gives out a number that it has taken before."""
        checked(sequence, state)
        await self._change(Renumber(sequence.name, state.last, state.is_called), deadline)

    async def announce(self, names: Sequence[str], deadline: float) -> None:
        """Sequences were set by `set_here`: what other routers have taken is void."""
        for name in names:
            await self._change(Renumber(name), deadline)

    async def set_here(self, sequence: SqlSequence, state: State, deadline: float) -> None:
        """setval(), of which other routers hear by `announce`."""
        parts = set_parts(sequence, state)
        kept = self._kept_of(sequence)
        async with kept.lock:
            kept.numbers = range(0)
            if isinstance(await self._write(parts, deadline), Stale):
                raise _gone(sequence)
            kept.state, kept.size = state, FIRST_RANGE

    def _kept_of(self, sequence: SqlSequence) -> _Kept:
        key = (sequence.name, sequence.version)
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= SEQUENCES_MAX:
                del self._kept[next(iter(self._kept))]
            kept = self._kept[key] = _Kept(State(sequence.start, is_called=False))
        return kept


def _gone(sequence: SqlSequence) -> StatementError:
    return StatementError(f'relation "{sequence.relname}" does not exist', sqlstate="42P01")
