"""Reads of consistency `any`: which replica is asked, and what a router does without an answer."""

from __future__ import annotations

import asyncio

import pytest

from nodes import client
from nodes.protocol import (
    Busy,
    Done,
    NoSuchGroup,
    NotLeader,
    Read,
    SqlFailure,
    Stale,
    Statement,
    StatementResult,
)
from shardrouter.contacts import KNOCK_EVERY_S, OVERDUE_S, WATCH_S
from shardrouter.errors import DeadlineExceeded, StatementError
from shardrouter.shards import Shards
from tests.shardrouter.scripted import Cut, Hold, Reply, ScriptedNode, advance, run, scripted

DONE = Done((StatementResult(1),), 7)
SQL = (Statement("SELECT n FROM t WHERE id = ?1", (1,)),)


async def read(shards: Shards, timeout_s: float = 10.0) -> Done | Stale:
    deadline = asyncio.get_running_loop().time() + timeout_s
    return await shards.read("shard-1", SQL, quick=True, deadline=deadline, consistency="any")


def counts(nodes: list[ScriptedNode]) -> list[int]:
    return [len(node.of(Read)) for node in nodes]


def test_replicas_take_turns_and_are_told_that_no_leader_is_needed() -> None:
    async def scenario() -> None:
        async with scripted(3) as (shards, nodes):
            for node in nodes:
                node.plays(DONE)
            for _ in range(6):
                assert await read(shards) == DONE
            assert counts(nodes) == [2, 2, 2]
            assert {body.consistency for node in nodes for body in node.of(Read)} == {"any"}
            assert shards.leader("shard-1") == "n1"  # an answer is no sign of a leader

    run(scenario())


@pytest.mark.parametrize(
    "reply", [NotLeader(None), Busy("full"), NoSuchGroup(), Stale("table:t", 1, 2), Cut]
)
def test_what_one_replica_cannot_answer_is_asked_of_the_next(reply: Reply) -> None:
    async def scenario() -> None:
        async with scripted(2) as (shards, [n1, n2]):
            n1.plays(reply)
            n2.plays(DONE)
            assert await read(shards) == DONE
            assert counts([n1, n2]) == [1, 1]

    run(scenario())


def test_a_state_ahead_of_the_plan_and_an_sql_error_are_answers() -> None:
    async def scenario() -> None:
        async with scripted(2) as (shards, [n1, n2]):
            n1.plays(Stale("table:t", 3, 2))
            n2.plays(SqlFailure("22012", "division by zero"))
            assert await read(shards) == Stale("table:t", 3, 2)
            with pytest.raises(StatementError):
                await read(shards)
            assert counts([n1, n2]) == [1, 1]

    run(scenario())


def test_replicas_that_are_behind_are_asked_again_until_the_time_is_over() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            behind = Stale("table:t", 1, 2)
            n1.plays(behind, behind, DONE)
            assert await read(shards) == DONE
            n1.plays(behind)
            work = asyncio.create_task(read(shards))
            await n1.until_got(4)
            advance(10.0)
            with pytest.raises(DeadlineExceeded) as caught:
                await work
            assert "n1 is behind: it has table:t at version 1, not 2" in caught.value.detail

    run(scenario())


def test_a_node_that_cannot_be_reached_is_passed_over_until_it_is_back() -> None:
    async def scenario() -> None:
        async with scripted(2) as (shards, [n1, n2]):
            n1.plays(DONE)
            n2.plays(DONE)
            await n1.stop()
            for _ in range(5):
                assert await read(shards) == DONE
            assert counts([n1, n2]) == [0, 5]
            await n1.restart()
            for _ in range(2):  # a knock from before it was back may be under way
                advance(KNOCK_EVERY_S)
                assert await read(shards) == DONE  # knocks
                await shards.statuses(5.0)  # so the answer to the knock has arrived
            before = counts([n1, n2])
            for _ in range(4):
                assert await read(shards) == DONE
            assert counts([n1, n2]) == [before[0] + 2, before[1] + 2]

    run(scenario())


def test_a_silent_node_is_not_waited_for_and_suspect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SILENT_AFTER_S", 1e9)  # its connection is not given up

    async def scenario() -> None:
        async with scripted(2) as (shards, [n1, n2]):
            n1.plays(DONE)
            n2.plays(DONE)
            for _ in range(2):
                assert await read(shards) == DONE
            n1.is_silent = True
            work = asyncio.create_task(read(shards))
            await n1.until_got(2)
            while not work.done():
                advance(max(OVERDUE_S, WATCH_S))
                await asyncio.wait({work}, timeout=WATCH_S)
            assert await work == DONE
            for _ in range(3):
                assert await read(shards) == DONE
            assert counts([n1, n2]) == [2, 5]

    run(scenario())


def test_a_slow_answer_of_a_node_that_is_heard_is_waited_for() -> None:
    """A long scan is not to be run on every replica."""

    async def scenario() -> None:
        async with scripted(2) as (shards, [n1, n2]):
            n1.plays(Hold)
            n2.plays(DONE)
            work = asyncio.create_task(read(shards))
            await n1.until_got(1)
            for _ in range(3):
                advance(OVERDUE_S)
                await n1.until_asked_status()  # it is knocked at, and answers
                await shards.statuses(5.0)
            n1.held[0](DONE)
            assert await work == DONE
            assert counts([n1, n2]) == [1, 0]

    run(scenario())


def test_closing_the_router_ends_what_waits() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(Hold)
            work = asyncio.create_task(read(shards))
            await n1.until_got(1)
            await shards.close()
            with pytest.raises(DeadlineExceeded) as caught:
                await work
            assert "the router was closed" in caught.value.detail

    run(scenario())
