"""Leases with fencing tokens: finds a lease that two clients were granted, and work that was
accepted from a client that had lost it.

`acquire (token, holder)` is granted where the token is higher than every one before; two holders
ask for each token, so that they race. `use (token, holder)` is accepted from the one who has the
highest token (Kleppmann 2016, "How to do distributed locking"). Judged by `checks.linearizable`
against `ContendedLease`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from jepsen_like.generators import rotate
from jepsen_like.load import Call
from jepsen_like.models.locks import ContendedLease
from jepsen_like.models.model import Model
from jepsen_like.workloads.workload import Rotating, SqlCall

__all__ = ["Leases", "lease"]

ACQUIRES: Final = 0.3
USES: Final = 0.4
CONTENDERS: Final = 2


@dataclass(frozen=True)
class Leases(Rotating):
    initial: ClassVar[int] = 0
    judged_by: ClassVar[tuple[str, ...]] = ("linearizable",)

    def calls(self, rng: random.Random, keys: Sequence[int]) -> Iterator[Call]:
        asked: dict[int, list[tuple[int, int]]] = {}
        for key, before in rotate(
            rng, keys=self.keys_at_once, calls_per_key=self.calls_per_key, keys_total=len(keys)
        ):
            if not before:
                asked[key] = []
            mine = asked[key]
            chance = rng.random()
            if chance < ACQUIRES or not mine:
                number = len(mine)
                mine.append((1 + number // CONTENDERS, number))
                yield Call("acquire", key, mine[-1])
            elif chance < ACQUIRES + USES:
                yield Call("use", key, rng.choice(mine[-2 * CONTENDERS :]))
            else:
                yield Call("read", key)

    def model(self) -> Model | None:
        return ContendedLease()

    def create_sql(self) -> str:
        return (
            f"CREATE TABLE {self.table} (id bigint PRIMARY KEY, token bigint NOT NULL, "
            "holder bigint, uses bigint NOT NULL)"
        )

    def load_sql(self, key: int) -> SqlCall:
        text = f"INSERT INTO {self.table} (id, token, uses) VALUES ($1, $2, 0)"  # noqa: S608 - ours
        return SqlCall(text, (key, self.initial), "done")

    def sql(self, call: Call) -> SqlCall:
        match call:
            case Call("read", key):
                text = f"SELECT token FROM {self.table} WHERE id = $1"  # noqa: S608
                return SqlCall(text, (key,), "value")
            case Call("acquire", key, (token, holder)):
                text = (
                    f"UPDATE {self.table} SET token = $2, holder = $3 "  # noqa: S608
                    "WHERE id = $1 AND token < $2"
                )
                return SqlCall(text, (key, token, holder), "changed")
            case Call("use", key, (token, holder)):
                text = (
                    f"UPDATE {self.table} SET uses = uses + 1 "  # noqa: S608
                    "WHERE id = $1 AND token = $2 AND holder = $3"
                )
                return SqlCall(text, (key, token, holder), "changed")
            case _:
                raise ValueError(f"a lease has acquire, use and read, not {call.f!r}")


def lease(
    keys: int = 16, calls_per_key: int = 50, *, weight: float = 1.0, name: str = "lease"
) -> Leases:
    """`keys` leases in use at a time."""
    return Leases(keys, calls_per_key, weight=weight, name=name)
