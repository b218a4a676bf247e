"""The databases that simulated processes have open, and what becomes of them at a kill.

The real SQLite runs on real files. A process that is killed leaves its files as they are at that
moment; but all simulated processes are one, in which its connections would go on to hold their
locks, and closing them would tidy up as no killed process does. So the files are set aside,
the connections closed, and the files put back.

A machine that loses its power leaves less: of each write-ahead log what was synced, and any part of
what came later (`SyncLedger`). SQLite says by its settings when it syncs: a COMMIT with
synchronous=FULL does; with NORMAL only a checkpoint does, which shows in the database's file; and
whoever syncs the log himself does so by os.fsync. Other files, and names, are taken for durable.
"""

from __future__ import annotations

import os
import re
import sqlite3
import struct
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple
from weakref import WeakSet

from jepsen_like.interpose import Loss, Survival
from jepsen_like.sim.processes import CURRENT, Process

__all__ = ["Connection", "OpenDatabases", "SyncLedger"]

WAL: Final = "-wal"
WAL_HEADER: Final = struct.Struct(">IIII8s8s")  # magic, format, page size, sequence, salts, sum
FRAME_HEADER: Final = struct.Struct(">II8s8s")  # page, size of the database, salts, sum
SECTOR: Final = 512

SYNCHRONOUS: Final = re.compile(r"\s*PRAGMA\s+synchronous\s*=\s*(\w+)", re.IGNORECASE)
FULL: Final = frozenset({"FULL", "EXTRA", "2", "3"})
OFF: Final = frozenset({"OFF", "0"})


class OpenDatabases:
    """Each process's connections."""

    def __init__(self) -> None:
        self._open: dict[Process, WeakSet[Connection]] = {}

    def opened(self, connection: Connection) -> None:
        process = CURRENT.get()
        if process is not None:
            self._open.setdefault(process, WeakSet()).add(connection)

    def killed(self, process: Process) -> None:
        """Its connections are gone, and its files as they were."""
        connections = list(self._open.pop(process, ()))
        files: dict[Path, bytes] = {}
        for connection in connections:
            for path in connection.files():
                if path not in files and path.exists():
                    files[path] = path.read_bytes()
        for connection in connections:
            with suppress(sqlite3.Error):
                connection.close()
        for path, content in files.items():
            path.write_bytes(content)
        for path in files:
            path.with_name(f"{path.name}-shm").unlink(missing_ok=True)


class _Frames(NamedTuple):
    """How far a write-ahead log goes: the frames that have its own salts."""

    salts: bytes
    number: int
    size: int  # of a frame

    @property
    def end(self) -> int:
        return WAL_HEADER.size + self.number * self.size


NO_FRAMES: Final = _Frames(b"", 0, 0)


def _frames_of(wal: Path, before: _Frames = NO_FRAMES) -> _Frames:
    """None are in a file that is missing, or too short (SQLite's file format, section 4.1). Where
    it was looked at `before`, and begins as it did then, only what came later is read: a log with
    the same salts has the same frames, and more."""
    try:
        file = wal.open("rb")
    except FileNotFoundError:
        return NO_FRAMES
    with file:
        header = file.read(WAL_HEADER.size)
        if len(header) < WAL_HEADER.size:
            return NO_FRAMES
        _, _, page_size, _, salts, _ = WAL_HEADER.unpack(header)
        size = FRAME_HEADER.size + page_size
        goes_on = (salts, size) == (before.salts, before.size)
        count = before.number if goes_on and before.end <= os.fstat(file.fileno()).st_size else 0
        file.seek(count * size, os.SEEK_CUR)
        data = file.read()
    at = 0
    while at + size <= len(data) and FRAME_HEADER.unpack_from(data, at)[2] == salts:
        count, at = count + 1, at + size
    return _Frames(salts, count, size)


class SyncLedger:
    """Of each write-ahead log, how much of it has been synced."""

    def __init__(self) -> None:
        self._whole: set[Path] = set()  # all that was written so far
        self._marks: dict[Path, _Frames] = {}  # of the others, up to here
        self._stored_ns: dict[Path, int] = {}  # when the database's file was last written

    def synced(self, wal: Path) -> None:
        """All that is in it now survives."""
        self._whole.discard(wal)
        self._marks[wal] = _frames_of(wal, self._marks.get(wal, NO_FRAMES))

    def committed(self, database: Path, synchronous: str) -> None:
        """A transaction of a connection with this setting was."""
        wal = database.with_name(database.name + WAL)
        if synchronous in FULL:
            self._whole.add(wal)
            return
        if wal in self._whole:  # the commits before were synced, and it is too late to see where
            self._whole.discard(wal)
            self._marks.setdefault(wal, NO_FRAMES)
        stored_ns = database.stat().st_mtime_ns
        if synchronous not in OFF and self._stored_ns.get(database, stored_ns) != stored_ns:
            self.synced(wal)  # a checkpoint syncs the log before it stores what is in it
        self._stored_ns[database] = stored_ns

    def set_to(self, database: Path) -> None:
        """The setting is about to change: what was synced so far is."""
        wal = database.with_name(database.name + WAL)
        if wal in self._whole:
            self.synced(wal)

    def lose_power(self, directory: Path, rng: Random, survival: Survival) -> Loss:
        """The process is dead; the files below `directory` become what a power cut may leave."""
        unsynced, changed = 0, []
        directory = directory.resolve()
        for wal in sorted(directory.rglob(f"*{WAL}")):
            if wal in self._whole:
                continue
            now, mark = _frames_of(wal), self._marks.get(wal, NO_FRAMES)
            kept = mark.end if mark.salts == now.salts and mark.number else WAL_HEADER.size
            if now.end <= kept:
                continue
            unsynced += now.end - kept
            data = wal.read_bytes()
            left = _left_of(data[: now.end], kept, rng, survival)
            if left != data[: now.end]:
                wal.write_bytes(left)
                changed.append(str(wal.relative_to(directory)))
            self._marks[wal] = _frames_of(wal)
        return Loss(unsynced, tuple(changed), "")


def _left_of(data: bytes, kept: int, rng: Random, survival: Survival) -> bytes:
    """Of `data`, of which so much was synced."""
    if survival is Survival.ANY:
        survival = rng.choice([s for s in Survival if s is not Survival.ANY])
    if survival is Survival.NOTHING:
        return data[:kept]
    if survival is Survival.PREFIX:
        return data[: rng.randint(kept, len(data))]
    if survival is Survival.PIECES:
        left = bytearray(data)
        for at in range(kept, len(data), SECTOR):
            if rng.random() < 0.5:
                end = min(at + SECTOR, len(data))
                left[at:end] = bytes(end - at)
        return bytes(left)
    return data


class Connection(sqlite3.Connection):
    """As any other, and it knows its files, and tells when it syncs them."""

    ledger: SyncLedger | None = None

    def __init__(self, database: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(database, *arguments, **options)
        self._path = str(database)
        self._files = _files_of(self._path)
        self._synchronous = "FULL"  # SQLite's default

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if self.ledger is None or not self._files:
            return super().execute(sql, *values)
        setting = SYNCHRONOUS.match(sql)
        if setting is not None:
            self.ledger.set_to(self._files[0])
            self._synchronous = setting[1].upper()
        cursor = super().execute(sql, *values)
        if sql[-6:].upper() == "COMMIT":
            self.ledger.committed(self._files[0], self._synchronous)
        return cursor

    def files(self) -> tuple[Path, ...]:
        return self._files


def _files_of(text: str) -> tuple[Path, ...]:
    """The database's own, its write-ahead log and its journal; none, if it is in memory. By their
    true names, which is what an fsync of a descriptor is known by: they may have been opened by
    another one, relative or over a link."""
    if text.startswith("file:"):
        text = text.removeprefix("file:").partition("?")[0]
    if not text or text == ":memory:":
        return ()
    path = Path(text).resolve()
    return path, path.with_name(f"{path.name}{WAL}"), path.with_name(f"{path.name}-journal")
