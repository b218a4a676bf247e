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

A group has one row for ever: the highest replica id that this node has hosted, and whether that
one was removed. What was removed has no entries here and is never loaded again; only a higher id
takes its row, with a log that is new.

This module knows nothing of what entries mean. Its calls block for as long as the disk does;
they may come from any thread, one at a time.
"""

from __future__ import annotations

import sqlite3
import struct
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodes.acquaintances import Acquaintances, MemoryDamaged
from nodes.log_file import StoreError, open_log_file, unusable
from nodes.metrics import Latencies
from nodes.raft.messages import HardState, LogEntry
from nodes.row_insert import RowInsert

__all__ = [
    "GroupWrite",
    "HostedId",
    "LogStore",
    "Loaded",
    "ReplicaDamaged",
    "SnapshotPointer",
    "StoreError",
    "StoredLog",
]

CHECKED_BYTES_MAX: Final = 64 * 1024 * 1024
CHECKED_ENTRIES_MAX: Final = 100_000
"""How much of a log's end is checked at start, about a second's work. What lies before is
checked when it is read, as everything is; a log that is compacted is never so long."""

_INDEX_BITS: Final = 44
"""The key of an entry is its group's number shifted by this, plus its index: one integer keeps
the rows of a group together and appends cheap, and blobs on their leaf page (a WITHOUT ROWID
table moves everything over 1002 bytes to overflow pages)."""

_LAST_KEY: Final = (1 << _INDEX_BITS) - 1

_ENTRIES: Final = RowInsert("INSERT INTO entries VALUES (?,?,?,?)")

_CRC_HEAD: Final = struct.Struct(">qq")
_CRC_STATE: Final = struct.Struct(">qqqqq")
_CRC_POINTER: Final = struct.Struct(">qqqq")


class ReplicaDamaged(Exception):
    """The log of one replica is damaged: that replica must not run, the node's others may.

    The message is a sentence that names file, group and, where it is about one, the index.
    """


@dataclass(frozen=True)
class SnapshotPointer:
    """What stands for the part of the log that is not there any more.

    The data file of `generation` holds, durably, the effect of every entry up to `index`. The
    log begins with the entry after it.
    """

    generation: int = 1
    index: int = 0
    term: int = 0  # of the entry at `index`; the term of index 0 is 0
    membership: bytes = b""  # of the group as of `index`, as its replication engine writes it


@dataclass(frozen=True)
class HostedId:
    """The highest replica id of a group that a node has ever hosted."""

    replica: int
    is_removed: bool


@dataclass(frozen=True)
class Loaded:
    """What a replica starts from. A new log is pointer SnapshotPointer(), last_index 0."""

    hard_state: HardState
    pointer: SnapshotPointer
    last_index: int
    last_term: int

    @property
    def first_index(self) -> int:
        return self.pointer.index + 1


@dataclass(frozen=True)
class GroupWrite:
    """What one group has to make durable: its hard state if it changed; entries, which replace
    everything of its log from `first_index` on; and before that the pointer if it moved.

    Under a pointer the entries up to its index leave the log (compaction). Those behind it stay
    only if the log has the entry that the pointer names: a snapshot of another history
    replaces the log whole (thesis, figure 5.3, steps 6 and 7).
    """

    group: str
    hard_state: HardState | None
    first_index: int
    entries: Sequence[LogEntry]
    pointer: SnapshotPointer | None = None


class _Log:
    """What the store remembers of a loaded replica."""

    __slots__ = ("base", "last", "name_crc", "number", "pointer", "replica")

    def __init__(self, name: str, number: int, replica: int) -> None:
        self.number = number
        self.replica = replica
        self.base = number << _INDEX_BITS  # key of index 0, which no entry has
        self.name_crc = zlib.crc32(name.encode())  # start value of the CRC of every record
        self.pointer = SnapshotPointer()  # durable
        self.last = 0  # last durable index; decides whether an append has a tail to delete

    def crc(self, index: int, term: int, data: bytes) -> int:
        return zlib.crc32(data, zlib.crc32(_CRC_HEAD.pack(index, term), self.name_crc))

    def state_crc(self, state: HardState, *, is_removed: bool = False) -> int:
        record = _CRC_STATE.pack(
            self.replica, state.term, state.vote, state.commit, int(is_removed)
        )
        return zlib.crc32(record, self.name_crc)

    def pointer_crc(self, pointer: SnapshotPointer) -> int:
        record = _CRC_POINTER.pack(self.replica, pointer.generation, pointer.index, pointer.term)
        return zlib.crc32(pointer.membership, zlib.crc32(record, self.name_crc))


class StoredLog:
    """Reads the durable entries of one replica (`LogReader` of the Raft core)."""

    def __init__(self, store: LogStore, group: str) -> None:
        self._store = store
        self._group = group

    def entries(self, first: int, last: int) -> list[LogEntry]:
        """Entries first..last, both included. Raises ReplicaDamaged if one cannot be read."""
        return self._store.read(self._group, first, last)

    def term(self, index: int) -> int:
        """The term of the entry at `index`, or of the one that the pointer stands for."""
        pointer = self._store.pointer(self._group)
        if index == pointer.index:
            return pointer.term
        return self._store.read(self._group, index, index)[0].term

    def beginning_with(self, mark: bytes) -> list[tuple[int, LogEntry]]:
        """The entries whose data begins so, with their indexes."""
        return self._store.find(self._group, mark)


class LogStore:
    """One node's log file.

    store = LogStore.open(path, cluster_id=..., node=...)
    for each replica that store.hosted() names, or that is new: store.load(group, replica)
    each turn of the loop: store.write([...])        then send what depended on it
    store.close()
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._logs: dict[str, _Log] = {}
        self._failure: str | None = None
        self.syncs = Latencies()
        """Of the COMMITs of `write`, which return after their fsync."""
        (data_id,) = connection.execute("SELECT value FROM store WHERE key = 'data_id'").fetchone()
        self.acquaintances = Acquaintances(connection, data_id=data_id, failed=self._fail)

    @staticmethod
    def open(path: Path, *, cluster_id: str, node: str) -> LogStore:
        """Open the file, or create it, and count one start. Raises StoreError if it is not this
        node's."""
        connection = open_log_file(path, cluster_id=cluster_id, node=node)
        try:
            return LogStore(connection, path)
        except sqlite3.Error as exc:
            connection.close()
            raise unusable(path, exc) from exc
        except MemoryDamaged as exc:
            connection.close()
            raise StoreError(
                f"{path} is damaged: {exc} is not what was written. Move the data directory away, "
                f"start the node with an empty one and run `shardrouter replica rebuild --node "
                f"{node}`."
            ) from exc

    @property
    def path(self) -> Path:
        return self._path

    def _fail(self, why: str) -> None:
        """Nothing is known to be durable any more: every later write fails as well."""
        self._failure = f"{self._path} cannot be written: {why}; restart the node."

    def hosted(self) -> dict[str, HostedId]:
        """Of every group that this node has hosted a replica of: the highest id, and whether
        that one was removed. Raises StoreError."""
        try:
            rows = self._connection.execute(
                "SELECT name, number, replica, term, vote, commit_index, crc, removed "
                "FROM replicas ORDER BY name"
            ).fetchall()
        except sqlite3.DatabaseError as exc:
            raise unusable(self._path, exc) from exc
        found: dict[str, HostedId] = {}
        for name, number, replica, term, vote, commit, crc, removed in rows:
            # A damaged row is nobody's removal: `load` finds the damage.
            state = HardState(term, vote, commit)
            mark = _Log(name, number, replica).state_crc(state, is_removed=True)
            found[name] = HostedId(replica, bool(removed) and crc == mark)
        return found

    def remove(self, group: str, replica: int) -> None:
        """Note, durably, that the replica is gone for ever, and give up its log, which may be
        damaged or not loaded. Raises StoreError; nothing may be written after that."""
        if self._failure is not None:
            raise StoreError(self._failure)
        connection = self._connection
        try:
            (number,) = connection.execute(
                "SELECT number FROM replicas WHERE name = ? AND replica = ?", (group, replica)
            ).fetchone()
            log, pointer = _Log(group, number, replica), SnapshotPointer()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "UPDATE replicas SET term=0, vote=0, commit_index=0, crc=?, generation=?, "
                "base_index=?, base_term=?, membership=?, base_crc=?, seal=x'', removed=1 "
                "WHERE number=?",
                (
                    log.state_crc(HardState(), is_removed=True),
                    *(pointer.generation, pointer.index, pointer.term, pointer.membership),
                    *(log.pointer_crc(pointer), number),
                ),
            )
            self._delete(log, 0, _LAST_KEY)
            connection.execute("COMMIT")
        except sqlite3.Error as exc:
            self._failure = f"{self._path} cannot be written: {exc}; restart the node."
            raise StoreError(self._failure) from exc
        self._logs.pop(group, None)

    def load(self, group: str, replica: int) -> Loaded:
        """Check a replica's log and return where it begins and ends; made on first use.

        Raises StoreError if the file holds another replica id of the group, or has held this
        one until it was removed, ReplicaDamaged if a record is missing or damaged.
        """
        try:
            row = self._connection.execute(
                "SELECT number, replica, term, vote, commit_index, crc, "
                "generation, base_index, base_term, membership, base_crc, removed "
                "FROM replicas WHERE name = ?",
                (group,),
            ).fetchone()
            if row is None:
                return self._create(group, replica)
            number, stored_replica, term, vote, commit, crc, *base, base_crc, removed = row
            if removed and replica > stored_replica:
                return self._create(group, replica, number)
            if stored_replica != replica:
                raise StoreError(
                    f"{self._path} holds replica {stored_replica} of group {group}, not {replica}; "
                    "correct cluster.toml, or start with an empty data directory and a new id."
                )
            log = _Log(group, number, replica)
            hard_state = HardState(term, vote, commit)
            log.pointer = SnapshotPointer(*base)
            state_crc = log.state_crc(hard_state, is_removed=bool(removed))
            if state_crc != crc or log.pointer_crc(log.pointer) != base_crc:
                raise ReplicaDamaged(
                    f"{self._path}: the hard state of group {group} is damaged; "
                    "rebuild this replica."
                )
            if removed:
                raise StoreError(
                    f"{self._path}: replica {replica} of group {group} was removed, and its id is "
                    "never given again; add a new replica."
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
        return Loaded(hard_state, log.pointer, log.last, last_term)

    def _create(self, group: str, replica: int, number: int | None = None) -> Loaded:
        """Begin a log, in the row of a replica that was removed or in one of its own."""
        if number is None:
            (number,) = self._connection.execute(
                "SELECT coalesce(max(number), 0) + 1 FROM replicas"
            ).fetchone()
        log = _Log(group, number, replica)
        state, pointer = HardState(), log.pointer
        self._connection.execute(
            "REPLACE INTO replicas VALUES (?,?,?,?,?,?,?,?,?,?,?,?,x'',0)",
            (
                *(number, group, replica),
                *(state.term, state.vote, state.commit, log.state_crc(state)),
                *(pointer.generation, pointer.index, pointer.term, pointer.membership),
                log.pointer_crc(pointer),
            ),
        )
        self._logs[group] = log
        return Loaded(state, pointer, 0, 0)

    def _check(self, group: str, log: _Log) -> int:
        """Check both ends of the log; sets log.last and returns the term there."""
        span = (log.base, log.base + _LAST_KEY)
        oldest = self._connection.execute(
            "SELECT key FROM entries WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1", span
        ).fetchone()
        if oldest is None:
            log.last = log.pointer.index
            return log.pointer.term
        first = log.pointer.index + 1
        if oldest[0] != log.base + first:
            raise self._damaged(group, first)
        rows = self._connection.execute(
            "SELECT key, term, crc, data FROM entries WHERE key BETWEEN ? AND ? ORDER BY key DESC",
            span,
        )
        last = last_term = 0
        bytes_left = CHECKED_BYTES_MAX
        try:
            for key, term, crc, data in rows:
                if not last:
                    last, last_term = key - log.base, term
                    index = last
                if key != log.base + index or log.crc(index, term, data) != crc:
                    raise self._damaged(group, index)
                index -= 1
                bytes_left -= len(data)
                if bytes_left < 0 or last - index >= CHECKED_ENTRIES_MAX:
                    break
        finally:
            rows.close()  # an open cursor would keep the -wal file from starting over
        log.last = last
        return int(last_term)

    def pointer(self, group: str) -> SnapshotPointer:
        """What stands before the durable log of a loaded replica."""
        return self._logs[group].pointer

    def seal(self, group: str) -> bytes:
        """What `set_seal` noted of the replica's data file, empty if nothing. Of any group that
        the file knows, loaded or not. Raises ReplicaDamaged."""
        try:
            row = self._connection.execute(
                "SELECT seal FROM replicas WHERE name = ?", (group,)
            ).fetchone()
        except sqlite3.DatabaseError as exc:
            raise ReplicaDamaged(
                f"{self._path}: the log of group {group} cannot be read ({exc}); "
                "rebuild this replica."
            ) from exc
        return b"" if row is None else bytes(row[0])

    def set_seal(self, group: str, seal: bytes) -> None:
        """Note, durably, how the data file was left, or that it is in use (empty). Raises
        StoreError."""
        if self._failure is not None:
            raise StoreError(self._failure)
        try:
            self._connection.execute("UPDATE replicas SET seal = ? WHERE name = ?", (seal, group))
        except sqlite3.Error as exc:
            self._failure = f"{self._path} cannot be written: {exc}; restart the node."
            raise StoreError(self._failure) from exc

    def reader(self, group: str) -> StoredLog:
        """Reads the durable entries of a loaded replica."""
        return StoredLog(self, group)

    def read(self, group: str, first: int, last: int) -> list[LogEntry]:
        """Durable entries first..last, both included. Raises ReplicaDamaged."""
        log = self._logs[group]
        assert first > log.pointer.index, f"{group}: entry {first} was compacted"
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

    def find(self, group: str, mark: bytes) -> list[tuple[int, LogEntry]]:
        """(index, entry) of the entries whose data begins with `mark`. Raises ReplicaDamaged."""
        log = self._logs[group]
        try:
            rows = self._connection.execute(
                "SELECT key FROM entries WHERE key BETWEEN ? AND ? AND substr(data, 1, ?) = ? "
                "ORDER BY key",
                (log.base, log.base + _LAST_KEY, len(mark), mark),
            ).fetchall()
        except sqlite3.DatabaseError as exc:
            raise ReplicaDamaged(
                f"{self._path}: the log of group {group} cannot be read ({exc}); "
                "rebuild this replica."
            ) from exc
        indexes = [key - log.base for (key,) in rows]
        return [(index, self.read(group, index, index)[0]) for index in indexes]

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
            ends = {write.group: self._write(write) for write in writes}
            began = time.monotonic()
            connection.execute("COMMIT")
            self.syncs.note(time.monotonic() - began)
        except BaseException as exc:
            self._failure = f"{self._path} cannot be written: {exc}; restart the node."
            if isinstance(exc, sqlite3.Error):
                raise StoreError(self._failure) from exc
            raise
        for write in writes:
            log = self._logs[write.group]
            if write.pointer is not None:
                log.pointer = write.pointer
            log.last = ends[write.group]

    def renew(self, group: str, replica: int, write: GroupWrite) -> None:
        """Give the loaded replica's log to `replica`, an id above its own, together with `write`,
        which has a hard state and a pointer, in one transaction. Raises StoreError, as `write`."""
        log = self._logs[group]
        assert replica > log.replica, f"{group}: {replica} after {log.replica}"
        assert write.hard_state is not None
        assert write.pointer is not None
        if self._failure is not None:
            raise StoreError(self._failure)
        former, log.replica = log.replica, replica  # part of the CRC of what is written
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(
                "UPDATE replicas SET replica = ?, seal = x'' WHERE number = ?",
                (replica, log.number),
            )
            end = self._write(write)
            self._connection.execute("COMMIT")
        except BaseException as exc:
            log.replica = former
            self._failure = f"{self._path} cannot be written: {exc}; restart the node."
            if isinstance(exc, sqlite3.Error):
                raise StoreError(self._failure) from exc
            raise
        log.pointer, log.last = write.pointer, end

    def _write(self, write: GroupWrite) -> int:
        """Returns where the log ends now."""
        log = self._logs[write.group]
        state, last = write.hard_state, log.last
        if state is not None:
            self._connection.execute(
                "UPDATE replicas SET term=?, vote=?, commit_index=?, crc=? WHERE number=?",
                (state.term, state.vote, state.commit, log.state_crc(state), log.number),
            )
        pointer = write.pointer or log.pointer
        if write.pointer is not None:
            last = self._move_pointer(write.group, log, write.pointer)
        if not write.entries:
            return last
        first = write.first_index
        assert pointer.index < first <= last + 1, (
            f"{write.group}: {first} leaves a gap after {last}"
        )
        if first <= last:
            self._delete(log, first, last)
        base, crc = log.base, log.crc
        _ENTRIES.run(
            self._connection,
            [
                (base + index, term := entry.term, crc(index, term, data := entry.data), data)
                for index, entry in enumerate(write.entries, first)
            ],
        )
        return first + len(write.entries) - 1

    def _move_pointer(self, group: str, log: _Log, pointer: SnapshotPointer) -> int:
        """Returns where the log ends then."""
        index = pointer.index
        assert pointer.generation >= log.pointer.generation, f"{group}: an older generation"
        assert index >= log.pointer.index, f"{group}: a pointer before {log.pointer.index}"
        has_entry = index <= log.last and self.reader(group).term(index) == pointer.term
        assert has_entry or pointer.generation > log.pointer.generation, (
            f"{group}: compaction up to {index}, which is not in the log"
        )
        self._connection.execute(
            "UPDATE replicas SET generation=?, base_index=?, base_term=?, membership=?, "
            "base_crc=? WHERE number=?",
            (
                *(pointer.generation, index, pointer.term, pointer.membership),
                *(log.pointer_crc(pointer), log.number),
            ),
        )
        self._delete(log, log.pointer.index + 1, index if has_entry else log.last)
        return log.last if has_entry else index

    def _delete(self, log: _Log, first: int, last: int) -> None:
        self._connection.execute(
            "DELETE FROM entries WHERE key BETWEEN ? AND ?", (log.base + first, log.base + last)
        )

    def close(self) -> None:
        """Close the file. What `write` returned from is durable without it."""
        self._connection.close()
