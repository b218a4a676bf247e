"""When this process began: what a person who waits for it counts from, imports included."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["process_start"]

_STARTTIME = 19  # of the fields behind the program's name; proc_pid_stat(5) counts it as the 22nd


def process_start() -> float:
    """On the clock of `time.monotonic`, to a hundredth of a second; now, where nobody says."""
    now = time.monotonic()
    try:
        text = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")
        ticks = int(text.rpartition(")")[2].split()[_STARTTIME])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return now
    return now - max(age, 0.0)
