"""Registers read at several levels of consistency side by side, on the same keys.

The reads of each level are a class of operations of their own ("read", "read any"): the same
writes, the same cuts and the same moment show what each level gives up. A client asks for all of
them in one session, where the database has sessions.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, runtime_checkable

from jepsen_like.load import Call
from jepsen_like.workloads.register import Register, RegisterMix
from jepsen_like.workloads.workload import SqlCall

__all__ = ["LevelledRegister", "Levels", "level_in", "levelled_register", "read_at"]

READ = "read"


def read_at(level: str) -> str:
    """The class of reads at a level other than the default."""
    return f"{READ} {level}"


def level_in(call: Call) -> str:
    """The level that a read asks for; empty: the default, as for everything else."""
    return call.f.removeprefix(READ).strip() if call.f.startswith(READ) else ""


@runtime_checkable
class Levels(Protocol):
    """A workload whose calls ask for other levels than the default."""

    @property
    def levels(self) -> tuple[str, ...]:
        """All of them but the default."""

    def level_of(self, call: Call) -> str:
        """One of `levels`; empty: the default."""


@dataclass(frozen=True)
class LevelledRegister(Register):
    """`weaker`: the share of the reads that is spread over `levels`; the rest has the default.

    `weights` of the levels, if they are not to have as many each.
    """

    levels: tuple[str, ...] = ()
    weaker: float = 0.6
    weights: tuple[float, ...] = ()

    judged_by: ClassVar[tuple[str, ...]] = ("pacelc",)
    unsure_max: ClassVar[int | None] = None

    def calls(self, rng: random.Random, keys: Sequence[int]) -> Iterator[Call]:
        for call in super().calls(rng, keys):
            if call.f == READ and self.levels and rng.random() < self.weaker:
                yield replace(call, f=read_at(self._drawn(rng)))
            else:
                yield call

    def _drawn(self, rng: random.Random) -> str:
        if not self.weights:
            return rng.choice(self.levels)
        return rng.choices(self.levels, self.weights)[0]

    def level_of(self, call: Call) -> str:
        return level_in(call)

    def sql(self, call: Call) -> SqlCall:
        return super().sql(replace(call, f=READ) if call.f.startswith(READ) else call)


def levelled_register(
    levels: Sequence[str], *, keys: int = 2, calls_per_key: int = 100, share: float = 0.6
) -> LevelledRegister:
    """Few keys, often written: a read is evidence only if it could have been stale. `share` of the
    reads is spread over `levels`."""
    mix = RegisterMix(reads=0.78, writes=0.22)
    return LevelledRegister(
        keys, calls_per_key, mix=mix, levels=tuple(levels), weaker=share, name="levelled-register"
    )
