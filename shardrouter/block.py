"""A transaction block: what a session keeps between BEGIN and COMMIT (docs/transactions.md).

Pure: a branch for each shard that it has to do with (`shardrouter.branch`), the savepoints, the
settings to go back to; it sends nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Literal

import msgspec

from nodes.protocol import (
    Guard,
    Lock,
    Statement,
)
from shardrouter.branch import Branch
from shardrouter.draft import Draft, is_drafted
from shardrouter.errors import StatementError
from shardrouter.planned import Modes
from shardrouter.settings import Settings

__all__ = [
    "Block",
    "lock_of",
    "serialization_failure",
    "transaction_too_large",
]

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
        self.branches: dict[str, Branch] = {}
        """Its shards, in the order in which they were last asked."""
        self.draft: Draft | None = None
        """The catalog as it has changed it, if it has."""
        self._seed = seed
        self._savepoints: list[_Savepoint] = []

    @property
    def status(self) -> Literal["T", "E"]:
        return "E" if self.failed else "T"

    @property
    def has_run(self) -> bool:
        """Whether a statement of it has been answered by a shard."""
        return any(branch.has_run for branch in self.branches.values())

    @property
    def writes(self) -> bool:
        """One of its statements is a write, whatever became of it."""
        return any(branch.writes for branch in self.branches.values())

    @property
    def defines(self) -> bool:
        """Some step changes the schema, if only to be taken back."""
        return any(branch.defines for branch in self.branches.values())

    @property
    def size(self) -> int:
        """Bytes of all that it is to write."""
        size = 0
        for branch in self.branches.values():  # before each statement
            size += branch.size
        return size

    def guards_on(self, object: str) -> bool:
        """Whether an earlier statement relied on a version of this."""
        return any(branch.guards_on(object) for branch in self.branches.values())

    # ------------------------------------------------------------------ statements

    def branch(self, shard: str) -> Branch:
        """That of `shard`, which is asked next."""
        found = self.branches.pop(shard, None)
        if found is None:
            # Else two shards would draw the same numbers.
            seed = self._seed if not self.branches else _other_seed(self._seed, shard)
            found = Branch(self.id, self.now_us, seed, shard, len(self._savepoints))
        self.branches[shard] = found
        return found

    @property
    def participants(self) -> list[Branch]:
        """Those that have to agree to its COMMIT: all that have answered, unless it is one that
        has only read."""
        found = [branch for branch in self.branches.values() if branch.has_run]
        return found if len(found) > 1 or any(branch.writes for branch in found) else []

    def published(self, guards: tuple[Guard, ...]) -> tuple[Guard, ...]:
        """Without those on tables as the block has made them, which no shard can know yet. What
        they were before is guarded by the statements that have changed them."""
        if self.draft is None:
            return guards
        return tuple(guard for guard in guards if not is_drafted(guard.version))

    # ------------------------------------------------------------------ savepoints

    def _mark_all(self, what: Literal["savepoint", "rollback", "release"], depth: int) -> None:
        for branch in self.branches.values():
            branch.mark(what, depth)

    def savepoint(self, name: str, settings: Settings) -> None:
        """SAVEPOINT; `settings` are the session's."""
        self._mark_all("savepoint", len(self._savepoints) + 1)
        self._savepoints.append(_Savepoint(name, settings, self.kept, self.draft))

    def roll_back_to(self, name: str) -> Settings:
        """ROLLBACK TO: it goes on from there, also after a failure; returns the settings of that
        moment. Raises StatementError 3B001."""
        place = self._find(name)
        self._mark_all("rollback", place + 1)
        del self._savepoints[place + 1 :]
        found = self._savepoints[place]
        self.kept = found.kept
        self.draft = found.draft
        self.failed = False
        return found.settings

    def release(self, name: str) -> None:
        """RELEASE: forget it and those within. Raises StatementError 3B001."""
        place = self._find(name)
        self._mark_all("release", place + 1)
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


def _other_seed(seed: int, shard: str) -> int:
    """Of a later branch."""
    said = _encode((seed, shard))
    return int.from_bytes(blake2b(said, digest_size=8).digest(), "big") >> 1


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


def serialization_failure(reason: str) -> StatementError:
    """The transaction had no effect, and may be repeated whole."""
    return StatementError(
        f"could not serialize access due to {reason}",
        sqlstate="40001",
        hint="The transaction might succeed if it is repeated from its beginning.",
    )
