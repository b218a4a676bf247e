"""Killed, paused, restarted: what signals do to a process.

A kill is SIGKILL, and the process is started again at the end of the window. A pause is SIGSTOP
and SIGCONT: a long garbage collection, or a virtual machine that is moved. A restart is SIGTERM:
what an operator does, who expects that nobody notices.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from jepsen_like.adapters.database import Offer
from jepsen_like.backends.abilities import POWER
from jepsen_like.faults.compose import Package
from jepsen_like.faults.processes import (
    END_WAIT_S,
    Lasting,
    Look,
    ProcessFault,
    Victim,
)
from jepsen_like.faults.targets import Host, Target, as_target
from jepsen_like.interpose.disk import NotModelled, Survival
from jepsen_like.interpose.instruments import Loss
from jepsen_like.kernel import kernel
from jepsen_like.load import seconds

__all__ = [
    "Kill",
    "Pause",
    "Restart",
    "RollingRestart",
    "kill",
    "pause",
    "restart",
    "rolling_restart",
]

WRITE_WAIT_S: Final = 0.2
"""How long a process that is to die at its next write is waited for."""


KEPT: Final[Mapping[bool | str, Survival | None]] = {
    False: None,
    True: Survival.NOTHING,
    "torn": Survival.PREFIX,
    "pieces": Survival.PIECES,
    "any": Survival.ANY,
}


@dataclass(frozen=True)
class Kill:
    """SIGKILL; started again at the end of the window. With `loses`, as if its machine had lost
    its power: what was written and not synced is gone, but for what a disk may keep of it."""

    loses: Survival | None = None
    lot: int = 0  # draws what the disk keeps

    @property
    def kind(self) -> str:
        """A power cut is another thing to have survived, so the two are counted apart."""
        return "power cut" if self.loses else "kill"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset([POWER] if self.loses else [])

    @property
    def demands(self) -> frozenset[Offer]:
        return frozenset([Offer.PRELOAD, Offer.JOURNAL] if self.loses else [])

    def __str__(self) -> str:
        return "kill -9, unsynced writes lost," if self.loses else "kill -9"

    def drawn(self, rng: random.Random) -> Kill:
        return replace(self, lot=rng.randrange(1 << 32)) if self.loses else self

    def on(self, victim: Victim) -> Lasting:
        if self.loses is None:
            return _Dead(victim, signal.SIGKILL)
        return _PoweredOff(victim, self.loses, self.lot)


@dataclass(frozen=True)
class Restart:
    """SIGTERM; started again at the end of the window."""

    kind: ClassVar[str] = "restart"

    def __str__(self) -> str:
        return "restart"

    def drawn(self, rng: random.Random) -> Restart:
        return self

    def on(self, victim: Victim) -> Lasting:
        return _Dead(victim, signal.SIGTERM)


class _Dead(Lasting):
    """There is no process, until it is started again."""

    def __init__(self, victim: Victim, number: signal.Signals) -> None:
        super().__init__(victim)
        self._number = number
        self._is_gone = False

    async def _strike(self) -> bool:
        """Whether it is gone."""
        self.victim.signal(self._number)
        self.struck()
        if self._number is not signal.SIGTERM:
            return await self.victim.becomes("")
        gone = await self.victim.becomes("", timeout_s=END_WAIT_S)
        self.struck()  # it answered while it came to its end
        return gone

    async def begin(self) -> Sequence[Look]:
        victim = self.victim
        answered = await victim.answers()
        self._is_gone = await self._strike()
        return (
            (answered, f"before: process {victim.pid} answered at {victim.host}"),
            (self._is_gone, f"after {self._number.name}: there is no process {victim.pid}"),
        )

    async def still(self) -> Sequence[Look]:
        victim = self.victim
        silent = (
            kernel().state(victim.pid) == ""
            and await victim.processes.answering_pid(victim.host) is None
        )
        return [(silent, f"before the restart: nobody answered at {victim.host}")]

    async def heal(self) -> Sequence[Look]:
        if not self._is_gone:
            return [(False, "it still runs")]
        return [await self.victim.start_again()]


class _PoweredOff(_Dead):
    """Dead, and its disk holds what a power cut leaves.

    It dies right after a write that it has recorded, so that its journal and its files must agree;
    where they do not, the journal has missed something and nothing can be said.
    """

    def __init__(self, victim: Victim, survival: Survival, lot: int) -> None:
        super().__init__(victim, signal.SIGKILL)
        self._instrument = victim.instrument
        self._survival = survival
        self._lot = lot

    async def _strike(self) -> bool:
        self._instrument.control.die()
        gone = await self.victim.becomes("", timeout_s=WRITE_WAIT_S)
        self.struck()
        self._instrument.control.disarm()  # also if it was dead before: its next run must live
        return gone or await super()._strike()

    async def begin(self) -> Sequence[Look]:
        looks = await super().begin()
        if not self._is_gone:
            return looks
        try:
            loss = await asyncio.to_thread(
                self._instrument.lose_power, random.Random(self._lot), self._survival
            )
        except NotModelled as exc:
            return (*looks, (False, f"the power: its journal cannot be followed: {exc}"))
        agreed = loss.disagreement or "they agree"
        return (
            *looks,
            (not loss.disagreement, f"the journal of {self.victim.host} and its files: {agreed}"),
            (self._is_as_asked(loss), f"the power of {self.victim.host}: {loss}"),
        )

    def _is_as_asked(self, loss: Loss) -> bool:
        """All of it is gone; or what a disk may keep was kept; or there was nothing to lose, which
        the ledger says."""
        keeps_some = self._survival is not Survival.NOTHING
        return bool(loss.changed) or keeps_some or not loss.unsynced_bytes


@dataclass(frozen=True)
class Pause:
    """SIGSTOP, and SIGCONT at the end of the window."""

    kind: ClassVar[str] = "pause"

    def __str__(self) -> str:
        return "pause"

    def drawn(self, rng: random.Random) -> Pause:
        return self

    def on(self, victim: Victim) -> Lasting:
        return _Stopped(victim)


class _Stopped(Lasting):
    async def begin(self) -> Sequence[Look]:
        pid = self.victim.pid
        self.victim.signal(signal.SIGSTOP)
        self.struck()
        stopped = await self.victim.becomes("T")
        return [(stopped, f"after SIGSTOP: process {pid} is stopped (state T)")]

    async def still(self) -> Sequence[Look]:
        pid = self.victim.pid
        stopped = kernel().state(pid) == "T"
        return [(stopped, f"before SIGCONT: process {pid} is still stopped")]

    async def healed(self) -> Sequence[Look]:
        victim = self.victim
        answers = await victim.becomes(*"RSD") and await victim.answers()
        victim.site.say(f"{victim.host} goes on")
        return [
            (answers, f"after SIGCONT: process {victim.pid} runs and answered at {victim.host}")
        ]

    def undo(self) -> None:
        self.victim.signal(signal.SIGCONT)


@dataclass(frozen=True)
class RollingRestart:
    """Every host, one after the other, in the order of their names."""

    rest_between_s: float
    kind: ClassVar[str] = "rolling restart"
    name: ClassVar[str] = "rolling restart"
    hold_s: ClassVar[float] = 0.0  # known only when it is drawn, as its hosts are
    rest_s: ClassVar[float] = 0.0

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Package:
        rest = self.rest_between_s
        return Package(tuple(ProcessFault(Restart(), Host(name), 0.0, rest) for name in hosts))


def kill(
    target: Target | str,
    hold: str | float = "2s",
    rest: str | float = "3s",
    *,
    lose_unsynced: bool | str = False,
) -> ProcessFault:
    """SIGKILL the database process of the target; start it again after `hold`.

    `lose_unsynced`: what it wrote without an fsync is gone, as when its machine loses its power.
    True: all of it; "torn": all but a prefix whose last write is torn; "pieces": any 512 bytes
    of it are there or not; "any": for each file another of these. Raises ValueError.
    """
    if lose_unsynced not in KEPT:
        words = ", ".join(repr(word) for word in KEPT)
        raise ValueError(f"lose_unsynced={lose_unsynced!r} is none of {words}.")
    return ProcessFault(Kill(KEPT[lose_unsynced]), as_target(target), seconds(hold), seconds(rest))


def pause(target: Target | str, hold: str | float = "5s", rest: str | float = "3s") -> ProcessFault:
    """SIGSTOP the database process of the target; SIGCONT after `hold`."""
    return ProcessFault(Pause(), as_target(target), seconds(hold), seconds(rest))


def restart(
    target: Target | str, hold: str | float = "0s", rest: str | float = "3s"
) -> ProcessFault:
    """SIGTERM the database process of the target; start it again after `hold`."""
    return ProcessFault(Restart(), as_target(target), seconds(hold), seconds(rest))


def rolling_restart(rest: str | float = "3s") -> RollingRestart:
    """Restart every host, one after the other, `rest` after each."""
    return RollingRestart(seconds(rest))
