"""A process that runs short of file descriptors.

They are taken by lowering the limit of the running process (prlimit) to the first
number that is free: what it has open it keeps, and nothing more can be opened until it closes
something. Verified by the kernel's own list of its limits and descriptors.
"""

from __future__ import annotations

import random
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from jepsen_like.backends.abilities import REAL
from jepsen_like.faults.processes import Lasting, Look, ProcessFault, Victim
from jepsen_like.faults.targets import Target, TargetError, as_target
from jepsen_like.kernel import kernel
from jepsen_like.load import seconds

__all__ = ["ExhaustFiles", "exhaust_files"]


@dataclass(frozen=True)
class ExhaustFiles:
    """No file, no socket can be opened any more."""

    kind: ClassVar[str] = "files"
    needs: ClassVar[frozenset[str]] = frozenset({REAL})

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
        if kernel().state(pid) == "":
            return [(True, f"process {pid} has ended by itself")]
        limit = _limits(pid)[0]
        words = f"process {pid} has {len(_open_numbers(pid))} descriptors open and may have {limit}"
        return [(limit == self._limit, f"at the end: {words}")]

    async def heal(self) -> Sequence[Look]:
        self.undo()
        if kernel().state(self.victim.pid) == "":
            return [await self.victim.start_again()]
        return ()

    async def healed(self) -> Sequence[Look]:
        victim = self.victim
        pid = victim.processes.pid(victim.host)
        good = _limits(pid) == self._limits and await victim.answers(pid)
        words = f"process {pid} may have {_limits(pid)[0]} descriptors and answered"
        return [(good, f"after the heal: {words}")]

    def undo(self) -> None:
        if kernel().state(self.victim.pid) != "":
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


def exhaust_files(
    target: Target | str, hold: str | float = "5s", rest: str | float = "3s"
) -> ProcessFault:
    """The target's database process can open no more files or sockets."""
    return ProcessFault(ExhaustFiles(), as_target(target), seconds(hold), seconds(rest))
