"""What a transaction block does on one shard: its steps there, with the digests of what the client
was told (docs/transactions.md).

Pure: it makes the requests that the shard's leader is sent, and the transaction that a COMMIT
carries into the shard's log; it sends nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from msgspec import structs

from nodes.outcome_digest import chain, digest_of
from nodes.protocol import (
    ENTRY_BYTES_MAX,
    EVERY_SLOT,
    TRANSACTION_STEPS_MAX,
    Defined,
    Guard,
    Lock,
    Mark,
    Ran,
    Speculate,
    SqlFailure,
    Staged,
    StatementResult,
    Step,
    Transaction,
)
from shardrouter.errors import StatementError
from shardrouter.tied import tables_in

__all__ = ["ASKED_BYTES_MAX", "HELD_BYTES_MAX", "Branch"]

RESENT_BYTES_MAX: Final = 16 * 1024
"""Steps up to this size go along with every statement, in case that the leader has to run them
again; beyond it they are sent when it asks for them ..."""

ASKED_BYTES_MAX: Final = 64 * 1024
"""... and beyond this they are sent ahead then, into a stage, so that the next time their name is
enough (docs/transactions.md)."""

HELD_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of steps that only the session has; more are sent ahead. An entry that brings them makes the
leader run all steps again, so it is not done for less."""

ROOM_BYTES: Final = 16 * 1024
"""Of an entry, for what is not steps and guards."""

FIXED_BYTES_MAX: Final = ENTRY_BYTES_MAX // 2
"""Of guards and names of stages."""

QUICK_STEPS_MAX: Final = 64
"""Bounded statements that are together bounded work, applied on the node's loop."""

_encode = msgspec.msgpack.Encoder().encode


class Branch:
    """Of the block `id`, on `shard`. The statement at an ordinal among its steps draws its random
    numbers from the seed and that ordinal."""

    def __init__(self, id: bytes, now_us: int, seed: int, shard: str, depth: int) -> None:
        """`depth` savepoints are there already."""
        self.shard = shard
        self.writes = False
        """One of its statements is a write, whatever became of it."""
        self.locks = False
        """One of its statements has asked for a lock."""
        self.defines = False
        """Some step changes the schema, if only to be taken back."""
        self.large_reads_s = 0.0
        """How long the leader took to read what it answers in pieces."""
        self._id = id
        self._now_us = now_us
        self._seed = seed
        self._steps: list[Step] = []
        self._marks: list[Step] = []  # the last of the steps, after the last statement
        self._chain = b""  # of the steps before these
        self._guards: dict[Guard, None] = {}
        self._bytes = 0  # of these steps
        self._fixed_bytes = 0  # of guards and names of stages, which an entry has to hold
        self._ahead: Staged | None = None  # has the steps before these
        self._stages: list[Staged] = []  # that the steps name
        self._ahead_bytes = 0  # of all these
        self._bounded = True
        self._is_whole = False  # some statement names no slot: it touches all of its tables
        self._has_slots = False
        for place in range(1, depth + 1):
            self.mark("savepoint", place)

    @property
    def patience_ms(self) -> int:
        """How long its leader may take to prepare it for what it has to read: it tries it, and
        applies it."""
        return round(2000 * self.large_reads_s)

    @property
    def has_run(self) -> bool:
        """Whether a statement of it has been answered."""
        return self._chain != b""

    def guards_on(self, object: str) -> bool:
        """Whether an earlier statement relied on a version of this."""
        return any(guard.object == object for guard in self._guards)

    # ------------------------------------------------------------------ statements

    def request(
        self,
        new: Ran | Defined,
        guards: tuple[Guard, ...],
        *,
        quick: bool,
        whole: bool,
        lock: Lock | None = None,
        is_write: bool = True,
    ) -> Speculate:
        """For a statement that waits for `lock`, with all steps before it if `whole`, or if they
        are few; else with what stands for them. Raises StatementError (54000) if the transaction
        grows too large."""
        # Nothing that would be dear to run again, if it is run beside what is open.
        reads = self._bounded and not (self.writes or is_write)
        whole = whole or (reads and isinstance(new, Ran) and new.stream)
        if self.step_count >= TRANSACTION_STEPS_MAX:
            raise _too_large(f"{TRANSACTION_STEPS_MAX} statements and savepoints")
        if self._fixed_bytes + len(_encode(guards)) > FIXED_BYTES_MAX:
            raise _too_large(f"{FIXED_BYTES_MAX} bytes of names of what it relies on")
        is_small = self._ahead is None and self._bytes <= RESENT_BYTES_MAX
        if whole or not self._chain or is_small:
            steps, base, ahead = (*self._steps, new), b"", self._ahead
            guards = tuple({**self._guards, **dict.fromkeys(guards)})
        else:
            steps, base, ahead = (*self._marks, new), self._chain, None
        transaction = Transaction(self._now_us, self._seed, steps, ahead)
        self.locks = self.locks or lock is not None
        is_quick = quick and self._bounded and not (self._stages and not base)
        return Speculate(self._id, transaction, guards, base, is_quick, lock, reads)

    def took(
        self,
        step: Ran | Defined,
        guards: tuple[Guard, ...],
        outcome: StatementResult | SqlFailure,
        *,
        quick: bool,
        is_write: bool,
        digest: bytes = b"",
    ) -> None:
        """The client is told `outcome`: from now on the transaction stands and falls with it. If
        that is not all of it, `digest` is."""
        for mark in self._marks:
            self._chain = chain(self._chain, mark)
        self._marks.clear()
        step = structs.replace(step, digest=digest or digest_of(outcome))
        self._chain = chain(self._chain, step)
        self._add(step)
        has_slots = False
        for guard in guards:
            has_slots = has_slots or guard.object.startswith("slot:")
            if guard not in self._guards:
                self._guards[guard] = None
                self._fixed_bytes += len(_encode(guard))
        if guards:
            self._has_slots = self._has_slots or has_slots
            self._is_whole = self._is_whole or not has_slots
        staged = step.statement.staged if isinstance(step, Ran) else None
        if staged is not None:
            self._stages.append(staged)
            self._ahead_bytes += staged.size
            self._fixed_bytes += len(_encode(staged))
        self._bounded = self._bounded and quick
        self.writes = self.writes or is_write
        self.defines = self.defines or isinstance(step, Defined)

    def _add(self, step: Step) -> None:
        self._steps.append(step)
        self._bytes += len(_encode(step))

    def transaction(self) -> tuple[Transaction, tuple[Guard, ...]]:
        """What COMMIT carries: the steps, and what they rely on."""
        stages = tuple(self._stages) if self._ahead is not None else ()
        steps = tuple(self._steps)
        transaction = Transaction(self._now_us, self._seed, steps, self._ahead, stages)
        guards = tuple(self._guards)
        if self._is_whole and self._has_slots:
            guards = (*guards, EVERY_SLOT)
        return transaction, guards

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of the tables that it relies on."""
        return tables_in(self._guards)

    @property
    def is_bounded(self) -> bool:
        """All its statements are bounded work."""
        return self._bounded

    @property
    def is_quick(self) -> bool:
        """They are that together."""
        return self._bounded and not self._stages and self.step_count <= QUICK_STEPS_MAX

    # ------------------------------------------------------------------ sent ahead

    @property
    def step_count(self) -> int:
        """Of all its steps."""
        return len(self._steps) + (self._ahead.rows if self._ahead is not None else 0)

    @property
    def held(self) -> Sequence[Step]:
        """The steps that only the session has."""
        return self._steps

    def holds_more_than(self, size: int) -> bool:
        """Whether these are more bytes than `size`."""
        return self._bytes > size

    @property
    def size(self) -> int:
        """Bytes of all that it is to write."""
        return self._bytes + self._ahead_bytes

    @property
    def fits_an_entry(self) -> bool:
        """Whether a COMMIT may carry them."""
        return self._bytes + self._fixed_bytes <= ENTRY_BYTES_MAX - ROOM_BYTES

    def sent_ahead(self, staged: Staged) -> None:
        """The shard keeps all steps so far, under this name."""
        self._ahead_bytes += staged.size - (self._ahead.size if self._ahead is not None else 0)
        self._ahead = staged
        self._steps.clear()
        self._bytes = 0

    def mark(self, what: Literal["savepoint", "rollback", "release"], depth: int) -> None:
        """A savepoint is made, gone back to or forgotten. Raises StatementError (54000)."""
        if self.step_count >= TRANSACTION_STEPS_MAX and what != "rollback":
            raise _too_large(f"{TRANSACTION_STEPS_MAX} statements and savepoints")
        mark = Mark(what, depth)
        self._add(mark)
        self._marks.append(mark)


def _too_large(what: str) -> StatementError:
    return StatementError(
        f"a transaction may have {what}, not more",
        sqlstate="54000",
        hint="Commit more often.",
    )
