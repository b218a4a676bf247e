"""The state is a function of the log: not of batches, crashes, repeats, machines or clocks."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.engine import Answers
from nodes.protocol import (
    Abort,
    Checksum,
    Commit,
    Done,
    End,
    EntryBody,
    ExpireSessions,
    Fence,
    Guard,
    Opened,
    OpenSession,
    Participant,
    Prepare,
    SessionId,
    SetVersion,
    SqlFailure,
    Stage,
    Staged,
    Stale,
    Statement,
    TransactionId,
    TransactionOutcome,
    UnknownOutcome,
    Unstage,
    Write,
)
from nodes.stage_content import StageWriter
from tests.nodes.replica import (
    INSERT,
    TABLE,
    Replica,
    batches,
    content,
    crashed_copy,
    encode,
    statement,
)
from tests.nodes.test_checksums import roots

CHANCE = (
    "INSERT INTO r (id, a, b, at, day) VALUES "
    "(?1, random(), hex(randomblob(4)), datetime('now', '+1 hour'), strftime('%f', 'now'))"
)
CHANCE_TABLE = (
    "CREATE TABLE r (id INTEGER NOT NULL PRIMARY KEY, a INTEGER, b TEXT, at TEXT, day TEXT, "
    "d INTEGER DEFAULT (random()), t TEXT DEFAULT current_timestamp) STRICT, WITHOUT ROWID"
)


def random_log(rng: random.Random, length: int) -> list[bytes]:
    """A log of a group: two sessions, a table, then anything, also what fails."""
    bodies: list[EntryBody | None] = [None, OpenSession("r1"), OpenSession("r2")]
    sessions = [SessionId(1, 2), SessionId(1, 3)]
    tables = (statement(TABLE), statement(CHANCE_TABLE))
    bodies.append(Write(sessions[0], 1, 0, tables, (), (SetVersion("table:t", 1),)))
    while len(bodies) < length:
        session = rng.choice([*sessions, SessionId(1, 99)])
        seq = rng.randint(2, 30)
        watermark = rng.choice([0, 0, 0, max(0, seq - 5)])
        kind = rng.random()
        if kind < 0.08:
            bodies.append(None)
        elif kind < 0.2:
            bodies.append(Fence(session, seq, watermark))
        elif kind < 0.23:
            bodies.append(ExpireSessions((sessions[1],)))
        elif kind < 0.45:
            bodies.append(_of_stages(rng, session, seq, watermark))
        elif kind < 0.6:
            bodies.append(_over_groups(rng, session, seq))
        elif kind < 0.62:
            sessions[1] = SessionId(1, len(bodies) + 1)
            bodies.append(OpenSession("r3"))
        else:
            statements = tuple(_statement(rng) for _ in range(rng.randint(1, 3)))
            guards = (Guard("slot:1", rng.randint(0, 1)),) if rng.random() < 0.3 else ()
            sets = (SetVersion("slot:1", rng.randint(0, 1)),) if rng.random() < 0.1 else ()
            bodies.append(Write(session, seq, watermark, statements, guards, sets))
    return [
        b"" if body is None else encode(body, now_us=1_000_000 * index, seed=rng.getrandbits(63))
        for index, body in enumerate(bodies)
    ]


def _of_stages(rng: random.Random, session: SessionId, seq: int, watermark: int) -> EntryBody:
    """One of the commands around one of three stages, which have one chunk each."""
    stage = rng.randint(1, 3)
    writer = StageWriter()
    rows = [(key, "staged") for key in range(stage * 10, stage * 10 + 3)]
    [chunk] = writer.add(rows) + writer.finish()
    kind = rng.random()
    if kind < 0.6:
        return Stage(session, seq, watermark, stage, 0, chunk)
    if kind < 0.7:
        return Unstage(session, stage)
    staged = writer.staged(session, stage)
    if kind < 0.8:
        staged = Staged(session, stage, 1, staged.size, b"another hash")
    statements = (_statement(rng), Statement(INSERT, staged=staged))
    guards = (Guard("slot:1", rng.randint(0, 1)),) if rng.random() < 0.3 else ()
    return Write(session, seq, watermark, statements, guards)


def _over_groups(
    rng: random.Random,
    session: SessionId,
    seq: int,
) -> EntryBody:
    """One of the commands of some transactions over groups."""
    id_ = TransactionId(rng.randint(1, 6), 1, 1)
    own = Participant("s1", session, seq)
    participants = (own, Participant("s2", session, seq))
    kind = rng.random()
    if kind < 0.4:
        staged = (Statement(INSERT, staged=StageWriter().staged(session, rng.randint(1, 3))),)
        statements = (_statement(rng), *(staged if rng.random() < 0.1 else ()))
        guards = (Guard("table:t", 1), Guard(f"slot:{rng.randint(1, 3)}", 0))
        write = Write(session, seq, 0, statements, guards)
        if rng.random() < 0.4:
            return Commit(id_, write, (), participants)
        return Prepare(id_, write, (), "s2", participants)
    if kind < 0.6:
        return Abort(id_, participants)
    if kind < 0.9:
        return TransactionOutcome(id_, rng.random() < 0.7, own)
    return End(id_)


def _statement(rng: random.Random) -> Statement:
    key = rng.randint(1, 12)
    return rng.choice(
        [
            statement(INSERT, key, "new"),
            statement("UPDATE t SET n = n + 1 WHERE id = ?1", key),
            statement("UPDATE t SET n = pg_add_int4(n, 2147483640) WHERE id = ?1", key),
            statement("DELETE FROM t WHERE id = ?1", key),
            statement("INSERT INTO t (id, name) SELECT id + 20, name FROM t"),
            statement("SELECT * FROM t ORDER BY id"),
            statement(CHANCE, key),
            statement("UPDATE r SET a = random() WHERE id IN (SELECT id FROM r ORDER BY random())"),
            statement(INSERT, None, ""),
            statement("SELECT * FROM nowhere"),
            statement("SELECT ?1", "x" * 5000),
        ]
    )


def apply_all(replica: Replica, log: list[bytes], cuts: list[int]) -> list[Answers]:
    return [answer for batch in batches(log, cuts) for answer in replica.machine.apply(batch)]


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 1 << 32),
    st.lists(st.integers(1, 70), max_size=12),
    st.integers(4, 70),
    st.floats(0, 1),
)
async def test_batches_crashes_and_repeats_leave_no_trace(
    seed: int, cuts: list[int], crash_at: int, wal_part: float
) -> None:
    log = random_log(random.Random(seed), 70)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        one_by_one = Replica(directory / "a", setup=False)
        answers = apply_all(one_by_one, log, list(range(len(log))))

        batched = Replica(directory / "b", setup=False)
        assert apply_all(batched, log, cuts) == answers

        # A crash loses the end of the write-ahead log; the Raft log is handed out again.
        crashing = Replica(directory / "c", setup=False)
        apply_all(crashing, log[:crash_at], cuts)
        wal = (directory / "c" / "data-1.db-wal").stat().st_size
        crashed_copy(directory / "c", directory / "d", int(wal * wal_part))
        await crashing.machine.close()
        restarted = Replica(directory / "d", setup=False)
        applied = restarted.machine.applied
        assert applied <= crash_at
        again = apply_all(restarted, log, cuts)
        assert again[:applied] == [()] * applied
        assert again[applied:] == answers[applied:]
        assert apply_all(restarted, log, []) == [()] * len(log)

        await restarted.reopen()
        state = content(directory / "a")
        assert state["_applied"] == [(1, len(log), 1)]
        assert content(directory / "b") == state
        assert content(directory / "d") == state
        for replica in (one_by_one, batched, restarted):
            await replica.machine.close()


async def test_memory_follows_the_file(tmp_path: Path) -> None:
    """After every entry, a replica that starts from the file answers like one that went on."""
    log = random_log(random.Random(5), 60)
    lasting, restarting = Replica(tmp_path / "a", setup=False), Replica(tmp_path / "b", setup=False)
    for entry in batches(log, list(range(len(log)))):
        assert lasting.machine.apply(entry) == restarting.machine.apply(entry)
        await restarting.reopen()
    await lasting.machine.close()
    await restarting.machine.close()
    assert content(tmp_path / "a") == content(tmp_path / "b")


async def test_replicas_draw_the_same_chance_at_other_times(tmp_path: Path) -> None:
    clocks = {1: 0, 2: 1_900_000_000_000_000}
    states = []
    for number, clock in clocks.items():
        replica = Replica(tmp_path / str(number), replica=number)
        replica.machine._clock_us = lambda clock=clock: clock  # type: ignore[misc]
        replica.write(statement(CHANCE_TABLE), sets=(SetVersion("table:r", 1),))
        if number == 2:
            replica.rows("SELECT random(), randomblob(8), datetime()")
            await replica.reopen()
        chance = [statement(CHANCE, key) for key in range(5)]
        replica.apply(replica.command(*chance), now_us=1_700_000_000_123_456, seed=99)
        replica.apply(
            replica.command(
                statement("INSERT INTO r (id) SELECT id + 10 FROM r ORDER BY random()")
            ),
            now_us=1_700_000_001_000_000,
            seed=99,
        )
        await replica.machine.close()
        states.append(content(tmp_path / str(number)))
    assert states[0] == states[1]
    rows = states[0]["r"]
    assert rows[0][3:5] == ("2023-11-14 23:13:20", "20.123")
    assert len({row[1] for row in rows[:5]}) == 5, "every statement has its own chance"


@pytest.mark.parametrize("where", ["a reader", "a long reader"])
async def test_reads_change_nothing(tmp_path: Path, where: str) -> None:
    from nodes.protocol import Read

    replica = Replica(tmp_path)
    replica.write(statement(INSERT, 1, "a"))
    before = content(tmp_path)
    read = Read((statement("SELECT random(), n FROM t"), statement("DELETE FROM t")))
    if where == "a reader":
        replica.machine.read(read)
    else:
        await replica.machine.read_long(read, 5.0)
    assert content(tmp_path) == before
    await replica.machine.close()


def busy_log(rng: random.Random, length: int) -> list[bytes]:
    """What routers with hundreds of commands in flight send: point writes out of order, copies of
    some of them, watermarks that follow; alone in their entries, or some in one."""
    sessions = [SessionId(1, 1), SessionId(1, 2)]
    bodies: list[EntryBody] = [OpenSession("r1"), OpenSession("r2")]
    table = (statement(TABLE),)
    bodies.append(Write(sessions[0], 1, 0, table, (), (SetVersion("table:t", 1),)))
    sent: list[Write] = []
    while len(bodies) < length:
        number = len(sent) + 2
        if sent and rng.random() < 0.1:
            bodies.append(rng.choice(sent[-60:]))
            continue
        watermark = max(1, number - rng.randint(1, 50)) if rng.random() < 0.8 else 1
        guards = (Guard("table:t", 1 if rng.random() < 0.95 else 2),)
        write = Write(
            rng.choice(sessions),
            number + rng.randint(0, 3) * 1000,
            watermark,
            (statement(INSERT, rng.randint(1, 400), "v"),),
            guards,
            quick=True,
        )
        sent.append(write)
        bodies.append(write)
    log: list[bytes] = []
    while bodies:
        count = 1 if len(log) < 3 else rng.choice([1, 1, 2, 5, 20])
        stamp = {"now_us": 1000 * len(log), "seed": rng.getrandbits(63)}
        log.append(encode(*bodies[:count], **stamp))
        del bodies[:count]
    return log


@pytest.mark.parametrize("seed", range(4))
async def test_splits_into_batches_leave_the_same_tables_and_checksums(
    tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    log = busy_log(rng, 800)
    splits = [list(range(len(log))), [], sorted(rng.sample(range(len(log)), 5)), [1, 2, 17, 18]]
    found = []
    for number, cuts in enumerate(splits):
        replica = Replica(tmp_path / str(number), setup=False)
        answers = apply_all(replica, log, cuts)
        assert isinstance(replica.apply(Checksum()), Done)
        sums = await roots(replica, len(log) + 1)
        found.append((answers, content(tmp_path / str(number)), sums))
        await replica.reopen()
        assert apply_all(replica, log, cuts) == [()] * len(log)
        await replica.machine.close()
    answers, tables, _ = found[0]
    kinds = {type(answer) for of_entry in answers for answer in of_entry}
    assert kinds >= {Done, Opened, SqlFailure, Stale, UnknownOutcome}, "the log tries them all"
    assert len(tables["_answers"]) > 16
    for other in found[1:]:
        assert other == found[0]
