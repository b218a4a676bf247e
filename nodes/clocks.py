"""The clocks of a node's machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

__all__ = ["SystemClock"]


class SystemClock:
    """As `nodes.raft_engine.Clock` asks for it."""

    def monotonic(self) -> float:
        return time.monotonic()

    def lease_now(self) -> float:
        return _lease_clock()

    def now_us(self) -> int:
        return time.time_ns() // 1000


# A lease must not outlive the sleep of its machine (thesis, section 6.4.1): CLOCK_MONOTONIC stops
# then on Linux, CLOCK_BOOTTIME does not. macOS has no such clock; there leases have to stay off
# on machines that may sleep.
_lease_clock: Final[Callable[[], float]] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    if hasattr(time, "CLOCK_BOOTTIME")
    else time.monotonic
)
