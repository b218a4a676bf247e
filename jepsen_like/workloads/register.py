"""Registers with read, write and compare-and-set: finds stale reads, lost updates, split brain.

Judged by `checks.linearizable` against `CasRegister`, key by key (linearizability is local:
Herlihy and Wing 1990, section 3.3); also by `checks.lost_writes`, `checks.sessions`,
`checks.sequential` and `checks.staleness`, for no value is written twice.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from jepsen_like.generators import rotate
from jepsen_like.load import Call
from jepsen_like.models.model import Model
from jepsen_like.models.register import CasRegister
from jepsen_like.workloads.workload import Rotating, SqlCall

__all__ = ["Register", "RegisterMix", "Sessions", "register", "cas_register", "sessions"]

INITIAL: Final = 0
"""What every register holds at first. Not NULL: a row that got lost reads as None, and that
must differ."""

EXPECTS_LAST: Final = 0.8
"""Share of the compare-and-sets that expect what was planned last for their key; the others
expect something older, so that both answers occur."""


@dataclass(frozen=True)
class RegisterMix:
    """Shares of reads and writes; the rest are compare-and-sets."""

    reads: float = 0.5
    writes: float = 0.3

    def __post_init__(self) -> None:
        if self.reads < 0 or self.writes < 0 or self.reads + self.writes > 1 + 1e-9:
            raise ValueError(
                f"a mix of {self.reads:g} reads and {self.writes:g} writes is impossible: shares "
                "are 0 or more, and both together 1 at most."
            )


@dataclass(frozen=True)
class Register(Rotating):
    """`mix`: of reads, writes and compare-and-sets. Every written value is written once, so a
    read tells which write it saw."""

    mix: RegisterMix = field(default_factory=RegisterMix)

    initial: ClassVar[int] = INITIAL
    judged_by: ClassVar[tuple[str, ...]] = (
        "linearizable",
        "lost writes",
        "sessions",
        "sequential",
        "staleness",
        "pacelc of registers",
    )

    def calls(self, rng: random.Random, keys: Sequence[int]) -> Iterator[Call]:
        planned: dict[int, list[int]] = {}
        value = 0
        for key, before in rotate(
            rng,
            keys=self.keys_at_once,
            calls_per_key=self.calls_per_key,
            keys_total=len(keys),
        ):
            if not before:
                planned[key] = []
            history = planned[key]
            chance = rng.random()
            if chance < self.mix.reads:
                yield Call("read", key)
                continue
            value += 1
            if chance < self.mix.reads + self.mix.writes or not history:
                yield Call("write", key, value)
            else:
                is_last = rng.random() < EXPECTS_LAST
                expected = history[-1] if is_last else rng.choice(history)
                yield Call("cas", key, (expected, value))
            history.append(value)

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


@dataclass(frozen=True)
class Sessions(Register):
    """Registers that live for long, so that each process meets each of them many times: what is
    promised of its own operations shows. Judged by `checks.sessions`: finds a process that does
    not read its own writes, or reads that go back."""

    judged_by: ClassVar[tuple[str, ...]] = ("sessions", "sequential", "lost writes")
    unsure_max: ClassVar[int | None] = None


def register(
    keys: int = 24,
    calls_per_key: int = 60,
    mix: RegisterMix | None = None,
    *,
    weight: float = 1.0,
    name: str = "register",
) -> Register:
    """`keys` registers in use at a time: half of the calls read, one in five compares and sets."""
    return Register(keys, calls_per_key, mix or RegisterMix(), weight=weight, name=name)


def cas_register(
    keys: int = 24, calls_per_key: int = 60, *, weight: float = 1.0, name: str = "cas-register"
) -> Register:
    """Registers which are mostly compared and set: lost updates show."""
    return register(keys, calls_per_key, RegisterMix(0.4, 0.1), weight=weight, name=name)


def sessions(
    keys: int = 4, calls_per_key: int = 1000, *, weight: float = 1.0, name: str = "sessions"
) -> Sessions:
    """`keys` registers in use at a time, read and written."""
    return Sessions(keys, calls_per_key, RegisterMix(0.6, 0.4), weight=weight, name=name)
