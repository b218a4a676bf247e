"""Counters with `add` and `read`: finds adds that were lost, and adds that were applied twice.

Judged by `checks.within_bounds`: a read lies between what surely had and what may have been
added, where an add of unknown outcome is never sure. Also by `checks.linearizable` against
`Counter`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from jepsen_like.generators import rotate
from jepsen_like.load import Call
from jepsen_like.models.collections import Counter
from jepsen_like.models.model import Model
from jepsen_like.workloads.workload import Rotating, SqlCall

__all__ = ["Counters", "counter"]

READS: Final = 0.5
AMOUNT_MAX: Final = 5


@dataclass(frozen=True)
class Counters(Rotating):
    """Half of the calls read, half of them add 1 to 5."""

    initial: ClassVar[int] = 0
    judged_by: ClassVar[tuple[str, ...]] = ("within bounds", "linearizable")

    def calls(self, rng: random.Random, keys: Sequence[int]) -> Iterator[Call]:
        for key, _ in rotate(
            rng, keys=self.keys_at_once, calls_per_key=self.calls_per_key, keys_total=len(keys)
        ):
            if rng.random() < READS:
                yield Call("read", key)
            else:
                yield Call("add", key, rng.randint(1, AMOUNT_MAX))

    def model(self) -> Model | None:
        return Counter(self.initial)

    def create_sql(self) -> str:
        return f"CREATE TABLE {self.table} (id bigint PRIMARY KEY, val bigint NOT NULL)"

    def load_sql(self, key: int) -> SqlCall:
        text = f"INSERT INTO {self.table} (id, val) VALUES ($1, $2)"  # noqa: S608 - our own name
        return SqlCall(text, (key, self.initial), "done")

    def sql(self, call: Call) -> SqlCall:
        match call:
            case Call("read", key):
                text = f"SELECT val FROM {self.table} WHERE id = $1"  # noqa: S608
                return SqlCall(text, (key,), "value")
            case Call("add", key, amount):
                text = f"UPDATE {self.table} SET val = val + $2 WHERE id = $1"  # noqa: S608
                return SqlCall(text, (key, amount), "done")
            case _:
                raise ValueError(f"a counter has read and add, not {call.f!r}")


def counter(
    keys: int = 16, calls_per_key: int = 60, *, weight: float = 1.0, name: str = "counter"
) -> Counters:
    """`keys` counters in use at a time."""
    return Counters(keys, calls_per_key, weight=weight, name=name)
