"""A state machine with a log in front of it: what tests of the machine share."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from nodes.engine import Answers, Committed
from nodes.machine import Machine
from nodes.protocol import (
    Busy,
    Done,
    Entry,
    EntryBody,
    Guard,
    Locked,
    Opened,
    OpenSession,
    Read,
    ResponseBody,
    SessionId,
    SetVersion,
    SqlFailure,
    Statement,
    Value,
    Write,
)

TABLE = (
    "CREATE TABLE t (id INTEGER NOT NULL "
    "CONSTRAINT shardrouter_range_int4_id CHECK (id BETWEEN -2147483648 AND 2147483647), "
    "name TEXT CONSTRAINT short_name CHECK (length(name) < 20), n INTEGER NOT NULL DEFAULT 0, "
    "PRIMARY KEY (id)) STRICT, WITHOUT ROWID"
)
INSERT = "INSERT INTO t (id, name) VALUES (?1, ?2)"


def encode(*bodies: EntryBody, now_us: int = 1_000_000, seed: int = 7) -> bytes:
    return msgspec.msgpack.encode(Entry(now_us, seed, bodies))


def committed(index: int, data: bytes, term: int = 1) -> Committed:
    """What a machine is given of an entry of the log."""
    return index, term, msgspec.msgpack.decode(data, type=Entry) if data else None


def statement(sql: str, *parameters: Value) -> Statement:
    return Statement(sql, parameters)


class Replica:
    """A machine, its session 1 (index 1) and the table `t`."""

    def __init__(self, directory: Path, *, replica: int = 1, setup: bool = True) -> None:
        self.directory = directory
        self.replica = replica
        self.machine = self.open()
        self.seq = 0
        if setup:
            opened = self.apply(OpenSession("r1"))
            assert isinstance(opened, Opened)
            self.session = opened.session
            self.write(statement(TABLE), sets=(SetVersion("table:t", 1),))

    def open(self) -> Machine:
        return Machine.open(self.directory, group="s1", replica=self.replica, cluster_id="c1")

    async def reopen(self) -> None:
        await self.machine.close()
        self.machine = self.open()

    def apply(self, body: EntryBody, **stamp: int) -> ResponseBody:
        return self.together(body, **stamp)[0]

    def together(self, *bodies: EntryBody, **stamp: int) -> Answers:
        """Apply one entry that brings all of these."""
        entry = committed(self.machine.applied + 1, encode(*bodies, **stamp))
        return self.machine.apply([entry])[0]

    def command(
        self,
        *statements: Statement,
        guards: tuple[Guard, ...] = (),
        sets: tuple[SetVersion, ...] = (),
        session: SessionId | None = None,
    ) -> Write:
        self.seq += 1
        return Write(session or self.session, self.seq, 0, statements, guards, sets)

    def write(
        self,
        *statements: Statement,
        guards: tuple[Guard, ...] = (),
        sets: tuple[SetVersion, ...] = (),
    ) -> Done:
        """A write that has to succeed."""
        answer = self.apply(self.command(*statements, guards=guards, sets=sets))
        assert isinstance(answer, Done), answer
        return answer

    def check(self, body: EntryBody) -> SqlFailure | Busy | Locked | None:
        """What a leader asks before it proposes `body`."""
        return self.machine.check(body, len(msgspec.msgpack.encode(body)))

    def failure(self, *statements: Statement, sets: tuple[SetVersion, ...] = ()) -> SqlFailure:
        """A write that has to fail as SQL does."""
        answer = self.apply(self.command(*statements, sets=sets))
        assert isinstance(answer, SqlFailure), answer
        return answer

    def rows(self, sql: str = "SELECT id, name, n FROM t ORDER BY id") -> list[tuple[Value, ...]]:
        answer = self.machine.read(Read((statement(sql),)))
        assert isinstance(answer, Done), answer
        return list(answer.results[0].values)


def content(directory: Path, generation: int = 1) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of a closed or open data file, the machine's own included."""
    connection = sqlite3.connect(f"file:{directory / f'data-{generation}.db'}?mode=ro", uri=True)
    tables = [
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
        )
    ]
    rows = {
        name: connection.execute(f'SELECT * FROM "{name}"').fetchall()
        for name in tables
        if name != "_machine"  # names the replica
    }
    rows["_applied"] = [row[:3] for row in rows["_applied"]]  # the last column names it as well
    rows["schema"] = connection.execute("SELECT name, sql FROM sqlite_schema").fetchall()
    connection.close()
    return rows


def crashed_copy(directory: Path, target: Path, wal_bytes: int | None = None) -> None:
    """What a crash leaves of an open data file: its write-ahead log up to some byte."""
    target.mkdir()
    shutil.copy(directory / "data-1.db", target)
    wal = (directory / "data-1.db-wal").read_bytes()
    (target / "data-1.db-wal").write_bytes(wal[:wal_bytes])


def batches(log: Sequence[bytes], cuts: Sequence[int]) -> list[list[Committed]]:
    """The log as a machine is given it, cut before the given positions."""
    entries = [committed(index, data) for index, data in enumerate(log, 1)]
    edges = sorted({0, len(entries), *(cut for cut in cuts if cut < len(entries))})
    return [entries[a:b] for a, b in pairwise(edges)]
