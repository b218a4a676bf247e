"""The log store against a dumb twin, and against damaged files."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from nodes import log_store
from nodes.log_store import (
    GroupWrite,
    HostedId,
    LogStore,
    ReplicaDamaged,
    SnapshotPointer,
    StoreError,
)
from nodes.raft.messages import HardState, LogEntry


def open_store(directory: Path, cluster_id: str = "c1", node: str = "n1") -> LogStore:
    return LogStore.open(directory / "log.db", cluster_id=cluster_id, node=node)


def entries(term: int, *data: str) -> list[LogEntry]:
    return [LogEntry(term, text.encode()) for text in data]


def damage(directory: Path, sql: str, *parameters: object) -> None:
    connection = sqlite3.connect(directory / "log.db")
    assert connection.execute(sql, parameters).rowcount == 1
    connection.commit()
    connection.close()


def test_a_new_log_is_empty(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    loaded = store.load("meta", 1)
    assert loaded.hard_state == HardState()
    assert (loaded.first_index, loaded.last_index, loaded.last_term) == (1, 0, 0)
    assert store.reader("meta").term(0) == 0
    store.close()


def test_all_groups_of_a_write_are_there_after_reopening(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for group in ("meta", "s1"):
        store.load(group, 3)
    store.write(
        [
            GroupWrite("meta", HardState(2, 3, 1), 1, entries(2, "", "a")),
            GroupWrite("s1", HardState(1, 1, 0), 1, entries(1, "x" * 100_000)),
        ]
    )
    store.write([GroupWrite("meta", None, 3, entries(2, "b")), GroupWrite("s1", None, 2, [])])
    store.close()

    store = open_store(tmp_path)
    meta, shard = store.load("meta", 3), store.load("s1", 3)
    assert meta.hard_state == HardState(2, 3, 1)
    assert (meta.last_index, meta.last_term) == (3, 2)
    assert (shard.last_index, shard.last_term) == (1, 1)
    reader = store.reader("meta")
    assert reader.entries(1, 3) == entries(2, "", "a", "b")
    assert reader.entries(2, 2) == entries(2, "a")
    assert reader.term(3) == 2
    assert store.reader("s1").entries(1, 1) == entries(1, "x" * 100_000)
    store.close()


def test_entries_replace_a_conflicting_tail(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.load("s1", 1)
    store.load("s2", 1)
    store.write([GroupWrite("s2", None, 1, entries(1, "other", "group"))])
    store.write([GroupWrite("s1", None, 1, entries(1, "a", "b", "c", "d"))])
    store.write([GroupWrite("s1", HardState(2, 0, 1), 2, entries(2, "B"))])
    assert store.reader("s1").entries(1, 2) == [*entries(1, "a"), *entries(2, "B")]
    with pytest.raises(ReplicaDamaged):
        store.reader("s1").entries(1, 3)
    store.close()
    store = open_store(tmp_path)
    assert store.load("s1", 1).last_index == 2
    assert store.load("s2", 1).last_index == 2
    store.close()


def test_random_writes_against_a_dumb_twin(tmp_path: Path) -> None:
    rng = random.Random(7)
    groups = ["meta", "s1", "s2"]
    twin: dict[str, list[LogEntry]] = {group: [] for group in groups}
    states = dict.fromkeys(groups, HardState())
    store = open_store(tmp_path)
    for group in groups:
        store.load(group, 1)
    for turn in range(120):
        writes = []
        for group in rng.sample(groups, rng.randint(1, 3)):
            log = twin[group]
            first = rng.randint(max(1, len(log) - 3), len(log) + 1)
            new = [
                LogEntry(turn, rng.randbytes(rng.randint(0, 40))) for _ in range(rng.randint(0, 4))
            ]
            if new:
                log[first - 1 :] = new
            state = HardState(turn, 1, rng.randint(0, len(log))) if rng.random() < 0.5 else None
            # The commit index never goes beyond the log, also not after the tail is replaced.
            if state is None and states[group].commit > len(log):
                state = HardState(turn, 1, len(log))
            states[group] = state or states[group]
            writes.append(GroupWrite(group, state, first, new))
        store.write(writes)
        if turn % 20 == 19:
            store.close()
            store = open_store(tmp_path)
            for group in groups:
                loaded = store.load(group, 1)
                assert loaded.hard_state == states[group]
                assert loaded.last_index == len(twin[group])
        for group, log in twin.items():
            assert store.reader(group).entries(1, len(log)) == log
    store.close()


def test_a_gap_is_a_bug_and_nothing_is_written_after_it(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.load("s1", 1)
    with pytest.raises(AssertionError, match="leaves a gap"):
        store.write([GroupWrite("s1", None, 2, entries(1, "b"))])
    with pytest.raises(StoreError, match="restart the node"):
        store.write([GroupWrite("s1", None, 1, entries(1, "a"))])
    store.close()
    store = open_store(tmp_path)
    assert store.load("s1", 1).last_index == 0
    store.close()


def test_after_a_failed_write_nothing_is_acknowledged(tmp_path: Path) -> None:
    """A failed fsync may drop dirty pages, so trying again can succeed without being durable."""
    store = open_store(tmp_path)
    store.load("s1", 1)
    store.load("s2", 1)
    store.write([GroupWrite("s1", None, 1, entries(1, "kept"))])
    store._connection.execute("PRAGMA max_page_count = 1")  # the disk is full from now on
    big = [
        GroupWrite("s2", None, 1, entries(1, "z")),
        GroupWrite("s1", None, 2, entries(1, "x" * 99999)),
    ]
    with pytest.raises(StoreError, match="full"):
        store.write(big)
    store._connection.execute("PRAGMA max_page_count = 100000")
    with pytest.raises(StoreError, match="full"):
        store.write(big)
    store.close()
    store = open_store(tmp_path)
    assert store.load("s1", 1).last_index == 1
    assert store.load("s2", 1).last_index == 0
    store.close()


# --------------------------------------------------------------------------- compaction


def test_a_compacted_log_begins_after_its_pointer(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.load("s1", 1)
    store.load("s2", 1)
    store.write([GroupWrite("s2", None, 1, entries(1, "other", "group"))])
    store.write([GroupWrite("s1", HardState(2, 1, 4), 1, entries(2, "a", "b", "c", "d", "e"))])
    pointer = SnapshotPointer(1, 3, 2, b"members")
    store.write([GroupWrite("s1", None, 6, entries(3, "f"), pointer)])
    for _ in range(2):
        reader = store.reader("s1")
        assert reader.entries(4, 6) == [*entries(2, "d", "e"), *entries(3, "f")]
        assert [reader.term(index) for index in (3, 4, 6)] == [2, 2, 3]
        with pytest.raises(AssertionError, match="entry 3 was compacted"):
            reader.entries(3, 4)
        assert store.reader("s2").entries(1, 2) == entries(1, "other", "group")
        store.close()
        store = open_store(tmp_path)
        loaded = store.load("s1", 1)
        assert (loaded.first_index, loaded.last_index, loaded.last_term) == (4, 6, 3)
        assert loaded.pointer == pointer
        assert store.load("s2", 1).last_index == 2
    store.close()


def test_a_log_compacted_to_its_end_still_knows_its_last_term(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.load("s1", 1)
    store.write([GroupWrite("s1", HardState(5, 1, 2), 1, entries(5, "a", "b"))])
    store.write([GroupWrite("s1", None, 3, [], SnapshotPointer(1, 2, 5))])
    store.close()
    store = open_store(tmp_path)
    loaded = store.load("s1", 1)
    assert (loaded.first_index, loaded.last_index, loaded.last_term) == (3, 2, 5)
    store.write([GroupWrite("s1", None, 3, entries(6, "c"))])
    assert store.reader("s1").entries(3, 3) == entries(6, "c")
    store.close()


def test_a_snapshot_of_another_history_replaces_the_log_whole(tmp_path: Path) -> None:
    """The pointer's entry is there with another term: what follows it may never have been
    committed (figure 5.3, step 7)."""
    store = open_store(tmp_path)
    store.load("s1", 1)
    store.write([GroupWrite("s1", HardState(2, 1, 1), 1, entries(2, "a", "b", "c", "d"))])
    pointer = SnapshotPointer(2, 3, 4, b"m")
    store.write([GroupWrite("s1", HardState(4, 0, 3), 4, [], pointer)])
    store.close()
    store = open_store(tmp_path)
    loaded = store.load("s1", 1)
    assert (loaded.pointer, loaded.last_index, loaded.last_term) == (pointer, 3, 4)
    store.close()


def test_a_snapshot_beyond_the_log_and_entries_behind_it_are_one_transaction(
    tmp_path: Path,
) -> None:
    store = open_store(tmp_path)
    store.load("s1", 1)
    store.write([GroupWrite("s1", HardState(2, 1, 1), 1, entries(2, "a", "b"))])
    pointer = SnapshotPointer(2, 100, 7)
    store.write([GroupWrite("s1", HardState(7, 0, 101), 101, entries(7, "x"), pointer)])
    store.close()
    store = open_store(tmp_path)
    assert store.load("s1", 1).last_index == 101
    assert store.reader("s1").entries(101, 101) == entries(7, "x")
    store.close()


def test_a_snapshot_the_log_agrees_with_keeps_what_follows(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.load("s1", 1)
    store.write([GroupWrite("s1", HardState(2, 1, 1), 1, entries(2, "a", "b", "c"))])
    store.write([GroupWrite("s1", None, 4, [], SnapshotPointer(2, 2, 2))])
    assert store.reader("s1").entries(3, 3) == entries(2, "c")
    store.close()


@pytest.mark.parametrize(
    "pointer",
    [
        SnapshotPointer(1, 5, 1),  # beyond the log
        SnapshotPointer(1, 2, 9),  # an entry the log does not have
        SnapshotPointer(0, 2, 1),  # back to an older file
        SnapshotPointer(1, 0, 0),  # back to entries that are gone
    ],
)
def test_compaction_names_an_entry_of_the_log(tmp_path: Path, pointer: SnapshotPointer) -> None:
    store = open_store(tmp_path)
    store.load("s1", 1)
    store.write([GroupWrite("s1", HardState(1, 1, 3), 1, entries(1, "a", "b", "c"))])
    store.write([GroupWrite("s1", None, 4, [], SnapshotPointer(1, 1, 1))])
    with pytest.raises(AssertionError, match="s1"):
        store.write([GroupWrite("s1", None, 4, [], pointer)])
    store.close()
    store = open_store(tmp_path)
    assert store.load("s1", 1).pointer == SnapshotPointer(1, 1, 1)
    store.close()


def test_random_compaction_against_a_dumb_twin(tmp_path: Path) -> None:
    rng = random.Random(11)
    store = open_store(tmp_path)
    store.load("s1", 1)
    twin: list[LogEntry] = []
    gone = 0
    for turn in range(1, 200):
        new = [LogEntry(turn, rng.randbytes(rng.randint(0, 40))) for _ in range(rng.randint(0, 4))]
        first = rng.randint(max(gone, len(twin) - 2) + 1, len(twin) + 1)
        pointer = None
        if rng.random() < 0.3 and first > 1:
            gone = rng.randint(gone, first - 1)
            pointer = SnapshotPointer(1, gone, twin[gone - 1].term if gone else 0)
        if new:
            twin[first - 1 :] = new
        store.write([GroupWrite("s1", HardState(turn, 1, gone), first, new, pointer)])
        if turn % 20 == 0:
            store.close()
            store = open_store(tmp_path)
            loaded = store.load("s1", 1)
            assert (loaded.first_index, loaded.last_index) == (gone + 1, len(twin))
        reader = store.reader("s1")
        assert reader.entries(gone + 1, len(twin)) == twin[gone:]
        assert reader.term(gone) == (twin[gone - 1].term if gone else 0)
    assert gone > 50
    store.close()


def test_the_space_of_compacted_entries_is_used_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.load("s1", 1)
    for index in range(1, 200):
        pointer = SnapshotPointer(1, index - 3, 1) if index > 3 else None
        store.write([GroupWrite("s1", None, index, [LogEntry(1, b"x" * 100_000)], pointer)])
    store.close()
    assert (tmp_path / "log.db").stat().st_size < 2 * 1024 * 1024


def test_start_checks_a_bounded_part_and_reading_checks_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_store, "CHECKED_ENTRIES_MAX", 3)
    store = open_store(tmp_path)
    store.load("s1", 1)
    store.write([GroupWrite("s1", HardState(1, 1, 1), 1, entries(1, *"abcdefgh"))])
    store.close()
    damage(tmp_path, "UPDATE entries SET data = x'00' WHERE key & 0xff = 3")
    store = open_store(tmp_path)
    assert store.load("s1", 1).last_index == 8
    with pytest.raises(ReplicaDamaged, match="entry 3 of group s1"):
        store.reader("s1").entries(1, 8)
    store.close()
    damage(tmp_path, "UPDATE entries SET data = x'00' WHERE key & 0xff = 6")
    store = open_store(tmp_path)
    with pytest.raises(ReplicaDamaged, match="entry 6 of group s1"):
        store.load("s1", 1)
    store.close()


# --------------------------------------------------------------------------- other files


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    with pytest.raises(StoreError, match=r"log\.db belongs to cluster c1, not to c2"):
        open_store(tmp_path, cluster_id="c2")
    with pytest.raises(StoreError, match=r"log\.db belongs to node n1, not to n2"):
        open_store(tmp_path, node="n2")
    damage(tmp_path, "UPDATE store SET value='9' WHERE key='format'")
    with pytest.raises(StoreError, match="has format 9, this version reads format 5"):
        open_store(tmp_path)


def test_what_is_no_log_file_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.write_bytes(b"these are somebody's notes\n" * 100)
    with pytest.raises(StoreError, match="not a log file of this database"):
        open_store(tmp_path)
    assert path.read_bytes() == b"these are somebody's notes\n" * 100
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE notes (x)")
    other.close()
    with pytest.raises(StoreError, match="not a log file of this database"):
        open_store(tmp_path)


def test_a_missing_directory_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot be opened: .*\.$"):
        open_store(tmp_path / "nowhere")


def test_a_store_in_use_is_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with pytest.raises(StoreError, match="in use by another process"):
        open_store(tmp_path)
    store.close()


def test_another_replica_id_is_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.load("s1", 1)
    store.close()
    store = open_store(tmp_path)
    with pytest.raises(StoreError, match="holds replica 1 of group s1, not 2"):
        store.load("s1", 2)
    store.close()


# --------------------------------------------------------------------------- replicas that go


def test_a_removed_replica_leaves_its_id_and_nothing_else(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for group in ("s1", "s2"):
        store.load(group, 3)
    store.write(
        [
            GroupWrite("s1", HardState(2, 3, 1), 1, entries(2, "a", "b")),
            GroupWrite("s2", HardState(2, 3, 1), 1, entries(2, "other")),
        ]
    )
    store.set_seal("s1", b"seal")
    store.remove("s1", 3)
    assert store.hosted() == {"s1": HostedId(3, True), "s2": HostedId(3, False)}
    store.close()

    store = open_store(tmp_path)
    assert store.hosted() == {"s1": HostedId(3, True), "s2": HostedId(3, False)}
    with pytest.raises(StoreError, match="replica 3 of group s1 was removed, and its id is never"):
        store.load("s1", 3)
    with pytest.raises(StoreError, match="holds replica 3 of group s1, not 2"):
        store.load("s1", 2)
    assert store.load("s2", 3).last_index == 1
    loaded = store.load("s1", 4)
    assert (loaded.hard_state, loaded.first_index, loaded.last_index) == (HardState(), 1, 0)
    assert store.seal("s1") == b""
    store.write([GroupWrite("s1", HardState(5, 4, 1), 1, entries(5, "x"))])
    store.close()
    store = open_store(tmp_path)
    assert store.hosted()["s1"] == HostedId(4, False)
    assert store.load("s1", 4).last_index == 1
    assert store.reader("s1").entries(1, 1) == entries(5, "x")
    assert store.load("s2", 3).last_index == 1
    store.close()


@pytest.mark.parametrize(
    ("sql", "is_removed"),
    [
        ("UPDATE replicas SET removed = 1 WHERE name = 's1'", False),
        ("UPDATE replicas SET removed = 1, term = 0, vote = 0 WHERE name = 's1'", False),
        ("UPDATE replicas SET removed = 0 WHERE name = 's2'", False),
        ("UPDATE replicas SET replica = 4 WHERE name = 's2'", False),
    ],
)
def test_damage_removes_nobody_and_brings_nobody_back(
    tmp_path: Path, sql: str, is_removed: bool
) -> None:
    store = open_store(tmp_path)
    for group in ("s1", "s2"):
        store.load(group, 3)
        store.write([GroupWrite(group, HardState(2, 3, 1), 1, entries(2, "a"))])
    store.remove("s2", 3)
    store.close()
    damage(tmp_path, sql)
    store = open_store(tmp_path)
    group = "s1" if "s1" in sql else "s2"
    hosted = store.hosted()[group]
    assert hosted.is_removed == is_removed
    with pytest.raises(ReplicaDamaged, match=f"hard state of group {group} is damaged"):
        store.load(group, hosted.replica)
    store.close()


def test_a_damaged_replica_can_be_removed(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.load("s1", 1)
    store.write([GroupWrite("s1", HardState(1, 1, 2), 1, entries(1, "a", "b"))])
    store.close()
    damage(tmp_path, "UPDATE replicas SET vote = 2")
    store = open_store(tmp_path)
    with pytest.raises(ReplicaDamaged):
        store.load("s1", 1)
    store.remove("s1", 1)
    assert store.hosted() == {"s1": HostedId(1, True)}
    assert store.load("s1", 2).last_index == 0
    store.close()


def test_a_removal_that_cannot_be_written_ends_the_store(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.load("s1", 1)
    store._connection.execute("PRAGMA query_only = ON").fetchall()
    with pytest.raises(StoreError, match="cannot be written"):
        store.remove("s1", 1)
    with pytest.raises(StoreError, match="cannot be written"):
        store.write([GroupWrite("s1", HardState(1, 1, 0), 1, [])])
    store.close()


# --------------------------------------------------------------------------- damage


@pytest.mark.parametrize(
    ("sql", "match"),
    [
        ("DELETE FROM entries WHERE key & 0xff = 2", r"log\.db: entry 2 of group s1"),
        ("DELETE FROM entries WHERE key & 0xff = 1", "entry 1 of group s1"),
        ("UPDATE entries SET data = x'00' WHERE key & 0xff = 3", "entry 3 of group s1"),
        ("UPDATE entries SET term = 2 WHERE key & 0xff = 3", "entry 3 of group s1"),
        ("UPDATE entries SET key = key + 1 WHERE key & 0xff = 4", "entry 5 of group s1"),
        ("DELETE FROM entries WHERE key & 0xff = 4", "ends at index 3, but index 4 was committed"),
        ("UPDATE replicas SET vote = 2", "hard state of group s1 is damaged"),
        ("UPDATE replicas SET base_index = 1", "hard state of group s1 is damaged"),
        ("UPDATE replicas SET generation = 2", "hard state of group s1 is damaged"),
    ],
)
def test_damage_is_found_at_start_and_named(tmp_path: Path, sql: str, match: str) -> None:
    store = open_store(tmp_path)
    store.load("s1", 1)
    store.write([GroupWrite("s1", HardState(1, 1, 4), 1, entries(1, "a", "b", "c", "d"))])
    store.close()
    damage(tmp_path, sql)
    store = open_store(tmp_path)
    with pytest.raises(ReplicaDamaged, match=match):
        store.load("s1", 1)
    assert store.load("s2", 1).last_index == 0, "the node's other replicas go on"
    store.close()


def test_a_record_of_another_group_does_not_pass(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.load("s1", 1)
    store.load("s2", 1)
    store.write(
        [GroupWrite("s1", None, 1, entries(1, "a")), GroupWrite("s2", None, 1, entries(1, "b"))]
    )
    store.close()
    damage(tmp_path, "DELETE FROM entries WHERE key = (2 << 44) + 1")
    damage(tmp_path, "UPDATE entries SET key = (2 << 44) + 1")
    store = open_store(tmp_path)
    with pytest.raises(ReplicaDamaged, match="entry 1 of group s2"):
        store.load("s2", 1)
    store.close()


# --------------------------------------------------------------------------- durability


def test_the_settings_that_durability_rests_on(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    settings = {
        name: store._connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "locking_mode", "wal_autocheckpoint")
    }
    store.close()
    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,
        "locking_mode": "exclusive",
        "wal_autocheckpoint": 1000,
    }


def test_the_write_ahead_log_stays_bounded(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.load("s1", 1)
    for turn in range(40):
        store.write([GroupWrite("s1", None, 1 + 8 * turn, [LogEntry(1, b"x" * 100_000)] * 8)])
    assert (tmp_path / "log.db-wal").stat().st_size < 32 * 1024 * 1024
    assert (tmp_path / "log.db").stat().st_size > 24 * 1024 * 1024
    store.close()


_WRITER = """
import sys
from pathlib import Path
from nodes.log_store import GroupWrite, LogStore
from nodes.raft.messages import HardState, LogEntry
store = LogStore.open(Path(sys.argv[1]), cluster_id="c1", node="n1")
store.load("s1", 1)
index = 0
while True:
    index += 1
    store.write([GroupWrite("s1", HardState(1, 1, index), index, [LogEntry(1, b"%d" % index)])])
    print(index, flush=True)
"""


@pytest.mark.slow
def test_what_was_acknowledged_before_sigkill_is_there(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path / "log.db")], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    acknowledged = 0
    while acknowledged < 300:
        acknowledged = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    rest = process.stdout.read().split(b"\n")
    process.stdout.close()
    process.wait()
    acknowledged = max([acknowledged, *(int(line) for line in rest[:-1])])
    store = open_store(tmp_path)
    loaded = store.load("s1", 1)
    assert loaded.last_index >= acknowledged
    read = store.reader("s1").entries(1, loaded.last_index)
    assert [int(entry.data) for entry in read] == list(range(1, loaded.last_index + 1))
    store.close()
