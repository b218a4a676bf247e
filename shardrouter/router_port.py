"""The port of a router, which its workers share.

Apart from the server that listens there, for the verbs of the command line that only start it or
ask what became of it: they begin without the planner and the parser.
"""

from __future__ import annotations

from typing import Final

__all__ = ["WORKER_SHIFT", "ListenError"]

WORKER_SHIFT: Final = 20
"""A client's pid is its number in its worker, below the number of that worker."""


class ListenError(OSError):
    """The port cannot be had; the message is a sentence that says what to do."""
