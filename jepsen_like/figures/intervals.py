"""How sure a share is: Wilson's interval, the rule of three, and a block bootstrap.

Calls of the same moment share their fate (one election fails hundreds of them), so an interval
that takes them for independent is far too narrow. The bootstrap (Efron 1979; in blocks, Kuensch
1989) draws the windows of a fault with replacement, and in each drawn window blocks of a second,
and takes the share of what was drawn; 95% of such shares are the interval. Where all calls agree
there is nothing to draw from, and the rule of three says how rare the other outcome may be: at
most 3/n (Hanley and Lippman-Hand 1983).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, TypeVar

from jepsen_like.result import Estimate

__all__ = [
    "BLOCK_NS",
    "DRAWS",
    "Tally",
    "Windows",
    "bootstrap",
    "middle",
    "nines",
    "share",
    "wilson",
]

BLOCK_NS: Final = 1_000_000_000
DRAWS: Final = 400
LEVEL: Final = 0.95
Z: Final = 1.959964  # of a normal distribution, 95% lie within so many deviations

T = TypeVar("T")

Tally: TypeAlias = tuple[int, int]
"""(ok, all)"""

Windows: TypeAlias = Sequence[Sequence[T]]
"""For each window of a fault, its blocks."""


def wilson(ok: int, count: int) -> Estimate:
    """A share of independent calls (Wilson 1927); right at the edges, where the normal
    approximation is not. Without a failure (or a success) it is the rule of three."""
    if count == 0:
        return Estimate(math.nan, 0.0, 1.0, 0)
    value = ok / count
    if ok in (0, count):
        return _rule_of_three(ok, count)
    middle = value + Z * Z / (2 * count)
    half = Z * math.sqrt(value * (1 - value) / count + Z * Z / (4 * count * count))
    below = 1 + Z * Z / count
    return Estimate(value, (middle - half) / below, (middle + half) / below, count)


def _rule_of_three(ok: int, count: int) -> Estimate:
    rare = min(1.0, 3 / count)
    return Estimate(1.0, 1 - rare, 1.0, count) if ok else Estimate(0.0, 0.0, rare, count)


def share(windows: Windows[Tally], rng: random.Random) -> Estimate:
    """ok / all over all windows; the interval from blocks, or by the rule of three. It is never
    narrower than that of independent calls: a few blocks that agree by chance would make it so."""
    ok = sum(block[0] for window in windows for block in window)
    count = sum(block[1] for window in windows for block in window)
    if count == 0:
        return Estimate(math.nan, 0.0, 1.0, 0)
    if ok in (0, count):
        return _rule_of_three(ok, count)

    def of(blocks: Sequence[Tally]) -> float | None:
        drawn = sum(block[1] for block in blocks)
        return sum(block[0] for block in blocks) / drawn if drawn else None

    low, high = bootstrap(windows, of, rng)
    independent = wilson(ok, count)
    return Estimate(ok / count, min(low, independent.low), max(high, independent.high), count)


def bootstrap(
    windows: Windows[T], figure: Callable[[Sequence[T]], float | None], rng: random.Random
) -> tuple[float, float]:
    """The 95% interval of `figure`, which may be None for a draw that says nothing."""
    filled = [window for window in windows if window]
    found = []
    for _ in range(DRAWS):
        blocks: list[T] = []
        for _ in filled:
            window = rng.choice(filled)
            blocks += rng.choices(window, k=len(window))
        value = figure(blocks)
        if value is not None:
            found.append(value)
    return middle(found)


def middle(found: Sequence[float]) -> tuple[float, float]:
    """What 95% of them lie between."""
    if not found:
        return math.nan, math.nan
    ordered = sorted(found)
    outside = (1 - LEVEL) / 2
    return ordered[int(outside * len(ordered))], ordered[int((1 - outside) * (len(ordered) - 1))]


def nines(ok: int, count: int) -> Estimate:
    """-log10(1 - A), with Wilson's interval. After n calls without a failure the low end is
    log10(n/3): 3 000 good calls show three nines, and no number of them shows infinitely many."""
    of = wilson(ok, count)
    return Estimate(_nines(of.value), _nines(of.low), _nines(of.high), count)


def _nines(part: float) -> float:
    return math.inf if part >= 1 else -math.log10(1 - part)
