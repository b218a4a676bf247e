"""The network between hosts as TCP proxies: one listener per directed pair of hosts and service.

A host is a node with its router and its clients. When a process on host a dials a service of
host b, its configuration names the listener of (a, b); a connection that arrives there is
carried to b's real address. (A database that knows one address per process gets one listener for
all, `advertise`, and the kernel is asked who dialed.) Its two directions are ruled apart: bytes
from a to b by the link a -> b, bytes from b to a by the link b -> a, so one-way cuts are real.

A cut holds, as a partition does: nothing is refused or reset. Bytes on their way stay, the
proxy soon stops reading, and TCP's own back-pressure stops the sender; the end of a connection is
held as well, so nobody learns that the far side died. A connection dialed during a cut is
accepted by the kernel but reaches nobody (a handshake needs both directions), and if the
dialer gives up meanwhile the far side never sees it. Healing lets everything through, in
order: each connection at the moment when TCP would have tried again (see `backoff`), or all at
once for a mesh that is `instant`. The probes' connections always go on at once.

A shaped link delivers later, in order, no faster than its rate; a delay counts from when the proxy
has read. Connecting is not slowed down, only what is said afterwards. Nothing is lost, doubled
or overtaken here: a stream has no packets.

Runs on the event loop of the harness. At rest a byte costs one read and one write.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, TypeAlias, cast

from jepsen_like.backends.abilities import INSTANT, PROXY
from jepsen_like.backends.backend import (
    PROBE_SERVICE,
    BackendError,
    Endpoint,
    Pair,
    connected,
)
from jepsen_like.backends.backoff import next_attempt, next_knock
from jepsen_like.backends.dialer import can_tell, host_that_dialed, on_host
from jepsen_like.backends.listening import end_listening
from jepsen_like.backends.shape import PLAIN, Departures, Shape, link_rng
from jepsen_like.backends.stations import layout_of

__all__ = ["Link", "Mesh"]

LOOPBACK: Final = "127.0.0.1"

Opener: TypeAlias = Callable[[], socket.socket]

Listener: TypeAlias = socket.socket

HELD_BYTES_MAX: Final = 64 * 1024
"""What may be said into a cut, or before a connection reaches the target; then reading stops. Up
to here the proxy reads on, because only so does it see when something was said first, and that a
dialer has given up."""


TIMER_S: Final = 0.001
"""The resolution of timers."""

SEGMENT_BYTES: Final = 1448
"""What a packet of Ethernet carries of a stream."""

AT_ONCE: Final = struct.pack("ii", 1, 0)
"""Linger for no time: closing resets the connection."""

TRAVELLING_BYTES_MAX: Final = 4 * 1024 * 1024
"""What one direction of a connection may have under way over a slow link; then reading stops."""


@dataclass(eq=False)
class Link:
    """One direction between two hosts: its rule, its counters, the streams that follow it."""

    source: str
    target: str
    is_cut: bool = False
    shape: Departures | None = None  # when bytes that are read are handed over; None: at once
    delivered: dict[str, int] = field(default_factory=dict)  # bytes handed to target, by service
    streams: set[_Stream] = field(default_factory=set)  # whose incoming bytes go over this link


class Mesh:
    """All links between `hosts`.

        mesh = Mesh(["n1", "n2"])
        addresses = await mesh.expose("n2", "node", ("127.0.0.1", 7002))
        ... processes on n1 dial addresses["n1"] ...
        await mesh.cut([("n1", "n2")])

    `close` ends every connection and returns when no task of the mesh runs any more.
    """

    has_own_ports: ClassVar[bool] = False

    def __init__(
        self, hosts: Sequence[str], *, instant: bool = False, routers_apart: bool = False
    ) -> None:
        self.name = INSTANT if instant else PROXY
        self.is_instant = instant
        self.layout = layout_of(hosts, routers_apart=routers_apart)
        self.hosts = self.layout.hosts
        self.links: dict[Pair, Link] = {pair: Link(*pair) for pair in self.layout.links}
        self._within = {host: Link(host, host) for host in self.hosts}  # never cut, nor slow
        self._servers: list[asyncio.Server] = []
        self._streams: set[_Stream] = set()
        self._dials: dict[_Stream, asyncio.Task[None]] = {}
        self._undialed: set[_Stream] = set()  # accepted, waiting for a heal
        self.is_closed = False

    @property
    def pairs(self) -> tuple[Pair, ...]:
        return tuple(self.links)

    def link(self, source: str, target: str) -> Link:
        return self._within[source] if source == target else self.links[source, target]

    def address(self, host: str) -> str:
        return LOOPBACK

    def command(self, host: str, argv: Sequence[str]) -> tuple[str, ...]:
        return on_host(host, argv)

    def socket(self, host: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
        return socket.socket(type=kind)

    async def expose(
        self,
        host: str,
        service: str,
        endpoint: Endpoint,
        *,
        opener: Opener | None = None,
        listener: Listener | None = None,
    ) -> dict[str, Endpoint]:
        """`opener` makes the sockets that dial `endpoint`, if they must be special ones, and
        `listener` is the one that is dialed, where only one station does."""
        loop = asyncio.get_running_loop()
        addresses: dict[str, Endpoint] = {}
        for source in self.layout.dialers(host):
            route = _Route(self, source, host, service, endpoint, opener)
            where: dict[str, Any] = {"host": LOOPBACK, "port": 0}
            if listener is not None:
                where = {"sock": listener}
            server = await loop.create_server(route.accept, **where, start_serving=False)
            self._servers.append(server)  # before the next chance to be stopped
            await server.start_serving()
            addresses[source] = cast("Endpoint", server.sockets[0].getsockname()[:2])
        return addresses

    async def advertise(self, host: str, service: str, endpoint: Endpoint) -> Endpoint:
        """One listener for all: whose process dials, the kernel says (`backends.dialer`). Those of
        the host itself get through whatever is cut."""
        if not can_tell():
            raise BackendError(
                f"the backend {self.name} cannot tell here who dials {service} of {host}: all dial "
                "one address, and this system has no /proc/net/tcp; use Linux."
            )
        routes = {
            source: _Route(self, source, host, service, endpoint, None)
            for source in (host, *self.layout.dialers(host))
        }
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: _Arrival(routes), LOOPBACK, 0, start_serving=False
        )
        self._servers.append(server)
        await server.start_serving()
        return cast("Endpoint", server.sockets[0].getsockname()[:2])

    async def reach(self, host: str, endpoint: Endpoint) -> Endpoint:
        return endpoint

    # -------------------------------------------------------------------------- rules

    async def cut(self, pairs: Collection[Pair]) -> None:
        """Hold everything that goes over these links."""
        for pair in pairs:
            self.links[pair].is_cut = True
        self._follow_rules(pairs)

    async def heal(self, pairs: Collection[Pair]) -> None:
        for pair in pairs:
            self.links[pair].is_cut = False
            for stream in tuple(self.links[pair].streams):
                stream.wait_for_attempt()
        self._follow_rules(pairs)
        for stream in tuple(self._undialed):
            if stream.route.is_open:
                self._knock_again(stream)

    def _knock_again(self, stream: _Stream) -> None:
        """Dial when the dialer's own kernel would have knocked again."""
        loop = asyncio.get_running_loop()
        when_s = time.monotonic()
        if stream.backs_off:
            when_s = next_knock(stream.made_s, when_s)
        loop.call_later(when_s - time.monotonic(), self._knock, stream)

    def _knock(self, stream: _Stream) -> None:
        if stream in self._undialed and stream.route.is_open:
            self._undialed.discard(stream)
            self._dial(stream)

    async def shape(self, pairs: Collection[Pair], shape: Shape, seed: int) -> None:
        for pair in pairs:
            self.links[pair].shape = (
                None if shape == PLAIN else Departures(shape, link_rng(seed, *pair))
            )

    async def reset(self, pairs: Collection[Pair]) -> None:
        for source, target in pairs:
            for link in (self.links[source, target], self.links[target, source]):
                for stream in tuple(link.streams):
                    stream.reset()

    def _follow_rules(self, pairs: Collection[Pair]) -> None:
        for pair in pairs:
            for stream in tuple(self.links[pair].streams):
                stream.follow_rule()

    async def delivered(self) -> dict[Pair, int]:
        return {
            pair: sum(n for service, n in link.delivered.items() if service != PROBE_SERVICE)
            for pair, link in self.links.items()
        }

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
        loop = asyncio.get_running_loop()
        try:
            if route.opener is None:
                await loop.create_connection(lambda: far, *route.endpoint)
            else:
                sock = await connected(route.opener(), route.endpoint)
                await loop.create_connection(lambda: far, sock=sock)
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
        self.is_closed = True
        await end_listening(self._servers)
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
    endpoint: Endpoint
    opener: Opener | None

    @property
    def out(self) -> Link:
        return self.mesh.link(self.source, self.target)

    @property
    def back(self) -> Link:
        return self.mesh.link(self.target, self.source)

    @property
    def is_open(self) -> bool:
        return not (self.out.is_cut or self.back.is_cut)

    def accept(self) -> _Stream:
        return _Stream(self.mesh, self, self.out, accepted=True)


class _Arrival(asyncio.Protocol):
    """A connection at an address that all dial, until it is known whose it is. What no process
    of a host has dialed is closed."""

    def __init__(self, routes: Mapping[str, _Route]) -> None:
        self._routes = routes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        source = host_that_dialed(
            transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        )
        route = self._routes.get(source or "")
        if route is None:
            cast("asyncio.Transport", transport).abort()
            return
        stream = route.accept()
        cast("asyncio.Transport", transport).set_protocol(stream)
        stream.connection_made(transport)


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
        self._travelling: deque[tuple[float, bytes]] = deque()  # (when it arrives, what)
        self._travelling_bytes = 0
        self._is_reading = True
        self._at_end = False  # the sender finished, or the connection is lost
        self.made_s = 0.0
        self._held_since_s: float | None = None  # when the first bytes met the cut
        self._attempt: asyncio.TimerHandle | None = None  # when they are sent again
        self._error: Exception | None = None  # how it was lost

    # -- callbacks of the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.made_s = time.monotonic()
        if self._mesh.is_closed:  # the kernel had accepted it before
            self.abort()
            return
        self._mesh.track(self)
        if self._is_accepted:
            self._mesh.accepted(self)

    def data_received(self, data: bytes) -> None:
        if self.link.shape or self._travelling:
            self._travel(data)
        else:
            self._arrive(data)

    def _travel(self, data: bytes) -> None:
        """In pieces as packets have them, so that a rate is one."""
        loop = asyncio.get_running_loop()
        is_first = not self._travelling
        for start in range(0, len(data), SEGMENT_BYTES):
            piece, when_s = data[start : start + SEGMENT_BYTES], time.monotonic()
            if self.link.shape is not None:
                (when_s,) = self.link.shape.of(when_s, len(piece))
            self._travelling.append((when_s, piece))
        self._travelling_bytes += len(data)
        if is_first:
            loop.call_later(self._travelling[0][0] - time.monotonic(), self._let_arrive)
        if not self._has_room:
            self._set_reading()

    def _let_arrive(self) -> None:
        loop = asyncio.get_running_loop()
        while self._travelling and self._travelling[0][0] <= time.monotonic():
            data = self._travelling.popleft()[1]
            self._travelling_bytes -= len(data)
            self._arrive(data)
        if self._travelling:
            # Timers may fire early, by up to their resolution; asked again at once they would spin
            wait_s = max(TIMER_S, self._travelling[0][0] - time.monotonic())
            loop.call_later(wait_s, self._let_arrive)
        self.follow_rule()

    def _arrive(self, data: bytes) -> None:
        if self._flows and not self._held:
            self._deliver(data)
        else:
            self._held += data
            self._note_held()
            self.follow_rule()

    def eof_received(self) -> bool:
        self._at_end = True
        self._note_held()
        self.follow_rule()
        return True  # the other direction may go on

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._at_end = True
        self._error = exc
        self._note_held()
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
        return len(self._held) + self._travelling_bytes

    @property
    def _flows(self) -> bool:
        is_open = not self.link.is_cut and self._attempt is None
        return self._peer is not None and is_open

    @property
    def backs_off(self) -> bool:
        return not self._mesh.is_instant and self.route.service != PROBE_SERVICE

    def _note_held(self) -> None:
        if self.link.is_cut and self._held_since_s is None:
            self._held_since_s = time.monotonic()

    def wait_for_attempt(self) -> None:
        """The link has healed: what it held goes on when TCP tries again."""
        since_s, self._held_since_s = self._held_since_s, None
        if since_s is None or self._attempt is not None or not self.backs_off:
            return
        loop = asyncio.get_running_loop()
        when_s = next_attempt(since_s, time.monotonic())
        self._attempt = loop.call_later(when_s - time.monotonic(), self._try_again, since_s)

    def _try_again(self, since_s: float) -> None:
        self._attempt = None
        if self.link.is_cut:  # again: the pauses go on doubling
            self._held_since_s = since_s
        self.follow_rule()

    def join(self, peer: _Stream) -> None:
        self._peer = peer
        self.follow_rule()

    def follow_rule(self) -> None:
        """Bring this stream in line with its link and its peer, whatever just changed."""
        if self._flows:
            if self._held:
                data, self._held = bytes(self._held), bytearray()
                self._deliver(data)
            if self._at_end and not self._travelling:
                self._deliver_end()
        elif self._at_end and self._mesh.is_waiting(self):
            self.abort()  # the dialer gave up before it reached anybody
        if self.transport is None and not self._travelling and (self._flows or self._peer is None):
            self._mesh.forget(self)
        self._set_reading()

    def _set_reading(self) -> None:
        transport = self.transport
        if transport is None or self._at_end or transport.is_closing():
            return
        if self._peer is None or not self._flows:
            wanted = len(self._held) < HELD_BYTES_MAX
        else:
            wanted = self._has_room and not self._peer.is_full
        if wanted and not self._is_reading:
            transport.resume_reading()
        elif self._is_reading and not wanted:
            transport.pause_reading()
        self._is_reading = wanted

    @property
    def _has_room(self) -> bool:
        """Whether more may be under way over the link; a sender waits before a narrow one."""
        shape = self.link.shape
        if shape is None or shape.shape.rate_bytes_s is None:
            return self._travelling_bytes < TRAVELLING_BYTES_MAX
        return self._travelling_bytes < shape.shape.queue_bytes

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
            try:
                target.write_eof()
            except OSError:
                target.abort()  # the far side has reset it, which nobody has read yet

    def reset(self) -> None:
        """End this socket as a network does that has forgotten the connection."""
        if self.transport is not None:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self._travelling.clear()
        self._travelling_bytes = 0
        self._held.clear()
        self.abort()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()
        else:
            self._mesh.forget(self)
