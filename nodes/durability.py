"""What the operating system must be asked for besides SQLite: content and names made durable.

A file's name is as much part of a promise as its content: a power loss may keep the bytes and
lose the directory entry. Never call `sync_file` on a database that this process has open:
closing any descriptor of a file drops the locks SQLite holds on it (POSIX), and a second
process could then open what it must not. A `-wal` carries no locks and may be synced.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["WatchedFile", "sync_directory", "sync_file"]


def sync_file(path: Path) -> None:
    """What is in the file now survives a power loss when this returns."""
    _sync(path)


def sync_directory(directory: Path) -> None:
    """The names in the directory survive a power loss when this returns."""
    _sync(directory)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class WatchedFile:
    """A file that others write and sync, open from now on, so that no failed sync escapes us.

    After one the kernel forgets what it could not write, and the next sync succeeds. It tells
    each descriptor that was open at that time, once; one that is opened later hears nothing
    (fsync(2); SQLite ignores what a checkpoint of its own was told).
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)

    def sync(self) -> None:
        """What is in the file now survives a power loss when this returns. Raises OSError, also
        for what was written, and lost, since the last one."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()
