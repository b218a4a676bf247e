"""Registers with read, write and compare-and-set: finds stale reads, lost updates, split brain.

Judged by `checks.linearizable` against `CasRegister`, key by key (linearizability is local:
Herlihy and Wing 1990, section 3.3).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from jepsen_like.load import Call, RegisterMix, register_calls, register_keys
from jepsen_like.models.model import Model
from jepsen_like.models.register import CasRegister
from jepsen_like.workloads.workload import SqlCall

__all__ = ["Register", "register"]

INITIAL: Final = 0
"""What every register holds at first. Not NULL: a row that got lost reads as None, and that
must differ."""


@dataclass(frozen=True)
class Register:
    """`keys_at_once` registers in use at a time, each for `calls_per_key` calls.

    During a cut the share of the calls whose outcome stays unknown is (share of hosts cut off) x
    (share of writes), about 1/6; 60 calls leave at most about ten of them on one key, and
    checking is exponential in that number.
    """

    keys_at_once: int = 24
    calls_per_key: int = 60
    mix: RegisterMix = field(default_factory=RegisterMix)
    name: str = "register"
    table: str = "registers"

    def keys(self, calls: int) -> Sequence[int]:
        return range(
            register_keys(keys=self.keys_at_once, calls=calls, calls_per_key=self.calls_per_key)
        )

    def calls(self, rng: random.Random, keys: Sequence[int]) -> Iterator[Call]:
        return register_calls(
            rng,
            keys=self.keys_at_once,
            calls_per_key=self.calls_per_key,
            keys_total=len(keys),
            mix=self.mix,
        )

    def model(self) -> Model:
        return CasRegister(INITIAL)

    def create_sql(self) -> str:
        return f"CREATE TABLE {self.table} (id bigint PRIMARY KEY, val bigint)"

    def load_sql(self, key: int) -> SqlCall:
        return SqlCall(
            f"INSERT INTO {self.table} (id, val) VALUES ($1, $2)",  # noqa: S608 - our own name
            (key, INITIAL),
            "done",
        )

    def sql(self, call: Call) -> SqlCall:
        match call:
            case Call("read", key):
                text = f"SELECT val FROM {self.table} WHERE id = $1"  # noqa: S608
                return SqlCall(text, (key,), "value")
            case Call("write", key, value):
                text = f"UPDATE {self.table} SET val = $2 WHERE id = $1"  # noqa: S608
                return SqlCall(text, (key, value), "done")
            case Call("cas", key, (expected, new)):
                text = f"UPDATE {self.table} SET val = $3 WHERE id = $1 AND val = $2"  # noqa: S608
                return SqlCall(text, (key, expected, new), "changed")
            case _:
                raise ValueError(f"a register has read, write and cas, not {call.f!r}")


def register(keys: int = 24, calls_per_key: int = 60, mix: RegisterMix | None = None) -> Register:
    """`keys` registers in use at a time; see `Register`."""
    if keys < 1 or calls_per_key < 1:
        raise ValueError("the register workload needs at least one key and one call per key.")
    return Register(keys, calls_per_key, mix or RegisterMix())
