"""Money that moves between accounts: finds money that is made or lost.

A key is a bank of ACCOUNTS accounts in rows of one shard key; `over_shards`, each account has a
shard key of its own. A transfer is a transaction that reads both accounts and writes both, each
balance computed from what was read; what is in all accounts must always add up to the same sum
(the test "bank" of Jepsen), however it is read: in one statement (`read`), one account after the
other in a transaction (`walk`), or added up by the database (`sum`). An account may go below zero:
what is asked is whether transactions see and change one state.
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
APART: Final = 1 << 20
"""Between the ids of a bank's accounts, where each is a row by itself."""
EACH: Final = 100
READS: Final = 0.4
KINDS: Final = ("read", "walk", "sum")


@dataclass(frozen=True)
class Bank(Rotating):
    over_shards: bool = False

    initial: ClassVar[tuple[int, ...]] = (EACH,) * ACCOUNTS
    judged_by: ClassVar[tuple[str, ...]] = ("total kept",)
    unsure_max: ClassVar[int | None] = None

    def calls(self, rng: random.Random, keys: Sequence[int]) -> Iterator[Call]:
        for key, _ in rotate(
            rng, keys=self.keys_at_once, calls_per_key=self.calls_per_key, keys_total=len(keys)
        ):
            if rng.random() < READS:
                yield Call(rng.choice(KINDS), key)
            else:
                source, to = rng.sample(range(ACCOUNTS), 2)
                yield Call("transfer", key, (source, to, rng.randint(1, 9)))

    def create_sql(self) -> str:
        key = "account" if self.over_shards else "id, account"
        return (
            f"CREATE TABLE {self.table} (id bigint NOT NULL, account bigint NOT NULL, "
            f"balance bigint NOT NULL, PRIMARY KEY ({key}))"
        )

    def load_sql(self, key: int) -> tuple[SqlCall, ...]:
        text = f"INSERT INTO {self.table} (id, account, balance) VALUES ($1, $2, $3)"  # noqa: S608 - our name
        return tuple(
            SqlCall(text, (key, self._account(key, n), EACH), "done") for n in range(ACCOUNTS)
        )

    def sql(self, call: Call) -> Statements:
        table, key = self.table, call.key
        one = "account = $1" if self.over_shards else "account = $1 AND id = $2"
        get = f"SELECT balance FROM {table} WHERE {one}"  # noqa: S608
        if call.f == "read":
            text = f"SELECT balance FROM {table} WHERE id = $1 ORDER BY account"  # noqa: S608
            return SqlCall(text, (key,), "column")
        if call.f == "sum":
            text = f"SELECT CAST(sum(balance) AS bigint) FROM {table} WHERE id = $1"  # noqa: S608
            return SqlCall(text, (key,), "value")
        if call.f == "walk":

            def walk() -> Generator[SqlCall, Any, Any]:
                found = []
                for n in range(ACCOUNTS):
                    balance = yield SqlCall(get, self._of(key, n), "value")
                    found.append(balance)
                return tuple(found)

            return SqlTransaction(walk)
        if call.f != "transfer":
            raise ValueError(f"a bank has read, walk, sum and transfer, not {call.f!r}")
        source, to, amount = call.value
        number = 2 if self.over_shards else 3
        put = f"UPDATE {table} SET balance = ${number} WHERE {one}"  # noqa: S608

        def run() -> Generator[SqlCall, Any, Any]:
            have = yield SqlCall(get, self._of(key, source), "value")
            other = yield SqlCall(get, self._of(key, to), "value")
            yield SqlCall(put, (*self._of(key, source), (have or 0) - amount), "changed")
            yield SqlCall(put, (*self._of(key, to), (other or 0) + amount), "changed")
            return None

        return SqlTransaction(run)

    def _account(self, key: int, n: int) -> int:
        return key + n * APART if self.over_shards else n

    def _of(self, key: int, n: int) -> tuple[int, ...]:
        """The arguments that name an account."""
        return (self._account(key, n),) if self.over_shards else (n, key)


def bank(
    keys: int = 6,
    calls_per_key: int = 200,
    *,
    over_shards: bool = False,
    weight: float = 1.0,
    name: str = "bank",
) -> Bank:
    """`keys` banks in use at a time."""
    return Bank(keys, calls_per_key, weight=weight, name=name, over_shards=over_shards)
