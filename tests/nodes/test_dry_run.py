"""Dry runs: limits, errors and stopping, on real files; nothing is ever left behind."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.bounds import STOPPED, Stop, Stopped
from nodes.config import WriteLimits
from nodes.dry_runs import STOPPED_TRIES
from nodes.protocol import (
    AnswerNotKept,
    Done,
    Guard,
    Opened,
    OpenSession,
    Read,
    ResponseBody,
    SessionId,
    SetVersion,
    SqlFailure,
    Stale,
    Statement,
    Write,
)
from tests.nodes.replica import INSERT, Replica, content, statement
from tests.nodes.test_node import CREATE, Nodes, running, single

ROWS = 300
ENDLESS = statement("UPDATE t SET n = (SELECT count(*) FROM t a, t b, t c, t d, t e)")
EVERY = statement("UPDATE t SET n = n + 1")
LIMITS = WriteLimits()


@pytest.fixture
async def replica(tmp_path: Path) -> AsyncIterator[Replica]:
    replica = Replica(tmp_path)
    replica.write(*(statement(INSERT, key, f"name {key}") for key in range(ROWS)))
    yield replica
    await replica.machine.close()


async def tried(
    replica: Replica,
    *statements: Statement,
    limits: WriteLimits = LIMITS,
    timeout_s: float = 60.0,
    guards: tuple[Guard, ...] = (),
) -> ResponseBody | Stopped | None:
    before = content(replica.directory)
    write = replica.command(*statements, guards=guards)
    outcome = await replica.machine.dry_run(write, limits, timeout_s, Stop())
    assert content(replica.directory) == before
    replica.write(statement("UPDATE t SET n = 0 WHERE id = 1"))  # the file is free
    return outcome


async def refused(replica: Replica, sql: Statement, limits: WriteLimits) -> SqlFailure:
    outcome = await tried(replica, sql, limits=limits)
    assert isinstance(outcome, SqlFailure), outcome
    return outcome


def test_what_needs_a_dry_run(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    write = replica.command(EVERY)
    assert replica.machine.needs_dry_run(write)
    assert not replica.machine.needs_dry_run(replace_quick(write))
    schema = replica.command(statement("DROP TABLE t"), sets=(SetVersion("table:t", 2),))
    assert not replica.machine.needs_dry_run(schema)
    replica.machine.close_files()


def replace_quick(write: Write) -> Write:
    return Write(write.session, write.seq, write.watermark, write.statements, quick=True)


async def test_what_ends_inside_the_limits_may_be_proposed(replica: Replica) -> None:
    assert await tried(replica, EVERY, EVERY) is None


async def test_limits(replica: Replica) -> None:
    failure = await refused(replica, ENDLESS, replace(LIMITS, write_ms=50))
    assert failure.sqlstate == "57014"
    assert "50 ms" in failure.message
    assert "write_ms" in failure.detail

    failure = await refused(replica, EVERY, replace(LIMITS, write_rows=ROWS - 1))
    assert failure.sqlstate == "54000"
    assert f"{ROWS - 1} rows" in failure.message
    assert "write_rows" in failure.detail
    assert await tried(replica, EVERY, limits=replace(LIMITS, write_rows=ROWS)) is None

    grow = statement(
        "INSERT INTO t (id, name) SELECT 1000 * (a.id + 1) + b.id, b.name FROM t a, t b"
    )
    limits = replace(LIMITS, write_bytes=64 * 1024)
    failure = await refused(replica, grow, limits)
    assert failure.sqlstate == "54000"
    assert f"{limits.write_bytes} bytes" in failure.message
    assert "write_bytes" in failure.detail
    assert await tried(replica, grow) is None  # the limit is of that run


async def test_the_deadline_of_the_request(replica: Replica) -> None:
    assert await tried(replica, ENDLESS, timeout_s=0.05) == SqlFailure(
        "57014", "canceling statement due to statement timeout"
    )


async def test_errors_of_sql_and_guards(replica: Replica) -> None:
    failure = await refused(
        replica, statement("INSERT INTO t (id, name) SELECT id, name FROM t"), LIMITS
    )
    assert failure.sqlstate == "23505"
    assert await tried(replica, EVERY, guards=(Guard("table:t", 2),)) == Stale("table:t", 1, 2)
    assert await tried(replica, EVERY, guards=(Guard("table:t", 1),)) is None


async def test_a_repeat_of_what_was_applied_is_left_to_the_log(replica: Replica) -> None:
    write = replica.command(statement("INSERT INTO t (id) SELECT 9000"))
    assert isinstance(replica.apply(write), Done)
    assert await replica.machine.dry_run(write, LIMITS, 60, Stop()) is None
    assert isinstance(replica.apply(write), Done | AnswerNotKept)
    # The same statement under another seq fails.
    again = replica.command(*write.statements)
    assert isinstance(await replica.machine.dry_run(again, LIMITS, 60, Stop()), SqlFailure)


async def test_a_bug_in_a_function_is_refused_and_stops_nobody(replica: Replica) -> None:
    """Committed, it would stop every replica at this entry."""
    assert await tried(replica, EVERY) is None
    connection = replica.machine._dry_run._connection
    assert connection is not None
    connection.raw.create_function("upper", 1, lambda text: 1 // 0, deterministic=True)
    failure = await refused(replica, statement("UPDATE t SET name = upper(name)"), LIMITS)
    assert failure.sqlstate == "XX000"
    assert "user-defined function raised exception" in failure.message
    assert "nothing of it is applied" in failure.detail


WITHOUT_MEMORY = """
import asyncio, sys
from pathlib import Path
from nodes.config import WriteLimits
from nodes.bounds import Stop
from tests.nodes.replica import INSERT, Replica, statement

async def main():
    replica = Replica(Path(sys.argv[1]))
    replica.write(*(statement(INSERT, key, "name") for key in range(300)))
    pairs = statement(
        "INSERT INTO t (id, name) SELECT 1000 * (a.id + 1) + b.id, b.name FROM t a, t b "
        "ORDER BY b.name, a.id"
    )
    write = replica.command(pairs)
    print(await replica.machine.dry_run(write, WriteLimits(), 60, Stop()))
    # A limit of the process, and no way back from it.
    replica.machine._dry_run._connection.raw.execute("PRAGMA hard_heap_limit = 3000000")
    answer = await replica.machine.dry_run(write, WriteLimits(), 60, Stop())
    print(answer.sqlstate, answer.message)
    replica.write(statement("UPDATE t SET n = 7 WHERE id = 1"))
    print(replica.rows("SELECT count(*), max(n) FROM t"))
    await replica.machine.close()

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_write_for_which_there_is_no_memory_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_MEMORY, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == [
        "None",
        "53200 the leader has no memory for the write",
        "[(300, 7)]",
    ], done.stderr


class Watched(Stop):
    """Tells when it is first asked: then the run is in the middle of a statement."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self.asked = asyncio.Event()

    @property
    def is_set(self) -> bool:
        self._loop.call_soon_threadsafe(self.asked.set)
        return super().is_set


async def test_a_run_is_stopped_and_frees_the_file(replica: Replica) -> None:
    stop = Watched()
    write = replica.command(EVERY, ENDLESS)
    run = asyncio.ensure_future(replica.machine.dry_run(write, LIMITS, 60, stop))
    await stop.asked.wait()
    stop.set()
    assert await run is STOPPED
    replica.write(statement("UPDATE t SET n = 5 WHERE id = 5"))
    assert replica.rows("SELECT sum(n) FROM t") == [(5,)]


async def test_a_cancelled_run_has_ended_when_its_caller_goes_on(replica: Replica) -> None:
    stop = Watched()
    write = replica.command(ENDLESS)
    run = asyncio.ensure_future(replica.machine.dry_run(write, LIMITS, 60, stop))
    await stop.asked.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    replica.write(EVERY)


# --------------------------------------------------------------------------- in a node


async def fill(nodes: Nodes, rows: int) -> SessionId:
    opened = await nodes.call("s1", OpenSession("test"))
    assert isinstance(opened, Opened)
    create = Write(opened.session, 1, 0, (Statement(CREATE),), sets=(SetVersion("table:t", 1),))
    assert isinstance(await nodes.call("s1", create), Done)
    values = ", ".join(f"({key}, 0)" for key in range(rows))
    insert = Write(opened.session, 2, 1, (Statement(f"INSERT INTO t VALUES {values}"),), quick=True)
    assert isinstance(await nodes.call("s1", insert), Done)
    return opened.session


async def busy(nodes: Nodes, session: SessionId, until: asyncio.Future[ResponseBody]) -> int:
    """Point writes one after the other, so that a run has hardly a moment between two."""
    seq = 100
    while not until.done():
        point = Statement("UPDATE t SET v = v + 1 WHERE k = 0")
        answer = await nodes.call("s1", Write(session, seq, 2, (point,), quick=True))
        assert isinstance(answer, Done)
        read = await nodes.call("s1", Read((Statement("SELECT v FROM t WHERE k = 0"),), quick=True))
        assert isinstance(read, Done)
        assert read.results[0].values == ((seq - 99,),)
        seq += 1
    return seq - 100


@pytest.mark.slow
async def test_a_write_without_end_stops_nobody_and_never_enters_the_log(tmp_path: Path) -> None:
    config = replace(single(), limits=WriteLimits(write_ms=700))
    async with running(config, tmp_path) as nodes:
        session = await fill(nodes, 100)
        before = nodes.replica("n1", "s1").last
        update = "UPDATE t SET v = (SELECT count(*) FROM t a, t b, t c, t d, t e, t f)"
        heavy = asyncio.ensure_future(nodes.call("s1", Write(session, 3, 2, (Statement(update),))))
        written = await busy(nodes, session, heavy)
        refusal = await heavy
        assert isinstance(refusal, SqlFailure), refusal
        assert (refusal.sqlstate, "700 ms" in refusal.message) == ("57014", True)
        assert written > STOPPED_TRIES
        assert nodes.replica("n1", "s1").last == before + written


@pytest.mark.slow
async def test_a_long_write_is_done_however_busy_its_shard_is(tmp_path: Path) -> None:
    async with running(single(), tmp_path) as nodes:
        session = await fill(nodes, 1000)
        update = "UPDATE t SET v = v + (SELECT count(*) FROM t a, t b WHERE a.v >= b.v) * 0"
        heavy = asyncio.ensure_future(nodes.call("s1", Write(session, 3, 2, (Statement(update),))))
        await busy(nodes, session, heavy)
        answer = await heavy
        assert isinstance(answer, Done), answer
        assert answer.results[0].row_count == 1000
