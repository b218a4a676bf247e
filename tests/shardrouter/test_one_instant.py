"""Reads of several shards at one instant, as a router asks for it: what it does when a leader does
not pin, does not confirm, or loses what it had pinned."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from nodes import gates
from nodes.cursors import Cursors
from nodes.metrics import exposition, read_exposition
from nodes.protocol import (
    EVERY_SLOT,
    CloseCursor,
    CloseGate,
    ConfirmGate,
    Done,
    Guard,
    NotPinned,
    OpenGate,
    Pinned,
    Read,
    RequestBody,
    SqlFailure,
    Stale,
    Statement,
    StatementResult,
)
from shardrouter import Router
from shardrouter import instants as module
from shardrouter.asking import ReadsAtOneInstant
from shardrouter.exceptions import SerializationError
from shardrouter.execution import Command
from shardrouter.instants import Instant, NoInstant, guards_of
from shardrouter.replica_choice import NEAREST
from shardrouter.shards import Shards
from tests.shardrouter.cluster import one_node
from tests.shardrouter.scripted import Reply, ScriptedNode, run, scripted

TABLE = Guard("table:t", 1)
GUARDS = {"meta": (TABLE,), "shard-1": (TABLE,)}
ROWS = Done((StatementResult(1, values=((1,),)),), 1)


class Leader:
    """What the node that leads both groups answers; `pins` and `word` by group."""

    def __init__(self, node: ScriptedNode) -> None:
        self.node = node
        self.pins: dict[str, Reply] = {"meta": Pinned(7, "n1"), "shard-1": Pinned(8, "n1")}
        self.word: dict[str, Reply] = {"meta": Done((), 0), "shard-1": Done((), 0)}
        self.rows: Reply = ROWS
        node.leads = {"meta": 1, "shard-1": 1}
        node.script = self.script

    def script(self, group: str, body: RequestBody) -> Reply:
        match body:
            case CloseGate():
                return self.pins[group]
            case ConfirmGate():
                return self.word[group]
            case Read():
                return self.rows
        return Done((), 0)

    def told(self) -> list[str]:
        """The kinds of what it got, but reads."""
        return [type(body).__name__ for body in self.node.got if not isinstance(body, Read)]


def command(group: str, *guards: Guard) -> Command:
    return Command(group, Statement("SELECT 1"), guards)


async def read(shards: Shards, instant: Instant, group: str, *, keeps: bool = False) -> Any:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    deadline = asyncio.get_running_loop().time() + 5
    shards.submit_pinned(instant, command(group, TABLE), deadline, future.set_result, keeps=keeps)
    return await future


def test_all_pin_then_all_confirm_then_they_are_read() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [node]):
            leader = Leader(node)
            instant = await shards.pinned(GUARDS, asyncio.get_running_loop().time() + 5)
            assert await instant.holds()
            assert leader.told() == ["CloseGate"] * 2 + ["ConfirmGate"] * 2
            [one, other] = node.of(CloseGate)
            assert one == other
            assert one.guards == (TABLE,)
            assert await read(shards, instant, "meta", keeps=True) == ROWS
            assert await read(shards, instant, "meta") == ROWS
            reads = [(each.pin, each.keeps_pin) for each in node.of(Read) if each.pin]
            assert reads == [(7, True), (7, False)]
            instant.close()
            await node.until_got(len(node.got) + 1)
            assert node.of(CloseCursor) == [CloseCursor(8)], "the other ended with its last read"
            assert shards.instants.counts == module.InstantCounts(1, 0)

    run(scenario())


def test_one_that_does_not_pin_opens_the_gates_of_all() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [node]):
            leader = Leader(node)
            leader.pins["shard-1"] = NotPinned("others wrote")
            with pytest.raises(NoInstant):
                await shards.pinned(GUARDS, asyncio.get_running_loop().time() + 5)
            await node.until_got(len(node.got))
            ids = [each.id for each in node.of(CloseGate)]
            assert len(set(ids)) == module.TRIES
            assert {each.id for each in node.of(OpenGate)} <= set(ids)
            assert node.of(ConfirmGate) == []
            assert shards.instants.counts == module.InstantCounts(0, module.TRIES)

    run(scenario())


def test_the_word_of_all_is_needed() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [node]):
            leader = Leader(node)
            leader.word["shard-1"] = NotPinned("its gate was open")
            until = asyncio.get_running_loop().time() + 5
            instant = await shards.pinned(GUARDS, until)
            assert not await instant.holds()
            instant.close()
            leader.word["shard-1"] = Done((), 0)
            instant = await shards.pinned(GUARDS, until, instant.tries)
            assert await instant.holds()
            assert {each.cursor for each in node.of(CloseCursor)} == {7, 8}
            assert (instant.tries, shards.instants.counts) == (2, module.InstantCounts(1, 1))
            with pytest.raises(NoInstant):
                await shards.pinned(GUARDS, until, module.TRIES)

    run(scenario())


def reads_of(shards: Shards) -> ReadsAtOneInstant:
    until = asyncio.get_running_loop().time() + 5
    return ReadsAtOneInstant(shards, NEAREST, until)


BOTH = [command("meta", TABLE), command("shard-1", TABLE)]


@pytest.mark.parametrize(
    "early",
    [
        Done((StatementResult(1, values=((13,),)),), 1),
        SqlFailure("22012", "division by zero"),
        SqlFailure("57P03", "the rest of the rows is no longer at hand"),
        Stale("table:t", 2, 1),
    ],
)
def test_what_is_read_counts_for_nothing_before_all_have_given_their_word(early: Reply) -> None:
    """It is read once more of another instant."""

    async def scenario() -> None:
        async with scripted(1) as (shards, [node]):
            leader = Leader(node)
            leader.word["shard-1"] = NotPinned("its gate was open")
            leader.rows = early
            script = leader.script

            def once(group: str, body: RequestBody) -> Reply:
                if isinstance(body, CloseGate) and len(node.of(CloseGate)) > len(GUARDS):
                    leader.word["shard-1"], leader.rows = Done((), 0), ROWS
                return script(group, body)

            node.script = once
            reads = reads_of(shards)
            await reads.expect(BOTH, True)
            parts = await reads.ask(BOTH)
            reads.close()
            assert parts is not None
            assert [part.result.values for part in parts] == [((1,),), ((1,),)]
            assert len(node.of(CloseGate)) == 2 * len(GUARDS)
            assert shards.instants.counts == module.InstantCounts(1, 1)

    run(scenario())


def test_what_is_read_is_asked_for_together_with_the_word() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [node]):
            Leader(node)
            reads = reads_of(shards)
            await reads.expect(BOTH, True)
            await reads.ask(BOTH)
            reads.close()
            kinds = [type(body).__name__ for body in node.got]
            asked = kinds[kinds.index("ConfirmGate") :]
            assert asked == ["ConfirmGate"] * 2 + ["Read"] * 2

    run(scenario())


def test_what_a_node_has_lost_is_no_answer() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [node]):
            leader = Leader(node)
            instant = await shards.pinned(GUARDS, asyncio.get_running_loop().time() + 5)
            leader.rows = SqlFailure("57P03", "the rest of the rows is no longer at hand")
            assert isinstance(await read(shards, instant, "meta"), NoInstant)
            instant.close()

    run(scenario())


def test_what_is_read_is_named_as_a_whole() -> None:
    slot, other = Guard("slot:7", 1), Guard("slot:8", 1)
    assert guards_of([command("a", TABLE, slot), command("a", TABLE, other)]) == {
        "a": (TABLE, slot, other)
    }
    assert guards_of([command("a", TABLE, slot), command("a", TABLE), command("b", TABLE)]) == {
        "a": (TABLE, slot, EVERY_SLOT),
        "b": (TABLE, EVERY_SLOT),
    }


# --------------------------------------------------------------------------- on a cluster

KEYS = range(1, 51)
ALL = "SELECT count(*), sum(v) FROM t"
JOINED = "SELECT count(*) FROM t a JOIN t b ON a.k = b.v"


@pytest.fixture
async def router(tmp_path: Path) -> AsyncIterator[Router]:
    async with one_node(tmp_path) as path, Router.open(path) as router:
        await router.execute("CREATE TABLE t (k int PRIMARY KEY, v int)")
        await router.execute("INSERT INTO t VALUES " + ", ".join(f"({n}, {n})" for n in KEYS))
        yield router


def taken(router: Router) -> float:
    page = read_exposition(exposition(router.metrics()))
    return page["shardrouter_router_instants_total", (("outcome", "taken"),)]


async def test_each_statement_over_shards_takes_one_instant(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRIES", 1000)  # however slow the machine is
    before = taken(router)
    async with router.acquire() as connection:
        [row] = await connection.fetch(ALL)
        assert tuple(row) == (50, 1275)
        assert await connection.fetchval(JOINED) == 50  # two fragments of each shard
        assert await connection.fetchval("SELECT v FROM t WHERE k = 7") == 7
        assert taken(router) == before + 2


async def test_where_there_is_no_instant_it_is_a_transaction_that_only_reads(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates.Gates, "confirms", lambda *_: False)
    async with router.acquire() as connection:
        assert await connection.fetchval(JOINED) == 50
    with pytest.raises(SerializationError):
        await router.fetchval(ALL)  # of a session that has no transactions


async def test_a_pin_that_is_lost_is_read_again_as_a_transaction(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: object) -> SqlFailure:
        return SqlFailure("57P03", "the rest of the rows is no longer at hand")

    monkeypatch.setattr(Cursors, "read_pinned", lost)
    async with router.acquire() as connection:
        assert await connection.fetchval(JOINED) == 50
