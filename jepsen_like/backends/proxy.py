"""The network between hosts as TCP proxies: one listener per directed pair of hosts and service.

A host is a node with its router and its clients. When a process on host a dials a service of
host b, its configuration names the listener of (a, b); a connection that arrives there is
carried to b's real address. Its two directions are ruled apart: bytes from a to b by the link
a -> b, bytes from b to a by the link b -> a, so one-way cuts are real.

A cut holds, as a partition does: nothing is refused or reset. Bytes on their way stay, the
proxy stops reading, and TCP's own back-pressure stops the sender; the end of a connection is
held as well, so nobody learns that the far side died. A connection dialed during a cut is
accepted by the kernel but reaches nobody (a handshake needs both directions), and if the
dialer gives up meanwhile the far side never sees it. Healing lets everything through, in
order.

Runs on the event loop of the harness. At rest a byte costs one read and one write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, cast

__all__ = ["Endpoint", "Pair", "Link", "Mesh"]

Endpoint: TypeAlias = tuple[str, int]
"""Host and port as sockets name them."""

Pair: TypeAlias = tuple[str, str]
"""(source, target): the direction in which bytes go, whoever dialed."""

UNDIALED_BYTES_MAX: Final = 64 * 1024
"""What a dialer may send before its connection reaches the target; then reading stops. Up to
here the proxy reads on, because only so does it see that the dialer has given up."""


@dataclass(eq=False)
class Link:
    """One direction between two hosts: its rule, its counters, the streams that follow it."""

    source: str
    target: str
    is_cut: bool = False
    delivered: dict[str, int] = field(default_factory=dict)  # bytes handed to target, by service
    streams: set[_Stream] = field(default_factory=set)  # whose incoming bytes go over this link


class Mesh:
    """All links between `hosts`.

        mesh = Mesh(["n1", "n2"])
        addresses = await mesh.expose("n2", "node", ("127.0.0.1", 7002))
        ... processes on n1 dial addresses["n1"] ...
        mesh.cut("n1", "n2")

    `close` ends every connection and returns when no task of the mesh runs any more.
    """

    def __init__(self, hosts: Sequence[str]) -> None:
        self.hosts = tuple(hosts)
        self.links: dict[Pair, Link] = {
            (a, b): Link(a, b) for a in self.hosts for b in self.hosts if a != b
        }
        self._servers: list[asyncio.Server] = []
        self._streams: set[_Stream] = set()
        self._dials: dict[_Stream, asyncio.Task[None]] = {}
        self._undialed: set[_Stream] = set()  # accepted, waiting for a heal

    async def expose(self, host: str, service: str, address: Endpoint) -> dict[str, Endpoint]:
        """Make `address` of `host` reachable from every other host; returns where each dials."""
        loop = asyncio.get_running_loop()
        addresses: dict[str, Endpoint] = {}
        for source in self.hosts:
            if source == host:
                continue
            route = _Route(self, source, host, service, address)
            server = await loop.create_server(route.accept, "127.0.0.1", 0)
            self._servers.append(server)
            addresses[source] = cast("Endpoint", server.sockets[0].getsockname()[:2])
        return addresses

    # -------------------------------------------------------------------------- rules

    def cut(self, source: str, target: str) -> None:
        """Hold everything that goes from source to target."""
        link = self.links[source, target]
        link.is_cut = True
        for stream in link.streams:
            stream.follow_rule()

    def heal(self, source: str, target: str) -> None:
        link = self.links[source, target]
        link.is_cut = False
        for stream in tuple(link.streams):
            stream.follow_rule()
        for stream in tuple(self._undialed):
            if stream.route.is_open:
                self._undialed.discard(stream)
                self._dial(stream)

    def cut_pairs(self, pairs: Iterable[Pair]) -> None:
        for source, target in pairs:
            self.cut(source, target)

    def heal_all(self) -> None:
        for source, target in self.links:
            self.heal(source, target)

    def delivered(self, pair: Pair, *services: str) -> int:
        """Bytes handed to the target's host so far, of the named services (all, if none)."""
        counts = self.links[pair].delivered
        return sum(n for service, n in counts.items() if not services or service in services)

    @property
    def held_bytes(self) -> int:
        """What the proxies keep of the bytes they have read; bounded per connection."""
        return sum(stream.held_bytes for stream in self._streams)

    @property
    def open_sockets(self) -> int:
        """Ends of carried connections that are not closed on both sides."""
        return len(self._streams)

    # -------------------------------------------------------------------------- connections

    def accepted(self, stream: _Stream) -> None:
        """A connection arrived at a listener: carry it on, now or when both directions heal."""
        if stream.route.is_open:
            self._dial(stream)
        else:
            self._undialed.add(stream)

    def _dial(self, stream: _Stream) -> None:
        task = asyncio.get_running_loop().create_task(self._dial_target(stream))
        self._dials[stream] = task
        task.add_done_callback(lambda _: self._dials.pop(stream, None))

    async def _dial_target(self, near: _Stream) -> None:
        route = near.route
        far = _Stream(self, route, route.back)
        try:
            await asyncio.get_running_loop().create_connection(lambda: far, *route.address)
        except OSError:
            near.abort()  # nobody listens there: the dialer learns it as on a real network
            return
        far.join(near)
        near.join(far)

    def is_waiting(self, stream: _Stream) -> bool:
        """Whether the connection is accepted, and waits for a heal to be carried on."""
        return stream in self._undialed

    def track(self, stream: _Stream) -> None:
        self._streams.add(stream)
        stream.link.streams.add(stream)

    def forget(self, stream: _Stream) -> None:
        """The stream's incoming side has ended and everything it carried is handed over."""
        self._streams.discard(stream)
        stream.link.streams.discard(stream)
        self._undialed.discard(stream)

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        tasks = tuple(self._dials.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        closing = [stream.closed for stream in self._streams]
        for stream in tuple(self._streams):
            stream.abort()
        await asyncio.gather(*closing)
        for server in self._servers:
            await server.wait_closed()


@dataclass(frozen=True)
class _Route:
    """What one listener is for: connections of `source` to one service of `target`."""

    mesh: Mesh
    source: str
    target: str
    service: str
    address: Endpoint

    @property
    def out(self) -> Link:
        return self.mesh.links[self.source, self.target]

    @property
    def back(self) -> Link:
        return self.mesh.links[self.target, self.source]

    @property
    def is_open(self) -> bool:
        return not (self.out.is_cut or self.back.is_cut)

    def accept(self) -> _Stream:
        return _Stream(self.mesh, self, self.out, accepted=True)


class _Stream(asyncio.Protocol):
    """One socket of a carried connection; what is read here is written to the peer's socket.

    Reading goes on exactly while the link is open, the peer is there and the peer's socket
    takes more. What was read before it stopped waits in `_held`.
    """

    def __init__(self, mesh: Mesh, route: _Route, link: Link, *, accepted: bool = False) -> None:
        self.route = route
        self.link = link
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self.is_full = False  # this socket's own write buffer is over its limit
        self.end_delivered = False
        self._mesh = mesh
        self._is_accepted = accepted
        self._peer: _Stream | None = None
        self._held = bytearray()
        self._is_reading = True
        self._at_end = False  # the sender finished, or the connection is lost
        self._error: Exception | None = None  # how it was lost

    # -- callbacks of the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._mesh.track(self)
        if self._is_accepted:
            self._mesh.accepted(self)

    def data_received(self, data: bytes) -> None:
        if self._flows and not self._held:
            self._deliver(data)
        else:
            self._held += data
            self.follow_rule()

    def eof_received(self) -> bool:
        self._at_end = True
        self.follow_rule()
        return True  # the other direction may go on

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._at_end = True
        self._error = exc
        self.closed.set_result(None)
        self.follow_rule()

    def pause_writing(self) -> None:
        self.is_full = True
        if self._peer is not None:
            self._peer.follow_rule()

    def resume_writing(self) -> None:
        self.is_full = False
        if self._peer is not None:
            self._peer.follow_rule()

    # -- the rule

    @property
    def held_bytes(self) -> int:
        return len(self._held)

    @property
    def _flows(self) -> bool:
        return self._peer is not None and not self.link.is_cut

    def join(self, peer: _Stream) -> None:
        self._peer = peer
        self.follow_rule()

    def follow_rule(self) -> None:
        """Bring this stream in line with its link and its peer, whatever just changed."""
        if self._flows:
            if self._held:
                data, self._held = bytes(self._held), bytearray()
                self._deliver(data)
            if self._at_end:
                self._deliver_end()
        elif self._at_end and self._mesh.is_waiting(self):
            self.abort()  # the dialer gave up before it reached anybody
        if self.transport is None and (self._flows or self._peer is None):
            self._mesh.forget(self)
        self._set_reading()

    def _set_reading(self) -> None:
        transport = self.transport
        if transport is None or self._at_end or transport.is_closing():
            return
        if self._peer is None:
            wanted = len(self._held) < UNDIALED_BYTES_MAX
        else:
            wanted = self._flows and not self._peer.is_full
        if wanted and not self._is_reading:
            transport.resume_reading()
        elif self._is_reading and not wanted:
            transport.pause_reading()
        self._is_reading = wanted

    @property
    def _target(self) -> asyncio.Transport | None:
        """Where bytes go; None if the far side is gone, and with it whatever is sent there."""
        target = self._peer.transport if self._peer is not None else None
        return None if target is None or target.is_closing() else target

    def _deliver(self, data: bytes) -> None:
        target = self._target
        if target is not None:
            target.write(data)
            counts = self.link.delivered
            counts[self.route.service] = counts.get(self.route.service, 0) + len(data)

    def _deliver_end(self) -> None:
        """Pass on how this stream ended: by a reset, by closing, or in one direction only."""
        if self.end_delivered and self.transport is not None:
            return
        self.end_delivered = True
        target = self._target
        if target is None:
            return
        if self._error is not None:
            target.abort()
        elif self.transport is None:
            target.close()
        elif self._peer is not None and self._peer.end_delivered:
            target.close()
            self.transport.close()
        else:
            target.write_eof()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()
        else:
            self._mesh.forget(self)
