"""A node that has no file descriptor left: whoever needs one is refused, and no replica stops."""

from __future__ import annotations

import os
import resource
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from nodes.bounds import Stop
from nodes.machine import ReplicaFault
from nodes.protocol import (
    Busy,
    Checksum,
    Checksums,
    Done,
    GetChecksum,
    NoChecksum,
    Read,
    Speculated,
)
from nodes.shortage import NoDescriptor, of_opening
from tests.nodes.block import LIMITS, Block
from tests.nodes.replica import INSERT, Replica, statement
from tests.nodes.test_checksums import asked

FEW = statement("SELECT id FROM t WHERE id < 3 ORDER BY id")

Work: TypeAlias = Callable[[Replica], Awaitable[object]]


@contextmanager
def no_descriptor() -> Iterator[None]:
    """None that is free may be had: not by this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
async def replica(tmp_path: Path) -> AsyncIterator[Replica]:
    replica = Replica(tmp_path)
    replica.write(*(statement(INSERT, key, f"name {key}") for key in range(20)))
    yield replica
    await replica.machine.close()


async def _quick(replica: Replica) -> object:
    return replica.machine.read(Read((FEW,)))


async def _long(replica: Replica) -> object:
    return await replica.machine.read_long(Read((FEW,)), 5.0)


async def _streamed(replica: Replica) -> object:
    return await replica.machine.read_stream(Read((FEW,), stream=True), 5.0)


async def _pinned(replica: Replica) -> object:
    number = await replica.machine.reserve_pin(5.0)
    if not isinstance(number, int):
        return number
    replica.machine.pin(number)
    return await replica.machine.read_pinned(Read((FEW,), pin=number, stream=True), 5.0)


async def _speculated(replica: Replica) -> object:
    return replica.machine.speculate_now(Block("b").ask(FEW.sql), LIMITS, 5.0)


async def _on_a_thread(replica: Replica) -> object:
    return await replica.machine.speculate(Block("b").ask(FEW.sql), LIMITS, 5.0, Stop())


async def _beside(replica: Replica) -> object:
    return await replica.machine.read_beside(Block("b").ask(FEW.sql), 5.0)


async def _dry(replica: Replica) -> object:
    write = replica.command(statement("UPDATE t SET n = n"))
    return await replica.machine.dry_run(write, LIMITS, 5.0, Stop())


async def _checked(replica: Replica) -> object:
    return replica.check(replica.command(statement("UPDATE t SET n = 1 WHERE id = 7")))


@pytest.mark.parametrize(
    "work",
    [_quick, _long, _streamed, _pinned, _speculated, _on_a_thread, _beside, _dry, _checked],
)
async def test_who_needs_one_is_refused_and_served_when_there_is_one_again(
    replica: Replica, work: Work
) -> None:
    with no_descriptor():
        for _ in range(30):  # more than there are places for
            refused = await work(replica)
            assert isinstance(refused, Busy), refused
            assert "file descriptors" in refused.reason
        replica.write(statement(INSERT, 100, "while there is none"))
    assert replica.machine.is_sound
    answer = await work(replica)
    assert answer is None or isinstance(answer, Done | Speculated), answer
    replica.machine.give_up_speculation()
    replica.write(statement("DELETE FROM t WHERE id = 100"))


async def test_a_checksum_that_finds_none_says_so_and_the_next_one_is_computed(
    replica: Replica,
) -> None:
    with no_descriptor():
        done = replica.apply(Checksum())
        assert isinstance(done, Done)
        missing = replica.machine.checksum(GetChecksum(done.index))
    assert isinstance(missing, NoChecksum)
    assert not missing.pending
    assert "file descriptors" in missing.reason
    again = replica.apply(Checksum())
    assert isinstance(again, Done)
    assert isinstance(await asked(replica, again.index), Checksums)


async def test_a_copy_can_be_made_after_one_that_found_none(replica: Replica) -> None:
    with no_descriptor(), pytest.raises(NoDescriptor):
        replica.machine.make_snapshot()
    assert replica.machine.make_snapshot().index == replica.machine.applied


async def test_a_file_that_is_gone_stops_its_replica(replica: Replica) -> None:
    """That is no shortage, whatever SQLite calls it."""
    path = replica.machine.path
    with no_descriptor():
        path.rename(path.with_name("elsewhere"))
        with pytest.raises(ReplicaFault):
            replica.machine.read(Read((FEW,)))
    assert not replica.machine.is_sound


def test_another_error_stays_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"no database")
    with sqlite3.connect(tmp_path / "file") as connection:
        with pytest.raises(sqlite3.DatabaseError) as caught:
            connection.execute("SELECT 1 FROM t")
        assert of_opening(caught.value, tmp_path / "file") is caught.value
    connection.close()
