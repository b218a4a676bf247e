"""Slow links: every message between hosts takes half a round-trip time longer.

What a client says to the router beside it is not slowed down: a wide network is between hosts.
Verified with probes over every link: at the start and at the end of the window each must take
the delay that was asked for, and none may before it. A backend that cannot do it leaves an
unverified record.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from jepsen_like.backends import DELAY
from jepsen_like.backends.backend import Slowing
from jepsen_like.faults.fault import Site
from jepsen_like.load import seconds
from jepsen_like.result import FaultRecord

__all__ = ["Slow", "slow"]

ARRIVE_WAIT_S: Final = 2.0


@dataclass(frozen=True)
class Slow:
    """All links, for `hold_s`."""

    rtt_s: float
    hold_s: float
    rest_s: float
    kind: ClassVar[str] = "slow"
    needs: ClassVar[frozenset[str]] = frozenset({DELAY})

    @property
    def name(self) -> str:
        return f"slow links, round trip {self.rtt_s * 1000:g} ms"

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Slow:
        return self

    async def run(self, site: Site) -> FaultRecord:
        backend = site.backend
        assert isinstance(backend, Slowing), "it is asked before the run starts"
        evidence: list[str] = []
        await backend.delay(backend.pairs, self.rtt_s / 2)
        try:
            site.say(self.name)
            at_start = await self._is_slow(site, "at the start", evidence)
            start_ns = site.clock.now_ns()
            await site.clock.sleep_until(start_ns + round(self.hold_s * 1e9))
            end_ns = site.clock.now_ns()
            at_end = await self._is_slow(site, "at the end", evidence)
        finally:
            await backend.delay(backend.pairs, 0.0)
        return FaultRecord(
            name=self.name,
            kind=self.kind,
            target="all links",
            role_before="",
            role_after="",
            start_ns=start_ns,
            end_ns=end_ns,
            rtt_ns=round(self.rtt_s * 1e9),
            verified_start=at_start,
            verified_end=at_end,
            evidence=tuple(evidence),
        )

    async def _is_slow(self, site: Site, when: str, evidence: list[str]) -> bool:
        """No probe arrives before half a round trip, and all do after it."""
        began_ns = site.clock.now_ns()
        sent = await site.prober.send(site.backend.pairs)
        early = await site.prober.wait_for(sent, self.rtt_s / 4)
        looked_ns = site.clock.now_ns() - began_ns
        too_early = len(early) if looked_ns < self.rtt_s / 2 * 1e9 else 0
        arrived = await site.prober.wait_for(sent, ARRIVE_WAIT_S)
        took_ms = (site.clock.now_ns() - began_ns) / 1e6
        good = not too_early and len(arrived) == len(sent) and took_ms >= self.rtt_s * 500
        sentence = (
            f"{when}: {len(arrived)} of {len(sent)} probes arrived over all links, the last after "
            f"{took_ms:.1f} ms, {too_early} of them in the first {self.rtt_s * 250:g} ms"
        )
        evidence.append(sentence if good else f"NOT VERIFIED: {sentence}")
        return good


def slow(rtt: str | float, hold: str | float = "5s", rest: str | float = 0.0) -> Slow:
    """Add `rtt` to every round trip between hosts."""
    return Slow(seconds(rtt), seconds(hold), seconds(rest))
