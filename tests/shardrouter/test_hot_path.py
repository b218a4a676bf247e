"""The way of a prepared statement through a router: what it costs, and how it ends when a leader
is lost, its time is over or its client has had enough, while it is under way."""

from __future__ import annotations

import asyncio
import gc

import pytest

from bench.hot_path import SQL, Bench, MemoryLoop, served
from nodes.protocol import Aborted, Done, Fence, Read, StatementResult, Write
from shardrouter.errors import OutcomeUnknown, RouterError
from shardrouter.session import Session
from shardrouter.shards import Shards
from tests.shardrouter.on_the_way import Heard, sent, session_on
from tests.shardrouter.scripted import Cut, Hold, Reply, advance, run, scripted

CALLS_MAX = {"select": 32, "insert": 42, "update": 42}
"""Calls of Python functions for a statement, from its bytes to those of its answer; CPU follows
them. Of these the wire has about 15."""

ROW = Done((StatementResult(1, b"", (("a",),)),), 1)
WRITTEN = Done((StatementResult(1),), 1)


def test_a_prepared_statement_makes_few_calls() -> None:
    async def measure() -> dict[str, float]:
        async with served(clients=16) as (router, _):
            return {kind: await router.calls(kind, turns=3) for kind in SQL}

    with asyncio.Runner(loop_factory=MemoryLoop) as runner:
        calls = runner.run(measure())
    assert all(calls[kind] <= most for kind, most in CALLS_MAX.items()), calls


@pytest.mark.parametrize("kind", SQL)
def test_an_ended_statement_leaves_nothing_to_the_collector(kind: str) -> None:
    """What refers to itself lives until the collector comes, which walks all that lives. What a
    statement leaves it leaves each time; threads of other tests leave something now and then."""

    async def left(router: Bench) -> int:
        gc.collect()
        for key in range(50):
            await router.turn(kind, key, lambda: None, lambda: None)
        return gc.collect()

    async def measure() -> int:
        async with served(clients=4) as (router, _):
            await router.calls(kind, turns=2)
            gc.disable()
            try:
                return min([await left(router) for _ in range(3)])
            finally:
                gc.enable()

    with asyncio.Runner(loop_factory=MemoryLoop) as runner:
        assert runner.run(measure()) < 50


async def begun(shards: Shards, kind: str) -> tuple[Session, Heard]:
    """A statement that was prepared, on its way."""
    session = session_on(shards)
    return session, await sent(session, kind)


@pytest.mark.parametrize(
    ("kind", "answer"), [("select", ROW), ("insert", WRITTEN), ("update", WRITTEN)]
)
def test_a_leader_lost_under_way_is_asked_again_for_the_same(kind: str, answer: Done) -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(Cut, answer)
            _, heard = await begun(shards, kind)
            outcome = await heard.outcome()
            assert outcome.row_count == 1
            if kind != "select":
                first, second = n1.of(Write)
                assert (first.session, first.seq) == (second.session, second.seq)

    run(scenario())


def test_a_read_cancelled_under_way_ends_at_once_and_once() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(Hold, ROW)
            session, heard = await begun(shards, "select")
            await n1.until_got(1)
            session.cancel()
            assert (await heard.error()).sqlstate == "57014"
            n1.held.pop()(ROW)
            _, another = await begun(shards, "select")
            assert (await another.outcome()).row_count == 1, "behind the late answer"
            assert len(heard.results) == 1

    run(scenario())


@pytest.mark.parametrize("kind", ["insert", "update"])
@pytest.mark.parametrize(
    ("fence", "told"), [(WRITTEN, ""), (Aborted(), "57014"), (Hold, "08007")], ids=str
)
def test_a_write_cancelled_under_way_is_what_its_fence_says(
    kind: str, fence: Reply, told: str
) -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(Hold, fence)
            session, heard = await begun(shards, kind)
            await n1.until_got(2)  # the session, the write
            session.cancel()
            await n1.until_got(3)
            advance(2.0)
            result = await heard.result()
            assert (result.sqlstate if isinstance(result, RouterError) else "") == told
            [write], [asked] = n1.of(Write), n1.of(Fence)
            assert (write.session, write.seq) == (asked.session, asked.seq)

    run(scenario())


def test_a_read_whose_time_is_over_under_way_ends_definitely() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(Hold)
            _, heard = await begun(shards, "select")
            await n1.until_got(1)
            assert n1.of(Read)
            advance(11.0)  # statement_timeout is 10 s
            error = await heard.error()
            assert (error.sqlstate, error.definite) == ("57014", True)

    run(scenario())


@pytest.mark.parametrize(
    ("fence", "told"), [(Aborted(), "57014"), (Hold, "08007")], ids=["fenced", "unknown"]
)
def test_a_write_whose_time_is_over_under_way_is_what_its_fence_says(
    fence: Reply, told: str
) -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(Hold, fence)
            _, heard = await begun(shards, "insert")
            await n1.until_got(2)
            advance(9.5)  # of ten seconds: the rest is for the fence
            await n1.until_got(3)
            advance(1.0)
            error = await heard.error()
            assert (error.sqlstate, isinstance(error, OutcomeUnknown)) == (told, told == "08007")

    run(scenario())
