"""Answers clients' requests to one group, with whatever engine replicates it.

A write becomes a proposal, after a dry run if nobody can tell what it costs; a read waits for
its barrier and then runs on the state machine; a statement of a transaction that is not committed
runs there as well, and leaves nothing behind.
This module knows the order of these steps and the deadline; consensus is the engine's business,
SQL the machine's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from nodes.config import WriteLimits
from nodes.dry_runs import DryRunMachine, DryRuns
from nodes.engine import Engine, Refuse
from nodes.file_turn import FileTurn
from nodes.instants import Instants, PinningMachine
from nodes.lock_waits import LockWaits, held_too_long
from nodes.protocol import (
    Busy,
    ChangeReplicas,
    CloseCursor,
    CloseGate,
    Commit,
    Done,
    EntryBody,
    Fetch,
    Forget,
    Locked,
    MoveLeadership,
    Prepare,
    Read,
    Request,
    RequestBody,
    ResponseBody,
    Speculate,
    SqlFailure,
    Stage,
    Write,
)
from nodes.speculations import SpeculatingMachine, Speculations
from nodes.stage_content import staged_bytes
from nodes.stages import too_large
from nodes.work import UNWANTED, Work

__all__ = ["GroupService", "ServedMachine", "decode_body"]

LONG_READS_MAX: Final = 64
"""Reads of unbounded work waiting for the thread of one group; more are answered Busy."""

decode_body: Final = msgspec.msgpack.Decoder(RequestBody).decode
"""The body of a request. Raises msgspec.DecodeError if it is none."""

Answer = Callable[[ResponseBody], None]

_TOO_LATE: Final = Busy("its time was over before it could be read")


class ServedMachine(DryRunMachine, SpeculatingMachine, PinningMachine, Protocol):
    """What requests need of the state machine."""

    def check(self, body: EntryBody, size: int) -> SqlFailure | Busy | Locked | None:
        """An answer, definite for this copy, that is known before the command, which has `size`
        bytes, enters the log."""

    def stage_refusal(self, piece: Stage, bytes_max: int) -> SqlFailure | None:
        """Why a chunk of a stage is not taken: there would be too much."""

    @property
    def prepared(self) -> object:
        """What is held for transactions over several groups; another object when that changes."""

    def needs_dry_run(self, body: EntryBody) -> bool:
        """Whether a command has to be tried before it is proposed."""

    def read(self, read: Read) -> ResponseBody:
        """Bounded work."""

    async def read_long(self, read: Read, timeout_s: float) -> ResponseBody:
        """On a thread, interrupted after `timeout_s`."""

    async def read_stream(self, read: Read, timeout_s: float) -> ResponseBody:
        """The same, in pieces if there is much."""

    async def read_pinned(self, read: Read, timeout_s: float) -> ResponseBody:
        """The same, in a state that is pinned."""

    async def fetch(self, asked: Fetch, timeout_s: float) -> ResponseBody:
        """The next piece."""


class GroupService:
    """One group's requests. Each `answer` is called once, now or later. `failed` gets what the
    machine raised: its replica must stop."""

    def __init__(
        self,
        engine: Engine,
        machine: ServedMachine,
        *,
        limits: WriteLimits,
        failed: Callable[[Exception], None],
    ) -> None:
        self._engine = engine
        self._machine = machine
        self._failed = failed
        self._limits = limits
        turn = FileTurn()
        self._dry_runs = DryRuns(engine, machine, limits, turn)
        self._waits = LockWaits(lambda: machine.prepared)
        engine.turned = self._waits.look
        self._speculations = Speculations(engine, machine, limits, turn, failed, self._waits)
        self.instants = Instants(engine, machine, failed)
        self._now = asyncio.get_running_loop().time
        self._tries: set[asyncio.Task[None]] = set()
        self._long_reads: set[asyncio.Task[None]] = set()

    def on_read(self, request: Request, read: Read, answer: Answer) -> Work | None:
        timeout_s = request.timeout_ms / 1000
        if read.pin:
            reading = Work(answer)
            self._read_long(self._machine.read_pinned(read, timeout_s), reading)
            return reading
        deadline = self._now() + timeout_s
        work = None if read.quick else Work(answer)
        passed = (
            partial(self._read_quick, read, deadline, answer)
            if work is None
            else partial(self._read, read, deadline, work)
        )
        self._engine.read_barrier(read.consistency, passed, at_follower=read.at_follower)
        return work

    def on_command(self, request: Request, command: EntryBody, answer: Answer) -> Work | None:
        body = request.body
        deadline = self._now() + request.timeout_ms / 1000
        refuse = partial(self._refusal, command, len(body), deadline)
        # A quick write, and that is nearly all of them, is not even asked about.
        write = command.write if isinstance(command, Prepare | Commit) else command
        if isinstance(write, Write) and not write.quick and self._machine.needs_dry_run(command):
            work = Work(answer)
            trying = self._try_and_propose(body, command, write, deadline, work, refuse)
            self._start(self._tries, trying, work)
            return work
        self._engine.propose(body, answer, command=command, refuse=refuse)
        return None

    def _refusal(self, command: EntryBody, size: int, deadline: float) -> ResponseBody | None:
        """Why a command is not proposed now; None if it may be."""
        if self._now() > deadline:
            return Busy("its time was over before it could be proposed")
        bytes_max = self._limits.transaction_bytes_max
        if isinstance(command, Stage):
            refusal = self._machine.stage_refusal(command, bytes_max)
            return refusal or self._machine.check(command, size)
        write = command.write if isinstance(command, Prepare | Commit) else command
        if isinstance(write, Write) and not write.quick and _is_large(write, bytes_max):
            return too_large(bytes_max)
        return self._machine.check(command, size)

    async def _try_and_propose(
        self,
        body: msgspec.Raw,
        command: EntryBody,
        write: Write,
        deadline: float,
        work: Work,
        refuse: Refuse,
    ) -> None:
        """A write of unbounded work is tried before it is proposed; then it is nobody's to give
        up."""
        answer = work.answer
        try:
            refusal = refuse() or await self._dry_runs.refusal(write, deadline)
        except asyncio.CancelledError:
            answer(work.ended())
            raise
        except Exception as exc:
            self._failed(exc)
            refusal = Busy(f"the replica stopped: {exc}")
        if refusal is not None:
            answer(refusal)
        else:
            work.ends_by(_nothing)
            self._engine.propose(body, answer, command=command, refuse=refuse)

    def on_close_gate(self, request: Request, asked: CloseGate, answer: Answer) -> Work:
        work = Work(answer)
        self.instants.on_close(asked, request.timeout_ms / 1000, work)
        return work

    def on_speculate(self, request: Request, asked: Speculate, answer: Answer) -> Work:
        work = Work(answer)
        self._speculations.ask(asked, self._now() + request.timeout_ms / 1000, work)
        return work

    def on_forget(self, forget: Forget, answer: Answer) -> None:
        self._speculations.forget(forget.id)
        answer(Done((), 0))

    def on_change(self, change: ChangeReplicas | MoveLeadership, answer: Answer) -> None:
        self._engine.change(change, answer)

    def _read_quick(
        self, read: Read, deadline: float, answer: Answer, refusal: ResponseBody | None
    ) -> None:
        if refusal is not None:
            answer(refusal)
        elif self._now() >= deadline:
            answer(_TOO_LATE)
        else:
            try:
                result = self._machine.read(read)
            except Exception as exc:
                self._failed(exc)
                result = Busy(f"the replica stopped: {exc}")
            if isinstance(result, Locked):
                self._wait(read, deadline, answer, result)
            else:
                answer(result)

    def _wait(self, read: Read, deadline: float, answer: Answer, locked: Locked) -> None:
        """Read when the outcome has been applied. What it saw of the log is here by then."""

        def resume(released: bool) -> None:
            if released:
                self._read_quick(read, deadline, answer, None)
            else:
                answer(held_too_long(locked))

        self._waits.until_released(self._waits.until(deadline, read.lock_ms), resume)

    def _read(self, read: Read, deadline: float, work: Work, refusal: ResponseBody | None) -> None:
        time_left_s = deadline - self._now()
        if refusal is not None:
            work.answer(refusal)
        elif work.is_unwanted:
            work.answer(UNWANTED)
        elif time_left_s <= 0:
            work.answer(_TOO_LATE)
        else:
            self._read_long(self._read_freed(read, deadline), work)

    async def _read_freed(self, read: Read, deadline: float) -> ResponseBody:
        """The answer to a long read, when nothing holds what it reads."""
        begin = self._machine.read_stream if read.stream else self._machine.read_long
        while True:
            result = await begin(read, deadline - self._now())
            if not isinstance(result, Locked):
                return result
            if not await self._waits.released(self._waits.until(deadline, read.lock_ms)):
                return held_too_long(result)

    def on_fetch(self, request: Request, asked: Fetch, answer: Answer) -> Work:
        """The next piece of a read that began here, whoever leads by now."""
        work = Work(answer)
        self._read_long(self._machine.fetch(asked, request.timeout_ms / 1000), work)
        return work

    def on_close_cursor(self, asked: CloseCursor, answer: Answer) -> None:
        answer(self._machine.close_cursor(asked))

    def _read_long(self, reading: Coroutine[Any, Any, ResponseBody], work: Work) -> None:
        if len(self._long_reads) >= LONG_READS_MAX:
            reading.close()
            work.answer(Busy(f"{LONG_READS_MAX} long reads are waiting"))
        else:
            self._start(self._long_reads, self._answer_long(reading, work), work)

    async def _answer_long(self, reading: Coroutine[Any, Any, ResponseBody], work: Work) -> None:
        try:
            result = await reading
        except asyncio.CancelledError:
            work.answer(work.ended())
            raise
        except Exception as exc:
            self._failed(exc)
            result = Busy(f"the replica stopped: {exc}")
        work.answer(result)

    @staticmethod
    def _start(
        tasks: set[asyncio.Task[None]], doing: Coroutine[Any, Any, None], work: Work
    ) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(doing)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        # Not before it has begun: a task that has not would answer nobody.
        work.ends_by(partial(loop.call_soon, task.cancel))

    async def close(self) -> None:
        """End what runs on threads; return when it has ended."""
        self._waits.close()
        tasks = [*self._tries, *self._long_reads]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self.instants.close()
        await self._speculations.close()


def _is_large(write: Write, bytes_max: int) -> bool:
    """Whether what was sent ahead for it, in however many stages, is more than `bytes_max`."""
    return staged_bytes(write) > bytes_max


def _nothing() -> None:
    pass
