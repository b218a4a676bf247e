"""What is asked of the database and when: pure, seeded, the same for the same seed.

Open loop: calls arrive at their own times, whether or not earlier ones have come back. A closed
loop would stop asking exactly while the database does not answer, and so measure a better
database than its users have. This module knows neither clock nor database; the dispatcher
sends what is planned here.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = [
    "Call",
    "Arrival",
    "OpenLoop",
    "open_loop",
    "arrivals",
    "final_rate",
    "final_reads",
    "FINAL_READS_PER_S_MAX",
    "seconds",
]

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min)\Z")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0}


def seconds(duration: str | float) -> float:
    """ "500ms", "10s", "2min", or a number of seconds. Raises ValueError with a sentence."""
    if isinstance(duration, str):
        match = _DURATION.match(duration.strip())
        if match is None:
            raise ValueError(f"{duration!r} is not a duration; write 500ms, 10s or 2min.")
        return float(match[1]) * _UNITS[match[2]]
    if duration < 0:
        raise ValueError(f"a duration of {duration} seconds is negative.")
    return float(duration)


@dataclass(frozen=True, slots=True)
class Call:
    """One thing to ask: `value` is what to write, (expected, new) for a compare-and-set.

    `home`: calls with the same number are sent from the same host; None: from any.
    """

    f: str  # "read", "write", "cas", ...
    key: int
    value: Any = None
    workload: str = ""  # whose key it is
    home: int | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call, the host whose client gets it, and when (nanoseconds from the load's start)."""

    at_ns: int
    host: str
    call: Call


@dataclass(frozen=True)
class OpenLoop:
    """`rate` calls per second over all hosts; each has `deadline_s` from its scheduled time.

    `clients` connections per host: during a cut every call may take its whole deadline, so a
    host needs rate-per-host x deadline of them, and some more for those that reconnect.
    """

    rate: float
    deadline_s: float
    clients: int


def open_loop(rate: float, deadline: str | float = "500ms", clients: int | None = None) -> OpenLoop:
    """Calls per second over all hosts, and how long each may take.

    Without `clients`, rate x deadline connections per host: with three hosts, that is three
    times what is busy on average while nothing is answered.
    """
    deadline_s = seconds(deadline)
    if rate <= 0 or deadline_s <= 0:
        raise ValueError("an open loop needs a rate and a deadline above 0.")
    return OpenLoop(rate, deadline_s, clients or max(4, round(rate * deadline_s)))


def arrivals(
    calls: Iterator[Call], *, hosts: Sequence[str], rate: float, rng: random.Random
) -> Iterator[Arrival]:
    """A Poisson process of `rate` per second over all hosts, for as long as there are calls."""
    at_s = 0.0
    for call in calls:
        at_s += rng.expovariate(rate)
        host = rng.choice(hosts) if call.home is None else hosts[call.home % len(hosts)]
        yield Arrival(round(at_s * 1e9), host, call)


FINAL_READS_PER_S_MAX: Final = 400.0
"""Also how many there are in a simulation, where nobody waits for a CPU."""

FINAL_READS_PER_S_MIN: Final = 25.0


def final_rate(round_number: int, rate: float) -> float:
    """Final reads a second in this round, counted from 0, of a test with this `rate`.

    What the database was asked for all the time it can answer now, and at most 400. In each round
    half as many as in the one before: one that answered too late is asked more slowly, not again
    as fast.
    """
    first = min(max(rate, FINAL_READS_PER_S_MIN), FINAL_READS_PER_S_MAX)
    return max(first * 0.5**round_number, FINAL_READS_PER_S_MIN)


def final_reads(pairs: Iterable[tuple[Call, str]], *, rate: float) -> Iterator[Arrival]:
    """Each (read, host), evenly spaced."""
    for number, (call, host) in enumerate(pairs):
        yield Arrival(round(number / rate * 1e9), host, call)
