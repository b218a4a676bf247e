"""Snapshots as files: a copy of a replica's data to be sent, and one that is received.

A copy is made by one `backup` of all pages on a connection of its own, for any thread. It reads
one snapshot of the file, which ends with a whole batch, while the replica goes on applying; a
stepwise backup would start over at every write (DESIGN section 5).

What is received is written under the name of the next generation, verified, made the
receiver's own and durable. It counts only once the log store points to it; until then a crash
leaves a file that the next start removes. All calls block for as long as the disk does.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodes.data_file import (
    BEGIN_READ,
    READ_APPLIED,
    Identity,
    IdentityError,
    file_path,
    remove_generation,
    take_over_file,
)
from nodes.durability import sync_directory, sync_file
from nodes.shortage import of_opening

__all__ = ["SentFile", "ReceivedFile", "SnapshotRefused", "hash_file"]

_PIECE: Final = 1024 * 1024
"""Bytes read at once while a file's hash is computed."""


class SnapshotRefused(Exception):
    """What was received is no snapshot for this replica; the message is a sentence."""


@dataclass(frozen=True)
class SentFile:
    """A finished copy of a replica's data as of an applied index."""

    path: Path
    index: int
    term: int
    size: int
    hash: bytes

    @staticmethod
    def make(source: Path) -> SentFile:
        """Copy the data file `source`, which a machine may have open. Raises sqlite3.Error,
        OSError; what is left of an attempt that failed, the next one replaces."""
        try:
            path, index, term = _copy(source)
        except sqlite3.Error as exc:
            raise of_opening(exc, source) from exc
        return SentFile(path, index, term, path.stat().st_size, hash_file(path))

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the file; fewer at its end."""
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def _copy(source: Path) -> tuple[Path, int, int]:
    """The copy, and what its data is applied up to: (path, index, term)."""
    with closing(sqlite3.connect(source, isolation_level=None)) as connection:
        connection.execute(BEGIN_READ)
        index, term = connection.execute(READ_APPLIED).fetchone()
        path = source.with_name(f"snapshot-{index}.db")
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path, isolation_level=None)) as copy:
            # Nobody relies on the copy before its hash is checked at the other end.
            copy.execute("PRAGMA journal_mode = OFF").fetchall()
            copy.execute("PRAGMA synchronous = OFF").fetchall()
            connection.backup(copy, pages=-1)
    return path, index, term


class ReceivedFile:
    """A snapshot that arrives in pieces, in order, without a gap.

    file = ReceivedFile(directory, identity of the next generation)
    file.write(offset, data) for every piece
    file.finish(...)            then the log store's pointer may name the generation
    file.discard()              instead, at any time
    """

    def __init__(self, directory: Path, identity: Identity) -> None:
        self._directory = directory
        self._identity = identity
        self._path = file_path(directory, identity.generation)
        # Not only the file: a -wal of an earlier attempt would be replayed onto this one.
        remove_generation(directory, identity.generation)
        self._file = self._path.open("xb")
        self._hasher = hashlib.blake2b(digest_size=32)
        self.size = 0
        """Bytes received."""

    @property
    def generation(self) -> int:
        return self._identity.generation

    def write(self, offset: int, data: bytes) -> None:
        assert offset == self.size, f"piece at {offset} after {self.size} bytes"
        self._file.write(data)
        self._hasher.update(data)
        self.size += len(data)

    def finish(self, *, index: int, term: int, size: int, digest: bytes) -> None:
        """Verify the file, make it this replica's and durable. Raises SnapshotRefused and has
        removed it if it is not the one that was announced; sqlite3.Error, OSError."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if self.size != size or self._hasher.digest() != digest:
            self.discard()
            raise SnapshotRefused(
                f"{self._path}: the snapshot of index {index} did not arrive as it was sent "
                f"({self.size} of {size} bytes, or a wrong hash)."
            )
        try:
            found = take_over_file(self._path, self._identity)
        except (IdentityError, sqlite3.DatabaseError) as exc:
            self.discard()
            raise SnapshotRefused(f"{self._path}: the snapshot is refused: {exc}") from exc
        if found != (index, term):
            self.discard()
            raise SnapshotRefused(
                f"{self._path}: the snapshot holds index {found[0]} of term {found[1]}, "
                f"announced was index {index} of term {term}."
            )
        sync_file(self._path)
        sync_directory(self._directory)

    def discard(self) -> None:
        self._file.close()
        remove_generation(self._directory, self._identity.generation)


def hash_file(path: Path) -> bytes:
    """Not of a database that this process has open, see `durability`."""
    hasher = hashlib.blake2b(digest_size=32)
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            hasher.update(piece)
    return hasher.digest()
