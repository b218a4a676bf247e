"""When TCP tries again what it could not deliver: no clock, no socket.

What is sent into a cut is sent again after pauses that double, so after a heal it arrives at the
next attempt and not before, up to as long after it as the cut took. These are the times of
Linux: a tail loss probe, then retransmission timeouts from 200 ms (RFC 8985, section 7; RFC
6298, section 5); a dialer knocks again every second, five times, then after pauses that double.
"""

from __future__ import annotations

from typing import Final

__all__ = ["next_attempt", "next_knock"]

FIRST_S: Final = 0.21
"""The probe for a lost tail: 200 ms and a little more, for round trips that take no time."""

KNOCK_S: Final = 1.0
KNOCKS_APART: Final = 5

PAUSE_MAX_S: Final = 120.0


def next_attempt(sent_s: float, now_s: float) -> float:
    """When what was first sent at `sent_s` is sent again, at `now_s` or after it."""
    at_s, pause_s = sent_s + FIRST_S, FIRST_S
    while at_s < now_s:
        at_s += pause_s
        pause_s = min(2 * pause_s, PAUSE_MAX_S)
    return at_s


def next_knock(dialed_s: float, now_s: float) -> float:
    """When a dialer that began at `dialed_s` knocks again, at `now_s` or after it."""
    at_s, pause_s, knocks = dialed_s + KNOCK_S, KNOCK_S, 1
    while at_s < now_s:
        if knocks >= KNOCKS_APART:
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
        at_s += pause_s
        knocks += 1
    return at_s
