"""The way out to the other nodes: one connection to each, for the messages of all groups.

Raft tolerates loss, delay and repetition, so this module never waits and never promises: what
cannot be sent now is dropped. It knows envelopes and addresses, not what a message means.

Each node dials each other one and only sends on the connections it dialed; so one connection
carries one direction, and a cut of one direction is what it would be on a real network.

A connection without progress is closed and dialed anew. After a partition the kernel would
retransmit on the old one with doubled pauses, and a cut of ten seconds would heal ten seconds
late; unsent and unacknowledged bytes are a sign of that which needs no answer from the peer.
Where something in between acknowledges for it (a proxy, a service mesh), the kernel sees no such
sign: there it is one that the peer, which was heard, has fallen silent. That is worth one new
connection, and no more of them until it has been heard again: its silence may have other causes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, cast

import msgspec

from nodes.config import Address
from nodes.frames import FrameDecoder, encode_frame
from nodes.handshake import Dialing
from nodes.protocol import (
    FRAME_BYTES_MAX,
    GREETING_BYTES_MAX,
    Beat,
    Envelope,
    Hello,
    PeerBatch,
    Proof,
    ProtocolError,
    Refused,
    Welcome,
)

__all__ = ["Peers"]

PEER_BYTES_MAX: Final = 16 * 1024 * 1024
"""Bytes for one peer that the kernel has not taken; beyond it messages are dropped."""

REDIAL_MIN_S: Final = 0.05
REDIAL_MAX_S: Final = 0.2
"""Pause between two dials, jittered. Short: a healed partition ends only with a new dial."""

COMPLAINT_AFTER_S: Final = 3.0
"""A peer that cannot be reached for so long is logged, once per outage."""

UNKNOWN_MAX: Final = 64
"""Names that no node is known by, each logged once."""

_log = logging.getLogger(__name__)


class Peers:
    """Connections to all other nodes of the cluster.

    `greeting(node)` begins one with that node; `welcomed` is told the revision of a node's
    cluster.toml when it has ended well. `no_progress_s` is how long sent bytes may stay
    unacknowledged, how long a peer may be silent, and how long a dial may take: about two
    election timeouts, after which the group has elected around the loss anyway.
    """

    def __init__(
        self,
        *,
        addresses: Mapping[str, Address],
        greeting: Callable[[str], Dialing],
        rng: random.Random,
        no_progress_s: float,
        welcomed: Callable[[str, int], None] = lambda _node, _revision: None,
    ) -> None:
        self._greeting = greeting
        self._welcomed = welcomed
        self._rng = rng
        self._no_progress_s = no_progress_s
        self._addresses = dict(addresses)
        self._links: dict[str, _Link] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._unknown: set[str] = set()
        self._encoder = msgspec.msgpack.Encoder()
        self._started = False

    def start(self) -> None:
        """Begin to dial, and go on for ever."""
        self._started = True
        for name in self._addresses:
            self._begin(name)

    def set_addresses(self, addresses: Mapping[str, Address]) -> None:
        """These are the other nodes from now on: dial whoever is new or has moved, hang up on
        whoever is gone."""
        old, self._addresses = self._addresses, dict(addresses)
        if not self._started:
            return
        for name in old.keys() | addresses.keys():
            if old.get(name) != addresses.get(name):
                self._end(name)
                if name in addresses:
                    self._unknown.discard(name)
                    self._begin(name)

    def _begin(self, name: str) -> None:
        link = _Link(
            name,
            self._addresses[name],
            partial(self._greeting, name),
            self._rng,
            self._no_progress_s,
            partial(self._welcomed, name),
        )
        self._links[name] = link
        self._tasks[name] = asyncio.get_running_loop().create_task(link.keep_connected())

    def _end(self, name: str) -> None:
        if self._links.pop(name, None) is not None:
            task = self._tasks.pop(name)
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
            task.cancel()

    def send(self, node: str, envelopes: Sequence[Envelope]) -> None:
        """Hand `envelopes` to the kernel, in one write, before this call returns; or drop them."""
        link = self._links.get(node)
        if link is None:
            self._complain(node)
        elif link.open:
            link.write(b"".join(self._frames(tuple(envelopes))))

    def beat(self, beat: Beat) -> None:
        """Send a heartbeat to every node that is connected."""
        frame = encode_frame(self._encoder.encode(PeerBatch((), beat)))
        for link in self._links.values():
            if link.open:
                link.write(frame)
                link.hang_up_if_silent()

    def heard(self, node: str) -> None:
        """Something has come from `node`, on a connection that it has dialed."""
        link = self._links.get(node)
        if link is not None:
            link.heard()

    def _complain(self, node: str) -> None:
        if node not in self._unknown and len(self._unknown) < UNKNOWN_MAX:
            self._unknown.add(node)
            _log.warning(
                "there are messages for node %s, which this node does not know; "
                "compare their cluster.toml (they are dropped)",
                node,
                extra={"node": node},
            )

    def _frames(self, envelopes: tuple[Envelope, ...]) -> list[bytes]:
        payload = self._encoder.encode(PeerBatch(envelopes))
        if len(payload) <= FRAME_BYTES_MAX or len(envelopes) == 1:
            return [encode_frame(payload)]
        half = len(envelopes) // 2
        return self._frames(envelopes[:half]) + self._frames(envelopes[half:])

    def connected(self) -> frozenset[str]:
        """Names of the nodes that have welcomed this one."""
        return frozenset(name for name, link in self._links.items() if link.open)

    def refusals(self) -> dict[str, str]:
        """The nodes that do not listen to this one, and why. Only what a node says that has
        proved to be of this cluster."""
        return {name: link.refusal for name, link in self._links.items() if link.refusal}

    async def close(self) -> None:
        for name in list(self._links):
            self._end(name)
        if self._ending:
            await asyncio.wait(set(self._ending))


class _Link:
    """The way to one peer, through one connection after another."""

    def __init__(
        self,
        name: str,
        address: Address,
        greeting: Callable[[], Dialing],
        rng: random.Random,
        no_progress_s: float,
        welcomed: Callable[[int], None],
    ) -> None:
        self._name = name
        self._welcomed = welcomed
        self._address = address
        self._greeting = greeting
        self.refusal = ""
        self._rng = rng
        self._no_progress_s = no_progress_s
        self._connection: _Connection | None = None

    @property
    def open(self) -> bool:
        return self._connection is not None

    def write(self, data: bytes) -> None:
        assert self._connection is not None
        self._connection.write(data)

    def heard(self) -> None:
        if self._connection is not None:
            self._connection.heard_at = self._connection.loop.time()

    def hang_up_if_silent(self) -> None:
        connection = self._connection
        if connection is not None and connection.heard_at is not None:
            silence = connection.loop.time() - connection.heard_at
            if silence > self._no_progress_s:
                connection.transport.abort()

    async def keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        lost_at = loop.time()
        complained = False
        told = ""
        while True:
            reason = await self._connect_until_lost(after_outage=complained)
            now = loop.time()
            if not reason:  # it was connected until now
                lost_at, complained = now, False
            elif self.refusal:
                if self.refusal != told:
                    _log.warning(
                        "node %s does not listen to this node: %s",
                        self._name,
                        reason,
                        extra={"node": self._name},
                    )
            elif not complained and now - lost_at > COMPLAINT_AFTER_S:
                complained = True
                _log.warning(
                    "cannot reach node %s at %s (still trying; check that it runs): %s",
                    self._name,
                    self._address,
                    reason,
                    extra={"node": self._name},
                )
            told = self.refusal
            await asyncio.sleep(self._rng.uniform(REDIAL_MIN_S, REDIAL_MAX_S))

    async def _connect_until_lost(self, *, after_outage: bool) -> str:
        """Why no connection came about; empty after one did, once it has been lost."""
        loop = asyncio.get_running_loop()
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(self._no_progress_s):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self._greeting(), self._no_progress_s),
                    self._address.host,
                    self._address.port,
                )
                reason = await connection.welcome
            self.refusal = reason if connection.is_refused else ""
            if reason:
                return reason
            if after_outage:
                _log.warning("node %s is reachable again", self._name, extra={"node": self._name})
            self._connection = connection
            self._welcomed(connection.revision)
            await asyncio.wait({connection.closed})
        except TimeoutError:
            return f"no answer within {self._no_progress_s:g} s"
        except OSError as exc:
            return str(exc)
        finally:
            self._connection = None
            if connection is not None and not connection.closed.done():
                connection.transport.abort()
                await asyncio.wait({connection.closed})
        return ""


class _Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, greeting: Dialing, no_progress_s: float) -> None:
        self.loop = loop = asyncio.get_running_loop()
        self.heard_at: float | None = None  # from the peer, since this connection was made
        self._greeting = greeting
        self._no_progress_s = no_progress_s
        self._frames = FrameDecoder(GREETING_BYTES_MAX)
        self._descriptor = -1
        self._given = 0  # bytes handed over to the transport, ever
        self._taken = 0  # of these, bytes that the kernel had taken when last looked at
        self._taken_at = loop.time()
        self.welcome: asyncio.Future[str] = loop.create_future()
        """Empty, or the reason why the peer did not welcome this connection."""
        self.revision = 0  # of the peer's cluster.toml, when it is welcome
        self.is_refused = False  # by a node that has proved to be of this cluster
        self.closed: asyncio.Future[None] = loop.create_future()
        """To be waited for by asyncio.wait, which leaves it alone when the waiter is cancelled."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        sock: socket.socket = transport.get_extra_info("socket")
        self._descriptor = sock.fileno()
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; elsewhere only `write` notices
            sock.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._no_progress_s * 1000)
            )
        self._send(self._greeting.hello)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._frames.feed(data):
                if self.welcome.done():
                    raise ProtocolError("it speaks, where it should only listen")
                self._greet(self._greeting.receive(frame))
        except ProtocolError as exc:
            if not self.welcome.done():
                self.welcome.set_result(f"it does not speak the node protocol: {exc}")
            self.transport.abort()

    def _greet(self, said: Proof | Welcome | Refused) -> None:
        if isinstance(said, Proof):
            self._send(said)
        elif isinstance(said, Refused):
            self.is_refused = self._greeting.is_proven
            self.welcome.set_result(said.reason)
        else:
            self.revision = said.revision
            self.welcome.set_result("")

    def _send(self, message: Hello | Proof) -> None:
        data = encode_frame(msgspec.msgpack.encode(message))
        self._given += len(data)
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._descriptor = -1  # its number may soon be another file's
        if not self.welcome.done():
            self.welcome.set_result(str(exc or "it closed the connection"))
        self.closed.set_result(None)

    def write(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        waiting = self.transport.get_write_buffer_size()
        if waiting:
            taken = self._given - waiting
            now = self.loop.time()
            if taken > self._taken:
                self._taken, self._taken_at = taken, now
            elif now - self._taken_at > self._no_progress_s:
                self.transport.abort()
                return
            if waiting + len(data) > PEER_BYTES_MAX:
                return
        else:
            self._taken, self._taken_at = self._given, self.loop.time()
            if self._descriptor >= 0:
                data = data[self._write_now(data) :]
        if data:
            self._given += len(data)
            self.transport.write(data)

    def _write_now(self, data: bytes) -> int:
        """Bytes that the kernel took. uvloop's transports write at the end of the turn, which is
        after the fsync that these bytes should overlap."""
        try:
            return os.write(self._descriptor, data)
        except OSError:  # the buffer is full, or the transport will find out what is wrong
            return 0
