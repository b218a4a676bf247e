"""How much may be tried again: a share of what is asked, so that an outage makes no storm.

Pure: the time comes in. While all is well a retry costs nothing to speak of; when nobody answers,
every statement that waits tries again and again, and what is left of a cluster drowns in that. So
retries are paid from a bucket of tokens, into which every request puts a tenth of one (*retry
budget*: Beyer et al., Site Reliability Engineering, chapter 21; Finagle's). A trickle comes of
itself, so that a router with little to do finds its way too. Who has no token waits, and fails no
sooner for it.
"""

from __future__ import annotations

from typing import Final

__all__ = ["RetryBudget"]

RATIO: Final = 0.1
"""Retries for each request ..."""

TRICKLE_PER_S: Final = 10.0
"""... and for each second."""

TOKENS_MAX: Final = 100.0
"""What is saved up while all is well."""


class RetryBudget:
    """Of one router."""

    __slots__ = ("_at", "_seen", "_tokens")

    def __init__(self, now: float) -> None:
        self._tokens = TOKENS_MAX
        self._seen = 0  # requests that have been counted
        self._at = now

    def take(self, now: float, requests: int) -> bool:
        """Whether there is a token, which is spent then. `requests` is how many were ever sent a
        first time."""
        earned = RATIO * (requests - self._seen) + TRICKLE_PER_S * max(0.0, now - self._at)
        self._tokens = min(TOKENS_MAX, self._tokens + earned)
        self._seen, self._at = requests, now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
