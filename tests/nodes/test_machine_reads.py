"""Reads: against the last COMMIT, within their versions, bounded in time and size."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from nodes.long_reads import LONG_READS_MAX
from nodes.protocol import (
    ANSWER_BYTES_MAX,
    Busy,
    Done,
    Guard,
    OutputColumn,
    Read,
    ResponseBody,
    SetVersion,
    SqlFailure,
    Stale,
    Statement,
    StatementResult,
)
from nodes.values import INT4, TEXT, encode_data_rows
from tests.nodes.replica import INSERT, Replica, committed, encode, statement

ROWS = 700
ENDLESS = statement("SELECT count(*) FROM t a, t b, t c, t d, t e")

Reader: TypeAlias = Callable[[Read], Awaitable[ResponseBody]]


@pytest.fixture
async def replica(tmp_path: Path) -> AsyncIterator[Replica]:
    replica = Replica(tmp_path)
    replica.write(*(statement(INSERT, key, f"name {key}") for key in range(ROWS)))
    yield replica
    await replica.machine.close()


@pytest.fixture(params=["inline", "long"])
def read(request: pytest.FixtureRequest, replica: Replica) -> Reader:
    async def inline(read: Read) -> ResponseBody:
        return replica.machine.read(read)

    async def long(read: Read) -> ResponseBody:
        return await replica.machine.read_long(read, 60.0)

    return inline if request.param == "inline" else long


async def test_rows_as_values_and_as_data_rows(replica: Replica, read: Reader) -> None:
    columns = (OutputColumn(INT4, False), OutputColumn(TEXT, True))
    every = "SELECT id, name FROM t ORDER BY id"
    answer = await read(Read((statement(every), Statement(every, (), columns))))
    rows = [(key, f"name {key}") for key in range(ROWS)]
    assert answer == Done(
        (
            StatementResult(ROWS, b"", tuple(rows)),
            StatementResult(ROWS, encode_data_rows(rows, columns)),
        ),
        replica.machine.applied,
        incarnation=1,
    )


async def test_a_point_read(replica: Replica, read: Reader) -> None:
    answer = await read(Read((statement("SELECT name FROM t WHERE id = ?1", 5),)))
    assert answer == Done(
        (StatementResult(1, b"", (("name 5",),)),), replica.machine.applied, incarnation=1
    )


async def test_guards_are_checked_in_the_state_that_is_read(replica: Replica, read: Reader) -> None:
    one = statement("SELECT 1")
    assert await read(Read((one,), (Guard("table:t", 2),))) == Stale("table:t", 1, 2)
    assert await read(Read((one,), (Guard("slot:1", 1),))) == Stale("slot:1", 0, 1)
    replica.write(sets=(SetVersion("table:t", 2),))
    assert isinstance(await read(Read((one,), (Guard("table:t", 2), Guard("slot:1", 0)))), Done)


@pytest.mark.parametrize(
    ("sql", "sqlstate"),
    [
        ("INSERT INTO t (id) VALUES (-1)", "42501"),
        ("DROP TABLE t", "42501"),
        ("SELECT * FROM _sessions", "42501"),
        ("SELECT last_insert_rowid()", "42501"),
        ("COMMIT", "42501"),
        ("ATTACH 'x' AS x", "42501"),
        ("SELECT * FROM nowhere", "42P01"),
        ("SELECT pg_div_int4(id, 0) FROM t", "22012"),
        ("SELECT ?1", "08P01"),
    ],
)
async def test_errors(read: Reader, sql: str, sqlstate: str) -> None:
    answer = await read(Read((statement("SELECT 1"), statement(sql))))
    assert isinstance(answer, SqlFailure)
    assert (answer.sqlstate, answer.statement) == (sqlstate, 1)
    assert isinstance(await read(Read((statement("SELECT 1"),))), Done)


async def test_an_answer_that_is_too_large_is_refused(read: Reader) -> None:
    block = "x" * (ANSWER_BYTES_MAX // ROWS + 1)
    for columns in ((), (OutputColumn(TEXT, False),)):
        answer = await read(Read((Statement("SELECT ?1 FROM t", (block,), columns),)))
        assert isinstance(answer, SqlFailure)
        assert (answer.sqlstate, answer.detail) == ("54000", "Add a LIMIT or a narrower WHERE.")


async def test_time_is_stamped_once_per_read(replica: Replica, read: Reader) -> None:
    times = iter(range(1_000_000, 100_000_000, 1_000_000))
    replica.machine._clock_us = lambda: next(times)
    first = await read(Read((statement("SELECT unixepoch()"), statement("SELECT unixepoch()"))))
    assert isinstance(first, Done)
    assert [result.values for result in first.results] == [((1,),), ((1,),)]


async def test_no_read_transaction_stays_open(replica: Replica, read: Reader) -> None:
    """One open reader stops checkpoints, and the write-ahead log grows without bound."""
    reads = [
        Read((statement("SELECT id FROM t"),)),
        Read((statement("SELECT id FROM t"), statement("SELECT 1")), (Guard("table:t", 1),)),
        Read((statement("SELECT id FROM t"),), (Guard("table:t", 7),)),
        Read((statement("SELECT id FROM t"), statement("SELEC")), (Guard("table:t", 1),)),
        Read((statement("SELECT pg_div_int4(1, id - 300) FROM t"),)),
        Read((statement("SELECT ?1 FROM t", "x" * (ANSWER_BYTES_MAX // ROWS + 1)),)),
    ]
    for item in reads:
        await read(item)
        replica.write(statement("UPDATE t SET n = n + 1 WHERE id = 1"))
        checkpoint = replica.machine._state.writer.raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert checkpoint.fetchone() == (0, 0, 0), item


async def test_reads_see_the_last_commit_while_a_thread_applies(replica: Replica) -> None:
    """`applied` moves with the COMMIT, not with the entries of an open batch."""
    machine = replica.machine
    applied = machine.applied
    inside, go_on = threading.Event(), threading.Event()

    def stop(_value: object) -> int:
        inside.set()
        assert go_on.wait(10)
        return 0

    machine._state.writer.raw.create_function("pg_neg_int4", 1, stop)
    update = replica.command(
        statement("UPDATE t SET n = 9"),
        statement("SELECT pg_neg_int4(1)"),
        sets=(SetVersion("table:t", 2),),
    )
    loop = asyncio.get_running_loop()
    batch = [committed(applied + 1, encode(update))]
    applying = loop.run_in_executor(None, machine.apply, batch)
    await loop.run_in_executor(None, inside.wait)
    try:
        assert machine.applied == applied
        query = Read((statement("SELECT max(n) FROM t"),), (Guard("table:t", 1),))
        expected = Done((StatementResult(1, b"", ((0,),)),), applied, incarnation=1)
        assert machine.read(query) == expected
        assert await machine.read_long(query, 60.0) == expected
    finally:
        go_on.set()
        await applying
    assert machine.applied == applied + 1
    answer = machine.read(Read((statement("SELECT max(n) FROM t"),), (Guard("table:t", 2),)))
    assert answer == Done((StatementResult(1, b"", ((9,),)),), applied + 1, incarnation=1)


# --------------------------------------------------------------------------- long reads


async def test_a_long_read_is_interrupted_at_its_time(replica: Replica) -> None:
    answer = await replica.machine.read_long(Read((ENDLESS,)), 0.02)
    assert isinstance(answer, SqlFailure)
    assert answer.sqlstate == "57014"
    again = await replica.machine.read_long(Read((statement("SELECT 1"),)), 60.0)
    assert isinstance(again, Done), "only one read was stopped"


async def test_the_loop_goes_on_while_a_long_read_runs(replica: Replica) -> None:
    reading = asyncio.ensure_future(replica.machine.read_long(Read((ENDLESS,)), 60.0))
    for key in range(20):
        replica.write(statement("UPDATE t SET n = ?1", key))
        await asyncio.sleep(0)
    assert not reading.done()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_a_read_that_waits_is_over_at_its_time_too(replica: Replica) -> None:
    machine = replica.machine
    first = asyncio.ensure_future(machine.read_long(Read((ENDLESS,)), 60.0))
    await asyncio.sleep(0)
    second = await machine.read_long(Read((statement("SELECT 1"),)), 0.01)
    assert isinstance(second, SqlFailure)
    assert second.sqlstate == "57014"
    waiting = asyncio.ensure_future(machine.read_long(Read((statement("SELECT 1"),)), 60.0))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert isinstance(await machine.read_long(Read((statement("SELECT 1"),)), 60.0), Done)


async def test_waiting_reads_are_limited(replica: Replica) -> None:
    machine = replica.machine
    reads = [
        asyncio.ensure_future(machine.read_long(Read((ENDLESS,)), 0.05))
        for _ in range(LONG_READS_MAX)
    ]
    await asyncio.sleep(0)
    assert isinstance(await machine.read_long(Read((ENDLESS,)), 1.0), Busy)
    assert {type(answer) for answer in await asyncio.gather(*reads)} == {SqlFailure}


async def test_a_cancelled_read_ends_and_the_next_one_runs(replica: Replica) -> None:
    machine = replica.machine
    await machine.read_long(Read((statement("SELECT 1"),)), 60.0)  # the thread is up
    reading = asyncio.ensure_future(machine.read_long(Read((ENDLESS,)), 60.0))
    for _ in range(5):
        await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    refused = await machine.read_long(Read((statement("SELECT * FROM _sessions"),)), 60.0)
    assert isinstance(refused, SqlFailure)
    replica.write(statement("UPDATE t SET n = 1"))
    checkpoint = machine._state.writer.raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert checkpoint.fetchone() == (0, 0, 0)


async def test_closing_ends_long_reads_and_waits_for_them(replica: Replica) -> None:
    machine = replica.machine
    reads = [asyncio.ensure_future(machine.read_long(Read((ENDLESS,)), 60.0)) for _ in range(3)]
    await machine.read_long(Read((statement("SELECT 1"),)), 0.01)
    threads = threading.active_count()
    await machine.close()
    assert {type(answer) for answer in await asyncio.gather(*reads)} == {SqlFailure}
    assert threading.active_count() < threads
