"""Where the answer of a query over several shards is made: a SQLite database in memory, which has
the fragments' rows as tables (docs/distributed.md).

Rows, bytes and time are bounded: what is finished is what the fragments fetched, and the query
ends when nobody waits for it. What it sorts goes to SQLite's temporary files, not to memory.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias

from nodes.protocol import Value
from shardrouter.errors import DeadlineExceeded
from shardrouter.made_keys import UNIQUE_ID, UNIQUE_ID_CALL
from shardrouter.memory_database import MemoryDatabase
from shardrouter.planned import Finish, Fragment
from shardrouter.sequence_cache import SequenceCache
from shardrouter.typed import quote

__all__ = ["Finishing", "Rows", "finished", "new_database"]

Rows: TypeAlias = Sequence[tuple[Value, ...]]

KEPT_MAX: Final = 4
"""Databases that are kept for the next query."""

RUNNING_MAX: Final = 4
"""Queries that are finished at once; others wait."""

PAGES_MAX: Final = 131_072
"""Of 4 KiB: what the fragments may hold is counted before."""

BATCH: Final = 5000
"""Rows that are put into a table between two looks whether anybody waits."""


class Finishing:
    """Of one router. Used from one event loop; opens nothing before the first query."""

    def __init__(self, rng: random.Random, sequences: SequenceCache | None = None) -> None:
        """sequences: of the router, which knows the keys that it makes."""
        self._rng = rng
        self._sequences = sequences
        self._kept: list[MemoryDatabase] = []
        self._turns = asyncio.Semaphore(RUNNING_MAX)

    def close(self) -> None:
        """No query runs any more."""
        while self._kept:
            self._kept.pop().close()

    async def run(
        self,
        finish: Finish,
        fragments: Sequence[tuple[Fragment, Rows]],
        arguments: Sequence[Value],
        check: Callable[[int], None],
        deadline: float,
        now_us: int | None = None,
    ) -> list[tuple[Value, ...]]:
        """The answer; `check` is told how many rows it has so far, and raises if it is too much.
        `now_us` is that of the transaction's BEGIN, if there was one.
        Raises RouterError."""
        loop = asyncio.get_running_loop()
        given_up = threading.Event()

        def is_over() -> bool:
            return given_up.is_set() or loop.time() >= deadline

        bound = tuple(arguments[number - 1] for number in finish.parameters)
        began_us = time.time_ns() // 1000 if now_us is None else now_us
        seed = self._rng.getrandbits(63)
        if UNIQUE_ID_CALL in finish.sql and self._sequences is not None:
            await self._sequences.have_number(deadline)

        def run() -> list[tuple[Value, ...]]:
            database = self._kept.pop() if self._kept else self._new_database()
            try:
                database.environment.begin(began_us, seed, 0)
                return finished(database, finish, fragments, bound, check, is_over)
            finally:
                # One that held much gives its memory back.
                is_light = sum(len(rows) for _, rows in fragments) <= BATCH
                if is_light and len(self._kept) < KEPT_MAX:
                    self._kept.append(database)
                else:
                    database.close()

        async with self._turns:
            if is_over():
                raise _timed_out()
            running = asyncio.ensure_future(asyncio.to_thread(run))
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                given_up.set()
                await asyncio.wait([running])  # it holds the database until then
                raise

    def _new_database(self) -> MemoryDatabase:
        database = new_database()
        if self._sequences is not None:
            make = partial(self._sequences.make, UNIQUE_ID)
            database.raw.create_function(UNIQUE_ID_CALL, 0, make)
        return database


def new_database() -> MemoryDatabase:
    return MemoryDatabase("one router", PAGES_MAX)


def finished(
    database: MemoryDatabase,
    finish: Finish,
    fragments: Sequence[tuple[Fragment, Rows]],
    arguments: Sequence[Value],
    check: Callable[[int], None],
    is_over: Callable[[], bool],
) -> list[tuple[Value, ...]]:
    """The answer; the database is empty before and after. Raises RouterError."""
    try:
        with database.query(is_over):
            _fill(database, fragments, is_over)
            return database.rows(finish.sql, arguments, check)
    finally:
        if database.raw.in_transaction:
            database.raw.execute("ROLLBACK")


def _fill(
    database: MemoryDatabase,
    fragments: Sequence[tuple[Fragment, Rows]],
    is_over: Callable[[], bool],
) -> None:
    raw = database.raw
    raw.execute("BEGIN")
    for fragment, rows in fragments:
        name = quote(fragment.name)
        raw.execute(f"CREATE TABLE {name} ({', '.join(fragment.columns)}) STRICT")
        insert = f"INSERT INTO {name} VALUES ({', '.join('?' * len(fragment.columns))})"  # noqa: S608 -- our own names
        for start in range(0, len(rows), BATCH):
            if is_over():
                raise _timed_out()
            raw.executemany(insert, rows[start : start + BATCH])


def _timed_out() -> DeadlineExceeded:
    return DeadlineExceeded("canceling statement due to statement timeout")
