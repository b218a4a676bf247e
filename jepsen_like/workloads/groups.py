"""Transactions on groups of rows: what workloads share whose calls read some rows and write others.

A key is a group of MEMBERS rows of one shard key; `over_shards`, each row has a shard key of its
own, and so a transaction is over several shards. Every value is written once, so that a read tells
which write it saw, and the check of transactions (Adya 1999; Kingsbury and Alvaro 2020) says which
transaction must have come before which.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, ClassVar, Final, TypeAlias

from jepsen_like.generators import rotate
from jepsen_like.load import Call
from jepsen_like.workloads.workload import Rotating, SqlCall, SqlTransaction

__all__ = ["APART", "MEMBERS", "Groups", "Step", "read_of"]

MEMBERS: Final = 4
APART: Final = 1 << 20
"""Between the keys of the members of one group, as the check sees them."""

READS_ONLY: Final = 0.2
"""Of the transactions."""

Step: TypeAlias = tuple[str, int, Any]
"""(`r` or what writes, a member, the value)."""


def read_of(member: int) -> Step:
    return ("r", member, None)


@dataclass(frozen=True)
class Groups(Rotating, ABC):
    over_shards: bool = False

    initial: ClassVar[None] = None
    judged_by: ClassVar[tuple[str, ...]] = ("strict serializable",)
    unsure_max: ClassVar[int | None] = None
    column: ClassVar[str]
    """The type of what a member holds, in SQL."""
    start: ClassVar[str]
    """What it holds at first, in SQL."""

    @abstractmethod
    def steps(
        self, rng: random.Random, members: Sequence[int], value: Iterator[int]
    ) -> Sequence[Step]:
        """Of the next transaction; `value` gives numbers that nobody else writes."""

    @abstractmethod
    def assigned(self, number: int) -> str:
        """What the column `val` becomes, in SQL; `$number` is what is written."""

    def argument(self, value: int) -> str | int:
        """What is written, as a parameter."""
        return value

    def seen(self, value: Any) -> Any:
        """What a read answers, of a column's value."""
        return value

    def calls(self, rng: random.Random, keys: Sequence[int]) -> Iterator[Call]:
        value = count(1)
        for key, _ in rotate(
            rng, keys=self.keys_at_once, calls_per_key=self.calls_per_key, keys_total=len(keys)
        ):
            yield Call("txn", key, tuple(self.steps(rng, _members(key), value)))

    def create_sql(self) -> str:
        val = f"val {self.column}"
        if self.over_shards:
            return f"CREATE TABLE {self.table} (member bigint PRIMARY KEY, {val})"
        return (
            f"CREATE TABLE {self.table} (id bigint, member bigint, {val}, PRIMARY KEY (id, member))"
        )

    def load_sql(self, key: int) -> tuple[SqlCall, ...]:
        if self.over_shards:
            text = f"INSERT INTO {self.table} (member, val) VALUES ($1, {self.start})"  # noqa: S608 - our name
            return tuple(SqlCall(text, (member,), "done") for member in _members(key))
        text = f"INSERT INTO {self.table} (id, member, val) VALUES ($1, $2, {self.start})"  # noqa: S608 - our name
        return tuple(SqlCall(text, (key, member), "done") for member in _members(key))

    def sql(self, call: Call) -> SqlTransaction:
        if call.f == "read":  # of all members: what a run asks for at its end
            return self._transaction(call.key, tuple(map(read_of, _members(call.key))))
        if call.f != "txn":
            raise ValueError(f"a group has txn and read, not {call.f!r}")
        return self._transaction(call.key, call.value)

    def _transaction(self, key: int, steps: Sequence[Step]) -> SqlTransaction:
        table = self.table
        group = "" if self.over_shards else "id = $2 AND "
        at = () if self.over_shards else (key,)
        number = len(at) + 2
        read = f"SELECT val FROM {table} WHERE {group}member = $1"  # noqa: S608
        write = f"UPDATE {table} SET val = {self.assigned(number)} WHERE {group}member = $1"  # noqa: S608

        def run() -> Generator[SqlCall, Any, Any]:
            done: list[Step] = []
            for what, member, value in steps:
                if what == "r":
                    found = yield SqlCall(read, (member, *at), "value")
                    value = self.seen(found)
                else:
                    yield SqlCall(write, (member, *at, self.argument(value)), "changed")
                done.append((what, member, value))
            return tuple(done)

        return SqlTransaction(run)


def _members(key: int) -> list[int]:
    return [key + place * APART for place in range(MEMBERS)]
