"""What a link does to what is sent over it, and when each piece leaves it: no clock, no socket.

A link holds what it is given for a delay, as long as its rate needs, and in order: jitter alone
lets nothing overtake, as in the queue of a router. What is lost, doubled or let past the others
is drawn from a generator of the link's own, so a seed says which.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from jepsen_like.backends.abilities import (
    DELAY,
    DUPLICATION,
    JITTER,
    LOSS,
    PACKETS,
    RATE,
    REORDERING,
)

__all__ = ["Departures", "PLAIN", "Shape", "link_rng"]

QUEUE_S: Final = 0.25
"""What waits for its turn on a link with a rate; more is dropped, or not taken on."""

QUEUE_BYTES_MIN: Final = 32 * 1024
"""At a low rate the queue is as long as this takes, for a few packets must fit."""


@dataclass(frozen=True)
class Shape:
    delay_s: float = 0.0
    jitter_s: float = 0.0
    """Up to so much more or less than the delay, evenly."""
    loss: float = 0.0
    """Of packets, as a fraction; the following ones too."""
    duplicate: float = 0.0
    reorder: float = 0.0
    """Go at once, past those that are delayed."""
    rate_bytes_s: float | None = None

    @property
    def needs(self) -> frozenset[str]:
        """What a backend must be able to do, by the names of `backends.abilities.CAN`."""
        asked = {
            DELAY: self.delay_s,
            JITTER: self.jitter_s,
            LOSS: self.loss,
            DUPLICATION: self.duplicate,
            REORDERING: self.reorder,
            RATE: self.rate_bytes_s,
        }
        return frozenset(name for name, value in asked.items() if value)

    @property
    def needs_packets(self) -> bool:
        """Whether something is asked of single packets, which a stream of bytes does not show."""
        return bool(self.needs & PACKETS)

    @property
    def queue_bytes(self) -> float:
        """What may wait on a link with a rate."""
        assert self.rate_bytes_s is not None
        return max(QUEUE_BYTES_MIN, QUEUE_S * self.rate_bytes_s)


PLAIN: Final = Shape()
"""Nothing happens to what is sent."""


def link_rng(seed: int, source: str, target: str) -> random.Random:
    return random.Random(f"{seed}/{source}/{target}")


class Departures:
    """One direction of one link while it has a shape."""

    def __init__(self, shape: Shape, rng: random.Random) -> None:
        self.shape = shape
        self._rng = rng
        self._free_s = 0.0  # when everything taken so far is sent, at the rate
        self._last_s = 0.0  # when the last of what keeps its order leaves

    def is_full(self, now_s: float) -> bool:
        """Whether the queue before the rate takes nothing more."""
        rate = self.shape.rate_bytes_s
        return rate is not None and (self._free_s - now_s) * rate >= self.shape.queue_bytes

    def of(self, now_s: float, size: int) -> tuple[float, ...]:
        """When a piece of `size` bytes that is given now leaves; () if it is lost, two times if
        it is doubled."""
        shape, rng = self.shape, self._rng
        if shape.loss and rng.random() < shape.loss:
            return ()
        sent_s = now_s
        if shape.rate_bytes_s is not None:
            sent_s = self._free_s = max(now_s, self._free_s) + size / shape.rate_bytes_s
        if shape.reorder and rng.random() < shape.reorder:
            leaves_s = sent_s
        else:
            delay_s = shape.delay_s
            if shape.jitter_s:
                delay_s += rng.uniform(-shape.jitter_s, shape.jitter_s)
            leaves_s = self._last_s = max(self._last_s, sent_s + max(0.0, delay_s))
        if shape.duplicate and rng.random() < shape.duplicate:
            return (leaves_s, leaves_s)
        return (leaves_s,)
