"""Faults that last until somebody heals them: those of `faults`, on a clock that waits for that.

A fault strikes, verifies itself, holds for so long, verifies again and heals. How long is the
only thing that is another here: `HeldClock` ends the hold when it is told to. So what a command
does by hand is what a run does, with the same looking at it, before and after.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from jepsen_like.adapters.database import Database, Offer
from jepsen_like.dispatch import Clock
from jepsen_like.faults.compose import strike
from jepsen_like.faults.demands import demands, refusal
from jepsen_like.faults.fault import Planned, Site
from jepsen_like.faults.partitions import Partition
from jepsen_like.faults.processes import ProcessFault
from jepsen_like.faults.shaping import Shaped
from jepsen_like.faults.targets import TargetError
from jepsen_like.result import FaultRecord

__all__ = ["FOREVER_S", "HeldClock", "Refused", "Strike", "Strikes"]

FOREVER_S: Final = 1e8
"""Three years: until somebody heals it."""


class Refused(Exception):
    """It cannot be done now; a sentence that says what to do."""


class HeldClock(Clock):
    """The clock of one fault: what sleeps by it sleeps until its time, or until the heal.

    `holds` is set when somebody first sleeps: the fault is there, and was looked at.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.holds = asyncio.Event()
        self.heal = asyncio.Event()

    def now_ns(self) -> int:
        return self._clock.now_ns()

    async def sleep_until(self, at_ns: int) -> None:
        self.holds.set()
        sleeping = asyncio.ensure_future(self._clock.sleep_until(at_ns))
        healing = asyncio.ensure_future(self.heal.wait())
        try:
            await asyncio.wait((sleeping, healing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            healing.cancel()


@dataclass(eq=False)
class Strike:
    """A fault at work."""

    number: int
    fault: Planned
    clock: HeldClock
    since_ns: int
    task: asyncio.Task[None] | None = None
    record: FaultRecord | None = None  # once it is over

    def ended(self, record: FaultRecord) -> None:
        self.record = record

    def cut_short(self, name: str, start_ns: int) -> None:
        """The lab ends, and heals it without looking."""


@dataclass(eq=False)
class Strikes:
    """All faults at work on a site, by number. `over` is told of each that has ended."""

    db: Database
    site: Site
    rng: random.Random
    over: Callable[[FaultRecord], None]
    active: dict[int, Strike] = field(default_factory=dict)
    _numbers: int = 0

    async def strike(self, planned: Planned, say: Callable[[str], None]) -> Strike:
        """Returns when the fault is there and was looked at. Raises Refused."""
        impossible = refusal([planned], self.db)
        if impossible:
            raise Refused(impossible)
        if Offer.PRELOAD in demands([planned]) and self.site.instruments is None:
            raise Refused(f"{planned.name}: start the lab with `jepsen-like lab up --power-cuts`.")
        try:
            drawn = planned.drawn(self.db.hosts, self.rng)
        except TargetError as exc:
            raise Refused(str(exc)) from exc
        self._refuse_twice(drawn)
        self._numbers += 1
        clock = HeldClock(self.site.clock)
        found = Strike(self._numbers, drawn, clock, self.site.clock.now_ns())
        site = replace(self.site, clock=clock, say=say)
        found.task = asyncio.ensure_future(self._carry_out(found, site))
        self.active[found.number] = found
        holding = asyncio.ensure_future(clock.holds.wait())
        try:
            await asyncio.wait((found.task, holding), return_when=asyncio.FIRST_COMPLETED)
        finally:
            holding.cancel()
        if found.task.done():
            found.task.result()
            if found.record is not None and not clock.holds.is_set():
                raise Refused("; ".join(found.record.evidence))
        return found

    async def _carry_out(self, found: Strike, site: Site) -> None:
        try:
            await strike(found.fault, site, found)
            if found.record is not None:
                self.over(found.record)
        finally:
            del self.active[found.number]

    def _refuse_twice(self, drawn: Planned) -> None:
        """Two cuts would each see the other's silence, and heal each other's links; a link has one
        shape; and what is dead cannot be killed."""
        for other in self.active.values():
            both = (drawn, other.fault)
            again = f"{other.number} ({other.fault.name}) is at work"
            if all(isinstance(fault, Partition) for fault in both):
                raise Refused(f"one cut at a time: {again}; heal {other.number} first.")
            if isinstance(drawn, Shaped) and isinstance(other.fault, Partition | Shaped):
                raise Refused(f"slow links are measured, so they must be whole: {again}.")
            if all(isinstance(fault, ProcessFault) for fault in both):
                twice = set(_hosts(drawn)) & set(_hosts(other.fault))
                if twice:
                    raise Refused(f"{' '.join(sorted(twice))}: {again}; heal it first.")

    async def heal(self, numbers: Collection[int]) -> Sequence[FaultRecord]:
        """Heal these, the latest first, and look whether they are over. Raises Refused."""
        unknown = sorted(set(numbers) - self.active.keys())
        if unknown:
            there = ", ".join(map(str, self.active)) or "none"
            raise Refused(f"there is no fault {unknown[0]}; at work: {there}.")
        records = []
        for number in sorted(numbers, reverse=True):
            found = self.active.get(number)
            if found is None or found.task is None:
                continue  # it has ended meanwhile, by itself
            found.clock.heal.set()
            await asyncio.wait((found.task,))
            if found.record is not None:
                records.append(found.record)
        return records

    async def end(self) -> None:
        """Take all of them back at once, without looking."""
        tasks = [found.task for found in self.active.values() if found.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _hosts(fault: Planned) -> tuple[str, ...]:
    """Those it names; one that is named by its role is found when the fault strikes."""
    assert isinstance(fault, ProcessFault)
    target = fault.target
    names = getattr(target, "names", None) or (getattr(target, "name", None),)
    return tuple(name for name in names if name)
