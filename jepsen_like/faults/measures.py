"""Is a link shaped as it was asked? From what probes over it saw, with a stated tolerance.

Times are bounded below exactly, for nothing may arrive earlier than asked, and above with room
for a busy machine. Fractions are judged by the binomial distribution: all links together lie
within SIGMAS standard deviations of what was asked, and no link goes without.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, TypeAlias

from jepsen_like.backends.backend import Pair
from jepsen_like.backends.shape import Shape

__all__ = [
    "Finding",
    "Packets",
    "datagrams_needed",
    "is_delayed",
    "is_plain",
    "is_rated",
    "packets",
]

EARLY_S: Final = 0.001
"""The resolution of timers."""

LATE_S: Final = 0.05
"""What a probe may take beyond what was asked: the harness itself is at work while it measures."""

JITTER_SEEN: Final = 0.5
"""Of the span from the least to the most that was asked, what the probes must show."""

SIGMAS: Final = 4.5
"""Less than one measurement in a hundred thousand lies further off by chance."""

EXPECTED: Final = 25
"""How often each link is to show what was asked: never, by chance, is then out of the question."""

DATAGRAMS_MIN: Final = 100
DATAGRAMS_MAX: Final = 1000

RATE_MIN: Final = 0.6
RATE_MAX: Final = 1.15
"""Of the rate that was asked; headers are not counted, and a queue that was empty is a start."""

Finding: TypeAlias = tuple[bool, str]
"""Whether it is as asked, and what was seen, in words."""


@dataclass(frozen=True)
class Packets:
    """What came of numbered datagrams over one link."""

    sent: int
    numbers: tuple[int, ...]  # in order of arrival
    times_s: tuple[float, ...]  # how long each was on its way

    @property
    def lost(self) -> int:
        return self.sent - len(set(self.numbers))

    @property
    def doubled(self) -> int:
        return len(self.numbers) - len(set(self.numbers))

    @property
    def overtakers(self) -> int:
        """Those that arrived before one that was sent earlier."""
        found, least = set(), math.inf
        for number in reversed(self.numbers):
            if number > least:
                found.add(number)
            least = min(least, number)
        return len(found)


def is_delayed(shape: Shape, times_s: Mapping[Pair, Sequence[float]]) -> Finding:
    """The one-way times of probes over each link; a link without any carries nothing."""
    least_s = max(0.0, shape.delay_s - shape.jitter_s)
    most_s = shape.delay_s + shape.jitter_s + LATE_S
    if shape.rate_bytes_s is not None:
        most_s += shape.queue_bytes / shape.rate_bytes_s  # behind what the database has to say
    silent = [pair for pair, found in times_s.items() if not found]
    if silent:
        return False, f"no probe arrived from {' and from '.join(f'{a} to {b}' for a, b in silent)}"
    medians = [median(found) for found in times_s.values()]
    every = [time_s for found in times_s.values() for time_s in found]
    early = sum(time_s < least_s - EARLY_S for time_s in every)
    if shape.reorder:
        early = sum(time_s < least_s - EARLY_S for time_s in medians)  # single ones may be at once
    span_s = max(every) - min(every)
    good = not early and max(medians) <= most_s and span_s >= 2 * shape.jitter_s * JITTER_SEEN
    return good, (
        f"{len(every)} probes took {_ms(min(every))} to {_ms(max(every))}, medians of links "
        f"{_ms(min(medians))} to {_ms(max(medians))} (asked: at least {_ms(least_s)}, medians up "
        f"to {_ms(most_s)}" + (f", a span of {_ms(shape.jitter_s)}" if shape.jitter_s else "") + ")"
    )


def is_plain(shape: Shape, times_s: Mapping[Pair, Sequence[float]]) -> Finding:
    """After it is over: on each link a probe was faster than the delay allowed."""
    least_s = shape.delay_s - shape.jitter_s
    fastest = [min(found, default=math.inf) for found in times_s.values()]
    good = all(time_s < (least_s if least_s > EARLY_S else math.inf) for time_s in fastest)
    return good, f"the fastest probe of each link took {_ms(min(fastest))} to {_ms(max(fastest))}"


def datagrams_needed(shape: Shape) -> int:
    """Per link, so that each fraction shows."""
    asked = [p for p in (shape.loss, shape.duplicate, shape.reorder) if p]
    wanted = max((math.ceil(EXPECTED / p) for p in asked), default=0)
    return min(max(wanted, DATAGRAMS_MIN), DATAGRAMS_MAX)


def packets(shape: Shape, links: Mapping[Pair, Packets]) -> list[Finding]:
    """Loss, duplication and reordering, each whether it was asked or not."""
    arrived = {pair: found.sent - found.lost for pair, found in links.items()}
    found = [
        _fraction("lost", shape.loss, [(link.lost, link.sent) for link in links.values()]),
        _fraction(
            "doubled",
            shape.duplicate,
            [(link.doubled, arrived[pair]) for pair, link in links.items()],
        ),
    ]
    if shape.reorder:
        counts = [(link.overtakers, arrived[pair]) for pair, link in links.items()]
        found.append(_fraction("overtook others", shape.reorder, counts))
    return found


def is_rated(shape: Shape, bytes_s: Mapping[Pair, float]) -> Finding:
    """What each link carried while it was given more than its rate."""
    assert shape.rate_bytes_s is not None
    least, most = min(bytes_s.values()), max(bytes_s.values())
    # A connection that loses packets is slow of itself, so that only too much is wrong
    floor = 0.0 if shape.needs_packets else RATE_MIN * shape.rate_bytes_s
    good = floor <= least and most <= RATE_MAX * shape.rate_bytes_s
    return good, (
        f"links carried {_mbit(least)} to {_mbit(most)} (asked: {_mbit(shape.rate_bytes_s)}; "
        f"{RATE_MIN:.0%} to {RATE_MAX:.0%} of it is good)"
    )


def _fraction(what: str, asked: float, counts: Iterable[tuple[int, int]]) -> Finding:
    """`counts` are (how many, of how many) of each link."""
    links = tuple(counts)
    seen, total = sum(n for n, _ in links), sum(of for _, of in links)
    spread = SIGMAS * math.sqrt(total * asked * (1 - asked))
    least, most = math.ceil(total * asked - spread), math.floor(total * asked + spread)
    everywhere = all(n > 0 for n, of in links if of * asked >= EXPECTED - 1)
    good = max(0, least) <= seen <= most and everywhere
    return good, (
        f"{seen} of {total} datagrams {what} (asked: {asked:.3g}, so {max(0, least)} to {most})"
    )


def _ms(time_s: float) -> str:
    return f"{time_s * 1000:.1f} ms"


def _mbit(bytes_s: float) -> str:
    return f"{bytes_s * 8e-6:.3g} Mbit/s"
