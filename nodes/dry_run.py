"""Runs a write without doing it: in a transaction of its own that is always rolled back.

Applying has no timeout, on any replica, for an entry that is committed must be applied. So a
write whose work nobody can tell beforehand runs here first, on the leader alone, under limits
of time, rows and bytes; what does not end inside them never enters the log (DESIGN section 6).

What the limits count:
- time: how long this run takes, asked every few thousand steps of SQLite;
- bytes: by how much the data file grows, enforced by SQLite at every page (`max_page_count`);
- rows: what the statements changed, counted when one has ended. Inside a statement time and
  bytes bound it.

The state at apply is another one than here, newer by what was committed in between, so this is
a bound on what a write may cost and no promise about its result: apply decides that, everywhere
alike. An error found here is an answer all the same. The caller has made sure that this state
holds all that was committed before (a read barrier), so the error is what a client would have
got at this moment, nothing has entered the log, and for this copy of the command it is final;
whether an earlier copy was applied is the router's question (FENCE, DESIGN section 8). What
fails in a way that is no result (SQL_ERRORS that `as_result` does not know, no memory, a bug in
a function) would have stopped every replica at apply; here it is refused and stops nobody,
unless the file itself cannot be read.

The transaction takes the file's only write lock. Who may have it is decided by
`nodes.applier`: this runs only while nothing is applied, and is stopped as soon as something
is to be.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from nodes.config import WriteLimits
from nodes.data_file import BEGIN_WRITE, READ_VERSION, ROLLBACK
from nodes.protocol import ResponseBody, SqlFailure, Stale, Write
from nodes.sql_connection import Refused, SqlConnection
from nodes.write_unit import run_write

__all__ = ["STOPPED", "DryRun", "Stop", "Stopped"]

STEPS_PER_LOOK: Final = 5000
"""SQLite's virtual machine steps between two looks at the clock: well under a millisecond."""

_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR})
"""Primary codes that say something of the file and nothing of the statement."""


class Stopped:
    """Apply needed the file before the run had ended: it may be tried again."""


STOPPED: Final = Stopped()


class Stop:
    """Set on the event loop, seen by the thread."""

    __slots__ = ("_is_set",)

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    @property
    def is_set(self) -> bool:
        """Asked every few thousand steps."""
        return self._is_set


class DryRun:
    """Dry runs on one data file, one at a time. Opens nothing before the first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: SqlConnection | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def run(
        self,
        write: Write,
        limits: WriteLimits,
        timeout_s: float,
        stop: Stop,
        now_us: int,
        seed: int,
    ) -> ResponseBody | Stopped | None:
        """None if the write ended inside the limits; else the answer that refuses it, definitely
        for this copy, or STOPPED. When this returns the file is free. Raises what is damage.

        The run is stopped, never cancelled: a cancelled call waits for the end of the thread's
        work before it goes on its way, so that nothing keeps the file behind its back.
        """
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="dry-run")
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(
            self._thread, self._run, write, limits, timeout_s, stop, now_us, seed
        )
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait([work])
            raise

    def close(self) -> None:
        """Not while one runs."""
        if self._thread is not None:
            self._thread.shutdown()
        if self._connection is not None:
            self._connection.close()

    # ----------------------------------------------------------------------- on the thread

    def _run(
        self,
        write: Write,
        limits: WriteLimits,
        timeout_s: float,
        stop: Stop,
        now_us: int,
        seed: int,
    ) -> ResponseBody | Stopped | None:
        began = time.monotonic()
        ends = began + min(timeout_s, limits.write_ms / 1000)
        if self._connection is None:
            self._connection = SqlConnection(self._path, is_writer=True)
        connection = self._connection
        raw = connection.raw
        raw.set_progress_handler(lambda: stop.is_set or time.monotonic() > ends, STEPS_PER_LOOK)
        try:
            raw.execute(BEGIN_WRITE)
            _limit_growth(raw, limits)
            if (stale := _stale(raw, write)) is not None:
                return stale
            changes = raw.total_changes
            run_write(connection, write, now_us, seed)
            if raw.total_changes - changes > limits.write_rows:
                return _too_many_rows(limits)
            return None
        except Exception as exc:
            if stop.is_set:
                return STOPPED
            if time.monotonic() > ends:
                return _too_long(limits, is_limit=timeout_s > limits.write_ms / 1000)
            if isinstance(exc, Refused):
                return exc.failure
            return self._fault(exc, limits)
        finally:
            # Interrupted or full: SQLite has rolled back itself.
            raw.set_progress_handler(None, 0)
            if raw.in_transaction:
                raw.execute(ROLLBACK)

    def _fault(self, error: Exception, limits: WriteLimits) -> ResponseBody:
        """The answer to what is no result of SQL. Raises `error` if it is damage."""
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        if code in _DAMAGE:
            raise error
        if code == sqlite3.SQLITE_FULL:
            free = shutil.disk_usage(self._path.parent).free
            if free < limits.write_bytes:
                return SqlFailure(
                    "53100", "the leader's disk has no room for what the write would add"
                )
            return _too_large(limits)
        if isinstance(error, MemoryError) or code == sqlite3.SQLITE_NOMEM:
            return SqlFailure("53200", "the leader has no memory for the write")
        return SqlFailure(
            "XX000",
            f"the write fails inside the database: {type(error).__name__}: {error}",
            detail="It was tried on the leader alone, and nothing of it is applied.",
        )


def _limit_growth(raw: sqlite3.Connection, limits: WriteLimits) -> None:
    """From here on SQLite refuses a page more, in this transaction and until this is called
    again."""
    (pages,) = raw.execute("PRAGMA page_count").fetchone()
    (page_bytes,) = raw.execute("PRAGMA page_size").fetchone()
    pages_max = pages + limits.write_bytes // page_bytes
    raw.execute(f"PRAGMA max_page_count = {pages_max}").fetchall()


def _stale(raw: sqlite3.Connection, write: Write) -> Stale | None:
    for guard in write.guards:
        row = raw.execute(READ_VERSION, (guard.object,)).fetchone()
        have = 0 if row is None else row[0]
        if have != guard.version:
            return Stale(guard.object, have, guard.version)
    return None


# --------------------------------------------------------------------------- what is too much


def _too_long(limits: WriteLimits, *, is_limit: bool) -> SqlFailure:
    if not is_limit:
        return SqlFailure("57014", "canceling statement due to statement timeout")
    return SqlFailure(
        "57014",
        f"the write ran for more than {limits.write_ms} ms on the leader and was not proposed",
        detail="Change fewer rows at a time, or raise write_ms in [limits] of cluster.toml.",
    )


def _too_many_rows(limits: WriteLimits) -> SqlFailure:
    return SqlFailure(
        "54000",
        f"the write would change more than {limits.write_rows} rows and was not proposed",
        detail="Change fewer rows at a time, or raise write_rows in [limits] of cluster.toml.",
    )


def _too_large(limits: WriteLimits) -> SqlFailure:
    return SqlFailure(
        "54000",
        f"the write would add more than {limits.write_bytes} bytes to a shard and was not proposed",
        detail="Add less at a time, or raise write_bytes in [limits] of cluster.toml.",
    )
