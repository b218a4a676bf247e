"""Reads that may take long, on a thread and a connection of their own.

The event loop must go on while a scan runs: ticks and heartbeats do not wait for SQL (DESIGN
section 4). One read runs at a time per replica, some wait, more are refused. A read that is
over its time is stopped inside SQLite; it never outlives its caller, and never leaves a read
transaction open behind it, which would stop checkpoints.

Stopping is a flag that SQLite asks for every few thousand steps. `sqlite3_interrupt` would
miss a statement that waits for its thread: it only stops what runs at that moment.
"""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any, Final, cast

import aiosqlite

from nodes.authorizer import Mode
from nodes.data_file import BEGIN_READ, READ_POSITION, READ_VERSION, ROLLBACK
from nodes.protocol import Busy, Done, Read, ResponseBody, SqlFailure, Stale, Statement, Value
from nodes.sql_connection import ROW_CHUNK, Answer, Refused, SqlConnection
from nodes.sql_errors import SQL_ERRORS

__all__ = ["LONG_READS_MAX", "LongReads"]

LONG_READS_MAX: Final = 32
"""Reads of one replica that run or wait; one more is answered Busy."""

STEPS_PER_LOOK: Final = 5000
"""SQLite's virtual machine steps between two looks at the flag: well under a millisecond."""

_TIMED_OUT: Final = SqlFailure("57014", "canceling statement due to statement timeout")


class LongReads:
    """The long reads of one replica. Opens nothing before the first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = asyncio.Lock()
        self._runs: dict[asyncio.Task[ResponseBody], _Run] = {}
        self._open: tuple[SqlConnection, aiosqlite.Connection] | None = None
        self._current: _Run | None = None  # whose turn it is or was last
        self._is_closed = False

    async def read(self, read: Read, timeout_s: float, now_us: int, seed: int) -> ResponseBody:
        """Run the read in one read transaction; 57014 after `timeout_s`. Raises a fault.

        The run is a task of its own that is stopped, never cancelled: a cancelled call
        would leave its statement on the thread, where it runs under the next call's authority.
        """
        if self._is_closed:
            return Busy("the replica is stopping")
        if len(self._runs) >= LONG_READS_MAX:
            return Busy(f"{LONG_READS_MAX} long reads are under way")
        loop = asyncio.get_running_loop()
        run = _Run(read, now_us, seed)
        deadline = loop.time() + timeout_s
        task = loop.create_task(self._take_turn(run, deadline))
        self._runs[task] = run
        task.add_done_callback(self._runs.pop)
        timer = loop.call_at(deadline, run.stop)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            run.stop()
            if self._current is not run:
                task.cancel()  # it waits for its turn: nothing of it is on the thread
            await asyncio.wait([task])
            raise
        finally:
            timer.cancel()

    async def _take_turn(self, run: _Run, deadline: float) -> ResponseBody:
        try:
            async with asyncio.timeout_at(deadline):
                await self._turn.acquire()
        except TimeoutError:
            return _TIMED_OUT
        try:
            self._current = run
            if self._open is None:
                connection = SqlConnection(self._path, is_writer=False)
                connection.raw.set_progress_handler(self._is_stopped, STEPS_PER_LOOK)
                thread = await aiosqlite.Connection(lambda: connection.raw, ROW_CHUNK)
                self._open = connection, thread
            return await run.run(*self._open)
        finally:
            self._turn.release()

    def _is_stopped(self) -> bool:
        """Asked on the thread, of the statement that runs there."""
        return self._current is not None and self._current.is_stopped()

    async def close(self) -> None:
        """Stop what runs or waits, wait for its end, and close."""
        self._is_closed = True
        for run in self._runs.values():
            run.stop()
        if self._runs:
            await asyncio.wait(list(self._runs))
        if self._open is not None:
            connection, thread = self._open
            self._open = None
            await thread.close()
            connection.close()


class _Run:
    """One read, from its turn on the connection to its end."""

    def __init__(self, read: Read, now_us: int, seed: int) -> None:
        self._read = read
        self._now_us = now_us
        self._seed = seed
        self._is_late = False

    def stop(self) -> None:
        """Its time is over, or its caller is gone."""
        self._is_late = True

    def is_stopped(self) -> bool:
        return self._is_late

    async def run(self, connection: SqlConnection, thread: aiosqlite.Connection) -> ResponseBody:
        if self.is_stopped():
            return _TIMED_OUT
        answer = Answer()
        try:
            await thread.execute(BEGIN_READ)
            for guard in self._read.guards:
                row = await _first(thread, READ_VERSION, guard.object)
                have = 0 if row is None else row[0]
                if have != guard.version:
                    return Stale(guard.object, have, guard.version)
            position = await _first(thread, READ_POSITION)
            assert position is not None
            for statement in self._read.statements:
                await self._statement(connection, thread, statement, answer)
            index, incarnation = position
            return Done(tuple(answer.results), index, incarnation)
        except Refused as exc:
            return exc.failure
        except sqlite3.OperationalError:
            if not self.is_stopped():
                raise
            return _TIMED_OUT
        finally:
            if connection.raw.in_transaction:
                await thread.execute(ROLLBACK)

    async def _statement(
        self,
        connection: SqlConnection,
        thread: aiosqlite.Connection,
        statement: Statement,
        answer: Answer,
    ) -> None:
        ordinal = len(answer.results)
        sql = connection.begin(statement, ordinal, self._now_us, self._seed, Mode.READ)
        try:
            cursor = await thread.execute(sql, statement.parameters)
            try:
                if not cursor.description:  # None, whatever its annotation says
                    answer.add_count(0)
                    return
                more = True
                while more:
                    if self.is_stopped():
                        raise Refused(_TIMED_OUT)
                    rows = cast("list[tuple[Value, ...]]", await cursor.fetchmany(ROW_CHUNK))
                    answer.take(rows, statement.columns)
                    more = len(rows) == ROW_CHUNK
            finally:
                await cursor.close()
            answer.finish()
        except SQL_ERRORS as exc:
            if self.is_stopped():
                raise Refused(_TIMED_OUT) from exc
            refused = connection.refusal(exc, statement.sql, ordinal)
            if refused is None:
                raise
            raise refused from exc
        finally:
            connection.end()


async def _first(
    thread: aiosqlite.Connection, sql: str, *parameters: Value
) -> tuple[Any, ...] | None:
    rows = list(await thread.execute_fetchall(sql, parameters))
    return tuple(rows[0]) if rows else None
