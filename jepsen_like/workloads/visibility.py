"""In which order writes become visible, over rows that may be on any shard.

`long_fork`: a key is a group of ROWS rows, each written once. It is read in one statement (`read`)
or row by row in a transaction (`walk`). Of two reads no one may see a write without another, and
the second the other without the first; nor any a write without those acknowledged before it.

`causal_reverse`: a key is a list of elements, each a row that is inserted once; a read of the list
that has one has those whose insertion was acknowledged before (both are tests of Jepsen).
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from jepsen_like.generators import rotate
from jepsen_like.load import Call
from jepsen_like.workloads.workload import Rotating, SqlCall, SqlTransaction, Statements

__all__ = ["CausalReverse", "LongFork", "causal_reverse", "long_fork"]

ROWS: Final = 4
APART: Final = 1 << 40
"""Between the ids of the rows of a group."""
WRITES: Final = 0.25
"""Of the calls of a group, until all of its rows are written."""
ADDS: Final = 0.5


@dataclass(frozen=True)
class LongFork(Rotating):
    initial: ClassVar[tuple[int, ...]] = (0,) * ROWS
    judged_by: ClassVar[tuple[str, ...]] = ("long fork", "causal reverse")
    unsure_max: ClassVar[int | None] = None

    @property
    def default_checks(self) -> tuple[str, ...]:
        return self.judged_by

    def calls(self, rng: random.Random, keys: Sequence[int]) -> Iterator[Call]:
        unwritten: dict[int, list[int]] = {}
        for key, _ in rotate(
            rng, keys=self.keys_at_once, calls_per_key=self.calls_per_key, keys_total=len(keys)
        ):
            left = unwritten.get(key)
            if left is None:
                left = unwritten[key] = rng.sample(range(ROWS), ROWS)
            if left and rng.random() < WRITES:
                yield Call("write", key, left.pop())
            else:
                yield Call(rng.choice(("read", "walk")), key)

    def create_sql(self) -> str:
        return (
            f"CREATE TABLE {self.table} "
            "(id bigint PRIMARY KEY, part bigint NOT NULL, val bigint NOT NULL)"
        )

    def load_sql(self, key: int) -> tuple[SqlCall, ...]:
        text = f"INSERT INTO {self.table} (id, part, val) VALUES ($1, $2, 0)"  # noqa: S608 - our name
        return tuple(SqlCall(text, (row, key), "done") for row in rows_of(key))

    def sql(self, call: Call) -> Statements:
        match call:
            case Call("read", key):
                text = f"SELECT val FROM {self.table} WHERE part = $1 ORDER BY id"  # noqa: S608
                return SqlCall(text, (key,), "column")
            case Call("walk", key):
                text = f"SELECT val FROM {self.table} WHERE id = $1"  # noqa: S608

                def walk() -> Generator[SqlCall, Any, Any]:
                    found = []
                    for row in rows_of(key):
                        val = yield SqlCall(text, (row,), "value")
                        found.append(val)
                    return tuple(found)

                return SqlTransaction(walk)
            case Call("write", key, row):
                text = f"UPDATE {self.table} SET val = 1 WHERE id = $1"  # noqa: S608
                return SqlCall(text, (rows_of(key)[row],), "changed")
            case _:
                raise ValueError(f"a group has read, walk and write, not {call.f!r}")


def rows_of(key: int) -> list[int]:
    """The ids of the rows of a group, in the order in which they are read."""
    return [key + n * APART for n in range(ROWS)]


@dataclass(frozen=True)
class CausalReverse(Rotating):
    initial: ClassVar[tuple[int, ...]] = ()
    judged_by: ClassVar[tuple[str, ...]] = ("causal reverse",)
    unsure_max: ClassVar[int | None] = None

    def calls(self, rng: random.Random, keys: Sequence[int]) -> Iterator[Call]:
        element = 0
        for key, _ in rotate(
            rng, keys=self.keys_at_once, calls_per_key=self.calls_per_key, keys_total=len(keys)
        ):
            if rng.random() < ADDS:
                element += 1
                yield Call("add", key, element)
            else:
                yield Call("read", key)

    def create_sql(self) -> str:
        return f"CREATE TABLE {self.table} (id bigint PRIMARY KEY, list bigint NOT NULL)"

    def load_sql(self, key: int) -> SqlCall | None:
        del key
        return None

    def sql(self, call: Call) -> SqlCall:
        match call:
            case Call("read", key):
                text = f"SELECT id FROM {self.table} WHERE list = $1"  # noqa: S608 - our name
                return SqlCall(text, (key,), "column")
            case Call("add", key, element):
                text = f"INSERT INTO {self.table} (id, list) VALUES ($1, $2)"  # noqa: S608
                return SqlCall(text, (element, key), "done")
            case _:
                raise ValueError(f"a list has read and add, not {call.f!r}")


def long_fork(
    keys: int = 6, calls_per_key: int = 40, *, weight: float = 1.0, name: str = "long-fork"
) -> LongFork:
    """`keys` groups of rows in use at a time."""
    return LongFork(keys, calls_per_key, weight=weight, name=name)


def causal_reverse(
    keys: int = 3, calls_per_key: int = 200, *, weight: float = 1.0, name: str = "causal-reverse"
) -> CausalReverse:
    """`keys` lists in use at a time."""
    return CausalReverse(keys, calls_per_key, weight=weight, name=name)
