"""A circuit breaker: whether a replica that keeps failing is asked (Nygard, Release It!, 2007).

Pure: the time comes in. One per replica, so that a replica that is stopped or far behind costs
reads no more than a few answers that are of no use, while its node's others serve:

    closed     everything goes through. It opens when failures are at least FAILURES_MIN and at
               least half of the answers; both are counted with less and less weight
    open       nothing goes through for a pause, twice as long after every trial that failed
    half-open  one read goes through, the trial. Its success closes the breaker, its failure opens
               it again; without an answer for TRIAL_S there is another trial
"""

from __future__ import annotations

import math
from typing import Final, Literal

__all__ = ["Breaker", "BreakerState"]

BreakerState = Literal["closed", "open", "half-open"]

FAILURES_MIN: Final = 4.5
"""Five at once: they have lost a little weight when the fifth comes."""

MEMORY_S: Final = 10.0
"""In which an answer's weight falls to a third."""

PAUSE_S_MIN: Final = 0.5
PAUSE_S_MAX: Final = 30.0

TRIAL_S: Final = 5.0


class Breaker:
    """Of one replica, as one router sees it."""

    __slots__ = ("_at", "_failures", "_opened_at", "_pause_s", "_successes", "_tried_at", "reason")

    def __init__(self) -> None:
        self._failures = 0.0
        self._successes = 0.0
        self._at = 0.0  # when they were counted last
        self._opened_at: float | None = None  # None: closed
        self._pause_s = PAUSE_S_MIN
        self._tried_at: float | None = None  # when the trial began that is under way
        self.reason = ""  # what it met last

    def state(self, now: float) -> BreakerState:
        if self._opened_at is None:
            return "closed"
        return "open" if now < self._opened_at + self._pause_s else "half-open"

    def admits(self, now: float) -> bool:
        """Whether a read may go there now. Says nothing of it to anybody: see `asked`."""
        state = self.state(now)
        if state != "half-open":
            return state == "closed"
        return self._tried_at is None or now - self._tried_at >= TRIAL_S

    def asked(self, now: float) -> None:
        """A read goes there."""
        if self._opened_at is not None:
            self._tried_at = now

    def succeeded(self, now: float) -> None:
        if self._opened_at is None:
            if self._failures:  # nearly never
                self._fade(now)
                self._successes += 1.0
                if self._failures < 0.01:
                    self._failures = self._successes = 0.0
        elif self._tried_at is not None:
            self._opened_at = self._tried_at = None
            self._failures = self._successes = 0.0
            self._pause_s = PAUSE_S_MIN
            self.reason = ""

    def failed(self, now: float, reason: str) -> None:
        self.reason = reason
        if self._opened_at is None:
            self._fade(now)
            self._failures += 1.0
            if self._failures >= FAILURES_MIN and self._failures >= self._successes:
                self._opened_at = now
        elif self._tried_at is not None:
            self._opened_at, self._tried_at = now, None
            self._pause_s = min(PAUSE_S_MAX, 2 * self._pause_s)

    def _fade(self, now: float) -> None:
        kept = math.exp(-max(0.0, now - self._at) / MEMORY_S)
        self._failures *= kept
        self._successes *= kept
        self._at = now
