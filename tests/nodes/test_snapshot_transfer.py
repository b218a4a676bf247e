"""Compaction, and a replica that catches up from a snapshot: real engines and cores."""

from __future__ import annotations

import asyncio
import errno
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from nodes import snapshot_transfer
from nodes.protocol import Done, OpenSession
from nodes.raft import snapshots
from nodes.raft.messages import InstallSnapshot, LogEntry, RaftMessage
from nodes.snapshot_transfer import _LogLength
from tests.nodes.memory_files import ReceivedBytes, SentBytes
from tests.nodes.test_raft_engine import Group, command

KEEP, CUT = 20, 10


@pytest.fixture
async def group() -> AsyncIterator[Group]:
    group = Group(log_entries=KEEP)
    group.ticks(3)
    assert group.role(1) == "leader"
    yield group
    for member in group.members.values():
        await member.engine.close()


async def write(group: Group, count: int, first: int = 0) -> None:
    """Writes, with a turn of the loop and a tick after each few: cuts run beside them."""
    for seq in range(first, first + count):
        answers = group.propose(1, command(seq))
        group.settle()
        assert isinstance(answers[0], Done)
        if seq % 4 == 0:
            group.ticks(1)
            await asyncio.sleep(0)
            await rested(group)


async def rested(group: Group) -> None:
    """Until no job of the engines runs."""
    for member in group.members.values():
        tasks = member.engine._snapshots._tasks
        while tasks:
            group.settle()
            await asyncio.wait(set(tasks), timeout=0.001)
    group.settle()


def equal_states(group: Group) -> bool:
    states = [member.machine.entries for member in group.members.values()]
    return states[0] == states[1] == states[2]


async def test_a_log_stays_short_and_keeps_what_a_slow_follower_needs(group: Group) -> None:
    await write(group, 200)
    for member in group.members.values():
        assert KEEP <= len(member.disk.log) <= KEEP + CUT + 8
        assert member.disk.pointer.index == member.engine._log.first - 1
    group.ticks(1)
    assert equal_states(group)
    assert not group.members[1].machine.sent, "nobody needed a snapshot"


async def test_the_log_never_gives_up_what_the_data_could_still_lose(group: Group) -> None:
    group.members[1].machine.durable = 15
    await write(group, 200)
    assert group.members[1].disk.pointer.index == 15
    assert group.members[2].disk.pointer.index > 150
    group.members[1].machine.durable = None
    await write(group, 20, 200)
    assert group.members[1].disk.pointer.index > 50


async def test_a_lagging_replica_catches_up_from_a_snapshot_while_writes_go_on(
    group: Group,
) -> None:
    group.cut = {3}
    await write(group, 100)
    behind = group.members[3]
    applied = behind.machine.applied
    assert group.members[1].engine._log.first > applied + 1
    group.cut = set()
    for seq in range(100, 160, 4):
        await write(group, 4, seq)
    async with asyncio.timeout(10):
        while not equal_states(group):
            group.ticks(1)
            await rested(group)
    assert behind.machine.generation == 2
    assert behind.disk.pointer.generation == 2
    group.ticks(snapshot_transfer.COPY_TICKS + 1)
    await rested(group)
    assert len(group.members[1].machine.sent) <= 2, "a copy is used, not made again"
    assert all(sent.is_removed for sent in group.members[1].machine.sent), "no copy stays"
    await write(group, 40, 160)
    group.ticks(1)
    assert equal_states(group)


async def test_a_snapshot_is_streamed_no_faster_than_its_rate(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lower bound on time only: a busy machine makes it longer, never shorter."""
    rate = 20_000
    monkeypatch.setattr(snapshots, "CHUNK_BYTES", 256)
    monkeypatch.setattr(snapshot_transfer, "SNAPSHOT_BYTES_PER_S", rate)
    loop = asyncio.get_running_loop()
    transfer = group.members[1].engine._snapshots
    send, sent = transfer._send, list[tuple[float, int]]()

    def note(message: RaftMessage) -> None:
        assert isinstance(message, InstallSnapshot)
        sent.append((loop.time(), len(message.data)))
        send(message)

    monkeypatch.setattr(transfer, "_send", note)
    group.cut = {3}
    await write(group, 100)
    group.cut = set()
    async with asyncio.timeout(10):
        while not equal_states(group):
            group.ticks(1)
            await rested(group)
    (began, _), (ended, last_size) = sent[0], sent[-1]
    streamed = sum(size for _, size in sent) - last_size
    assert len(sent) >= 8
    assert streamed > 2_000
    assert ended - began >= streamed / rate - 0.001, "the clock of a loop has a resolution"


async def test_a_damaged_snapshot_is_asked_for_again(group: Group) -> None:
    group.cut = {3}
    await write(group, 100)
    flipped: list[RaftMessage] = []

    def damage(message: RaftMessage) -> bool:
        if isinstance(message, InstallSnapshot) and not flipped:
            flipped.append(message)
            data = bytes([message.data[0] ^ 1]) + message.data[1:]
            other = InstallSnapshot(
                message.sender, message.receiver, message.term, message.snapshot, 0, data
            )
            group[3].step(other, "n1")
            return True
        return False

    group.lost = damage
    group.cut = set()
    async with asyncio.timeout(10):
        while not equal_states(group):
            group.ticks(1)
            await rested(group)
    assert flipped
    assert group.members[3].machine.generation == 2


async def test_a_batch_on_the_thread_ends_before_its_machine_is_replaced(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = group.members[3]
    rest, is_asked = behind.engine._applier.rest, asyncio.Event()

    async def asked_to_rest() -> None:
        is_asked.set()
        await rest()

    monkeypatch.setattr(behind.engine._applier, "rest", asked_to_rest)
    behind.machine.gate.clear()
    group.propose(1, OpenSession("slow"))
    group.settle()
    group.ticks(1)
    assert behind.engine._applier.busy
    group.cut = {3}
    await group.settle_until(lambda: not group[1]._applier.busy)
    await write(group, 100)
    group.cut = set()
    async with asyncio.timeout(10):
        while not is_asked.is_set():
            group.ticks(1)
            await asyncio.sleep(0)
    for _ in range(5):  # from here on no thread but the applier's is needed
        group.ticks(1)
        await asyncio.sleep(0)
    assert behind.engine._applier.busy
    assert behind.machine.generation == 1, "it waits for the thread"
    behind.machine.gate.set()
    async with asyncio.timeout(10):
        while not equal_states(group):
            group.ticks(1)
            await rested(group)


async def test_a_data_file_that_cannot_be_synced_stops_its_replica(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a failed fsync could not write may be dropped: trying again would prove nothing."""

    def fail() -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(group.members[2].machine, "make_durable", fail)
    await write(group, 60)
    assert "Input/output error" in group[2].status().stopped
    assert group.members[2].disk.pointer.index == 0
    assert group.members[1].disk.pointer.index > 20, "the others go on"


async def test_what_finds_no_file_descriptor_is_tried_again(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cutting the log, making a copy, reading and receiving it: each meets it, and none is the end
    of a replica."""
    monkeypatch.setattr(snapshot_transfer, "SHORTAGE_S", 0.0)
    monkeypatch.setattr(snapshots, "CHUNK_BYTES", 256)
    met: Counter[str] = Counter()

    def short(owner: object, name: str) -> None:
        whole = getattr(owner, name)

        def sometimes(*arguments: object, **named: object) -> object:
            met[name] += 1
            if met[name] in (1, 2):
                raise OSError(errno.EMFILE, "Too many open files")
            return whole(*arguments, **named)

        monkeypatch.setattr(owner, name, sometimes)

    for name in ("make_durable", "make_snapshot"):
        short(group.members[1].machine, name)
    for owner, name in ((SentBytes, "read"), (ReceivedBytes, "finish")):
        short(owner, name)
    short(group.members[3].machine, "receive_snapshot")
    group.cut = {3}
    await write(group, 100)
    group.cut = set()
    async with asyncio.timeout(10):
        while not equal_states(group):
            group.ticks(1)
            await rested(group)
    assert all(count > 2 for count in met.values()), met
    assert set(met) == {"make_durable", "make_snapshot", "read", "finish", "receive_snapshot"}
    assert [group[member].status().stopped for member in (1, 2, 3)] == ["", "", ""]
    assert group.members[3].machine.generation == 2


def test_the_log_is_cut_when_it_is_longer_by_half_of_what_it_keeps() -> None:
    length = _LogLength(300)
    assert not length.is_cut_due(1, 449)
    assert length.is_cut_due(1, 450)
    assert length.keep_after(450) == 150
    assert not _LogLength(2).is_cut_due(1, 11), "nor for each few entries"
    assert _LogLength(2).is_cut_due(1, 12)


def test_the_log_is_also_cut_by_bytes() -> None:
    length = _LogLength(1000)
    entry = LogEntry(1, b"x" * 1024 * 1024)
    due = (snapshot_transfer.KEEP_BYTES + snapshot_transfer.CUT_BYTES) // len(entry.data)
    for index in range(1, 60):
        length.added(index, [entry])
        if index < due:
            assert not length.is_cut_due(1, index)
    assert length.is_cut_due(1, 59)
    keep_after = length.keep_after(59)
    assert 59 - keep_after in (32, 33)
    length.cut(keep_after)
    assert not length.is_cut_due(keep_after + 1, 59)
    assert length.keep_after(10) <= 10, "what is not applied stays"
