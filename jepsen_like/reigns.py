"""Who says that it leads, in which term, and from when till when.

Every process is asked by itself, past all links, several times a second: so a leader that was cut
off and has not noticed is seen beside the one that was elected. What it says is its own belief,
and a picture for the reader; no verdict rests on it. A process that does not answer says nothing,
and where it was not asked in between nothing is known: an interval ends with its last answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Final

from jepsen_like.adapters.database import WatchedDatabase
from jepsen_like.result import Reign

__all__ = ["PERIOD_S", "REIGNS_MAX", "SIMULATED_PERIOD_S", "Reigns", "watch"]

PERIOD_S: Final = 0.1
SIMULATED_PERIOD_S: Final = 0.5
"""On virtual time asking costs as much as any other request, and a reign is looked at seldom."""
REIGNS_MAX: Final = 10_000
"""Then no more are kept: leaders that change so often are a figure, and no picture."""


class Reigns:
    """What was seen, put together as it comes."""

    def __init__(self) -> None:
        self._ended: list[Reign] = []
        self._open: dict[tuple[str, str], Reign] = {}  # (host, group)

    def saw(self, host: str, at_ns: int, claims: Mapping[str, int] | None) -> None:
        """At `at_ns` the process of `host` said which groups it leads (and the term); None: it
        said nothing. Of one host in the order of time."""
        claims = claims or {}
        for place, reign in list(self._open.items()):
            if place[0] == host and claims.get(place[1]) != reign.term:
                self._end(place)
        for group, term in claims.items():
            known = self._open.get((host, group))
            start_ns = at_ns if known is None else known.start_ns
            self._open[host, group] = Reign(group, host, term, start_ns, at_ns)

    def _end(self, place: tuple[str, str]) -> None:
        reign = self._open.pop(place)
        if len(self._ended) < REIGNS_MAX:
            self._ended.append(reign)

    def seen(self) -> tuple[Reign, ...]:
        """By group, and by time in each."""
        found = [*self._ended, *self._open.values()]
        return tuple(sorted(found, key=lambda r: (r.group, r.start_ns, r.host)))


async def watch(
    db: WatchedDatabase,
    hosts: Collection[str],
    now_ns: Callable[[], int],
    reigns: Reigns,
    period_s: float = PERIOD_S,
) -> None:
    """Ask every host until cancelled; one that is slow to answer delays no other."""

    async def ask(host: str) -> None:
        while True:
            reigns.saw(host, now_ns(), await db.claims(host))
            await asyncio.sleep(period_s)

    await asyncio.gather(*map(ask, hosts))
