"""Transactions on registers that are read and written: what applications do, and what shows less
than lists do, since a read shows one version and not those before it.

Two thirds of the writes come right after a read of their register in the same transaction, which is
how the check knows which version followed which.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from jepsen_like.workloads.groups import READS_ONLY, Groups, Step, read_of

__all__ = ["RwRegister", "rw_register"]

PARTS_MAX: Final = 3
"""Reads, writes, and reads that are followed by a write, of one transaction."""

WRITES: Final = 0.6
READ_BEFORE: Final = 2 / 3


@dataclass(frozen=True)
class RwRegister(Groups):
    column: ClassVar[str] = "bigint"
    start: ClassVar[str] = "NULL"

    def steps(
        self, rng: random.Random, members: Sequence[int], value: Iterator[int]
    ) -> Sequence[Step]:
        steps: list[Step] = []
        only_reads = rng.random() < READS_ONLY
        for _ in range(rng.randint(1, PARTS_MAX)):
            chosen = rng.choice(members)
            writes = not only_reads and rng.random() < WRITES
            if not writes or rng.random() < READ_BEFORE:
                steps.append(read_of(chosen))
            if writes:
                steps.append(("w", chosen, next(value)))
        return steps

    def assigned(self, number: int) -> str:
        return f"${number}"


def rw_register(
    keys: int = 8,
    calls_per_key: int = 120,
    *,
    over_shards: bool = False,
    weight: float = 1.0,
    name: str = "rw-register",
) -> RwRegister:
    """`keys` groups of registers in use at a time."""
    return RwRegister(keys, calls_per_key, weight=weight, name=name, over_shards=over_shards)
