"""The Raft logs and hard states of all replicas of one node, in one SQLite file.

One file, so that one transaction and one fsync make durable what all groups of the node wrote
in one turn of its loop. The file runs in WAL mode with synchronous=FULL: a COMMIT returns
after the fsync of the write-ahead log, and nothing that depends on a record may leave the
node before (thesis, section 3.8). It is held exclusively: a second process on the same
directory is refused instead of mixing two logs.

Every record carries a CRC over its group, index, term and data, so that a record that is
damaged, or sits in another's place, is found at start or when it is read, never served. What
the store cannot see is a tail that is missing without a trace; whoever knows a later index
(the hard state's commit, checked here; the data file's applied index, checked by the caller)
must refuse to go on.

This module knows nothing of what entries mean. Its calls block for as long as the disk does;
they may come from any thread, one at a time.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodes.raft.messages import HardState, LogEntry

__all__ = ["GroupWrite", "LogStore", "Loaded", "ReplicaDamaged", "StoreError", "StoredLog"]

FORMAT: Final = 1
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

_INDEX_BITS: Final = 44
"""The key of an entry is its group's number shifted by this, plus its index: one integer keeps
the rows of a group together and appends cheap, and blobs on their leaf page (a WITHOUT ROWID
table moves everything over 1002 bytes to overflow pages)."""

_LAST_KEY: Final = (1 << _INDEX_BITS) - 1

_SCHEMA: Final = """
CREATE TABLE store (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE replicas (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    replica INTEGER NOT NULL,
    term INTEGER NOT NULL,
    vote INTEGER NOT NULL,
    commit_index INTEGER NOT NULL,
    crc INTEGER NOT NULL
) STRICT;
CREATE TABLE entries (
    key INTEGER PRIMARY KEY,
    term INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;
"""

_CRC_HEAD: Final = struct.Struct(">qq")
_CRC_STATE: Final = struct.Struct(">qqqq")


class StoreError(Exception):
    """The file cannot be used by this node; the message is a sentence that says what to do."""


class ReplicaDamaged(Exception):
    """The log of one replica is damaged: that replica must not run, the node's others may.

    The message is a sentence that names file, group and, where it is about one, the index.
    """


@dataclass(frozen=True)
class Loaded:
    """What a replica starts from. An empty log is first_index 1, last_index 0."""

    hard_state: HardState
    first_index: int
    last_index: int
    last_term: int


@dataclass(frozen=True)
class GroupWrite:
    """What one group has to make durable: its hard state if it changed, and entries, which
    replace everything of its log from `first_index` on."""

    group: str
    hard_state: HardState | None
    first_index: int
    entries: Sequence[LogEntry]


class _Log:
    """What the store remembers of a loaded replica."""

    __slots__ = ("base", "last", "name_crc", "number", "replica")

    def __init__(self, name: str, number: int, replica: int) -> None:
        self.number = number
        self.replica = replica
        self.base = number << _INDEX_BITS  # key of index 0, which no entry has
        self.name_crc = zlib.crc32(name.encode())  # start value of the CRC of every record
        self.last = 0  # last durable index; decides whether an append has a tail to delete

    def crc(self, index: int, term: int, data: bytes) -> int:
        return zlib.crc32(data, zlib.crc32(_CRC_HEAD.pack(index, term), self.name_crc))

    def state_crc(self, state: HardState) -> int:
        record = _CRC_STATE.pack(self.replica, state.term, state.vote, state.commit)
        return zlib.crc32(record, self.name_crc)


class StoredLog:
    """Reads the durable entries of one replica (`LogReader` of the Raft core)."""

    def __init__(self, store: LogStore, group: str) -> None:
        self._store = store
        self._group = group

    def entries(self, first: int, last: int) -> list[LogEntry]:
        """Entries first..last, both included. Raises ReplicaDamaged if one cannot be read."""
        return self._store.read(self._group, first, last)

    def term(self, index: int) -> int:
        """The term of the entry at `index`; 0 for index 0, which stands before every log."""
        return self._store.read(self._group, index, index)[0].term if index else 0


class LogStore:
    """One node's log file.

    store = LogStore.open(path, cluster_id=..., node=...)
    for each replica of the node: loaded = store.load(group, replica)
    each turn of the loop: store.write([...])        then send what depended on it
    store.close()
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._logs: dict[str, _Log] = {}
        self._failure: str | None = None

    @staticmethod
    def open(path: Path, *, cluster_id: str, node: str) -> LogStore:
        """Open the file, or create it. Raises StoreError if it is not this node's."""
        is_new = not path.exists()
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
                raise StoreError(
                    f"{path} is in use by another process; stop that node first."
                ) from exc
            raise StoreError(f"{path} is not a log file of this database: {exc}.") from exc
        except BaseException:
            connection.close()
            raise
        if is_new:
            # The file's name is as much part of the promise as its content.
            _sync_directory(path.parent)
        return LogStore(connection, path)

    def load(self, group: str, replica: int) -> Loaded:
        """Check a replica's whole log and return where it ends; made empty on first use.

        Raises StoreError if the file holds another replica id of the group, ReplicaDamaged if
        a record is missing or damaged.
        """
        try:
            row = self._connection.execute(
                "SELECT number, replica, term, vote, commit_index, crc FROM replicas WHERE name=?",
                (group,),
            ).fetchone()
            if row is None:
                return self._create(group, replica)
            number, stored_replica, term, vote, commit, crc = row
            if stored_replica != replica:
                raise StoreError(
                    f"{self._path} holds replica {stored_replica} of group {group}, not {replica}; "
                    "correct cluster.toml, or start with an empty data directory and a new id."
                )
            log = _Log(group, number, replica)
            hard_state = HardState(term, vote, commit)
            if log.state_crc(hard_state) != crc:
                raise ReplicaDamaged(
                    f"{self._path}: the hard state of group {group} is damaged; "
                    "rebuild this replica."
                )
            last_term = self._check(group, log)
        except sqlite3.DatabaseError as exc:
            raise ReplicaDamaged(
                f"{self._path}: the log of group {group} cannot be read ({exc}); "
                "rebuild this replica."
            ) from exc
        if commit > log.last:
            raise ReplicaDamaged(
                f"{self._path}: the log of group {group} ends at index {log.last}, but index "
                f"{commit} was committed; rebuild this replica."
            )
        self._logs[group] = log
        return Loaded(hard_state, 1, log.last, last_term)

    def _create(self, group: str, replica: int) -> Loaded:
        (number,) = self._connection.execute(
            "SELECT coalesce(max(number), 0) + 1 FROM replicas"
        ).fetchone()
        log = _Log(group, number, replica)
        state = HardState()
        self._connection.execute(
            "INSERT INTO replicas VALUES (?,?,?,?,?,?,?)",
            (number, group, replica, state.term, state.vote, state.commit, log.state_crc(state)),
        )
        self._logs[group] = log
        return Loaded(state, 1, 0, 0)

    def _check(self, group: str, log: _Log) -> int:
        """Walk the whole log; sets log.last and returns the term there."""
        last, term = 0, 0
        rows = self._connection.execute(
            "SELECT key, term, crc, data FROM entries WHERE key BETWEEN ? AND ? ORDER BY key",
            (log.base, log.base + _LAST_KEY),
        )
        try:
            for key, term, crc, data in rows:
                last += 1
                if key != log.base + last or log.crc(last, term, data) != crc:
                    raise self._damaged(group, last)
        finally:
            rows.close()  # an open cursor would keep the -wal file from starting over
        log.last = last
        return term

    def reader(self, group: str) -> StoredLog:
        """Reads the durable entries of a loaded replica."""
        return StoredLog(self, group)

    def read(self, group: str, first: int, last: int) -> list[LogEntry]:
        """Durable entries first..last, both included. Raises ReplicaDamaged."""
        log = self._logs[group]
        try:
            rows = self._connection.execute(
                "SELECT key, term, crc, data FROM entries WHERE key BETWEEN ? AND ? ORDER BY key",
                (log.base + first, log.base + last),
            ).fetchall()
        except sqlite3.DatabaseError as exc:
            raise ReplicaDamaged(
                f"{self._path}: entries {first} to {last} of group {group} cannot be read "
                f"({exc}); rebuild this replica."
            ) from exc
        entries: list[LogEntry] = []
        index = first
        for key, term, crc, data in rows:
            if key != log.base + index or log.crc(index, term, data) != crc:
                raise self._damaged(group, index)
            entries.append(LogEntry(term, data))
            index += 1
        if index != last + 1:
            raise self._damaged(group, index)
        return entries

    def _damaged(self, group: str, index: int) -> ReplicaDamaged:
        return ReplicaDamaged(
            f"{self._path}: entry {index} of group {group} is missing or damaged; "
            "rebuild this replica."
        )

    def write(self, writes: Sequence[GroupWrite]) -> None:
        """Make all of it durable in one transaction; it is durable when this returns.

        Raises StoreError on any failure. After one nothing is known to be durable any more (a
        failed fsync may have dropped the pages it could not write), so every later call fails
        as well and the node must stop its replicas.
        """
        if self._failure is not None:
            raise StoreError(self._failure)
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for write in writes:
                self._write(write)
            connection.execute("COMMIT")
        except BaseException as exc:
            self._failure = f"{self._path} cannot be written: {exc}; restart the node."
            if isinstance(exc, sqlite3.Error):
                raise StoreError(self._failure) from exc
            raise
        for write in writes:
            if write.entries:
                self._logs[write.group].last = write.first_index + len(write.entries) - 1

    def _write(self, write: GroupWrite) -> None:
        log = self._logs[write.group]
        state = write.hard_state
        if state is not None:
            self._connection.execute(
                "UPDATE replicas SET term=?, vote=?, commit_index=?, crc=? WHERE number=?",
                (state.term, state.vote, state.commit, log.state_crc(state), log.number),
            )
        if not write.entries:
            return
        first = write.first_index
        assert 1 <= first <= log.last + 1, f"{write.group}: {first} leaves a gap after {log.last}"
        if first <= log.last:
            self._connection.execute(
                "DELETE FROM entries WHERE key BETWEEN ? AND ?",
                (log.base + first, log.base + log.last),
            )
        crc = log.crc
        self._connection.executemany(
            "INSERT INTO entries VALUES (?,?,?,?)",
            [
                (log.base + index, entry.term, crc(index, entry.term, entry.data), entry.data)
                for index, entry in enumerate(write.entries, first)
            ],
        )

    def close(self) -> None:
        """Close the file. What `write` returned from is durable without it."""
        self._connection.close()


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
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        connection.executemany("INSERT INTO store VALUES (?,?)", expected.items())
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


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
