"""A server that records, clients and peers of it, and a node that never answers."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

import msgspec

from nodes.client import (
    NodeClient,
)
from nodes.config import Address
from nodes.frames import FrameDecoder, encode_frame
from nodes.handshake import NONCE_BYTES, Answering, Arrival, Dialing
from nodes.peers import Peers
from nodes.protocol import (
    Done,
    Envelope,
    Files,
    OpenSession,
    PeerBatch,
    Request,
    ResponseBody,
    StatementResult,
    Welcome,
)
from nodes.raft.messages import AppendRequest, LogEntry
from nodes.server import Server
from nodes.work import Work

ANY_PORT = Address("127.0.0.1", 0)
CLUSTER = "c-1"
OPEN = msgspec.Raw(msgspec.msgpack.encode(OpenSession("r")))
SECRET = bytes(range(32))
NO_PROGRESS_S = 0.5


class Recorder:
    """Answers `group` "echo" at once, keeps the others' answers for the test to give; those of
    "work" may be given up."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.held: list[Callable[[ResponseBody], None]] = []
        self.given_up: list[Work] = []
        self.batches: list[PeerBatch] = []
        self.senders: set[str] = set()
        self.changed = asyncio.Event()

    def on_request(self, request: Request, answer: Callable[[ResponseBody], None]) -> Work | None:
        self.requests.append(request)
        if request.group == "echo":
            answer(Done((), request.timeout_ms))
        elif request.group == "huge":
            answer(Done((StatementResult(1, bytes(9_000_000)),), 1))
        elif request.group == "work":
            work = Work(answer)
            work.ends_by(partial(self._give_up, work))
            self.held.append(work.answer)
            self.changed.set()
            return work
        else:
            self.held.append(answer)
        self.changed.set()
        return None

    def _give_up(self, work: Work) -> None:
        self.given_up.append(work)
        work.answer(work.ended())
        self.changed.set()

    def on_peer_batch(self, node: str, batch: PeerBatch) -> None:
        self.senders.add(node)
        self.batches.append(batch)
        self.changed.set()

    def holds(self, count: int) -> bool:
        return len(self.held) >= count

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def serving(
    recorder: Recorder, address: Address = ANY_PORT, secret: bytes = b""
) -> AsyncIterator[tuple[Server, Address]]:
    server = Server(node="n1", cluster_id=CLUSTER, secret=secret, peers={"n2"}, handler=recorder)
    try:
        yield server, await server.listen(address)
    finally:
        await server.close()


@asynccontextmanager
async def connecting(
    address: Address, cluster_id: str = CLUSTER, secret: bytes = b""
) -> AsyncIterator[NodeClient]:
    client = NodeClient(address, cluster_id=cluster_id, name="test", secret=secret)
    try:
        yield client
    finally:
        await client.close()


class Unresponsive(asyncio.Protocol):
    """Greets, and then says nothing; `deaf`: does not even read."""

    def __init__(self, connections: asyncio.Queue[Unresponsive], *, deaf: bool) -> None:
        self._connections = connections
        self._deaf = deaf
        self._frames = FrameDecoder()
        self._greeting: Answering | None = Answering(
            node="n1", cluster_id=CLUSTER, secret=b"", nonce=os.urandom(NONCE_BYTES)
        )
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for frame in self._frames.feed(data):
            if self._greeting is not None:
                said = self._greeting.receive(frame)
                answer = Welcome("n1") if isinstance(said, Arrival) else said
                self.transport.write(encode_frame(msgspec.msgpack.encode(answer)))
                if isinstance(said, Arrival):
                    self._greeting = None
                    if self._deaf:
                        self.transport.pause_reading()
                    self._connections.put_nowait(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    async def close(self) -> None:
        self.transport.abort()
        await self.lost.wait()


@asynccontextmanager
async def unresponsive_node(
    *, deaf: bool
) -> AsyncIterator[tuple[Address, asyncio.Queue[Unresponsive]]]:
    connections: asyncio.Queue[Unresponsive] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Unresponsive(connections, deaf=deaf), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server:
        yield Address(host, port), connections
        while not connections.empty():
            await connections.get_nowait().close()


def envelope(round_: int, size: int = 0) -> Envelope:
    entries = (LogEntry(1, bytes(size)),) if size else ()
    return Envelope("g", AppendRequest(1, 2, 1, 0, 0, 0, round_, entries))


@asynccontextmanager
async def peers_of(address: Address, node: str = "n2", secret: bytes = b"") -> AsyncIterator[Peers]:
    def greeting(_to: str) -> Dialing:
        return Dialing(
            kind="peer",
            name=node,
            cluster_id=CLUSTER,
            secret=secret,
            nonce=os.urandom(NONCE_BYTES),
            files=lambda _met: Files("d", 1, b"1"),
        )

    peers = Peers(
        addresses={"n1": address},
        greeting=greeting,
        rng=random.Random(7),
        no_progress_s=NO_PROGRESS_S,
    )
    peers.start()
    try:
        yield peers
    finally:
        await peers.close()


async def sent_until_received(peers: Peers, recorder: Recorder, message: Envelope) -> None:
    """What is sent while there is no connection is dropped: so send until it arrives."""
    async with asyncio.timeout(10):
        while not any(message in batch.envelopes for batch in recorder.batches):
            if peers.connected():
                peers.send("n1", [message])
            await asyncio.sleep(0.005)
