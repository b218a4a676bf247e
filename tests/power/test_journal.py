"""The journal of a real program: SQLite, killed at every kind of moment.

SQLite's own promises are the yardstick. With synchronous=FULL a COMMIT that returned survives
every cut; with NORMAL some are lost, and the file is sound; with OFF they are lost. A model
that kept too much would miss the second and third, one that lost too much the first.
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from jepsen_like.interpose import Survival
from jepsen_like.interpose.image import Image
from tests.power.host import Host

pytestmark = pytest.mark.slow

PROGRAM = """
import sqlite3, sys
from contextlib import closing
path, synchronous, commits = sys.argv[1:]
with closing(sqlite3.connect(path, isolation_level=None)) as db:
    db.execute("PRAGMA journal_mode = WAL").fetchall()
    db.execute(f"PRAGMA synchronous = {synchronous}")
    db.execute("PRAGMA wal_autocheckpoint = 20")
    db.execute("CREATE TABLE IF NOT EXISTS t (k INTEGER PRIMARY KEY, v BLOB)")
    (first,) = db.execute("SELECT coalesce(max(k), 0) + 1 FROM t").fetchone()
    for k in range(first, first + int(commits)):
        db.execute("INSERT INTO t VALUES (?, randomblob(2000))", (k,))
        print(k, flush=True)
"""


class Machine:
    """A host on which the program runs, not a node."""

    def __init__(self, directory: Path, library: Path) -> None:
        directory = directory.resolve()
        self.host = Host(directory / "host", library)
        program = (sys.executable, "-c", PROGRAM, str(self.host.data / "db"))
        self._command = self.host.command(program)

    def run(
        self, synchronous: str, commits: int, trigger: tuple[str, str, int] | None = None
    ) -> tuple[int, int]:
        """(exit code, last commit that returned, 0 if none did)."""
        if trigger is not None:
            self.host.arm(*trigger)
        done = subprocess.run(
            [*self._command, synchronous, str(commits)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert not done.stderr, done.stderr
        return done.returncode, int((done.stdout.split() or ["0"])[-1])

    def rows(self) -> int:
        """How many rows the database has; it must be sound, and they the first ones. Looks at
        a copy, for opening a database changes it."""
        copy = self.host.data.with_name("copy")
        Image.of(self.host.data).write_to(copy)
        with closing(sqlite3.connect(copy / "db")) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            if not db.execute("SELECT * FROM sqlite_schema").fetchall():
                return 0
            count, last = db.execute("SELECT count(*), coalesce(max(k), 0) FROM t").fetchone()
            assert count == last, "a gap"
            return int(count)


@pytest.fixture
def machine(tmp_path: Path, library: Path) -> Machine:
    (tmp_path / "machine").mkdir()
    return Machine(tmp_path / "machine", library)


def test_nothing_is_missed_of_a_program_that_ends_in_order(machine: Machine) -> None:
    for _ in range(2):
        code, _ = machine.run("FULL", 60)
        assert code == 0
        assert machine.host.switch_off() == ""
    assert machine.rows() == 120


@pytest.mark.parametrize("moment", ["W", "S", "D", "T", "O", "U"])
def test_a_full_commit_survives_every_cut(machine: Machine, moment: str) -> None:
    rng = Random(moment)
    acknowledged = 0
    for _ in range(6):
        code, commit = machine.run("FULL", 40, (moment, "db*", rng.randrange(150)))
        assert code in (0, -signal.SIGKILL)
        machine.host.lose_power(rng, Survival.ANY)
        acknowledged = max(acknowledged, commit)
        found = machine.rows()
        assert found >= acknowledged
        acknowledged = found  # what was found once is durable


def test_a_normal_commit_may_be_lost_and_leaves_a_sound_file(machine: Machine) -> None:
    machine.run("FULL", 1)
    machine.host.switch_off()
    _, commit = machine.run("NORMAL", 15, ("W", "db-wal", 40))
    machine.host.lose_power(Random(1), Survival.NOTHING)
    assert 1 <= machine.rows() < commit


def test_without_fsync_commits_are_lost(machine: Machine) -> None:
    code, commit = machine.run("OFF", 30, ("W", "db-wal", 100))
    assert code == -signal.SIGKILL
    assert commit > 0
    machine.host.lose_power(Random(1), Survival.NOTHING)
    assert machine.rows() == 0
