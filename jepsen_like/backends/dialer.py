"""Whose process dialed? For databases that have one address per process, which all others dial.

A proxy tells links apart by the port that was dialed. Where every process is told the same
address (etcd's and Redis's members tell it each other) the port is the same for all, and what
tells them apart is the socket: the kernel lists for each connection the number of its socket
(/proc/net/tcp), and for each process the sockets that it holds. Every process of a host has the
host's name in its environment, and so have its children.

Linux alone has that. It costs a few milliseconds per connection, and nothing per byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from jepsen_like.backends.backend import Endpoint
from jepsen_like.backends.leftovers import MARK, maker, marked

__all__ = ["can_tell", "host_that_dialed", "on_host"]

HOST: Final = "JEPSEN_LIKE_HOST"

CONNECTIONS: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
"""A program that opens IPv6 sockets for both has its IPv4 connections in the second."""

MAPPED: Final = "0000000000000000FFFF0000"
"""What the second writes before an IPv4 address."""


def on_host(host: str, argv: Sequence[str]) -> tuple[str, ...]:
    """The command line that runs `argv` with the marks of its maker and of its host, under the
    same process id."""
    return marked(("env", f"{HOST}={host}", *argv))


def can_tell() -> bool:
    return CONNECTIONS[0].exists()


def host_that_dialed(source: Endpoint, target: Endpoint) -> str | None:
    """The host whose process holds the connection from `source` to `target`, both on this
    machine; None: none of ours, or it is closed again."""
    inode = _inode(_hex(source), _hex(target))
    if inode is None:
        return None
    wanted = f"socket:[{inode}]"
    return next((host for pid, host in _ours() if _holds(pid, wanted)), None)


def _hex(endpoint: Endpoint) -> str:
    """As the kernel writes it: the address as a number in the machine's own byte order."""
    number = int.from_bytes(bytes(map(int, endpoint[0].split("."))), "little")
    return f"{number:08X}:{endpoint[1]:04X}"


def _inode(source: str, target: str) -> str | None:
    for path, prefix in zip(CONNECTIONS, ("", MAPPED), strict=True):
        ends = f" {prefix}{source} {prefix}{target} "
        if path.exists():
            for line in path.read_text(encoding="ascii").splitlines():
                if ends in line:
                    return line.split()[9]
    return None


def _ours() -> Iterator[tuple[int, str]]:
    """Processes of this harness, each with its host."""
    mark, host = f"{MARK}={maker()}".encode(), f"{HOST}=".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            words = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # gone, or somebody else's
        if mark in words:
            for word in words:
                if word.startswith(host):
                    yield int(entry.name), word.removeprefix(host).decode()


def _holds(pid: int, wanted: str) -> bool:
    try:
        return any(str(fd.readlink()) == wanted for fd in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False  # it, or one of its files, was closed meanwhile
