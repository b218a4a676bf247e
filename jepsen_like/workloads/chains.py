"""Chains of rows that one client writes one after the other: finds a later write that is seen
without the earlier one.

A chain has LINKS rows, each by itself and so on any shard. A `write` raises them one by one, the
first one first; a `read` reads them the last one first. Whoever sees a number in a later row must
see it, or a higher one, in the rows before (sequential consistency over several keys; the test
"sequential" of Jepsen). Judged by `checks.in_order`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from jepsen_like.generators import rotate
from jepsen_like.load import Call
from jepsen_like.workloads.workload import Rotating, SqlCall

__all__ = ["Chains", "sequential"]

LINKS: Final = 3
APART: Final = 1 << 40
"""Between the ids of the rows of a chain; the first one has the key for its id."""
READS: Final = 0.5


@dataclass(frozen=True)
class Chains(Rotating):
    initial: ClassVar[tuple[int, ...]] = (0,) * LINKS
    judged_by: ClassVar[tuple[str, ...]] = ("in order",)
    unsure_max: ClassVar[int | None] = None

    def calls(self, rng: random.Random, keys: Sequence[int]) -> Iterator[Call]:
        value = 0
        for key, _ in rotate(
            rng, keys=self.keys_at_once, calls_per_key=self.calls_per_key, keys_total=len(keys)
        ):
            if rng.random() < READS:
                yield Call("read", key)
            else:
                value += 1
                yield Call("write", key, value)

    def create_sql(self) -> str:
        return f"CREATE TABLE {self.table} (id bigint PRIMARY KEY, val bigint NOT NULL)"

    def load_sql(self, key: int) -> tuple[SqlCall, ...]:
        text = f"INSERT INTO {self.table} (id, val) VALUES ($1, 0)"  # noqa: S608 - our own name
        return tuple(SqlCall(text, (row,), "done") for row in _rows(key))

    def sql(self, call: Call) -> tuple[SqlCall, ...]:
        match call:
            case Call("read", key):
                text = f"SELECT val FROM {self.table} WHERE id = $1"  # noqa: S608
                return tuple(SqlCall(text, (row,), "value") for row in reversed(_rows(key)))
            case Call("write", key, value):
                text = f"UPDATE {self.table} SET val = $2 WHERE id = $1 AND val < $2"  # noqa: S608
                return tuple(SqlCall(text, (row, value), "changed") for row in _rows(key))
            case _:
                raise ValueError(f"a chain has read and write, not {call.f!r}")


def _rows(key: int) -> list[int]:
    return [key + link * APART for link in range(LINKS)]


def sequential(
    keys: int = 6, calls_per_key: int = 200, *, weight: float = 1.0, name: str = "sequential"
) -> Chains:
    """`keys` chains in use at a time."""
    return Chains(keys, calls_per_key, weight=weight, name=name)
