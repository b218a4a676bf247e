"""Groups whose replicas are not where cluster.toml founded them: the router finds them."""

from __future__ import annotations

import asyncio

import pytest

from nodes.protocol import (
    Done,
    NoSuchGroup,
    NotLeader,
    Read,
    Stale,
    Statement,
    StatementResult,
    Write,
)
from shardrouter.directory import MEMBERS_EVERY_S
from shardrouter.levels import Level
from shardrouter.shards import Shards
from tests.shardrouter.scripted import advance, run, scripted

DONE = Done((StatementResult(1),), 7)
SQL = (Statement("UPDATE t SET n = n + 1 WHERE id = ?1", (1,)),)


async def write(shards: Shards) -> Done | Stale:
    deadline = asyncio.get_running_loop().time() + 10
    return await shards.write("shard-1", SQL, quick=True, deadline=deadline)


async def read(shards: Shards, consistency: Level) -> Done | Stale:
    deadline = asyncio.get_running_loop().time() + 10
    return await shards.read("shard-1", SQL, quick=True, deadline=deadline, consistency=consistency)


def test_a_hint_leads_to_a_node_that_founded_nothing() -> None:
    async def scenario() -> None:
        async with scripted(3, founders=2) as (shards, [n1, n2, n3]):
            n1.plays(NotLeader("n3"))
            n2.plays(NotLeader(None))
            n3.plays(DONE)
            assert await write(shards) == DONE
            assert await write(shards) == DONE
            assert shards.leader("shard-1") == "n3"
            assert (len(n1.of(Write)), len(n2.of(Write)), len(n3.of(Write))) == (1, 0, 2)

    run(scenario())


@pytest.mark.parametrize("founders_are", ["emptied", "gone"])
@pytest.mark.parametrize("consistency", ["linearizable", "any"])
def test_a_group_of_which_no_founder_is_left_is_found(
    founders_are: str, consistency: Level
) -> None:
    async def scenario() -> None:
        async with scripted(4, founders=2) as (shards, [n1, n2, n3, n4]):
            for founder in (n1, n2):
                founder.plays(NoSuchGroup())
                if founders_are == "gone":
                    await founder.stop()
            n3.plays(DONE if consistency == "any" else NotLeader("n4"))
            n4.plays(DONE)
            n4.leads, n4.members = {"shard-1": 5}, ("n3", "n4")
            if consistency == "linearizable":
                assert await write(shards) == DONE
            for _ in range(4):
                assert await read(shards, consistency) == DONE
            asked = len(n1.got) + len(n2.got)
            for _ in range(4):
                assert await read(shards, consistency) == DONE
            assert len(n1.got) + len(n2.got) == asked  # they are not asked any more
            if consistency == "any":
                assert min(len(n3.of(Read)), len(n4.of(Read))) >= 3

    run(scenario())


def test_a_replica_that_has_come_serves_any_reads_though_nothing_fails() -> None:
    async def scenario() -> None:
        async with scripted(3, founders=2) as (shards, [n1, n2, n3]):
            for node in (n1, n2, n3):
                node.plays(DONE)
            n1.leads, n1.members = {"shard-1": 1}, ("n1", "n2")
            assert await read(shards, "any") == DONE
            while not n1.asked_status:
                await n1.until_asked_status()
            for _ in range(6):
                assert await read(shards, "any") == DONE
            assert not n3.got
            n1.members = ("n1", "n2", "n3")
            advance(MEMBERS_EVERY_S)
            while not n3.got:
                assert await read(shards, "any") == DONE

    run(scenario())


def test_a_leader_of_an_older_term_does_not_say_who_the_members_are() -> None:
    """It was cut off, and the group has moved on without it."""

    async def scenario() -> None:
        async with scripted(4, founders=1) as (shards, [n1, n2, n3, n4]):
            n1.plays(NoSuchGroup())
            n2.plays(DONE)
            n3.plays(DONE)
            n3.leads, n3.members = {"shard-1": 5}, ("n2", "n3")
            n4.plays(NotLeader(None))
            n4.leads, n4.members = {"shard-1": 4}, ("n1", "n4")
            assert await read(shards, "any") == DONE
            for node in (n3, n4):
                if not node.asked_status:
                    await node.until_asked_status()
            assert await read(shards, "linearizable") == DONE
            asked = len(n1.got)
            for _ in range(6):
                assert await read(shards, "any") == DONE
            assert len(n1.got) == asked
            assert shards.leader("shard-1") == "n3"

    run(scenario())
