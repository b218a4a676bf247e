"""TCP between simulated machines, behind asyncio's own interface of transports.

A direction of a connection is a stream of chunks in order. What is sent while its link is cut is
sent again, with pauses that double as a kernel's do: a connection survives a short cut, late. A
process that has gone resets its connections when something comes for them; a machine that cannot
be reached answers nothing.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from jepsen_like.sim.processes import Process

if TYPE_CHECKING:
    from jepsen_like.sim.loop import SimulationLoop

__all__ = ["LOOPBACK", "VIA", "Link", "Network", "SimulatedSocket", "address_of"]

Address: TypeAlias = tuple[str, int]
Link: TypeAlias = tuple[str, str]
"""(source, target): machines, and the direction in which bytes go."""

Latency: TypeAlias = tuple[float, float]
"""Delay and jitter, in seconds."""

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")

LOCALHOST: Final = ".localhost"

VIA: Final = "@"
"""ADDRESS@MACHINE is dialed as a process of that machine would, whoever dials."""

LATENCY_S: Final = (0.0002, 0.001)
"""One way, between two machines; a machine's own link takes a tenth."""

RESEND_S: Final = 0.2
RESEND_S_MAX: Final = 120.0
"""Linux's: the first pause before lost bytes are sent again, doubled each time."""

SYN_S: Final = 1.0
"""The first pause before somebody who does not answer is called again, doubled each time."""

KERNEL_BYTES: Final = 256 * 1024
"""What a kernel takes of a stream before the other side has it; the rest waits in the process."""

EPHEMERAL: Final = 32_768
"""Ports above it are given to whoever asks for any."""

WRITE_HIGH: Final = 64 * 1024
"""What may wait in the process before its protocol is asked to pause: asyncio's."""


def address_of(number: int) -> str:
    """Of the machine with this number, from 1."""
    return f"10.0.{number // 250}.{number % 250 + 1}"


class Network:
    """Machines and the links between them."""

    def __init__(self, loop: SimulationLoop) -> None:
        self._loop = loop
        self.machines: dict[str, str] = {}
        """By address. A machine's loopback is called MACHINE.localhost by all others."""
        self.cut: set[Link] = set()
        """Links that lose everything."""
        self.shaped: dict[Link, Latency] = {}
        """What is added to the latency of links: `Latency` in seconds."""
        self.delivered: defaultdict[Link, int] = defaultdict(int)
        """Bytes that came over each link, but those to and from `uncounted`."""
        self.uncounted: set[Address] = set()
        self._listeners: dict[tuple[str, Address], _Server] = {}  # by machine, address
        self._transports: dict[Transport, None] = {}  # open ones, in the order of their making
        self._ports = EPHEMERAL

    # ------------------------------------------------------------------ links

    def is_cut(self, link: Link) -> bool:
        return link in self.cut

    def latency(self, link: Link) -> float:
        low, high = LATENCY_S
        drawn = low + (high - low) * self._loop.rng.random()
        if link[0] == link[1]:
            return drawn / 10
        if (added := self.shaped.get(link)) is not None:
            delay, jitter = added
            drawn += max(0.0, delay + jitter * (2 * self._loop.rng.random() - 1))
        return drawn

    def _machine_at(self, source: str, host: str) -> str:
        """Raises OSError."""
        if host in LOOPBACK:
            return source
        found = self.machines.get(host) or host.removesuffix(LOCALHOST)
        if found not in self.machines.values():
            raise OSError(errno.EHOSTUNREACH, f"no machine has the address {host}")
        return found

    # ------------------------------------------------------------------ sockets

    def socket_of(self, machine: str) -> SimulatedSocket:
        return SimulatedSocket(machine, self._port)

    def _port(self) -> int:
        self._ports += 1
        return self._ports

    def listens(self, process: Process, port: int) -> bool:
        return any(
            server.process is process and server.sock.getsockname()[1] == port
            for server in self._listeners.values()
        )

    def listen(
        self, factory: Callable[[], asyncio.BaseProtocol], sock: SimulatedSocket, process: Process
    ) -> _Server:
        machine, (host, port) = sock.machine, sock.getsockname()
        if host not in LOOPBACK and self.machines.get(host) != machine:
            raise OSError(errno.EADDRNOTAVAIL, f"{machine} has no address {host}")
        key = machine, _as_dialed(host, port)
        held = self._listeners.get(key)
        if held is not None and held.process.is_alive:
            raise OSError(errno.EADDRINUSE, "address already in use")
        server = self._listeners[key] = _Server(self, factory, sock, process)
        return server

    def forget_listener(self, server: _Server) -> None:
        for key in [key for key, found in self._listeners.items() if found is server]:
            del self._listeners[key]

    async def connect(self, sock: SimulatedSocket, address: Address, process: Process) -> None:
        """A handshake, knocked for until it succeeds or is cancelled. Raises OSError."""
        host, _, via = address[0].partition(VIA)
        source = via or sock.machine
        target = self._machine_at(source, host)
        is_local = host in LOOPBACK or host.endswith(LOCALHOST)
        key = target, (LOOPBACK[0] if is_local else host, address[1])
        pause = SYN_S
        while True:
            await asyncio.sleep(self.latency((source, target)))
            if not self.is_cut((source, target)):
                server = self._listeners.get(key)
                await asyncio.sleep(self.latency((target, source)))
                if not self.is_cut((target, source)):
                    break
            await asyncio.sleep(pause)
            pause *= 2
        if server is None or not server.process.is_alive:
            raise ConnectionRefusedError(
                errno.ECONNREFUSED, f"nobody listens at {host}:{address[1]}"
            )
        near = Transport(self._loop, process, (source, target), sock, address)
        far = SimulatedSocket(target, self._port)
        far.bind(server.sock.getsockname())
        there = Transport(self._loop, server.process, (target, source), far, sock.getsockname())
        near.is_counted = there.is_counted = server.sock.getsockname() not in self.uncounted
        near.peer, there.peer = there, near
        self._transports |= {near: None, there: None}
        sock.transport = near
        self._loop.call_soon(there.accepted, server.factory, context=server.process.context.copy())

    def adopt(
        self, sock: SimulatedSocket, factory: Callable[[], asyncio.BaseProtocol]
    ) -> tuple[Transport, asyncio.BaseProtocol]:
        """A protocol for a connected socket."""
        transport = sock.transport
        assert transport is not None
        protocol = factory()
        transport.adopted(protocol)
        return transport, protocol

    def reset(self, links: Collection[Link]) -> None:
        """Connections over these links are reset by the machine that the link names first."""
        for transport in self.transports():
            if transport.link in links:
                transport.broken()

    def process_ended(self, process: Process) -> None:
        for server in [s for s in self._listeners.values() if s.process is process]:
            self.forget_listener(server)
        for transport in [t for t in self._transports if t.process is process]:
            transport.process_ended()

    def transports(self) -> tuple[Transport, ...]:
        """The ends of connections that are open, in the order of their making."""
        return tuple(self._transports)

    def closed(self, transport: Transport) -> None:
        self._transports.pop(transport, None)


def _as_dialed(host: str, port: int) -> Address:
    return (LOOPBACK[0] if host in LOOPBACK else host), port


class _Server:
    """As asyncio.Server, as far as this stack uses it."""

    def __init__(
        self,
        network: Network,
        factory: Callable[[], asyncio.BaseProtocol],
        sock: SimulatedSocket,
        process: Process,
    ) -> None:
        self._network = network
        self.factory = factory
        self.sock = sock
        self.process = process
        self.sockets = (sock,)

    async def start_serving(self) -> None:
        """It does since it was made."""

    def close(self) -> None:
        self._network.forget_listener(self)

    async def wait_closed(self) -> None:
        """Its connections close by themselves."""


class SimulatedSocket:
    """Of one machine; without a descriptor, so that whoever would write past its transport does
    not."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM

    def __init__(self, machine: str, new_port: Callable[[], int]) -> None:
        self.machine = machine
        self._new_port = new_port
        self._name: Address | None = None
        self.transport: Transport | None = None
        self.user_timeout_s = 0.0

    def bind(self, address: Address) -> None:
        self._name = (address[0], address[1] or self._new_port())

    def getsockname(self) -> Address:
        if self._name is None:
            self.bind(("", 0))
            assert self._name is not None
        return self._name

    def fileno(self) -> int:
        return -1

    def setblocking(self, _flag: bool) -> None:
        """It never blocks."""

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        if level == socket.IPPROTO_TCP and option == getattr(socket, "TCP_USER_TIMEOUT", None):
            self.user_timeout_s = value / 1000

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class Transport(asyncio.Transport):
    """One end of a connection: the stream that leaves it, and what has come and is not yet read.

    An empty chunk is the end of a stream. What the process has given away is the kernel's: it
    still goes when the process closes, or is killed.
    """

    protocol: asyncio.BaseProtocol | None = None  # the listening process has not accepted yet
    peer: Transport

    def __init__(
        self,
        loop: SimulationLoop,
        process: Process,
        link: Link,
        sock: SimulatedSocket,
        peer: Address,
    ) -> None:
        super().__init__({"peername": peer, "sockname": sock.getsockname(), "socket": sock})
        self._socket = sock
        self._loop = loop
        self._network = loop.network
        self.process = process
        self.link = link
        self.is_counted = True
        self._context = process.context.copy()
        self._outbox: deque[tuple[float, bytes]] = deque()  # chunks, and when they arrive
        self._sent_at = self._arrives_at = -1.0  # of the last chunk
        self._out_bytes = 0
        self._inbox: deque[bytes] = deque()
        self._in_bytes = 0
        self._is_moving = False  # the first chunk is on its way, or waits to be sent again
        self._take_is_due = False
        self._resend_s = RESEND_S
        self._stalled_at: float | None = None  # since when nothing gets through
        self._high, self._low = WRITE_HIGH, WRITE_HIGH // 4
        self._is_writing_paused = False
        self._is_reading_paused = False
        self._has_ended = False  # no more is written
        self._is_closing = False
        self._is_lost = False  # the protocol has been told, or will be at once
        self._is_reset = False  # the stream is over: what comes for it is answered with a reset

    # ------------------------------------------------------------------ asyncio.Transport

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self.protocol is not None
        return self.protocol

    def write(self, data: Any) -> None:
        if self._has_ended or self._is_closing or not data:
            return
        self._send(bytes(data))
        if self.get_write_buffer_size() > self._high and not self._is_writing_paused:
            self._is_writing_paused = True
            self.get_protocol().pause_writing()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._send(b"")

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self.write_eof()
            self._is_closing = True
            if not self.get_write_buffer_size():
                self._lose(None)

    def abort(self) -> None:
        self._is_closing = True
        self._reset(None)

    def get_write_buffer_size(self) -> int:
        return max(0, self._out_bytes - KERNEL_BYTES)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = (WRITE_HIGH if low is None else 4 * low) if high is None else high
        self._low = self._high // 4 if low is None else low

    def pause_reading(self) -> None:
        self._is_reading_paused = True

    def resume_reading(self) -> None:
        self._is_reading_paused = False
        self._take_soon()

    def is_reading(self) -> bool:
        return not self._is_reading_paused and not self._is_closing

    # ------------------------------------------------------------------ the kernel

    def adopted(self, protocol: asyncio.BaseProtocol) -> None:
        """The process that dialed has a protocol for it."""
        self.protocol = protocol
        protocol.connection_made(self)
        self._take_soon()

    def broken(self) -> None:
        """Reset from outside, as an address that moves away does."""
        self._reset(ConnectionResetError(errno.ECONNRESET, "connection reset by peer"))

    def accepted(self, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        """The process that listens takes the connection, and what has come on it."""
        self.protocol = factory()
        self.protocol.connection_made(self)
        self._take_soon()

    def process_ended(self) -> None:
        """What the process had written still goes, and then the end of the stream."""
        self._is_closing = self._is_lost = True
        self._network.closed(self)
        if not self._has_ended:
            self._has_ended = True
            self._send(b"")

    def _send(self, chunk: bytes) -> None:
        """Each chunk takes its own time over the link, those of one moment the same; none
        overtakes another."""
        now = self._loop.time()
        if now > self._sent_at:
            self._sent_at = now
            self._arrives_at = max(self._arrives_at, now + self._network.latency(self.link))
        self._outbox.append((self._arrives_at, chunk))
        self._out_bytes += len(chunk)
        self._move()

    def _move(self, not_before: float = 0.0) -> None:
        if not self._is_moving and self._outbox and not self._is_reset:
            self._is_moving = True
            due = max(self._outbox[0][0], not_before)
            self._loop.call_at(due, self._arrive, context=NOBODY)

    def _arrive(self) -> None:
        self._is_moving = False
        if self._is_reset:
            return
        if self._network.is_cut(self.link):
            self._send_again()
            return
        self._resend_s, self._stalled_at = RESEND_S, None
        peer = self.peer
        if peer._is_lost or peer._is_reset:
            if any(chunk for _, chunk in self._outbox):  # data for nobody
                self._reset(ConnectionResetError(errno.ECONNRESET, "connection reset by peer"))
            return
        if peer._in_bytes >= KERNEL_BYTES:
            return  # until the other process reads
        arrived = 0
        now = self._loop.time()
        while self._outbox and self._outbox[0][0] <= now:
            chunk = self._outbox.popleft()[1]
            peer._inbox.append(chunk)
            arrived += len(chunk)
        self._out_bytes -= arrived
        peer._in_bytes += arrived
        if self.is_counted:
            self._network.delivered[self.link] += arrived
        self._move()
        waiting = self.get_write_buffer_size()
        if self._is_writing_paused and waiting <= self._low:
            self._is_writing_paused = False
            self._loop.call_soon(self._resume_writing, context=self._context)
        if self._is_closing and not self._is_lost and not waiting:
            self._lose(None)
        peer._take_now()

    def _resume_writing(self) -> None:
        if not self._is_lost:
            self.get_protocol().resume_writing()

    def _send_again(self) -> None:
        """The link is cut: once more later, unless the socket's patience is over."""
        now = self._loop.time()
        if self._stalled_at is None:
            self._stalled_at = now
        patience = self._socket.user_timeout_s
        if patience and now - self._stalled_at >= patience:
            self._reset(TimeoutError(errno.ETIMEDOUT, "connection timed out"))
            return
        self._is_moving = True
        self._loop.call_later(
            min(self._resend_s, patience or RESEND_S_MAX), self._arrive, context=NOBODY
        )
        self._resend_s = min(2 * self._resend_s, RESEND_S_MAX)

    def _take_soon(self) -> None:
        is_ready = self.protocol is not None and not self._is_reading_paused
        if is_ready and self._inbox and not self._take_is_due and not self._is_lost:
            self._take_is_due = True
            self._loop.call_soon(self._take, context=self._context)

    def _take_now(self) -> None:
        """What has just arrived: at once, if the process could read it at this moment."""
        process = self.process
        if self.protocol is None or process.is_stopped or not process.is_alive:
            self._take_soon()
        elif self._inbox and not (self._is_reading_paused or self._take_is_due or self._is_lost):
            self._context.run(self._take)

    def _take(self) -> None:
        """In the process that it is for: what has come."""
        self._take_is_due = False
        if self._is_lost or self._is_reading_paused:
            return
        protocol = cast("asyncio.Protocol", self.protocol)
        has_ended = not self._inbox[-1]
        data = b"".join(self._inbox)
        self._inbox.clear()
        self._in_bytes = 0
        peer = self.peer
        if peer._outbox and not peer._is_moving:  # it learns that there is room again
            peer._move(self._loop.time() + self._network.latency(self.link))
        if data:
            protocol.data_received(data)
        if has_ended and not self._is_lost and not protocol.eof_received():
            self.close()

    def _reset(self, error: Exception | None) -> None:
        """The connection is over, here at once; there when a reset arrives."""
        if self._is_reset:
            return
        self._is_reset = True
        self._outbox.clear()
        self._out_bytes = 0
        self._loop.call_later(self._network.latency(self.link), self._reset_arrives, context=NOBODY)
        self._lose(error)

    def _reset_arrives(self) -> None:
        if not self._network.is_cut(self.link):
            self.peer._reset(ConnectionResetError(errno.ECONNRESET, "connection reset by peer"))

    def _lose(self, error: Exception | None) -> None:
        if not self._is_lost:
            self._is_lost = self._is_closing = True
            self._network.closed(self)
            self._loop.call_soon(self._tell_lost, error, context=self._context)

    def _tell_lost(self, error: Exception | None) -> None:
        if self.protocol is not None:
            self.protocol.connection_lost(error)


NOBODY: Final = Context()
"""What the network does is no process's: none that ends or is stopped keeps it."""
