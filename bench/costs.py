"""What a run cost: CPU of process trees, bytes on disk and on the loopback wire, memory.

A contestant is some processes by name, each with its children: a PostgreSQL is a tree. What
children took that have ended is in their parent's count once it has waited for them, so that the
difference of two looks is exact. Bytes on the wire are those of the loopback interface, headers
and acknowledgements included, of everybody on the machine: a run that is to mean something has it
to itself.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = [
    "CLIENT",
    "Costs",
    "Meter",
    "costs_of",
    "forget_peaks",
    "memory_mb",
    "peak_memory_mb",
    "spent",
]

CLIENT: Final = "client"
"""The name of a root that asks and does not serve: it has a share of the CPU, and no part in the
memory that is told."""

_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")


@dataclass(frozen=True)
class Costs:
    """Since processes began; a difference of two is what a run cost."""

    cpu_s: dict[str, float]
    """User and system."""
    system_s: dict[str, float]
    """What the kernel took of that: system calls, the network's included."""
    disk_bytes: int
    """Written, as the kernel charges them to processes: what is overwritten in the page cache
    before it reaches the disk is counted less often than it was written."""
    wire_bytes: int


def costs_of(roots: Mapping[str, int]) -> Costs:
    """Of the process trees below `roots` (name -> pid), now."""
    trees = _trees(roots)
    looks = {name: [_cpu_ticks(pid) for pid in pids] for name, pids in trees.items()}
    disk = sum(_written(pid) for pids in trees.values() for pid in pids)
    return Costs(
        {name: sum(map(sum, each)) * _TICK_S for name, each in looks.items()},
        {name: sum(system for _, system in each) * _TICK_S for name, each in looks.items()},
        disk,
        _loopback_bytes(),
    )


def spent(before: Costs, after: Costs) -> Costs:
    return Costs(
        {name: after.cpu_s[name] - before.cpu_s[name] for name in before.cpu_s},
        {name: after.system_s[name] - before.system_s[name] for name in before.system_s},
        after.disk_bytes - before.disk_bytes,
        after.wire_bytes - before.wire_bytes,
    )


class Meter:
    """What the process trees below `roots` (name -> pid) cost from its making on."""

    def __init__(self, roots: Mapping[str, int]) -> None:
        self._roots = dict(roots)
        forget_peaks(self._served())
        self._before = costs_of(self._roots)

    def read(self) -> tuple[Costs, dict[str, float]]:
        """(costs since it was made, the most memory of each that serves since then)."""
        return spent(self._before, costs_of(self._roots)), peak_memory_mb(self._served())

    def restarted(self, name: str, pid: int, parent: str) -> None:
        """The process has ended, `parent` has waited for it, and it has been started again as
        `pid`: what the first one had taken before is its parent's past now."""
        self._roots[name] = pid
        self._before = Costs(
            _inherited(self._before.cpu_s, name, parent),
            _inherited(self._before.system_s, name, parent),
            self._before.disk_bytes,
            self._before.wire_bytes,
        )

    def _served(self) -> dict[str, int]:
        return {name: pid for name, pid in self._roots.items() if name != CLIENT}


def _inherited(seconds: Mapping[str, float], name: str, parent: str) -> dict[str, float]:
    return {**seconds, name: 0.0, parent: seconds[parent] + seconds[name]}


def memory_mb(roots: Mapping[str, int]) -> dict[str, float]:
    """Megabytes (10**6) that each tree has for itself, and its share of what several have."""
    return {name: sum(map(_proportional_bytes, pids)) / 1e6 for name, pids in _trees(roots).items()}


def forget_peaks(roots: Mapping[str, int]) -> None:
    """From now on `peak_memory_mb` looks no further back. Where the kernel does not let us (the
    processes of another user), peaks are those since the processes began."""
    for pids in _trees(roots).values():
        for pid in pids:
            with suppress(OSError):
                (_PROC / str(pid) / "clear_refs").write_text("5")


def peak_memory_mb(roots: Mapping[str, int]) -> dict[str, float]:
    """The most that each tree had: `memory_mb`, and by how much each of its processes was larger
    once than it is. Of a tree of several it is an upper bound: their peaks are added up."""
    return {
        name: sum(_proportional_bytes(pid) + _shrunk_bytes(pid) for pid in pids) / 1e6
        for name, pids in _trees(roots).items()
    }


def _trees(roots: Mapping[str, int]) -> dict[str, list[int]]:
    """Each root with all below it; a root that is below another one counts for itself."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children[int(fields[1])].append(int(entry.name))
    own = set(roots.values())

    def below(pid: int) -> list[int]:
        return [pid, *(p for child in children[pid] if child not in own for p in below(child))]

    return {name: below(pid) for name, pid in roots.items()}


def _stat(pid: int) -> list[str]:
    """The fields behind the name; empty if it has ended."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _cpu_ticks(pid: int) -> tuple[int, int]:
    """(user, system), of the children too that have ended. Whole numbers: the same processes added
    up in another order are the same."""
    user, system, children_user, children_system = map(int, _stat(pid)[11:15] or (0, 0, 0, 0))
    return user + children_user, system + children_system


def _written(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "io").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes:"))


def _proportional_bytes(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _shrunk_bytes(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = {name: rest for name, _, rest in (line.partition(":") for line in lines)}
    if "VmHWM" not in found:  # it has ended, and was not waited for
        return 0
    return (int(found["VmHWM"].split()[0]) - int(found["VmRSS"].split()[0])) * 1024


def _loopback_bytes() -> int:
    for line in (_PROC / "net" / "dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == "lo":
            return int(counts.split()[8])
    return 0
