"""Reads of consistency `session`: what they ask replicas for, and what a router does when none of
them has it."""

from __future__ import annotations

import asyncio

from nodes.protocol import AtLeast, Behind, Done, Read, Stale, StatementResult, Write
from shardrouter.session_token import SessionToken
from shardrouter.shards import Shards
from tests.shardrouter.scripted import run, scripted
from tests.shardrouter.test_any_replica import DONE, SQL, counts, play


async def read_in_session(shards: Shards) -> Done | Stale:
    deadline = asyncio.get_running_loop().time() + 10
    return await shards.read("shard-1", SQL, quick=True, deadline=deadline, consistency="session")


def test_a_session_asks_for_no_less_than_its_reads_and_writes_have_seen() -> None:
    async def scenario() -> None:
        async with scripted(1) as (all_shards, [n1]):
            token = SessionToken()
            shards = all_shards.of_session(token)
            n1.plays(Done((StatementResult(1),), 7, 1), Done((StatementResult(1),), 9), DONE)
            await read_in_session(shards)
            assert str(token) == "shard-1=1:7"
            deadline = asyncio.get_running_loop().time() + 10
            await shards.write("shard-1", SQL, quick=True, deadline=deadline)
            of_write = n1.of(Write)[0].session.incarnation
            assert str(token) == f"shard-1={of_write}:9"
            await read_in_session(shards)
            asked = [body.consistency for body in n1.of(Read)]
            assert asked == [AtLeast(0, 0), AtLeast(of_write, 9)]
            assert str(token) == f"shard-1={of_write}:9", "an older state adds nothing"

    run(scenario())


def test_what_no_replica_has_yet_is_asked_of_the_leader() -> None:
    """One that has is asked before: only a session that knows another incarnation of the group, or
    more than there is, comes to that."""

    async def scenario() -> None:
        async with scripted(2) as (all_shards, nodes):
            shards = all_shards.of_session(SessionToken())
            play(nodes, Behind(1, 3), DONE)
            assert await read_in_session(shards) == DONE
            assert counts(nodes) == [1, 1]
            play(nodes, Behind(1, 3), Behind(1, 4), DONE)
            assert await read_in_session(shards) == DONE
            asked = [body.consistency for node in nodes for body in node.of(Read)]
            assert asked.count("linearizable") == 1
            assert len(asked) == 5

    run(scenario())
