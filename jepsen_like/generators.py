"""What load plans are made of: streams of calls, pure and drawn from a generator of their own.

A stream is an iterator without end unless it says otherwise. Nothing here knows a clock or a
database, so the same seed gives the same plan whatever the database does with it. When the calls
are sent (a Poisson process over the hosts) is `load.arrivals`.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice
from typing import TypeVar

__all__ = ["mix", "phases", "rotate", "keys_needed"]

T = TypeVar("T")


def mix(rng: random.Random, streams: Sequence[tuple[float, Iterator[T]]]) -> Iterator[T]:
    """One item after the other, each from a stream that is drawn by its weight; ends when a
    stream that was drawn has ended."""
    weights = list(accumulate(weight for weight, _ in streams))
    total, last = weights[-1], len(weights) - 1
    while True:
        _, chosen = streams[bisect(weights, rng.random() * total, 0, last)]
        try:
            item = next(chosen)
        except StopIteration:
            return
        yield item


def phases(parts: Iterable[tuple[int, Iterator[T]]]) -> Iterator[T]:
    """So many items of the first stream, then so many of the second; ends with the last."""
    for count, stream in parts:
        yield from islice(stream, count)


def keys_needed(*, keys: int, calls: int, calls_per_key: int) -> int:
    """How many keys `calls` calls need: `keys` in use at a time, each retired when used up.

    Twice `keys`, for each of the first ones may retire after a single call.
    """
    return 2 * keys + -(-calls // calls_per_key)


def rotate(
    rng: random.Random, *, keys: int, calls_per_key: int, keys_total: int
) -> Iterator[tuple[int, int]]:
    """(key, how often it was drawn before in this use) for every call.

    `keys` of 0..keys_total-1 are in use at a time; a key that had `calls_per_key` calls is
    replaced by a fresh one (checking is exponential in the calls of one key whose outcome is
    unknown). The first keys retire at different times, so that some keys live before, during and
    after any cut. Only after keys_total keys are used up do the first ones come again.
    """
    assert keys <= keys_total
    active = list(range(keys))
    budgets = [max(1, calls_per_key * (slot + 1) // keys) for slot in range(keys)]
    drawn = [0] * keys
    following = keys
    while True:
        slot = rng.randrange(keys)
        yield active[slot], drawn[slot]
        drawn[slot] += 1
        if drawn[slot] == budgets[slot]:
            active[slot] = -1
            while following % keys_total in active:  # a wrap met a key that is still in use
                following += 1
            active[slot] = following % keys_total
            budgets[slot], drawn[slot] = calls_per_key, 0
            following += 1
