"""Sessions of a router that has more to do than places: who waits, who is refused, who passes."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import cast

import pytest

from bench.hot_path import SQL, KnownSchema
from nodes.protocol import Read, Speculate
from shardrouter import admission
from shardrouter.admitting import REFUSAL_S, Gate
from shardrouter.catalogs.asking import Catalogs
from shardrouter.contacts import OVERDUE_S, WATCH_S
from shardrouter.execution import Execution
from shardrouter.fair_queue import INTERVAL_S
from shardrouter.finishing import Finishing
from shardrouter.plan_cache import PlanCache
from shardrouter.role_store import RoleStore
from shardrouter.schema import Schema
from shardrouter.session import Backend, Session
from shardrouter.shards import Shards
from shardrouter.tasks import Tasks
from tests.shardrouter.on_the_way import Heard
from tests.shardrouter.scripted import Hold, advance, run, scripted
from tests.shardrouter.test_hot_path import ROW


class Crowd:
    """A router with one place, and sessions of it."""

    def __init__(self, shards: Shards, refuse_above: int = 99) -> None:
        schema, roles = cast("Schema", KnownSchema()), RoleStore(shards, b"")
        self.gate = Gate(shards.stalled, refuse_above)
        self.gate.places.room = self.gate.places.limit.limit = 1
        self.backend = Backend(
            *(shards, schema, Tasks(), PlanCache(), roles, Catalogs(schema, roles)),
            Finishing(random.Random(1)),
            gate=self.gate,
        )

    async def asks(self, session: Session | None = None, sql: str = SQL["select"]) -> Heard:
        session, heard = session or Session(self.backend), Heard()
        prepared = await session.prepare(sql)
        arguments = (1,) if "$1" in sql else ()
        session.execute_unit([Execution(prepared, arguments)], heard.hear)
        return heard


async def until(true: Callable[[], bool]) -> None:
    for _ in itertools.repeat(None):
        if true():
            return
        await asyncio.sleep(0)


def test_who_finds_no_place_is_begun_when_one_is_free() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            crowd = Crowd(shards)
            n1.plays(Hold)
            first, second = await crowd.asks(), await crowd.asks()
            await n1.until_got(1)
            assert crowd.gate.places.waiting == 1
            assert len(n1.of(Read)) == 1
            n1.held[0](ROW)
            await first.outcome()
            await n1.until_got(2)
            n1.held[1](ROW)
            await second.outcome()
            assert (crowd.gate.places.running, crowd.gate.places.waiting) == (0, 0)

    run(scenario())


def test_who_would_be_late_is_told_53300_and_nothing_of_it_was_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "PARKED_S", 1e9)

    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            crowd = Crowd(shards, refuse_above=0)
            n1.plays(Hold)
            first, second = await crowd.asks(), await crowd.asks()
            await n1.until_got(1)
            advance(INTERVAL_S)
            error = await second.error()
            assert (error.sqlstate, error.definite) == ("53300", True)
            n1.held[0](ROW)
            await first.outcome()
            assert len(n1.of(Read)) == 1

    run(scenario())


def test_a_block_goes_on_beside_the_queue_and_begin_waits_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            crowd = Crowd(shards)
            n1.plays(Hold)
            block = Session(crowd.backend)
            await (await crowd.asks(block, "BEGIN")).outcome()
            running, waiting = await crowd.asks(), await crowd.asks()
            begin = await crowd.asks(None, "BEGIN")
            await n1.until_got(1)
            inside = await crowd.asks(block)
            await until(lambda: len(n1.of(Speculate)) == 1)
            assert not waiting.results
            assert not begin.results
            rollback = await crowd.asks(Session(crowd.backend), "SET application_name = 'x'")
            await rollback.outcome()  # what asks no shard waits for nobody
            monkeypatch.setattr(admission, "OVERTAKING_MIN", 0)  # others came later, and ended
            advance(admission.PARKED_S + 2 * admission.COHORT_S)
            await until(lambda: len(n1.of(Read)) == 2)
            for answer in n1.held:
                answer(ROW)
            await running.outcome()
            await waiting.outcome()
            await begin.outcome()
            await inside.done.wait()

    run(scenario())


def test_who_waits_can_be_cancelled_at_once() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            crowd = Crowd(shards)
            n1.plays(Hold)
            await crowd.asks()
            session = Session(crowd.backend)
            waiting = await crowd.asks(session)
            session.cancel()
            assert (await waiting.error()).sqlstate == "57014"
            assert crowd.gate.places.waiting == 0
            assert len(n1.of(Read)) <= 1

    run(scenario())


def test_a_shard_without_a_leader_takes_no_place_from_the_others() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            crowd = Crowd(shards)
            n1.plays(Hold)
            await n1.stop()
            lost = await crowd.asks()
            await until(lambda: shards.stalled() == 1)
            asked = await crowd.asks()
            assert crowd.gate.places.waiting == 0
            assert not lost.results
            assert not asked.results

    run(scenario())


def test_a_shard_that_is_silent_while_others_answer_takes_no_places() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.script = lambda group, _: ROW if group == "meta" else Hold

            def asks() -> None:
                deadline = asyncio.get_running_loop().time() + 99.0
                shards.submit_read("shard-1", (), (), True, deadline, lambda _: None)

            async def hears_another() -> None:
                deadline = asyncio.get_running_loop().time() + 99.0
                await shards.read("meta", (), deadline=deadline)

            asks()
            await n1.until_got(1)
            advance(OVERDUE_S + WATCH_S)
            await n1.until_asked_status()  # overdue ones were looked for
            assert shards.stalled() == 0, "nobody answers: it may be the disk of all of them"
            await hears_another()
            advance(WATCH_S)
            await until(lambda: shards.stalled() == 1)
            asks()
            await n1.until_got(3)
            assert shards.stalled() == 2, "from the first moment"
            n1.held[0](ROW)
            await hears_another()  # behind it
            asks()
            advance(WATCH_S)
            await until(lambda: shards.stalled() == 0)

    run(scenario())


def test_each_is_refused_in_its_time_and_all_of_them_at_the_end() -> None:
    async def scenario() -> None:
        gate, told = Gate(), list[str]()

        def refused(name: str) -> None:
            gate.refuse(lambda: told.append(name))

        refused("a")
        advance(REFUSAL_S / 2)
        refused("b")
        advance(REFUSAL_S / 2)
        await until(lambda: told == ["a"])
        refused("c")
        advance(REFUSAL_S / 2)
        await until(lambda: told == ["a", "b"])
        gate.close()
        assert told == ["a", "b"], "not from within"
        await until(lambda: told == ["a", "b", "c"])
        refused("d")
        await until(lambda: told == ["a", "b", "c", "d"])

    run(scenario())
