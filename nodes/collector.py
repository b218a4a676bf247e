"""Python's garbage collector in a process that serves for months: out of the way, not off."""

from __future__ import annotations

import gc
from typing import Final

__all__ = ["THRESHOLDS", "settle_collector"]

THRESHOLDS: Final = (10_000, 20, 50)
"""Messages, entries and plans are structs the collector does not track, and nothing on the hot path
makes cycles, so the default of 700 only walks live objects again and again: in a router with 64
statements in flight 25 times in a thousand of them, 6 to 12 microseconds for each. Not switched
off: tasks and exceptions do make cycles."""


def settle_collector() -> None:
    """What lives now lives as long as the process: the collector does not walk it any more, and
    comes more rarely for the rest."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
