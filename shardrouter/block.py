"""A transaction block: what a session keeps between BEGIN and COMMIT (docs/transactions.md).

Pure: the statements that ran with the digests of what the client was told, the savepoints among
them, the settings to go back to. It makes the requests that a leader is sent, and the transaction
that a COMMIT carries; it sends nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Literal

import msgspec
from msgspec import structs

from nodes.outcome_digest import chain, digest_of
from nodes.protocol import (
    ENTRY_BYTES_MAX,
    TRANSACTION_STEPS_MAX,
    Defined,
    Guard,
    Lock,
    Mark,
    Ran,
    Speculate,
    SqlFailure,
    Staged,
    Statement,
    StatementResult,
    Step,
    Transaction,
)
from shardrouter.draft import Draft, is_drafted
from shardrouter.errors import NotSupported, StatementError
from shardrouter.planned import Modes
from shardrouter.settings import Settings

__all__ = [
    "ASKED_BYTES_MAX",
    "HELD_BYTES_MAX",
    "Block",
    "lock_of",
    "serialization_failure",
    "spans_shards",
    "transaction_too_large",
]

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

LOCK_BYTES: Final = 16

_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True)
class _Savepoint:
    name: str
    settings: Settings
    kept: Settings
    draft: Draft | None


class Block:
    """From BEGIN to COMMIT or ROLLBACK.

    `settings` are the session's at BEGIN: what holds again after ROLLBACK. `kept` is what holds
    after COMMIT: without SET LOCAL.
    """

    def __init__(self, id: bytes, now_us: int, seed: int, settings: Settings) -> None:
        self.id = id
        self.now_us = now_us
        self.settings = settings
        self.kept = settings
        self.modes = Modes()
        """With which it began."""
        self.failed = False
        self.implicit = False
        """It is a unit of commit that the client has not begun with BEGIN, and ends with it."""
        self.shard = ""
        """Where it is; empty before its first statement that needs one."""
        self.writes = False
        """One of its statements is a write, whatever became of it."""
        self.locks = False
        """One of its statements has asked for a lock."""
        self.draft: Draft | None = None
        """The catalog as it has changed it, if it has."""
        self.defines = False
        """Some step changes the schema, if only to be taken back."""
        self._seed = seed
        self._steps: list[Step] = []
        self._marks: list[Step] = []  # the last of the steps, after the last statement
        self._chain = b""  # of the steps before these
        self._guards: dict[Guard, None] = {}
        self._bytes = 0  # of these steps
        self._fixed_bytes = 0  # of guards and names of stages, which an entry has to hold
        self._ahead: Staged | None = None  # has the steps before these
        self._stages: list[Staged] = []  # that the steps name
        self._bounded = True
        self._savepoints: list[_Savepoint] = []

    @property
    def status(self) -> Literal["T", "E"]:
        return "E" if self.failed else "T"

    @property
    def has_run(self) -> bool:
        """Whether a statement of it has been answered by a shard."""
        return self._chain != b""

    def guards_on(self, object: str) -> bool:
        """Whether an earlier statement relied on a version of this."""
        return any(guard.object == object for guard in self._guards)

    # ------------------------------------------------------------------ statements

    def move_to(self, shard: str) -> None:
        """The next statement runs on `shard`. Raises NotSupported if the block is elsewhere."""
        if self.shard and self.shard != shard:
            raise spans_shards(
                f"The transaction is on {self.shard}, this statement concerns {shard}."
            )
        self.shard = shard

    def published(self, guards: tuple[Guard, ...]) -> tuple[Guard, ...]:
        """Without those on tables as the block has made them, which no shard can know yet. What
        they were before is guarded by the statements that have changed them."""
        if self.draft is None:
            return guards
        return tuple(guard for guard in guards if not is_drafted(guard.version))

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
        transaction = Transaction(self.now_us, self._seed, steps, ahead)
        self.locks = self.locks or lock is not None
        is_quick = quick and self._bounded and not (self._stages and not base)
        return Speculate(self.id, transaction, guards, base, is_quick, lock, reads)

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
        for guard in guards:
            if guard not in self._guards:
                self._guards[guard] = None
                self._fixed_bytes += len(_encode(guard))
        staged = step.statement.staged if isinstance(step, Ran) else None
        if staged is not None:
            self._stages.append(staged)
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
        transaction = Transaction(self.now_us, self._seed, steps, self._ahead, stages)
        return transaction, tuple(self._guards)

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
        ahead = self._ahead.size if self._ahead is not None else 0
        return self._bytes + ahead + sum(staged.size for staged in self._stages)

    @property
    def fits_an_entry(self) -> bool:
        """Whether a COMMIT may carry them."""
        return self._bytes + self._fixed_bytes <= ENTRY_BYTES_MAX - ROOM_BYTES

    def sent_ahead(self, staged: Staged) -> None:
        """The shard keeps all steps so far, under this name."""
        self._ahead = staged
        self._steps.clear()
        self._bytes = 0

    # ------------------------------------------------------------------ savepoints

    def _mark(self, what: Literal["savepoint", "rollback", "release"], depth: int) -> None:
        if self.step_count >= TRANSACTION_STEPS_MAX and what != "rollback":
            raise _too_large(f"{TRANSACTION_STEPS_MAX} statements and savepoints")
        mark = Mark(what, depth)
        self._add(mark)
        self._marks.append(mark)

    def savepoint(self, name: str, settings: Settings) -> None:
        """SAVEPOINT; `settings` are the session's."""
        self._mark("savepoint", len(self._savepoints) + 1)
        self._savepoints.append(_Savepoint(name, settings, self.kept, self.draft))

    def roll_back_to(self, name: str) -> Settings:
        """ROLLBACK TO: it goes on from there, also after a failure; returns the settings of that
        moment. Raises StatementError 3B001."""
        place = self._find(name)
        self._mark("rollback", place + 1)
        del self._savepoints[place + 1 :]
        found = self._savepoints[place]
        self.kept = found.kept
        self.draft = found.draft
        self.failed = False
        return found.settings

    def release(self, name: str) -> None:
        """RELEASE: forget it and those within. Raises StatementError 3B001."""
        place = self._find(name)
        self._mark("release", place + 1)
        del self._savepoints[place:]

    @property
    def depth(self) -> int:
        """How many savepoints there are."""
        return len(self._savepoints)

    def _find(self, name: str) -> int:
        for place in reversed(range(len(self._savepoints))):
            if self._savepoints[place].name == name:
                return place
        raise StatementError(f'savepoint "{name}" does not exist', sqlstate="3B001")

    # ------------------------------------------------------------------ modes

    def with_modes(self, settings: Settings, modes: Modes) -> Settings:
        """The settings of the session under these modes. Raises StatementError 25001 for what
        comes too late."""
        if modes.isolation not in (None, settings.get("transaction_isolation")):
            assert modes.isolation is not None
            level = "SET TRANSACTION ISOLATION LEVEL"
            if self.has_run:
                raise _too_late(f"{level} must be called before any query")
            if self._savepoints:
                raise _too_late(f"{level} must not be called in a subtransaction")
            settings = settings.with_value("transaction_isolation", modes.isolation)
        if modes.read_only is not None:
            if self.has_run and settings.read_only and not modes.read_only:
                raise _too_late("transaction read-write mode must be set before any query")
            value = "on" if modes.read_only else "off"
            settings = settings.with_value("transaction_read_only", value)
        if modes.deferrable is not None:
            if self.has_run:
                raise _too_late("SET TRANSACTION [NOT] DEFERRABLE must be called before any query")
            value = "on" if modes.deferrable else "off"
            settings = settings.with_value("transaction_deferrable", value)
        return settings


def _too_late(message: str) -> StatementError:
    return StatementError(message, sqlstate="25001")


def _too_large(what: str) -> StatementError:
    return StatementError(
        f"a transaction may have {what}, not more",
        sqlstate="54000",
        hint="Commit more often.",
    )


def transaction_too_large(bytes_max: int) -> StatementError:
    """It would write more than the cluster allows."""
    return StatementError(
        f"the transaction is larger than {bytes_max} bytes",
        sqlstate="54000",
        detail="Write less at a time, or raise transaction_bytes_max in [limits] of cluster.toml.",
    )


def lock_of(statement: Statement, locking: str, timeout_s: float) -> Lock:
    """What SELECT ... FOR `locking` waits for: others that ask the same of the same rows, as
    their text and parameters tell. Two texts that mean one row do not wait for each other; then
    COMMIT finds it out."""
    asked = (statement.sql, statement.parameters)
    object = blake2b(_encode(asked), digest_size=LOCK_BYTES).digest()
    return Lock(object, locking in ("UPDATE", "NO KEY UPDATE"), round(timeout_s * 1000))


def spans_shards(detail: str) -> NotSupported:
    """A statement of a block that would leave its one shard."""
    return NotSupported(
        "a transaction over several shards is not supported",
        detail=detail,
        hint="Keep a transaction to rows with one shard-key value, or to home tables; "
        "`shardrouter where TABLE KEY` tells the shard.",
    )


def serialization_failure(reason: str) -> StatementError:
    """The transaction had no effect, and may be repeated whole."""
    return StatementError(
        f"could not serialize access due to {reason}",
        sqlstate="40001",
        hint="The transaction might succeed if it is repeated from its beginning.",
    )
