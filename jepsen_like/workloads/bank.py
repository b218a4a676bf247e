"""Money that moves between accounts: finds money that is made or lost.

A key is a bank of ACCOUNTS accounts in rows of one shard key. A transfer is a transaction that
reads both accounts and writes both, each balance computed from what was read; a read of all
accounts must always add up to the same sum (the test "bank" of Jepsen). An account may go below
zero: what is asked is whether transactions see and change one state.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from jepsen_like.generators import rotate
from jepsen_like.load import Call
from jepsen_like.workloads.workload import Rotating, SqlCall, SqlTransaction, Statements

__all__ = ["Bank", "bank"]

ACCOUNTS: Final = 5
EACH: Final = 100
READS: Final = 0.4


@dataclass(frozen=True)
class Bank(Rotating):
    initial: ClassVar[tuple[int, ...]] = (EACH,) * ACCOUNTS
    judged_by: ClassVar[tuple[str, ...]] = ("total kept",)
    unsure_max: ClassVar[int | None] = None

    def calls(self, rng: random.Random, keys: Sequence[int]) -> Iterator[Call]:
        for key, _ in rotate(
            rng, keys=self.keys_at_once, calls_per_key=self.calls_per_key, keys_total=len(keys)
        ):
            if rng.random() < READS:
                yield Call("read", key)
            else:
                source, to = rng.sample(range(ACCOUNTS), 2)
                yield Call("transfer", key, (source, to, rng.randint(1, 9)))

    def create_sql(self) -> str:
        return (
            f"CREATE TABLE {self.table} (id bigint, account bigint, balance bigint NOT NULL, "
            "PRIMARY KEY (id, account))"
        )

    def load_sql(self, key: int) -> tuple[SqlCall, ...]:
        text = f"INSERT INTO {self.table} (id, account, balance) VALUES ($1, $2, $3)"  # noqa: S608 - our name
        return tuple(SqlCall(text, (key, n, EACH), "done") for n in range(ACCOUNTS))

    def sql(self, call: Call) -> Statements:
        table = self.table
        if call.f == "read":
            text = f"SELECT balance FROM {table} WHERE id = $1 ORDER BY account"  # noqa: S608
            return SqlCall(text, (call.key,), "column")
        if call.f != "transfer":
            raise ValueError(f"a bank has read and transfer, not {call.f!r}")
        key = call.key
        source, to, amount = call.value
        get = f"SELECT balance FROM {table} WHERE id = $1 AND account = $2"  # noqa: S608
        put = f"UPDATE {table} SET balance = $3 WHERE id = $1 AND account = $2"  # noqa: S608

        def run() -> Generator[SqlCall, Any, Any]:
            have = yield SqlCall(get, (key, source), "value")
            other = yield SqlCall(get, (key, to), "value")
            yield SqlCall(put, (key, source, (have or 0) - amount), "changed")
            yield SqlCall(put, (key, to, (other or 0) + amount), "changed")
            return None

        return SqlTransaction(run)


def bank(
    keys: int = 6, calls_per_key: int = 200, *, weight: float = 1.0, name: str = "bank"
) -> Bank:
    """`keys` banks in use at a time."""
    return Bank(keys, calls_per_key, weight=weight, name=name)
