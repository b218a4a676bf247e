"""How probable is it that a read is fresh: the curves of PBS, measured instead of predicted.

Probabilistically bounded staleness (Bailis et al., VLDB 2012) asks two questions of a store:

- k-staleness: with what probability does a read return one of the last versions, with at most k
  newer ones known when it was sent?
- t-visibility: with what probability does a read that is sent t after the newest known write
  return nothing older, so that no newer write was known?

Ours differ from the paper's in this. Its k counts versions returned, from 1, ours newer ones, from
0: what it calls within k versions is `at` k - 1 here. It predicts, for reads that begin when the
writes have committed and versions that have an order; here a write counts from when it is known,
and newer is what the clock says (see `staleness.py`). Its t-visibility is of a read begun at least
t after a write; ours is per bin of t, so that a share is of reads that waited the same time.

Each is answered by the share of a run's reads; of the second, by that of the reads whose newest
known write was as old as the bin says. Reads of the same moment share their fate (a cut, a slow
replica), so the 95% intervals are from a block bootstrap: windows of time are drawn, with
replacement, and not reads. Where all reads of a point agree the bootstrap has nothing to draw
from, and the rule of three says how rare the other outcome may be: at most 3/n.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

from jepsen_like.checks.counterexample import duration_text

__all__ = ["Sample", "Point", "Curves", "curves"]

Sample: TypeAlias = tuple[int, int, int | None]
"""Of one read: when it was sent, how many newer versions were known, the age of the newest."""

VERSIONS: Final = (0, 1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1_000)
AGES_NS: Final = tuple(
    digit * 10**exponent for exponent in range(5, 11) for digit in (1, 2, 5)
)  # 100 us to 50 s; the last bin has no end
WINDOWS: Final = 40  # equal parts of the time from the first read to the last
DRAWS: Final = 400
LEVEL: Final = 0.95


@dataclass(frozen=True)
class Point:
    """`share` of `reads` were as fresh as `at` asks; `low` to `high` is the 95% interval."""

    at: int  # k in versions, or the beginning of the bin in ns
    until: int | None  # of a bin: its end; None: there is none
    reads: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Curves:
    versions: tuple[Point, ...]  # P(at most k newer versions)
    time: tuple[Point, ...]  # P(none newer | the newest was known t ago)
    windows: int  # that had reads in them
    window_ns: int
    seed: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def in_words(self) -> list[str]:
        lines = [f"at most {point.at} versions old: {_shown(point)}" for point in self.versions]
        for point in self.time:
            end = "" if point.until is None else f" to {duration_text(point.until)}"
            age = f"{duration_text(point.at) if point.at else '0'}{end or ' and more'}"
            lines.append(f"fresh {age} after a write: {_shown(point)} of {point.reads} reads")
        return lines


def _shown(point: Point) -> str:
    return f"{point.share:.2%} ({point.low:.2%} to {point.high:.2%})"


def curves(samples: Sequence[Sample], seed: int) -> Curves:
    """Both curves; the same samples and seed give the same intervals."""
    if not samples:
        return Curves((), (), 0, 0, seed)
    start = min(sent for sent, _, _ in samples)
    window_ns = (max(sent for sent, _, _ in samples) - start) // WINDOWS + 1
    most = max(versions for _, versions, _ in samples)
    limits = VERSIONS[: next((i for i, k in enumerate(VERSIONS) if k >= most), len(VERSIONS)) + 1]
    # Per window and point: [reads, of these fresh]
    by_versions = [[[0, 0] for _ in limits] for _ in range(WINDOWS)]
    by_age = [[[0, 0] for _ in range(len(AGES_NS) + 1)] for _ in range(WINDOWS)]
    for sent, versions, age in samples:
        window = (sent - start) // window_ns
        for i, limit in enumerate(limits):
            cell = by_versions[window][i]
            cell[0] += 1
            cell[1] += versions <= limit
        if age is not None:
            cell = by_age[window][bisect_right(AGES_NS, age)]
            cell[0] += 1
            cell[1] += versions == 0
    windows = [w for w in range(WINDOWS) if by_versions[w][0][0]]
    rng = random.Random(seed)
    draws = [[rng.choice(windows) for _ in windows] for _ in range(DRAWS)]
    bins = [0, *AGES_NS]
    ends = [*AGES_NS, None]
    return Curves(
        tuple(_points(by_versions, windows, draws, limits, [None] * len(limits))),
        tuple(_points(by_age, windows, draws, bins, ends)),
        len(windows),
        window_ns,
        seed,
    )


def _points(
    counts: list[list[list[int]]],
    windows: Sequence[int],
    draws: Sequence[Sequence[int]],
    begins: Sequence[int],
    ends: Sequence[int | None],
) -> list[Point]:
    points = []
    for i, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        reads = sum(counts[w][i][0] for w in windows)
        fresh = sum(counts[w][i][1] for w in windows)
        if reads:
            low, high = _interval(counts, i, draws, reads, fresh)
            points.append(Point(begin, end, reads, fresh / reads, low, high))
    return points


def _interval(
    counts: list[list[list[int]]],
    i: int,
    draws: Sequence[Sequence[int]],
    reads: int,
    fresh: int,
) -> tuple[float, float]:
    if fresh in (0, reads):
        rare = min(1.0, 3 / reads)
        return (1 - rare, 1.0) if fresh else (0.0, rare)
    shares = []
    for draw in draws:
        drawn = sum(counts[w][i][0] for w in draw)
        if drawn:
            shares.append(sum(counts[w][i][1] for w in draw) / drawn)
    shares.sort()
    outside = (1 - LEVEL) / 2
    return shares[int(outside * len(shares))], shares[int((1 - outside) * (len(shares) - 1))]
