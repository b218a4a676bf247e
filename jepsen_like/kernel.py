"""What the harness asks of the machine's kernel about processes, and the loop it runs on.

There is one such kernel: this machine's, or the simulated one (`jepsen_like.sim`), which takes
its place before a run begins. The network between hosts is not here but a backend's.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from jepsen_like.interpose import PowerCut

__all__ = ["Kernel", "LoopFactory", "kernel", "replace_kernel"]

LoopFactory: TypeAlias = Callable[[], asyncio.AbstractEventLoop]

_LISTEN: Final = "0A"  # TCP_LISTEN, as /proc/net/tcp has it


class Kernel(Protocol):
    def state(self, pid: int) -> str:
        """The letter of a process ("R", "S", "T" stopped, ...); "" if there is none, which a
        zombie counts as: it runs no more and holds no file or port. "?": nobody can tell, so
        nothing is ever verified by it."""

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Raises ProcessLookupError."""

    def listens(self, pid: int, port: int) -> bool:
        """Whether the process listens on that TCP port, in its own network (IPv4). False where
        nobody can tell."""

    def new_loop(self, seed: int) -> LoopFactory | None:
        """What makes the loop of a run; None: asyncio's own way."""

    def power_cut(self) -> PowerCut | None:
        """What becomes of files when the power goes, where the kernel itself knows what was
        synced; None: journals of processes have to say it."""

    @property
    def simulates(self) -> bool:
        """Whether it is none of a machine."""


class LinuxKernel:
    """By /proc; where that is missing, it says so by its answers."""

    def state(self, pid: int) -> str:
        if not Path("/proc/self/stat").exists():
            return "?"
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return ""
        letter = text.rpartition(")")[2].split()[0]  # the name before it may hold any character
        return "" if letter in "ZX" else letter

    def signal(self, pid: int, number: signal.Signals) -> None:
        os.kill(pid, number)

    def listens(self, pid: int, port: int) -> bool:
        try:
            table = Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]
            rows = (line.split() for line in table)
            sockets = {
                f"socket:[{row[9]}]"
                for row in rows
                if row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port
            }
            handles = list(Path(f"/proc/{pid}/fd").iterdir()) if sockets else []
        except OSError:
            return False
        return any(_target(handle) in sockets for handle in handles)

    def power_cut(self) -> None:
        return None

    @property
    def simulates(self) -> bool:
        return False

    def new_loop(self, seed: int) -> LoopFactory | None:
        """uvloop's if it is installed: the proxies then cost about half."""
        try:
            import uvloop
        except ImportError:
            return None
        return uvloop.new_event_loop


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # closed meanwhile
        return ""


_kernel: Kernel = LinuxKernel()


def kernel() -> Kernel:
    return _kernel


def replace_kernel(other: Kernel) -> None:
    """From now on and for ever; before any run."""
    global _kernel
    _kernel = other
