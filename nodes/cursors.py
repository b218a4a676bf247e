"""Reads whose answer is larger than one frame: a piece at a time, all of one state.

A read that is streamed has a connection of its own, and on it a read transaction that is open from
its first piece to its last. If everything fits into the first piece it is answered like any read;
else the statement stays where it is, as a *cursor*, until the next piece is asked for
(docs/bulk.md). An open read transaction keeps the -wal from starting over, so a cursor ends when
nobody asks for it for a while, and in any case when it is too old.

A state may be pinned before it is known what is read of it (`nodes.instants`): that is a cursor
too, without a statement, and may be given several, one after the other.

What a transaction reads that is larger has been read to its end by then (`nodes.spool`): of it a
cursor has the pieces that are left.

SQL runs on a few threads, so that a long scan delays neither the loop nor, mostly, other scans.
Stopping is a flag that SQLite asks for every few thousand steps.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import structs

from nodes.authorizer import Mode
from nodes.bounds import stale_guard
from nodes.data_file import BEGIN_READ, READ_POSITION, READ_VERSION, ROLLBACK
from nodes.protocol import (
    Busy,
    Done,
    Guard,
    OutputColumn,
    Piece,
    Ran,
    Read,
    ResponseBody,
    Speculate,
    SqlFailure,
    Stale,
    Statement,
    StatementResult,
    Value,
)
from nodes.spool import LARGE_BYTES, PIECE_BYTES, Spool, SpoolFailed
from nodes.sql_connection import Refused, SqlConnection
from nodes.sql_errors import SQL_ERRORS
from nodes.transaction_unit import all_steps, refuse_difference, run_new, run_step
from nodes.values import encode_data_rows

__all__ = ["AGE_S_MAX", "CURSORS_MAX", "IDLE_S_MAX", "PIECE_BYTES", "TOO_MANY", "Cursors"]

CURSORS_MAX: Final = 16
"""Of one replica; one more waits for a place, for a while."""

WAIT_S_MAX: Final = 1.0
"""For a place: most reads end with their first piece. Then 53300."""

WAITING_MAX: Final = 256
"""Reads that wait."""

AGE_S_MAX: Final = 300.0
"""Of a cursor, from its first piece; then it answers 72000."""

IDLE_S_MAX: Final = 30.0
"""Without a word from its router, which is gone then."""

PIN_PLACE_S_MAX: Final = 0.05
"""For the place of a pin: who asks for several, each elsewhere, must not hold some and wait for
long."""

LOOK_S: Final = 5.0
"""How often is looked for cursors that are to end."""

ROWS_MAX: Final = 512
"""Fetched at once; fewer of large ones."""

FIRST_ROWS: Final = 16
"""Fetched before it is known how large they are."""

THREADS: Final = 2
KEPT_MAX: Final = 4
"""Connections that are kept for the next read."""

STEPS_PER_LOOK: Final = 5000

_TIMED_OUT: Final = SqlFailure("57014", "canceling statement due to statement timeout")
_GONE: Final = SqlFailure(
    "57P03",
    "the rest of the rows is no longer at hand",
    detail="The node that read them has ended the read.",
)
_TOO_OLD: Final = SqlFailure(
    "72000",
    f"snapshot too old: the rows were not taken within {AGE_S_MAX:g} s",
    detail="Read less at a time, or faster.",
)
TOO_MANY: Final = SqlFailure("53300", f"{CURSORS_MAX} large results are being read")
_STOPPING: Final = Busy("the replica is stopping")


class Cursors:
    """The streamed reads of one replica. Used on the event loop. Opens nothing before the first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: dict[int, _Cursor | _Spooled] = {}
        self._ended: OrderedDict[int, SqlFailure] = OrderedDict()  # why, for who asks for more
        self._kept: list[SqlConnection] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._last = 0
        self._working: set[asyncio.Future[ResponseBody]] = set()
        self._threads: ThreadPoolExecutor | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def open(self) -> int:
        """How many results are being read."""
        return len(self._open)

    async def read(self, read: Read, timeout_s: float, now_us: int, seed: int) -> ResponseBody:
        """Begin a read of one statement: `Done` if that was all, `Piece` if there is more. Raises
        a fault."""
        ends = time.monotonic() + timeout_s
        if (refusal := await self._place(ends)) is not None:
            return refusal
        self._last += 1
        cursor = self._open[self._last] = _Cursor(self._last)
        cursor.give(read, now_us, seed)
        return await self._work(cursor, ends)

    async def reserve_pin(self, timeout_s: float) -> int | Busy | SqlFailure:
        """The number of the read transaction that `pin` will open; or why there is no place."""
        ends = time.monotonic() + min(timeout_s, PIN_PLACE_S_MAX)
        if (refusal := await self._place(ends)) is not None:
            return refusal
        self._last += 1
        cursor = self._open[self._last] = _Cursor(self._last)
        if self._kept:
            cursor.connection = self._kept.pop()
            self._watch()
        else:
            await self._work(cursor, ends)
        return cursor.number

    def pin(self, number: int) -> None:
        """The state as it is now is what will be read there."""
        cursor = self._open.get(number)
        if isinstance(cursor, _Cursor):
            cursor.pin()

    async def read_pinned(
        self, read: Read, timeout_s: float, now_us: int, seed: int
    ) -> ResponseBody:
        """The same as `read`, in the state of a pin."""
        cursor = self._open.get(read.pin)
        if cursor is None:
            return self._ended.get(read.pin, _GONE)
        if not isinstance(cursor, _Cursor) or not cursor.give(read, now_us, seed):
            return SqlFailure("XX000", f"{read.pin} is no pin that may be read")
        return await self._work(cursor, time.monotonic() + timeout_s)

    async def read_beside(self, asked: Speculate, timeout_s: float) -> ResponseBody:
        """Run a streamed step of a transaction that has written nothing, after all others, in a
        read transaction: it takes the file from nobody. Raises a fault."""
        ends = time.monotonic() + timeout_s
        if (refusal := await self._place(ends)) is not None:
            return refusal
        self._last += 1
        cursor = _Beside(self._last, asked)
        self._open[cursor.number] = cursor
        return await self._work(cursor, ends)

    def adopt(self, spool: Spool) -> int | None:
        """The number of the cursor that has what is left of a step's rows; None if there are too
        many: then they are closed."""
        if self._is_closed or len(self._open) >= CURSORS_MAX:
            spool.close()
            return None
        self._last += 1
        self._open[self._last] = _Spooled(self._last, spool)
        self._watch()
        return self._last

    async def fetch(self, number: int, timeout_s: float, *, keep: bool) -> ResponseBody:
        """The next piece; or, to `keep` it, only that somebody is there."""
        cursor = self._open.get(number)
        if cursor is None:
            return self._ended.get(number, _GONE)
        if keep or cursor.is_working:
            cursor.last_used = time.monotonic()
            return Done((), cursor.index)
        return await self._work(cursor, time.monotonic() + timeout_s)

    def end(self, number: int) -> ResponseBody:
        """Nobody wants more of it."""
        cursor = self._open.get(number)
        if cursor is not None:
            self._end(cursor, _GONE)
        return Done((), 0)

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    async def _place(self, ends: float) -> Busy | SqlFailure | None:
        """Wait until one more may be open, in the order of coming; or why there is no place."""
        until = min(ends, time.monotonic() + WAIT_S_MAX)
        while len(self._open) >= CURSORS_MAX and not self._is_closed:
            if len(self._waiting) >= WAITING_MAX:
                return TOO_MANY
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    await place
            except BaseException as exc:
                if place.done() and not place.cancelled():
                    self._leave_place()  # to the next one
                if isinstance(exc, TimeoutError):
                    return TOO_MANY
                raise
            finally:
                if place in self._waiting:
                    self._waiting.remove(place)
        return _STOPPING if self._is_closed else None

    def _leave_place(self) -> None:
        """One has ended: who waits longest may begin."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return

    async def _work(self, cursor: _Cursor | _Spooled, ends: float) -> ResponseBody:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="cursor")
        self._watch()
        cursor.is_working = True
        cursor.ends = ends
        kept = self._kept.pop() if cursor.wants_connection and self._kept else None
        work = asyncio.get_running_loop().run_in_executor(
            self._threads, cursor.work, self._path, kept
        )
        self._working.add(work)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            cursor.stopped = _TIMED_OUT
            while not work.done():  # who gives it up may be given up while the thread still runs
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([work])
            raise
        finally:
            # The thread is done with it.
            self._working.discard(work)
            cursor.is_working = False
            cursor.last_used = time.monotonic()
            if cursor.is_over or cursor.stopped is not None:
                self._end(cursor, cursor.stopped or _GONE)
            elif isinstance(cursor, _Spooled):
                self._keep(cursor.release_connection())

    def _end(self, cursor: _Cursor | _Spooled, reason: SqlFailure) -> None:
        if cursor.is_working:
            cursor.stopped = reason
            return
        if self._open.pop(cursor.number, None) is None:
            return
        self._leave_place()
        if not cursor.is_over:
            self._ended[cursor.number] = reason
            while len(self._ended) > CURSORS_MAX:
                self._ended.popitem(last=False)
        self._keep(cursor.release())

    def _keep(self, connection: SqlConnection | None) -> None:
        """It is free for the next read."""
        if connection is None:
            return
        if self._is_closed or len(self._kept) >= KEPT_MAX:
            connection.close()
        else:
            self._kept.append(connection)

    def _look(self) -> None:
        """End what is too old, or whose router is gone."""
        now = time.monotonic()
        for cursor in list(self._open.values()):
            if isinstance(cursor, _Cursor) and now - cursor.opened > AGE_S_MAX:
                self._end(cursor, _TOO_OLD)
            elif not cursor.is_working and now - cursor.last_used > IDLE_S_MAX:
                self._end(cursor, _GONE)
        self._timer = None
        if self._open:
            self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    async def close(self) -> None:
        """Stop what runs, wait for its end, and close everything."""
        self._is_closed = True
        while self._waiting:
            self._leave_place()
        for cursor in list(self._open.values()):
            self._end(cursor, _GONE)
        while self._working:
            await asyncio.wait(list(self._working))
            await asyncio.sleep(0)  # who waited for it ends it
        for connection in self._kept:
            connection.close()
        self._kept.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._threads is not None:
            self._threads.shutdown()


class _Cursor:
    """One streamed read. `work` on a thread, one call at a time; the rest on the loop."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.index = self.incarnation = 0  # of the state that it reads
        self.opened = self.last_used = time.monotonic()
        self.ends = 0.0
        self.is_working = False
        self.is_over = False  # there are no more rows, or it has failed
        self.stopped: SqlFailure | None = None
        self.connection: SqlConnection | None = None
        self._read: Read | None = None  # of a pin: none yet, or none any more
        self._now_us = self._seed = 0
        self._rows: sqlite3.Cursor | None = None
        self._row_bytes = PIECE_BYTES // FIRST_ROWS  # of a row, as far as is known
        self._ahead: list[tuple[Value, ...]] = []  # rows that were too large for the piece
        self._is_read = False  # there are no more rows but those

    def pin(self) -> None:
        """What will be read here is the state as it is now."""
        assert self.connection is not None, "there is one since its place was reserved"
        self._begin_state(self.connection.raw)

    def give(self, read: Read, now_us: int, seed: int) -> bool:
        """What is to be read here; False if something is."""
        if self._read is not None or self.is_working:
            return False
        self._read, self._now_us, self._seed = read, now_us, seed
        return True

    @property
    def wants_connection(self) -> bool:
        """`work` needs one."""
        return self.connection is None

    def work(self, path: Path, kept: SqlConnection | None) -> ResponseBody:
        """The next piece. Raises a fault."""
        if self.connection is None:
            self.is_over = True  # if none can be opened
            self.connection = kept or SqlConnection(path, is_writer=False)
            self.is_over = False
        connection, read = self.connection, self._read
        if read is None:
            return Done((), 0)
        [statement] = read.statements
        connection.raw.set_progress_handler(self._is_late, STEPS_PER_LOOK)
        try:
            if self._rows is None:
                refusal = self._begin(connection, read.guards, statement)
                if refusal is not None:
                    self.is_over = True
                    return refusal
            answer = self._piece(connection, statement)
            if self.is_over and read.keeps_pin:
                self._clear()
            return answer
        except Refused as exc:
            self.is_over = True
            return exc.failure
        except BaseException:
            self.is_over = True
            raise
        finally:
            connection.end()
            connection.raw.set_progress_handler(None, 0)

    def _is_late(self) -> bool:
        return self.stopped is not None or time.monotonic() > self.ends

    def _clear(self) -> None:
        """The same state is there for another statement."""
        assert self._rows is not None
        self._rows.close()
        self._read = self._rows = None
        self._row_bytes = PIECE_BYTES // FIRST_ROWS
        self.is_over = self._is_read = False

    def _begin_state(self, raw: sqlite3.Connection) -> None:
        raw.execute(BEGIN_READ)
        self.index, self.incarnation = raw.execute(READ_POSITION).fetchone()

    def _begin(
        self, connection: SqlConnection, guards: Sequence[Guard], statement: Statement
    ) -> ResponseBody | None:
        raw = connection.raw
        if not raw.in_transaction:
            self._begin_state(raw)
        for guard in guards:
            row = raw.execute(READ_VERSION, (guard.object,)).fetchone()
            have = 0 if row is None else row[0]
            if have != guard.version:
                return Stale(guard.object, have, guard.version)
        sql = connection.begin(statement, 0, self._now_us, self._seed, Mode.READ)
        try:
            # A cursor of its own: a cached one may be in use by another read of the same text.
            self._rows = raw.cursor()
            self._rows.execute(sql, statement.parameters)
        except SQL_ERRORS as exc:
            raise self._refusal(connection, statement, exc) from exc
        return None

    def _piece(self, connection: SqlConnection, statement: Statement) -> ResponseBody:
        assert self._rows is not None
        encoded: list[bytes] = []
        values: list[tuple[Value, ...]] = []
        count = size = 0
        while size < PIECE_BYTES:
            try:
                rows, self._ahead = self._ahead, []
                if not rows:
                    wanted = max(1, min(ROWS_MAX, (PIECE_BYTES - size) // self._row_bytes))
                    rows = self._rows.fetchmany(wanted)
                    self._is_read = len(rows) < wanted
                some, added = _encoded(rows, statement.columns)
                while added > LARGE_BYTES and len(rows) > 1:
                    half = len(rows) // 2
                    rows, self._ahead = rows[:half], rows[half:] + self._ahead
                    some, added = _encoded(rows, statement.columns)
            except SQL_ERRORS as exc:
                raise self._refusal(connection, statement, exc) from exc
            count += len(rows)
            if statement.columns:
                encoded.append(some)
            else:
                values += rows
            size += added
            if self._is_read and not self._ahead:
                self.is_over = True
                break
            self._row_bytes = max(1, added // len(rows))
        result = StatementResult(count, b"".join(encoded), tuple(values))
        if self.is_over:
            return Done((result,), self.index, self.incarnation)
        return Piece(result, self.index, self.number, incarnation=self.incarnation)

    def _refusal(
        self, connection: SqlConnection, statement: Statement, error: Exception
    ) -> Exception:
        if self._is_late():
            return Refused(self.stopped or _TIMED_OUT)
        return connection.refusal(error, statement.sql, 0) or error

    def release(self) -> SqlConnection | None:
        """The connection, free for the next read."""
        connection, self.connection = self.connection, None
        if self._rows is not None:
            self._rows.close()
        if connection is not None and connection.raw.in_transaction:
            connection.raw.execute(ROLLBACK)
        return connection


class _Spooled:
    """What is left of the rows of a step. Used as a `_Cursor` is."""

    wants_connection = False

    def __init__(self, number: int, spool: Spool | None = None) -> None:
        self.number = number
        self.index = self.incarnation = 0
        self.last_used = time.monotonic()
        self.ends = 0.0
        self.is_working = False
        self.is_over = False
        self.stopped: SqlFailure | None = None
        self.connection: SqlConnection | None = None
        self._spool = spool

    def work(self, _path: Path, _kept: SqlConnection | None) -> ResponseBody:
        """The next piece. Raises a fault."""
        spool = self._spool
        assert spool is not None
        try:
            result = spool.next()
        except OSError as exc:
            self.is_over = True
            return SqlFailure("58030", f"the node cannot read the rows that it kept: {exc}")
        self.is_over = spool.is_empty
        if self.is_over:
            return Done((result,), self.index, self.incarnation)
        return Piece(result, self.index, self.number, incarnation=self.incarnation)

    def release_connection(self) -> SqlConnection | None:
        """The connection, if it had one, free for the next read."""
        connection, self.connection = self.connection, None
        if connection is not None and connection.raw.in_transaction:
            connection.raw.execute(ROLLBACK)
        return connection

    def release(self) -> SqlConnection | None:
        """The same, and nobody wants more of it."""
        if self._spool is not None:
            self._spool.close()
        return self.release_connection()


class _Beside(_Spooled):
    """The same, from its beginning: the first `work` runs all steps, and answers the last."""

    def __init__(self, number: int, asked: Speculate) -> None:
        super().__init__(number)
        self._asked: Speculate | None = asked
        self.wants_connection = True

    def work(self, path: Path, kept: SqlConnection | None) -> ResponseBody:
        """`Speculated`, or why not, and then pieces. Raises a fault."""
        if self._asked is None:
            return super().work(path, kept)
        asked, self._asked = self._asked, None
        self.wants_connection = False
        self.is_over = True
        connection = self.connection = kept or SqlConnection(path, is_writer=False)
        connection.raw.set_progress_handler(self._is_late, STEPS_PER_LOOK)
        try:
            connection.raw.execute(BEGIN_READ)
            if (stale := stale_guard(connection.raw, asked.guards)) is not None:
                return stale
            self.index, self.incarnation = connection.raw.execute(READ_POSITION).fetchone()
            return self._run(connection, asked, path.parent)
        except Exception as exc:
            if self._is_late():
                return self.stopped or _TIMED_OUT
            if isinstance(exc, Refused | SpoolFailed):
                return exc.failure
            raise
        finally:
            connection.end()
            connection.raw.set_progress_handler(None, 0)

    def _run(self, connection: SqlConnection, asked: Speculate, directory: Path) -> ResponseBody:
        transaction = asked.transaction
        now_us, seed = transaction.now_us, transaction.seed
        *earlier, new = transaction.steps
        assert isinstance(new, Ran)
        ordinal = 0
        for step in all_steps(connection, structs.replace(transaction, steps=tuple(earlier))):
            outcome = run_step(connection, step, ordinal, now_us, seed)
            refuse_difference(step, outcome, ordinal)
            ordinal += 1
        answer, self._spool = run_new(connection, new, ordinal, now_us, seed, directory)
        self.is_over = self._spool is None
        return structs.replace(
            answer,
            cursor=0 if self.is_over else self.number,
            index=self.index,
            incarnation=self.incarnation,
        )

    def _is_late(self) -> bool:
        return self.stopped is not None or time.monotonic() > self.ends


def _encoded(rows: list[tuple[Value, ...]], columns: tuple[OutputColumn, ...]) -> tuple[bytes, int]:
    """As they leave, if there are columns to encode them by, and how many bytes they are."""
    if columns:
        encoded = encode_data_rows(rows, columns)
        return encoded, len(encoded)
    return b"", sum(map(_size_of, rows))


def _size_of(row: tuple[Value, ...]) -> int:
    return sum(len(v) if isinstance(v, str | bytes) else 8 for v in row)
