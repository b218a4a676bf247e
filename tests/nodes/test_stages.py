"""Stages: rows sent ahead of the write that names them (docs/bulk.md)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replaced

from nodes.config import WriteLimits
from nodes.outcome_digest import digest_of
from nodes.protocol import (
    FRAME_BYTES_MAX,
    STAGE_CHUNK_BYTES,
    Aborted,
    Done,
    EntryBody,
    ExpireSessions,
    Fence,
    Guard,
    Mark,
    NewIncarnation,
    Opened,
    OpenSession,
    OutputColumn,
    ProtocolError,
    Ran,
    SessionId,
    SetVersion,
    Speculate,
    Speculated,
    SqlFailure,
    Stage,
    Staged,
    Stale,
    Statement,
    StatementResult,
    Step,
    Transaction,
    UnknownSession,
    Unstage,
    Value,
    Write,
)
from nodes.stage_content import StageError, StageWriter, check_content, rows_of
from nodes.stages import GROUP_SHARE
from nodes.values import INT4, encode_data_rows
from tests.nodes.replica import INSERT, Replica, content, statement

SESSION = SessionId(1, 7)


@pytest.fixture
async def replica(tmp_path: Path) -> AsyncIterator[Replica]:
    replica = Replica(tmp_path)
    yield replica
    await replica.machine.close()


def content_of(*frames: Sequence[Sequence[Value]]) -> tuple[list[bytes], StageWriter]:
    writer = StageWriter()
    chunks = [chunk for frame in frames for chunk in writer.add(frame)]
    return chunks + writer.finish(), writer


class Staging:
    """Rows on their way into a replica as stage `number` of its session."""

    def __init__(
        self, replica: Replica, *frames: Sequence[Sequence[Value]], number: int = 1
    ) -> None:
        self.replica = replica
        self.number = number
        self.chunks, writer = content_of(*frames)
        self.staged = writer.staged(replica.session, number)

    def send(self, *which: int) -> None:
        """Apply these chunks, or all."""
        for chunk in which or range(len(self.chunks)):
            assert isinstance(self.replica.apply(self.entry(chunk)), Done)

    def entry(self, chunk: int) -> Stage:
        self.replica.seq += 1
        data = self.chunks[chunk]
        return Stage(self.replica.session, self.replica.seq, 0, self.number, chunk, data)

    def statement(self, sql: str = INSERT) -> Statement:
        return Statement(sql, staged=self.staged)

    @property
    def is_kept(self) -> bool:
        return bool(content(self.replica.directory)["_stages"])


ROWS: list[list[tuple[Value, ...]]] = [
    [(n, f"row {n}") for n in range(1, 4)],
    [(n, None) for n in range(4, 6)],
]


# --------------------------------------------------------------------------- content


@given(st.lists(st.lists(st.tuples(st.integers(0, 9), st.text(max_size=5)), max_size=4)))
def test_what_goes_in_as_rows_comes_out_as_rows(frames: list[list[tuple[int, str]]]) -> None:
    chunks, writer = content_of(*frames)
    check_content(writer.staged(SESSION, 1), chunks)
    assert list(rows_of(chunks)) == frames


def test_a_row_may_be_larger_than_a_chunk() -> None:
    rows: list[list[tuple[Value, ...]]] = [[(1, "x" * (3 * STAGE_CHUNK_BYTES))], [(2, "y")]]
    chunks, writer = content_of(*rows)
    assert [len(chunk) for chunk in chunks[:-1]] == [STAGE_CHUNK_BYTES] * 3
    assert len(chunks[-1]) < STAGE_CHUNK_BYTES
    staged = writer.staged(SESSION, 1)
    assert (staged.chunks, staged.size) == (4, sum(map(len, chunks)))
    assert list(rows_of(chunks)) == rows


def test_a_row_that_no_frame_holds_leaves_the_rest_as_it_was() -> None:
    writer = StageWriter()
    with pytest.raises(ProtocolError):
        writer.add([("x" * (FRAME_BYTES_MAX + 1),)])
    chunks = writer.add([(1,)]) + writer.finish()
    check_content(writer.staged(SESSION, 1), chunks)
    assert list(rows_of(chunks)) == [[(1,)]]


def test_content_of_another_make_is_no_rows() -> None:
    chunks, _ = content_of([(1, "a")])
    for wrong in ([chunks[0][:-1]], [b"\xff\xff\xff\xff"], [b"\x00\x00\x00\x01\xc1"]):
        with pytest.raises(StageError):
            list(rows_of(wrong))


# --------------------------------------------------------------------------- applied


def test_a_write_brings_the_rows_that_were_sent_ahead(replica: Replica) -> None:
    staging = Staging(replica, *ROWS)
    staging.send()
    assert replica.rows() == [], "a stage is visible to nobody"
    for sql in ("SELECT count(*) FROM _stages", "DELETE FROM _stages"):
        assert replica.failure(statement(sql)).sqlstate == "42501"
    assert staging.is_kept
    done = replica.write(statement(INSERT, 9, "beside it"), staging.statement())
    assert [result.row_count for result in done.results] == [1, 5]
    assert [row[:2] for row in replica.rows()] == [*ROWS[0], *ROWS[1], (9, "beside it")]
    assert not staging.is_kept


def test_chunks_may_come_in_any_order(replica: Replica) -> None:
    rows: list[tuple[Value, ...]] = [(n, f"{n:018}") for n in range(60_000)]
    staging = Staging(replica, rows[:30_000], rows[30_000:])
    assert len(staging.chunks) == 3
    staging.send(2, 0, 1)
    replica.write(staging.statement())
    assert [row[:2] for row in replica.rows()] == rows


def test_the_same_write_again_changes_nothing(replica: Replica) -> None:
    staging = Staging(replica, *ROWS)
    piece, write = staging.entry(0), replica.command(staging.statement())
    first = [replica.apply(body) for body in (piece, write)]
    again = [replica.apply(body) for body in (write, piece, write)]
    assert again == [first[1], first[0], first[1]]
    assert not staging.is_kept, "a late copy of a chunk brings no stage back"
    assert len(replica.rows()) == 5


@pytest.mark.parametrize("bytes_gone", [0, 1])
def test_a_stage_that_is_not_what_was_named_is_not_applied(
    replica: Replica, bytes_gone: int
) -> None:
    """The hash is compared, and the size; nothing is run before."""
    staging = Staging(replica, *ROWS)
    chunk = bytearray(staging.chunks[0])
    chunk[8] ^= 1  # another key: SQL would have nothing against it
    staging.chunks[0] = bytes(chunk[: len(chunk) - bytes_gone])
    staging.send()
    failure = replica.failure(statement(INSERT, 9, "beside it"), staging.statement())
    assert (failure.sqlstate, failure.statement) == ("XX001", 1)
    assert replica.rows() == []
    assert not staging.is_kept


def test_a_stage_that_lacks_a_chunk_is_not_applied(replica: Replica) -> None:
    rows: list[tuple[Value, ...]] = [(n, f"{n:018}") for n in range(60_000)]
    staging = Staging(replica, rows)
    staging.send(0, 2)
    assert replica.failure(staging.statement()).sqlstate == "XX001"


def test_a_stage_that_was_forgotten_says_so(replica: Replica) -> None:
    staging = Staging(replica, *ROWS)
    assert replica.failure(staging.statement()).sqlstate == "57P05"


def test_a_row_that_fails_is_named_and_takes_all_with_it(replica: Replica) -> None:
    replica.write(statement(INSERT, 4, "in the way"))
    staging = Staging(replica, *ROWS)
    staging.send()
    failure = replica.failure(statement(INSERT, 9, "beside it"), staging.statement())
    assert (failure.sqlstate, failure.statement, failure.row) == ("23505", 1, 4)
    assert [row[0] for row in replica.rows()] == [4]
    assert not staging.is_kept, "the outcome is remembered; nobody names the stage again"


def test_a_check_and_a_range_are_those_of_an_insert(replica: Replica) -> None:
    for number, (row, sqlstate) in enumerate(
        [((1, "x" * 20), "23514"), ((1 << 31, "x"), "22003"), ((None, "x"), "23502")], 1
    ):
        staging = Staging(replica, [(7, "good"), row], number=number)
        staging.send()
        failure = replica.failure(staging.statement())
        assert (failure.sqlstate, failure.row) == (sqlstate, 2)


def test_a_guard_that_fails_keeps_the_stage_for_the_next_try(replica: Replica) -> None:
    staging = Staging(replica, *ROWS)
    staging.send()
    write = replica.command(staging.statement(), guards=(Guard("slot:1", 3),))
    assert isinstance(replica.apply(write), Stale)
    assert staging.is_kept
    replica.write(statement("SELECT 1"), sets=(SetVersion("slot:1", 3),))
    assert isinstance(replica.apply(write), Done)
    assert len(replica.rows()) == 5


def test_rows_come_back_from_a_staged_statement_that_returns_some(replica: Replica) -> None:
    staging = Staging(replica, *ROWS)
    staging.send()
    sql = f"{INSERT} RETURNING id"
    done = replica.write(Statement(sql, (), (OutputColumn(INT4, False),), staging.staged))
    assert done.results[0].row_count == 5
    assert done.results[0].rows == encode_data_rows(
        [(n,) for n in range(1, 6)], (OutputColumn(INT4, False),)
    )


def test_a_transaction_may_have_a_staged_statement_among_its_steps(replica: Replica) -> None:
    staging = Staging(replica, *ROWS)
    staging.send()
    copied = Ran(staging.statement(), digest_of(StatementResult(5)))
    counted = Ran(
        statement("SELECT count(*) FROM t"), digest_of(StatementResult(1, values=((5,),)))
    )
    write = replaced(
        replica.command(statement("SELECT 1")),
        statements=(),
        transaction=Transaction(1, 1, (copied, counted)),
    )
    assert replica.machine.needs_dry_run(write), "its other steps may be anything"
    assert isinstance(replica.apply(write), Done)
    assert len(replica.rows()) == 5
    assert not staging.is_kept


def test_another_statement_runs_for_each_row(replica: Replica) -> None:
    replica.write(*[statement(INSERT, n, "old") for n in range(3)])
    staging = Staging(replica, [(0, "new"), (2, "new"), (9, "new")])
    staging.send()
    done = replica.write(staging.statement("UPDATE t SET name = ?2 WHERE id = ?1"))
    assert done.results[0].row_count == 2
    assert [row[1] for row in replica.rows()] == ["new", "old", "new"]


def test_a_fence_settles_a_chunk(replica: Replica) -> None:
    staging = Staging(replica, *ROWS)
    piece = staging.entry(0)
    assert replica.apply(Fence(replica.session, piece.seq, 0)) == Aborted()
    assert replica.apply(piece) == Aborted()
    assert not staging.is_kept


# --------------------------------------------------------------------------- ends of a stage


@pytest.mark.parametrize("end", ["unstage", "session", "stage", "incarnation"])
async def test_what_nobody_will_name_is_forgotten(replica: Replica, end: str) -> None:
    kept = Staging(replica, *ROWS, number=2)
    staging = Staging(replica, *ROWS)
    staging.send()
    await replica.reopen()
    session = replica.session
    ends: dict[str, EntryBody] = {
        "unstage": Unstage(session, 1),
        "session": ExpireSessions((session,)),
        "stage": ExpireSessions((), ((session, 1),)),
        "incarnation": NewIncarnation(5),
    }
    assert isinstance(replica.apply(ends[end]), Done)
    assert not staging.is_kept
    left = () if end in ("session", "incarnation") else (session,)
    idle = replica.machine.idle(replica.machine.applied) or ExpireSessions(())
    assert idle == ExpireSessions(left), "the sizes of stages that are gone are gone as well"
    assert isinstance(replica.apply(Unstage(session, 1)), Done), "it may be said again"
    if end in ("unstage", "stage"):
        kept.send()
        replica.write(kept.statement())
        assert len(replica.rows()) == 5
    else:
        assert replica.apply(staging.entry(0)) == UnknownSession()


def test_stages_that_nobody_adds_to_are_idle_though_their_session_is_not(replica: Replica) -> None:
    first, second = Staging(replica, *ROWS), Staging(replica, *ROWS, number=2)
    first.send()
    mark = replica.machine.applied
    assert replica.machine.idle(mark) == ExpireSessions((replica.session,)), "with its session"
    second.send()
    assert replica.machine.idle(mark) == ExpireSessions((), ((replica.session, 1),))
    expiry = replica.machine.idle(mark)
    assert expiry is not None
    replica.apply(expiry)
    assert replica.machine.idle(mark) is None
    assert replica.failure(first.statement()).sqlstate == "57P05"
    replica.write(second.statement())


async def test_a_leader_takes_only_so_much(replica: Replica) -> None:
    """Of one stage, and of all stages together; also after a restart."""
    size = 1000

    def piece(stage: int, chunk: int, session: SessionId) -> Stage:
        replica.seq += 1
        return Stage(session, replica.seq, 0, stage, chunk, bytes(size))

    def refusal(stage: int, session: SessionId) -> SqlFailure | None:
        return replica.machine.stage_refusal(piece(stage, 9, session), 2 * size)

    opened = replica.apply(OpenSession("r2"))
    assert isinstance(opened, Opened)
    other = opened.session
    for chunk in range(2):
        assert refusal(1, replica.session) is None
        replica.apply(piece(1, chunk, replica.session))
    await replica.reopen()
    refused = refusal(1, replica.session)
    assert refused is not None
    assert refused.sqlstate == "54000"
    replica.seq = 0
    for stage in range(2 * GROUP_SHARE - 2):
        assert refusal(stage, other) is None
        assert isinstance(replica.apply(piece(stage, 0, other)), Done)
    refused = refusal(99, other)
    assert refused is not None
    assert refused.sqlstate == "53400"
    replica.apply(Unstage(replica.session, 1))
    assert refusal(99, other) is None


def test_a_leader_finds_what_is_wrong_with_the_text_of_a_staged_statement(
    replica: Replica,
) -> None:
    staging = Staging(replica, *ROWS)
    assert replica.check(replica.command(staging.statement())) is None
    for sql, sqlstate in (("INSERT INTO t VALUES (?1", "42601"), ("DELETE FROM _stages", "42501")):
        refused = replica.check(replica.command(staging.statement(sql)))
        assert isinstance(refused, SqlFailure)
        assert refused.sqlstate == sqlstate


def test_stages_are_work_for_the_thread(replica: Replica) -> None:
    staging = Staging(replica, *ROWS)
    write = replica.command(staging.statement())
    for body in (staging.entry(0), write, Unstage(replica.session, 1)):
        assert not replica.machine.is_quick(body)
    bounded = replaced(write, bounded=True)
    assert not replica.machine.needs_dry_run(bounded), "it is bounded by the size of its stage"
    assert not replica.machine.is_quick(bounded)
    assert replica.machine.needs_dry_run(write)


def test_a_statement_without_a_stage_costs_a_byte_for_that() -> None:
    plain = Write(SESSION, 1, 0, (statement(INSERT, 1, "a"),), quick=True)
    staged = Staged(SESSION, 1, 1, 1, b"h")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(plain), type=Write) == plain
    with_stage = Write(SESSION, 1, 0, (Statement(INSERT, staged=staged),))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(with_stage), type=Write) == with_stage


# --------------------------------------------------------------------------- units and transactions


def staged_items(replica: Replica, *frames: Sequence[Statement] | Sequence[Step]) -> Staged:
    """Apply a stage of these, one chunk for each frame; its name."""
    writer = StageWriter()
    chunks = []
    for frame in frames:
        chunks += writer.add(frame) + writer.finish()
    for number, data in enumerate(chunks):
        replica.seq += 1
        replica.apply(Stage(replica.session, replica.seq, 0, 9, number, data))
    return writer.staged(replica.session, 9)


def test_a_unit_may_be_sent_ahead(replica: Replica) -> None:
    first = [statement(INSERT, n, f"row {n}") for n in range(3)]
    rest = [statement("SELECT name FROM t WHERE id = 1"), statement("DELETE FROM t WHERE id = 0")]
    staged = staged_items(replica, first, rest)
    write = replaced(replica.command(), staged=staged, bounded=True)
    done = replica.apply(write)
    assert isinstance(done, Done)
    assert [result.row_count for result in done.results] == [1, 1, 1, 1, 1]
    assert done.results[3].values == (("row 1",),)
    assert [row[0] for row in replica.rows()] == [1, 2]
    assert not content(replica.directory)["_stages"]
    assert replica.apply(write) == done, "it was applied already"


def test_a_unit_that_fails_in_its_stage_says_where(replica: Replica) -> None:
    twice = [statement(INSERT, n % 4, "x") for n in range(5)]
    staged = staged_items(replica, twice[:2], twice[2:])
    failed = replica.apply(replaced(replica.command(), staged=staged))
    assert isinstance(failed, SqlFailure)
    assert (failed.sqlstate, failed.statement) == ("23505", 4)
    assert not replica.rows()
    assert not content(replica.directory)["_stages"]
    gone = replica.apply(replaced(replica.command(), staged=staged))
    assert isinstance(gone, SqlFailure)
    assert gone.sqlstate == "57P05"


def test_steps_of_a_transaction_may_be_sent_ahead(replica: Replica) -> None:
    def ran(sql: str, *values: Value, rows: int = 1, found: tuple[Value, ...] = ()) -> Ran:
        answer = StatementResult(rows, values=(found,) if found else ())
        return Ran(statement(sql, *values), digest_of(answer))

    ahead: list[Step] = [ran(INSERT, 1, "one"), Mark("savepoint", 1), ran(INSERT, 2, "two")]
    more: list[Step] = [Mark("rollback", 1), ran(INSERT, 3, "three")]
    last = ran("SELECT count(*) FROM t", found=(2,))
    for found, is_right in ((3, False), (2, True)):
        staged = staged_items(replica, ahead, more)
        seen = ran("SELECT count(*) FROM t", found=(found,))
        transaction = Transaction(1, 1, (seen, last), staged)
        answer = replica.apply(replaced(replica.command(), transaction=transaction))
        assert isinstance(answer, Done) is is_right
        if isinstance(answer, SqlFailure):
            assert (answer.sqlstate, answer.statement) == ("40001", 5)
        assert [row[0] for row in replica.rows()] == ([1, 3] if is_right else [])
        assert not content(replica.directory)["_stages"]


def test_a_leader_runs_again_what_was_sent_ahead(replica: Replica) -> None:
    machine = replica.machine
    first = Ran(statement(INSERT, 1, "one"), digest_of(StatementResult(1)))
    staged = staged_items(replica, [first])
    count = Ran(statement("SELECT count(*) FROM t"))
    asked = Speculate(b"t", Transaction(1, 1, (count,), staged), quick=True)
    answer = machine.speculate_now(asked, WriteLimits(), 10.0)
    assert isinstance(answer, Speculated)
    assert answer.result == StatementResult(1, values=((1,),))
    machine.give_up_speculation()
    wrong = Ran(first.statement, digest_of(StatementResult(2)))
    asked = replaced(asked, transaction=Transaction(1, 1, (count,), staged_items(replica, [wrong])))
    refused = machine.speculate_now(asked, WriteLimits(), 10.0)
    assert isinstance(refused, SqlFailure)
    assert refused.sqlstate == "40001"
    asked = replaced(asked, transaction=Transaction(1, 1, (count,), replaced(staged, stage=7)))
    refused = machine.speculate_now(asked, WriteLimits(), 10.0)
    assert isinstance(refused, SqlFailure)
    assert refused.sqlstate == "57P05"
