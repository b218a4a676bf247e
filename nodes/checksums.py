"""The checksums of one replica: trees over all its rows, as of one applied index.

A CHECKSUM entry makes every replica of a group compute the same thing of the same state. The
state is pinned by a read transaction that is opened right after the batch that ends with the
entry is committed; the tree is then built on a thread of its own while the replica goes on
applying. While it is open the -wal cannot start over, so it grows with what is written meanwhile.

What differs between replicas by right is left out: whose file it is.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from nodes.data_file import BEGIN_READ, READ_APPLIED
from nodes.functions import install_collations
from nodes.merkle import FAN_OUT, Range, Row, Tree, build
from nodes.protocol import Checksums as Answer
from nodes.protocol import GetChecksum, NoChecksum, RangeSum, ResponseBody
from nodes.shortage import NoDescriptor, of_opening

__all__ = ["Checksums"]

KEPT_MAX: Final = 2
"""Checksums kept for questions about them; about 100 bytes for a thousand rows each."""

CHUNK_ROWS: Final = 512
"""Rows hashed at a time, half a millisecond of work."""

WORK_SHARE: Final = 0.5
"""Part of its time that the thread works: it shares the interpreter with the event loop."""

_TABLES: Final = """
SELECT name FROM sqlite_schema WHERE type = 'table'
AND name NOT IN ('_machine', '_applied') ORDER BY name
"""
_KEYS: Final = "SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk"
_SCHEMA_ROWS: Final = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"

SCHEMA: Final = "sqlite_schema"
"""Stands for the definitions of tables and indexes among the tables."""


class Checksums:
    """`start` from the thread that applies, `close` when nothing is applied any more, questions
    from any."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._found: dict[int, dict[str, Tree] | str] = {}
        self._running: int | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._is_closed = False

    def start(self, index: int) -> None:
        """Begin the checksum of the state that is committed now, which is that of `index`. One
        at a time; another one, and one for which no connection can be opened for now, is answered
        as not computed. Raises sqlite3.Error."""
        with self._lock:
            if self._running is not None:
                self._found[index] = f"the checksum of index {self._running} was being computed"
                return
            self._running = index
        try:
            connection, applied = _opened(self._path)
        except NoDescriptor as exc:
            self._keep(index, str(exc))
            return
        assert applied == index, f"pinned index {applied} instead of {index}"
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="checksum")
        self._thread.submit(self._compute, connection, index)

    def answer(self, asked: GetChecksum) -> ResponseBody:
        """The roots of all tables, or the children of one node."""
        with self._lock:
            if self._running == asked.index:
                return NoChecksum("it is being computed", pending=True)
            found = self._found.get(asked.index, "it is not kept, or not applied, here")
        if isinstance(found, str):
            return NoChecksum(found, pending=False)
        if not asked.table:
            roots = ((table, len(tree.levels) - 1, tree.root) for table, tree in found.items())
            return Answer(tuple(_range_sum(table, level, 0, root) for table, level, root in roots))
        tree = found.get(asked.table)
        children = () if tree is None else tree.children(asked.level, asked.place)
        first = asked.place * FAN_OUT
        return Answer(
            tuple(
                _range_sum(asked.table, asked.level - 1, place, child)
                for place, child in enumerate(children, first)
            )
        )

    def close(self) -> None:
        """Return when nothing is computed any more."""
        self._is_closed = True
        if self._thread is not None:
            self._thread.shutdown()

    def _keep(self, index: int, result: dict[str, Tree] | str) -> None:
        with self._lock:
            self._found[index] = result
            self._running = None
            while len(self._found) > KEPT_MAX:
                del self._found[min(self._found)]

    # ----------------------------------------------------------------------- on the thread

    def _compute(self, connection: sqlite3.Connection, index: int) -> None:
        result: dict[str, Tree] | str
        try:
            result = self._trees(connection)
        except sqlite3.Error as exc:
            result = f"{self._path} cannot be read: {exc}; rebuild this replica"
        finally:
            connection.close()
        self._keep(index, result)

    def _trees(self, connection: sqlite3.Connection) -> dict[str, Tree] | str:
        definitions = connection.execute(_SCHEMA_ROWS).fetchall()
        trees = {SCHEMA: build([([row[:2] for row in definitions], definitions)])}
        for (table,) in connection.execute(_TABLES).fetchall():
            trees[table] = build(self._chunks(connection, table))
            if self._is_closed:
                return "the replica is stopping"
        return trees

    def _chunks(
        self, connection: sqlite3.Connection, table: str
    ) -> Iterator[tuple[list[Row], list[Row]]]:
        keys = ", ".join(_quoted(name) for (name,) in connection.execute(_KEYS, (table,)))
        width = keys.count(", ") + 1
        cursor = connection.execute(
            f"SELECT {keys}, * FROM {_quoted(table)} ORDER BY {keys}"  # noqa: S608 - names of its own schema, quoted
        )
        while not self._is_closed:
            began = time.monotonic()
            rows = cursor.fetchmany(CHUNK_ROWS)
            if not rows:
                return
            yield [row[:width] for row in rows], [row[width:] for row in rows]
            time.sleep((time.monotonic() - began) * (1 - WORK_SHARE) / WORK_SHARE)


def _opened(path: Path) -> tuple[sqlite3.Connection, int]:
    """A connection that reads the state as it is now, and that state's applied index."""
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as exc:
        raise of_opening(exc, path) from exc
    try:
        install_collations(connection)
        connection.execute("PRAGMA query_only = ON").fetchall()
        connection.execute(BEGIN_READ)
        applied: int = connection.execute(READ_APPLIED).fetchone()[0]
    except sqlite3.Error as exc:
        connection.close()
        raise of_opening(exc, path) from exc
    return connection, applied


def _range_sum(table: str, level: int, place: int, node: Range) -> RangeSum:
    return RangeSum(table, level, place, node.rows, node.hash, node.first, node.last)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
