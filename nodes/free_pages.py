"""Pages of a data file that nothing is kept in any more, given back to the file system.

What a COPY has sent ahead lies in the file beside the rows that are made of it (docs/bulk.md), and
is deleted with them: of a file that was loaded so, nearly half is free then, and its -wal is as
large as the transaction was. SQLite would use the pages again, for the next load; until then they
are the disk's.

Pages from the end of the file are moved into free ones, some at a time, while nothing is applied.
For that a file has one page in some 800 that says where others are referred to
(`nodes.sql_connection` asks for it). One that was made without keeps its free pages.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from nodes.authorizer import OWN

__all__ = ["FREE_BYTES_MAX", "FreePages"]

FREE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Free bytes that are left alone: to move pages for less would be dearer than to use them again."""

PAGES_AT_ONCE: Final = 256
"""Moved in one go, 1 MiB: some milliseconds in which nothing is applied."""

_AUTO_VACUUM: Final = OWN + "PRAGMA auto_vacuum"
_IS_INCREMENTAL: Final = 2
_FREE: Final = OWN + "PRAGMA freelist_count"
_PAGE_BYTES: Final = OWN + "PRAGMA page_size"
_MOVE: Final = OWN + "PRAGMA incremental_vacuum(1)"
"""Python takes one step of it however many pages it is for: it has rows, and they no columns."""

_BEGIN: Final = OWN + "BEGIN IMMEDIATE"
_COMMIT: Final = OWN + "COMMIT"
_WAIT: Final = OWN + "PRAGMA busy_timeout = {}"
_WAITS: Final = OWN + "PRAGMA busy_timeout"
_CUT: Final = OWN + "PRAGMA wal_checkpoint(TRUNCATE)"


class FreePages:
    """Of the file that `raw` writes to."""

    def __init__(self, raw: sqlite3.Connection, bytes_max: int = FREE_BYTES_MAX) -> None:
        """`bytes_max` are left alone."""
        self._raw = raw
        self._bytes_max = bytes_max
        (mode,) = raw.execute(_AUTO_VACUUM).fetchone()
        self._can_move = mode == _IS_INCREMENTAL
        (self._page_bytes,) = raw.execute(_PAGE_BYTES).fetchone()
        self._freed = self._free  # bytes, as far as it is known
        self.is_due = self._can_move and self._freed > self._bytes_max
        """`give_back` has something to do."""

    @property
    def _free(self) -> int:
        (pages,) = self._raw.execute(_FREE).fetchone()
        return int(pages) * int(self._page_bytes)

    def freed(self, size: int) -> None:
        """About so many bytes were deleted; their transaction may not have ended yet."""
        self._freed += size
        self.is_due = self.is_due or self._freed > self._bytes_max

    def give_back(self) -> None:
        """Some of them; the -wal with the last. No transaction is open. Raises sqlite3.Error."""
        self._freed = free = self._free
        if self._can_move and free > self._bytes_max:
            self._raw.execute(_BEGIN)
            for _ in range(PAGES_AT_ONCE):
                self._raw.execute(_MOVE)
            self._raw.execute(_COMMIT)
            self._freed = self._free
            if self._bytes_max < self._freed < free:
                return
        self.is_due = False
        self._cut_wal()

    def _cut_wal(self) -> None:
        """Unless somebody reads in it: then it is cut when it starts over, as ever."""
        (waits_ms,) = self._raw.execute(_WAITS).fetchone()
        self._raw.execute(_WAIT.format(0)).fetchall()
        try:
            self._raw.execute(_CUT).fetchall()
        finally:
            self._raw.execute(_WAIT.format(waits_ms)).fetchall()
