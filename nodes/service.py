"""Answers clients' requests to one group, with whatever engine replicates it.

A write becomes a proposal, a read waits for its barrier and then runs on the state machine.
This module knows the order of these steps and the deadline; consensus is the engine's business,
SQL the machine's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from nodes.engine import Engine
from nodes.protocol import (
    Busy,
    ChangeReplicas,
    EntryBody,
    MoveLeadership,
    ProtocolError,
    Read,
    Request,
    RequestBody,
    ResponseBody,
    SqlFailure,
)

__all__ = ["GroupService", "ServedMachine", "decode_body"]

LONG_READS_MAX: Final = 64
"""Reads of unbounded work waiting for the thread of one group; more are answered Busy."""

_bodies = msgspec.msgpack.Decoder(RequestBody)

Answer = Callable[[ResponseBody], None]


class ServedMachine(Protocol):
    """What requests need of the state machine."""

    def check(self, body: EntryBody) -> SqlFailure | None:
        """A definite error that is known before the command enters the log."""

    def read(self, read: Read) -> ResponseBody:
        """Bounded work."""

    async def read_long(self, read: Read, timeout_s: float) -> ResponseBody:
        """On a thread, interrupted after `timeout_s`."""


class GroupService:
    """One group's requests. Each `answer` is called once, now or later. `failed` gets what the
    machine raised: its replica must stop."""

    def __init__(
        self, engine: Engine, machine: ServedMachine, *, failed: Callable[[Exception], None]
    ) -> None:
        self._engine = engine
        self._machine = machine
        self._failed = failed
        self._long_reads: set[asyncio.Task[None]] = set()

    def on_read(self, request: Request, read: Read, answer: Answer) -> None:
        deadline = _deadline(request)
        self._engine.read_barrier(
            read.consistency, lambda refusal: self._read(read, deadline, answer, refusal)
        )

    def on_command(self, request: Request, command: EntryBody, answer: Answer) -> None:
        deadline = _deadline(request)

        def refuse() -> ResponseBody | None:
            if _now() > deadline:
                return Busy("its time was over before it could be proposed")
            return self._machine.check(command)

        self._engine.propose(bytes(request.body), answer, refuse=refuse)

    def on_change(self, change: ChangeReplicas | MoveLeadership, answer: Answer) -> None:
        self._engine.change(change, answer)

    def _read(
        self, read: Read, deadline: float, answer: Answer, refusal: ResponseBody | None
    ) -> None:
        if refusal is not None:
            answer(refusal)
            return
        time_left_s = deadline - _now()
        if time_left_s <= 0:
            answer(Busy("its time was over before it could be read"))
        elif read.quick:
            try:
                result = self._machine.read(read)
            except Exception as exc:
                self._failed(exc)
                result = Busy(f"the replica stopped: {exc}")
            answer(result)
        elif len(self._long_reads) >= LONG_READS_MAX:
            answer(Busy(f"{LONG_READS_MAX} long reads are waiting"))
        else:
            task = asyncio.get_running_loop().create_task(
                self._read_long(read, time_left_s, answer)
            )
            self._long_reads.add(task)
            task.add_done_callback(self._long_reads.discard)

    async def _read_long(self, read: Read, timeout_s: float, answer: Answer) -> None:
        try:
            result = await self._machine.read_long(read, timeout_s)
        except asyncio.CancelledError:
            answer(Busy("the node is stopping"))
            raise
        except Exception as exc:
            self._failed(exc)
            result = Busy(f"the replica stopped: {exc}")
        answer(result)

    async def close(self) -> None:
        """End the reads that run; return when they have ended."""
        tasks = list(self._long_reads)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def decode_body(request: Request) -> RequestBody:
    """Raises ProtocolError if the request's body is none."""
    try:
        body: RequestBody = _bodies.decode(request.body)
    except msgspec.DecodeError as exc:
        raise ProtocolError(f"request {request.id} has no valid body: {exc}") from exc
    return body


def _now() -> float:
    return asyncio.get_running_loop().time()


def _deadline(request: Request) -> float:
    return _now() + request.timeout_ms / 1000
