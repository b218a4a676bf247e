"""Workloads that lead where a broken rule shows."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, cycle
from typing import Final

from jepsen_like.generators import rotate
from jepsen_like.load import Call
from jepsen_like.workloads.append import Append
from jepsen_like.workloads.groups import APART, MEMBERS
from jepsen_like.workloads.schema_change import SchemaChange
from jepsen_like.workloads.workload import SqlCall

__all__ = ["Peeks", "Replaced"]

SHARDED: Final = 0
TOGETHER: Final = 1


@dataclass(frozen=True)
class Peeks(Append):
    """Appends to all lists of a group at once, wherever they are, and reads of one list each: who
    reads one right after the append was acknowledged must see it."""

    def calls(self, rng: random.Random, keys: Sequence[int]) -> Iterator[Call]:
        value = 0
        for key, _ in rotate(
            rng, keys=self.keys_at_once, calls_per_key=self.calls_per_key, keys_total=len(keys)
        ):
            lists = [key + place * APART for place in range(MEMBERS)]
            if rng.random() < 0.7:
                yield Call("txn", key, (("r", rng.choice(lists), None),))
                continue
            value += MEMBERS
            steps = [("append", each, value + place) for place, each in enumerate(lists)]
            yield Call("txn", key, tuple(steps))


@dataclass(frozen=True)
class Replaced(SchemaChange):
    """Tables that all routers use; then one of them, and nobody else, drops and creates all of them
    and uses them alone for a while; and so on. In turns they are sharded, and have all of their
    rows on one shard."""

    def calls(self, rng: random.Random, keys: Sequence[int]) -> Iterator[Call]:
        tables = keys[: self.keys_at_once]
        rows = count(1)

        def use(home: int | None) -> Iterator[Call]:
            for _ in range(self.calls_per_key):
                key = rng.choice(tables)
                adds = rng.random() < 0.5
                yield Call("add" if adds else "read", key, next(rows) if adds else None, home=home)

        for placement in cycle((SHARDED, TOGETHER)):
            for key in tables:
                yield Call("drop", key, home=0)
                yield Call("create", key, placement, home=0)
            yield from use(0)
            yield from use(None)

    def sql(self, call: Call) -> SqlCall:
        asked = super().sql(call)
        if call.value == TOGETHER and call.f == "create":
            return replace(asked, text=asked.text.replace(", PRIMARY KEY (id, val)", ""))
        return asked
