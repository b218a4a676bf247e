"""What a process runs short of: CPU time, file descriptors.

CPU time is taken by stopping the process for most of each tenth of a second (SIGSTOP, SIGCONT),
which works wherever signals do. Verified by the kernel: stopped in each turn, and no more CPU time
used than it was let run for.

File descriptors are taken by lowering the limit of the running process (prlimit) to the first
number that is free: what it has open it keeps, and nothing more can be opened until it closes
something. Verified by the kernel's own list of its limits and descriptors.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import resource
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from jepsen_like.faults.processes import Lasting, Look, ProcessFault, Victim, process_state
from jepsen_like.faults.targets import Target, TargetError, as_target
from jepsen_like.load import seconds

__all__ = ["ExhaustFiles", "StarveCpu", "exhaust_files", "starve_cpu"]

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

    def __str__(self) -> str:
        return f"{self.share:.0%} of the CPU for"

    def drawn(self, rng: random.Random) -> StarveCpu:
        return self

    def on(self, victim: Victim) -> Lasting:
        return _Starved(victim, self.share)


class _Starved(Lasting):
    def __init__(self, victim: Victim, share: float) -> None:
        super().__init__(victim)
        self._share = share
        self._turns = self._stopped = 0
        self._ran_s = 0.0
        self._began_s = time.monotonic()
        self._cpu_s = _cpu_seconds(victim.pid)
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

    async def begin(self) -> Sequence[Look]:
        self._began_s = time.monotonic()
        self._cpu_s = _cpu_seconds(self.victim.pid)
        self._turning = asyncio.ensure_future(self._turn())
        await self._begun.wait()
        return [self._look("at the start")]

    async def still(self) -> Sequence[Look]:
        assert self._turning is not None
        self._is_over = True
        await self._turning  # to the end of a turn
        return [self._look("at the end")]

    def _look(self, when: str) -> Look:
        passed_s = time.monotonic() - self._began_s
        used_s = _cpu_seconds(self.victim.pid) - self._cpu_s
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

    async def healed(self) -> Sequence[Look]:
        victim = self.victim
        answers = await victim.becomes(*"RSD") and await victim.answers()
        return [(answers, f"after the heal: process {victim.pid} runs and answered")]

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


@dataclass(frozen=True)
class ExhaustFiles:
    """No file, no socket can be opened any more."""

    kind: ClassVar[str] = "files"

    def __str__(self) -> str:
        return "no more file descriptors for"

    def drawn(self, rng: random.Random) -> ExhaustFiles:
        return self

    def on(self, victim: Victim) -> Lasting:
        if sys.platform != "linux":
            raise TargetError("the limits of another process can be changed on Linux only.")
        return _Exhausted(victim)


class _Exhausted(Lasting):
    def __init__(self, victim: Victim) -> None:
        super().__init__(victim)
        self._limits = _limits(victim.pid)
        self._limit = 0

    async def begin(self) -> Sequence[Look]:
        soft, hard = self._limits
        pid = self.victim.pid
        self._limit = min(_first_free(pid), soft)
        _set_limits(pid, (self._limit, hard))
        used = _open_numbers(pid)
        good = _limits(pid)[0] == self._limit and set(range(self._limit)) <= used
        words = f"process {pid} has {len(used)} descriptors open and may have {self._limit}"
        return [(good, f"at the start: {words}; the limit was {soft}")]

    async def still(self) -> Sequence[Look]:
        pid = self.victim.pid
        if process_state(pid) == "":
            return [(True, f"process {pid} has ended by itself")]
        limit = _limits(pid)[0]
        words = f"process {pid} has {len(_open_numbers(pid))} descriptors open and may have {limit}"
        return [(limit == self._limit, f"at the end: {words}")]

    async def heal(self) -> Sequence[Look]:
        self.undo()
        if process_state(self.victim.pid) == "":
            return [await self.victim.start_again()]
        return ()

    async def healed(self) -> Sequence[Look]:
        victim = self.victim
        pid = victim.processes.pid(victim.host)
        good = _limits(pid) == self._limits and await victim.answers(pid)
        words = f"process {pid} may have {_limits(pid)[0]} descriptors and answered"
        return [(good, f"after the heal: {words}")]

    def undo(self) -> None:
        if process_state(self.victim.pid) != "":
            _set_limits(self.victim.pid, self._limits)


def _limits(pid: int) -> tuple[int, int]:
    try:
        return resource.prlimit(pid, resource.RLIMIT_NOFILE)
    except ProcessLookupError:
        return 0, 0


def _set_limits(pid: int, limits: tuple[int, int]) -> None:
    try:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    except ProcessLookupError:
        return
    except PermissionError as exc:
        raise TargetError(f"the limits of process {pid} cannot be changed: {exc}.") from exc


def _open_numbers(pid: int) -> set[int]:
    try:
        return {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
    except OSError:
        return set()


def _first_free(pid: int) -> int:
    used = _open_numbers(pid)
    return next(number for number in range(len(used) + 1) if number not in used)


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


def exhaust_files(
    target: Target | str, hold: str | float = "5s", rest: str | float = "3s"
) -> ProcessFault:
    """The target's database process can open no more files or sockets."""
    return ProcessFault(ExhaustFiles(), as_target(target), seconds(hold), seconds(rest))
