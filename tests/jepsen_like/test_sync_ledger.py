"""What a power cut leaves of SQLite's files in a simulation: what was synced, and no less."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest

from jepsen_like.interpose import Loss, Survival
from jepsen_like.sim.disk import Connection, OpenDatabases, SyncLedger
from jepsen_like.sim.processes import CURRENT, Process


class Machine:
    """A process that keeps one database, and a disk that can lose its power under it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "data.db"
        self.ledger = SyncLedger()
        self._databases = OpenDatabases()
        self._process = Process("node", "n1", 1)

    @contextmanager
    def opened(self, synchronous: str) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, isolation_level=None, factory=Connection)
        connection.ledger = self.ledger
        token = CURRENT.set(self._process)
        self._databases.opened(connection)
        CURRENT.reset(token)
        for pragma in ("journal_mode = WAL", f"synchronous = {synchronous}"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        yield connection

    def lose_power(self, survival: Survival = Survival.NOTHING, seed: int = 0) -> Loss:
        self._databases.killed(self._process)
        return self.ledger.lose_power(self.directory, Random(seed), survival)

    def rows(self) -> list[int]:
        with closing(sqlite3.connect(self.path)) as connection:
            (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
            assert verdict == "ok"
            return [value for (value,) in connection.execute("SELECT x FROM t ORDER BY x")]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def insert(connection: sqlite3.Connection, *values: int) -> None:
    for value in values:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO t VALUES (?)", (value,))
        connection.execute("COMMIT")


def create(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE t (x INTEGER)")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


@pytest.mark.parametrize("survival", list(Survival))
def test_what_was_committed_with_full_is_there(machine: Machine, survival: Survival) -> None:
    with machine.opened("FULL") as connection:
        create(connection)
        insert(connection, 1, 2, 3)
        connection.execute("BEGIN")
        connection.execute("INSERT INTO t VALUES (4)")
    loss = machine.lose_power(survival)
    assert machine.rows() == [1, 2, 3]
    assert not loss.changed


def test_what_was_committed_with_normal_is_gone(machine: Machine) -> None:
    with machine.opened("NORMAL") as connection:
        create(connection)
        insert(connection, 1, 2, 3)
    loss = machine.lose_power()
    assert machine.rows() == []
    assert loss.unsynced_bytes > 3 * 4096
    assert loss.changed == ("data.db-wal",)


def test_a_sync_of_the_log_keeps_what_was_in_it(machine: Machine) -> None:
    with machine.opened("NORMAL") as connection:
        create(connection)
        insert(connection, 1, 2)
        machine.ledger.synced(machine.path.with_name("data.db-wal"))
        insert(connection, 3)
    machine.lose_power()
    assert machine.rows() == [1, 2]


@pytest.mark.parametrize("name", ["over a link", "relative"])
def test_a_sync_is_one_of_the_file_whatever_it_was_opened_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    true = tmp_path / "true"
    true.mkdir()
    link = tmp_path / "link"
    link.symlink_to(true)
    monkeypatch.chdir(tmp_path)
    machine = Machine(link if name == "over a link" else Path("true"))
    with machine.opened("NORMAL") as connection:
        create(connection)
        insert(connection, 1, 2)
        with (true / "data.db-wal").open("rb") as file:
            machine.ledger.synced(Path(f"/proc/self/fd/{file.fileno()}").readlink())
        insert(connection, 3)
    machine.lose_power()
    assert machine.rows() == [1, 2]


def test_each_sync_keeps_what_came_since_the_last(machine: Machine) -> None:
    """Also when the log began anew in between, shorter than it was, or went on where it was cut."""
    log = machine.path.with_name("data.db-wal")
    with machine.opened("NORMAL") as connection:
        create(connection)
        insert(connection, *range(1, 9))
        machine.ledger.synced(log)
        insert(connection, 9)
        machine.ledger.synced(log)
        connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        insert(connection, 10, 11)
        machine.ledger.synced(log)
        insert(connection, 12)
    machine.lose_power()
    assert machine.rows() == list(range(1, 12))
    with machine.opened("NORMAL") as connection:
        insert(connection, 13)
        machine.ledger.synced(log)
        insert(connection, 14)
    machine.lose_power()
    assert machine.rows() == [*range(1, 12), 13]


def test_a_checkpoint_keeps_what_it_stored(machine: Machine) -> None:
    with machine.opened("NORMAL") as connection:
        create(connection)
        insert(connection, 1)  # the ledger learns when the file was written
        os.utime(machine.path, ns=(0, 0))
        insert(connection, 2)
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        insert(connection, 3, 4)
    machine.lose_power()
    assert machine.rows()[:2] == [1, 2]


def test_who_stops_syncing_loses_what_came_later(machine: Machine) -> None:
    with machine.opened("FULL") as connection:
        create(connection)
        insert(connection, 1, 2)
        connection.execute("PRAGMA synchronous = NORMAL").fetchall()
        insert(connection, 3, 4)
    machine.lose_power()
    assert machine.rows() == [1, 2]


def test_a_torn_log_is_a_prefix_and_pieces_are_sound(machine: Machine) -> None:
    found = set()
    for survival in (Survival.PREFIX, Survival.PIECES, Survival.ANY):
        for seed in range(8):
            with machine.opened("NORMAL") as connection:
                connection.execute("DROP TABLE IF EXISTS t")
                create(connection)
                insert(connection, 1, 2, 3, 4, 5)
            machine.lose_power(survival, seed)
            rows = machine.rows()
            assert rows == list(range(1, len(rows) + 1))
            found.add(len(rows))
    assert len(found) > 2, "every length was the same"
