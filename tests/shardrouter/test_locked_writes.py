"""Writes that meet what a transaction over several shards has prepared: they go on after it."""

from __future__ import annotations

import asyncio

import pytest

from nodes.protocol import (
    Aborted,
    Done,
    Fence,
    Locked,
    OpenSession,
    RequestBody,
    Stale,
    Statement,
    StatementResult,
    TransactionId,
    Write,
)
from shardrouter.errors import RouterError
from shardrouter.shards import Shards
from tests.shardrouter.scripted import Cut, Reply, advance, run, scripted

SQL = (Statement("UPDATE t SET n = 1 WHERE id = ?1", (1,)),)
DONE = Done((StatementResult(1),), 7)
LOCKED = Locked(TransactionId(1, 2, 3))


async def write(shards: Shards, timeout_s: float = 10.0) -> Done | Stale:
    deadline = asyncio.get_running_loop().time() + timeout_s
    return await shards.write("shard-1", SQL, quick=True, deadline=deadline)


@pytest.mark.parametrize(
    ("replies", "seqs"),
    [
        ([LOCKED, LOCKED, DONE], [1, 2, 3]),  # each is the only copy that there ever was
        ([Cut, LOCKED, LOCKED, DONE], [1, 1, 1, 1]),  # the first may be applied yet
    ],
)
def test_it_is_sent_again_until_it_is_let_in(replies: list[Reply], seqs: list[int]) -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(*replies)
            assert await write(shards) == DONE
            writes = n1.of(Write)
            assert [each.seq for each in writes] == seqs
            assert writes[-1].watermark == seqs[-1] - 1

    run(scenario())


@pytest.mark.parametrize(("first", "fences"), [(LOCKED, 0), (Cut, 1)])
def test_when_its_time_is_over_it_is_known_not_to_have_happened(first: Reply, fences: int) -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            first_copies = [first]

            def script(_group: str, body: RequestBody) -> Reply:
                if isinstance(body, OpenSession):
                    return n1.open_session()
                if isinstance(body, Fence):
                    return Aborted()
                return first_copies.pop() if first_copies else LOCKED

            n1.script = script
            writing = asyncio.ensure_future(write(shards))
            while len(n1.of(Write)) < 3:
                n1.arrived.clear()
                await n1.arrived.wait()
            advance(9.0)
            with pytest.raises(RouterError) as caught:
                await writing
            assert (caught.value.sqlstate, caught.value.definite) == ("55P03", True)
            assert len(n1.of(Fence)) == fences

    run(scenario())


@pytest.mark.parametrize(("first", "fences"), [(LOCKED, 0), (Cut, 1)])
def test_lock_timeout_ends_the_wait_and_no_other(first: Reply, fences: int) -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            first_copies = [first]

            def script(_group: str, body: RequestBody) -> Reply:
                if isinstance(body, OpenSession):
                    return n1.open_session()
                if isinstance(body, Fence):
                    return Aborted()
                return first_copies.pop() if first_copies else LOCKED

            n1.script = script
            shards.bound_locks(100.0)
            writing = asyncio.ensure_future(write(shards, 1000.0))
            while len(n1.of(Write)) < 3:
                n1.arrived.clear()
                await n1.arrived.wait()
            advance(50.0)
            sent = len(n1.of(Write))
            while len(n1.of(Write)) < sent + 1:
                n1.arrived.clear()
                await n1.arrived.wait()
            assert not writing.done()
            advance(60.0)
            with pytest.raises(RouterError) as caught:
                await writing
            assert (caught.value.sqlstate, caught.value.definite) == ("55P03", True)
            assert len(n1.of(Fence)) == fences

    run(scenario())
