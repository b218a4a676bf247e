"""The file of the log store: its layout, its settings, and whose it is.

`log_store` decides what is in the rows; this module opens the file so that a COMMIT is
durable, alone, and only for the node it belongs to.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from nodes.acquaintances import SCHEMA, new_data_id
from nodes.durability import sync_directory

__all__ = ["StoreError", "open_log_file", "unusable"]

FORMAT: Final = 5
"""Raised when the file's layout changes; another one is refused."""

_APPLICATION_ID: Final = 0x53524C47  # "SRLG": tells the file from any other SQLite database

WAL_PAGES_MAX: Final = 1000
"""Frames after which a commit also checkpoints; with WAL_BYTES_MAX it bounds the -wal file."""

WAL_BYTES_MAX: Final = 16 * 1024 * 1024
"""The -wal file is cut to this size when it starts over after a checkpoint."""

CACHE_KIB: Final = 512
"""Page cache: appends touch a few pages per group, and catching up reads in order."""

LOCK_WAIT_S: Final = 0.2
"""How long opening waits for a process that is just ending."""

_SCHEMA: Final = """
CREATE TABLE store (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE replicas (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    replica INTEGER NOT NULL,
    term INTEGER NOT NULL,
    vote INTEGER NOT NULL,
    commit_index INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    base_index INTEGER NOT NULL,
    base_term INTEGER NOT NULL,
    membership BLOB NOT NULL,
    base_crc INTEGER NOT NULL,
    seal BLOB NOT NULL DEFAULT x'',
    removed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE entries (
    key INTEGER PRIMARY KEY,
    term INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;
"""


class StoreError(Exception):
    """The file cannot be used by this node; the message is a sentence that says what to do."""


def unusable(path: Path, error: sqlite3.Error) -> StoreError:
    """What a start ends with when SQLite can do nothing with the file."""
    return StoreError(
        f"{path} is damaged, or cannot be read or written ({error}); free space or repair the "
        "disk and start the node again, or rebuild the replicas of this node."
    )


def open_log_file(path: Path, *, cluster_id: str, node: str) -> sqlite3.Connection:
    """Open the file, or create it. Raises StoreError if it is not this node's."""
    try:
        connection = sqlite3.connect(
            path, timeout=LOCK_WAIT_S, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as exc:
        raise StoreError(f"{path} cannot be opened: {exc}.") from exc
    try:
        _configure(connection)
        _identify(connection, path, cluster_id, node)
    except sqlite3.Error as exc:
        connection.close()
        code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreError(f"{path} is in use by another process; stop that node first.") from exc
        if code == sqlite3.SQLITE_NOTADB:
            raise StoreError(f"{path} is not a log file of this database: {exc}.") from exc
        raise unusable(path, exc) from exc
    except BaseException:
        connection.close()
        raise
    sync_directory(path.parent)  # also if an earlier start was cut off right after creating it
    return connection


def _configure(connection: sqlite3.Connection) -> None:
    # Exclusive first: the WAL index then lives in the heap, and there is no second process.
    for pragma in (
        "locking_mode = EXCLUSIVE",
        "journal_mode = WAL",
        "synchronous = FULL",
        "fullfsync = ON",  # only macOS tells it from fsync
        "checkpoint_fullfsync = ON",
        f"wal_autocheckpoint = {WAL_PAGES_MAX}",
        f"journal_size_limit = {WAL_BYTES_MAX}",
        f"cache_size = -{CACHE_KIB}",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    if mode != "wal":
        raise sqlite3.NotSupportedError(f"the file system allows no write-ahead log, only {mode}")


def _identify(connection: sqlite3.Connection, path: Path, cluster_id: str, node: str) -> None:
    """Check that the file is this node's, or make a new one so."""
    connection.execute("BEGIN IMMEDIATE")
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    expected = {"format": str(FORMAT), "cluster_id": cluster_id, "node": node}
    if application == 0 and tables == 0:
        for statement in (_SCHEMA + SCHEMA).split(";"):
            connection.execute(statement)
        values = expected | {"data_id": new_data_id()}
        connection.executemany("INSERT INTO store VALUES (?,?)", values.items())
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute("COMMIT")
        return
    if application != _APPLICATION_ID:
        raise StoreError(f"{path} is not a log file of this database; choose another directory.")
    found = dict(connection.execute("SELECT key, value FROM store").fetchall())
    connection.execute("ROLLBACK")
    if found.get("format") != expected["format"]:
        raise StoreError(
            f"{path} has format {found.get('format')}, this version reads format {FORMAT}; "
            "use the version that wrote it."
        )
    if found.get("cluster_id") != cluster_id:
        raise StoreError(
            f"{path} belongs to cluster {found.get('cluster_id')}, not to {cluster_id}; "
            "choose another data directory."
        )
    if found.get("node") != node:
        raise StoreError(
            f"{path} belongs to node {found.get('node')}, not to {node}; "
            "start that node, or choose another data directory."
        )
