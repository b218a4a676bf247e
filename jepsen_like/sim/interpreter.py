"""The way into an interpreter that simulates: its clocks must be there before all else."""

from __future__ import annotations

import os
import sys
from typing import Final, NoReturn

__all__ = ["SIMULATING", "simulate"]

SIMULATING: Final = (sys.executable, "-m", "jepsen_like.sim")
"""The command line of `jepsen-like` in such an interpreter."""


def simulate() -> NoReturn:
    """The same command in an interpreter whose clocks are simulated, before it imports anything
    that looks at them. Same process: whoever waits for it, or ends it, notices nothing."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [*SIMULATING, *sys.argv[1:]])  # noqa: S606
