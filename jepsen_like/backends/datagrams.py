"""Numbered datagrams over links: what TCP hides from its users, seen as it is.

A datagram is lost, doubled or overtaken as the link has it, so what arrives of them at the
receiver says what the link does to packets.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Collection, Mapping
from typing import Final, cast

from jepsen_like.backends.backend import PROBE_SERVICE, Backend, Endpoint, Pair

__all__ = ["Datagrams", "Sighting"]

AT_A_TIME: Final = 10
"""Per link; what is sent faster than it is read would be lost by the receiver's own socket."""

PAUSE_S: Final = 0.002

SETTLE_S: Final = 0.2

Sighting = tuple[tuple[int, ...], tuple[float, ...]]
"""Numbers in order of arrival, and how long each was on its way."""


class Datagrams:
    """One socket on each station."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._ends: dict[str, asyncio.DatagramTransport] = {}
        self._endpoints: dict[str, Mapping[str, Endpoint]] = {}
        self._round = 0
        self._seen: dict[Pair, list[tuple[int, float]]] = {}  # number, and when

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        for host in self._backend.layout.stations:
            sock = self._backend.socket(host, socket.SOCK_DGRAM)
            sock.bind((self._backend.address(host), 0))
            endpoint = cast("Endpoint", sock.getsockname()[:2])
            self._endpoints[host] = await self._backend.expose(host, PROBE_SERVICE, endpoint)
            sock.setblocking(False)
            end, _ = await loop.create_datagram_endpoint(lambda: _Receiver(self, host), sock=sock)  # noqa: B023 - awaited in the same turn
            self._ends[host] = end

    async def send(
        self, pairs: Collection[Pair], count: int, gap_s: float, settle_s: float
    ) -> dict[Pair, Sighting]:
        """`count` over each link, `gap_s` apart at least; returns what came of them."""
        self._round += 1
        self._seen = {pair: [] for pair in pairs}
        sent: dict[Pair, list[float]] = {pair: [] for pair in pairs}
        for first in range(0, count, AT_A_TIME):
            numbers = range(first, min(first + AT_A_TIME, count))
            for source, target in pairs:
                for number in numbers:
                    sent[source, target].append(time.monotonic())
                    self._ends[source].sendto(
                        f"{self._round} {source} {number}".encode(),
                        self._endpoints[target][source],
                    )
            await asyncio.sleep(max(PAUSE_S, gap_s * len(numbers)))
        await asyncio.sleep(SETTLE_S + settle_s)
        return {
            pair: (
                tuple(number for number, _ in seen),
                tuple(when - sent[pair][number] for number, when in seen),
            )
            for pair, seen in self._seen.items()
        }

    def received(self, target: str, data: bytes) -> None:
        words = data.decode(errors="replace").split()
        if len(words) == 3 and words[0] == str(self._round) and (words[1], target) in self._seen:
            now_s = time.monotonic()
            self._seen[words[1], target].append((int(words[2]), now_s))

    def close(self) -> None:
        for end in self._ends.values():
            end.close()


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, datagrams: Datagrams, host: str) -> None:
        self._datagrams = datagrams
        self._host = host

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._datagrams.received(self._host, data)
