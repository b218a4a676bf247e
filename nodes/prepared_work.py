"""What two-phase commit does to the data of one replica (`nodes.two_phase.Work`): the write of a
PREPARE is tried and undone, and run for good when its outcome is commit; that of a COMMIT is run.

Both times it runs from the same time (that of BEGIN), seed and entry of the log, on a state that is
the same for all that it reads or writes, so it answers the same. Where it does not, the promise
cannot be kept, and this replica's state is not the others': it stops. For the same reason the steps
of a transaction that only read are not run the second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Final

from nodes.data_file import RELEASE, ROLLBACK_TO, SAVEPOINT
from nodes.outcome_digest import DIGEST_BYTES, digest_of
from nodes.protocol import Guard, SessionId, SetVersion, SqlFailure, Stale, StatementResult, Write
from nodes.sql_connection import Refused, SqlConnection
from nodes.stage_content import stages_of
from nodes.two_phase import Held
from nodes.write_unit import run_write

__all__ = ["Broken", "PreparedWork"]


class Broken(Exception):
    """What was prepared cannot be done any more; the message is a sentence."""


class PreparedWork:
    """On the connection `writer`, inside the transaction of the entries that are applied.

    `stale` tells the first guard that fails, `changed` is told of versions that were set, `forget`
    of stages that nobody will name any more.
    """

    def __init__(
        self,
        writer: SqlConnection,
        *,
        stale: Callable[[Sequence[Guard]], Stale | None],
        changed: Callable[[Sequence[SetVersion]], None],
        forget: Callable[[Iterable[tuple[SessionId, int]]], None],
    ) -> None:
        self._writer = writer
        self.stale: Final = stale
        self._changed = changed
        self._forget = forget

    def try_out(
        self, write: Write, now_us: int, seed: int
    ) -> tuple[tuple[StatementResult, ...], bytes] | SqlFailure:
        """Run it and undo it. One that fails will not come again, nor what it names."""
        execute = self._writer.raw.execute
        execute(SAVEPOINT)
        try:
            answer = run_write(self._writer, write, now_us, seed)
        except Refused as exc:
            failure: SqlFailure | None = exc.failure
        else:
            failure = None
        execute(ROLLBACK_TO)
        execute(RELEASE)
        if failure is not None:
            self._forget(_names_of(write))
            return failure
        results = tuple(answer.results)
        return results, _digest(results)

    def commit(
        self, write: Write, now_us: int, seed: int
    ) -> tuple[StatementResult, ...] | SqlFailure:
        """Run it for good. Neither one that fails nor one that has run will come again."""
        execute = self._writer.raw.execute
        execute(SAVEPOINT)
        try:
            results = tuple(run_write(self._writer, write, now_us, seed).results)
        except Refused as exc:
            execute(ROLLBACK_TO)
            found: tuple[StatementResult, ...] | SqlFailure = exc.failure
        else:
            self._changed(write.sets)
            found = results
        execute(RELEASE)
        self._forget(_names_of(write))
        return found

    def run(self, held: Held) -> None:
        """Run it for good. Raises Broken."""
        write = held.prepare.write
        self._writer.begin_entry(held.index)
        try:
            begun_us = held.prepare.id.begun_us
            answer = run_write(self._writer, write, begun_us, held.seed, again=True)
        except Refused as exc:
            raise Broken(f"{_named(held)} fails: {exc.failure.message}.") from exc
        if _digest(tuple(answer.results)) != held.digest:
            raise Broken(f"{_named(held)} answers otherwise.")
        self._changed(write.sets)
        self.drop(held)

    def drop(self, held: Held) -> None:
        """It will not run, or has."""
        self._forget(_names_of(held.prepare.write))


def _names_of(write: Write) -> list[tuple[SessionId, int]]:
    return [(each.session, each.stage) for each in stages_of(write)]


def _digest(results: Sequence[StatementResult]) -> bytes:
    said = b"".join(map(digest_of, results))
    return blake2b(said, digest_size=DIGEST_BYTES).digest()


def _named(held: Held) -> str:
    return f"the transaction that entry {held.index} has prepared"
