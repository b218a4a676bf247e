"""Which of several replicas is near: an estimate of the way to each, and a choice by it.

The way to a node is the smoothed round trip (an exponentially weighted moving average, as TCP's
SRTT, RFC 6298) of requests that cost the node nothing, so that a long scan does not make the
replica that runs it look far away. They are sent beside the reads: no read pays for looking at a
replica that may be far.

Replicas about as near as the nearest share the reads by lot. Taking the lowest alone would send
everything to one of several in the same room, for a difference that is noise.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

__all__ = ["Distance", "choose"]

WEIGHT: Final = 0.3
"""Of the newest round trip: after three of them, two thirds of a change are believed."""

NEAR_S: Final = 0.001
"""What a round trip in one room varies by."""

NEAR_RATIO: Final = 0.5
"""Of farther ways what varies is a share of them."""


class Distance:
    """The way to one node."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds: float | None = None  # not measured yet

    def add(self, round_trip_s: float) -> None:
        old = round_trip_s if self.seconds is None else self.seconds
        self.seconds = old + WEIGHT * (round_trip_s - old)


def choose(distances: Sequence[float | None], rng: random.Random) -> int:
    """The index of one of the nearest. What was not measured is far, while something was."""
    measured = [distance for distance in distances if distance is not None]
    if not measured:
        return rng.randrange(len(distances))
    nearest = min(measured)
    limit = nearest + max(NEAR_S, NEAR_RATIO * nearest)
    near = [
        index
        for index, distance in enumerate(distances)
        if distance is not None and distance <= limit
    ]
    return near[0] if len(near) == 1 else rng.choice(near)
