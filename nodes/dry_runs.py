"""When a leader tries a write before it proposes it, and what waits for that (DESIGN section 6).

    1. a read barrier: this replica leads, and its state holds all that was committed before
    2. the loan of the data file from the applier, which gives it when nothing is to be applied
    3. the run (`nodes.dry_run`), on a thread; the loop goes on
    4. the file goes back; the caller proposes what ended

Apply never waits for a dry run: when an entry is to be applied, the run is stopped (within some
thousand steps of SQLite, a sort being one step), rolled back, and begun again later. Ticks,
elections, reads and the log have nothing to do with it. But a write that runs for longer than
the pause between two entries would never come to its end on a busy shard. So after
STOPPED_TRIES the *proposals* of the group are held: what is in the log is still applied, then
nothing comes and the run is left alone. Those who wait lose at most `write_ms`, which is what
applying the same write would make them wait for anyway. If the office is lost meanwhile, what
was held was never proposed and is answered so.

One write of a group is tried at a time; some wait, more are answered Busy. The turn is shared with
the open transactions (`nodes.file_turn`).
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from nodes.bounds import Stop, Stopped
from nodes.config import WriteLimits
from nodes.engine import Engine
from nodes.file_turn import FileTurn
from nodes.protocol import Busy, NotLeader, ResponseBody, SqlFailure, Write

__all__ = ["DryRunMachine", "DryRuns"]

DRY_RUNS_MAX: Final = 32
"""Writes of one group that are tried or wait for it; one more is answered Busy."""

STOPPED_TRIES: Final = 2
"""So often is a run stopped for apply before proposals are held for it."""

_TIMED_OUT: Final = SqlFailure("57014", "canceling statement due to statement timeout")


class DryRunMachine(Protocol):
    """What it asks of the state machine."""

    async def dry_run(
        self, write: Write, limits: WriteLimits, timeout_s: float, stop: Stop
    ) -> ResponseBody | Stopped | None:
        """See `nodes.dry_run.DryRun.run`."""


class DryRuns:
    """The dry runs of one group."""

    def __init__(
        self, engine: Engine, machine: DryRunMachine, limits: WriteLimits, turn: FileTurn
    ) -> None:
        self._engine = engine
        self._machine = machine
        self._limits = limits
        self._turn = turn
        self._count = 0

    async def refusal(self, write: Write, deadline: float) -> ResponseBody | None:
        """Try `write` until `deadline`, a time of the loop; None if it may be proposed, else the
        answer, definite for this copy. Raises what must stop the replica."""
        if self._count >= DRY_RUNS_MAX:
            return Busy(f"{DRY_RUNS_MAX} writes are being tried")
        self._count += 1
        try:
            async with self._turn.taken(deadline):
                self._turn.give_up()
                return await self._refusal(write, deadline)
        except TimeoutError:
            return _TIMED_OUT
        finally:
            self._count -= 1

    async def _refusal(self, write: Write, deadline: float) -> ResponseBody | None:
        tries = 0
        is_holding = False
        try:
            while True:
                tries += 1
                if tries > STOPPED_TRIES and not is_holding:
                    self._engine.hold_proposals()
                    is_holding = True
                if (refusal := await self._barrier(deadline)) is not None:
                    return refusal
                outcome = await self._try(write, deadline)
                if not isinstance(outcome, Stopped):
                    return outcome
        finally:
            if is_holding:
                self._engine.release_proposals()

    async def _barrier(self, deadline: float) -> ResponseBody | None:
        passed: asyncio.Future[ResponseBody | None] = asyncio.get_running_loop().create_future()

        def done(refusal: ResponseBody | None) -> None:
            if not passed.done():  # its waiter may have given up
                passed.set_result(refusal)

        if not self._engine.leads:  # a follower may pass a read's barrier, but not propose
            return NotLeader(self._engine.status().leader)
        self._engine.read_barrier("linearizable", done)
        async with asyncio.timeout_at(deadline):
            return await passed

    async def _try(self, write: Write, deadline: float) -> ResponseBody | Stopped | None:
        stop = Stop()
        async with asyncio.timeout_at(deadline):
            if not await self._engine.borrow_file(stop.set):
                return Busy("the replica is stopping")
        try:
            time_left_s = deadline - asyncio.get_running_loop().time()
            return await self._machine.dry_run(write, self._limits, time_left_s, stop)
        finally:
            self._engine.return_file()
