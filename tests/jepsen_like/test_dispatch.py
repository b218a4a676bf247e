"""The dispatcher on a clock that is moved by hand, with clients that answer when told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
import uvloop

from jepsen_like import dispatch
from jepsen_like.clients import Answer, ClientError
from jepsen_like.dispatch import CONNECTING_MAX, Clock, Dispatcher
from jepsen_like.history import Recorder, Unserved
from jepsen_like.load import Arrival, Call

DEADLINE_S = 0.1


class ManualClock(Clock):
    """Time passes only when somebody sleeps for it, and then at once."""

    def __init__(self) -> None:
        super().__init__()
        self.time_ns = 0

    def now_ns(self) -> int:
        return self.time_ns

    async def sleep_until(self, at_ns: int) -> None:
        await settle()
        self.time_ns = max(self.time_ns, at_ns)


async def settle() -> None:
    """Let every task run until it waits for something."""
    for _ in range(20):
        await asyncio.sleep(0)


class ScriptedClient:
    """Answers each call with what the script says; a coroutine may wait first."""

    def __init__(self, script: Callable[[Call], Answer | asyncio.Future[Answer]]) -> None:
        self._script = script
        self.is_usable = True
        self.is_aborted = False
        self.calls: list[int] = []

    async def invoke(self, call: Call) -> Answer:
        self.calls.append(call.key)
        answer = self._script(call)
        return await answer if isinstance(answer, asyncio.Future) else answer

    def abort(self) -> None:
        self.is_usable, self.is_aborted = False, True


class World:
    def __init__(self, script: Callable[[Call], Answer | asyncio.Future[Answer]]) -> None:
        self.clock = ManualClock()
        self.recorder = Recorder(clock=lambda: self.clock.now_ns(), start_ns=0)
        self.history = self.recorder.history
        self.unserved: list[Unserved] = []
        self.clients: list[ScriptedClient] = []
        self._script = script

    async def connect(self, host: str) -> ScriptedClient:
        self.clients.append(ScriptedClient(self._script))
        return self.clients[-1]

    def dispatcher(self, slots: int = 1, deadline_s: float = DEADLINE_S) -> Dispatcher:
        return Dispatcher(
            self.connect,
            hosts=["n1"],
            clients_per_host=slots,
            deadline_s=deadline_s,
            clock=self.clock,
            recorder=self.recorder,
            unserved=self.unserved,
            unsure_max={"register": 2},
        )


def reads(*times_ms: int) -> list[Arrival]:
    return [Arrival(ms * 1_000_000, "n1", Call("read", i)) for i, ms in enumerate(times_ms)]


async def test_every_arrival_becomes_an_operation_at_its_time() -> None:
    world = World(lambda call: Answer("ok", call.key))
    async with world.dispatcher() as dispatcher:
        await dispatcher.run(reads(0, 10, 20))
    operations = world.history
    assert [o.scheduled_ns for o in operations] == [0, 10_000_000, 20_000_000]
    assert [o.output for o in operations] == [0, 1, 2]
    assert {o.process for o in operations} == {0}
    assert world.clients[0].is_aborted  # closed with the dispatcher


async def test_an_unknown_outcome_retires_the_process_and_the_connection() -> None:
    world = World(lambda call: Answer("info" if call.key == 1 else "fail", error="why"))
    async with world.dispatcher() as dispatcher:
        await dispatcher.run(reads(0, 10, 20, 30))
    assert [o.process for o in world.history] == [0, 0, 1, 1]
    assert world.history[1].error == "why"
    assert [client.is_aborted for client in world.clients] == [True, True]


async def test_an_arrival_without_a_slot_is_unserved_and_no_operation() -> None:
    answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    world = World(lambda call: answer)
    async with world.dispatcher() as dispatcher:
        # The first call takes the only slot; the second expires at 110 ms; the third, at 300 ms,
        # comes when the slot is free again.
        running = asyncio.ensure_future(dispatcher.run(reads(0, 10, 300)))
        while world.clock.time_ns < 10_000_000:
            await settle()
        while world.clock.time_ns < 300_000_000:
            await settle()
        answer.set_result(Answer("ok"))
        await running
    assert world.unserved == [Unserved(10_000_000, "n1", "read", 1)]
    assert [o.key for o in world.history] == [0, 2]


@pytest.mark.parametrize(("grace_s", "is_kept"), [(0.01, False), (30.0, True)])
async def test_a_late_answer_costs_its_connection_only_after_the_grace(
    grace_s: float, *, is_kept: bool
) -> None:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Answer] = loop.create_future()
    world = World(lambda call: answer)
    loop.call_later(0.05, answer.set_result, Answer("ok"))
    async with world.dispatcher(deadline_s=0.01) as dispatcher:
        await dispatcher.run(reads(0), grace_s=grace_s)
        assert world.clients[0].is_aborted != is_kept
    assert [o.outcome for o in world.history] == ["ok"]


async def test_a_lost_connection_is_replaced_before_the_next_call_is_sent() -> None:
    world = World(lambda call: Answer("ok"))
    async with world.dispatcher() as dispatcher:
        await dispatcher.run(reads(0))
        world.clients[0].is_usable = False  # the other side closed it while nothing was asked
        await dispatcher.run(reads(0))
    assert len(world.clients) == 2
    assert [o.outcome for o in world.history] == ["ok", "ok"]
    assert [o.process for o in world.history] == [0, 0]


async def test_a_connection_lost_while_idle_is_never_given_a_call() -> None:
    world = World(lambda call: Answer("ok"))

    def arrivals() -> Iterator[Arrival]:
        first, second, third = reads(0, 10, 20)
        yield first
        yield second
        world.clients[0].is_usable = False  # its slot has been told of the second, no more
        yield third

    async with world.dispatcher() as dispatcher:
        await dispatcher.run(arrivals())
    assert [client.calls for client in world.clients] == [[0], [1, 2]]


async def test_arrivals_at_a_host_that_accepts_nobody_are_unserved() -> None:
    world = World(lambda call: Answer("ok"))

    async def refuse(host: str) -> ScriptedClient:
        raise ClientError("nobody listens")

    world.connect = refuse  # type: ignore[method-assign]  # a host without a router
    async with world.dispatcher() as dispatcher:
        running = asyncio.ensure_future(dispatcher.run(reads(0, 10)))
        while world.clock.time_ns < 10_000_000:
            await settle()
        world.clock.time_ns = 200_000_000
        await running
        with pytest.raises(ClientError):
            await dispatcher.connect()
    assert [u.key for u in world.unserved] == [0, 1]
    assert world.history == []


async def test_few_connections_are_made_at_one_time_and_all_slots_get_theirs() -> None:
    world = World(lambda call: Answer("ok"))
    slots, under_way, most = 3 * CONNECTING_MAX, 0, 0

    async def connect(host: str) -> ScriptedClient:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await settle()
        under_way -= 1
        return await World.connect(world, host)

    world.connect = connect  # type: ignore[method-assign]
    async with world.dispatcher(slots=slots) as dispatcher:
        await dispatcher.run(reads(*range(100)))
    assert most == CONNECTING_MAX
    assert len(world.clients) == slots


async def test_stop_ends_the_load_between_two_arrivals() -> None:
    stop = asyncio.Event()

    def answer(call: Call) -> Answer:
        if call.key == 1:
            stop.set()
        return Answer("ok")

    world = World(answer)
    async with world.dispatcher() as dispatcher:
        await dispatcher.run(reads(0, 10, 20, 30), stop)
    assert [o.key for o in world.history] == [0, 1]


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_no_clock_wakes_anybody_early(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def late_by_ns() -> list[int]:
        clock, late = Clock(), []
        for step in range(1, 20):
            at_ns = clock.now_ns() + step * 137_000
            await clock.sleep_until(at_ns)
            late.append(clock.now_ns() - at_ns)
        return late

    with asyncio.Runner(loop_factory=factory) as runner:
        assert min(runner.run(late_by_ns())) >= 0


# ------------------------------------------------------------------------------ outcomes


async def test_a_key_with_its_fill_of_unknown_outcomes_is_only_read() -> None:
    world = World(lambda call: Answer("ok" if call.value == 1 else "info", error="why"))
    values = (1, 1, 2, 2, 2, 1)
    plan = [
        Arrival(at * 10_000_000, "n1", Call("write", 7, value, workload="register"))
        for at, value in enumerate(values)
    ]
    others = [
        Arrival(at * 10_000_000, "n1", Call("write", 7, 2, workload="other")) for at in range(6, 10)
    ]
    async with world.dispatcher() as dispatcher:
        await dispatcher.run([*plan, *others])
    mine = [o for o in world.history if o.workload == "register"]
    assert [o.f for o in mine] == ["write"] * 4 + ["read"] * 2
    assert [o.f for o in world.history if o.workload == "other"] == ["write"] * 4


class HangingClient(ScriptedClient):
    """Does not answer; if it is aborted, it returns, or hangs on."""

    def __init__(self, *, returns: bool) -> None:
        super().__init__(lambda call: Answer("ok"))
        self._returns = returns
        self._answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    async def invoke(self, call: Call) -> Answer:
        self.calls.append(call.key)
        return await self._answer

    def abort(self) -> None:
        super().abort()
        if self._returns and not self._answer.done():
            self._answer.set_result(Answer("info", error="its connection ended"))


@pytest.mark.parametrize(
    ("f", "returns", "outcome", "error"),
    [
        ("write", True, "info", "its connection ended"),
        ("write", False, "info", "hung"),
        ("read", False, "fail", "hung"),
    ],
)
async def test_a_client_that_hangs_costs_one_connection(
    monkeypatch: pytest.MonkeyPatch, f: str, outcome: str, error: str, *, returns: bool
) -> None:
    monkeypatch.setattr(dispatch, "RETURN_S", 0.05)
    world = World(lambda call: Answer("ok"))
    hanging = HangingClient(returns=returns)
    clients: Iterator[ScriptedClient] = iter([hanging])

    async def connect(host: str) -> ScriptedClient:
        return next(clients, None) or await World.connect(world, host)

    world.connect = connect  # type: ignore[method-assign]  # the first one hangs
    async with world.dispatcher() as dispatcher:
        await dispatcher.run([Arrival(0, "n1", Call(f, 1))], grace_s=0.01)
        await dispatcher.run([Arrival(0, "n1", Call(f, 2))])
    first, second = world.history
    assert hanging.is_aborted
    assert first.outcome == outcome
    assert error in first.error
    assert (hanging.calls, second.outcome) == ([1], "ok")
