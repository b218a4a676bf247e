"""Registers that are read and written by hand: from each host, at each level, side by side.

Every (host, level) has a session of its own, which lasts; what a host writes is written in its
session of level `session`, if there is one, so that what it reads there is its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from jepsen_like.adapters.database import LevelledDatabase, RunningDatabase
from jepsen_like.clients import Client
from jepsen_like.dispatch import Clock, Dispatcher
from jepsen_like.history import Recorder, Unserved
from jepsen_like.load import Arrival, Call
from jepsen_like.workloads.levels import levelled_register, read_at

__all__ = ["KEYS", "Hands", "Said"]

KEYS: Final = range(10)

SESSION: Final = "session"


@dataclass(frozen=True)
class Said:
    """What one host answered at one level."""

    host: str
    level: str
    outcome: str  # "ok", "fail" or "info"
    value: Any
    took_ns: int
    error: str


class Hands:
    """async with hands: await hands.read(3, db.hosts)"""

    def __init__(
        self, db: LevelledDatabase, running: RunningDatabase, clock: Clock, deadline_s: float
    ) -> None:
        self.default, *weaker = db.levels
        self.levels = tuple(db.levels)
        self.workload = replace(levelled_register(weaker), name="by-hand")
        self._running = running
        self._deadline_s = deadline_s
        self._clock = clock
        self._recorder = Recorder(clock=clock.now_ns, start_ns=0)
        self._unserved: list[Unserved] = []
        self._one_at_a_time = asyncio.Lock()
        self._dispatcher = Dispatcher(
            self._connect,
            hosts=[_seat(host, level) for host in db.hosts for level in self.levels],
            clients_per_host=1,
            deadline_s=deadline_s,
            clock=clock,
            recorder=self._recorder,
            unserved=self._unserved,
        )

    async def __aenter__(self) -> Hands:
        await self._running.prepare(self.workload, KEYS)
        await self._dispatcher.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._dispatcher.__aexit__()
        self._recorder.close()

    async def _connect(self, seat: str) -> Client:
        host, _, _ = seat.partition(" ")
        return await self._running.connect(host, [self.workload], self._deadline_s)

    async def read(self, key: int, hosts: Sequence[str]) -> Sequence[Said]:
        """At every level, all at once."""
        return await self._ask(
            [
                (host, level, Call(self._class(level), key, workload=self.workload.name))
                for host in hosts
                for level in self.levels
            ]
        )

    async def write(self, key: int, value: int, host: str) -> Said:
        level = SESSION if SESSION in self.levels else self.default
        call = Call("write", key, value, self.workload.name)
        (said,) = await self._ask([(host, level, call)])
        return said

    def _class(self, level: str) -> str:
        return "read" if level == self.default else read_at(level)

    async def _ask(self, asked: Sequence[tuple[str, str, Call]]) -> Sequence[Said]:
        async with self._one_at_a_time:
            done, left = len(self._recorder.history), len(self._unserved)
            arrivals = [Arrival(0, _seat(host, level), call) for host, level, call in asked]
            await self._dispatcher.run(arrivals)
            answers = {operation.node: operation for operation in self._recorder.history[done:]}
            unserved = {one.node for one in self._unserved[left:]}
        found = []
        for host, level, _ in asked:
            seat = _seat(host, level)
            if seat in unserved or seat not in answers:
                found.append(Said(host, level, "fail", None, 0, "no connection to its router"))
                continue
            one = answers[seat]
            took_ns = one.returned_ns - one.sent_ns
            found.append(Said(host, level, one.outcome, one.output, took_ns, one.error))
        return found


def _seat(host: str, level: str) -> str:
    return f"{host} {level}"
