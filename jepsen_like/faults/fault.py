"""What a fault is: a value that can be injected, verified and healed, and leaves a record."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from jepsen_like.adapters.database import RunningDatabase
from jepsen_like.backends.probe import Prober
from jepsen_like.backends.proxy import Mesh
from jepsen_like.dispatch import Clock
from jepsen_like.faults.targets import resolve, role
from jepsen_like.load import seconds
from jepsen_like.result import FaultRecord

__all__ = ["Site", "Fault", "Healthy", "healthy", "draw", "total_seconds", "resolve", "role"]


@dataclass(frozen=True)
class Site:
    """Where faults happen."""

    db: RunningDatabase
    mesh: Mesh
    prober: Prober
    clock: Clock
    say: Callable[[str], None]


class Fault(Protocol):
    @property
    def hold_s(self) -> float:
        """How long it lasts, by plan."""

    @property
    def rest_s(self) -> float:
        """How long everything is well after it."""

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Fault:
        """The fault with every lot drawn; raises TargetError if it cannot happen here."""

    async def run(self, site: Site) -> FaultRecord | None:
        """Inject, verify, hold, verify, heal. Healed also if it is cancelled. None if there is
        nothing to record. Raises TargetError if the target has no host now."""


@dataclass(frozen=True)
class Healthy:
    """Nothing goes wrong for a while: the measure of what is normal."""

    hold_s: float
    rest_s: float = 0.0

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Healthy:
        return self

    async def run(self, site: Site) -> None:
        await site.clock.sleep_until(site.clock.now_ns() + round(self.hold_s * 1e9))


def healthy(hold: str | float) -> Healthy:
    return Healthy(seconds(hold))


def draw(faults: Sequence[Fault], hosts: Sequence[str], rng: random.Random) -> tuple[Fault, ...]:
    """The schedule: data, drawn once from the seed before anything runs."""
    return tuple(fault.drawn(hosts, rng) for fault in faults)


def total_seconds(faults: Sequence[Fault]) -> float:
    return sum(fault.hold_s + fault.rest_s for fault in faults)
