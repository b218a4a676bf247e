"""What no program that replicates SQL can do without: a log's fsync, SQLite, a message.

Each is done alone, as cheaply as Python's standard library lets it, in a directory of the disk that
the databases of the other questions have.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.load import SQL, TABLE, VALUE

__all__ = ["BATCH", "floors"]

TIMES: Final = 300
BATCH: Final = 64
_WARM: Final = 20
_MESSAGE: Final = b"m" * 150
_LOG: Final = "CREATE TABLE log (position INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT"

Figures = dict[str, float]


def floors(directory: Path, times: int = TIMES) -> dict[str, Figures]:
    """What is done -> wall and CPU microseconds of one, medians and means."""
    log = _database(directory / "log.db", _LOG, "FULL")
    rows = _database(directory / "rows.db", TABLE, "NORMAL")
    numbers = iter(range(2**62))

    def append(count: int) -> None:
        log.execute("BEGIN IMMEDIATE")
        for _ in range(count):
            log.execute("INSERT INTO log VALUES (?, ?)", (next(numbers), _MESSAGE))
        log.execute("COMMIT")

    insert = SQL["insert"].replace("$1", "?1").replace("$2", "?2")
    select = SQL["select"].replace("$1", "?1")

    def apply(count: int) -> None:
        rows.execute("BEGIN IMMEDIATE")
        for _ in range(count):
            rows.execute(insert, (next(numbers), VALUE))
        rows.execute("COMMIT")

    def read() -> None:
        rows.execute(select, (1,)).fetchall()

    found = {}
    with (directory / "file").open("wb", buffering=0) as file:

        def synced() -> None:
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())

        found["4 KiB written and fdatasync"] = _measured(synced, times)
    found["a row of a log: INSERT, COMMIT with fsync"] = _measured(lambda: append(1), times)
    found[f"a row of a log, {BATCH} to a COMMIT"] = _measured(
        lambda: append(BATCH), times // 4, BATCH
    )
    found["a row of a table: INSERT, COMMIT without fsync"] = _measured(lambda: apply(1), times)
    found[f"a row of a table, {BATCH} to a COMMIT"] = _measured(
        lambda: apply(BATCH), times // 4, BATCH
    )
    found["a row of a table read by key"] = _measured(read, times * 10)
    left, right = _connected()
    with left, right:

        def said() -> None:
            left.send(_MESSAGE)
            right.recv(4096)

        found[f"{len(_MESSAGE)} bytes sent and received on loopback"] = _measured(said, times * 10)
    log.close()
    rows.close()
    return found


def _database(path: Path, table: str, synchronous: str) -> sqlite3.Connection:
    """As nodes have their log, FULL, and their data, NORMAL."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = WAL", f"synchronous = {synchronous}"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    connection.execute(table)
    return connection


def _connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        left = socket.create_connection(listener.getsockname())
        right, _ = listener.accept()
    for end in (left, right):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return left, right


def _measured(work: Callable[[], None], times: int, each: int = 1) -> Figures:
    """`work` does so many of them."""
    for _ in range(_WARM):
        work()
    took: list[float] = []
    cpu = time.process_time()
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    cpu = time.process_time() - cpu
    return {
        "wall_us": statistics.median(took) / each * 1e6,
        "cpu_us": cpu / times / each * 1e6,
    }
