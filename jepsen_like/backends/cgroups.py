"""A process held to a share of a CPU by the kernel, in a control group of its own.

One may be made where the hierarchy that has the cpu controller can be written, mostly by root;
version 2 wants besides that a group above the process passes the controller on. Else `Limited` says
why not, and the caller does it some other way. The group is claimed (`leftovers`), so one that a
killed harness has left is removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jepsen_like.backends.leftovers import claimed_group, group_name

__all__ = ["CgroupError", "Hierarchy", "Limited", "hierarchy"]

PERIOD_US: Final = 100_000
QUOTA_MIN_US: Final = 1_000
"""The kernel takes no smaller one."""

PROCESSES: Final = "cgroup.procs"


class CgroupError(Exception):
    """Why there is no group, as a part of a sentence."""


@dataclass(frozen=True)
class Hierarchy:
    """Where the cpu controller is."""

    version: int
    mount: Path
    path: str  # of the process, below the root of the hierarchy

    @property
    def home(self) -> Path:
        """The group that the process is in."""
        return self.mount / self.path.lstrip("/")

    def parents(self) -> Iterator[Path]:
        """Groups in which one with a limit of its own could be made, the nearest first."""
        home = self.home
        if self.version == 1:
            yield home
            return
        for group in (home, *home.parents):
            if not group.is_relative_to(self.mount):
                return
            if "cpu" in (group / "cgroup.subtree_control").read_text(encoding="ascii").split():
                yield group

    def limits(self, share: float) -> dict[str, str]:
        """What is written into which file of the group."""
        period = max(PERIOD_US, round(QUOTA_MIN_US / share))
        quota = round(period * share)
        if self.version == 1:
            return {"cpu.cfs_period_us": str(period), "cpu.cfs_quota_us": str(quota)}
        return {"cpu.max": f"{quota} {period}"}


def hierarchy(mounts: Iterable[str], groups: Iterable[str]) -> Hierarchy | None:
    """From the lines of /proc/self/mountinfo and /proc/PID/cgroup; None: no such controller."""
    paths: dict[str, str] = {}
    for line in groups:
        _, controllers, path = line.rstrip("\n").split(":", 2)
        paths |= dict.fromkeys(controllers.split(","), path)  # of version 2: ""
    found = []
    for line in mounts:
        before, _, after = line.partition(" - ")
        root, mount = before.split()[3:5]
        kind, _, options = after.split()
        version = {"cgroup": 1, "cgroup2": 2}.get(kind)
        controller = {1: "cpu", 2: ""}.get(version or 0)
        if version is None or controller not in paths:
            continue
        if version == 1 and "cpu" not in options.split(","):
            continue
        below = paths[controller]
        if root != "/":  # a part of the hierarchy is mounted, as in a container
            if not f"{below}/".startswith(f"{root}/"):
                continue
            below = below[len(root) :]
        found.append(Hierarchy(version, Path(mount), below or "/"))
    return min(found, key=lambda one: one.version, default=None)


class Limited:
    """Process `pid` in a group that has `share` of one CPU, until `release`. Raises CgroupError."""

    def __init__(self, pid: int, share: float) -> None:
        self._pid = pid
        self._stack = ExitStack()
        try:
            mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
            groups = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
            found = hierarchy(mounts, groups)
            if found is None:
                raise CgroupError("there is no cgroup with the cpu controller")
            self._home = found.home
            self._limits = found.limits(share)
            self._made(found)
        except OSError as exc:
            raise CgroupError(f"no cgroup can be made: {exc}") from exc
        limits = ", ".join(f"{name} {value}" for name, value in self._limits.items())
        self.words = f"cgroup v{found.version}, {limits}"

    def _made(self, found: Hierarchy) -> None:
        failed: OSError | None = None
        for parent in found.parents():
            self.group = parent / group_name(self._pid)
            try:
                with ExitStack() as stack:
                    stack.enter_context(claimed_group(self.group))
                    stack.callback(self._leave)
                    for name, value in self._limits.items():
                        (self.group / name).write_text(value, encoding="ascii")
                    self._move(self.group)
                    self._stack = stack.pop_all()
                    return
            except OSError as exc:
                failed = exc
        if failed is not None:
            raise failed
        raise CgroupError("no cgroup above it passes the cpu controller on")

    def holds(self) -> bool:
        """Whether the process is in the group and the group has its limit."""
        try:
            pids = (self.group / PROCESSES).read_text(encoding="ascii").split()
            limits = {
                name: (self.group / name).read_text(encoding="ascii").strip()
                for name in self._limits
            }
        except OSError:
            return False
        return str(self._pid) in pids and limits == self._limits

    def held_back(self) -> int:
        """In how many periods the process wanted more than its share."""
        lines = (self.group / "cpu.stat").read_text(encoding="ascii").splitlines()
        return int(dict(line.split() for line in lines)["nr_throttled"])

    def release(self) -> None:
        """The process is where it was, and the group is gone; once more does nothing."""
        self._stack.close()

    def _leave(self) -> None:
        try:
            self._move(self._home)
        except ProcessLookupError:
            return  # it has ended

    def _move(self, group: Path) -> None:
        (group / PROCESSES).write_text(str(self._pid), encoding="ascii")
