"""The node's port: greets whoever connects, cuts frames, and bounds what one of them may use.

It knows frames and greetings, not what a request means: requests and peers' batches go to a
`Handler`, and only those of who has proved to be of this cluster (`nodes.handshake`). Nothing
that arrives here can stop the node: bytes that are not the protocol, a frame over the limit or a
client that does not read end that one connection, and are logged once per address and while.

Backpressure: a connection with too many unanswered requests, or whose answers are not being
read, is not read from until that changes; TCP then stops the sender. One that still lets its
answers pile up is closed.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import socket
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from functools import partial
from typing import Annotated, Final, Protocol, cast

import msgspec

from nodes.config import Address
from nodes.frames import ITEM_BYTES_MAX, ITEMS_MAX, FrameDecoder, array_frames, encode_frame
from nodes.handshake import NONCE_BYTES, Answering, Arrival
from nodes.protocol import (
    FRAME_BYTES_MAX,
    GREETING_BYTES_MAX,
    Busy,
    Challenge,
    Done,
    Files,
    PeerBatch,
    ProtocolError,
    Refused,
    Request,
    Response,
    ResponseBody,
    SqlFailure,
    Welcome,
)
from nodes.work import Work

__all__ = ["Acquaintances", "Handler", "ListenError", "Server"]

CONNECTIONS_MAX: Final = 1024
"""Connections of one node; more are refused. Below the usual limit of open files."""

GREETING_MAX: Final = 256
"""Connections in the middle of their greeting; of more, the oldest are closed, so that nobody
without the secret can keep the others out by waiting."""

OUTSTANDING_MAX: Final = 4096
"""Unanswered requests of one connection before it is not read any more."""

WRITE_BYTES_HIGH: Final = 1024 * 1024
"""Answers not yet taken by the kernel before the connection is not read any more."""

WRITE_BYTES_MAX: Final = 64 * 1024 * 1024
"""The same before the connection is closed: what was asked for before reading stopped may still
be answered, each with up to ANSWER_BYTES_MAX."""

COUNT_BYTES: Final = 48
"""An answer without rows, at most."""

GREETING_TIMEOUT_S: Final = 10.0
"""A connection that is not welcome by then is closed; it may be a port scan."""

CLOSE_TIMEOUT_S: Final = 1.0
"""How long `drain` waits for answers, and `close` for clients to read them."""

COMPLAINT_EVERY_S: Final = 30.0
"""An address that keeps sending garbage is logged at most this often."""

COMPLAINTS_MAX: Final = 256
"""Addresses remembered for that."""

_log = logging.getLogger(__name__)


class ListenError(Exception):
    """The node cannot listen where it was told; the message is a sentence that says why."""


class Handler(Protocol):
    """What requests and batches go to. Neither call may block or wait."""

    def on_request(self, request: Request, answer: Callable[[ResponseBody], None]) -> Work | None:
        """Call `answer` once, now or later. Returns what can be given up before that, if it can.
        Raises msgspec.DecodeError if the body is none."""

    def on_peer_batch(self, node: str, batch: PeerBatch) -> None:
        """Raft messages from another node."""


class Acquaintances(Protocol):
    """Remembers whose files the other nodes had."""

    def met(self, node: str) -> int:
        """The latest start of `node` that was met; 0: none."""

    def meet(self, node: str, files: Files) -> str:
        """Note, durably, that `node` has these files; or why it must not be listened to."""


class Server:
    """The listening socket and the connections accepted from it."""

    def __init__(
        self,
        *,
        node: str,
        cluster_id: str,
        peers: Collection[str],
        handler: Handler,
        secret: bytes = b"",
        acquaintances: Acquaintances | None = None,
    ) -> None:
        self.node = node
        self.cluster_id = cluster_id
        self.secret = secret
        self.peers = frozenset(peers)
        self.revision = 0  # of the cluster.toml that this node goes by
        self.acquaintances = acquaintances
        self.handler = handler
        self.stopping = False
        self.connections: set[_Connection] = set()
        self.greeting: dict[_Connection, None] = {}  # those not yet welcome, oldest first
        self.answers: defaultdict[type, int] = defaultdict(int)
        """How many left, by their type."""
        self._listener: asyncio.Server | None = None
        self._by_peer: dict[str, _Connection] = {}
        self._complaints: dict[str, float] = {}

    async def listen(self, address: Address) -> Address:
        """Accept connections at `address`. Raises ListenError.

        Without a secret on loopback only: whoever is taken for one of the cluster can read and
        write everything (DESIGN section 11).
        """
        if not self.secret and not _is_loopback(address.host):
            raise ListenError(
                f"node {self.node} will not listen on {address} without a secret: copy "
                "cluster.secret of this cluster beside cluster.toml, or use 127.0.0.1 there."
            )
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(
                lambda: _Connection(self), address.host, address.port, backlog=512
            )
        except OSError as exc:
            why = (
                "the port is in use by another process; stop that one or change the address in "
                "cluster.toml"
                if exc.errno == errno.EADDRINUSE
                else str(exc.strerror or exc)
            )
            raise ListenError(f"node {self.node} cannot listen on {address}: {why}.") from exc
        host, port = self._listener.sockets[0].getsockname()[:2]
        return Address(host, port)

    def refuse_requests(self) -> None:
        """From now on accept no connection and answer requests with Busy."""
        self.stopping = True
        if self._listener is not None:
            self._listener.close()

    async def drain(self) -> None:
        """Return when all requests are answered, or after a short while."""
        await self._wait_for([c.answered for c in self.connections if not c.answered.done()])

    async def close(self) -> None:
        """Send what was answered, and close every connection."""
        self.refuse_requests()
        for connection in self.connections:
            connection.close()
        await self._wait_for([c.closed for c in self.connections])
        leftover = [c.closed for c in self.connections]
        for connection in self.connections:
            connection.abort()
        if leftover:
            await asyncio.wait(leftover)
        if self._listener is not None:
            await self._listener.wait_closed()

    @staticmethod
    async def _wait_for(futures: list[asyncio.Future[None]]) -> None:
        if futures:
            await asyncio.wait(futures, timeout=CLOSE_TIMEOUT_S)

    @property
    def outstanding(self) -> int:
        """Requests that are not answered yet."""
        return sum(connection.outstanding for connection in self.connections)

    def heard(self) -> frozenset[str]:
        """Names of the nodes that are connected to this one."""
        return frozenset(self._by_peer)

    def kinds(self) -> dict[str, int]:
        """How many connections there are of clients, of peers, and not yet greeted."""
        kinds = Counter(connection.kind or "greeting" for connection in self.connections)
        return {kind: kinds[kind] for kind in ("client", "peer", "greeting")}

    def set_peers(self, peers: Collection[str]) -> None:
        """These are the other nodes from now on; hang up on whoever is none of them."""
        self.peers = frozenset(peers)
        for name in self._by_peer.keys() - self.peers:
            self._by_peer[name].abort()

    def accept_peer(self, name: str, connection: _Connection) -> None:
        """A node dials again only when it has given up its last connection, of which this side
        may never hear: a partition delivers no FIN."""
        previous = self._by_peer.get(name)
        self._by_peer[name] = connection
        if previous is not None:
            previous.abort()

    def judge(self, arrival: Arrival) -> str:
        """Why somebody of this cluster is not welcome all the same; empty if he is."""
        if arrival.kind == "client":
            return ""
        if arrival.name not in self.peers:
            return (
                f"node {self.node} knows no node {arrival.name} (its cluster.toml has revision "
                f"{self.revision}, that of {arrival.name} {arrival.revision}); compare them."
            )
        if self.acquaintances is None or arrival.files is None:
            return ""
        return self.acquaintances.meet(arrival.name, arrival.files)

    def forget(self, connection: _Connection) -> None:
        self.connections.discard(connection)
        self.greeting.pop(connection, None)
        for name in [n for n, c in self._by_peer.items() if c is connection]:
            del self._by_peer[name]

    def complain(self, host: str, what: str) -> None:
        """Log what an address did wrong, once per address and while."""
        now = asyncio.get_running_loop().time()
        if now - self._complaints.get(host, -COMPLAINT_EVERY_S) < COMPLAINT_EVERY_S:
            return
        if len(self._complaints) >= COMPLAINTS_MAX:
            self._complaints.clear()
        self._complaints[host] = now
        _log.warning(
            "closed a connection from %s: %s (more from there is not logged for %d s)",
            host,
            what,
            COMPLAINT_EVERY_S,
        )


class _Connection(asyncio.Protocol):
    """One accepted connection, of a client or of a peer."""

    _transport: asyncio.Transport

    _requests = msgspec.msgpack.Decoder(
        Annotated[list[Request], msgspec.Meta(max_length=ITEMS_MAX)]
    )
    _batches = msgspec.msgpack.Decoder(PeerBatch)
    _encoder = msgspec.msgpack.Encoder()

    def __init__(self, server: Server) -> None:
        loop = asyncio.get_running_loop()
        self._server = server
        self._loop = loop
        self._frames = FrameDecoder(GREETING_BYTES_MAX)
        self.kind = ""  # "client" or "peer"; empty until it is welcome
        self._name = ""  # whose connection it is, as its greeting proved
        self._greeting = Answering(
            node=server.node,
            cluster_id=server.cluster_id,
            secret=server.secret,
            nonce=os.urandom(NONCE_BYTES),
            met=_nobody if server.acquaintances is None else server.acquaintances.met,
        )
        self._host = ""
        self.outstanding = 0
        self._works: dict[int, Work] = {}  # that may be given up, by request
        self._answers: list[Response | msgspec.Raw] = []
        self._unread_bytes = 0  # of answers, those in `_answers` included
        self._write_paused = False
        self._read_paused = False
        self._greeting_timer: asyncio.TimerHandle | None = None
        self.answered: asyncio.Future[None] = loop.create_future()
        """Replaced whenever requests are outstanding; done when none is."""
        self.answered.set_result(None)
        self.closed: asyncio.Future[None] = loop.create_future()

    # ------------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BYTES_HIGH)
        self._host = str((transport.get_extra_info("peername") or ("unknown",))[0])
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        server = self._server
        server.connections.add(self)
        if len(server.connections) > CONNECTIONS_MAX or server.stopping:
            self._refuse(f"node {server.node} takes no more connections.")
        else:
            self._greeting_timer = self._loop.call_later(GREETING_TIMEOUT_S, self._no_greeting)
            server.greeting[self] = None
            if len(server.greeting) > GREETING_MAX:
                next(iter(server.greeting)).abort()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._frames.feed(data):
                if self.kind == "client":
                    self._on_requests(self._requests.decode(frame))
                elif self.kind == "peer":
                    self._server.handler.on_peer_batch(self._name, self._batches.decode(frame))
                elif not self._greet(frame):
                    return
        except (ProtocolError, msgspec.DecodeError) as exc:
            what = f"it does not speak the node protocol: {exc}"
            self._server.complain(self._host, what)
            if self.kind:
                self.abort()
            else:
                self._refuse(f"this is the port of a database node, and {what}.")

    def pause_writing(self) -> None:
        self._write_paused = True
        self._balance()

    def resume_writing(self) -> None:
        self._write_paused = False
        self._balance()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._greeting_timer is not None and self._greeting.awaits_proof:
            self._server.complain(
                self._host, "it left without a proof; its cluster.secret may be another one"
            )
        self._cancel_greeting_timer()
        self._server.forget(self)
        self._answers.clear()
        for work in list(self._works.values()):
            work.give_up()
        if not self.answered.done():
            self.answered.set_result(None)
        self.closed.set_result(None)

    # ------------------------------------------------------------------ greeting

    def _greet(self, frame: memoryview) -> bool:
        """Whether to go on reading."""
        server = self._server
        said = self._greeting.receive(frame)
        if isinstance(said, Challenge):
            self._send(said)
            return True
        reason = said.reason if isinstance(said, Refused) else server.judge(said)
        if reason or isinstance(said, Refused):
            server.complain(self._host, reason)
            self._refuse(reason)
            return False
        self.kind, self._name = said.kind, said.name
        self._frames.limit = FRAME_BYTES_MAX
        self._cancel_greeting_timer()
        self._send(Welcome(server.node, server.revision))
        if said.kind == "peer":
            server.accept_peer(said.name, self)
        return True

    def _refuse(self, reason: str) -> None:
        self._cancel_greeting_timer()
        self._send(Refused(reason))
        self._transport.close()

    def _no_greeting(self) -> None:
        self._server.complain(self._host, f"it was not greeted within {GREETING_TIMEOUT_S:g} s")
        self.abort()

    def _cancel_greeting_timer(self) -> None:
        if self._greeting_timer is not None:
            self._greeting_timer.cancel()
            self._greeting_timer = None
            self._server.greeting.pop(self, None)

    def _send(self, message: Challenge | Welcome | Refused) -> None:
        self._transport.write(encode_frame(self._encoder.encode(message)))

    # ------------------------------------------------------------------ requests and answers

    def _on_requests(self, requests: list[Request]) -> None:
        if not requests:
            return
        if self.outstanding == 0:
            self.answered = self._loop.create_future()
        self.outstanding += len(requests)
        if self.outstanding >= OUTSTANDING_MAX:
            self._balance()
        server = self._server
        for request in requests:
            number = request.id
            if request.timeout_ms == 0:
                self.outstanding -= 1
                if number in self._works:
                    self._works[number].give_up()
            elif server.stopping:
                self._answer(number, Busy(f"node {server.node} is stopping"))
            else:
                work = server.handler.on_request(request, partial(self._answer, number))
                if work is not None and not work.is_over:
                    self._works[number] = work

    def _answer(self, number: int, body: ResponseBody) -> None:
        self.outstanding -= 1
        self._server.answers[type(body)] += 1
        if self._works:
            self._works.pop(number, None)
        if self._read_paused:
            self._balance()
        if self._transport.is_closing():
            return
        if not self._answers:  # all answers of this turn of the loop leave in one write
            self._loop.call_soon(self._flush)
            self._unread_bytes = self._transport.get_write_buffer_size()
        if (
            type(body) is Done
            and len(body.results) == 1
            and not body.results[0].rows
            and not body.results[0].values
        ):
            self._answers.append(Response(number, body))
            self._unread_bytes += COUNT_BYTES
        else:
            self._answers.append(self._encoded(number, body))
        if self._unread_bytes > WRITE_BYTES_MAX:
            self._server.complain(self._host, "it does not read its answers")
            self.abort()
        if self.outstanding == 0 and not self.answered.done():
            self.answered.set_result(None)

    def _encoded(self, number: int, body: ResponseBody) -> msgspec.Raw:
        """An answer that may be large: what waits to be sent has to be known."""
        answer = self._encoder.encode(Response(number, body))
        if len(answer) > ITEM_BYTES_MAX:
            failure = SqlFailure("54000", f"the answer is too large: {len(answer)} bytes")
            answer = self._encoder.encode(Response(number, failure))
        self._unread_bytes += len(answer)
        return msgspec.Raw(answer)

    def _flush(self) -> None:
        if not self._answers or self._transport.is_closing():
            return
        answers, self._answers = self._answers, []
        self._transport.write(b"".join(array_frames(answers, self._encoder)))

    def _balance(self) -> None:
        """Read from this connection only while its owner reads and waits for few answers."""
        limit = OUTSTANDING_MAX // 2 if self._read_paused else OUTSTANDING_MAX
        full = self._write_paused or self.outstanding >= limit
        if self._transport.is_closing() or full == self._read_paused:
            return
        self._read_paused = full
        if full:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    # ------------------------------------------------------------------ end

    def close(self) -> None:
        """Send what was answered, then close."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()


def _nobody(_node: str) -> int:
    return 0


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
