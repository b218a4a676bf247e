"""Commands applied at most once, whatever the network does with their copies (DESIGN section 8)."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nodes.protocol import (
    OPEN_SEQS_MAX,
    STORED_ANSWER_BYTES_MAX,
    Aborted,
    AnswerNotKept,
    Busy,
    Done,
    EntryBody,
    ExpireSessions,
    Fence,
    Guard,
    Opened,
    OpenSession,
    ResponseBody,
    SessionId,
    SetVersion,
    SqlFailure,
    Stale,
    UnknownOutcome,
    UnknownSession,
    Write,
)
from nodes.sessions import SESSIONS_MAX, Sessions
from tests.nodes.replica import INSERT, Replica, committed, content, statement


@pytest.fixture
async def replica(tmp_path: Path) -> AsyncIterator[Replica]:
    replica = Replica(tmp_path)
    yield replica
    await replica.machine.close()


def insert(replica: Replica, seq: int, watermark: int = 0, key: int | None = None) -> Write:
    key = seq if key is None else key
    return Write(replica.session, seq, watermark, (statement(INSERT, key, "a"),))


# --------------------------------------------------------------------------- single rules


async def test_a_repeat_gets_the_first_answer_also_after_a_restart(replica: Replica) -> None:
    command = insert(replica, 10)
    first = replica.apply(command)
    assert isinstance(first, Done)
    assert replica.apply(command) == first
    await replica.reopen()
    assert replica.apply(command) == first
    assert len(replica.rows()) == 1


def test_commands_may_come_in_any_order(replica: Replica) -> None:
    """A counter of the highest seq would take 11 for a repeat."""
    for seq in (12, 10, 11):
        assert isinstance(replica.apply(insert(replica, seq)), Done)
    assert [row[0] for row in replica.rows()] == [10, 11, 12]


def test_a_delayed_duplicate_below_the_watermark_is_not_applied(replica: Replica) -> None:
    old = insert(replica, 10)
    replica.apply(old)
    replica.write(statement("DELETE FROM t"))
    assert isinstance(replica.apply(insert(replica, 11, watermark=10)), Done)
    assert isinstance(replica.apply(old), UnknownOutcome)
    assert [row[0] for row in replica.rows()] == [11]


def test_the_watermark_never_goes_back(replica: Replica) -> None:
    replica.apply(insert(replica, 10))
    replica.apply(insert(replica, 12, watermark=10))
    replica.apply(insert(replica, 13, watermark=5))
    assert isinstance(replica.apply(insert(replica, 10)), UnknownOutcome)
    assert isinstance(replica.apply(insert(replica, 9)), UnknownOutcome)


def test_a_watermark_over_the_command_itself_is_not_believed(replica: Replica) -> None:
    command = insert(replica, 10, watermark=10)
    first = replica.apply(command)
    assert replica.apply(command) == first


@pytest.mark.parametrize(
    "session", [SessionId(1, 999), SessionId(2, 1), SessionId(0, 1), SessionId(1, 2)]
)
def test_an_unknown_session_is_refused_and_never_made(replica: Replica, session: SessionId) -> None:
    for _ in range(2):
        write = Write(session, 1, 0, (statement(INSERT, 1, "a"),))
        assert isinstance(replica.apply(write), UnknownSession)
        assert isinstance(replica.apply(Fence(session, 1, 0)), UnknownSession)
    assert replica.rows() == []


async def test_a_fence_before_the_command_aborts_it(replica: Replica) -> None:
    assert isinstance(replica.apply(Fence(replica.session, 10, 0)), Aborted)
    assert isinstance(replica.apply(insert(replica, 10)), Aborted)
    assert isinstance(replica.apply(Fence(replica.session, 10, 0)), Aborted)
    await replica.reopen()
    assert isinstance(replica.apply(insert(replica, 10)), Aborted)
    assert replica.rows() == []


def test_a_fence_after_the_command_tells_its_answer(replica: Replica) -> None:
    done = replica.apply(insert(replica, 10))
    assert replica.apply(Fence(replica.session, 10, 0)) == done
    failure = replica.apply(insert(replica, 11, key=10))
    assert isinstance(failure, SqlFailure)
    assert replica.apply(Fence(replica.session, 11, 0)) == failure


def test_a_fence_below_the_watermark_knows_nothing(replica: Replica) -> None:
    replica.apply(insert(replica, 11, watermark=10))
    assert isinstance(replica.apply(Fence(replica.session, 10, 0)), UnknownOutcome)


async def test_a_large_answer_is_remembered_as_committed(replica: Replica) -> None:
    rows = statement("SELECT ?1", "x" * STORED_ANSWER_BYTES_MAX)
    command = Write(replica.session, 10, 0, (statement(INSERT, 1, "a"), rows))
    assert isinstance(replica.apply(command), Done)
    assert isinstance(replica.apply(command), AnswerNotKept)
    await replica.reopen()
    assert isinstance(replica.apply(command), AnswerNotKept)
    assert isinstance(replica.apply(Fence(replica.session, 10, 0)), AnswerNotKept)
    assert len(replica.rows()) == 1


def test_open_commands_are_limited(replica: Replica) -> None:
    first = 10
    for seq in range(first, first + OPEN_SEQS_MAX - 1):  # with the one that made the table
        assert isinstance(replica.apply(Fence(replica.session, seq, 0)), Aborted)
    late = first + OPEN_SEQS_MAX
    assert isinstance(replica.apply(insert(replica, late)), Busy)
    assert isinstance(replica.apply(Fence(replica.session, late, 0)), Busy)
    assert isinstance(replica.apply(Fence(replica.session, first, 0)), Aborted)
    assert replica.rows() == []
    assert isinstance(replica.apply(insert(replica, late, watermark=first)), Done)


def kept_rows(replica: Replica) -> list[int]:
    """The entries whose answers are in the data file."""
    return [entry for entry, _ in content(replica.directory)["_answers"]]


async def test_answers_leave_the_file_when_no_session_needs_anything_of_their_entry(
    replica: Replica,
) -> None:
    other = replica.apply(OpenSession("r2"))
    assert isinstance(other, Opened)

    def theirs(seq: int, watermark: int) -> Write:
        return Write(other.session, seq, watermark, (statement(INSERT, 100 + seq, "b"),))

    replica.apply(insert(replica, 9, watermark=8))  # nothing of before
    first = replica.machine.applied
    assert kept_rows(replica) == [first]
    replica.together(insert(replica, 11), theirs(1, 0), insert(replica, 10))
    replica.together(theirs(2, 0), insert(replica, 12, watermark=10))
    assert kept_rows(replica) == [first + 1, first + 2]  # 11 is open
    replica.together(insert(replica, 13, watermark=12))
    assert kept_rows(replica) == [first + 1, first + 2, first + 3]  # the other one needs them
    await replica.reopen()
    replica.apply(theirs(3, 1))
    assert kept_rows(replica) == [first + 2, first + 3, first + 4]
    assert isinstance(replica.apply(theirs(2, 0)), Done)
    replica.apply(ExpireSessions((other.session,)))
    assert kept_rows(replica) == [first + 3]
    await replica.reopen()
    assert isinstance(replica.apply(insert(replica, 13, watermark=12)), Done)
    assert isinstance(replica.apply(insert(replica, 12)), UnknownOutcome)


async def test_expired_sessions_are_unknown(replica: Replica) -> None:
    other = replica.apply(OpenSession("r2"))
    assert isinstance(other, Opened)
    replica.apply(insert(replica, 10))
    assert isinstance(replica.apply(ExpireSessions((replica.session, SessionId(1, 77)))), Done)
    assert isinstance(replica.apply(insert(replica, 10)), UnknownSession)
    await replica.reopen()
    assert isinstance(replica.apply(insert(replica, 10)), UnknownSession)
    assert len(replica.rows()) == 1
    assert isinstance(replica.apply(Write(other.session, 1, 0, ())), Done)


def test_a_session_opened_and_expired_in_one_batch_leaves_nothing(replica: Replica) -> None:
    from tests.nodes.replica import encode

    index = replica.machine.applied + 1
    session = SessionId(1, index)
    bodies: list[EntryBody] = [
        OpenSession("r2"),
        Write(session, 1, 0, (statement(INSERT, 1, "a"),)),
        ExpireSessions((session,)),
        Write(session, 2, 0, (statement(INSERT, 2, "a"),)),
    ]
    answers = replica.machine.apply(
        [committed(index + n, encode(body)) for n, body in enumerate(bodies)]
    )
    assert [type(answer) for (answer,) in answers] == [Opened, Done, Done, UnknownSession]
    assert [row[0] for row in replica.rows()] == [1]


def test_idle_sessions_are_those_no_later_entry_used(replica: Replica) -> None:
    machine = replica.machine
    opened = replica.apply(OpenSession("r2"))
    assert isinstance(opened, Opened)
    mark = machine.applied
    assert machine.idle(mark) == ExpireSessions((replica.session, opened.session))
    replica.write(statement(INSERT, 1, "a"))
    assert machine.idle(mark) == ExpireSessions((opened.session,))
    assert machine.idle(1) is None


async def test_a_restart_counts_as_a_use(replica: Replica) -> None:
    """What is proposed from it may be late, never early."""
    mark = replica.machine.applied
    replica.machine.apply([committed(mark + 1, b"")])
    await replica.reopen()
    assert replica.machine.idle(mark) is None


def test_sessions_are_limited() -> None:
    sessions = Sessions(1)
    for index in range(1, SESSIONS_MAX + 1):
        assert isinstance(sessions.open(index, "r"), Opened)
    assert isinstance(sessions.open(SESSIONS_MAX + 1, "r"), Busy)
    assert len(sessions) == SESSIONS_MAX


# --------------------------------------------------------------------------- all together


@dataclass
class Router:
    """Sends commands over a network that loses, repeats and reorders; keeps what it was told."""

    session: SessionId
    number: int
    next_seq: int = 1
    open: dict[int, Write] = field(default_factory=dict)
    told: dict[int, ResponseBody] = field(default_factory=dict)

    def watermark(self) -> int:
        return min(self.open, default=self.next_seq) - 1

    def command(self, rng: random.Random, version: int) -> Write:
        seq = self.next_seq
        self.next_seq += 1
        # One row per command counts how often it was applied; some fail, some have a guard.
        key = self.number * 1000 + seq
        count = statement(
            "INSERT INTO t (id, n) VALUES (?1, 1) ON CONFLICT (id) DO UPDATE SET n = n + 1", key
        )
        fails = (statement(INSERT, None, ""),) if rng.random() < 0.2 else ()
        guards = (Guard("slot:1", version),) if rng.random() < 0.4 else ()
        write = Write(self.session, seq, self.watermark(), (count, *fails), guards)
        self.open[seq] = write
        return write

    def hear(self, body: Write | Fence, answer: ResponseBody) -> None:
        if isinstance(answer, Done | SqlFailure | Aborted | AnswerNotKept):
            earlier = self.told.setdefault(body.seq, answer)
            assert earlier == answer, f"{body} was answered {earlier} and {answer}"
            self.open.pop(body.seq, None)
        elif isinstance(answer, UnknownOutcome):
            assert body.seq in self.told, "only a router that knows may be told so"
        else:
            assert isinstance(answer, Stale)


@pytest.mark.parametrize("seed", range(12))
async def test_random_networks_against_what_routers_were_told(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    replica = Replica(tmp_path)
    routers = []
    for number in (1, 2):
        opened = replica.apply(OpenSession(f"r{number}"))
        assert isinstance(opened, Opened)
        routers.append(Router(opened.session, number))
    network: list[tuple[Router, Write | Fence]] = []
    version = 0
    for step in range(400):
        router = rng.choice(routers)
        choice = rng.random()
        if choice < 0.3 and len(router.open) < 10 and step < 300:
            network.append((router, router.command(rng, version)))
        elif choice < 0.45 and router.open:
            network.append((router, router.open[rng.choice(list(router.open))]))
        elif choice < 0.5 and router.open:
            seq = rng.choice(list(router.open))
            network.append((router, Fence(router.session, seq, router.watermark())))
        elif choice < 0.55:
            version = rng.randint(0, 2)
            replica.write(sets=(SetVersion("slot:1", version),))
        elif choice < 0.57:
            await replica.reopen()
        elif network:
            arrived = [rng.choice(network)]
            if isinstance(arrived[0][1], Write):  # copies of it and others share an entry
                writes = [copy for copy in network if isinstance(copy[1], Write)]
                arrived += rng.choices(writes, k=rng.choice([0, 0, 1, 3]))
            answers = replica.together(*[body for _, body in arrived])
            for (receiver, body), answer in zip(arrived, answers, strict=True):
                if rng.random() < 0.6 and (receiver, body) in network:  # else the copy stays
                    network.remove((receiver, body))
                if rng.random() < 0.6:
                    receiver.hear(body, answer)
    # Heal: the fences make everything definite, then the last copies arrive.
    for router in routers:
        for seq in list(router.open):
            fence = Fence(router.session, seq, router.watermark())
            router.hear(fence, replica.apply(fence))
        assert not router.open
    rng.shuffle(network)
    for router, body in network:
        router.hear(body, replica.apply(body))

    counts = {key: n for key, _, n in replica.rows()}
    assert set(counts.values()) <= {1}, "applied twice"
    for router in routers:
        for seq in range(1, router.next_seq):
            was_applied = router.number * 1000 + seq in counts
            assert was_applied == isinstance(router.told[seq], Done), (router.number, seq)
    assert len(counts) > 20
    assert any(isinstance(told, Aborted) for router in routers for told in router.told.values())
    await replica.machine.close()


def test_a_watermark_that_leaps_forgets_the_same_as_one_that_walks() -> None:
    """Steps are taken one by one, leaps by looking at what is kept."""
    for seqs in ([2, 3, 5, 8, 9], [2, 9], [9]):
        walking, leaping = Sessions(1), Sessions(1)
        for sessions in (walking, leaping):
            sessions.open(1, "r")
            for seq in seqs:
                sessions.record(SessionId(1, 1), seq, 0, Aborted(), 2)
        for watermark in range(1, 9):
            walking.record(SessionId(1, 1), 10, watermark, Aborted(), 3)
        leaping.record(SessionId(1, 1), 10, 8, Aborted(), 3)
        for seq in range(1, 11):
            forgot_by_steps, forgot_at_once = (
                sessions.recall(SessionId(1, 1), seq, 8) for sessions in (walking, leaping)
            )
            assert forgot_by_steps == forgot_at_once
            assert isinstance(forgot_at_once, UnknownOutcome) == (seq <= 8)
