"""How much a router has in progress at once: as much as it takes to be busy, and no more.

Pure: the time comes in. More than that waits somewhere in any case, and the way to have it wait
where it can be ordered and refused is to take no more in. How much it takes nobody can configure:
disks, replicas and statements differ. So it is found as TCP finds a window (additive increase,
multiplicative decrease: Chiu and Jain 1989), by the latency of quick statements of one shard, whose
work is bounded, so that what they take longer they have waited:

- while the limit is reached and they are about as quick as they were without a queue, it rises;
- when they take more than TOLERANCE times that, and more than is worth a word, it falls. A group
  commit makes many statements slower than one and all of them together faster; TARGET_S_MIN leaves
  room for that, and LIMIT_MIN for what no latency should take away;
- what they take without a queue is the least mean of a window; it is forgotten while the limit is
  not reached, and only then, so that an overload never passes for how things are.
"""

from __future__ import annotations

from typing import Final

__all__ = ["LIMIT_MAX", "LIMIT_MIN", "WorkLimit"]

LIMIT_MIN: Final = 128
LIMIT_MAX: Final = 1024
LIMIT_FIRST: Final = 192

WINDOW_S: Final = 0.1
SAMPLES_MIN: Final = 10
"""Of a window; with fewer it goes on."""

TOLERANCE: Final = 3.0
TARGET_S_MIN: Final = 0.01
"""Below which nothing is slow."""

FALL: Final = 0.9
RISE_MIN: Final = 1
RISE_SHARE: Final = 0.05

FORGET: Final = 0.02
"""Of the difference to a window's mean, with each window that does not reach the limit."""


class WorkLimit:
    """See the module. `samples` and `seconds` are added to by whoever has measured."""

    __slots__ = ("_base_s", "_ends_at", "limit", "reached", "samples", "seconds")

    def __init__(self, now: float) -> None:
        self.limit = LIMIT_FIRST
        self.reached = False
        """Somebody had to wait, in this window."""
        self.samples = 0
        self.seconds = 0.0
        self._base_s: float | None = None  # what a statement takes without a queue
        self._ends_at = now + WINDOW_S

    def look(self, now: float) -> None:
        """The time has passed; if a window is over, the limit follows from it."""
        if now < self._ends_at or self.samples < SAMPLES_MIN:
            return
        mean = self.seconds / self.samples
        base = mean if self._base_s is None else min(self._base_s, mean)
        if mean > max(TARGET_S_MIN, TOLERANCE * base):
            self.limit = max(LIMIT_MIN, int(self.limit * FALL))
        elif self.reached:
            rise = max(RISE_MIN, int(self.limit * RISE_SHARE))
            self.limit = min(LIMIT_MAX, self.limit + rise)
        if not self.reached:
            base += FORGET * (mean - base)
        self._base_s = base
        self.reached = False
        self.samples, self.seconds = 0, 0.0
        self._ends_at = now + WINDOW_S
