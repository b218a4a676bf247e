"""The network between hosts in a simulation: links of `jepsen_like.sim.network`, and nothing real.

It works in an interpreter that simulates only (`python -m jepsen_like.sim`, which the command
line starts by itself). Delays, jitter, cuts and resets are of virtual time. There are no packets:
what TCP hides from its users is not there to be lost.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, cast

from jepsen_like.backends.abilities import SIM
from jepsen_like.backends.backend import PROBE_SERVICE, BackendError, Endpoint, Pair
from jepsen_like.backends.shape import PLAIN, Shape
from jepsen_like.backends.stations import layout_of
from jepsen_like.sim.children import ON, Programs
from jepsen_like.sim.loop import SimulationLoop
from jepsen_like.sim.network import LOOPBACK, VIA, address_of

__all__ = ["SimulatedNetwork"]


class SimulatedNetwork:
    """A machine for each station, with an address of its own."""

    name: ClassVar[str] = SIM
    has_own_ports: ClassVar[bool] = True

    def __init__(self, hosts: Sequence[str], *, routers_apart: bool = False) -> None:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, SimulationLoop):
            raise BackendError(
                f"the backend {SIM} needs an interpreter of its own: run the test with "
                f"`jepsen-like run FILE --backend {SIM}`."
            )
        self._loop, self._network = loop, loop.network
        self.layout = layout_of(hosts, routers_apart=routers_apart)
        self.hosts, self.pairs = self.layout.hosts, self.layout.links
        for number, station in enumerate(self.layout.stations, 1):
            self._network.machines[address_of(number)] = station
        self._addresses = {m: address for address, m in self._network.machines.items()}

    def run(self, programs: Programs) -> None:
        """From now on these are what command lines name."""
        self._loop.programs = programs

    def address(self, host: str) -> str:
        return self._addresses[host]

    def command(self, host: str, argv: Sequence[str]) -> tuple[str, ...]:
        return (ON, host, *argv)

    def socket(self, host: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
        if kind != socket.SOCK_STREAM:
            raise BackendError(f"the backend {SIM} has no datagrams.")
        found: Any = self._network.socket_of(host)
        return cast("socket.socket", found)

    async def expose(self, host: str, service: str, endpoint: Endpoint) -> Mapping[str, Endpoint]:
        if service == PROBE_SERVICE:
            self._network.uncounted.add(endpoint)
        if endpoint[0] in LOOPBACK:
            endpoint = (f"{host}.localhost", endpoint[1])
        return dict.fromkeys(self.layout.dialers(host), endpoint)

    async def advertise(self, host: str, service: str, endpoint: Endpoint) -> Endpoint:
        return endpoint

    async def reach(self, host: str, endpoint: Endpoint) -> Endpoint:
        return (f"{endpoint[0]}{VIA}{host}", endpoint[1])

    async def cut(self, pairs: Collection[Pair]) -> None:
        self._network.cut |= set(pairs)

    async def heal(self, pairs: Collection[Pair]) -> None:
        self._network.cut -= set(pairs)

    async def shape(self, pairs: Collection[Pair], shape: Shape, seed: int) -> None:
        for pair in pairs:
            if shape == PLAIN:
                self._network.shaped.pop(pair, None)
            else:
                self._network.shaped[pair] = (shape.delay_s, shape.jitter_s)

    async def reset(self, pairs: Collection[Pair]) -> None:
        self._network.reset(set(pairs))

    async def delivered(self) -> Mapping[Pair, int]:
        return {pair: self._network.delivered[pair] for pair in self.pairs}

    async def close(self) -> None:
        """Nothing of it outlives its loop."""
