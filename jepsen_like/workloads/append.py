"""Transactions on lists: finds whatever isolation does not allow, with the cycle that shows it.

A key is a group of LISTS lists in rows of one shard key; `over_shards`, each list has a shard key
of its own, and so a transaction is over several shards. A transaction reads some of them and
appends to others; every value is appended once, so a read shows the order of the versions, and the
check of transactions (Adya 1999; Kingsbury and Alvaro 2020) says which transaction must have come
before which. `write_skew` reads two lists and appends to one: what snapshot isolation lets pass.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from jepsen_like.generators import rotate
from jepsen_like.load import Call
from jepsen_like.workloads.workload import Rotating, SqlCall, SqlTransaction

__all__ = ["Append", "append", "write_skew"]

LISTS: Final = 4
APART: Final = 1 << 20
"""Between the keys of lists of one group, as the check sees them."""

STEPS_MAX: Final = 4
READS_ONLY: Final = 0.2


@dataclass(frozen=True)
class Append(Rotating):
    """Transactions of up to STEPS_MAX steps; `skewed`: two reads and an append each."""

    skewed: bool = False
    over_shards: bool = False

    initial: ClassVar[None] = None
    judged_by: ClassVar[tuple[str, ...]] = ("strict serializable",)
    unsure_max: ClassVar[int | None] = None

    def calls(self, rng: random.Random, keys: Sequence[int]) -> Iterator[Call]:
        value = 0
        for key, _ in rotate(
            rng, keys=self.keys_at_once, calls_per_key=self.calls_per_key, keys_total=len(keys)
        ):
            lists = [key + place * APART for place in range(LISTS)]
            if self.skewed:
                value += 1
                one, other = rng.sample(lists[:2], 2)
                yield Call("txn", key, (*map(_read, (one, other)), ("append", other, value)))
                continue
            steps: list[tuple[str, int, int | None]] = []
            only_reads = rng.random() < READS_ONLY
            for _ in range(rng.randint(1, STEPS_MAX)):
                chosen = rng.choice(lists)
                if only_reads or rng.random() < 0.5:
                    steps.append(_read(chosen))
                else:
                    value += 1
                    steps.append(("append", chosen, value))
            yield Call("txn", key, tuple(steps))

    def create_sql(self) -> str:
        if self.over_shards:
            return f"CREATE TABLE {self.table} (list bigint PRIMARY KEY, val text NOT NULL)"
        return (
            f"CREATE TABLE {self.table} (id bigint, list bigint, val text NOT NULL, "
            "PRIMARY KEY (id, list))"
        )

    def load_sql(self, key: int) -> tuple[SqlCall, ...]:
        if self.over_shards:
            text = f"INSERT INTO {self.table} (list, val) VALUES ($1, '')"  # noqa: S608 - our name
            return tuple(SqlCall(text, (key + n * APART,), "done") for n in range(LISTS))
        text = f"INSERT INTO {self.table} (id, list, val) VALUES ($1, $2, '')"  # noqa: S608 - our name
        return tuple(SqlCall(text, (key, key + n * APART), "done") for n in range(LISTS))

    def sql(self, call: Call) -> SqlTransaction:
        if call.f == "read":  # of all lists: what a run asks for at its end
            return self._transaction(
                call.key, tuple(_read(call.key + place * APART) for place in range(LISTS))
            )
        if call.f != "txn":
            raise ValueError(f"lists have txn and read, not {call.f!r}")
        return self._transaction(call.key, call.value)

    def _transaction(self, key: int, steps: Sequence[tuple[str, int, Any]]) -> SqlTransaction:
        table = self.table
        group = "" if self.over_shards else "id = $2 AND "
        at = () if self.over_shards else (key,)

        def run() -> Generator[SqlCall, Any, Any]:
            done: list[tuple[str, int, Any]] = []
            for what, chosen, value in steps:
                if what == "r":
                    text = f"SELECT val FROM {table} WHERE {group}list = $1"  # noqa: S608
                    seen = yield SqlCall(text, (chosen, *at), "value")
                    value = tuple(int(one) for one in (seen or "").split())
                else:
                    number = len(at) + 2
                    text = f"UPDATE {table} SET val = val || ${number} WHERE {group}list = $1"  # noqa: S608
                    yield SqlCall(text, (chosen, *at, f" {value}"), "changed")
                done.append((what, chosen, value))
            return tuple(done)

        return SqlTransaction(run)


def _read(chosen: int) -> tuple[str, int, None]:
    return ("r", chosen, None)


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
