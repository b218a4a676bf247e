"""Partitions: some hosts cannot reach some others, in either direction.

Verified at the start and at the end of the window, by bytes over the links themselves (see
`backends.probe`): before the cut every cut link carries a probe, so silence means something;
during it none arrives, neither on established connections nor on new ones, while the links
inside each side go on; no byte of the database passed either; after the heal what was held
arrives.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, TypeAlias

from jepsen_like.backends.backend import Pair
from jepsen_like.backends.probe import Sent
from jepsen_like.faults.fault import Site, find
from jepsen_like.faults.targets import Host, Target, TargetError, draw_target, roles
from jepsen_like.load import seconds
from jepsen_like.result import FaultRecord

__all__ = ["Isolate", "Split", "Grouping", "Partition", "isolate", "split", "partition"]

OPEN_WAIT_S: Final = 2.0
"""How long a probe over an open link may take on a busy machine."""

SILENCE_S: Final = 0.25
"""How long a cut link is listened to. A probe over an open link takes about a millisecond."""


@dataclass(frozen=True)
class Isolate:
    """One host, with its router and its clients, from all others."""

    target: Target

    def __str__(self) -> str:
        return f"isolate({self.target})"


@dataclass(frozen=True)
class Split:
    """Named hosts on each side; hosts that are not named form one more side."""

    sides: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        return " | ".join(" ".join(side) for side in self.sides)


Grouping: TypeAlias = Isolate | Split


def isolate(target: Target) -> Isolate:
    return Isolate(target)


def split(*sides: Sequence[str]) -> Split:
    """`split(["n1"], ["n2", "n3"])`"""
    return Split(tuple(tuple(side) for side in sides))


def cut_pairs(sides: Sequence[Sequence[str]]) -> tuple[Pair, ...]:
    """Every directed pair of hosts on different sides."""
    return tuple(
        (a, b)
        for side in sides
        for other in sides
        if other is not side
        for a in side
        for b in other
    )


@dataclass(frozen=True)
class Partition:
    grouping: Grouping
    hold_s: float
    rest_s: float
    kind: ClassVar[str] = "partition"

    @property
    def name(self) -> str:
        return f"partition {self.grouping}"

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Partition:
        if isinstance(self.grouping, Isolate):
            return replace(self, grouping=Isolate(draw_target(self.grouping.target, hosts, rng)))
        named = [name for side in self.grouping.sides for name in side]
        for name in named:
            draw_target(Host(name), hosts, rng)
        if len(set(named)) != len(named):
            raise TargetError(f"a host is on two sides of the partition {self.grouping}.")
        rest = tuple(name for name in hosts if name not in named)
        sides = self.grouping.sides + ((rest,) if rest else ())
        if len(sides) < 2:
            raise TargetError(f"the partition {self.grouping} has one side only.")
        return replace(self, grouping=Split(sides))

    async def run(self, site: Site) -> FaultRecord:
        if isinstance(self.grouping, Isolate):
            target, leaders = await find(site, self.grouping.target)
            others = tuple(name for name in site.backend.hosts if name != target)
            sides: tuple[tuple[str, ...], ...] = ((target,), others)
        else:
            sides, leaders = self.grouping.sides, await site.db.leaders()
            smallest: tuple[str, ...] = min(sides, key=len)
            target = " ".join(smallest)
        role_before = roles(target.split(), leaders)
        window = _Window(site, sides)
        works_before = await window.carries_everything("before the cut")

        start_ns = site.clock.now_ns()
        try:
            await site.backend.cut(window.cut)
            site.say(f"cut: {' | '.join(' '.join(side) for side in sides)}")
            await window.note_traffic()
            silent_at_start = await window.is_cut("at the start of the cut")
            await site.clock.sleep_until(start_ns + round((self.hold_s - SILENCE_S) * 1e9))
            silent_at_end = await window.is_cut("at the end of the cut")
            no_traffic = await window.had_no_traffic()
            leaders = await site.db.leaders()
            end_ns = site.clock.now_ns()
        finally:
            await site.backend.heal(window.cut)
        site.say("healed")
        delivers = await window.delivers_what_was_held((end_ns - start_ns) / 1e9)
        return FaultRecord(
            name=self.name,
            kind=self.kind,
            target=target,
            role_before=role_before,
            role_after=roles(target.split(), leaders),
            start_ns=start_ns,
            end_ns=end_ns,
            sides=sides,
            verified_start=works_before and silent_at_start,
            verified_end=silent_at_end and no_traffic and delivers,
            evidence=tuple(window.evidence),
        )


def partition(grouping: Grouping, hold: str | float = "10s", rest: str | float = "5s") -> Partition:
    return Partition(grouping, seconds(hold), seconds(rest))


class _Window:
    """The looking at one cut: what was sent, what arrived, in sentences."""

    def __init__(self, site: Site, sides: Sequence[Sequence[str]]) -> None:
        self.cut = cut_pairs(sides)
        self.evidence: list[str] = []
        self._site = site
        self._open = tuple(pair for pair in site.backend.pairs if pair not in self.cut)
        self._held: list[Sent] = []
        self._traffic: Mapping[Pair, int] = {}

    async def carries_everything(self, when: str) -> bool:
        """Without the cut, a probe arrives over every link: the control of what follows."""
        sent = await self._site.prober.send(self._site.backend.pairs)
        arrived = await self._site.prober.wait_for(sent, OPEN_WAIT_S)
        return self._say(
            len(arrived) == len(sent),
            f"{when}: {len(arrived)} of {len(sent)} probes arrived over all links",
        )

    async def is_cut(self, when: str) -> bool:
        prober = self._site.prober
        sent_open = await prober.send(self._open)
        sent = await prober.send(self.cut)
        self._held += sent
        arrived_open = await prober.wait_for(sent_open, OPEN_WAIT_S)
        silence = await prober.wait_for(sent, SILENCE_S)
        arrived = len(silence)
        old = [s for s in sent if not s.is_new_connection]
        return self._say(
            arrived == 0 and len(arrived_open) == len(sent_open),
            f"{when}: {arrived} of {len(sent)} probes arrived over the cut links "
            f"({len(old)} on established connections, {len(sent) - len(old)} on new ones, both "
            f"directions), {len(arrived_open)} of {len(sent_open)} inside the sides",
        )

    async def note_traffic(self) -> None:
        self._traffic = await self._site.backend.delivered()

    async def had_no_traffic(self) -> bool:
        """None of the database's bytes passed the cut since `note_traffic`."""
        now = await self._site.backend.delivered()
        passed = {pair: now[pair] - before for pair, before in self._traffic.items()}
        across = sum(passed[pair] for pair in self.cut)
        inside = sum(passed[pair] for pair in self._open)
        return self._say(
            across == 0,
            f"during the cut: {across} bytes of the database were delivered across it, "
            f"{inside} inside the sides",
        )

    async def delivers_what_was_held(self, cut_s: float) -> bool:
        """TCP doubles the time between its attempts, so after a cut of `cut_s` the next one
        comes within `cut_s`."""
        arrived = await self._site.prober.wait_for(self._held, OPEN_WAIT_S + cut_s)
        held = self._say(
            len(arrived) == len(self._held),
            f"after the heal: {len(arrived)} of {len(self._held)} held probes arrived",
        )
        return await self.carries_everything("after the heal") and held

    def _say(self, good: bool, sentence: str) -> bool:
        self.evidence.append(sentence if good else f"NOT VERIFIED: {sentence}")
        return good
