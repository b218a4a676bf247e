"""When a leader runs a statement of a transaction that is not committed, and what waits for that.

    1. for a transaction that this replica has not met: a read barrier, so that what its client
       sees is no older than the transaction
    2. its lock, if it asks for one (`nodes.row_locks`)
    3. the turn (`nodes.file_turn`), and the loan of the data file from the applier
    4. the steps (`nodes.speculation`): bounded work on the loop, other on a thread
    5. the file is kept, with the transaction open in it, until somebody wants it

A read whose rows come in pieces, of a transaction that has written nothing, needs neither turn nor
file: it is run beside, in a read transaction (`nodes.cursors`).

Apply never waits for a client: a transaction that is open and at rest is rolled back the moment an
entry is to be applied, and one that is at work is stopped within some thousand steps of SQLite and
begins again afterwards. As with a dry run, STOPPED_TRIES of those are followed by one that is left
alone, because the group's proposals are held meanwhile; `write_ms` bounds that.

The file is given back after IDLE_S without a statement, whatever became of the client.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from nodes.bounds import Stop, Stopped
from nodes.config import WriteLimits
from nodes.dry_runs import STOPPED_TRIES
from nodes.engine import Engine
from nodes.file_turn import FileTurn
from nodes.lock_waits import LockWaits, held_too_long
from nodes.protocol import Busy, Locked, NotLeader, Ran, ResponseBody, Speculate, SqlFailure
from nodes.row_locks import LAPSE_S, RowLocks
from nodes.transaction_unit import steps_in
from nodes.work import STOPPING, UNWANTED, Work

__all__ = ["SpeculatingMachine", "Speculations"]

WAITING_MAX: Final = 1024
"""Statements of one group that run or wait for their turn; one more is answered Busy."""

INLINE_STEPS_MAX: Final = 64
"""Bounded steps that run on the loop: well under a millisecond."""

IDLE_S: Final = 1.0
"""How long an open transaction is kept for a client that says nothing."""

MET_MAX: Final = 4096
"""Transactions that are known to have passed their barrier here."""

_TIMED_OUT: Final = SqlFailure("57014", "canceling statement due to statement timeout")


_LOCK_TIMEOUT: Final = SqlFailure("55P03", "canceling statement due to lock timeout")
_DEADLOCK: Final = SqlFailure(
    "40001",
    "could not serialize access due to a deadlock",
    detail="The transaction waits for rows of others, which wait for rows of this one.",
)


class SpeculatingMachine(Protocol):
    """What it asks of the state machine; see `nodes.speculation.Speculation`."""

    def speculate_now(
        self, asked: Speculate, limits: WriteLimits, timeout_s: float
    ) -> ResponseBody | Stopped:
        """Bounded work, at once."""

    async def speculate(
        self, asked: Speculate, limits: WriteLimits, timeout_s: float, stop: Stop
    ) -> ResponseBody | Stopped:
        """On a thread."""

    async def read_beside(self, asked: Speculate, timeout_s: float) -> ResponseBody:
        """A large read of a transaction that has written nothing: without the file."""

    @property
    def is_speculating(self) -> bool:
        """Whether a transaction is open."""

    def give_up_speculation(self) -> None:
        """Roll it back."""


class _Waiter:
    """A statement that waits for a lock until `until`, and may run until `deadline`."""

    __slots__ = ("asked", "deadline", "timer", "until", "work")

    timer: asyncio.TimerHandle

    def __init__(
        self,
        asked: Speculate,
        deadline: float,
        work: Work,
        until: float,
    ) -> None:
        self.asked = asked
        self.deadline = deadline
        self.work = work
        self.until = until


class Speculations:
    """The transactions of one group that are not committed. `failed` gets what the machine
    raised: its replica must stop."""

    def __init__(
        self,
        engine: Engine,
        machine: SpeculatingMachine,
        limits: WriteLimits,
        turn: FileTurn,
        failed: Callable[[Exception], None],
        waits: LockWaits,
    ) -> None:
        self._engine = engine
        self._machine = machine
        self._limits = limits
        self._turn = turn
        self._failed = failed
        self._waits = waits  # for outcomes of transactions over several groups
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._met: OrderedDict[bytes, None] = OrderedDict()
        self._locks = RowLocks()
        self._waiters: dict[bytes, _Waiter] = {}  # for locks, by transaction
        self._has_file = False
        self._running: Stop | None = None  # of the statement on the thread
        self._last_used = 0.0
        self._timer: asyncio.TimerHandle | None = None
        turn.give_up = self.give_up

    def ask(self, asked: Speculate, deadline: float, work: Work) -> None:
        """Run a statement until `deadline`, a time of the loop, and answer `work`."""
        if (elsewhere := self._not_leader()) is not None:
            work.answer(elsewhere)
        elif asked.id in self._met:
            self._lock(asked, deadline, work)
        else:
            self._engine.read_barrier(
                "linearizable", lambda refusal: self._meet(asked, deadline, work, refusal)
            )

    def _not_leader(self) -> NotLeader | None:
        """A follower may pass a barrier, and its state is one that was committed; but its client
        would learn only at COMMIT what is newer."""
        return None if self._engine.leads else NotLeader(self._engine.status().leader)

    def _meet(
        self,
        asked: Speculate,
        deadline: float,
        work: Work,
        refusal: ResponseBody | None,
    ) -> None:
        if refusal is not None:
            work.answer(refusal)
            return
        self._met[asked.id] = None
        if len(self._met) > MET_MAX:
            self._met.popitem(last=False)
        self._lock(asked, deadline, work)

    # ------------------------------------------------------------------ locks

    def _lock(self, asked: Speculate, deadline: float, work: Work) -> None:
        if work.is_unwanted:
            work.answer(UNWANTED)
            return
        lock, now = asked.lock, self._loop.time()
        self._locks.touch(asked.id, now)
        if lock is None or self._locks.take(asked.id, lock.object, now, exclusive=lock.exclusive):
            self._begin(asked, deadline, work)
        elif self._locks.is_deadlocked(asked.id):
            self._locks.give_up(asked.id)
            work.answer(_DEADLOCK)
        elif len(self._waiters) >= WAITING_MAX:
            self._locks.give_up(asked.id)
            work.answer(Busy(f"{WAITING_MAX} statements wait for locks"))
        else:
            until = now + lock.timeout_ms / 1000 if lock.timeout_ms else deadline
            self._waiters[asked.id] = waiter = _Waiter(asked, deadline, work, until)
            self._watch(waiter)
            work.ends_by(partial(self._end_wait, waiter, UNWANTED))

    def _watch(self, waiter: _Waiter) -> None:
        at = min(waiter.until, waiter.deadline, self._loop.time() + LAPSE_S / 4)
        waiter.timer = self._loop.call_at(at, self._try_lock, waiter)

    def _try_lock(self, waiter: _Waiter) -> None:
        """Somebody has ended, or time has passed."""
        asked, now = waiter.asked, self._loop.time()
        lock = asked.lock
        assert lock is not None
        waiter.timer.cancel()
        if self._locks.take(asked.id, lock.object, now, exclusive=lock.exclusive):
            del self._waiters[asked.id]
            self._begin(asked, waiter.deadline, waiter.work)
        elif now >= min(waiter.until, waiter.deadline):
            is_lock = waiter.until < waiter.deadline
            self._end_wait(waiter, _LOCK_TIMEOUT if is_lock else _TIMED_OUT)
        else:
            self._watch(waiter)

    def _end_wait(self, waiter: _Waiter, answer: ResponseBody) -> None:
        """It does not get the lock."""
        waiter.timer.cancel()
        del self._waiters[waiter.asked.id]
        self._locks.give_up(waiter.asked.id)
        waiter.work.answer(answer)

    def forget(self, id: bytes) -> None:
        """The transaction has ended."""
        self._locks.drop(id)
        for waiter in list(self._waiters.values()):
            self._try_lock(waiter)

    # ------------------------------------------------------------------ whether to wait

    def _begin(self, asked: Speculate, deadline: float, work: Work) -> None:
        if self._loop.time() >= deadline:
            work.answer(_TIMED_OUT)
        elif _is_inline(asked) and not self._turn.is_taken and self._has_file_now():
            self._ran(asked, deadline, work, self._run_now(asked, deadline))
        elif len(self._tasks) >= WAITING_MAX:
            work.answer(Busy(f"{WAITING_MAX} statements of transactions are waiting"))
        else:
            run = self._run_beside if asked.reads and _is_streamed(asked) else self._run
            task = self._loop.create_task(run(asked, deadline, work))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            # Not before it has begun: a task that has not would answer nobody.
            work.ends_by(partial(self._loop.call_soon, task.cancel))

    def _wait(self, asked: Speculate, deadline: float, work: Work, locked: Locked) -> None:
        """Begin again when the outcome of what holds its rows has been applied."""

        def resume(released: bool) -> None:
            if not released:
                work.answer(held_too_long(locked))
            elif work.is_unwanted:
                work.answer(UNWANTED)
            else:
                self._begin(asked, deadline, work)

        until = self._waits.until(deadline, asked.lock_ms)
        number = self._waits.until_released(until, resume)
        work.ends_by(partial(self._end_wait_for_outcome, number, work))

    def _end_wait_for_outcome(self, number: int, work: Work) -> None:
        self._waits.forget(number)
        work.answer(UNWANTED)

    # ------------------------------------------------------------------ running

    def _has_file_now(self) -> bool:
        if not self._has_file:
            self._has_file = self._engine.borrow_file_now(self._stop)
        return self._has_file

    def _run_now(self, asked: Speculate, deadline: float) -> ResponseBody:
        try:
            time_left_s = deadline - self._loop.time()
            outcome = self._machine.speculate_now(asked, self._limits, time_left_s)
        except Exception as exc:
            return self._broken(exc)
        assert not isinstance(outcome, Stopped), "nobody can stop what is done at once"
        self._keep()
        return outcome

    def _broken(self, error: Exception) -> ResponseBody:
        self.give_up()
        self._failed(error)
        return Busy(f"the replica stopped: {error}")

    async def _run(self, asked: Speculate, deadline: float, work: Work) -> None:
        try:
            async with self._turn.taken(deadline):
                result = await self._run_in_turn(asked, deadline)
        except TimeoutError:
            result = _TIMED_OUT
        except asyncio.CancelledError:
            work.answer(work.ended())
            raise
        self._ran(asked, deadline, work, result)

    def _ran(self, asked: Speculate, deadline: float, work: Work, result: ResponseBody) -> None:
        if isinstance(result, Locked):
            self._wait(asked, deadline, work, result)
        else:
            work.answer(result)

    async def _run_beside(self, asked: Speculate, deadline: float, work: Work) -> None:
        try:
            result = await self._machine.read_beside(asked, deadline - self._loop.time())
        except asyncio.CancelledError:
            work.answer(work.ended())
            raise
        except Exception as exc:
            result = self._broken(exc)
        self._ran(asked, deadline, work, result)

    async def _run_in_turn(self, asked: Speculate, deadline: float) -> ResponseBody:
        tries = 0
        is_holding = False
        try:
            while True:
                tries += 1
                if tries > STOPPED_TRIES and not is_holding:
                    self._engine.hold_proposals()
                    is_holding = True
                if not self._has_file:
                    async with asyncio.timeout_at(deadline):
                        self._has_file = await self._engine.borrow_file(self._stop)
                if not self._has_file:
                    return Busy("the replica is stopping")
                if (elsewhere := self._not_leader()) is not None:
                    self.give_up()
                    return elsewhere
                if _is_inline(asked):
                    return self._run_now(asked, deadline)
                outcome = await self._run_on_thread(asked, deadline)
                if not isinstance(outcome, Stopped):
                    return outcome
        finally:
            if is_holding:
                self._engine.release_proposals()

    async def _run_on_thread(self, asked: Speculate, deadline: float) -> ResponseBody | Stopped:
        stop = self._running = Stop()
        try:
            time_left_s = deadline - self._loop.time()
            outcome = await self._machine.speculate(asked, self._limits, time_left_s, stop)
        except asyncio.CancelledError:
            stop.set()
            raise
        except Exception as exc:
            self._running = None
            return self._broken(exc)
        finally:
            self._running = None
            if stop.is_set:
                self.give_up()
        self._keep()
        return outcome

    # ------------------------------------------------------------------ keeping the file

    def _stop(self) -> None:
        """Something is to be applied."""
        if self._running is not None:
            self._running.set()
        else:
            self.give_up()

    def _keep(self) -> None:
        """Keep the file if a transaction is open in it."""
        if not self._machine.is_speculating:
            self.give_up()
            return
        self._last_used = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(IDLE_S, self._look)

    def _look(self) -> None:
        """Give the file back if it was not used for long."""
        self._timer = None
        if not self._has_file or self._running is not None:
            return  # `_keep` comes again
        left_s = self._last_used + IDLE_S - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._look)
        else:
            self.give_up()

    def give_up(self) -> None:
        """Roll back what is open and at rest, and give the file back."""
        if self._has_file:
            self._has_file = False
            self._machine.give_up_speculation()
            self._engine.return_file()

    async def close(self) -> None:
        """Answer what runs or waits, and give the file back."""
        for waiter in self._waiters.values():
            waiter.timer.cancel()
            waiter.work.answer(STOPPING)
        self._waiters.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._timer is not None:
            self._timer.cancel()
        self.give_up()


def _is_inline(asked: Speculate) -> bool:
    transaction = asked.transaction
    return asked.quick and steps_in(transaction) <= INLINE_STEPS_MAX


def _is_streamed(asked: Speculate) -> bool:
    steps = asked.transaction.steps
    return bool(steps) and isinstance(steps[-1], Ran) and steps[-1].stream
