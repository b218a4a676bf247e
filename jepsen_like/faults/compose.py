"""Faults put together: one of several, one after the other, several at once.

    faults.any_of(faults.pause("minority"), faults.kill("one"))
    faults.package(faults.kill("one"), faults.transfer("shard-1"), times=3)
    faults.together(faults.clock("one", jump="+30s"), faults.pause(leader_of("shard-1")))

Each fault in them is a fault of its own: it is drawn, verified and healed by itself and leaves its
own record, so that a composition can be taken apart again without changing what its parts mean.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, cast

from jepsen_like.faults.fault import Fault, Healthy, Planned, Site, total_seconds
from jepsen_like.faults.targets import TargetError
from jepsen_like.result import FaultRecord

__all__ = ["AnyOf", "Package", "Together", "any_of", "package", "together", "Ledger", "strike"]


@dataclass(frozen=True)
class AnyOf:
    """One of these, drawn from the seed."""

    choices: tuple[Planned, ...]
    kind: ClassVar[str] = "any of"

    @property
    def name(self) -> str:
        return f"one of: {', '.join(choice.name for choice in self.choices)}"

    @property
    def hold_s(self) -> float:
        return max(total_seconds([choice]) for choice in self.choices)

    @property
    def rest_s(self) -> float:
        return 0.0

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Planned:
        """All of them are drawn, so that none can be chosen by another seed that is impossible."""
        lot = rng.randrange(len(self.choices))
        return [choice.drawn(hosts, rng) for choice in self.choices][lot]


@dataclass(frozen=True)
class Package:
    """One after the other, each with its own rest."""

    parts: tuple[Planned, ...]
    kind: ClassVar[str] = "package"

    @property
    def name(self) -> str:
        return "; then ".join(part.name for part in self.parts)

    @property
    def hold_s(self) -> float:
        return total_seconds(self.parts)

    @property
    def rest_s(self) -> float:
        return 0.0

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Package:
        return Package(tuple(part.drawn(hosts, rng) for part in self.parts))


@dataclass(frozen=True)
class Together:
    """At the same time; over when the last of them is."""

    parts: tuple[Planned, ...]
    kind: ClassVar[str] = "together"

    @property
    def name(self) -> str:
        return " while ".join(part.name for part in self.parts)

    @property
    def hold_s(self) -> float:
        return max(total_seconds([part]) for part in self.parts)

    @property
    def rest_s(self) -> float:
        return 0.0

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Together:
        return Together(tuple(part.drawn(hosts, rng) for part in self.parts))


def any_of(*choices: Planned) -> AnyOf:
    """One of these, drawn from the seed. Raises ValueError if there is none."""
    return AnyOf(_some("any_of", choices))


def package(*parts: Planned, times: int = 1) -> Package:
    """One after the other; `times` times, every time with lots of its own."""
    return Package(_some("package", parts) * times)


def together(*parts: Planned) -> Together:
    """All at the same time."""
    return Together(_some("together", parts))


def _some(what: str, parts: tuple[Planned, ...]) -> tuple[Planned, ...]:
    if not parts:
        raise ValueError(f"{what}() needs one fault or more.")
    return parts


class Ledger(Protocol):
    """What is told of the faults while they happen."""

    def ended(self, record: FaultRecord) -> None: ...

    def cut_short(self, name: str, start_ns: int) -> None:
        """The run ended before the fault did; it was healed, and nobody verified its end."""


async def strike(planned: Planned, site: Site, ledger: Ledger) -> None:
    """Carry out one item of a drawn schedule.

    A fault that finds no target leaves an unverified record: what it would have shown was not
    seen, and the run is `unknown`.
    """
    if isinstance(planned, Package):
        for part in planned.parts:
            await strike(part, site, ledger)
            await asyncio.sleep(part.rest_s)
    elif isinstance(planned, Together):
        async with asyncio.TaskGroup() as tasks:
            for part in planned.parts:
                tasks.create_task(strike(Package((part,)), site, ledger))
    else:
        await _carry_out(cast("Fault", planned), site, ledger)


async def _carry_out(fault: Fault, site: Site, ledger: Ledger) -> None:
    start_ns = site.clock.now_ns()
    try:
        record = await fault.run(site)
    except asyncio.CancelledError:
        if not isinstance(fault, Healthy):
            ledger.cut_short(fault.name, start_ns)
        raise
    except TargetError as exc:
        site.say(f"{fault.name}: {exc}")
        record = FaultRecord(
            name=fault.name,
            kind=fault.kind,
            target="",
            role_before="",
            role_after="",
            start_ns=start_ns,
            end_ns=site.clock.now_ns(),
            evidence=(f"NOT VERIFIED: {exc}",),
        )
    if record is not None:
        ledger.ended(record)
