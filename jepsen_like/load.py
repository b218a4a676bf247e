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
    "RegisterMix",
    "register_calls",
    "register_keys",
    "final_reads",
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
    """One thing to ask: `value` is what to write, (expected, new) for a compare-and-set."""

    f: str  # "read", "write", "cas"
    key: int
    value: Any = None


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
    """A Poisson process of `rate` per second over all hosts, without end."""
    at_s = 0.0
    for call in calls:
        at_s += rng.expovariate(rate)
        yield Arrival(round(at_s * 1e9), rng.choice(hosts), call)


@dataclass(frozen=True)
class RegisterMix:
    """Shares of reads and writes; the rest are compare-and-sets."""

    reads: float = 0.5
    writes: float = 0.3


def register_keys(*, keys: int, calls: int, calls_per_key: int) -> int:
    """How many keys `calls` calls need: `keys` in use at a time, each retired when used up.

    Twice `keys`, for each of the first ones may retire after a single call.
    """
    return 2 * keys + -(-calls // calls_per_key)


def register_calls(
    rng: random.Random,
    *,
    keys: int,
    calls_per_key: int,
    keys_total: int,
    mix: RegisterMix | None = None,
) -> Iterator[Call]:
    """Reads, writes and compare-and-sets of integer registers 0..keys_total-1, without end.

    `keys` are in use at a time; a key that had `calls_per_key` calls is replaced by a fresh one
    (checking is exponential in the calls of one key whose outcome is unknown). The first keys
    retire at different times, so that some keys live before, during and after any cut. Only
    after keys_total keys are used up do the first ones come again.

    Every written value is written once, so a read tells which write it saw. A compare-and-set
    mostly expects what was planned last for its key, else something older, so that both
    answers occur.
    """
    assert keys <= keys_total
    mix = mix or RegisterMix()
    active = list(range(keys))
    left = [max(1, calls_per_key * (slot + 1) // keys) for slot in range(keys)]
    planned: dict[int, list[int]] = {key: [] for key in active}
    next_key, next_value = keys, 1
    while True:
        slot = rng.randrange(keys)
        key = active[slot]
        chance = rng.random()
        if chance < mix.reads:
            yield Call("read", key)
        else:
            history = planned[key]
            if chance < mix.reads + mix.writes or not history:
                yield Call("write", key, next_value)
            else:
                expected = history[-1] if rng.random() < 0.8 else rng.choice(history)
                yield Call("cas", key, (expected, next_value))
            history.append(next_value)
            next_value += 1
        left[slot] -= 1
        if left[slot] == 0:
            del planned[key]
            while next_key % keys_total in planned:  # a wrap met a key that is still in use
                next_key += 1
            active[slot] = next_key % keys_total
            planned[active[slot]] = []
            left[slot] = calls_per_key
            next_key += 1


def final_reads(pairs: Iterable[tuple[int, str]], *, rate: float) -> Iterator[Arrival]:
    """A read of each (key, host), evenly spaced."""
    for number, (key, host) in enumerate(pairs):
        yield Arrival(round(number / rate * 1e9), host, Call("read", key))
