"""Whose files this node has, and whose the others had when it met them: kept in the log store.

`nodes.whose_files` has the rule; here it is made durable before the first message of a peer is
handed on, for a memory that is lost with a crash is none.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from typing import Final

from nodes.protocol import Files
from nodes.whose_files import refusal

__all__ = ["SCHEMA", "Acquaintances", "new_data_id"]

STARTS_MAX: Final = 100_000
"""Starts that are listed. A peer that was away for more of them does not know these files
again, and asks for a rebuild."""

_ID_BYTES: Final = 16

SCHEMA: Final = """
CREATE TABLE starts (number INTEGER PRIMARY KEY, id BLOB NOT NULL) STRICT;
CREATE TABLE met (
    node TEXT PRIMARY KEY,
    data_id TEXT NOT NULL,
    starts INTEGER NOT NULL,
    start_id BLOB NOT NULL
) STRICT, WITHOUT ROWID;
"""


def new_data_id() -> str:
    return os.urandom(_ID_BYTES).hex()


class Acquaintances:
    """Counts one start of the log store when it is made. Raises sqlite3.Error.

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
        start_id = os.urandom(_ID_BYTES)
        (self.starts,) = connection.execute(
            "INSERT INTO starts SELECT coalesce(max(number), 0) + 1, ? FROM starts "
            "RETURNING number",
            (start_id,),
        ).fetchone()
        connection.execute("DELETE FROM starts WHERE number <= ?", (self.starts - STARTS_MAX,))
        self._start_id = start_id
        self._met = {
            node: Files(*files)
            for node, *files in connection.execute(
                "SELECT node, data_id, starts, start_id FROM met"
            ).fetchall()
        }

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
                "INSERT OR REPLACE INTO met VALUES (?,?,?,?)",
                (node, seen.data_id, seen.starts, seen.start_id),
            )
        except sqlite3.Error as exc:
            self._failed(str(exc))
            return f"this node cannot note whose files node {node} has: {exc}; restart it."
        self._met[node] = seen
        return ""
