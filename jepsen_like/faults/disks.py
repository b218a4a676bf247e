"""Disks that are slow, fail or are full, for one process, by the library that is loaded into it.

Only files below the database's data directory are touched. Verified by the library's counts of the
calls that the process made: how many were slow or failed, and that none was not. A disk that has
failed is mended at the end of the window and its process started again, as an operator would:
a database may not trust it before (Rebello et al., "Can applications recover from fsync
failures?", ATC 2020).
"""

from __future__ import annotations

import errno
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from jepsen_like.adapters.database import Offer
from jepsen_like.backends.abilities import REAL
from jepsen_like.faults.processes import SETTLE_S, Lasting, Look, ProcessFault, Victim, until
from jepsen_like.faults.targets import Target, as_target
from jepsen_like.load import seconds

__all__ = ["FailDisk", "SlowSync", "disk_full", "fsync_error", "slow_fsync", "write_error"]

EVERY_FILE = "*"


@dataclass(frozen=True)
class SlowSync:
    """Each fsync takes so much longer."""

    delay_s: float
    kind: ClassVar[str] = "slow fsync"
    needs: ClassVar[frozenset[str]] = frozenset({REAL})
    demands: ClassVar[frozenset[Offer]] = frozenset([Offer.PRELOAD])

    def __str__(self) -> str:
        return f"slow fsync, {self.delay_s * 1000:g} ms,"

    def drawn(self, rng: random.Random) -> SlowSync:
        return self

    def on(self, victim: Victim) -> Lasting:
        return _Slow(victim, self.delay_s)


class _Slow(Lasting):
    def __init__(self, victim: Victim, delay_s: float) -> None:
        super().__init__(victim)
        self._control = victim.instrument.control
        self._delay_s = delay_s
        self._slow = self._quick = 0

    async def begin(self) -> Sequence[Look]:
        self._slow = self._control.get("SYNCS_SLOW")
        self._control.set("SYNC_DELAY_NS", round(self._delay_s * 1e9))
        return [await self._look("at the start", count_quick=False)]

    async def still(self) -> Sequence[Look]:
        return [await self._look("at the end", count_quick=True)]

    async def _look(self, when: str, *, count_quick: bool) -> Look:
        """One more that was slow; those that were on their way when it began may be quick."""
        before = self._slow
        came = await until(
            lambda: self._control.get("SYNCS_SLOW") > before, SETTLE_S + self._delay_s
        )
        self._slow = self._control.get("SYNCS_SLOW")
        quick = self._control.get("SYNCS_QUICK") - self._quick if count_quick else 0
        self._quick = self._control.get("SYNCS_QUICK")
        words = (
            f"{when}: {self._slow - before} syncs of process {self.victim.pid} took "
            f"{self._delay_s * 1000:g} ms or more, {quick} took less"
        )
        return came and not quick, words

    def undo(self) -> None:
        self._control.set("SYNC_DELAY_NS", 0)


@dataclass(frozen=True)
class FailDisk:
    """Writes, or syncs, fail with an error and do nothing."""

    what: str
    calls: str  # "W": writes, "S": syncs
    error: int
    kind: ClassVar[str] = "disk"
    needs: ClassVar[frozenset[str]] = frozenset({REAL})
    demands: ClassVar[frozenset[Offer]] = frozenset([Offer.PRELOAD])

    def __str__(self) -> str:
        return self.what

    def drawn(self, rng: random.Random) -> FailDisk:
        return self

    def on(self, victim: Victim) -> Lasting:
        return _Failing(victim, self)


class _Failing(Lasting):
    def __init__(self, victim: Victim, deed: FailDisk) -> None:
        super().__init__(victim)
        self._control = victim.instrument.control
        self._deed = deed
        self._done = 0

    async def begin(self) -> Sequence[Look]:
        self._control.fail(self._deed.calls, EVERY_FILE, self._deed.error)
        failed = await until(lambda: self._control.get("FAILED") > 0, SETTLE_S)
        self._done = self._count()
        return [(failed, f"at the start: {self._words()}")]

    async def still(self) -> Sequence[Look]:
        done = self._count() - self._done
        failed = self._control.get("FAILED") > 0
        return [(failed and not done, f"at the end: {self._words()}, and {done} succeeded since")]

    def _words(self) -> str:
        calls = "writes" if self._deed.calls == "W" else "syncs"
        name = errno.errorcode[self._deed.error]
        return f"{self._control.get('FAILED')} {calls} of process {self.victim.pid} failed ({name})"

    def _count(self) -> int:
        """Calls that were not to fail. A sync counts when it begins: one that is on its way when
        the disk begins to fail may still succeed."""
        return self._control.get("WRITES" if self._deed.calls == "W" else "SYNCS_BEGUN")

    async def heal(self) -> Sequence[Look]:
        self.undo()
        if not await self.victim.end():
            return [(False, f"process {self.victim.pid} does not end")]
        return [await self.victim.start_again()]

    def undo(self) -> None:
        self._control.fail_no_more()


def slow_fsync(
    target: Target | str, by: str | float, hold: str | float = "5s", rest: str | float = "3s"
) -> ProcessFault:
    """Each fsync of the target's database process takes `by` longer. Raises ValueError."""
    delay_s = seconds(by)
    if not delay_s:
        raise ValueError("a slow fsync takes some time: more than nothing.")
    return ProcessFault(SlowSync(delay_s), as_target(target), seconds(hold), seconds(rest))


def fsync_error(
    target: Target | str, hold: str | float = "2s", rest: str | float = "3s"
) -> ProcessFault:
    """Each fsync fails with EIO, and what it was to make durable never is."""
    return _failing(FailDisk("fsync error", "S", errno.EIO), target, hold, rest)


def write_error(
    target: Target | str, hold: str | float = "2s", rest: str | float = "3s"
) -> ProcessFault:
    """Each write fails with EIO."""
    return _failing(FailDisk("write error", "W", errno.EIO), target, hold, rest)


def disk_full(
    target: Target | str, hold: str | float = "2s", rest: str | float = "3s"
) -> ProcessFault:
    """Each write, and each new file, fails with ENOSPC."""
    return _failing(FailDisk("disk full", "W", errno.ENOSPC), target, hold, rest)


def _failing(
    deed: FailDisk, target: Target | str, hold: str | float, rest: str | float
) -> ProcessFault:
    return ProcessFault(deed, as_target(target), seconds(hold), seconds(rest))
