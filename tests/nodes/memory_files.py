"""Snapshot files in memory, for engines whose state machine is no database."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from nodes.snapshot_files import SnapshotRefused


@dataclass
class SentBytes:
    index: int
    data: bytes
    is_removed: bool = False

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def hash(self) -> bytes:
        return hashlib.blake2b(self.data).digest()

    def read(self, offset: int, size: int) -> bytes:
        assert not self.is_removed, "read after it was removed"
        return self.data[offset : offset + size]

    def remove(self) -> None:
        self.is_removed = True


@dataclass
class ReceivedBytes:
    generation: int
    data: bytes = b""
    is_finished: bool = False
    is_discarded: bool = False

    def write(self, offset: int, data: bytes) -> None:
        assert offset == len(self.data)
        self.data += data

    def finish(self, *, index: int, term: int, size: int, digest: bytes) -> None:
        if len(self.data) != size or hashlib.blake2b(self.data).digest() != digest:
            raise SnapshotRefused(f"the snapshot of index {index} did not arrive as it was sent.")
        self.is_finished = True

    def discard(self) -> None:
        self.is_discarded = True
