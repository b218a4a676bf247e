"""Reads that may take long, on a thread and a connection of their own.

The event loop must go on while a scan runs: ticks and heartbeats do not wait for SQL (DESIGN
section 4). One read runs at a time per replica, some wait, more are refused. A read that is
over its time is interrupted inside SQLite; it never outlives its caller, and never leaves a
read transaction open behind it, which would stop checkpoints.
"""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any, Final, cast

import aiosqlite

from nodes.authorizer import Mode
from nodes.data_file import BEGIN_READ, READ_APPLIED, READ_VERSION, ROLLBACK
from nodes.protocol import Busy, Done, Read, ResponseBody, SqlFailure, Stale, Statement, Value
from nodes.sql_connection import ROW_CHUNK, Answer, Refused, SqlConnection
from nodes.sql_errors import SQL_ERRORS

__all__ = ["LONG_READS_MAX", "LongReads"]

LONG_READS_MAX: Final = 32
"""Reads of one replica that run or wait; one more is answered Busy."""

_TIMED_OUT: Final = SqlFailure("57014", "canceling statement due to statement timeout")


class LongReads:
    """The long reads of one replica. Opens nothing before the first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = asyncio.Lock()
        self._runs: dict[asyncio.Task[ResponseBody], _Run] = {}
        self._open: tuple[SqlConnection, aiosqlite.Connection] | None = None
        self._is_closed = False

    async def read(self, read: Read, timeout_s: float, now_us: int, seed: int) -> ResponseBody:
        """Run the read in one read transaction; 57014 after `timeout_s`. Raises a fault.

        The run is a task of its own that is interrupted, never cancelled: a cancelled call
        would leave its statement on the thread, where it runs under the next call's authority.
        """
        if self._is_closed:
            return Busy("the replica is stopping")
        if len(self._runs) >= LONG_READS_MAX:
            return Busy(f"{LONG_READS_MAX} long reads are under way")
        loop = asyncio.get_running_loop()
        run = _Run(read, now_us, seed)
        task = loop.create_task(self._take_turn(run))
        self._runs[task] = run
        task.add_done_callback(self._runs.pop)
        timer = loop.call_later(timeout_s, run.interrupt)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            run.interrupt()
            await asyncio.wait([task])
            raise
        finally:
            timer.cancel()

    async def _take_turn(self, run: _Run) -> ResponseBody:
        async with self._turn:
            if self._open is None:
                connection = SqlConnection(self._path, is_writer=False)
                thread = await aiosqlite.Connection(lambda: connection.raw, ROW_CHUNK)
                self._open = connection, thread
            return await run.run(*self._open)

    async def close(self) -> None:
        """Interrupt what runs or waits, wait for its end, and close."""
        self._is_closed = True
        for run in self._runs.values():
            run.interrupt()
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
        self._running: sqlite3.Connection | None = None  # what an interrupt has to stop

    def interrupt(self) -> None:
        """The time is over. Between two steps there is nothing to interrupt: they look."""
        self._is_late = True
        if self._running is not None:
            self._running.interrupt()

    def _is_over(self) -> bool:
        return self._is_late

    async def run(self, connection: SqlConnection, thread: aiosqlite.Connection) -> ResponseBody:
        if self._is_over():
            return _TIMED_OUT
        answer = Answer()
        self._running = connection.raw
        try:
            await thread.execute(BEGIN_READ)
            for guard in self._read.guards:
                row = await _first(thread, READ_VERSION, guard.object)
                have = 0 if row is None else row[0]
                if have != guard.version:
                    return Stale(guard.object, have, guard.version)
            applied = await _first(thread, READ_APPLIED)
            assert applied is not None
            for statement in self._read.statements:
                await self._statement(connection, thread, statement, answer)
            return Done(tuple(answer.results), applied[0])
        except Refused as exc:
            return exc.failure
        except sqlite3.OperationalError:
            if not self._is_over():
                raise
            return _TIMED_OUT
        finally:
            self._running = None  # a late interrupt must not hit the next read
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
                    if self._is_over():
                        raise Refused(_TIMED_OUT)
                    rows = cast("list[tuple[Value, ...]]", await cursor.fetchmany(ROW_CHUNK))
                    answer.take(rows, statement.columns)
                    more = len(rows) == ROW_CHUNK
            finally:
                await cursor.close()
            answer.finish()
        except SQL_ERRORS as exc:
            if self._is_over():
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
