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
    RequestBody,
    SqlFailure,
    Stale,
    Statement,
    StatementResult,
)
from shardrouter import directory, retry_budget
from shardrouter.breaker import PAUSE_S_MAX, PAUSE_S_MIN
from shardrouter.contacts import KNOCK_EVERY_S, OVERDUE_S, WATCH_S
from shardrouter.errors import DeadlineExceeded, OutcomeUnknown, StatementError
from shardrouter.replica_choice import NEAREST, Choice
from shardrouter.shards import Shards
from tests.shardrouter.scripted import Cut, Hold, Reply, ScriptedNode, advance, run, scripted

DONE = Done((StatementResult(1),), 7)
SQL = (Statement("SELECT n FROM t WHERE id = ?1", (1,)),)


async def read(shards: Shards, timeout_s: float = 10.0, choice: Choice = NEAREST) -> Done | Stale:
    deadline = asyncio.get_running_loop().time() + timeout_s
    return await shards.read(
        "shard-1", SQL, quick=True, deadline=deadline, consistency="any", choice=choice
    )


def counts(nodes: list[ScriptedNode]) -> list[int]:
    return [len(node.of(Read)) for node in nodes]


def play(nodes: list[ScriptedNode], *replies: Reply) -> None:
    """Whichever node is asked gives the next of these; the last one stands for all further."""
    pending = list(replies)

    def script(_group: str, _body: RequestBody) -> Reply:
        return pending.pop(0) if len(pending) > 1 else pending[0]

    for node in nodes:
        node.script = script


def test_replicas_share_the_reads_and_are_told_that_no_leader_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(directory, "MEMBERS_EVERY_S", 1e9)  # how far they are stays unknown

    async def scenario() -> None:
        async with scripted(3) as (shards, nodes):
            play(nodes, DONE)
            for _ in range(30):
                assert await read(shards) == DONE
            assert sum(counts(nodes)) == 30
            assert min(counts(nodes)) > 0
            assert {body.consistency for node in nodes for body in node.of(Read)} == {"any"}
            assert shards.leader("shard-1") == "n1"  # an answer is no sign of a leader

    run(scenario())


def test_the_nearest_replica_is_asked_also_when_another_becomes_it() -> None:
    far_s = 0.05

    async def scenario() -> None:
        async with scripted(3) as (shards, nodes):
            play(nodes, DONE)
            await shards.statuses(5.0)  # connects
            for near in (nodes[1], nodes[2]):
                for node in nodes:
                    node.answers_after_s = 0.0 if node is near else far_s
                for _ in range(30):  # until all reads of a second go there
                    advance(directory.MEMBERS_EVERY_S)
                    before = counts(nodes)
                    for _ in range(12):
                        assert await read(shards) == DONE
                    for node in nodes:
                        await node.until_answered()
                    new = [now - then for now, then in zip(counts(nodes), before, strict=True)]
                    if new[nodes.index(near)] == sum(new):
                        break
                else:
                    pytest.fail(f"the reads did not go to {near.name}: {counts(nodes)}")

    run(scenario())


@pytest.mark.parametrize(
    "reply", [NotLeader(None), Busy("full"), NoSuchGroup(), Stale("table:t", 1, 2), Cut]
)
def test_what_one_replica_cannot_answer_is_asked_of_the_next(reply: Reply) -> None:
    async def scenario() -> None:
        async with scripted(2) as (shards, nodes):
            play(nodes, reply, DONE)
            assert await read(shards) == DONE
            assert counts(nodes) == [1, 1]

    run(scenario())


def test_a_state_ahead_of_the_plan_and_an_sql_error_are_answers() -> None:
    async def scenario() -> None:
        async with scripted(2) as (shards, nodes):
            play(nodes, Stale("table:t", 3, 2), SqlFailure("22012", "division by zero"))
            assert await read(shards) == Stale("table:t", 3, 2)
            with pytest.raises(StatementError):
                await read(shards)
            assert sum(counts(nodes)) == 2

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
            await n2.stop()
            while not counts([n1])[0]:  # a knock from before it was back may be under way
                advance(KNOCK_EVERY_S)
                assert await read(shards) == DONE

    run(scenario())


def test_a_silent_node_is_not_waited_for_and_suspect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SILENT_AFTER_S", 1e9)  # its connection is not given up

    async def scenario() -> None:
        async with scripted(2) as (shards, [n1, n2]):
            play([n1, n2], DONE)
            n1.is_silent = True
            while not counts([n1])[0]:
                work = asyncio.create_task(read(shards))
                while not work.done():
                    advance(max(OVERDUE_S, WATCH_S))
                    await asyncio.wait({work}, timeout=WATCH_S)
                assert await work == DONE
            before = counts([n2])[0]
            for _ in range(8):
                assert await read(shards) == DONE
            assert counts([n1, n2]) == [1, before + 8]

    run(scenario())


def test_all_that_silent_nodes_owe_is_answered_by_the_one_that_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on the small side of a cut: two of three fall silent, with more reads under way than
    there are tokens for retries, and a budget that writes have spent."""
    monkeypatch.setattr(client, "SILENT_AFTER_S", 1e9)
    monkeypatch.setattr(retry_budget, "TOKENS_MAX", 0.5)
    monkeypatch.setattr(retry_budget, "TRICKLE_PER_S", 0.0)
    monkeypatch.setattr(retry_budget, "RATIO", 0.0)

    async def scenario() -> None:
        async with scripted(3) as (shards, nodes):
            play(nodes, DONE)
            await shards.statuses(5.0)  # connects
            n1, n2, n3 = nodes
            in_turn = Choice("round_robin")
            n1.is_silent = n2.is_silent = True
            works = [asyncio.create_task(read(shards, 60.0, in_turn)) for _ in range(60)]
            await asyncio.gather(*(node.until_got(20) for node in nodes))  # 60 in turn
            owed = counts([n1, n2])
            assert min(owed) > 5
            while not all(work.done() for work in works):
                advance(WATCH_S)
                await asyncio.wait(works, timeout=WATCH_S / 10)
            assert {type(work.result()) for work in works} == {Done}
            assert counts([n1, n2]) == owed, "neither was asked again in the other's place"
            assert counts([n3]) == [60]

    run(scenario())


def test_a_time_that_ran_out_is_no_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that a silent node owes ends at its deadline: reads go on passing it over."""
    monkeypatch.setattr(client, "SILENT_AFTER_S", 1e9)

    async def scenario() -> None:
        async with scripted(2) as (shards, [n1, n2]):
            play([n1, n2], DONE)
            await shards.statuses(5.0)
            n2.plays(NotLeader("n1"))

            async def write(timeout_s: float) -> object:
                deadline = asyncio.get_running_loop().time() + timeout_s
                return await shards.write("shard-1", SQL, quick=True, deadline=deadline)

            n1.plays(DONE)
            assert await write(10.0) == DONE
            n1.is_silent = True
            work = asyncio.create_task(write(1.0))
            while not work.done():
                advance(WATCH_S)
                await asyncio.wait({work}, timeout=WATCH_S / 10)
            assert isinstance(work.exception(), OutcomeUnknown)
            n2.plays(DONE)
            before = counts([n1])
            for _ in range(8):
                assert await read(shards, choice=Choice("round_robin")) == DONE
            assert counts([n1]) == before

    run(scenario())


def test_a_slow_answer_of_a_node_that_is_heard_is_waited_for() -> None:
    """A long scan is not to be run on every replica."""

    async def scenario() -> None:
        async with scripted(2) as (shards, nodes):
            play(nodes, Hold, DONE)
            work = asyncio.create_task(read(shards))
            while not (holding := [node for node in nodes if node.held]):
                await shards.statuses(5.0)
            for _ in range(3):
                advance(OVERDUE_S)
                await holding[0].until_asked_status()  # it is knocked at, and answers
                await shards.statuses(5.0)
            holding[0].held[0](DONE)
            assert await work == DONE
            assert sum(counts(nodes)) == 1

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


def test_a_replica_that_keeps_failing_is_not_asked_until_a_trial_succeeds() -> None:
    behind = Stale("table:t", 1, 2)
    in_turn = Choice("round_robin")

    async def scenario() -> None:
        async with scripted(2) as (shards, [n1, n2]):
            n1.plays(behind)
            n2.plays(DONE)

            async def reads(count: int) -> list[int]:
                before = counts([n1, n2])
                for _ in range(count):
                    assert await read(shards, choice=in_turn) == DONE
                return [now - then for now, then in zip(counts([n1, n2]), before, strict=True)]

            assert await reads(10) == [5, 10]  # every second one was asked twice
            assert await reads(10) == [0, 10]  # its breaker is open
            await shards.statuses(5.0)
            advance(directory.MEMBERS_EVERY_S)  # the next read makes the router ask both
            asked = n2.asked_status
            await reads(1)
            while n2.asked_status == asked:
                await shards.statuses(5.0)
            while n2.last_asked is None or not n2.last_asked.router:
                await n2.until_asked_status()
            assert n2.last_asked is not None
            [avoided] = n2.last_asked.avoided
            assert (avoided.group, avoided.node) == ("shard-1", "n1")
            assert "n1 is behind" in avoided.reason
            advance(PAUSE_S_MIN)
            assert sum(await reads(6)) in (6, 7)  # one trial more at most
            n1.plays(DONE)
            advance(PAUSE_S_MAX)
            assert await reads(10) == [5, 5]

    run(scenario())


def test_a_node_that_is_about_to_stop_is_asked_for_nothing_new() -> None:
    async def scenario() -> None:
        async with scripted(2) as (shards, nodes):
            n1, n2 = nodes
            await shards.statuses(5.0)  # connects
            play(nodes, DONE)
            n1.draining = True
            assert await read(shards) == DONE  # it makes the router ask both for their status
            await shards.statuses(5.0)
            before = counts(nodes)[0]
            for _ in range(10):
                assert await read(shards, choice=Choice("round_robin")) == DONE
            assert counts(nodes)[0] == before
            await n2.stop()
            assert await read(shards) == DONE  # rather than nobody

    run(scenario())
