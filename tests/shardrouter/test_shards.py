"""What becomes of reads and writes when nodes redirect, refuse, fall silent and forget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from nodes import client
from nodes.protocol import (
    ENTRY_BYTES_MAX,
    OPEN_SEQS_MAX,
    Aborted,
    AnswerNotKept,
    Busy,
    Done,
    Fence,
    NoSuchGroup,
    NotLeader,
    OpenSession,
    Read,
    RequestBody,
    SqlFailure,
    Stage,
    Staged,
    Stale,
    Statement,
    StatementResult,
    UnknownOutcome,
    UnknownSession,
    Unstage,
    Write,
)
from nodes.stage_content import check_content, rows_of
from shardrouter.contacts import KNOCK_EVERY_S, OVERDUE_S, WATCH_S
from shardrouter.errors import (
    DeadlineExceeded,
    NotSupported,
    OutcomeUnknown,
    RouterError,
    StatementError,
    Unavailable,
)
from shardrouter.lanes import WAITING_MAX
from shardrouter.shards import Outcome, Shards
from shardrouter.upload import Upload
from shardrouter.verdicts import sql_error
from tests.shardrouter.scripted import Cut, Hold, Reply, ScriptedNode, advance, run, scripted

DONE = Done((StatementResult(1),), 7)
STALE = Stale("table:t", 2, 1)
SQL = (Statement("UPDATE t SET n = n + 1 WHERE id = ?1", (1,)),)
DUPLICATE = SqlFailure("23505", "duplicate key", 0)


async def write(shards: Shards, timeout_s: float = 10.0) -> Done | Stale:
    deadline = asyncio.get_running_loop().time() + timeout_s
    return await shards.write("shard-1", SQL, quick=True, deadline=deadline)


async def read(shards: Shards, timeout_s: float = 10.0) -> Done | Stale:
    deadline = asyncio.get_running_loop().time() + timeout_s
    return await shards.read("shard-1", SQL, quick=True, deadline=deadline)


async def failed(work: object) -> RouterError:
    with pytest.raises(RouterError) as caught:
        await work  # type: ignore[misc]  # any awaitable
    return caught.value


# --------------------------------------------------------------------------- who answers


def test_a_write_opens_a_session_once_and_counts_its_seqs() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(DONE)
            assert await asyncio.gather(*(write(shards) for _ in range(3))) == [DONE] * 3
            assert await write(shards) == DONE
            assert len(n1.of(OpenSession)) == 1
            assert [w.seq for w in n1.of(Write)] == [1, 2, 3, 4]
            assert [w.watermark for w in n1.of(Write)] == [0, 0, 0, 3]

    run(scenario())


def test_a_redirect_is_followed_and_remembered() -> None:
    async def scenario() -> None:
        async with scripted(3) as (shards, [n1, n2, n3]):
            n1.plays(NotLeader("n3"))
            n2.plays(NotLeader(None))
            n3.plays(DONE)
            assert await read(shards) == DONE
            assert await read(shards) == DONE
            assert shards.leader("shard-1") == "n3"
            assert (len(n1.got), len(n2.got), len(n3.got)) == (1, 0, 2)

    run(scenario())


def test_two_nodes_that_name_each_other_are_asked_once_per_round() -> None:
    async def scenario() -> None:
        async with scripted(3) as (shards, [n1, n2, n3]):
            n1.plays(NotLeader("n2"))
            n2.plays(NotLeader("n1"))
            n3.plays(NotLeader(None), DONE)
            assert await read(shards) == DONE
            assert len(n1.got) <= 2
            assert len(n2.got) <= 2

    run(scenario())


def test_a_busy_leader_is_asked_again_and_nobody_else() -> None:
    async def scenario() -> None:
        async with scripted(2) as (shards, [n1, n2]):
            n1.plays(Busy("full"), Busy("full"), DONE)
            n2.plays(NotLeader("n1"))
            assert await read(shards) == DONE
            assert (len(n1.got), len(n2.got)) == (3, 0)

    run(scenario())


def test_a_node_without_the_group_or_out_of_reach_is_passed_over() -> None:
    async def scenario() -> None:
        async with scripted(3) as (shards, [n1, n2, n3]):
            await n1.stop()
            n2.plays(NoSuchGroup())
            n3.plays(DONE)
            assert await read(shards) == DONE

    run(scenario())


# --------------------------------------------------------------------------- a silent leader


@pytest.mark.parametrize("late", [DONE, NotLeader("n2"), STALE])
def test_what_a_silent_leader_owes_is_asked_of_the_new_one(late: Done | NotLeader | Stale) -> None:
    """Not after 1.5 s, when its connection is given up, but as soon as there is a new leader;
    what the old one then says comes too late."""

    async def scenario() -> None:
        async with scripted(3) as (shards, [n1, n2, n3]):
            n1.plays(Hold)
            n2.plays(DONE)
            n3.plays(NotLeader("n1"))
            work = asyncio.create_task(write(shards))
            await n1.until_got(2)
            n2.leads["shard-1"] = 5
            advance(OVERDUE_S)
            assert await work == DONE
            assert n2.of(Write) == n1.of(Write)
            n1.held[0](late)
            await shards.statuses(5.0)  # n1's comes after what it held
            assert await write(shards) == DONE
            assert shards.leader("shard-1") == "n2"

    run(scenario())


def test_the_new_leader_may_be_one_that_was_unreachable_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A leader that was cut off and is back, say: while another one served, nothing was sent
    that way, and nobody noticed."""
    monkeypatch.setattr(client, "SILENT_AFTER_S", 1e9)  # its connection is not given up

    async def scenario() -> None:
        async with scripted(3) as (shards, [n1, n2, n3]):
            n1.plays(Hold)
            n2.plays(DONE)
            n3.plays(NotLeader("n1"))
            shards._delivery._directory.contacts["n2"].suspect = True
            work = asyncio.create_task(write(shards))
            await n1.until_got(2)
            n2.leads["shard-1"] = 5
            advance(OVERDUE_S)
            assert await work == DONE
            assert n2.of(Write) == n1.of(Write)

    run(scenario())


@pytest.mark.parametrize("late", [NotLeader(None), Busy("full"), Cut])
def test_what_becomes_of_an_older_copy_sends_no_more_of_them(late: Reply) -> None:
    async def scenario() -> None:
        async with scripted(3) as (shards, [n1, n2, n3]):
            n1.plays(Hold)
            n2.plays(Hold)
            n3.plays(NotLeader("n2"))
            work = asyncio.create_task(write(shards))
            await n1.until_got(2)
            n2.leads["shard-1"] = 5
            advance(OVERDUE_S)
            await n2.until_got(1)
            if isinstance(late, type):
                await n1.stop()
            else:
                n1.held[0](late)
            await shards.statuses(5.0)
            assert (len(n1.of(Write)), len(n2.of(Write)), len(n3.got)) == (1, 1, 0)
            n2.held[0](DONE)
            assert await work == DONE

    run(scenario())


def test_a_refusal_by_the_new_leader_leaves_the_copy_at_the_silent_one_in_doubt() -> None:
    async def scenario() -> None:
        async with scripted(2) as (shards, [n1, n2]):
            n1.plays(Hold)
            n2.plays(STALE, Aborted())
            work = asyncio.create_task(write(shards))
            await n1.until_got(2)
            n2.leads["shard-1"] = 5
            advance(OVERDUE_S)
            assert await work == STALE
            assert len(n2.of(Fence)) == 1

    run(scenario())


def test_a_deposed_leader_that_still_believes_is_not_followed() -> None:
    async def scenario() -> None:
        async with scripted(2) as (shards, [n1, n2]):
            n1.plays(Hold)
            n2.plays(Hold)
            n2.leads["shard-1"] = 5
            work = asyncio.create_task(read(shards))
            await n1.until_got(1)
            advance(OVERDUE_S)
            await n2.until_got(1)
            n1.leads["shard-1"] = 4
            advance(OVERDUE_S)
            await n1.until_asked_status()
            await shards.statuses(5.0)  # so the answer to the router's question has arrived
            n2.held[0](DONE)
            assert await work == DONE
            assert len(n1.got) == 1
            assert shards.leader("shard-1") == "n2"

    run(scenario())


# --------------------------------------------------------------------------- at a follower


def test_a_follower_answers_while_the_leader_that_it_names_cannot_be_reached() -> None:
    async def scenario() -> None:
        async with scripted(2) as (shards, [n1, n2]):
            n1.plays(DONE)
            n2.follows("n1", DONE)
            assert await read(shards) == DONE
            await n1.stop()
            for _ in range(3):
                assert await read(shards) == DONE
            assert [body.at_follower for body in n2.of(Read)] == [False, True] * 3
            assert shards.leader("shard-1") != "n2"  # its answers make it no leader
            await n1.restart()
            for _ in range(2):  # a knock from before it was back may be under way
                advance(KNOCK_EVERY_S)
                assert await read(shards) == DONE
                await shards.statuses(5.0)  # so the answer to the knock has arrived
            before = len(n1.of(Read)), len(n2.of(Read))
            assert await read(shards) == DONE
            assert (len(n1.of(Read)), len(n2.of(Read))) == (before[0] + 1, before[1])

    run(scenario())


def test_a_leader_that_can_be_reached_is_preferred_to_the_follower_that_names_it() -> None:
    async def scenario() -> None:
        async with scripted(2) as (shards, [n1, n2]):
            n1.follows("n2", DONE)
            n2.plays(DONE)
            assert await read(shards) == DONE
            assert [body.at_follower for body in n1.of(Read)] == [False]
            assert shards.leader("shard-1") == "n2"

    run(scenario())


def test_reads_of_a_silent_leader_are_asked_of_a_follower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SILENT_AFTER_S", 1e9)  # its connection is not given up

    async def scenario() -> None:
        async with scripted(2) as (shards, [n1, n2]):
            n1.plays(DONE)
            n2.follows("n1", DONE)
            assert await read(shards) == DONE
            n1.is_silent = True
            work = asyncio.create_task(read(shards))
            await n1.until_got(2)
            while not work.done():
                advance(OVERDUE_S)
                await asyncio.wait({work}, timeout=WATCH_S)
            assert await work == DONE

    run(scenario())


# --------------------------------------------------------------------------- the same command again


@pytest.mark.parametrize("lost", [Cut, UnknownOutcome("no longer leader")])
def test_a_command_that_may_have_arrived_is_repeated_as_the_same_command(lost: Reply) -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(lost, lost, DONE)
            assert await write(shards) == DONE
            first, *copies = n1.of(Write)
            assert copies == [first, first]

    run(scenario())


def test_an_sql_error_of_the_only_copy_is_final() -> None:
    async def scenario() -> None:
        async with scripted(2) as (shards, [n1, n2]):
            n1.plays(NotLeader("n2"))  # this copy has ended: it leaves no doubt
            n2.plays(SqlFailure("23505", "duplicate key", 1, "Key (id)=(1)"))
            error = await failed(write(shards))
            assert isinstance(error, StatementError)
            assert (error.sqlstate, error.statement, error.definite) == ("23505", 1, True)
            assert error.detail == "Key (id)=(1)"
            assert n2.of(Fence) == []

    run(scenario())


def test_stale_of_the_only_copy_is_final_and_the_next_write_has_another_seq() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(STALE, DONE)
            assert await write(shards) == STALE
            assert await write(shards) == DONE
            assert [w.seq for w in n1.of(Write)] == [1, 2]
            assert n1.of(Fence) == []

    run(scenario())


@pytest.mark.parametrize("lost", [Cut, UnknownOutcome("no longer leader")], ids=["cut", "deposed"])
@pytest.mark.parametrize("refusal", [STALE, DUPLICATE], ids=["stale", "sql"])
@pytest.mark.parametrize("fence", [DONE, Aborted(), DUPLICATE, UnknownSession(), AnswerNotKept()])
def test_a_refusal_after_a_lost_copy_is_settled_by_a_fence(
    lost: Reply,
    refusal: Stale | SqlFailure,
    fence: Done | Aborted | SqlFailure | UnknownSession | AnswerNotKept,
) -> None:
    """The lost copy may have applied before the refusing state came to be."""

    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(lost, refusal, fence)
            match fence:
                case Done():
                    assert await write(shards) == DONE
                case Aborted() if refusal is STALE:
                    assert await write(shards) == STALE
                case Aborted() | SqlFailure():
                    assert (await failed(write(shards))).sqlstate == "23505"
                case _:
                    error = await failed(write(shards))
                    assert isinstance(error, OutcomeUnknown)
                    assert error.definite is False
            [fenced] = n1.of(Fence)
            assert (fenced.session, fenced.seq) == (n1.of(Write)[0].session, 1)
            assert fenced.watermark == 0

    run(scenario())


# --------------------------------------------------------------------------- sessions that end


def test_a_command_refused_with_its_session_goes_out_under_a_new_one() -> None:
    """Commands of unknown sessions are never applied, and this was the only copy."""

    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(DONE, UnknownSession(), DONE)
            assert await write(shards) == DONE
            assert await write(shards) == DONE
            assert [(w.session.index, w.seq) for w in n1.of(Write)] == [(1, 1), (1, 2), (2, 1)]

    run(scenario())


def test_a_lost_copy_under_a_session_that_expired_is_of_unknown_outcome() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(Cut, UnknownSession())
            error = await failed(write(shards))
            assert isinstance(error, OutcomeUnknown)
            assert error.sqlstate == "08007"
            assert len(n1.of(Write)) == 2

    run(scenario())


def test_many_commands_of_an_expired_session_open_one_new_session() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):

            def script(_group: str, body: RequestBody) -> Reply:
                if isinstance(body, OpenSession):
                    return n1.open_session()
                assert isinstance(body, Write)
                return UnknownSession() if body.session.index == 1 else DONE

            n1.script = script
            assert await asyncio.gather(*(write(shards) for _ in range(20))) == [DONE] * 20
            assert len(n1.of(OpenSession)) == 2

    run(scenario())


def test_a_lost_answer_to_open_session_costs_another_session_and_no_error() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            opens: list[Reply] = [Cut, UnknownOutcome("new term")]

            def script(_group: str, body: RequestBody) -> Reply:
                if isinstance(body, OpenSession):
                    session = n1.open_session()
                    return opens.pop(0) if opens else session
                return DONE

            n1.script = script
            assert await write(shards) == DONE
            assert [w.session.index for w in n1.of(Write)] == [3]

    run(scenario())


def test_an_answer_that_was_not_kept_is_not_a_failure_to_repeat() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(Cut, AnswerNotKept())
            error = await failed(write(shards))
            assert isinstance(error, OutcomeUnknown)
            assert "committed" in error.detail

    run(scenario())


# --------------------------------------------------------------------------- time


async def until_time_is_over(
    work: asyncio.Task[Done | Stale], node: ScriptedNode, got: int, step_s: float
) -> None:
    await node.until_got(got)
    advance(step_s)
    await asyncio.wait({work})


def test_a_write_that_never_left_exceeds_its_deadline_definitely() -> None:
    async def scenario() -> None:
        async with scripted(2) as (shards, [n1, n2]):
            n1.plays(NotLeader(None))
            n2.plays(NotLeader(None))

            def refuse_all(_group: str, body: RequestBody) -> Reply:
                return NotLeader(None)

            n1.script = n2.script = refuse_all
            work = asyncio.create_task(write(shards))
            await until_time_is_over(work, n2, 2, 10.0)
            error = await failed(work)
            assert isinstance(error, DeadlineExceeded)
            assert error.definite
            assert "shard-1" in error.detail
            assert n1.of(Write) == []

    run(scenario())


@pytest.mark.parametrize(("fence", "sqlstate"), [(DONE, ""), (Aborted(), "57014"), (Hold, "08007")])
def test_a_write_without_an_answer_is_fenced_inside_its_deadline(
    fence: Reply, sqlstate: str
) -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(Hold, fence)
            work = asyncio.create_task(write(shards, 10.0))
            await n1.until_got(2)  # the session, the write
            advance(9.0)  # the last second is kept for the fence
            await n1.until_got(3)
            assert len(n1.of(Fence)) == 1
            if fence is Hold:
                advance(1.0)
            if sqlstate:
                error = await failed(work)
                assert error.sqlstate == sqlstate
                assert error.definite == (sqlstate == "57014")
            else:
                assert await work == DONE

    run(scenario())


def test_a_copy_is_never_sent_after_its_fence() -> None:
    """It would be refused, but its refusal must not be taken for the outcome."""

    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(Hold, Cut, Aborted())
            work = asyncio.create_task(write(shards, 10.0))
            await n1.until_got(2)
            advance(9.0)
            assert (await failed(work)).sqlstate == "57014"
            assert [type(body) for body in n1.got[-2:]] == [Fence, Fence]
            assert len(n1.of(Write)) == 1

    run(scenario())


def test_a_read_past_its_deadline_is_definite() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(Hold)
            work = asyncio.create_task(read(shards))
            await until_time_is_over(work, n1, 1, 10.0)
            error = await failed(work)
            assert isinstance(error, DeadlineExceeded)
            assert len(n1.of(Read)) == 1

    run(scenario())


def test_a_deadline_that_is_over_already_sends_nothing() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(DONE)
            assert isinstance(await failed(write(shards, 0.0)), DeadlineExceeded)
            assert isinstance(await failed(read(shards, 0.0)), DeadlineExceeded)
            assert n1.got == []

    run(scenario())


# --------------------------------------------------------------------------- limits and ends


def test_more_open_seqs_than_allowed_wait_and_more_than_that_are_refused() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(DONE)
            assert await write(shards) == DONE
            n1.plays(Hold)
            work = [
                asyncio.create_task(write(shards)) for _ in range(OPEN_SEQS_MAX + WAITING_MAX + 1)
            ]
            error = await failed(work[-1])
            assert isinstance(error, Unavailable)
            assert error.sqlstate == "53300"
            await n1.until_got(2 + OPEN_SEQS_MAX)
            assert max(w.seq - w.watermark for w in n1.of(Write)) == OPEN_SEQS_MAX
            n1.plays(DONE)
            for answer in n1.held:
                answer(DONE)
            assert await asyncio.gather(*work[:-1]) == [DONE] * (OPEN_SEQS_MAX + WAITING_MAX)
            assert max(w.seq - w.watermark for w in n1.of(Write)) <= OPEN_SEQS_MAX

    run(scenario())


def test_what_no_entry_can_hold_is_refused_before_it_leaves() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(DONE)
            large = (Statement("INSERT INTO t VALUES (?1)", ("x" * (ENTRY_BYTES_MAX + 1),)),)
            deadline = asyncio.get_running_loop().time() + 10
            error = await failed(shards.write("shard-1", large, deadline=deadline))
            assert error.sqlstate == "54000"
            assert n1.got == []

    run(scenario())


def test_the_kind_of_error_follows_the_sqlstate() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(SqlFailure("0A000", "no"), SqlFailure("57014", "too long"))
            assert isinstance(await failed(read(shards)), NotSupported)
            assert isinstance(await failed(read(shards)), DeadlineExceeded)

    run(scenario())


def test_closing_ends_everything_with_its_honest_outcome() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(Hold)
            sent = asyncio.create_task(write(shards))
            await n1.until_got(2)
            reading = asyncio.create_task(read(shards))
            await n1.until_got(3)
            await shards.close()
            assert (await failed(sent)).sqlstate == "08007"
            assert (await failed(reading)).definite
            assert (await failed(write(shards))).sqlstate == "57P01"
            assert (await failed(read(shards))).definite

    run(scenario())


def test_a_writer_that_stops_waiting_does_not_stop_the_write() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(Hold, DONE)
            work = asyncio.create_task(write(shards))
            await n1.until_got(2)
            work.cancel()
            await asyncio.wait({work})
            n1.held[0](DONE)
            assert await write(shards) == DONE
            assert [w.watermark for w in n1.of(Write)] in ([0, 0], [0, 1])

    run(scenario())


@pytest.mark.parametrize(
    ("sqlstate", "message", "about"),
    [
        (
            "23505",
            'duplicate key value violates unique constraint "t_pkey"',
            ("public", "", "", "t_pkey"),
        ),
        (
            "23502",
            'null value in column "c" of relation "t" violates not-null constraint',
            ("public", "t", "c", ""),
        ),
        (
            "23514",
            'new row for relation "t" violates check constraint "positive"',
            ("public", "t", "", "positive"),
        ),
        ("22003", 'value "constraint "x""', ("", "", "", "")),
    ],
)
def test_an_error_names_what_it_is_about(
    sqlstate: str, message: str, about: tuple[str, str, str, str]
) -> None:
    error = sql_error(SqlFailure(sqlstate, message, 0))
    assert (error.schema, error.table, error.column, error.constraint) == about


# ------------------------------------------------------------------------------ cancelling


def submit(shards: Shards) -> tuple[Callable[[], None], asyncio.Future[Outcome]]:
    """What cancels the write, and its outcome."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Outcome] = loop.create_future()
    cancel = shards.submit_write("shard-1", SQL, (), (), True, loop.time() + 10, outcome.set_result)
    return cancel, outcome


def test_a_write_cancelled_before_it_left_has_not_happened() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(DONE)
            cancel, outcome = submit(shards)  # it waits for a session
            cancel()
            cancel()
            error = await outcome
            assert isinstance(error, DeadlineExceeded)
            assert error.message == "canceling statement due to user request"
            assert await write(shards) == DONE
            assert len(n1.of(Write)) == 1, "of the other"

    run(scenario())


@pytest.mark.parametrize(
    ("fence", "kind"),
    [(DONE, Done), (Aborted(), DeadlineExceeded), (DUPLICATE, StatementError)],
)
def test_a_write_cancelled_after_it_left_is_settled_by_a_fence(
    fence: Reply, kind: type[object]
) -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(Hold, fence, DONE)
            cancel, outcome = submit(shards)
            await n1.until_got(2)  # the session, the write
            cancel()
            cancel()
            assert isinstance(await outcome, kind)
            n1.held[0](STALE)  # the write's own answer, too late to count
            assert await write(shards) == DONE
            assert len(n1.of(Fence)) == 1
            cancel()
            assert len(n1.of(Fence)) == 1

    run(scenario())


def test_the_answer_of_a_cancelled_write_may_come_before_its_fence_s() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(Hold, Hold, DONE)
            cancel, outcome = submit(shards)
            await n1.until_got(2)
            cancel()
            await n1.until_got(3)
            n1.held[0](DONE)
            assert await outcome == DONE
            n1.held[1](DONE)
            assert await write(shards) == DONE

    run(scenario())


def test_a_cancelled_write_of_which_nothing_is_learnt_has_an_unknown_outcome() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(Hold)
            cancel, outcome = submit(shards)
            await n1.until_got(2)
            cancel()
            await n1.until_got(3)
            n1.held[0](DUPLICATE)  # says nothing of a copy that may be under way
            advance(1.5)  # of the ten seconds of its deadline
            assert isinstance(await outcome, OutcomeUnknown)

    run(scenario())


def test_a_task_that_is_cancelled_while_it_writes_hears_what_became_of_the_write() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(Hold, Aborted())
            task = asyncio.ensure_future(write(shards))
            await n1.until_got(2)
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            error = await failed(task)
            assert error.message == "canceling statement due to user request"

    run(scenario())


# --------------------------------------------------------------------------- rows sent ahead

ROWS = [(n, "x" * 1000) for n in range(1000)]


async def upload(shards: Shards) -> Staged | None:
    sending = Upload(shards, "shard-1", 10.0)
    for start in range(0, len(ROWS), 100):
        await sending.room()
        sending.add(ROWS[start : start + 100])
    try:
        return await sending.finish()
    finally:
        sending.abandon()


def test_rows_are_sent_in_chunks_of_one_stage_and_named() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(DONE)
            for number in (1, 2):
                staged = await upload(shards)
                pieces = [piece for piece in n1.of(Stage) if piece.stage == number]
                assert [piece.chunk for piece in pieces] == [0, 1]
                assert staged is not None
                check_content(staged, [piece.data for piece in pieces])
                rows = rows_of(piece.data for piece in pieces)
                assert [row for frame in rows for row in frame] == ROWS
            await asyncio.sleep(0)
            await write(shards)  # what was sent before it has arrived
            assert [each.stage for each in n1.of(Unstage)] == [1, 2]

    run(scenario())


def test_rows_sent_under_a_forgotten_session_begin_again_under_another() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(UnknownSession(), UnknownSession(), DONE)
            staged = await upload(shards)
            assert staged is not None
            assert staged.session == n1.of(Stage)[-1].session != n1.of(Stage)[0].session

    run(scenario())


def test_rows_that_were_kept_for_a_forgotten_session_are_lost_and_nothing_is_written() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(DONE, UnknownSession(), DONE)
            error = await failed(upload(shards))
            assert error.sqlstate == "57P05"
            assert error.definite

    run(scenario())


def test_a_chunk_of_which_nothing_is_known_leaves_no_doubt() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(UnknownOutcome("it lost its office"), UnknownSession())
            error = await failed(upload(shards))
            assert isinstance(error, Unavailable)
            assert error.definite

    run(scenario())
