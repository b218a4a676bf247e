"""Snapshots as files, from one real machine to another."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path

import pytest

from nodes.data_file import Identity
from nodes.machine import Machine, ReplicaFault
from nodes.protocol import Busy, Done, Read, SetVersion, SqlFailure
from nodes.snapshot_files import ReceivedFile, SentFile, SnapshotRefused
from tests.nodes.replica import (
    INSERT,
    TABLE,
    Replica,
    committed,
    content,
    crashed_copy,
    encode,
    statement,
)

PIECE = 1000


def identity(replica: int, generation: int = 2, **change: str) -> Identity:
    return Identity(
        cluster_id=change.get("cluster_id", "c1"),
        group=change.get("group", "s1"),
        replica=replica,
        generation=generation,
    )


def source(directory: Path, rows: int = 50) -> Replica:
    replica = Replica(directory)
    for key in range(rows):
        replica.write(statement(INSERT, key, f"name {key}"))
    return replica


def receive(sent: SentFile, directory: Path, whose: Identity) -> ReceivedFile:
    directory.mkdir(exist_ok=True)
    received = ReceivedFile(directory, whose)
    for offset in range(0, sent.size, PIECE):
        received.write(offset, sent.read(offset, PIECE))
    return received


def finish(received: ReceivedFile, sent: SentFile) -> None:
    received.finish(index=sent.index, term=sent.term, size=sent.size, digest=sent.hash)


async def test_a_snapshot_carries_data_sessions_and_versions(tmp_path: Path) -> None:
    origin = source(tmp_path / "a")
    sent = origin.machine.make_snapshot()
    assert (sent.index, sent.term) == (origin.machine.applied, 1)
    finish(receive(sent, tmp_path / "b", identity(2)), sent)
    machine = Machine.open(
        tmp_path / "b", group="s1", replica=2, cluster_id="c1", generation=2, must_exist=True
    )
    assert machine.applied == origin.machine.applied
    # A copy of a command that was applied before the snapshot is answered, not applied again.
    repeated = origin.command(statement(INSERT, 7, "again"))
    repeated = type(repeated)(repeated.session, 5, 0, repeated.statements)
    entry = [committed(machine.applied + 1, encode(repeated))]
    assert machine.apply(entry) == origin.machine.apply(entry)
    assert isinstance(origin.write(statement("UPDATE t SET n = 1")), Done)
    await machine.close()
    await origin.machine.close()
    copied = content(tmp_path / "b", generation=2)
    assert copied["t"] != content(tmp_path / "a")["t"], "the origin has gone on"
    assert copied["_sessions"] == content(tmp_path / "a")["_sessions"]


async def test_the_copy_is_one_state_while_writes_go_on(tmp_path: Path) -> None:
    """Each write moves one from one row to the other: a copy that mixes states would show."""
    replica = source(tmp_path, rows=2)
    replica.write(statement("UPDATE t SET n = 100"))
    replica.write(statement(INSERT, 16, "filler"))
    for power in range(4, 16):
        double = f"INSERT INTO t (id, n) SELECT id + {1 << power}, 0 FROM t WHERE id >= 16"
        replica.write(statement(double))
    copies = asyncio.get_running_loop().run_in_executor(None, replica.machine.make_snapshot)
    moves = 0
    while not copies.done() or moves < 20:
        replica.write(
            statement("UPDATE t SET n = n - 1 WHERE id = 0"),
            statement("UPDATE t SET n = n + 1 WHERE id = 1"),
        )
        moves += 1
        await asyncio.sleep(0)
    sent = await copies
    connection = sqlite3.connect(sent.path)
    assert connection.execute("SELECT sum(n) FROM t").fetchone() == (200,)
    assert connection.execute("SELECT idx FROM _applied").fetchone() == (sent.index,)
    connection.close()
    await replica.machine.close()


@pytest.mark.parametrize("fault", ["flipped", "short", "other group", "other index"])
async def test_a_wrong_snapshot_is_refused_and_leaves_nothing(tmp_path: Path, fault: str) -> None:
    origin = source(tmp_path / "a")
    sent = origin.machine.make_snapshot()
    await origin.machine.close()
    whose = identity(2, group="s2") if fault == "other group" else identity(2)
    (tmp_path / "b").mkdir()
    received = ReceivedFile(tmp_path / "b", whose)
    data = bytearray(sent.read(0, sent.size))
    if fault == "flipped":
        data[len(data) // 2] ^= 1
    received.write(0, bytes(data[:-1] if fault == "short" else data))
    with pytest.raises(SnapshotRefused, match=r"data-2\.db"):
        received.finish(
            index=sent.index + (fault == "other index"),
            term=sent.term,
            size=sent.size,
            digest=sent.hash,
        )
    assert list((tmp_path / "b").iterdir()) == []


async def test_a_wal_of_an_earlier_attempt_does_not_reach_the_next(tmp_path: Path) -> None:
    origin = source(tmp_path / "a", rows=3)
    target = tmp_path / "b"
    target.mkdir()
    shutil.copy(origin.machine.path, target / "data-2.db")
    shutil.copy(f"{origin.machine.path}-wal", target / "data-2.db-wal")
    origin.write(statement("UPDATE t SET n = 5"))
    sent = origin.machine.make_snapshot()
    finish(receive(sent, target, identity(2)), sent)
    await origin.machine.close()
    assert content(target, generation=2)["t"] == content(tmp_path / "a")["t"]


async def test_a_machine_switches_to_a_received_generation(tmp_path: Path) -> None:
    behind, ahead = source(tmp_path / "b", rows=1), source(tmp_path / "a")
    ahead.write(
        statement("CREATE TABLE u (id INTEGER PRIMARY KEY) STRICT, WITHOUT ROWID"),
        sets=(SetVersion("table:u", 1),),
    )
    sent = ahead.machine.make_snapshot()
    received = behind.machine.receive_snapshot(2)
    received.write(0, sent.read(0, sent.size))
    finish(received, sent)
    await behind.machine.switch_to(2)
    assert behind.machine.applied == ahead.machine.applied
    assert behind.rows() == ahead.rows()
    assert behind.rows("SELECT count(*) FROM u") == [(0,)]
    behind.seq = ahead.seq
    behind.write(statement("UPDATE t SET n = 9 WHERE id = 1"))
    await behind.machine.close()
    await ahead.machine.close()
    names = sorted(path.name for path in (tmp_path / "b").iterdir())
    assert names == ["data-2.db"], "the old generation is gone"


async def test_reads_that_come_during_the_switch_are_told_to_come_again(tmp_path: Path) -> None:
    """They stop nothing: the replica may serve reads while it follows."""
    replica = source(tmp_path)
    replica.write(
        *(statement(INSERT, 10**6 + key, "x") for key in range(2000)),
    )
    sent = replica.machine.make_snapshot()
    received = replica.machine.receive_snapshot(2)
    received.write(0, sent.read(0, sent.size))
    finish(received, sent)
    product = Read((statement("SELECT count(*) FROM t a, t b, t c"),))
    long_read = asyncio.ensure_future(replica.machine.read_long(product, 60))
    await asyncio.sleep(0)
    switch = asyncio.ensure_future(replica.machine.switch_to(2))
    await asyncio.sleep(0)
    assert not switch.done(), "it waits for the long read to end"
    quick = Read((statement("SELECT count(*) FROM t"),))
    assert isinstance(replica.machine.read(quick), Busy)
    assert isinstance(await replica.machine.read_long(quick, 1), Busy)
    await switch
    assert isinstance(await long_read, SqlFailure | Busy)
    assert replica.rows("SELECT count(*) FROM t") == [(2050,)]
    await replica.machine.close()


async def test_a_missing_generation_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReplicaFault, match=r"data-3\.db is missing or empty; rebuild"):
        Machine.open(
            tmp_path, group="s1", replica=1, cluster_id="c1", generation=3, must_exist=True
        )
    await Replica(tmp_path).machine.close()
    assert TABLE in content(tmp_path)["schema"][-1][1]


async def test_what_was_made_durable_survives_the_loss_of_everything_unsynced(
    tmp_path: Path,
) -> None:
    """The index is read before the sync: what is applied in between is not promised."""
    replica = source(tmp_path)
    durable = replica.machine.make_durable()
    crashed_copy(tmp_path, tmp_path / "lost")
    replica.write(statement("UPDATE t SET n = 1"))
    assert durable < replica.machine.applied
    restarted = Replica(tmp_path / "lost", setup=False)
    assert restarted.machine.applied == durable
    await restarted.machine.close()
    await replica.machine.close()
