"""The network between hosts as Linux makes it: a network namespace per station on one switch.

Nothing stands between two processes but the kernel: they dial each other's addresses, with
TCP's own retransmissions, timeouts and windows. A cut is a set of (source, destination)
addresses in the switch's forwarding rules whose packets are dropped, changed in one transaction
of the kernel, so all links of a cut end at the same moment. What was on its way is sent again
after the heal, when TCP gets to it: its pauses double, so that takes up to as long as the cut.

What is delivered is counted by another rule where packets leave the switch for their target,
behind whatever the forwarding rules let pass.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from typing import ClassVar, Final, Self

from jepsen_like.backends.backend import PROBE_SERVICE, BackendError, Endpoint, Pair
from jepsen_like.backends.leftovers import marked
from jepsen_like.backends.namespaces import SWITCH, Namespaces
from jepsen_like.backends.proxy import Mesh
from jepsen_like.backends.shape import Shape
from jepsen_like.backends.stations import layout_of

__all__ = ["Netns"]

NETWORK: Final = "10.78.0"
"""Seen by nobody outside the namespaces, so it can be the same in every run."""

STATIONS_MAX: Final = 200

HARNESS: Final = "the harness"

RULES: Final = """
table bridge jepsen_like {
  set cut { type ipv4_addr . ipv4_addr; }
  set probes { type ipv4_addr . inet_service; }
  set database { type ipv4_addr . ipv4_addr; counter; }
  chain links {
    type filter hook forward priority 0; policy accept;
    ip saddr . ip daddr @cut drop
  }
  chain deliveries {
    type filter hook postrouting priority 0; policy accept;
    ip daddr . tcp dport @probes accept
    ip saddr . tcp sport @probes accept
    ip daddr . udp dport @probes accept
    ip saddr . ip daddr @database
  }
}
"""


class Netns:
    """All links between `hosts`; `open` makes them.

    network = await Netns.open(["n1", "n2"])
    ... network.command("n1", argv) starts a process on n1 ...
    await network.cut([("n1", "n2")])
    await network.close()
    """

    name: ClassVar[str] = "netns"
    has_own_ports: ClassVar[bool] = False

    def __init__(
        self, hosts: Sequence[str], *, shaped: bool = False, routers_apart: bool = False
    ) -> None:
        self.layout = layout_of(hosts, routers_apart=routers_apart)
        self.hosts, self.pairs = self.layout.hosts, self.layout.links
        self._addresses = {
            station: f"{NETWORK}.{number}" for number, station in enumerate(self.layout.stations, 1)
        }
        self._namespaces = Namespaces(self._addresses, shaped=shaped)
        self._cut: set[Pair] = set()
        self._changing = asyncio.Lock()
        self._changes: set[asyncio.Task[None]] = set()
        self._doors: dict[tuple[str, Endpoint], Endpoint] = {}
        self._meshes: list[Mesh] = []

    @classmethod
    async def open(
        cls, hosts: Sequence[str], *, shaped: bool = False, routers_apart: bool = False
    ) -> Self:
        """Raises BackendError, with nothing left, if it cannot be had here. Only a network that
        was opened `shaped` can shape its links, for that takes time from every packet."""
        network = cls(hosts, shaped=shaped, routers_apart=routers_apart)
        stations = len(network.layout.stations)
        if stations > STATIONS_MAX:
            raise BackendError(
                f"{len(hosts)} hosts have {stations} stations, which is more than {STATIONS_MAX}; "
                "ask for fewer."
            )
        await network._namespaces.open()
        try:
            await network._nft(RULES + network._add("database", map(network._link, network.pairs)))
        except BaseException:
            await network.close()
            raise
        return network

    def address(self, host: str) -> str:
        return self._addresses[host]

    def command(self, host: str, argv: Sequence[str]) -> tuple[str, ...]:
        return marked(self._namespaces.command(host, argv))

    def socket(self, host: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
        return self._namespaces.socket(host, kind)

    async def expose(self, host: str, service: str, endpoint: Endpoint) -> dict[str, Endpoint]:
        if service == PROBE_SERVICE:
            await self._nft(self._add("probes", [f"{endpoint[0]} . {endpoint[1]}"]))
        if endpoint[0] != self.address(host):
            endpoint = await self._carried_inwards(host, endpoint)
        return dict.fromkeys(self.layout.dialers(host), endpoint)

    async def _carried_inwards(self, host: str, endpoint: Endpoint) -> Endpoint:
        """A port of the host's address, carried on to one of its own loopback."""
        listener = self.socket(host)
        listener.bind((self.address(host), 0))
        mesh = Mesh((HARNESS, host), instant=True)
        self._meshes.append(mesh)
        doors = await mesh.expose(
            host, "inwards", endpoint, opener=lambda: self.socket(host), listener=listener
        )
        return doors[HARNESS]

    async def advertise(self, host: str, service: str, endpoint: Endpoint) -> Endpoint:
        return endpoint

    async def reach(self, host: str, endpoint: Endpoint) -> Endpoint:
        """A port of this machine's loopback, carried on by sockets of the host itself."""
        if (host, endpoint) not in self._doors:
            mesh = Mesh((HARNESS, host), instant=True)
            self._meshes.append(mesh)
            doors = await mesh.expose(host, "direct", endpoint, opener=lambda: self.socket(host))
            self._doors[host, endpoint] = doors[HARNESS]
        return self._doors[host, endpoint]

    async def cut(self, pairs: Collection[Pair]) -> None:
        await self._set_cut(self._cut | set(pairs))

    async def heal(self, pairs: Collection[Pair]) -> None:
        await self._set_cut(self._cut - set(pairs))

    async def _set_cut(self, cut: set[Pair]) -> None:
        """The whole set anew, in one transaction: right whatever was there."""
        self._cut = cut
        change = asyncio.ensure_future(self._apply_cut())
        self._changes.add(change)
        change.add_done_callback(self._changes.discard)
        await asyncio.shield(change)  # if this is cancelled, the next change still comes after it

    async def _apply_cut(self) -> None:
        async with self._changing:
            links = map(self._link, sorted(self._cut))
            await self._nft("flush set bridge jepsen_like cut\n" + self._add("cut", links))

    async def shape(self, pairs: Collection[Pair], shape: Shape, seed: int) -> None:
        links = [[self.address(a), self.address(b)] for a, b in pairs]
        command = json.dumps({"seed": seed, "shape": asdict(shape), "links": links})
        await asyncio.to_thread(self._namespaces.shape, command)

    async def reset(self, pairs: Collection[Pair]) -> None:
        for host, other in pairs:
            argv = ("ss", "--kill", "--tcp", "--no-header", "dst", self.address(other))
            await asyncio.to_thread(self._namespaces.run, host, argv, "")

    async def delivered(self) -> dict[Pair, int]:
        listing = json.loads(
            await self._at_switch("nft", "-j", "list", "set", "bridge", "jepsen_like", "database")
        )
        (found,) = [item["set"] for item in listing["nftables"] if "set" in item]
        counts = {
            tuple(entry["elem"]["val"]["concat"]): entry["elem"]["counter"]["bytes"]
            for entry in found["elem"]
        }
        return {(a, b): counts[self.address(a), self.address(b)] for a, b in self.pairs}

    async def close(self) -> None:
        await asyncio.gather(*self._changes, return_exceptions=True)
        for mesh in self._meshes:
            await mesh.close()
        await asyncio.to_thread(self._namespaces.close)

    def _link(self, pair: Pair) -> str:
        return f"{self.address(pair[0])} . {self.address(pair[1])}"

    @staticmethod
    def _add(name: str, elements: Iterable[str]) -> str:
        listed = ", ".join(elements)
        return f"add element bridge jepsen_like {name} {{ {listed} }}\n" if listed else ""

    async def _nft(self, text: str) -> None:
        await self._at_switch("nft", "-f", "-", text=text)

    async def _at_switch(self, *argv: str, text: str = "") -> str:
        return await asyncio.to_thread(self._namespaces.run, SWITCH, argv, text)
