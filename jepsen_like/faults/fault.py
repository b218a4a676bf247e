"""What a fault is: a value that can be injected, verified and healed, and leaves a record."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol, runtime_checkable

from jepsen_like.adapters.database import OperableDatabase, RunningDatabase
from jepsen_like.backends.backend import Backend
from jepsen_like.backends.probe import Prober
from jepsen_like.dispatch import Clock
from jepsen_like.faults.targets import FollowerOf, RouterOf, Target, TargetError, resolve
from jepsen_like.interpose.instruments import Instruments
from jepsen_like.load import seconds
from jepsen_like.result import FaultRecord

__all__ = [
    "Site",
    "Planned",
    "Fault",
    "Healthy",
    "healthy",
    "draw",
    "total_seconds",
    "find",
    "find_hosts",
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
    instruments: Instruments | None = None  # if the schedule asks for them
    voters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Hosts with a voter of each group with keys, when the load began."""
    _restarting: dict[str, asyncio.Lock] = field(default_factory=dict, repr=False, compare=False)

    def restarting(self, process: str) -> asyncio.Lock:
        """Held by whoever starts that process again: several faults may have ended it."""
        return self._restarting.setdefault(process, asyncio.Lock())


async def find_hosts(site: Site, target: Target) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """The hosts that `target` means now, and all leaders at that moment. Raises TargetError."""
    give_up_ns = site.clock.now_ns() + round(LEADER_WAIT_S * 1e9)
    beside = target.beside if isinstance(target, RouterOf) else target
    members: Sequence[str] = ()
    while True:
        leaders = await site.db.leaders()
        if isinstance(beside, FollowerOf):
            db = site.db
            members = (
                await db.voters(beside.group)
                if isinstance(db, OperableDatabase)
                else site.backend.hosts
            )
        try:
            return resolve(target, leaders, members), leaders
        except TargetError:
            if site.clock.now_ns() > give_up_ns:
                raise
        await asyncio.sleep(LEADER_POLL_S)


async def find(site: Site, target: Target) -> tuple[str, Mapping[str, str]]:
    """The same for a target that means one host. Raises TargetError."""
    hosts, leaders = await find_hosts(site, target)
    if len(hosts) != 1:
        raise TargetError(f"{target} are {len(hosts)} hosts where one is meant.")
    return hosts[0], leaders


@runtime_checkable
class Planned(Protocol):
    """What a schedule is made of: a fault, or several put together (`compose`)."""

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

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Planned:
        """The same with every lot drawn; raises TargetError if it cannot happen here."""


class Fault(Planned, Protocol):
    async def run(self, site: Site) -> FaultRecord | None:
        """Inject, verify, hold, verify, heal. Healed also if it is cancelled. None if there is
        nothing to record. What the record calls its start is when the fault was there, and not
        when it was asked for: a call that is sent afterwards met it. Raises TargetError if the
        target has no host now."""


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


def draw(
    faults: Sequence[Planned], hosts: Sequence[str], rng: random.Random
) -> tuple[Planned, ...]:
    """The schedule: data, drawn once from the seed before anything runs."""
    return tuple(fault.drawn(hosts, rng) for fault in faults)


def total_seconds(faults: Sequence[Planned]) -> float:
    return sum(fault.hold_s + fault.rest_s for fault in faults)
