"""Runs a write without doing it: in a transaction of its own that is always rolled back.

Applying has no timeout, on any replica, for an entry that is committed must be applied. So a
write whose work nobody can tell beforehand runs here first, on the leader alone, under the limits
of `nodes.bounds`; what does not end inside them never enters the log (DESIGN section 6).

The state at apply is another one than here, newer by what was committed in between, so this is
a bound on what a write may cost and no promise about its result: apply decides that, everywhere
alike. An error found here is an answer all the same. The caller has made sure that this state
holds all that was committed before (a read barrier), so the error is what a client would have
got at this moment, nothing has entered the log, and for this copy of the command it is final;
whether an earlier copy was applied is the router's question (FENCE, DESIGN section 8).

The transaction takes the file's only write lock. Who may have it is decided by
`nodes.applier`: this runs only while nothing is applied, and is stopped as soon as something
is to be.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nodes.bounds import Bounds, Stop, Stopped, stale_guard
from nodes.config import WriteLimits
from nodes.data_file import BEGIN_WRITE, ROLLBACK
from nodes.protocol import ResponseBody, Write
from nodes.sql_connection import SqlConnection
from nodes.stage_content import stages_of
from nodes.write_unit import run_write

__all__ = ["DryRun"]


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
        if self._connection is None:
            self._connection = SqlConnection(self._path, is_writer=True)
        connection = self._connection
        raw = connection.raw
        bounds = Bounds(raw, self._path, limits, timeout_s, stop)
        bounds.watch()
        try:
            raw.execute(BEGIN_WRITE)
            bounds.limit_growth()
            if (stale := stale_guard(raw, write.guards)) is not None:
                return stale
            changes = raw.total_changes
            bounds.allow(stages_of(write))
            run_write(connection, write, now_us, seed, bounds.allow_answer)
            bounds.refuse_rows(raw.total_changes - changes)
            return None
        except Exception as exc:
            return bounds.outcome(exc)
        finally:
            # Interrupted or full: SQLite has rolled back itself.
            bounds.unwatch()
            if raw.in_transaction:
                raw.execute(ROLLBACK)
