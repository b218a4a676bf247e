"""The databases that simulated processes have open, and what becomes of them at a kill.

The real SQLite runs on real files. A process that is killed leaves its files as they are at that
moment; but all simulated processes are one, in which its connections would go on to hold their
locks, and closing them would tidy up as no killed process does. So the files are set aside,
the connections closed, and the files put back.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

from jepsen_like.sim.processes import CURRENT, Process

__all__ = ["OpenDatabases"]


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


class Connection(sqlite3.Connection):
    """As any other, and it knows its files."""

    def __init__(self, database: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(database, *arguments, **options)
        self._path = str(database)

    def files(self) -> tuple[Path, ...]:
        text = self._path
        if text.startswith("file:"):
            text = text.removeprefix("file:").partition("?")[0]
        if not text or text == ":memory:":
            return ()
        path = Path(text)
        return path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-journal")
