"""Statements of a block that need no task, and how each ends while it is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from nodes.protocol import (
    Done,
    NotOpen,
    Speculate,
    Speculated,
    SqlFailure,
    Stale,
    StatementResult,
    Write,
)
from shardrouter.errors import RouterError
from shardrouter.session import Session
from shardrouter.shards import Shards
from shardrouter.tasks import Tasks
from tests.shardrouter.on_the_way import sent, session_on
from tests.shardrouter.scripted import Cut, Hold, Reply, ScriptedNode, advance, run, scripted

ONE = Speculated(result=StatementResult(1), index=1, incarnation=1)
ROW = Speculated(result=StatementResult(1, b"", (("a",),)), index=1, incarnation=1)
REFUSED = Speculated(failure=SqlFailure("23505", "there is one"), index=1, incarnation=1)
DONE = Done((), 2, 1)


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Those that were started for statements."""
    started: list[object] = []
    start = Tasks.start

    def count(self: Tasks, work: Any) -> Any:
        started.append(work)
        return start(self, work)

    monkeypatch.setattr(Tasks, "start", count)
    return started


async def begun(shards: Shards) -> Session:
    session = session_on(shards)
    assert (await (await sent(session, "BEGIN")).outcome()).tag == "BEGIN"
    assert session.status == "T"
    return session


async def tag_of(session: Session, statement: str) -> str:
    return (await (await sent(session, statement)).outcome()).tag


def test_a_block_takes_no_task(tasks: list[object]) -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(ONE, ROW, ONE, DONE)
            session = await begun(shards)
            said = [await tag_of(session, kind) for kind in ("update", "select", "insert")]
            assert said == ["UPDATE 1", "SELECT 1", "INSERT 0 1"]
            assert await tag_of(session, "COMMIT") == "COMMIT"
            assert session.status == "I"
            [write] = n1.of(Write)
            assert len(write.transaction.steps) == 3
            assert all(step.digest for step in write.transaction.steps)

    run(scenario())
    assert not tasks


def test_one_that_has_only_read_or_is_rolled_back_is_not_sent(tasks: list[object]) -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(ROW, ONE)
            session = await begun(shards)
            await tag_of(session, "select")
            assert await tag_of(session, "COMMIT") == "COMMIT"
            await tag_of(session, "BEGIN")
            await tag_of(session, "update")
            assert await tag_of(session, "ROLLBACK") == "ROLLBACK"
            assert session.status == "I"
            assert not n1.of(Write)

    run(scenario())
    assert not tasks


def test_a_failure_is_a_step_and_the_end_of_what_is_not_rolled_back() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(ONE, REFUSED, ONE, DONE)
            session = await begun(shards)
            await tag_of(session, "SAVEPOINT s")
            await tag_of(session, "update")
            failed = await sent(session, "insert")
            assert (await failed.error()).sqlstate == "23505"
            assert session.status == "E"
            with pytest.raises(RouterError) as caught:
                await sent(session, "select")
            assert caught.value.sqlstate == "25P02"
            await tag_of(session, "ROLLBACK TO s")
            await tag_of(session, "update")
            assert await tag_of(session, "COMMIT") == "COMMIT"
            [write] = n1.of(Write)
            kinds = [type(step).__name__ for step in write.transaction.steps]
            assert kinds == ["Mark", "Ran", "Ran", "Mark", "Ran"]

    run(scenario())


def test_who_has_lost_the_steps_is_sent_them_once_more(tasks: list[object]) -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(ONE, NotOpen(), ONE)
            session = await begun(shards)
            assert await tag_of(session, "update") == "UPDATE 1"
            assert await tag_of(session, "update") == "UPDATE 1"
            _, first, second = n1.of(Speculate)
            assert len(second.transaction.steps) == len(first.transaction.steps) == 2

    run(scenario())
    assert not tasks


def test_a_leader_that_is_lost_is_asked_again() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(Cut, ONE)
            session = await begun(shards)
            assert await tag_of(session, "update") == "UPDATE 1"
            first, second = n1.of(Speculate)
            assert first == second

    run(scenario())


@pytest.mark.parametrize("end", [Session.cancel, lambda _session: advance(11.0)])
def test_what_ends_early_ends_once_and_leaves_no_step(end: Callable[[Session], None]) -> None:
    """A late answer is no step of what is gone back to."""

    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(ONE, Hold, ONE, DONE)
            session = await begun(shards)
            await tag_of(session, "SAVEPOINT s")
            await tag_of(session, "update")
            cancelled = await sent(session, "update")
            await n1.until_got(2)
            end(session)
            assert (await cancelled.error()).sqlstate == "57014"
            assert session.status == "E"
            await tag_of(session, "ROLLBACK TO s")
            n1.held.pop()(ONE)
            assert await tag_of(session, "update") == "UPDATE 1", "behind the late answer"
            assert len(cancelled.results) == 1
            assert await tag_of(session, "COMMIT") == "COMMIT"
            [write] = n1.of(Write)
            kinds = [type(step).__name__ for step in write.transaction.steps]
            assert kinds == ["Mark", "Ran", "Mark", "Ran"]

    run(scenario())


def test_statements_take_turns_however_they_go() -> None:
    """Of which the second has to wait for the first: then it takes a task, and its turn."""

    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(Hold, ONE)
            session = await begun(shards)
            first = await sent(session, "update")
            second = await sent(session, "insert")
            await n1.until_got(1)
            for _ in range(5):
                await asyncio.sleep(0)
            assert len(n1.of(Speculate)) == 1
            n1.held.pop()(ONE)
            assert (await first.outcome()).tag == "UPDATE 1"
            assert (await second.outcome()).tag == "INSERT 0 1"

    run(scenario())


@pytest.mark.parametrize(
    ("answers", "sqlstate"),
    [
        ((SqlFailure("40001", "others were faster"),), "40001"),
        ((Stale("table:bench", 7, 1),), "40001"),
        ((Hold,), "08007"),
    ],
)
def test_a_commit_that_fails(answers: tuple[Reply, ...], sqlstate: str) -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(ONE, *answers)
            session = await begun(shards)
            await tag_of(session, "update")
            commit = await sent(session, "COMMIT")
            await _until_written(n1)
            advance(11.0 if Hold in answers else 0.0)
            error = await commit.error()
            assert isinstance(error, RouterError)
            assert error.sqlstate == sqlstate
            assert session.status == "I"

    run(scenario())


async def _until_written(node: ScriptedNode) -> None:
    while not node.of(Write):
        node.arrived.clear()
        await node.arrived.wait()
