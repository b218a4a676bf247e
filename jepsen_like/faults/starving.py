"""A process that gets a share of a CPU only.

Where the harness may make a control group, the kernel sees to it: the process goes on in turns of
its own, and waits when its share of a tenth of a second is used up (CFS bandwidth control). Else
it is stopped for the rest of each tenth of a second (SIGSTOP, SIGCONT), which works wherever
signals do, and lets it run for its share whether it has something to do or not. The ledger says
which. Verified by the kernel: in the group with its limit, or stopped in each turn; and no more
CPU time used than it was given.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from jepsen_like.backends.abilities import REAL
from jepsen_like.backends.cgroups import CgroupError, Limited
from jepsen_like.faults.processes import Lasting, Look, ProcessFault, Victim
from jepsen_like.faults.targets import Target, as_target
from jepsen_like.load import seconds

__all__ = ["StarveCpu", "starve_cpu"]

TURN_S: Final = 0.1

FIRST_TURNS: Final = 3
"""Turns that are looked at before the fault counts as begun."""

SHARE_TOLERANCE: Final = 0.1
"""How much more than its share a process may run: the harness is not always there in time."""

TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class StarveCpu:
    """Runs for `share` of the time."""

    share: float
    kind: ClassVar[str] = "starve"
    needs: ClassVar[frozenset[str]] = frozenset({REAL})

    def __str__(self) -> str:
        return f"{self.share:.0%} of the CPU for"

    def drawn(self, rng: random.Random) -> StarveCpu:
        return self

    def on(self, victim: Victim) -> Lasting:
        return _Starved(victim, self.share)


class _Starved(Lasting):
    """In the way that works here."""

    def __init__(self, victim: Victim, share: float) -> None:
        super().__init__(victim)
        self._share = share
        self._way: _Way | None = None

    async def begin(self) -> Sequence[Look]:
        victim = self.victim
        try:
            self._way = _Limited(victim, self._share, Limited(victim.pid, self._share))
        except CgroupError as exc:
            self._way = _Stopped(victim, self._share, str(exc))
        return [await self._way.begin()]

    async def still(self) -> Sequence[Look]:
        assert self._way is not None
        return [await self._way.still()]

    async def heal(self) -> Sequence[Look]:
        self.undo()
        return ()

    async def healed(self) -> Sequence[Look]:
        victim = self.victim
        answers = await victim.becomes(*"RSD") and await victim.answers()
        return [(answers, f"after the heal: process {victim.pid} runs and answered")]

    def undo(self) -> None:
        if self._way is not None:
            self._way.undo()


class _Way(ABC):
    def __init__(self, victim: Victim, share: float) -> None:
        self.victim = victim
        self._share = share
        self._began_s = time.monotonic()
        self._cpu_s = _cpu_seconds(victim.pid)

    def _since(self) -> tuple[float, float]:
        """How long it has lasted, and the CPU time that was used."""
        return time.monotonic() - self._began_s, _cpu_seconds(self.victim.pid) - self._cpu_s

    @abstractmethod
    async def begin(self) -> Look: ...

    @abstractmethod
    async def still(self) -> Look: ...

    @abstractmethod
    def undo(self) -> None:
        """May come again."""


class _Limited(_Way):
    """By the kernel."""

    def __init__(self, victim: Victim, share: float, limited: Limited) -> None:
        super().__init__(victim, share)
        self._limited = limited

    async def begin(self) -> Look:
        await asyncio.sleep(FIRST_TURNS * TURN_S)
        return self._look("at the start")

    async def still(self) -> Look:
        return self._look("at the end")

    def _look(self, when: str) -> Look:
        passed_s, used_s = self._since()
        holds = self._limited.holds()
        good = holds and used_s <= (self._share + SHARE_TOLERANCE) * passed_s + 2 * TICK_S
        return good, (
            f"{when}: process {self.victim.pid} {'was' if holds else 'was not'} held by "
            f"{self._limited.words}, used {used_s:.2f} s of CPU time in {passed_s:.1f} s and "
            f"wanted more in {self._limited.held_back() if holds else 0} turns"
        )

    def undo(self) -> None:
        self._limited.release()


class _Stopped(_Way):
    """By stopping it, for want of a control group."""

    def __init__(self, victim: Victim, share: float, why: str) -> None:
        super().__init__(victim, share)
        self._why = why
        self._turns = self._stopped = 0
        self._ran_s = 0.0
        self._turning: asyncio.Task[None] | None = None
        self._begun = asyncio.Event()
        self._is_over = False

    async def _turn(self) -> None:
        victim = self.victim
        while not self._is_over:
            began_s = time.monotonic()
            victim.signal(signal.SIGCONT)
            await asyncio.sleep(TURN_S * self._share)
            victim.signal(signal.SIGSTOP)
            self._ran_s += time.monotonic() - began_s
            self._stopped += await victim.becomes("T")
            self._turns += 1
            # Until its share is right again: the harness may have come late to stop it.
            due_s = self._began_s + self._ran_s / self._share
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            if self._turns == FIRST_TURNS:
                self._begun.set()

    async def begin(self) -> Look:
        self._began_s = time.monotonic()
        self._cpu_s = _cpu_seconds(self.victim.pid)
        self._turning = asyncio.ensure_future(self._turn())
        await self._begun.wait()
        good, words = self._look("at the start")
        return good, f"{words}; by signals, for {self._why}"

    async def still(self) -> Look:
        assert self._turning is not None
        self._is_over = True
        await self._turning  # to the end of a turn
        return self._look("at the end")

    def _look(self, when: str) -> Look:
        passed_s, used_s = self._since()
        share = self._ran_s / passed_s
        good = (
            self._stopped == self._turns
            and share <= self._share + SHARE_TOLERANCE
            and used_s <= self._ran_s * (os.cpu_count() or 1) + 2 * TICK_S
        )
        return good, (
            f"{when}: process {self.victim.pid} was stopped in {self._stopped} of {self._turns} "
            f"turns, ran for {share:.0%} of {passed_s:.1f} s and used {used_s:.2f} s of CPU time"
        )

    def undo(self) -> None:
        if self._turning is not None:
            self._turning.cancel()
        self.victim.signal(signal.SIGCONT)


def _cpu_seconds(pid: int) -> float:
    """User and system time of all its threads so far; 0 where it cannot be seen."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0.0
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def starve_cpu(
    target: Target | str,
    share: str = "10%",
    hold: str | float = "5s",
    rest: str | float = "3s",
) -> ProcessFault:
    """The target's database process runs for `share` of the time only. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", share)
    part = float(match[1]) / 100 if match else 0.0
    if not 0 < part < 1:
        raise ValueError(f"{share!r} is no share of a CPU; write 10%, more than 0% and below 100%.")
    return ProcessFault(StarveCpu(part), as_target(target), seconds(hold), seconds(rest))
