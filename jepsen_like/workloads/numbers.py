"""Numbers that only grow: what every read of them may return is known in one pass.

`monotonic`: anybody raises any key. Judged by `checks.monotonic`: finds reads that go back and
raises that got lost.

`single_writer`: each key is written from one host only, with rising values, and read from all.
Judged by `checks.monotonic` and `checks.staleness`, which counts by how many versions and for how
long reads were behind.

In both a write takes effect only where it raises the number, so one whose outcome is unknown
cannot undo a later one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from jepsen_like.generators import rotate
from jepsen_like.load import Call
from jepsen_like.workloads.workload import Rotating, SqlCall

__all__ = ["Numbers", "SingleWriter", "monotonic", "single_writer"]

READS: Final = 0.6


@dataclass(frozen=True)
class Numbers(Rotating):
    """Three calls of five read; the others write the next number that was never written."""

    initial: ClassVar[int] = 0
    judged_by: ClassVar[tuple[str, ...]] = ("monotonic",)
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
                yield Call("write", key, value, home=self._home(key))

    def _home(self, key: int) -> int | None:
        del key
        return None

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
            case Call("write", key, value):
                text = f"UPDATE {self.table} SET val = $2 WHERE id = $1 AND val < $2"  # noqa: S608
                return SqlCall(text, (key, value), "changed")
            case _:
                raise ValueError(f"a number has read and write, not {call.f!r}")


@dataclass(frozen=True)
class SingleWriter(Numbers):
    judged_by: ClassVar[tuple[str, ...]] = ("monotonic", "staleness")

    def _home(self, key: int) -> int | None:
        return key


def monotonic(
    keys: int = 8, calls_per_key: int = 500, *, weight: float = 1.0, name: str = "monotonic"
) -> Numbers:
    """`keys` numbers in use at a time, raised from everywhere."""
    return Numbers(keys, calls_per_key, weight=weight, name=name)


def single_writer(
    keys: int = 8, calls_per_key: int = 500, *, weight: float = 1.0, name: str = "single-writer"
) -> SingleWriter:
    """`keys` numbers in use at a time, each raised from a host of its own."""
    return SingleWriter(keys, calls_per_key, weight=weight, name=name)
