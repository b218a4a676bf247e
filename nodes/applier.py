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

from nodes.engine import Committed, StateMachine
from nodes.protocol import (
    Checksum,
    Entry,
    EntryBody,
    ResponseBody,
    SwitchFingerprint,
    Write,
)
from nodes.raft.log import RaftLog
from nodes.raft.messages import membership_in

__all__ = ["Applied", "Applier"]

INLINE_ENTRIES_MAX: Final = 256
"""Quick entries applied before the loop looks at its sockets again: about a millisecond."""


class Applied(msgspec.Struct, frozen=True, gc=False):
    """One applied entry; `body` and `answer` are None for a leader's no-op."""

    index: int
    term: int
    now_us: int
    body: EntryBody | None
    answer: ResponseBody | None


class _Due:
    """A decoded batch."""

    __slots__ = ("committed", "decoded", "quick")

    def __init__(self, quick: bool) -> None:
        self.quick = quick
        self.committed: list[Committed] = []
        self.decoded: list[tuple[int, EntryBody | None]] = []  # (now_us, body)


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

    `applied` is told of every batch, on the loop; `more` is called when a batch on the thread
    has ended and `step` should be called again; `failed` gets the exception that ended it all.
    """

    def __init__(
        self,
        name: str,
        machine: StateMachine,
        log: RaftLog,
        *,
        applied: Callable[[Sequence[Applied]], None],
        more: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._name = name
        self._machine = machine
        self._log = log
        self._applied = applied
        self._more = more
        self._failed = failed
        self._next = machine.applied + 1
        self._commit = machine.applied
        self._ended = False
        self._resting = False
        self._is_halted = False
        self._loan: _Loan | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._running: asyncio.Future[list[ResponseBody | None]] | None = None
        self._entries = msgspec.msgpack.Decoder(Entry)
        self._bodies = msgspec.msgpack.Decoder(EntryBody)

    def commit_to(self, index: int) -> None:
        """Entries up to `index` are committed and durable here."""
        self._commit = max(self._commit, index)

    @property
    def due(self) -> bool:
        """Whether `step` has something to do now."""
        return (
            not self._ended
            and not self._resting
            and self._running is None
            and not self._is_lent
            and not self._is_halted
            and self._next <= self._commit
        )

    @property
    def is_halted(self) -> bool:
        """The next entry is a write that the machine may not apply: see `StateMachine.halted`.
        Another state, from a snapshot, may let it go on; nothing else does."""
        return self._is_halted

    @property
    def _is_lent(self) -> bool:
        return self._loan is not None and self._loan.is_given

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
            batch = self._next_batch()
            if batch is None:
                return
            if batch.quick:
                self._finish(batch, self._machine.apply(batch.committed))
                return
        except Exception as exc:
            self._fail(exc)
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"apply-{self._name}")
        loop = asyncio.get_running_loop()
        self._running = loop.run_in_executor(self._thread, self._machine.apply, batch.committed)
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

    def _lend(self) -> None:
        loan = self._loan
        if loan is None or loan.is_given:
            return
        if self._ended:
            self._loan = None
            loan.given.set_result(False)
        elif not self._resting and self._running is None and not self.due:
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
        self._is_halted = False
        self._next = self._machine.applied + 1
        self._lend()

    def _next_batch(self) -> _Due | None:
        """The longest run of entries, from the next one on, that all go the same way: a quick
        entry behind a slow one must wait for it, but not make the loop do so. None if the next
        one is a write that may not be applied here."""
        entries, _ = self._log.entries_for_message(self._next)
        batch: _Due | None = None
        index = self._next
        for entry in entries[: min(self._commit - self._next + 1, INLINE_ENTRIES_MAX)]:
            # To the state machine a change of membership is a no-op.
            data = entry.data if membership_in(entry) is None else b""
            now_us, body = self._decode(data)
            if isinstance(body, Write) and self._machine.halted:
                self._is_halted = batch is None
                break
            quick = body is None or self._machine.is_quick(body)
            if batch is None:
                batch = _Due(quick)
            elif batch.quick != quick:
                break
            batch.committed.append((index, entry.term, data))
            batch.decoded.append((now_us, body))
            index += 1
            if isinstance(body, Checksum | SwitchFingerprint):
                break  # about the state right after it: the batch ends with it
        return batch

    def _decode(self, data: bytes) -> tuple[int, EntryBody | None]:
        if not data:
            return 0, None
        entry = self._entries.decode(data)
        return entry.now_us, self._bodies.decode(entry.body)

    def _finish(self, batch: _Due, answers: list[ResponseBody | None]) -> None:
        self._next += len(batch.committed)
        self._applied(
            [
                Applied(index, term, now_us, body, answer)
                for (index, term, _), (now_us, body), answer in zip(
                    batch.committed, batch.decoded, answers, strict=True
                )
            ]
        )

    def _thread_done(self, batch: _Due, future: asyncio.Future[list[ResponseBody | None]]) -> None:
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
