"""Links that are slow, lossy or narrow for a while: delay, jitter, loss, duplication, reordering
and rate, on all links or on those that a cut would cut.

What a client says to the router beside it is not touched unless that is asked for: a wide network
is between hosts.
Verified by measuring with probes at the start and at the end of the window, each link for itself
and at its receiver, and held against what was asked (see `measures`); after it, links are fast.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from jepsen_like.backends.backend import Pair
from jepsen_like.backends.shape import PLAIN, Shape
from jepsen_like.faults.cuts import Cut, Severed
from jepsen_like.faults.fault import Site
from jepsen_like.faults.measures import (
    Finding,
    Packets,
    datagrams_needed,
    is_delayed,
    is_plain,
    is_rated,
    packets,
)
from jepsen_like.faults.partitions import strike
from jepsen_like.faults.targets import TargetError
from jepsen_like.load import seconds
from jepsen_like.result import FaultRecord

__all__ = ["Shaped", "duplicate", "loss", "rate", "reorder", "shape", "slow", "slow_link"]

PROBES: Final = 12
"""Of each link, to measure its delay."""

LOOKS_MAX: Final = 10

RATE_LOOKS_MAX: Final = 3

RATE_LOOK_S: Final = 0.5
"""How long a link with a rate is kept busy to measure it."""

RATE_BYTES_MIN: Final = 48 * 1024
RATE_BYTES_MAX: Final = 1024 * 1024

_RATE_UNITS: Final = {"kbit": 125.0, "mbit": 125e3, "gbit": 125e6}


@dataclass(frozen=True)
class Shaped:
    """`on`: the links that this cut would cut; None: all between hosts. `seed` is drawn with the
    schedule."""

    shape: Shape
    words: str
    hold_s: float
    rest_s: float
    on: Cut | None = None
    rtt_s: float | None = None  # if a round-trip time was asked for
    seed: int = 0

    @property
    def kind(self) -> str:
        return "slow" if self.rtt_s is not None else "shape"

    @property
    def name(self) -> str:
        return self.words if self.on is None else f"{self.words}, links of {self.on}"

    @property
    def needs(self) -> frozenset[str]:
        return self.shape.needs

    def drawn(self, hosts: Sequence[str], rng: random.Random) -> Shaped:
        if self.shape.reorder and not self.shape.delay_s:
            raise TargetError(f"{self.name}: nothing can be overtaken without a delay.")
        on = None if self.on is None else self.on.drawn(hosts, rng)
        return replace(self, on=on, seed=rng.getrandbits(32))

    async def run(self, site: Site) -> FaultRecord:
        if self.on is None:
            severed = Severed(site.backend.layout.wide, ("all links",), "")
            leaders: Mapping[str, str] = {}
        else:
            severed, leaders = await strike(site, self.on)
        links = severed.pairs
        looks = _Looks(site, self.shape, links)
        try:
            await site.backend.shape(links, self.shape, self.seed)
            site.say(self.name)
            at_start = await looks.measure("at the start")
            start_ns = site.clock.now_ns()
            await site.clock.sleep_until(start_ns + round(self.hold_s * 1e9))
            end_ns = site.clock.now_ns()
            at_end = await looks.measure("at the end")
        finally:
            await site.backend.shape(links, PLAIN, self.seed)
        site.say("links are as before")
        over = await looks.is_over("after it")
        return FaultRecord(
            name=self.name,
            kind=self.kind,
            target=" ".join(severed.hit),
            role_before="" if self.on is None else severed.roles(leaders),
            role_after="" if self.on is None else severed.roles(await site.db.leaders()),
            start_ns=start_ns,
            end_ns=end_ns,
            rtt_ns=None if self.rtt_s is None else round(self.rtt_s * 1e9),
            verified_start=at_start,
            verified_end=at_end and over,
            evidence=tuple(looks.evidence),
        )


class _Looks:
    """The measuring of one window."""

    def __init__(self, site: Site, asked: Shape, links: Sequence[Pair]) -> None:
        self.evidence: list[str] = []
        self._site = site
        self._asked = asked
        self._links = tuple(links)
        self._settle_s = 2 * (asked.delay_s + asked.jitter_s)

    async def measure(self, when: str) -> bool:
        asked, prober = self._asked, self._site.prober
        found: list[Finding] = []
        if asked.needs_packets:
            # A stream would hide what is lost, and be late for it
            gap_s = 0.0 if asked.rate_bytes_s is None else 4000 / asked.rate_bytes_s
            count = datagrams_needed(asked)
            sightings = await prober.datagrams(self._links, count, gap_s, self._settle_s)
            found += packets(asked, {p: Packets(count, *seen) for p, seen in sightings.items()})
            times: Mapping[Pair, Sequence[float]] = {p: t for p, (_, t) in sightings.items()}
        else:
            times = await prober.times(self._links, PROBES, self._settle_s)
        if asked.delay_s or asked.jitter_s:
            found.append(is_delayed(asked, times))
        if asked.rate_bytes_s is not None:
            found.append(await self._rate())
        return self._say_all(when, found)

    async def _rate(self) -> Finding:
        """Bytes that a busy harness reads late seem to come at once, so it looks again; a rate that
        is another one is so each time."""
        looks = 0
        while True:
            looks += 1
            good, words = is_rated(self._asked, await self._throughput())
            if good or looks == RATE_LOOKS_MAX:
                return good, words if looks == 1 else f"{words}, at look {looks}"

    async def is_over(self, when: str) -> bool:
        """One quick probe of each link is enough, so a busy machine is asked again."""
        found: Finding = (False, "")
        for _ in range(LOOKS_MAX):
            times = await self._site.prober.times(self._links, PROBES, self._settle_s)
            found = is_plain(self._asked, times)
            if found[0]:
                break
        return self._say_all(when, [found])

    async def _throughput(self) -> Mapping[Pair, float]:
        """Of the probes and of the database, which shares the link. One direction at a time: the
        acknowledgements of a stream go the other way."""
        rate_bytes_s = self._asked.rate_bytes_s
        assert rate_bytes_s is not None
        size = round(min(max(RATE_BYTES_MIN, RATE_LOOK_S * rate_bytes_s), RATE_BYTES_MAX))
        found: dict[Pair, float] = {}
        for is_up in (True, False):
            links = [(a, b) for a, b in self._links if (a < b) is is_up]
            found |= await self._bulk(links, size, size / rate_bytes_s) if links else {}
        return found

    async def _bulk(
        self, links: Sequence[Pair], size: int, expected_s: float
    ) -> Mapping[Pair, float]:
        backend, clock = self._site.backend, self._site.clock
        before, began_ns = await backend.delivered(), clock.now_ns()
        found = await self._site.prober.throughput(links, size, expected_s)
        took_s = (clock.now_ns() - began_ns) / 1e9
        after = await backend.delivered()
        return {pair: b + (after[pair] - before[pair]) / took_s for pair, b in found.items()}

    def _say_all(self, when: str, found: Sequence[Finding]) -> bool:
        for good, words in found:
            sentence = f"{when}: {words}"
            self.evidence.append(sentence if good else f"NOT VERIFIED: {sentence}")
        return all(good for good, _ in found)


def slow(rtt: str | float, hold: str | float = "5s", rest: str | float = 0.0) -> Shaped:
    """Add `rtt` to every round trip between hosts."""
    rtt_s = seconds(rtt)
    return Shaped(
        Shape(delay_s=rtt_s / 2),
        f"slow links, round trip {rtt_s * 1000:g} ms",
        seconds(hold),
        seconds(rest),
        rtt_s=rtt_s,
    )


def shape(
    *,
    delay: str | float = 0.0,
    loss: str | float = 0.0,
    duplicate: str | float = 0.0,
    reorder: str | float = 0.0,
    rate: str | None = None,
    on: Cut | None = None,
    hold: str | float = "10s",
    rest: str | float = "2s",
) -> Shaped:
    """Several at once: `shape(delay="20ms±5ms", loss="1%", rate="10mbit")`. The delay is that of
    one direction."""
    delay_s, jitter_s = _delay(delay)
    asked = Shape(
        delay_s=delay_s,
        jitter_s=jitter_s,
        loss=_fraction(loss),
        duplicate=_fraction(duplicate),
        reorder=_fraction(reorder),
        rate_bytes_s=None if rate is None else _rate(rate),
    )
    words = [
        f"{what} {value}"
        for what, value in (
            ("delay", delay),
            ("loss", loss),
            ("duplication", duplicate),
            ("reordering", reorder),
            ("rate", rate),
        )
        if value
    ]
    if not words:
        raise ValueError("shape() asks for nothing; write shape(delay=...), loss=... or rate=...")
    return Shaped(asked, ", ".join(words), seconds(hold), seconds(rest), on)


def slow_link(
    delay: str | float,
    on: Cut | None = None,
    hold: str | float = "10s",
    rest: str | float = "2s",
) -> Shaped:
    """`slow_link("20ms±5ms")`: what is sent arrives so much later, in each direction."""
    return shape(delay=delay, on=on, hold=hold, rest=rest)


def loss(
    of: str | float, on: Cut | None = None, hold: str | float = "10s", rest: str | float = "2s"
) -> Shaped:
    """`loss("5%")`: of packets, in each direction."""
    return shape(loss=of, on=on, hold=hold, rest=rest)


def duplicate(
    of: str | float, on: Cut | None = None, hold: str | float = "10s", rest: str | float = "2s"
) -> Shaped:
    """`duplicate("5%")`: so many packets arrive twice."""
    return shape(duplicate=of, on=on, hold=hold, rest=rest)


def reorder(
    of: str | float,
    delay: str | float = "10ms",
    on: Cut | None = None,
    hold: str | float = "10s",
    rest: str | float = "2s",
) -> Shaped:
    """`reorder("10%", delay="10ms")`: so many packets do not wait for the delay."""
    return shape(reorder=of, delay=delay, on=on, hold=hold, rest=rest)


def rate(
    rate: str, on: Cut | None = None, hold: str | float = "10s", rest: str | float = "2s"
) -> Shaped:
    """`rate("10mbit")`: no more than that per second, in each direction."""
    return shape(rate=rate, on=on, hold=hold, rest=rest)


def _delay(text: str | float) -> tuple[float, float]:
    """ "20ms±5ms", "20ms+-5ms" or "20ms" """
    if not isinstance(text, str):
        return seconds(text), 0.0
    delay, _, jitter = text.replace("+-", "±").partition("±")
    delay_s, jitter_s = seconds(delay), seconds(jitter) if jitter else 0.0
    if jitter_s > delay_s:
        raise ValueError(f"{text!r} would let packets arrive before they are sent.")
    return delay_s, jitter_s


def _fraction(text: str | float) -> float:
    if isinstance(text, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", text)
        if match is None:
            raise ValueError(f"{text!r} is not a fraction; write 5% or 0.05.")
        text = float(match[1]) / 100
    if not 0 <= text < 1:
        raise ValueError(f"{text:g} is not a fraction of packets; it must be from 0 to under 1.")
    return text


def _rate(text: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]bit)(?:/s)?\s*", text.lower())
    if match is None or not float(match[1]):
        raise ValueError(f"{text!r} is not a rate; write 500kbit, 10mbit or 1gbit.")
    return float(match[1]) * _RATE_UNITS[match[2]]
