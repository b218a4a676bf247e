"""What consistency costs while nothing is wrong: round trips per operation.

The fit p50 = a + b x RTT over a sweep of round-trip times, by least squares: b is the number of
round trips that the median operation waits for, whatever the machine is like (Abadi 2012 calls
this half of PACELC "else: latency or consistency"). 0: it is answered without asking anybody; 1:
somebody else is asked; 2: somebody who has to ask. Latency counts from the scheduled time. The
interval is that of a bootstrap over blocks of a second of each step.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import median
from typing import Final

from jepsen_like.figures.intervals import BLOCK_NS, middle
from jepsen_like.figures.served import Window
from jepsen_like.history import Operation
from jepsen_like.result import Estimate, Sweep

__all__ = ["Step", "latencies", "least_squares", "slope", "sweep"]

DRAWS: Final = 100  # each is a median of thousands


@dataclass(frozen=True)
class Step:
    """One round-trip time of the sweep: the latencies of its operations, by blocks. Each block is
    best in order: then the median of many has little to sort."""

    rtt_ns: int
    blocks: tuple[tuple[int, ...], ...]

    @property
    def p50_ns(self) -> float:
        return median(chain.from_iterable(self.blocks))


def latencies(
    operations: Iterable[Operation], f: str, window: Window
) -> tuple[tuple[int, ...], ...]:
    """Of the operations of class `f` that came back ok, by blocks of a second, each in order."""
    blocks: dict[int, list[int]] = {}
    for operation in operations:
        if operation.f == f and operation.outcome == "ok" and window.holds(operation):
            block = (operation.scheduled_ns - window.start_ns) // BLOCK_NS
            blocks.setdefault(block, []).append(operation.returned_ns - operation.scheduled_ns)
    return tuple(tuple(sorted(blocks[block])) for block in sorted(blocks))


def least_squares(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """(a, b) of y = a + b x. Needs two different x."""
    x_mean = sum(x for x, _ in points) / len(points)
    y_mean = sum(y for _, y in points) / len(points)
    b = sum((x - x_mean) * (y - y_mean) for x, y in points) / sum(
        (x - x_mean) ** 2 for x, _ in points
    )
    return y_mean - b * x_mean, b


def slope(steps: Sequence[Step], rng: random.Random) -> Estimate | None:
    """b; None if fewer than two different round-trip times were measured."""
    filled = [step for step in steps if step.blocks]
    if len({step.rtt_ns for step in filled}) < 2:
        return None
    _, b = least_squares([(step.rtt_ns, step.p50_ns) for step in filled])
    found = []
    for _ in range(DRAWS):
        points = []
        for step in filled:
            blocks = rng.choices(step.blocks, k=len(step.blocks))
            points.append((float(step.rtt_ns), median(chain.from_iterable(blocks))))
        found.append(least_squares(points)[1])
    low, high = middle(found)
    count = sum(len(block) for step in filled for block in step.blocks)
    return Estimate(b, low, high, count)


def sweep(f: str, steps: Sequence[Step], of: Estimate) -> Sweep:
    """For a picture: what was measured, and the line whose slope is `of`."""
    filled = [step for step in steps if step.blocks]
    a, _ = least_squares([(step.rtt_ns, step.p50_ns) for step in filled])
    points = tuple((s.rtt_ns, s.p50_ns, sum(map(len, s.blocks))) for s in filled)
    return Sweep(f, points, a, of)
