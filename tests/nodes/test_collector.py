"""The garbage collector of a process that serves."""

from __future__ import annotations

import subprocess
import sys


def test_what_lives_is_not_walked_again_and_cycles_are_still_found() -> None:
    """In an interpreter of its own: this one's collector stays as it is."""
    program = (
        "import gc, weakref\n"
        "from nodes.collector import THRESHOLDS, settle_collector\n"
        "settle_collector()\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 1000\n"
        "assert gc.get_threshold() == THRESHOLDS\n"
        "class Cycle: pass\n"
        "cycle = Cycle(); cycle.itself = cycle; seen = weakref.ref(cycle); del cycle\n"
        "kept = [[] for _ in range(2 * THRESHOLDS[0])]\n"
        "assert seen() is None\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
