"""The network between hosts that are somewhere else: cut, healed and probed as the test says.

The harness has no sockets on those hosts. So a probe is a step of the test too: it succeeds if
what `source` sends reaches `target`, on a connection of its own. It is taken again until it does,
like a connection that is dialed in a cut. Bytes of the database are not counted.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import ClassVar, Final, NoReturn

from jepsen_like.adapters.steps import Step, StepFailed, take
from jepsen_like.backends.backend import BackendError, Endpoint, Pair
from jepsen_like.backends.probe import Prober, Sent
from jepsen_like.backends.shape import Shape
from jepsen_like.backends.stations import layout_of

__all__ = ["ExternalNetwork", "ExternalProber"]

PROBE_TIMEOUT_S: Final = 2.0

PROBE_PAUSE_S: Final = 0.1


class ExternalNetwork:
    """`cut`, `heal` and `probe` are told `source` and `target`."""

    has_own_ports: ClassVar[bool] = False

    def __init__(self, hosts: Sequence[str], cut: Step, heal: Step) -> None:
        self.layout = layout_of(hosts)
        self.hosts, self.pairs = self.layout.hosts, self.layout.links
        self._cut_step, self._heal_step = cut, heal
        self._cut: set[Pair] = set()

    @property
    def name(self) -> str:
        return "external"

    async def cut(self, pairs: Collection[Pair]) -> None:
        self._cut |= set(pairs)
        await self._take(self._cut_step, pairs)

    async def heal(self, pairs: Collection[Pair]) -> None:
        await self._take(self._heal_step, pairs)
        self._cut -= set(pairs)

    async def _take(self, step: Step, pairs: Collection[Pair]) -> None:
        """Side by side; all have ended when this returns or raises."""
        taken = await asyncio.gather(
            *(take(step, source=source, target=target) for source, target in pairs),
            return_exceptions=True,
        )
        for found in taken:
            if isinstance(found, BaseException):
                raise BackendError(str(found)) from found

    async def delivered(self) -> dict[Pair, int]:
        return {}

    async def close(self) -> None:
        await self.heal(tuple(self._cut))

    # -- what needs the harness to be there

    def address(self, host: str) -> str:
        self._is_elsewhere(host)

    def command(self, host: str, argv: Sequence[str]) -> tuple[str, ...]:
        self._is_elsewhere(host)

    def socket(self, host: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
        self._is_elsewhere(host)

    async def expose(self, host: str, service: str, endpoint: Endpoint) -> Mapping[str, Endpoint]:
        self._is_elsewhere(host)

    async def advertise(self, host: str, service: str, endpoint: Endpoint) -> Endpoint:
        self._is_elsewhere(host)

    async def reach(self, host: str, endpoint: Endpoint) -> Endpoint:
        self._is_elsewhere(host)

    async def shape(self, pairs: Collection[Pair], shape: Shape, seed: int) -> None:
        self._is_elsewhere("all hosts")

    async def reset(self, pairs: Collection[Pair]) -> None:
        self._is_elsewhere("all hosts")

    def _is_elsewhere(self, host: str) -> NoReturn:
        raise BackendError(f"the backend external has no socket on {host}, which is elsewhere.")


class ExternalProber(Prober):
    """`probe` is told `source` and `target`. How long silence is listened to follows from how long
    a probe took that arrived."""

    def __init__(self, network: ExternalNetwork, probe: Step) -> None:
        super().__init__(network)
        self._probe = probe
        self._taken: dict[str, asyncio.Task[None]] = {}
        self._slowest_s = 0.0

    async def __aenter__(self) -> ExternalProber:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._taken.values():
            task.cancel()
        await asyncio.gather(*self._taken.values(), return_exceptions=True)

    async def lay(self, pairs: Iterable[Pair], looks: int) -> None:
        """There are no connections to be laid."""

    async def send(self, pairs: Iterable[Pair], look: int = 0) -> tuple[Sent, ...]:
        sent = []
        for pair in pairs:
            token = f"t{len(self._taken) + 1}"
            self._taken[token] = asyncio.ensure_future(self._until_arrived_at(pair))
            sent.append(Sent(pair, True, token, len(self._taken)))
        return tuple(sent)

    async def _until_arrived_at(self, pair: Pair) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            try:
                await take(self._probe, PROBE_TIMEOUT_S, source=pair[0], target=pair[1])
            except StepFailed:
                await asyncio.sleep(PROBE_PAUSE_S)
                continue
            self._slowest_s = max(self._slowest_s, loop.time() - began_s)
            return

    async def wait_for(self, sent: Collection[Sent], timeout_s: float) -> frozenset[str]:
        tasks = {self._taken[one.token]: one.token for one in sent}
        if not tasks:
            return frozenset()
        done, _ = await asyncio.wait(tasks, timeout=max(timeout_s, 2 * self._slowest_s))
        return frozenset(tasks[task] for task in done)
