"""Connections that end, or half of them: what a firewall, a load balancer or a host does that was
restarted and has forgotten them.

Verified at both ends of the probes' own connections over the same links: each end that should
learn of it has a reset, each that should not has none until it says something, and afterwards
new connections carry.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from jepsen_like.backends.abilities import CUT, HALF_OPEN, RESET
from jepsen_like.backends.backend import Pair
from jepsen_like.faults.cuts import Cut
from jepsen_like.faults.fault import Site
from jepsen_like.faults.partitions import strike
from jepsen_like.load import seconds
from jepsen_like.result import FaultRecord

__all__ = ["HalfOpen", "Reset", "half_open", "reset"]

LEARN_S: Final = 2.0
"""How long a reset may take to arrive on a busy machine."""

ACKNOWLEDGED_S: Final = 0.1
"""After which no acknowledgement is due: it would be answered by a reset too (Linux delays them
by 40 ms)."""

SILENCE_S: Final = 0.25
"""How long an end is watched that should not learn of it."""


@dataclass(frozen=True)
class Reset:
    """Every connection over the links of `on` ends with a reset, at both ends."""

    on: Cut
    rest_s: float
    hold_s: float = 0.0
    kind: ClassVar[str] = "reset"
    needs: ClassVar[frozenset[str]] = frozenset({RESET})

    @property
    def name(self) -> str:
        return f"reset connections, links of {self.on}"

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Reset:
        return replace(self, on=self.on.drawn(hosts, rng))

    async def run(self, site: Site) -> FaultRecord:
        severed, leaders = await strike(site, self.on)
        links = _both_ways(severed.pairs)
        looks = _Looks(site, links)
        before = await looks.carries("before")
        start_ns = site.clock.now_ns()
        site.prober.struck(links)
        await site.backend.reset(severed.pairs)
        site.say(self.name)
        learned = await looks.are_reset("after it", site.backend.layout.stations)
        end_ns = site.clock.now_ns()
        await site.prober.renew(links)
        after = await looks.carries("after it, newly connected")
        return FaultRecord(
            name=self.name,
            kind=self.kind,
            target=" ".join(severed.hit),
            role_before=severed.roles(leaders),
            role_after=severed.roles(await site.db.leaders()),
            start_ns=start_ns,
            end_ns=end_ns,
            verified_start=before and learned,
            verified_end=after,
            evidence=tuple(looks.evidence),
        )


@dataclass(frozen=True)
class HalfOpen:
    """One end of every connection over the links of `on` is gone, while the resets do not arrive
    at the other end: that one believes in the connection until it says something.

    The links are cut for as long as it takes to end the connections, a few milliseconds.
    """

    on: Cut
    hold_s: float
    rest_s: float
    kind: ClassVar[str] = "half-open"
    needs: ClassVar[frozenset[str]] = frozenset({CUT, RESET, HALF_OPEN})

    @property
    def name(self) -> str:
        return f"half-open connections, links of {self.on}"

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> HalfOpen:
        return replace(self, on=self.on.drawn(hosts, rng))

    async def run(self, site: Site) -> FaultRecord:
        severed, leaders = await strike(site, self.on)
        links = _both_ways(severed.pairs)
        forgetting = site.backend.layout.of(severed.hit)
        believing = {host for pair in links for host in pair} - forgetting
        looks = _Looks(site, links)
        before = await looks.carries("before")
        await asyncio.sleep(ACKNOWLEDGED_S)
        start_ns = site.clock.now_ns()
        await site.backend.cut(links)
        try:
            site.prober.struck(links)
            await site.backend.reset([(a, b) for a, b in links if a in forgetting])
            site.say(self.name)
            gone = await looks.are_reset("at the end that forgot", forgetting)
        finally:
            await site.backend.heal(links)
        at_start = await looks.are_not_reset("at the start", believing)
        await site.clock.sleep_until(start_ns + round(self.hold_s * 1e9))
        at_end = await looks.are_not_reset("at the end", believing)
        end_ns = site.clock.now_ns()
        await site.prober.send([(a, b) for a, b in links if a in believing])
        learned = await looks.are_reset("when they spoke", believing)
        await site.prober.renew(links)
        after = await looks.carries("after it, newly connected")
        return FaultRecord(
            name=self.name,
            kind=self.kind,
            target=" ".join(severed.hit),
            role_before=severed.roles(leaders),
            role_after=severed.roles(await site.db.leaders()),
            start_ns=start_ns,
            end_ns=end_ns,
            verified_start=before and gone and at_start,
            verified_end=at_end and learned and after,
            evidence=tuple(looks.evidence),
        )


class _Looks:
    """The looking at the probes' connections over some links."""

    def __init__(self, site: Site, links: Sequence[Pair]) -> None:
        self.evidence: list[str] = []
        self._site = site
        self._links = links

    async def carries(self, when: str) -> bool:
        sent = await self._site.prober.send(self._links)
        arrived = await self._site.prober.wait_for(sent, LEARN_S)
        return self._say(
            len(arrived) == len(sent), f"{when}: {len(arrived)} of {len(sent)} probes arrived"
        )

    async def are_reset(self, when: str, hosts: Collection[str]) -> bool:
        count, ends = await self._site.prober.ends_reset(self._links, hosts, LEARN_S)
        return self._say(count == ends, f"{when}: {count} of {ends} ends of connections were reset")

    async def are_not_reset(self, when: str, hosts: Collection[str]) -> bool:
        count, ends = await self._site.prober.ends_reset(self._links, hosts, SILENCE_S)
        return self._say(count == 0, f"{when}: {ends - count} of {ends} other ends knew of nothing")

    def _say(self, good: bool, sentence: str) -> bool:
        self.evidence.append(sentence if good else f"NOT VERIFIED: {sentence}")
        return good


def reset(on: Cut, rest: str | float = "3s") -> Reset:
    """`reset(isolate(leader_of("shard-1")))`"""
    return Reset(on, seconds(rest))


def half_open(on: Cut, hold: str | float = "2s", rest: str | float = "3s") -> HalfOpen:
    """`half_open(isolate(leader_of("shard-1")))`: the leader forgets its connections."""
    return HalfOpen(on, seconds(hold), seconds(rest))


def _both_ways(pairs: Collection[Pair]) -> tuple[Pair, ...]:
    return tuple(sorted({*pairs, *((b, a) for a, b in pairs)}))
