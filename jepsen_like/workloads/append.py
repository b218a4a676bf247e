"""Transactions on lists: finds whatever isolation does not allow, with the cycle that shows it.

A transaction reads some lists of a group and appends to others; every value is appended once, so a
read shows the order of the versions. `write_skew` reads two lists and appends to one: what snapshot
isolation lets pass.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from jepsen_like.workloads.groups import READS_ONLY, Groups, Step, read_of

__all__ = ["Append", "append", "write_skew"]

STEPS_MAX: Final = 4


@dataclass(frozen=True)
class Append(Groups):
    """Transactions of up to STEPS_MAX steps; `skewed`: two reads and an append each."""

    skewed: bool = False

    column: ClassVar[str] = "text NOT NULL"
    start: ClassVar[str] = "''"

    def steps(
        self, rng: random.Random, members: Sequence[int], value: Iterator[int]
    ) -> Sequence[Step]:
        if self.skewed:
            one, other = rng.sample(members[:2], 2)
            return (read_of(one), read_of(other), ("append", other, next(value)))
        steps: list[Step] = []
        only_reads = rng.random() < READS_ONLY
        for _ in range(rng.randint(1, STEPS_MAX)):
            chosen = rng.choice(members)
            if only_reads or rng.random() < 0.5:
                steps.append(read_of(chosen))
            else:
                steps.append(("append", chosen, next(value)))
        return steps

    def assigned(self, number: int) -> str:
        return f"val || ${number}"

    def argument(self, value: int) -> str:
        return f" {value}"

    def seen(self, value: Any) -> tuple[int, ...]:
        return tuple(int(one) for one in (value or "").split())


def append(
    keys: int = 8,
    calls_per_key: int = 120,
    *,
    over_shards: bool = False,
    weight: float = 1.0,
    name: str = "append",
) -> Append:
    """`keys` groups of lists in use at a time."""
    return Append(keys, calls_per_key, weight=weight, name=name, over_shards=over_shards)


def write_skew(
    keys: int = 8,
    calls_per_key: int = 120,
    *,
    over_shards: bool = False,
    weight: float = 1.0,
    name: str = "write-skew",
) -> Append:
    """The same with transactions that each read two lists and append to one of them."""
    return Append(
        keys, calls_per_key, weight=weight, name=name, skewed=True, over_shards=over_shards
    )
