"""Streamed reads: pieces of one state, and what ends them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nodes import cursors
from nodes.protocol import (
    CloseCursor,
    Done,
    Fetch,
    Guard,
    OutputColumn,
    Piece,
    Read,
    ResponseBody,
    SetVersion,
    SqlFailure,
    Stale,
    Statement,
    Value,
)
from nodes.spool import LARGE_BYTES
from nodes.values import INT4, TEXT, encode_data_rows
from tests.nodes.replica import INSERT, Replica, statement

ALL = "SELECT id, name FROM t ORDER BY id"
ROWS: list[tuple[Value, ...]] = [(n, f"name {n}") for n in range(30_000)]
FOREVER = "SELECT count(*) FROM t a, t b, t c"


@pytest.fixture
async def replica(tmp_path: Path) -> AsyncIterator[Replica]:
    replica = Replica(tmp_path)
    replica.write(*[statement(INSERT, *row) for row in ROWS])
    yield replica
    await replica.machine.close()


async def begin(replica: Replica, read: Statement, timeout_s: float = 5.0) -> ResponseBody:
    return await replica.machine.read_stream(Read((read,), stream=True), timeout_s)


async def rest(replica: Replica, piece: ResponseBody) -> tuple[list[Piece], ResponseBody]:
    """The pieces that follow, and what came instead of the next."""
    found = []
    while isinstance(piece, Piece):
        found.append(piece)
        piece = await replica.machine.fetch(Fetch(piece.cursor), 5.0)
    return found, piece


async def test_what_fits_is_answered_at_once(replica: Replica) -> None:
    answer = await begin(replica, statement("SELECT id, name FROM t WHERE id < 2 ORDER BY id"))
    assert isinstance(answer, Done)
    assert answer.results[0].values == ((0, "name 0"), (1, "name 1"))
    assert answer.index == replica.machine.applied


@pytest.mark.parametrize("columns", [(), (OutputColumn(INT4, False), OutputColumn(TEXT, True))])
async def test_the_pieces_are_all_rows_of_one_state(
    replica: Replica, columns: tuple[OutputColumn, ...]
) -> None:
    index = replica.machine.applied
    first = await begin(replica, Statement(ALL, (), columns))
    replica.write(statement("DELETE FROM t"))
    pieces, last = await rest(replica, first)
    assert isinstance(last, Done)
    assert last.index == index
    results = [piece.result for piece in pieces] + [last.results[0]]
    assert sum(result.row_count for result in results) == len(ROWS)
    if columns:
        assert b"".join(result.rows for result in results) == encode_data_rows(ROWS, columns)
        assert max(len(result.rows) for result in results) < 2 * cursors.PIECE_BYTES
    else:
        assert [row for result in results for row in result.values] == ROWS
    again = await begin(replica, statement(ALL))
    assert isinstance(again, Done)
    assert again.results[0].row_count == 0


@pytest.mark.parametrize("columns", [(), (OutputColumn(TEXT, False),)])
async def test_few_rows_that_are_large_leave_in_pieces_too(
    replica: Replica, columns: tuple[OutputColumn, ...]
) -> None:
    """Twelve rows of a mebibyte, the last ones after many that are small."""
    size = 1 << 20
    text = f"SELECT CASE WHEN id < 6 OR id >= 3000 THEN printf('%.*c', {size}, 'x') ELSE 'y' END "
    first = await begin(
        replica, Statement(text + "FROM t WHERE id < 3006 ORDER BY id", (), columns)
    )
    pieces, last = await rest(replica, first)
    assert isinstance(last, Done)
    results = [piece.result for piece in pieces] + [last.results[0]]
    assert sum(result.row_count for result in results) == 3006
    sizes = [
        len(result.rows) or sum(len(str(value)) for (value,) in result.values) for result in results
    ]
    assert sum(sizes) > 12 * size
    assert max(sizes) <= LARGE_BYTES + cursors.PIECE_BYTES + size


async def test_two_reads_of_one_text_do_not_disturb_each_other(replica: Replica) -> None:
    for _ in range(2):
        first, second = [await begin(replica, statement(ALL)) for _ in range(2)]
        assert isinstance(first, Piece)
        assert isinstance(second, Piece)
        assert first.cursor != second.cursor
        assert first.result == second.result
        for each in (first, second):
            _, last = await rest(replica, each)
            assert isinstance(last, Done)


async def test_a_cursor_that_is_closed_is_gone_and_holds_nothing(replica: Replica) -> None:
    first = await begin(replica, statement(ALL))
    assert isinstance(first, Piece)
    replica.machine.close_cursor(CloseCursor(first.cursor))
    gone = await replica.machine.fetch(Fetch(first.cursor), 5.0)
    assert isinstance(gone, SqlFailure)
    assert gone.sqlstate == "57P03"
    replica.write(statement("UPDATE t SET name = 'x'"))
    (busy, _, _) = replica.machine._state.writer.raw.execute(
        "/*_own*/PRAGMA wal_checkpoint(TRUNCATE)"
    ).fetchone()
    assert not busy, "no read transaction is left open"


async def test_there_are_only_so_many(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = [await begin(replica, statement(ALL)) for _ in range(cursors.CURSORS_MAX)]
    first = opened[0]
    assert isinstance(first, Piece)
    waiting = [asyncio.create_task(begin(replica, statement("SELECT 1"))) for _ in range(3)]
    await asyncio.sleep(0)
    waiting.pop(0).cancel()  # nobody waits for it: its place is the next one's
    replica.machine.close_cursor(CloseCursor(first.cursor))
    assert [type(answer) for answer in await asyncio.gather(*waiting)] == [Done, Done]
    assert isinstance(await begin(replica, statement(ALL)), Piece)
    monkeypatch.setattr(cursors, "WAIT_S_MAX", 0.01)
    refused = await begin(replica, statement(ALL))
    assert isinstance(refused, SqlFailure)
    assert refused.sqlstate == "53300"


@pytest.mark.parametrize(
    ("field", "seconds", "sqlstate"),
    [("last_used", cursors.IDLE_S_MAX, "57P03"), ("opened", cursors.AGE_S_MAX, "72000")],
)
async def test_a_cursor_that_is_forgotten_or_too_old_ends(
    replica: Replica, field: str, seconds: float, sqlstate: str
) -> None:
    first = await begin(replica, statement(ALL))
    assert isinstance(first, Piece)
    machine = replica.machine
    cursor = machine._cursors._open[first.cursor]
    machine._cursors._look()
    assert isinstance(await machine.fetch(Fetch(first.cursor, keep=True), 5.0), Done)
    setattr(cursor, field, time.monotonic() - seconds - 1)
    machine._cursors._look()
    ended = await machine.fetch(Fetch(first.cursor), 5.0)
    assert isinstance(ended, SqlFailure)
    assert ended.sqlstate == sqlstate


async def test_a_read_is_stopped_when_its_time_is_over_or_nobody_waits(replica: Replica) -> None:
    late = await begin(replica, statement(FOREVER), 0.02)
    assert isinstance(late, SqlFailure)
    assert late.sqlstate == "57014"
    task = asyncio.create_task(begin(replica, statement(FOREVER), 60))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert isinstance(await begin(replica, statement("SELECT 1")), Done)


async def test_who_is_given_up_twice_waits_for_its_thread_all_the_same(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or its connection would be taken from a thread that is at work on it: the replica stops."""
    is_late = cursors._Cursor._is_late
    at_work, goes_on = threading.Event(), threading.Event()

    def look(cursor: cursors._Cursor) -> bool:
        at_work.set()
        return goes_on.wait() and is_late(cursor)

    monkeypatch.setattr(cursors._Cursor, "_is_late", look)
    task = asyncio.create_task(begin(replica, statement(FOREVER), 60))
    await asyncio.to_thread(at_work.wait)
    for _ in range(3):
        task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
    try:
        assert not task.done()
    finally:
        goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert isinstance(await begin(replica, statement("SELECT 1")), Done)


async def test_guards_and_errors_are_those_of_any_read(replica: Replica) -> None:
    replica.write(statement("SELECT 1"), sets=(SetVersion("slot:1", 3),))
    read = Read((statement(ALL),), (Guard("slot:1", 2),), stream=True)
    assert await replica.machine.read_stream(read, 5.0) == Stale("slot:1", 3, 2)
    for sql, sqlstate in (
        ("SELECT * FROM nowhere", "42P01"),
        ("DELETE FROM t", "42501"),
        ("SELECT pg_add_int4(id, 2147483647) FROM t", "22003"),
    ):
        failure = await begin(replica, statement(sql))
        assert isinstance(failure, SqlFailure)
        assert failure.sqlstate == sqlstate
    assert replica.write(statement(INSERT, 99_999, "x")), "the replica goes on"


async def test_closing_ends_what_is_open(replica: Replica) -> None:
    first = await begin(replica, statement(ALL))
    assert isinstance(first, Piece)
    await replica.reopen()
    gone = await replica.machine.fetch(Fetch(first.cursor), 5.0)
    assert isinstance(gone, SqlFailure)
