"""What fails only because there is no file descriptor left, and is well once there is one again.

It says nothing of the files: who meets it tries again later, or answers that it could not. What
is open already goes on.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Final

__all__ = ["NoDescriptor", "is_shortage", "of_opening"]

_ERRNOS: Final = frozenset({errno.EMFILE, errno.ENFILE})


class NoDescriptor(sqlite3.OperationalError):
    """No further connection to a data file can be opened for now."""


def is_shortage(error: BaseException) -> bool:
    """Whether `error` is one of these: of this process (EMFILE) or of the system (ENFILE)."""
    return isinstance(error, NoDescriptor) or (
        isinstance(error, OSError) and error.errno in _ERRNOS
    )


def of_opening(error: sqlite3.Error, path: Path) -> sqlite3.Error:
    """What opening another connection to `path` ended with. SQLite says SQLITE_CANTOPEN, and not
    why: it is a shortage if the file is there and may be used. (Nothing is opened to find out:
    closing any descriptor of a database drops the locks that SQLite has on it.)"""
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code != sqlite3.SQLITE_CANTOPEN or not os.access(path, os.R_OK | os.W_OK):
        return error
    return NoDescriptor(
        f"no further connection to {path} can be opened; the node may need more file descriptors "
        "(ulimit -n)"
    )
