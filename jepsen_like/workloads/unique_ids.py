"""Ids that may be given once: finds ids that two clients were given.

`generate` asks for an id that is drawn beforehand, by an INSERT that a primary key guards; each is
asked for about twice, from anywhere, and who comes second must be told so. Judged by
`checks.unique`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from jepsen_like.generators import rotate
from jepsen_like.load import Call
from jepsen_like.workloads.workload import Rotating, SqlCall

__all__ = ["UniqueIds", "unique_ids"]

READS: Final = 0.1
AGAIN: Final = 0.5


@dataclass(frozen=True)
class UniqueIds(Rotating):
    initial: ClassVar[tuple[int, ...]] = ()
    judged_by: ClassVar[tuple[str, ...]] = ("unique",)

    def calls(self, rng: random.Random, keys: Sequence[int]) -> Iterator[Call]:
        asked: dict[int, int] = {}
        number = 0
        for key, before in rotate(
            rng, keys=self.keys_at_once, calls_per_key=self.calls_per_key, keys_total=len(keys)
        ):
            if rng.random() < READS:
                yield Call("read", key)
            elif before and key in asked and rng.random() < AGAIN:
                yield Call("generate", key, asked.pop(key))
            else:
                number += 1
                asked[key] = number
                yield Call("generate", key, number)

    def create_sql(self) -> str:
        return f"CREATE TABLE {self.table} (id bigint, given bigint, PRIMARY KEY (id, given))"

    def load_sql(self, key: int) -> SqlCall | None:
        del key
        return None

    def sql(self, call: Call) -> SqlCall:
        match call:
            case Call("read", key):
                text = f"SELECT given FROM {self.table} WHERE id = $1"  # noqa: S608 - our own name
                return SqlCall(text, (key,), "column")
            case Call("generate", key, number):
                text = (
                    f"INSERT INTO {self.table} (id, given) VALUES ($1, $2) "  # noqa: S608
                    "ON CONFLICT DO NOTHING"
                )
                return SqlCall(text, (key, number), "claimed")
            case _:
                raise ValueError(f"ids have generate and read, not {call.f!r}")


def unique_ids(
    keys: int = 16, calls_per_key: int = 60, *, weight: float = 1.0, name: str = "unique-ids"
) -> UniqueIds:
    """Ids of `keys` kinds at a time; each is drawn once or twice."""
    return UniqueIds(keys, calls_per_key, weight=weight, name=name)
