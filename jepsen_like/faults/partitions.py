"""Partitions: some hosts do not reach some others, in one direction or in both.

Verified at the start and at the end of the window, by bytes over the links themselves (see
`backends.probe`), each direction for itself and counted at the receiver: before the cut every
link carries a probe, so silence means something; during it none arrives over a cut link,
neither on established connections nor on new ones, while the other links go on; no byte of the
database passed either; after the heal what was held arrives. A direction that is open while the
opposite one is cut carries what is said on an established connection, and no new connection,
for a handshake needs both.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from jepsen_like.backends.abilities import CUT
from jepsen_like.backends.backend import Pair
from jepsen_like.backends.probe import Sent
from jepsen_like.faults.cuts import Cut, Severed
from jepsen_like.faults.cuts_of_routers import CutOfRouter
from jepsen_like.faults.fault import Site, find
from jepsen_like.faults.targets import TargetError
from jepsen_like.load import seconds
from jepsen_like.result import FaultRecord

__all__ = ["Flapping", "Partition", "flapping", "partition", "strike"]

OPEN_WAIT_S: Final = 2.0
"""How long a probe over an open link may take on a busy machine."""

SILENCE_S: Final = 0.25
"""How long a cut link is listened to. A probe over an open link takes about a millisecond."""

PERIOD_MIN_S: Final = 1.0
"""Each half of a period of flapping is looked at, which takes SILENCE_S and a little more."""


@dataclass(frozen=True)
class Partition:
    cut: Cut
    hold_s: float
    rest_s: float
    needs: ClassVar[frozenset[str]] = frozenset({CUT})

    @property
    def kind(self) -> str:
        """A host that has no clients is no side of a database, so these are told apart."""
        return "partition of a router" if isinstance(self.cut, CutOfRouter) else "partition"

    @property
    def name(self) -> str:
        return f"partition {self.cut}"

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Partition:
        return replace(self, cut=self.cut.drawn(hosts, rng))

    async def run(self, site: Site) -> FaultRecord:
        severed, leaders = await strike(site, self.cut)
        window = _Window(site, severed)
        works_before = await window.carries_everything("before the cut")
        await window.lay(looks=2)

        try:
            await site.backend.cut(severed.pairs)
            start_ns = site.clock.now_ns()  # a call of before may still have got through
            site.say(f"cut: {severed.words}")
            await window.note_traffic()
            silent_at_start = await window.is_cut("at the start of the cut", look=1)
            await site.clock.sleep_until(start_ns + round((self.hold_s - SILENCE_S) * 1e9))
            silent_at_end = await window.is_cut("at the end of the cut", look=2)
            no_traffic = await window.had_no_traffic()
            leaders_after = await site.db.leaders()
            end_ns = site.clock.now_ns()
        finally:
            await site.backend.heal(severed.pairs)
        site.say("healed")
        delivers = await window.delivers_what_was_held((end_ns - start_ns) / 1e9)
        return FaultRecord(
            name=self.name,
            kind=self.kind,
            target=" ".join(severed.hit),
            role_before=severed.roles(leaders),
            role_after=severed.roles(leaders_after),
            start_ns=start_ns,
            end_ns=end_ns,
            sides=severed.sides,
            cut=severed.pairs,
            verified_start=works_before and silent_at_start,
            verified_end=silent_at_end and no_traffic and delivers,
            evidence=tuple(window.evidence),
        )


@dataclass(frozen=True)
class Flapping:
    """A partition that comes and goes: cut for half of each period, then healed for the other.

    Every half is looked at. It has no sides, for nobody is cut off for the whole of it.
    """

    cut: Cut
    period_s: float
    hold_s: float
    rest_s: float
    kind: ClassVar[str] = "flapping"
    needs: ClassVar[frozenset[str]] = frozenset({CUT})

    @property
    def name(self) -> str:
        return f"flapping {self.cut}, every {self.period_s:g} s"

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Flapping:
        if not PERIOD_MIN_S <= self.period_s <= self.hold_s:
            raise TargetError(
                f"the period of {self.name} must be from {PERIOD_MIN_S:g} s up to its hold of "
                f"{self.hold_s:g} s."
            )
        return replace(self, cut=self.cut.drawn(hosts, rng))

    async def run(self, site: Site) -> FaultRecord:
        severed, leaders = await strike(site, self.cut)
        window = _Window(site, severed)
        good = [await window.carries_everything("before the first cut")]
        start_ns = end_ns = site.clock.now_ns()
        half_ns = round(self.period_s * 5e8)
        for number in range(1, int(self.hold_s / self.period_s) + 1):
            began_ns = end_ns
            try:
                await site.backend.cut(severed.pairs)
                site.say(f"cut {number}: {severed.words}")
                await window.note_traffic()
                good.append(await window.is_cut(f"during cut {number}"))
                await site.clock.sleep_until(began_ns + half_ns)
                good.append(await window.had_no_traffic())
            finally:
                await site.backend.heal(severed.pairs)
            site.say(f"heal {number}")
            good.append(await window.connects(f"after cut {number}"))
            await site.clock.sleep_until(began_ns + 2 * half_ns)
            end_ns = site.clock.now_ns()
        good.append(await window.delivers_what_was_held(self.period_s / 2))
        return FaultRecord(
            name=self.name,
            kind=self.kind,
            target=" ".join(severed.hit),
            role_before=severed.roles(leaders),
            role_after=severed.roles(await site.db.leaders()),
            start_ns=start_ns,
            end_ns=end_ns,
            cut=severed.pairs,
            verified_start=all(good[:2]),
            verified_end=all(good[2:]),
            evidence=tuple(window.evidence),
        )


def partition(cut: Cut, hold: str | float = "10s", rest: str | float = "5s") -> Partition:
    return Partition(cut, seconds(hold), seconds(rest))


def flapping(
    cut: Cut, period: str | float = "2s", hold: str | float = "10s", rest: str | float = "5s"
) -> Flapping:
    """`flapping(isolate(leader_of("shard-1")), period="2s")`: a second cut, a second healed."""
    return Flapping(cut, seconds(period), seconds(hold), seconds(rest))


async def strike(site: Site, cut: Cut) -> tuple[Severed, Mapping[str, str]]:
    """The links that `cut` means now, and all leaders at that moment. Raises TargetError."""
    leaders = await site.db.leaders()
    found = []
    for target in cut.targets:
        host, leaders = await find(site, target)
        found.append(host)
    layout = site.backend.layout
    severed = cut.severed(layout.hosts, found)
    return replace(severed, pairs=layout.between(severed.pairs)), leaders


class _Window:
    """The looking at one cut: what was sent, what arrived, in sentences."""

    def __init__(self, site: Site, severed: Severed) -> None:
        self.evidence: list[str] = []
        self._site = site
        self._cut = severed.pairs
        cut, links = set(severed.pairs), site.backend.pairs
        self._half = tuple((a, b) for a, b in links if (b, a) in cut and (a, b) not in cut)
        self._open = tuple((a, b) for a, b in links if not {(a, b), (b, a)} & cut)
        self._held: list[Sent] = []
        self._traffic: Mapping[Pair, int] = {}

    async def lay(self, looks: int) -> None:
        """Of the connections that will be cut in one direction each look needs its own: after
        the first bytes TCP waits for an acknowledgement that does not come."""
        await self._site.prober.lay(self._half, looks)

    async def carries_everything(self, when: str) -> bool:
        """Without the cut, a probe arrives over every link: the control of what follows."""
        sent = await self._site.prober.send(self._site.backend.pairs)
        arrived = await self._site.prober.wait_for(sent, OPEN_WAIT_S)
        return self._say(
            len(arrived) == len(sent),
            f"{when}: {len(arrived)} of {len(sent)} probes arrived over all links",
        )

    async def connects(self, when: str) -> bool:
        """New connections work over the links that were cut."""
        sent = [
            probe for probe in await self._site.prober.send(self._cut) if probe.is_new_connection
        ]
        arrived = await self._site.prober.wait_for(sent, OPEN_WAIT_S)
        return self._say(
            len(arrived) == len(sent),
            f"{when}: {len(arrived)} of {len(sent)} probes arrived on new connections over the "
            "links that had been cut",
        )

    async def is_cut(self, when: str, look: int = 0) -> bool:
        prober = self._site.prober
        sent_open = await prober.send(self._open)
        half = await prober.send(self._half, look)
        sent = await prober.send(self._cut, look)
        carried = [s for s in half if not s.is_new_connection]
        refused = [s for s in half if s.is_new_connection]
        self._held += [*sent, *refused]
        through = await prober.wait_for([*sent_open, *carried], OPEN_WAIT_S)
        silence = await prober.wait_for([*sent, *refused], SILENCE_S)
        arrived = through | silence
        old = sum(not s.is_new_connection for s in sent)
        words = (
            f"{when}: {_arrived(sent, arrived)} probes arrived over the cut links ({old} on "
            f"established connections, {len(sent) - old} on new ones), "
            f"{_arrived(sent_open, arrived)} over links that no cut touches"
        )
        if half:
            words += (
                f", {_arrived(carried, arrived)} on established connections against the direction "
                f"of a cut and {_arrived(refused, arrived)} on new ones, which need both directions"
            )
        good = self._say(not silence and len(through) == len(sent_open) + len(carried), words)
        self.evidence.append(f"{when}, by direction: {_by_direction([*sent, *half], arrived)}")
        return good

    async def note_traffic(self) -> None:
        self._traffic = await self._site.backend.delivered()

    async def had_no_traffic(self) -> bool:
        """None of the database's bytes passed the cut since `note_traffic`."""
        if not self._traffic:
            return self._say(True, "during the cut: bytes of the database are not counted here")
        now = await self._site.backend.delivered()
        passed = {pair: now[pair] - before for pair, before in self._traffic.items()}
        across = sum(passed[pair] for pair in self._cut)
        elsewhere = sum(passed[pair] for pair in (*self._open, *self._half))
        return self._say(
            across == 0,
            f"during the cut: {across} bytes of the database were delivered across it, "
            f"{elsewhere} over other links",
        )

    async def delivers_what_was_held(self, cut_s: float) -> bool:
        """TCP doubles the time between its attempts, so after a cut of `cut_s` the next one
        comes within `cut_s`."""
        prober = self._site.prober
        arrived = await prober.wait_for(self._held, OPEN_WAIT_S + cut_s)
        missing = [probe for probe in self._held if probe.token not in arrived]
        lost = sum(map(prober.may_be_lost, missing))
        reset = f", {lost} were on connections that another fault has reset" if lost else ""
        held = self._say(
            len(missing) == lost,
            f"after the heal: {len(arrived)} of {len(self._held)} held probes arrived{reset}",
        )
        return await self.carries_everything("after the heal") and held

    def _say(self, good: bool, sentence: str) -> bool:
        self.evidence.append(sentence if good else f"NOT VERIFIED: {sentence}")
        return good


def _arrived(sent: Sequence[Sent], arrived: Collection[str]) -> str:
    """ "3 of 12" """
    return f"{sum(probe.token in arrived for probe in sent)} of {len(sent)}"


def _by_direction(sent: Sequence[Sent], arrived: Collection[str]) -> str:
    """ "n1 to n2 0 of 3, n2 to n1 2 of 3" """
    parts = []
    for pair in dict.fromkeys(probe.pair for probe in sent):
        mine = [probe for probe in sent if probe.pair == pair]
        parts.append(f"{pair[0]} to {pair[1]} {_arrived(mine, arrived)}")
    return ", ".join(parts)
