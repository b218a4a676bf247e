"""What a cached one-shard statement costs the router in Python: no socket, no node, no driver.

    python -m bench.hot_path            [--clients 16] [--turns 300] [--rounds 7]

Clients whose bytes are made beforehand send a prepared statement each (Bind, Execute, Sync); a node
whose answers are made beforehand answers all of a turn in one frame. Between the two is the whole
router: pgwire, pgserver, session, delivery, the node's client. The same without a session behind
the wire (`bench.bare_wire`) takes turns with it. What is measured is the CPU of the process while
bytes go in, less that of what stands for client and node. The calls of Python functions for each
statement are the same on every machine.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from types import FrameType
from typing import Any, Final, cast

import click
import msgspec

from bench.bare_wire import FixedSession
from bench.machine import commit, machine
from nodes.frames import FrameDecoder, array_frames, encode_frame
from nodes.handshake import NONCE_BYTES, Answering
from nodes.local_cluster import new_cluster_config
from nodes.protocol import (
    Challenge,
    Done,
    GetStatus,
    Opened,
    OpenSession,
    OutputColumn,
    Request,
    RequestBody,
    Response,
    ResponseBody,
    SessionId,
    StatementResult,
    Status,
    Welcome,
)
from nodes.values import SLOTS, TEXT, encode_data_rows
from shardrouter.catalog import Catalog, Column, Table
from shardrouter.catalogs.asking import Catalogs
from shardrouter.finishing import Finishing
from shardrouter.pgserver import PgServer
from shardrouter.pgserver.client import Client
from shardrouter.pgserver.dialogue import Session as WireSession
from shardrouter.pgwire import messages as m
from shardrouter.plan_cache import PlanCache
from shardrouter.role_store import RoleStore
from shardrouter.roles import Role
from shardrouter.schema import Schema
from shardrouter.session import Backend, Session
from shardrouter.shards import Shards
from shardrouter.tasks import Tasks

__all__ = ["SQL", "Bench", "KnownSchema", "MemoryLoop", "Node", "run", "served"]

SQL: Final = {
    "select": "SELECT val FROM bench WHERE id = $1",
    "insert": "INSERT INTO bench (id, val) VALUES ($1, $2)",
    "update": "UPDATE bench SET val = $2 WHERE id = $1",
}
_READY: Final = m.encode(m.ReadyForQuery("I"))
_BOUND: Final = m.encode(m.BindComplete())
_STEPS_MAX: Final = 100_000
"""Turns of the loop after which nothing more is expected."""
_VALUE: Final = "v" * 96
_ROW: Final = encode_data_rows([(_VALUE,)], (OutputColumn(TEXT, True),))
_SELECTED: Final = Done((StatementResult(1, _ROW),), 1)
_WRITTEN: Final = Done((StatementResult(1),), 1)

_requests: Final = msgspec.msgpack.Decoder(list[Request])
_bodies: Final = msgspec.msgpack.Decoder(RequestBody)
_encoder: Final = msgspec.msgpack.Encoder()


class _Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.protocol: asyncio.Protocol | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def taken(self) -> bytes:
        data = b"".join(self.written)
        self.written.clear()
        return data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def is_closing(self) -> bool:
        return False

    def is_reading(self) -> bool:
        return True

    def close(self) -> None: ...

    def abort(self) -> None:
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connection_lost(None)


class Node:
    """Stands for a node at the other end of the router's connection."""

    def __init__(self) -> None:
        self._frames = FrameDecoder()
        self._greeting = Answering(
            node="n1", cluster_id="bench", secret=b"", nonce=b"n" * NONCE_BYTES, met=lambda _: 0
        )
        self._welcome = False
        self.transport = _Transport()

    def hear(self, said: bytes) -> None:
        """Let the router have what was said."""
        if self.transport.protocol is not None:
            self.transport.protocol.data_received(said)

    def answer(self) -> bytes:
        """What it says to all that was written to it."""
        said: list[bytes] = []
        for frame in self._frames.feed(self.transport.taken()):
            if not self._welcome:
                greeted = self._greeting.receive(frame)
                self._welcome = not isinstance(greeted, Challenge)
                answer = Welcome("n1") if self._welcome else greeted
                said.append(encode_frame(_encoder.encode(answer)))
                continue
            responses = [Response(r.id, self._of(r)) for r in _requests.decode(frame)]
            said += array_frames(responses, _encoder)
        return b"".join(said)

    @staticmethod
    def _of(request: Request) -> ResponseBody:
        body = _bodies.decode(request.body)
        if isinstance(body, GetStatus):
            return Status("n1", 1, ())
        if isinstance(body, OpenSession):
            return Opened(SessionId(1, 1))
        return _SELECTED if type(body).__name__ == "Read" else _WRITTEN


class MemoryLoop(asyncio.SelectorEventLoop):
    """Whoever dials finds `node`."""

    node: Node

    async def create_connection(
        self, protocol_factory: Callable[[], Any], *_: Any, **__: Any
    ) -> Any:
        protocol = protocol_factory()
        self.node.transport.protocol = protocol
        self.call_soon(protocol.connection_made, self.node.transport)
        return self.node.transport, protocol


class KnownSchema:
    """The catalog is what it is."""

    sequences = None

    def __init__(self) -> None:
        table = Table(
            "bench", 1, (Column("id", "bigint", True), Column("val", "text")), ("id",), "id"
        )
        self.catalog = Catalog(
            1, {"bench": table}, ("shard-1",), (0,) * SLOTS, (1,) * SLOTS, "shard-1"
        )


class Bench:
    """Some clients of one server, ready to send."""

    def __init__(self, sessions: Callable[[Role], WireSession], clients: int) -> None:
        self._server = PgServer(sessions, host="127.0.0.1", port=0)
        self._clients: list[tuple[Client, _Transport]] = []
        self._count = clients
        self._node = cast("MemoryLoop", asyncio.get_running_loop()).node

    async def open(self) -> None:
        startup = m.encode(m.StartupMessage(3, 0, (("user", "bench"), ("database", "shardrouter"))))
        parses = [m.encode(m.Parse(kind, sql, ())) for kind, sql in SQL.items()]
        for _ in range(self._count):
            client, transport = self._server.accept(), _Transport()
            self._clients.append((client, transport))
            client.connection_made(transport)
            await self._say(startup, client, transport)
            await self._say(b"".join(parses) + m.encode(m.Sync()), client, transport)

    @staticmethod
    async def _say(data: bytes, client: Client, transport: _Transport) -> None:
        client.data_received(data)
        said = b""
        for _ in range(_STEPS_MAX):
            await asyncio.sleep(0)
            said += transport.taken()
            if said.endswith(_READY):
                return
        raise AssertionError(said)

    async def close(self) -> None:
        for client, _ in self._clients:
            client.connection_lost(None)
        await self._server.close(1)

    async def turn(
        self, kind: str, key: int, begin: Callable[[], None], end: Callable[[], None]
    ) -> None:
        """One statement of each client; between `begin` and `end` nothing but the server runs."""
        values: tuple[bytes, ...] = (struct.pack(">q", key),)
        if kind != "select":
            values = (*values, _VALUE.encode())
        bind = m.encode(m.Bind("", kind, (1,), values, (1,)))
        message = bind + m.encode(m.Execute("", 0)) + m.encode(m.Sync())
        begin()
        for client, _ in self._clients:
            client.data_received(message)
        await asyncio.sleep(0)
        end()
        while self._node.transport.written:
            said = self._node.answer()
            begin()
            self._node.hear(said)
            await asyncio.sleep(0)
            end()
        for _, transport in self._clients:
            answer = transport.taken()
            steps = 0
            while not answer.endswith(_READY):  # the first ones look for a leader, or a session
                await asyncio.sleep(0)
                self._node.hear(self._node.answer())
                answer += transport.taken()
                steps += 1
                assert steps < _STEPS_MAX, answer
            assert answer.startswith(_BOUND), answer

    async def cpu_us(self, kind: str, turns: int) -> float:
        """CPU of a statement."""
        spent = began = 0.0

        def begin() -> None:
            nonlocal began
            began = time.process_time()

        def end() -> None:
            nonlocal spent
            spent += time.process_time() - began

        for key in range(turns):
            await self.turn(kind, key, begin, end)
        return spent / turns / self._count * 1e6

    async def calls(self, kind: str, turns: int = 20) -> float:
        """Calls of Python functions for a statement, but for those of the event loop."""
        count = 0

        def look(frame: FrameType, event: str, _arg: object) -> None:
            nonlocal count
            if event == "call":
                module = str(frame.f_globals.get("__name__"))
                if module != __name__ and not module.startswith("asyncio"):
                    count += 1

        def begin() -> None:
            sys.setprofile(look)

        def end() -> None:
            sys.setprofile(None)

        await self.turn(kind, 0, lambda: None, lambda: None)
        for key in range(turns):
            await self.turn(kind, key, begin, end)
        return round(count / turns / self._count, 1)


@asynccontextmanager
async def served(clients: int) -> AsyncIterator[tuple[Bench, Bench]]:
    """Clients of a router, and of the bare wire; in a `MemoryLoop`."""
    loop = cast("MemoryLoop", asyncio.get_running_loop())
    loop.node = Node()
    placement = {group: ["n1"] for group in ("meta", "shard-1")}
    config = new_cluster_config(placement=placement, ports=[1], router_port=2)
    config = replace(config, cluster_id="bench")
    shards, tasks = Shards(config, name="bench", rng=random.Random(1)), Tasks()
    schema = cast("Schema", KnownSchema())
    roles = RoleStore(shards, b"")
    catalogs = Catalogs(schema, roles)
    finishing = Finishing(random.Random(1))
    backend = Backend(shards, schema, tasks, PlanCache(), roles, catalogs, finishing)
    router = Bench(lambda role: Session(backend, role), clients)
    bare = Bench(FixedSession, clients)
    try:
        await router.open()
        await bare.open()
        yield router, bare
    finally:
        await router.close()
        await bare.close()
        await shards.close()
        await tasks.wait()


async def _measure(clients: int, turns: int, rounds: int) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    async with served(clients) as (router, bare):
        for kind in SQL:
            # The bare server answers the select, whatever it is asked.
            calls = {"calls": await router.calls(kind), "bare_calls": await bare.calls("select")}
            over, of_router, of_bare = [], [], []
            for _ in range(rounds):
                of_bare.append(await bare.cpu_us("select", turns))
                of_router.append(await router.cpu_us(kind, turns))
                over.append(of_router[-1] - of_bare[-1])
            figures[kind] = calls | {
                "cpu_us": round(statistics.median(of_router), 1),
                "bare_cpu_us": round(statistics.median(of_bare), 1),
                "over_bare_us": round(statistics.median(over), 1),
            }
    return figures


def run(clients: int, turns: int, rounds: int) -> dict[str, Any]:
    """For each kind of statement what it costs, beside the bare wire."""
    with asyncio.Runner(loop_factory=MemoryLoop) as runner:
        return runner.run(_measure(clients, turns, rounds))


@click.command()
@click.option("--clients", default=16)
@click.option("--turns", default=300)
@click.option("--rounds", default=7)
def main(clients: int, turns: int, rounds: int) -> None:
    figures = run(clients, turns, rounds)
    click.echo(json.dumps({"commit": commit(), **machine(), "clients": clients, **figures}))


if __name__ == "__main__":
    main()
