"""Whose files this node has, and whose the others had when it met them: kept in the log store.

`nodes.whose_files` has the rule; here it is made durable before the first message of a peer is
handed on, for a memory that is lost with a crash is none. Each row carries a CRC: a memory that
has changed is worse than none, since it refuses who is well, or listens to who is not.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Final

from nodes.protocol import Files
from nodes.whose_files import refusal

__all__ = ["SCHEMA", "Acquaintances", "MemoryDamaged", "new_data_id"]

STARTS_MAX: Final = 100_000
"""Starts that are listed. A peer that was away for more of them does not know these files
again, and asks for a rebuild."""

_ID_BYTES: Final = 16

SCHEMA: Final = """
CREATE TABLE starts (
    number INTEGER PRIMARY KEY, id BLOB NOT NULL, crc INTEGER NOT NULL
) STRICT;
CREATE TABLE met (
    node TEXT PRIMARY KEY,
    data_id TEXT NOT NULL,
    starts INTEGER NOT NULL,
    start_id BLOB NOT NULL,
    crc INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""

_NUMBER: Final = struct.Struct(">q")


class MemoryDamaged(Exception):
    """A row is not what was written, or is missing; the message is half a sentence."""


def new_data_id() -> str:
    return os.urandom(_ID_BYTES).hex()


def _crc_of_start(number: int, start_id: bytes) -> int:
    return zlib.crc32(start_id, zlib.crc32(_NUMBER.pack(number)))


def _crc_of_met(node: str, files: Files) -> int:
    words = zlib.crc32(f"{node}\0{files.data_id}".encode())
    return zlib.crc32(files.start_id, zlib.crc32(_NUMBER.pack(files.starts), words))


class Acquaintances:
    """Counts one start of the log store when it is made. Raises sqlite3.Error, MemoryDamaged.

    `failed` is told why, should a write fail: nothing may be written to that file then.
    """

    def __init__(
        self, connection: sqlite3.Connection, *, data_id: str, failed: Callable[[str], None]
    ) -> None:
        self.accepted: Mapping[str, str] = {}
        """The `data_id` that cluster.toml names for a node, where it does."""
        self.data_id = data_id
        self._connection = connection
        self._failed = failed
        self.starts = _checked_starts(connection) + 1
        self._start_id = os.urandom(_ID_BYTES)
        self._met = _checked_met(connection)
        connection.execute(
            "INSERT INTO starts VALUES (?,?,?)",
            (self.starts, self._start_id, _crc_of_start(self.starts, self._start_id)),
        )
        connection.execute("DELETE FROM starts WHERE number <= ?", (self.starts - STARTS_MAX,))

    def mine(self, met: int) -> Files:
        """This node's files, for a peer that has met their start `met` (0: none)."""
        row = self._connection.execute("SELECT id FROM starts WHERE number = ?", (met,)).fetchone()
        return Files(self.data_id, self.starts, self._start_id, b"" if row is None else row[0])

    def met(self, node: str) -> int:
        """The latest start of `node` that was met; 0: none."""
        files = self._met.get(node)
        return 0 if files is None else files.starts

    def meet(self, node: str, files: Files) -> str:
        """Note, durably, that `node` has these files; or why it must not be listened to."""
        met = self._met.get(node)
        why = refusal(node, files, met, accepted=self.accepted.get(node, ""))
        seen = Files(files.data_id, files.starts, files.start_id)
        if why or seen == met:
            return why
        try:
            self._connection.execute(
                "INSERT OR REPLACE INTO met VALUES (?,?,?,?,?)",
                (node, seen.data_id, seen.starts, seen.start_id, _crc_of_met(node, seen)),
            )
        except sqlite3.Error as exc:
            self._failed(str(exc))
            return f"this node cannot note whose files node {node} has: {exc}; restart it."
        self._met[node] = seen
        return ""


def _checked_starts(connection: sqlite3.Connection) -> int:
    """The last start, 0 if there was none."""
    last = 0
    for number, start_id, crc in connection.execute("SELECT * FROM starts ORDER BY number"):
        if crc != _crc_of_start(number, start_id) or (last and number != last + 1):
            raise MemoryDamaged(f"its record of start {number}")
        last = number
    return last


def _checked_met(connection: sqlite3.Connection) -> dict[str, Files]:
    met: dict[str, Files] = {}
    for node, data_id, starts, start_id, crc in connection.execute("SELECT * FROM met"):
        files = Files(data_id, starts, start_id)
        if crc != _crc_of_met(node, files):
            raise MemoryDamaged(f"its record of node {node}")
        met[node] = files
    return met
