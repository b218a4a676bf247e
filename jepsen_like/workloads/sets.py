"""Sets that elements are added to and removed from: finds lost, stale, duplicated and
resurrected elements.

Judged by `checks.nothing_lost`, in one pass; also by `checks.linearizable` against `GrowSet`,
which forbids stale reads. A set is the rows of one shard key, so a read is one statement on one
shard.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from jepsen_like.generators import rotate
from jepsen_like.load import Call
from jepsen_like.models.collections import GrowSet
from jepsen_like.models.model import Model
from jepsen_like.workloads.workload import Rotating, SqlCall

__all__ = ["Sets", "sets"]

READS: Final = 0.5
REMOVALS: Final = 0.1


@dataclass(frozen=True)
class Sets(Rotating):
    """Half of the calls read, one in ten removes; every element is added once."""

    initial: ClassVar[tuple[int, ...]] = ()
    judged_by: ClassVar[tuple[str, ...]] = ("nothing lost", "linearizable")

    def calls(self, rng: random.Random, keys: Sequence[int]) -> Iterator[Call]:
        planned: dict[int, list[int]] = {}
        element = 0
        for key, before in rotate(
            rng, keys=self.keys_at_once, calls_per_key=self.calls_per_key, keys_total=len(keys)
        ):
            if not before:
                planned[key] = []
            there = planned[key]
            chance = rng.random()
            if chance < READS:
                yield Call("read", key)
            elif chance < READS + REMOVALS and there:
                yield Call("remove", key, there.pop(rng.randrange(len(there))))
            else:
                element += 1
                there.append(element)
                yield Call("add", key, element)

    def model(self) -> Model | None:
        return GrowSet()

    def create_sql(self) -> str:
        return f"CREATE TABLE {self.table} (id bigint, element bigint, PRIMARY KEY (id, element))"

    def load_sql(self, key: int) -> SqlCall | None:
        del key
        return None

    def sql(self, call: Call) -> SqlCall:
        match call:
            case Call("read", key):
                text = f"SELECT element FROM {self.table} WHERE id = $1"  # noqa: S608 - our name
                return SqlCall(text, (key,), "column")
            case Call("add", key, element):
                text = f"INSERT INTO {self.table} (id, element) VALUES ($1, $2)"  # noqa: S608
                return SqlCall(text, (key, element), "done")
            case Call("remove", key, element):
                text = f"DELETE FROM {self.table} WHERE id = $1 AND element = $2"  # noqa: S608
                return SqlCall(text, (key, element), "done")
            case _:
                raise ValueError(f"a set has read, add and remove, not {call.f!r}")


def sets(
    keys: int = 24, calls_per_key: int = 60, *, weight: float = 1.0, name: str = "set"
) -> Sets:
    """`keys` sets in use at a time."""
    return Sets(keys, calls_per_key, weight=weight, name=name)
