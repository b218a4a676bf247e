"""What a harness that was killed left behind, found by the mark on everything it made.

A harness that ends in any other way than SIGKILL removes what it made. After SIGKILL its
processes end too, since their standard input closes, unless they were stopped or do not watch
it; namespaces end with the last process in them; its data directory stays. So each process is
started with a mark in its environment, and each data directory is claimed in a file of its
own; both name the maker. A control group, which holds no such file, has the maker in its name.
Only what belongs to a maker that is dead is ever removed.

A maker is a process id with the time at which that process started, since ids are used again,
and the PID namespace in which it is valid: what another container made is none of ours.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = [
    "Leftovers",
    "claimed",
    "claimed_group",
    "clean",
    "find",
    "group_name",
    "maker",
    "marked",
]

MARK: Final = "JEPSEN_LIKE_MAKER"

SIGN: Final = ".made-by"
"""The file in a claimed directory that names its maker, so that no other directory that has
come to the same path is taken for it."""

GROUP: Final = "jepsen-like-"
"""How the name of a control group begins; its maker follows."""

END_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True)
class Leftovers:
    """Of makers that are dead."""

    pids: tuple[int, ...] = ()
    directories: tuple[Path, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.pids or self.directories)

    def __str__(self) -> str:
        """ "2 processes (12, 13) and 1 directory (runs/data-x)" """
        parts = []
        if self.pids:
            what = "process" if len(self.pids) == 1 else "processes"
            parts.append(f"{len(self.pids)} {what} ({', '.join(map(str, self.pids))})")
        if self.directories:
            what = "directory" if len(self.directories) == 1 else "directories"
            named = ", ".join(map(str, self.directories))
            parts.append(f"{len(self.directories)} {what} ({named})")
        return " and ".join(parts) or "nothing"


def maker() -> str:
    """This process, as marks name it."""
    return f"{os.getpid()}-{_started(os.getpid())}-{_pid_namespace()}"


def marked(argv: Sequence[str]) -> tuple[str, ...]:
    """The command line that runs `argv` with the mark, under the same process id."""
    return ("env", f"{MARK}={maker()}", *argv)


@contextmanager
def claimed(directory: Path) -> Iterator[None]:
    """Until the end of the block, `directory` is to be removed if this process is killed."""
    (directory / SIGN).write_text(maker(), encoding="utf-8")
    try:
        with _claim(directory):
            yield
    finally:
        (directory / SIGN).unlink(missing_ok=True)


def group_name(pid: int) -> str:
    """Of a control group for process `pid`."""
    return f"{GROUP}{maker()}-{pid}"


@contextmanager
def claimed_group(group: Path) -> Iterator[None]:
    """A control group called by `group_name`, made here and removed at the end of the block."""
    with _claim(group):
        group.mkdir()
        try:
            yield
        finally:
            group.rmdir()


@contextmanager
def _claim(directory: Path) -> Iterator[None]:
    claims = _claims()
    claims.mkdir(mode=0o700, exist_ok=True)
    if not _is_ours(claims):
        raise OSError(f"{claims} belongs to somebody else; set TMPDIR to a directory of yours")
    handle, name = tempfile.mkstemp(prefix=f"{maker()}-", dir=claims)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as claim:
            claim.write(str(directory.resolve()))
        yield
    finally:
        Path(name).unlink()


def find() -> Leftovers:
    return Leftovers(
        pids=tuple(_marked_processes()),
        directories=tuple(sorted({d for _, d in _dead_claims() if d is not None})),
    )


def clean() -> Leftovers:
    """Remove what `find` finds; returns what was removed. Raises OSError for what cannot be."""
    pids = tuple(pid for pid in _marked_processes() if _kill(pid))
    directories = []
    for claim, directory in _dead_claims():
        if directory is not None:
            if directory.name.startswith(GROUP):
                directory.rmdir()  # its files are the kernel's
            else:
                shutil.rmtree(directory)
            directories.append(directory)
        claim.unlink(missing_ok=True)
    return Leftovers(pids, tuple(directories))


# ------------------------------------------------------------------------------ makers


def _started(pid: int) -> str:
    """When a process started, in the kernel's ticks; "" if there is none, "0" if unknown."""
    if not Path("/proc/self/stat").exists():
        with suppress(PermissionError):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return ""
        return "0"
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    state, *fields = text.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except FileNotFoundError:
        return "0"


def _is_dead(made_by: str) -> bool:
    """Whether the maker is known to be gone."""
    pid, _, rest = made_by.partition("-")
    started, _, namespace = rest.partition("-")
    if not pid.isdecimal() or namespace != _pid_namespace():
        return False
    return _started(int(pid)) != started


# ------------------------------------------------------------------------------ processes


def _marked_processes() -> Iterator[int]:
    """Live processes with the mark of a dead maker; there is no telling without /proc."""
    proc = Path("/proc")
    if not (proc / "self/environ").exists():
        return
    for entry in proc.iterdir():
        if entry.name.isdecimal() and _has_dead_mark(int(entry.name)):
            yield int(entry.name)


def _has_dead_mark(pid: int) -> bool:
    prefix = f"{MARK}=".encode()
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False  # gone, or somebody else's
    marks = [line[len(prefix) :].decode() for line in environment if line.startswith(prefix)]
    return bool(marks) and _is_dead(marks[0]) and _started(pid) != ""


def _kill(pid: int) -> bool:
    """SIGKILL and wait, by a handle that cannot come to mean another process."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not _has_dead_mark(pid):
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        return bool(select.select([handle], [], [], END_TIMEOUT_S)[0])
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)


# ------------------------------------------------------------------------------ directories


def _claims() -> Path:
    return Path(tempfile.gettempdir()) / f"jepsen-like-{os.getuid()}"


def _is_ours(claims: Path) -> bool:
    status = claims.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()


def _dead_claims() -> Iterator[tuple[Path, Path | None]]:
    """Claims of dead makers, each with its directory if that is still there."""
    claims = _claims()
    if not claims.is_dir() or not _is_ours(claims):
        return
    for claim in sorted(claims.iterdir()):
        made_by = claim.name.rpartition("-")[0]
        if not _is_dead(made_by):
            continue
        directory = Path(claim.read_text(encoding="utf-8"))
        sign = directory / SIGN
        is_there = sign.is_file() and sign.read_text(encoding="utf-8") == made_by
        if directory.name.startswith(f"{GROUP}{made_by}-"):
            is_there = directory.is_dir()
        yield claim, directory if is_there else None
