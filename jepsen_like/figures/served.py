"""How many were served: yield, and client-time availability.

- Yield (Fox and Brewer, HotOS 1999): ok within the deadline / invoked. Counted as users see it:
  from the scheduled time, with arrivals that found no free connection as not served. What was
  scheduled in a window and still unanswered at its end belongs to neither: the end, not the
  window, decided how it went.
- Client-time availability (Hauer et al., "Meaningful availability", NSDI 2020): the mean over
  (client, bucket of time in which it asked) of "was it served at least once". A client that asks
  a hundred times in a second in which nothing works has lost a second, and not a hundred calls.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from jepsen_like.figures.intervals import BLOCK_NS, Tally, share
from jepsen_like.history import Operation, Unserved
from jepsen_like.result import Estimate

__all__ = ["Window", "client_time", "tallies", "yield_of"]

BUCKET_NS: Final = 1_000_000_000


@dataclass(frozen=True)
class Window:
    """A time, and the hosts on the side that is asked about."""

    start_ns: int
    end_ns: int
    hosts: frozenset[str]

    def blocks(self) -> int:
        return max(1, -(-(self.end_ns - self.start_ns) // BLOCK_NS))

    def holds(self, operation: Operation) -> bool:
        """Asked on this side in this time, and answered or given up before its end."""
        return (
            operation.node in self.hosts
            and self.start_ns <= operation.scheduled_ns
            and operation.returned_ns <= self.end_ns
        )

    def holds_arrival(self, arrival: Unserved) -> bool:
        return arrival.node in self.hosts and self.start_ns <= arrival.scheduled_ns < self.end_ns


def tallies(
    operations: Iterable[Operation],
    unserved: Iterable[Unserved],
    windows: Sequence[Window],
    classes: Collection[str],
) -> list[list[Tally]]:
    """Per window and block of a second: how many of these classes were served, of how many."""
    counts = [[[0, 0] for _ in range(window.blocks())] for window in windows]
    for operation in operations:
        if operation.f in classes:
            for window, blocks in zip(windows, counts, strict=True):
                if window.holds(operation):
                    cell = blocks[(operation.scheduled_ns - window.start_ns) // BLOCK_NS]
                    cell[0] += operation.outcome == "ok"
                    cell[1] += 1
    for arrival in unserved:
        if arrival.f in classes:
            for window, blocks in zip(windows, counts, strict=True):
                if window.holds_arrival(arrival):
                    blocks[(arrival.scheduled_ns - window.start_ns) // BLOCK_NS][1] += 1
    return [[(ok, count) for ok, count in blocks] for blocks in counts]


def yield_of(
    operations: Iterable[Operation],
    unserved: Iterable[Unserved],
    windows: Sequence[Window],
    classes: Collection[str],
    rng: random.Random,
) -> Estimate:
    return share(tallies(operations, unserved, windows, classes), rng)


def client_time(
    operations: Iterable[Operation],
    unserved: Iterable[Unserved],
    windows: Sequence[Window],
    rng: random.Random,
) -> Estimate:
    """Over buckets of a second. A client is a process; an arrival that found no connection is a
    client of its own, who was not served."""
    served: list[dict[tuple[int, int], bool]] = [{} for _ in windows]
    for operation in operations:
        for window, clients in zip(windows, served, strict=True):
            if window.holds(operation):
                bucket = (operation.scheduled_ns - window.start_ns) // BUCKET_NS
                place = (bucket, operation.process)
                clients[place] = clients.get(place, False) or operation.outcome == "ok"
    counts = [[[0, 0] for _ in range(window.blocks())] for window in windows]
    for clients, blocks in zip(served, counts, strict=True):
        for (bucket, _), ok in clients.items():
            blocks[bucket][0] += ok
            blocks[bucket][1] += 1
    for arrival in unserved:
        for window, blocks in zip(windows, counts, strict=True):
            if window.holds_arrival(arrival):
                blocks[(arrival.scheduled_ns - window.start_ns) // BUCKET_NS][1] += 1
    return share([[(ok, count) for ok, count in blocks] for blocks in counts], rng)
