"""The open transaction on one data file: a cache of steps that ran and are not committed.

A client inside BEGIN wants the answer of each statement at once, while nothing of it may be in
the file before its COMMIT is in the log. So the leader runs the steps in a SQLite transaction that
never commits, and keeps that open for the next one. Whatever happens to it costs time only: the
steps come again with the next statement and are run again, each held to the answer that its
client was given (DESIGN section 8, docs/transactions.md).

There is one open transaction per file, for it takes the only write lock. Who may have that is
decided by `nodes.speculations`; used by one thread at a time.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec import structs

from nodes.bounds import Bounds, Stop, Stopped, stale_guard
from nodes.config import WriteLimits
from nodes.data_file import BEGIN_WRITE, ROLLBACK
from nodes.outcome_digest import chain
from nodes.protocol import (
    Guard,
    Mark,
    NotOpen,
    Ran,
    ResponseBody,
    Speculate,
    Speculated,
    Step,
)
from nodes.spool import Spool, SpoolFailed
from nodes.sql_connection import SqlConnection
from nodes.transaction_unit import (
    all_steps,
    digest_of_answer,
    refuse_difference,
    run_new,
    run_step,
)

__all__ = ["Speculation"]


class Speculation:
    """See the module. Opens nothing before the first statement."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: SqlConnection | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._id = b""  # of the open transaction; empty: none is open
        self._chain = b""  # of the steps that ran in it
        self._count = 0  # of these steps
        self._changes = 0  # of the connection, at its beginning
        self._checked: set[Guard] = set()  # they hold as long as it is open
        self._is_limited = False  # how much it may add
        self._has_limit = False  # one stands in the connection, from it or an earlier one
        self._spool: Spool | None = None  # of the last answer, if there is more of it

    @property
    def is_open(self) -> bool:
        """Whether a transaction keeps the file's write lock."""
        return bool(self._id)

    def run_now(
        self, asked: Speculate, limits: WriteLimits, timeout_s: float
    ) -> ResponseBody | Stopped:
        """Run bounded work on the calling thread. Raises what is damage."""
        return self._run(asked, limits, timeout_s, Stop())

    async def run(
        self, asked: Speculate, limits: WriteLimits, timeout_s: float, stop: Stop
    ) -> ResponseBody | Stopped:
        """The same on a thread of its own, until `stop`. A cancelled call waits for the end of
        the thread's work, so that nothing keeps the file behind its back."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="speculation")
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._thread, self._run, asked, limits, timeout_s, stop)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait([work])
            raise

    def take_spool(self) -> Spool | None:
        """What the last answer has left for later; whoever takes it closes it."""
        spool, self._spool = self._spool, None
        return spool

    def give_up(self) -> None:
        """Roll back what is open. Not while it runs."""
        self._id, self._chain, self._count = b"", b"", 0
        self._checked.clear()
        if self._connection is not None and self._connection.raw.in_transaction:
            self._connection.raw.execute(ROLLBACK)

    def close(self) -> None:
        """Not while it runs."""
        if self._thread is not None:
            self._thread.shutdown()
        if self._connection is not None:
            self.give_up()
            self._connection.close()

    # ----------------------------------------------------------------------- the work

    def _run(
        self, asked: Speculate, limits: WriteLimits, timeout_s: float, stop: Stop
    ) -> ResponseBody | Stopped:
        if self._connection is None:
            self._connection = SqlConnection(self._path, is_writer=True)
        raw = self._connection.raw
        bounds = Bounds(raw, self._path, limits, timeout_s, stop)
        bounds.watch()
        keeps = False
        try:
            done = self._steps_that_ran(asked)
            if done is None:
                return NotOpen()
            if not self.is_open:
                raw.execute(BEGIN_WRITE)
                self._id, self._changes = asked.id, raw.total_changes
                self._is_limited = False
            if not self._is_limited and (self._has_limit or not asked.quick):
                bounds.limit_growth()
                self._is_limited = self._has_limit = True
            if new := [guard for guard in asked.guards if guard not in self._checked]:
                if (stale := stale_guard(raw, new)) is not None:
                    return stale
                self._checked.update(new)
            answer = self._run_steps(self._connection, asked, done, bounds)
            keeps = True
            return answer
        except SpoolFailed as exc:
            return exc.failure
        except Exception as exc:
            return bounds.outcome(exc)
        finally:
            bounds.unwatch()
            if not keeps:
                self.give_up()

    def _steps_that_ran(self, asked: Speculate) -> int | None:
        """How many of the steps at hand ran in the open transaction already; None if steps were
        left out that it does not have. What is open of another transaction, or took another turn
        (a copy of a statement that its client has given up), is rolled back."""
        if asked.base:
            if (asked.id, asked.base) == (self._id, self._chain):
                return 0
            self.give_up()
            return None
        earlier = asked.transaction.steps[:-1]
        if (
            self._id == asked.id
            and asked.transaction.staged is None
            and self._count <= len(earlier)
        ):
            before = b""
            for step in earlier[: self._count]:
                before = chain(before, step)
            if before == self._chain:
                return self._count
        self.give_up()
        return 0

    def _run_steps(
        self, connection: SqlConnection, asked: Speculate, done: int, bounds: Bounds
    ) -> Speculated:
        """Run the steps that did not run yet; the answer of the last one. Raises Refused if one
        before it differs."""
        transaction = asked.transaction
        now_us, seed = transaction.now_us, transaction.seed
        *earlier, new = transaction.steps[done:]
        if isinstance(new, Mark):
            raise TypeError("a mark is not answered")
        if transaction.staged is not None:
            bounds.allow([transaction.staged])
        before = structs.replace(transaction, steps=tuple(earlier))
        for step in all_steps(connection, before):
            _allow(bounds, step)
            outcome = run_step(
                connection, step, self._count, now_us, seed, answered=bounds.allow_answer
            )
            refuse_difference(step, outcome, self._count)
            self._took(connection, step, bounds)
        _allow(bounds, new)
        directory = self._path.parent
        answer, self._spool = run_new(
            connection, new, self._count, now_us, seed, directory, bounds.allow_answer
        )
        self._took(connection, structs.replace(new, digest=digest_of_answer(answer)), bounds)
        return answer

    def _took(self, connection: SqlConnection, step: Step, bounds: Bounds) -> None:
        """A step has run. Raises Refused if it was too much."""
        bounds.refuse_rows(connection.raw.total_changes - self._changes)
        if isinstance(step, Ran) and step.statement.staged is not None:
            self._changes += step.statement.staged.rows
        self._chain = chain(self._chain, step)
        self._count += 1


def _allow(bounds: Bounds, step: Step) -> None:
    if isinstance(step, Ran) and step.statement.staged is not None:
        bounds.allow([step.statement.staged])
