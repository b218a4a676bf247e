"""Tables that are created and dropped while they are used: finds a table that is there for one
client and not for another, rows that outlive their table, and adds that got lost with a change.

Each key is a table of its own. A statement about a table that does not exist is an answer like any
other, not an error. Judged by `checks.linearizable` against `TableOfRows`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from jepsen_like.generators import rotate
from jepsen_like.load import Call
from jepsen_like.models.collections import NO_TABLE, TableOfRows
from jepsen_like.models.model import Model
from jepsen_like.workloads.workload import Rotating, SqlCall

__all__ = ["SchemaChange", "schema_change"]

UNDEFINED_TABLE: Final = "42P01"
DUPLICATE_TABLE: Final = "42P07"
READS: Final = 0.4
ADDS: Final = 0.4
CREATES: Final = 0.12


@dataclass(frozen=True)
class SchemaChange(Rotating):
    """Of ten calls eight read or add; the first of each key creates its table."""

    initial: ClassVar[str] = NO_TABLE
    judged_by: ClassVar[tuple[str, ...]] = ("linearizable",)

    def calls(self, rng: random.Random, keys: Sequence[int]) -> Iterator[Call]:
        row = 0
        for key, before in rotate(
            rng, keys=self.keys_at_once, calls_per_key=self.calls_per_key, keys_total=len(keys)
        ):
            chance = rng.random()
            if not before:
                yield Call("create", key)
            elif chance < READS:
                yield Call("read", key)
            elif chance < READS + ADDS:
                row += 1
                yield Call("add", key, row)
            else:
                yield Call("create" if chance < READS + ADDS + CREATES else "drop", key)

    def model(self) -> Model | None:
        return TableOfRows()

    def create_sql(self) -> str:
        return f"CREATE TABLE {self.table} (id bigint PRIMARY KEY)"

    def load_sql(self, key: int) -> SqlCall | None:
        del key
        return None

    def sql(self, call: Call) -> SqlCall:
        table = f"{self.table}_{call.key}"
        missing = {UNDEFINED_TABLE: NO_TABLE}
        match call:
            case Call("read"):
                text = f"SELECT val FROM {table} WHERE id = $1"  # noqa: S608 - our own name
                return SqlCall(text, (call.key,), "column", missing)
            case Call("add", _, row):
                text = f"INSERT INTO {table} (id, val) VALUES ($1, $2)"  # noqa: S608
                return SqlCall(text, (call.key, row), "done", missing)
            case Call("create"):
                text = f"CREATE TABLE {table} (id bigint, val bigint, PRIMARY KEY (id, val))"
                return SqlCall(text, (), "done", {DUPLICATE_TABLE: False})
            case Call("drop"):
                return SqlCall(f"DROP TABLE {table}", (), "done", missing)
            case _:
                raise ValueError(f"a table has create, drop, add and read, not {call.f!r}")


def schema_change(
    keys: int = 3, calls_per_key: int = 30, *, weight: float = 1.0, name: str = "schema-change"
) -> SchemaChange:
    """`keys` tables in use at a time. A change of the schema is slow beside a write: give it a
    small weight."""
    return SchemaChange(keys, calls_per_key, weight=weight, name=name)
