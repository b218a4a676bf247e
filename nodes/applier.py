"""Feeds a replica's committed entries to its state machine: in order, in pieces, never late.

The event loop must go on while SQL runs: an UPDATE of a million rows took 0.4 s, long enough
for every group of the node to lose its leader. So entries of bounded work are applied on the
loop, all others on a thread, one batch at a time; what is committed meanwhile stays in the log,
which is the queue.

The machine's file has one writer at a time. While nothing is due it may be lent to somebody who
tries a write (`nodes.dry_runs`); the borrower is told to stop as soon as an entry is due, and the
entry waits for that on no thread of ours.

This module knows which entries are due and where they run; what they mean is the machine's
business, and who waits for an answer is the engine's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from nodes.engine import Answers, Committed, StateMachine, executes
from nodes.protocol import Checksum, Entry, SwitchFingerprint
from nodes.raft.log import RaftLog
from nodes.raft.messages import MEMBERSHIP_MARK

__all__ = ["Applier"]

INLINE_COMMANDS_MAX: Final = 256
"""Quick commands after which no further entry is applied before the loop looks at its sockets
again: about a millisecond."""

_ENDING: Final = (Checksum, SwitchFingerprint)
"""About the state right after them: a batch ends with one."""


class _Loan:
    """The machine's file, lent or to be lent to somebody who gives it back when `stop` says so."""

    __slots__ = ("given", "is_given", "returned", "stop")

    def __init__(self, stop: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self.stop = stop
        self.is_given = False
        self.given: asyncio.Future[bool] = loop.create_future()
        self.returned: asyncio.Future[None] = loop.create_future()


class Applier:
    """Applies to `machine` what `log` holds, up to where `commit_to` says.

    `applied` is told of every batch and its answers, on the loop; `more` is called when a batch
    on the thread has ended and `step` should be called again; `failed` gets the exception that
    ended it all. `known` gives an entry that somebody holds decoded, by index and term.
    """

    def __init__(
        self,
        name: str,
        machine: StateMachine,
        log: RaftLog,
        *,
        applied: Callable[[Sequence[Committed], Sequence[Answers]], None],
        more: Callable[[], None],
        failed: Callable[[Exception], None],
        known: Callable[[int, int], Entry | None] = lambda _index, _term: None,
    ) -> None:
        self._name = name
        self._machine = machine
        self._log = log
        self._applied = applied
        self._more = more
        self._failed = failed
        self._known = known
        self._next = machine.applied + 1
        self._commit = machine.applied
        self._ended = False
        self._resting = False
        self.is_halted = False
        """The next entry is a write that the machine may not apply: see `StateMachine.halted`.
        Another state, from a snapshot, may let it go on; nothing else does."""
        self._loan: _Loan | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._running: asyncio.Future[list[Answers]] | None = None
        self._decode = msgspec.msgpack.Decoder(Entry).decode

    def commit_to(self, index: int) -> None:
        """Entries up to `index` are committed and durable here."""
        self._commit = max(self._commit, index)

    @property
    def due(self) -> bool:
        """Whether `step` has something to do now."""
        return (
            self._next <= self._commit
            and not self._ended
            and not self._resting
            and self._running is None
            and not (self._loan is not None and self._loan.is_given)
            and not self.is_halted
        )

    @property
    def _is_at_rest(self) -> bool:
        """Nobody has the file."""
        return not self._resting and self._running is None and not self.due

    @property
    def busy(self) -> bool:
        """Whether the machine is with the thread; only its reads may be used meanwhile."""
        return self._running is not None

    def step(self) -> None:
        """Apply the next batch, or start to."""
        if self._loan is not None and self._loan.is_given and self._next <= self._commit:
            self._loan.stop()
        if self.due:
            self._step()
        self._lend()

    def _step(self) -> None:
        try:
            batch, is_quick = self._next_batch()
            if not batch:
                return
            if is_quick:
                self._finish(batch, self._machine.apply(batch))
                return
        except Exception as exc:
            self._fail(exc)
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"apply-{self._name}")
        loop = asyncio.get_running_loop()
        self._running = loop.run_in_executor(self._thread, self._machine.apply, batch)
        self._running.add_done_callback(lambda future: self._thread_done(batch, future))

    # ------------------------------------------------------------------ lending the file

    async def lend(self, stop: Callable[[], None]) -> bool:
        """Wait until nothing is due, then apply nothing before `take_back`; `stop` is called when
        something is due again. To one borrower at a time. False if nothing will be applied."""
        assert self._loan is None, "the file is lent to one borrower"
        loan = self._loan = _Loan(stop)
        self._lend()
        try:
            return await loan.given
        except asyncio.CancelledError:
            self.take_back()
            self._more()
            raise

    def lend_now(self, stop: Callable[[], None]) -> bool:
        """The same at once; False if nobody can have it now."""
        if self._loan is not None or self._ended or not self._is_at_rest:
            return False
        self._loan = _Loan(stop)
        self._lend()
        return True

    def _lend(self) -> None:
        loan = self._loan
        if loan is None or loan.is_given or loan.given.done():
            return  # done: who waited for it was cancelled, and takes it back in its next turn
        if self._ended:
            self._loan = None
            loan.given.set_result(False)
        elif self._is_at_rest:
            loan.is_given = True
            loan.given.set_result(True)

    def take_back(self) -> None:
        """The borrower is done; call `step` for what became due."""
        loan, self._loan = self._loan, None
        if loan is not None:
            loan.returned.set_result(None)

    async def rest(self) -> None:
        """Apply nothing before `resume`; return when the batch on the thread has ended, and the
        file is not lent."""
        self._resting = True
        if self._loan is not None and self._loan.is_given:
            self._loan.stop()
            await asyncio.wait({self._loan.returned})
        if self._running is not None:
            await asyncio.wait({self._running})

    def resume(self) -> None:
        """Go on after what the machine has applied, which may be another state now."""
        self._resting = False
        self.is_halted = False
        self._next = self._machine.applied + 1
        self._lend()

    def _next_batch(self) -> tuple[list[Committed], bool]:
        """The longest run of entries, from the next one on, that all go the same way: a quick
        entry behind a slow one must wait for it, but not make the loop do so; and whether they
        are quick. None at all if the next one is a write that may not be applied here."""
        first = self._next
        due = min(self._commit - first + 1, INLINE_COMMANDS_MAX)
        entries, _ = self._log.entries_for_message(first, due)
        batch: list[Committed] = []
        is_quick = True
        commands = 0
        is_halted = bool(self._machine.halted)  # changes with the last entry of a batch only
        for index, stored in enumerate(entries, first):
            data = stored.data
            entry: Entry | None = None
            # To the state machine a change of membership is a no-op.
            if data and data[:1] != MEMBERSHIP_MARK:
                entry = self._known(index, stored.term) or self._decode(data)
            bodies = () if entry is None else entry.bodies
            last = bodies[-1] if bodies else None
            if is_halted and last is not None and executes(last):
                self.is_halted = not batch
                break
            # Several commands in one entry are quick ones: see `Entry`.
            quick = last is None or len(bodies) > 1 or self._machine.is_quick(last)
            if quick is not is_quick:
                if batch:
                    break
                is_quick = quick
            batch.append((index, stored.term, entry))
            commands += len(bodies) or 1
            if commands >= INLINE_COMMANDS_MAX or isinstance(last, _ENDING):
                break
        return batch, is_quick

    def _finish(self, batch: list[Committed], answers: list[Answers]) -> None:
        self._next += len(batch)
        self._applied(batch, answers)

    def _thread_done(self, batch: list[Committed], future: asyncio.Future[list[Answers]]) -> None:
        self._running = None
        error = future.exception()
        if error is None:
            self._finish(batch, future.result())
            self._more()
            self._lend()
        elif isinstance(error, Exception):
            self._fail(error)
        else:
            raise error

    def _fail(self, error: Exception) -> None:
        self._ended = True
        self._lend()
        self._failed(error)

    async def close(self) -> None:
        """Apply nothing more; return when the thread has ended."""
        self._ended = True
        self._lend()
        if self._running is not None:
            await asyncio.wait({self._running})
        if self._thread is not None:
            self._thread.shutdown()
