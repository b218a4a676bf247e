"""The open loop in action: planned arrivals become calls of clients, and calls become history.

Each host has a fixed number of client slots. A slot holds one connection and one process
number; after an answer of unknown outcome the number retires and the connection is aborted and
replaced (the call may still be on its way in it). An arrival waits for a free slot until its
deadline; after that it is `Unserved`, because whoever sent it would have given up.

One event loop owns the clock and the recorder, so the order of records is the order of events.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from jepsen_like.clients import Answer, Client, ClientError
from jepsen_like.history import Outcome, Recorder, Unserved
from jepsen_like.load import Arrival, Call
from jepsen_like.outcomes import is_read, outcome_of_silence, stage_of

__all__ = ["Clock", "Dispatcher"]

RECONNECT_PAUSE_S: Final = 0.1
"""Between two attempts to connect, so that a dead server is not hammered."""

CONNECTING_MAX: Final = 8
"""Connections that are being made to a host at one time. All slots lose theirs together when calls
go unanswered; a handshake costs a server more than a call, and sixty at once keep a busy one from
finishing any."""

GRACE_S: Final = 0.25
"""How long after the deadline of a call its client is aborted: long enough for the database to
answer that it gave up, short enough to free the connection."""

RETURN_S: Final = 1.0
"""How long an aborted client may take to return from the call. Then it is cancelled: it hangs."""


TIMER_S: Final = 0.001
"""The resolution of timers."""


class Clock:
    """Nanoseconds since the run began, monotonic."""

    def __init__(self) -> None:
        self._start_ns = time.monotonic_ns()

    def now_ns(self) -> int:
        return time.monotonic_ns() - self._start_ns

    async def sleep_until(self, at_ns: int) -> None:
        """Never returns early: timers of some loops fire up to a millisecond before their time,
        and a call must not be sent before it was scheduled. So it may return a millisecond late:
        a shorter sleep is none, and to wait for the rest without one would take all of a core."""
        while (delay_s := (at_ns - self.now_ns()) / 1e9) > 0:  # noqa: ASYNC110 - it is about time
            await asyncio.sleep(max(delay_s, TIMER_S))


class _Unsure:
    """Calls of each key that are under way, or ended with nobody knowing whether they happened.

    Checking is exponential in them. A key that has its fill is only read from then on: every
    workload has `read`, and what it does to a history no checker has to guess.
    """

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = limits  # by workload
        self._counts: dict[tuple[str, int], int] = {}

    def begin(self, call: Call) -> Call:
        """The call to send."""
        limit = self._limits.get(call.workload)
        if limit is None or is_read(call):
            return call
        place = (call.workload, call.key)
        count = self._counts.get(place, 0)
        if count >= limit:
            return Call("read", call.key, None, call.workload, call.home)
        self._counts[place] = count + 1
        return call

    def end(self, call: Call, outcome: Outcome) -> None:
        if not is_read(call) and outcome != "info" and call.workload in self._limits:
            self._counts[call.workload, call.key] -= 1


@dataclass(frozen=True, slots=True)
class _Due:
    """An arrival with its place on the run's clock."""

    arrival: Arrival
    scheduled_ns: int
    expires_ns: int


class _Lane:
    """The arrivals of one host that wait for a slot, and the slots that wait for arrivals."""

    def __init__(self, host: str, clock: Clock, unserved: list[Unserved]) -> None:
        self.host = host
        self._is_ending = False
        self._clock = clock
        self._unserved = unserved
        self._waiting: deque[_Due] = deque()
        self._idle: deque[asyncio.Future[_Due | None]] = deque()

    def is_over(self) -> bool:
        """No arrival will come, and none that came still wants an answer."""
        self._drop_expired()
        return self._is_ending and not self._waiting

    def offer(self, due: _Due) -> None:
        self._drop_expired()
        while self._idle:
            slot = self._idle.popleft()
            if not slot.done():
                slot.set_result(due)
                return
        self._waiting.append(due)

    async def take(self) -> _Due | None:
        """The next arrival, or None when there will be no more."""
        self._drop_expired()
        if self._waiting:
            return self._waiting.popleft()
        if self._is_ending:
            return None
        slot: asyncio.Future[_Due | None] = asyncio.get_running_loop().create_future()
        self._idle.append(slot)
        return await slot

    def give_back(self, due: _Due) -> None:
        """The slot that took it cannot send it; another may."""
        self.offer(due)

    def end(self) -> None:
        self._is_ending = True
        for slot in self._idle:
            if not slot.done():
                slot.set_result(None)
        self._idle.clear()

    def drop_all(self) -> None:
        while self._waiting:
            self._drop(self._waiting.popleft())

    def _drop_expired(self) -> None:
        # Bounds the queue: it never holds more than one deadline's worth of arrivals.
        now = self._clock.now_ns()
        while self._waiting and self._waiting[0].expires_ns <= now:
            self._drop(self._waiting.popleft())

    def _drop(self, due: _Due) -> None:
        call = due.arrival.call
        self._unserved.append(
            Unserved(due.scheduled_ns, self.host, call.f, call.key, call.workload)
        )


class Dispatcher:
    """The client slots of all hosts.

        async with Dispatcher(...) as dispatcher:
            await dispatcher.connect()
            await dispatcher.run(arrivals, stop)

    `run` may be called again: the slots keep their connections and process numbers. What is
    answered goes to `recorder`, whose clock is `clock`; what is not served, to `unserved`.

    `unsure_max`: of each workload, how many calls of one key may have an unknown outcome; a key
    with so many is only read.
    """

    def __init__(
        self,
        connect: Callable[[str], Awaitable[Client]],
        *,
        hosts: Sequence[str],
        clients_per_host: int,
        deadline_s: float,
        clock: Clock,
        recorder: Recorder,
        unserved: list[Unserved],
        unsure_max: Mapping[str, int] | None = None,
    ) -> None:
        self._connect = connect
        self._unsure = _Unsure(unsure_max or {})
        self._deadline_ns = round(deadline_s * 1e9)
        self._patience = _Patience(deadline_s)
        self._clock = clock
        self._recorder = recorder
        self._unserved = unserved
        self._slots = {host: [_Slot() for _ in range(clients_per_host)] for host in hosts}
        self._connecting = {host: asyncio.Semaphore(CONNECTING_MAX) for host in hosts}

    async def __aenter__(self) -> Dispatcher:
        return self

    async def __aexit__(self, *_: object) -> None:
        for slots in self._slots.values():
            for slot in slots:
                if slot.client is not None:
                    slot.client.abort()

    async def connect(self) -> None:
        """Connect every slot, so that the load starts with all of them. Raises ClientError."""

        async def connect_host(host: str) -> None:
            for slot in self._slots[host]:
                if slot.client is None:
                    slot.client = await self._connect(host)

        connecting = [asyncio.ensure_future(connect_host(host)) for host in self._slots]
        try:
            await asyncio.gather(*connecting)
        finally:
            for task in connecting:
                task.cancel()
            await asyncio.gather(*connecting, return_exceptions=True)

    async def run(
        self,
        arrivals: Iterable[Arrival],
        stop: asyncio.Event | None = None,
        *,
        grace_s: float = GRACE_S,
    ) -> None:
        """Send every arrival at its time, until the last or until `stop`; returns when every
        call that was sent has its outcome. `grace_s`: how long after the deadline of a call its
        client is aborted."""
        self._patience.grace_s = grace_s
        lanes = {host: _Lane(host, self._clock, self._unserved) for host in self._slots}
        async with asyncio.TaskGroup() as tasks:
            for host, slots in self._slots.items():
                for slot in slots:
                    tasks.create_task(self._work(lanes[host], slot))
            try:
                await self._pace(arrivals, lanes, stop)
            finally:
                for lane in lanes.values():
                    lane.end()
        for lane in lanes.values():
            lane.drop_all()

    async def _pace(
        self, arrivals: Iterable[Arrival], lanes: dict[str, _Lane], stop: asyncio.Event | None
    ) -> None:
        start_ns = self._clock.now_ns()
        for arrival in arrivals:
            scheduled_ns = start_ns + arrival.at_ns
            if scheduled_ns > self._clock.now_ns():
                await self._clock.sleep_until(scheduled_ns)
            if stop is not None and stop.is_set():
                return
            due = _Due(arrival, scheduled_ns, scheduled_ns + self._deadline_ns)
            lanes[arrival.host].offer(due)

    async def _work(self, lane: _Lane, slot: _Slot) -> None:
        """One slot, until the lane ends."""
        while True:
            client = slot.client
            if client is None or not client.is_usable:
                client = await self._connected(lane, slot)
            if client is None:
                return
            due = await lane.take()
            if due is None:
                return
            if not client.is_usable:
                lane.give_back(due)  # the connection was lost while nothing was asked of it
                continue
            await self._perform(lane.host, slot, client, due)

    async def _connected(self, lane: _Lane, slot: _Slot) -> Client | None:
        """The slot's connection, made if need be; None if nothing needs it any more."""
        while slot.client is None or not slot.client.is_usable:
            if slot.client is not None:
                slot.client.abort()  # closed by the other side: our half is closed here
                slot.client = None
            if lane.is_over():
                return None
            async with self._connecting[lane.host]:
                if lane.is_over():
                    return None
                try:
                    slot.client = await self._connect(lane.host)
                    continue
                except ClientError:
                    pass
            await asyncio.sleep(RECONNECT_PAUSE_S)  # arrivals meanwhile count as unserved
        return slot.client

    async def _perform(self, host: str, slot: _Slot, client: Client, due: _Due) -> None:
        call = self._unsure.begin(due.arrival.call)
        with self._recorder.op(
            call.f,
            key=call.key,
            value=call.value,
            client=slot,
            node=host,
            scheduled_ns=due.scheduled_ns,
            workload=call.workload,
        ) as recorded:
            answer = await self._invoke(client, call)
            recorded.output = answer.output
            if answer.outcome == "info":
                recorded.info(answer.error)
            elif answer.outcome == "fail":
                recorded.fail(answer.error)
        self._unsure.end(call, answer.outcome)
        if answer.outcome == "info":
            client.abort()
            slot.client = None

    async def _invoke(self, client: Client, call: Call) -> Answer:
        """Its answer, within the harness's own deadline.

        By aborting, not by cancelling: many drivers handle that by asking the server for leave (a
        CancelRequest of asyncpg dials anew), which a cut does not answer.
        """
        held = self._patience.hold(client)
        try:
            return await client.invoke(call)
        except asyncio.CancelledError:
            if not held.gave_up or held.task.uncancel():
                raise  # it is the run that ends
            outcome = outcome_of_silence(stage_of(call))
            return Answer(outcome, error="the client hung: it was aborted and did not return")
        finally:
            held.is_over = True


class _Patience:
    """Ends calls that hang: aborts their clients, and cancels those that do not return then.

    All calls have the same time, so they are overdue in the order in which they began, and one
    timer is enough, for the oldest that is under way: a timer for each costs as much as its call.
    """

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self.grace_s = GRACE_S
        """Of the calls that begin from now on. Changed only while none is under way."""
        self._held: deque[_Held] = deque()
        self._timer: asyncio.TimerHandle | None = None  # none: nothing was under way

    def hold(self, client: Client) -> _Held:
        """A call of the running task begins. Who calls says when it `is_over`."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        held = _Held(client, task, loop.time() + self._deadline_s + self.grace_s)
        self._held.append(held)
        if self._timer is None:
            self._timer = loop.call_at(held.overdue_at, self._look)
        return held

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._held and (self._held[0].is_over or self._held[0].overdue_at <= now):
            held = self._held.popleft()
            if not held.is_over:
                held.client.abort()
                loop.call_later(RETURN_S, held.give_up)
        oldest = self._held[0].overdue_at if self._held else None
        self._timer = None if oldest is None else loop.call_at(oldest, self._look)


@dataclass(eq=False, slots=True)
class _Held:
    """A call under way."""

    client: Client
    task: asyncio.Task[object]
    overdue_at: float  # by the clock of the loop
    is_over: bool = False
    gave_up: bool = False

    def give_up(self) -> None:
        if not self.is_over:
            self.gave_up = True
            self.task.cancel()


@dataclass(eq=False)
class _Slot:
    """A client to the recorder: its operations come one after the other."""

    client: Client | None = None
