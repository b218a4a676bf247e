"""Limits of what a leader tries on its data file before anything of it enters the log.

What is applied is applied without a limit, so its leader runs it first under limits of time, rows
and bytes (DESIGN section 6):
- time: how long a run takes, asked every few thousand steps of SQLite;
- bytes: by how much the data file grows, enforced by SQLite at every page (`max_page_count`);
- rows: what the statements changed, counted when one has ended. Inside a statement time and
  bytes bound it.

What fails in a way that is no result (SQL_ERRORS that `as_result` does not know, no memory, a bug
in a function) would have stopped every replica at apply; here it is refused and stops nobody,
unless the file itself cannot be read.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from nodes.config import WriteLimits
from nodes.data_file import READ_VERSION
from nodes.protocol import Guard, ResponseBody, SqlFailure, Staged, Stale
from nodes.sql_connection import Refused
from nodes.stage_content import apply_s

__all__ = ["STOPPED", "Bounds", "Stop", "Stopped", "stale_guard"]

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


class Bounds:
    """Of one run on one connection, from now on: watch it, run, ask what came of it."""

    def __init__(
        self, raw: sqlite3.Connection, path: Path, limits: WriteLimits, timeout_s: float, stop: Stop
    ) -> None:
        self._raw = raw
        self._path = path
        self._limits = limits
        self._stop = stop
        self._rows_allowed = 0
        self._is_limit = timeout_s > limits.write_ms / 1000
        now = time.monotonic()
        self._deadline = now + timeout_s
        self._ends = now + min(timeout_s, limits.write_ms / 1000)

    def allow(self, stages: Sequence[Staged]) -> None:
        """Rows that were sent ahead have a limit of their own (docs/bulk.md): they count neither
        as rows nor as time that is too much."""
        self._rows_allowed += sum(staged.rows for staged in stages)
        self._ends += sum(apply_s(staged.size, staged.rows) for staged in stages)

    def allow_answer(self, size: int, rows: int) -> None:
        """So many bytes and rows are being answered in pieces: a large read takes the time that
        it takes to compare so much, as far as its client has that."""
        self._ends = max(self._ends, min(self._ends + apply_s(size, rows), self._deadline))

    def watch(self) -> None:
        self._raw.set_progress_handler(
            lambda: self._stop.is_set or time.monotonic() > self._ends, STEPS_PER_LOOK
        )

    def unwatch(self) -> None:
        self._raw.set_progress_handler(None, 0)

    def limit_growth(self) -> None:
        """From here on SQLite refuses a page more, in this transaction and until this is called
        again."""
        (pages,) = self._raw.execute("PRAGMA page_count").fetchone()
        (page_bytes,) = self._raw.execute("PRAGMA page_size").fetchone()
        pages_max = pages + self._limits.write_bytes // page_bytes
        self._raw.execute(f"PRAGMA max_page_count = {pages_max}").fetchall()

    def refuse_rows(self, changed: int) -> None:
        """Raises Refused if so many rows are too many."""
        if changed > self._limits.write_rows + self._rows_allowed:
            raise Refused(_too_many_rows(self._limits))

    def outcome(self, error: Exception) -> ResponseBody | Stopped:
        """What the run that ended with `error` is answered. Raises `error` if it is damage."""
        if self._stop.is_set:
            return STOPPED
        if time.monotonic() > self._ends:
            is_limit = self._is_limit and self._ends != self._deadline
            return _too_long(self._limits, is_limit=is_limit)
        if isinstance(error, Refused):
            return error.failure
        return self._fault(error)

    def _fault(self, error: Exception) -> ResponseBody:
        """The answer to what is no result of SQL."""
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        if code in _DAMAGE:
            raise error
        if code == sqlite3.SQLITE_FULL:
            free = shutil.disk_usage(self._path.parent).free
            if free < self._limits.write_bytes:
                return SqlFailure(
                    "53100", "the leader's disk has no room for what the write would add"
                )
            return _too_large(self._limits)
        if isinstance(error, MemoryError) or code == sqlite3.SQLITE_NOMEM:
            return SqlFailure("53200", "the leader has no memory for the write")
        return SqlFailure(
            "XX000",
            f"the write fails inside the database: {type(error).__name__}: {error}",
            detail="It was tried on the leader alone, and nothing of it is applied.",
        )


def stale_guard(raw: sqlite3.Connection, guards: Sequence[Guard]) -> Stale | None:
    """The first guard that fails in the state of the connection."""
    for guard in guards:
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
