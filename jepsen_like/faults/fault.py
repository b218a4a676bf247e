"""What a fault is: a value that can be injected, verified and healed, and leaves a record."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol, runtime_checkable

from jepsen_like.adapters.database import RunningDatabase
from jepsen_like.backends.backend import Backend
from jepsen_like.backends.probe import Prober
from jepsen_like.dispatch import Clock
from jepsen_like.faults.targets import Target, TargetError, resolve
from jepsen_like.load import seconds
from jepsen_like.result import FaultRecord

__all__ = [
    "Site",
    "Fault",
    "Healthy",
    "healthy",
    "OfLinks",
    "draw",
    "needs_of",
    "total_seconds",
    "find",
]

LEADER_WAIT_S: Final = 5.0
"""How long a group may be without a leader when a fault asks who it is: an election, twice."""

LEADER_POLL_S: Final = 0.05


@dataclass(frozen=True)
class Site:
    """Where faults happen."""

    db: RunningDatabase
    backend: Backend
    prober: Prober
    clock: Clock
    say: Callable[[str], None]


async def find(site: Site, target: Target) -> tuple[str, Mapping[str, str]]:
    """The host that `target` means now, and all leaders at that moment. Raises TargetError."""
    give_up_ns = site.clock.now_ns() + round(LEADER_WAIT_S * 1e9)
    while True:
        leaders = await site.db.leaders()
        try:
            return resolve(target, leaders), leaders
        except TargetError:
            if site.clock.now_ns() > give_up_ns:
                raise
        await asyncio.sleep(LEADER_POLL_S)


class Fault(Protocol):
    @property
    def kind(self) -> str:
        """ "partition", "kill", ..."""

    @property
    def name(self) -> str:
        """What is done to whom, for people."""

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


@runtime_checkable
class OfLinks(Protocol):
    """A fault that asks something of the network."""

    @property
    def needs(self) -> frozenset[str]:
        """What links must allow: names of `backends.CAN`."""


@dataclass(frozen=True)
class Healthy:
    """Nothing goes wrong for a while: the measure of what is normal."""

    hold_s: float
    rest_s: float = 0.0
    kind: ClassVar[str] = "healthy"
    name: ClassVar[str] = "healthy"

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Healthy:
        return self

    async def run(self, site: Site) -> None:
        await site.clock.sleep_until(site.clock.now_ns() + round(self.hold_s * 1e9))


def healthy(hold: str | float) -> Healthy:
    return Healthy(seconds(hold))


def draw(faults: Sequence[Fault], hosts: Sequence[str], rng: random.Random) -> tuple[Fault, ...]:
    """The schedule: data, drawn once from the seed before anything runs."""
    return tuple(fault.drawn(hosts, rng) for fault in faults)


def needs_of(faults: Sequence[Fault]) -> frozenset[str]:
    """What the network must be able to do for all of them."""
    return frozenset().union(*(fault.needs for fault in faults if isinstance(fault, OfLinks)))


def total_seconds(faults: Sequence[Fault]) -> float:
    return sum(fault.hold_s + fault.rest_s for fault in faults)
