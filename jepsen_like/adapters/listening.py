"""Who listens on a port, by the kernel's word: for a server that does not tell its process id."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["listens"]

_LISTEN: Final = "0A"  # TCP_LISTEN, as /proc/net/tcp has it


def listens(pid: int, port: int) -> bool:
    """Whether process `pid` listens on the TCP port, in its own network namespace (IPv4). False
    where /proc does not say."""
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


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # closed meanwhile
        return ""
