"""Who touches what is prepared waits for its outcome, and no longer than its time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from nodes import lock_waits
from nodes.protocol import Done, Ran, Read, RequestBody, ResponseBody, Speculate, SqlFailure
from nodes.work import UNWANTED
from tests.nodes.test_service import LONG, QUICK, Fixture, speculate, turns


def streamed(asked: Speculate) -> Speculate:
    (step,) = asked.transaction.steps
    assert isinstance(step, Ran)
    steps = (replace(step, stream=True),)
    return replace(asked, transaction=replace(asked.transaction, steps=steps), reads=True)


REQUESTS: dict[str, RequestBody] = {
    "a quick read": QUICK,
    "a long read": LONG,
    "a statement of a transaction": speculate(b"a"),
    "one that takes long": speculate(b"a", quick=False),
    "a large read of a transaction": streamed(speculate(b"a", quick=False)),
}


def _nothing() -> None:
    pass


class Holding(Fixture):
    """Something is prepared."""

    def __init__(self) -> None:
        super().__init__()
        self.hold("the first")
        self.machine.gate.set()

    def hold(self, what: object) -> None:
        self.machine.prepared = what
        self.engine.turned()

    async def begin(self, body: RequestBody, timeout_ms: int = 60_000) -> Callable[[], None]:
        """It waits; returns what gives it up."""
        work = self.ask(body, timeout_ms)
        self.engine.barriers[0](None)
        await turns()
        assert self.answers == []
        return work.give_up if work is not None else _nothing

    async def answer(self) -> ResponseBody:
        await self.answered.wait()
        (answer,) = self.answers
        return answer


@pytest.mark.parametrize("body", REQUESTS.values(), ids=REQUESTS)
async def test_it_waits_for_the_outcome_and_for_the_next_that_is_in_its_way(
    body: RequestBody,
) -> None:
    holding = Holding()
    await holding.begin(body)
    holding.engine.turned()
    holding.hold("another one")
    await turns()
    assert holding.answers == []
    holding.hold(None)
    assert not isinstance(await holding.answer(), SqlFailure)
    await holding.service.close()


@pytest.mark.parametrize("body", REQUESTS.values(), ids=REQUESTS)
async def test_it_is_told_when_its_time_is_over(body: RequestBody) -> None:
    holding = Holding()
    await holding.begin(body, timeout_ms=50)
    answer = await holding.answer()
    assert isinstance(answer, SqlFailure)
    assert answer.sqlstate == "55P03"
    holding.hold(None)
    await turns()
    assert len(holding.answers) == 1
    await holding.service.close()


@pytest.mark.parametrize("body", REQUESTS.values(), ids=REQUESTS)
async def test_it_is_told_when_it_has_waited_for_as_long_as_it_would(body: RequestBody) -> None:
    assert isinstance(body, Read | Speculate)
    holding = Holding()
    await holding.begin(replace(body, lock_ms=50))  # of a minute
    answer = await holding.answer()
    assert isinstance(answer, SqlFailure)
    assert answer.sqlstate == "55P03"
    await holding.service.close()


@pytest.mark.parametrize("body", REQUESTS.values(), ids=REQUESTS)
async def test_it_ends_with_who_asked_and_with_the_service(body: RequestBody) -> None:
    for end in ("who asked", "service"):
        holding = Holding()
        give_up = await holding.begin(body)
        if end == "who asked" and body is not QUICK:
            give_up()
            assert await holding.answer() == UNWANTED
        await holding.service.close()
        await holding.answer()
        holding.hold(None)
        await turns()
        assert len(holding.answers) == 1


async def test_what_a_thread_releases_before_it_is_waited_for_is_not_missed() -> None:
    """The view changes between the look that found it locked and the wait."""
    holding = Holding()
    locked = holding.machine._locked

    def and_released() -> object:
        found = locked()
        holding.machine.prepared = None
        return found

    holding.machine._locked = and_released  # type: ignore[method-assign,assignment]
    await holding.begin(QUICK)
    holding.engine.turned()
    assert await holding.answer() == Done((), 7)
    await holding.service.close()


async def test_of_too_many_one_more_is_answered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_waits, "WAITERS_MAX", 1)
    holding = Holding()
    await holding.begin(QUICK)
    holding.ask(Read(QUICK.statements, quick=True))
    holding.engine.barriers[1](None)
    assert isinstance(await holding.answer(), SqlFailure)
    holding.hold(None)
    await asyncio.sleep(0)
    assert holding.answers[1] == Done((), 7)
    await holding.service.close()


async def test_a_waiter_that_is_cancelled_as_it_is_released_disturbs_nobody() -> None:
    """Its future is cancelled at once, and it is forgotten in its next turn."""
    state: list[object] = [object()]
    waits = lock_waits.LockWaits(lambda: state[0])
    loop = asyncio.get_running_loop()
    cancelled, other = (asyncio.create_task(waits.released(loop.time() + 60)) for _ in range(2))
    await asyncio.sleep(0)
    cancelled.cancel()
    state[0] = object()
    waits.look()
    assert await other
    await asyncio.wait({cancelled})
    assert cancelled.cancelled()
