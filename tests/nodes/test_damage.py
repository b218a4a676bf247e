"""A replica's files damaged by hand, and the node started on them: never a silent wrong start.

A damaged replica stops with a sentence that names the file and the way out, and the node's
other replicas serve. Where damage does no harm (a flipped bit in free space) starting is right,
and then the data must be what it was.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from nodes.log_store import GroupWrite, LogStore, ReplicaDamaged, SnapshotPointer, StoreError
from nodes.machine import Machine, ReplicaFault
from nodes.protocol import Done, EntryBody, OpenSession, Read, SessionId, SetVersion, Value, Write
from nodes.raft.messages import HardState, LogEntry
from nodes.replica_files import close_replica, open_replica
from tests.nodes.replica import INSERT, TABLE, committed, encode, statement

GROUP, OTHER = "s1", "s2"
ENTRIES = 40
ABSENT = "a name that no row has"

Rows = tuple[tuple[Value, ...], ...]


def log_of(group: str) -> list[bytes]:
    session = SessionId(1, 1)
    bodies: list[EntryBody] = [
        OpenSession("r1"),
        Write(session, 1, 0, (statement(TABLE),), (), (SetVersion("t", 1),)),
    ]
    bodies += [
        Write(session, 2 + key, 0, (statement(INSERT, key, f"{group} {key}"),))
        for key in range(ENTRIES - 3)
    ]
    last = statement("UPDATE t SET name = 'm' WHERE name = ?1", ABSENT)
    bodies.append(Write(session, 999, 0, (last,)))
    return [encode(body) for body in bodies]


class Files:
    """Two replicas of a node as they lie on disk, written by the real log store and machine."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "log.db"
        self.data = directory / GROUP / "data-1.db"

    def open(self, group: str = GROUP) -> tuple[LogStore, Machine]:
        store = LogStore.open(self.log, cluster_id="c1", node="n1")
        try:
            _, machine = open_replica(
                store, self.directory / group, group=group, replica=1, cluster_id="c1"
            )
        except BaseException:
            store.close()
            raise
        return store, machine

    async def write(self, *, upto: int = ENTRIES, seal: bool = True, cut: int = 0) -> None:
        """Both logs and data up to an entry; with `cut` the logs begin after that one."""
        for group in (GROUP, OTHER):
            store, machine = self.open(group)
            log = log_of(group)
            first = machine.applied + 1
            if first <= upto:
                entries = [LogEntry(1, data) for data in log[first - 1 : upto]]
                store.write([GroupWrite(group, HardState(1, 1, upto), first, entries)])
                machine.apply([committed(i, log[i - 1]) for i in range(first, upto + 1)])
            if cut:
                machine.make_durable()
                store.write([GroupWrite(group, None, upto + 1, [], SnapshotPointer(1, cut, 1))])
            if seal:
                await close_replica(store, group, machine)
            else:
                await machine.close()
            store.close()

    async def rows(self, group: str = GROUP) -> Rows:
        """Start, replay the log, read everything."""
        store, machine = self.open(group)
        try:
            first, last = machine.applied + 1, log_end(store, group)
            machine.apply(
                [
                    committed(index, entry.data, entry.term)
                    for index, entry in enumerate(store.reader(group).entries(first, last), first)
                ]
            )
            answer = machine.read(Read((statement("SELECT id, name, n FROM t ORDER BY id"),)))
            assert isinstance(answer, Done)
            return answer.results[0].values
        finally:
            await machine.close()
            store.close()


def log_end(store: LogStore, group: str) -> int:
    return store._logs[group].last


async def outcome(files: Files, group: str = GROUP) -> Rows | str:
    """What a start gives: the data, or the sentence it stops with."""
    try:
        return await files.rows(group)
    except (ReplicaDamaged, ReplicaFault, StoreError) as exc:
        return str(exc)


def assert_stopped(found: Rows | str, *names: str) -> None:
    assert isinstance(found, str), "a silent start"
    assert any(name in found for name in names), found
    assert re.search(r"rebuild|repair the disk", found), found


async def assert_one_is_hit(files: Files, right: dict[str, Rows]) -> None:
    """Damage at the file's end may be another replica's: at least one stops, the others are
    what they were."""
    found = {group: await outcome(files, group) for group in (GROUP, OTHER)}
    hit = [group for group in found if found[group] != right[group]]
    assert hit, "a silent start"
    for group in hit:
        assert_stopped(found[group], "log.db")


async def both(files: Files) -> dict[str, Rows]:
    rows = {group: await files.rows(group) for group in (GROUP, OTHER)}
    await files.write()  # seal them again
    return rows


def flip(path: Path, place: int, bits: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= bits
    path.write_bytes(content)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


# --------------------------------------------------------------------------- the log


async def test_a_flipped_byte_in_an_entry_is_found(files: Files) -> None:
    """Length, term, CRC and value lie side by side in a cell: each of its bytes in turn."""
    await files.write(seal=False)
    whole = files.log.read_bytes()
    value = whole.index(f"{GROUP} 17".encode())
    right = await files.rows()
    for place in range(value - 60, value + 10):
        files.log.write_bytes(whole)
        flip(files.log, place, 1 << place % 8)
        found = await outcome(files)
        if found != right:
            assert_stopped(found, "log.db")
    files.log.write_bytes(whole)
    flip(files.log, value)
    assert_stopped(await outcome(files), "entry 20 of group s1 is missing or damaged")
    assert (await files.rows(OTHER))[0][1] == f"{OTHER} 0", "the other replica serves"


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
async def test_a_truncated_log_is_found(files: Files, part: float) -> None:
    await files.write()
    right = await both(files)
    size = files.log.stat().st_size
    files.log.write_bytes(files.log.read_bytes()[: int(size * part)])
    await assert_one_is_hit(files, right)


@pytest.mark.parametrize("tail", [1, 3, 6])
async def test_a_log_with_a_zeroed_tail_is_found(files: Files, tail: int) -> None:
    await files.write()
    right = await both(files)
    content = files.log.read_bytes()
    cut = len(content) - 4096 * tail
    files.log.write_bytes(content[:cut] + bytes(4096 * tail))
    await assert_one_is_hit(files, right)


async def test_an_older_copy_of_the_log_is_found(files: Files) -> None:
    await files.write(upto=20)
    older = files.log.read_bytes()
    await files.write()
    files.log.write_bytes(older)
    assert_stopped(await outcome(files), "data-1.db")


async def test_an_older_copy_of_the_log_is_found_after_a_crash(files: Files) -> None:
    await files.write(upto=20, seal=False)
    older = files.log.read_bytes()
    await files.write(seal=False)
    files.log.write_bytes(older)
    found = await outcome(files)
    assert_stopped(found, "ends at index 20")
    assert "already holds index 40" in str(found)


async def test_a_log_of_another_history_is_found(files: Files) -> None:
    """As long as the data wants it, but its entries are of another term."""
    await files.write(seal=False)
    store, machine = files.open()
    entries = [LogEntry(2, data) for data in log_of(GROUP)[29:]]
    store.write([GroupWrite(GROUP, HardState(2, 0, 29), 30, entries)])
    await machine.close()
    store.close()
    assert_stopped(await outcome(files), "with term 1, the log in")


# --------------------------------------------------------------------------- the data file


async def test_a_flipped_byte_anywhere_in_the_data_is_found_after_an_orderly_end(
    files: Files,
) -> None:
    await files.write()
    whole = files.data.read_bytes()
    value = whole.index(f"{GROUP} 17".encode())
    log = files.log.read_bytes()
    for place in (value, value - 3, 4096 + 3, 100 + 2, len(whole) - 1, 24, len(whole) // 2):
        files.log.write_bytes(log)
        files.data.write_bytes(whole)
        flip(files.data, place)
        assert_stopped(await outcome(files), "data-1.db was damaged or replaced")
        assert_stopped(await outcome(files), "data-1.db was damaged or replaced")  # still
    files.data.write_bytes(whole)
    assert len(await files.rows()) == ENTRIES - 3


async def test_a_broken_page_of_the_data_is_found_after_a_crash(files: Files) -> None:
    """There is no hash then; the structure shows. Each page's header in turn."""
    await files.write(seal=False)
    right = await files.rows()
    whole = files.data.read_bytes()
    for page in range(1, len(whole) // 4096):
        files.data.write_bytes(whole)
        flip(files.data, 4096 * page, 0x0F)
        found = await outcome(files)
        if found != right:
            assert_stopped(found, "data-1.db")
    files.data.write_bytes(whole)
    assert await files.rows() == right


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("seal", [False, True])
async def test_truncated_data_is_found_or_made_again(files: Files, part: float, seal: bool) -> None:
    """Of an empty file nothing is left that could be wrong; the log still holds everything."""
    await files.write(seal=seal)
    size = files.data.stat().st_size
    files.data.write_bytes(files.data.read_bytes()[: int(size * part)])
    found = await outcome(files)
    if part or seal:
        assert_stopped(found, "data-1.db")
    else:
        assert len(found) == ENTRIES - 3


@pytest.mark.parametrize("seal", [False, True])
async def test_data_with_a_zeroed_tail_is_found(files: Files, seal: bool) -> None:
    await files.write(seal=seal)
    content = files.data.read_bytes()
    files.data.write_bytes(content[:-8192] + bytes(8192))
    assert_stopped(await outcome(files), "data-1.db")


@pytest.mark.parametrize("cut", [0, 30])
@pytest.mark.parametrize("seal", [False, True])
async def test_an_older_copy_of_the_data_is_found_or_brought_up_by_the_log(
    files: Files, seal: bool, cut: int
) -> None:
    await files.write(upto=20, seal=seal)
    older = files.data.read_bytes()
    await files.write(seal=seal, cut=cut)
    right = await files.rows()
    if seal:
        store, machine = files.open()
        await close_replica(store, GROUP, machine)
        store.close()
    files.data.write_bytes(older)
    found = await outcome(files)
    if seal:
        assert_stopped(found, "data-1.db was damaged or replaced")
    elif cut:
        assert_stopped(found, "ends at index 20")
        assert "begins after index 30: it is an older copy" in str(found)
    else:
        assert found == right


@pytest.mark.parametrize("seal", [False, True])
async def test_a_missing_generation_is_found(files: Files, seal: bool) -> None:
    await files.write(cut=30, seal=seal)
    files.data.unlink()
    assert_stopped(await outcome(files), "data-1.db is missing")


@pytest.mark.parametrize("seal", [False, True])
async def test_a_wal_of_another_generation_is_found(files: Files, seal: bool) -> None:
    """SQLite would replay it: its checksums are its own, and integrity_check says ok."""
    await files.write(seal=seal)
    other = files.directory / "other"
    machine = Machine.open(other, group=GROUP, replica=1, cluster_id="c1", generation=2)
    machine.apply([committed(index, data) for index, data in enumerate(log_of(GROUP)[:30], 1)])
    shutil.copy(other / "data-2.db-wal", f"{files.data}-wal")
    await machine.close()
    before = files.data.read_bytes()
    found = await outcome(files)
    assert_stopped(found, "data-1.db-wal")
    assert files.data.read_bytes() == before, "what is strange stays as it was found"
    files.data.with_name("data-1.db-wal").unlink()
    assert len(await files.rows()) == ENTRIES - 3, "and without it all is well"


async def test_a_wal_torn_by_a_crash_is_no_damage(files: Files) -> None:
    """The log is what is durable; the data may lose its end at any byte."""
    store, machine = files.open()
    log = log_of(GROUP)
    store.write([GroupWrite(GROUP, HardState(1, 1, 40), 1, [LogEntry(1, data) for data in log])])
    for index, data in enumerate(log, 1):
        machine.apply([committed(index, data)])
    crashed = files.directory / "crashed"
    (crashed / GROUP).mkdir(parents=True)
    for path in (files.log, Path(f"{files.log}-wal"), files.data, Path(f"{files.data}-wal")):
        shutil.copy(path, crashed / path.relative_to(files.directory))
    await machine.close()
    store.close()
    right = await files.rows()
    wal = crashed / GROUP / "data-1.db-wal"
    content = wal.read_bytes()
    for part in (0.0, 0.37, 0.8, 1.0):
        for shm in crashed.rglob("*-shm"):
            shm.unlink()
        wal.write_bytes(content[: int(len(content) * part)])
        shutil.copy(files.log, crashed / "log.db")
        assert await Files(crashed).rows() == right
