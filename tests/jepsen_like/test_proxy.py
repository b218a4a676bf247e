"""The mesh with real sockets: what a cut holds, what a heal delivers, what is counted."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from typing import cast

import pytest

from jepsen_like.backends.backend import PROBE_SERVICE, Endpoint
from jepsen_like.backends.probe import Prober
from jepsen_like.backends.proxy import Mesh
from jepsen_like.backends.shape import Shape

pytestmark = pytest.mark.processes

WAIT_S = 5.0  # ends a broken test; no passing test waits for it
SILENCE_S = 0.05  # how long nothing has to arrive; loopback needs well under a millisecond


class Service:
    """A server on a host that keeps what it receives and can answer."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.connections: list[asyncio.StreamWriter] = []
        self.ended = 0
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None

    async def start(self) -> Endpoint:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return cast("Endpoint", self._server.sockets[0].getsockname()[:2])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        await self._note()
        try:
            while data := await reader.read(65536):
                self.received += data
                await self._note()
        except ConnectionError:
            pass
        self.ended += 1
        await self._note()

    async def _note(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def until(self, condition: object) -> None:
        assert callable(condition)
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(condition)

    async def close(self) -> None:
        assert self._server is not None
        for writer in self.connections:
            writer.close()
        self._server.close()


class World:
    def __init__(self, mesh: Mesh, service: Service, dial: Endpoint) -> None:
        self.mesh, self.service, self.dial = mesh, service, dial

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.dial)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    mesh, service = Mesh(["a", "b"], instant=True), Service()
    address = await service.start()
    addresses = await mesh.expose("b", "node", address)
    assert set(addresses) == {"a"}
    yield World(mesh, service, addresses["a"])
    await service.close()
    await mesh.close()


async def nothing_from(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(SILENCE_S):
            await reader.read(1)
    except TimeoutError:
        return True
    return False


async def test_an_open_link_carries_both_directions_and_counts_at_the_receiver(
    world: World,
) -> None:
    reader, writer = await world.connect()
    writer.write(b"question")
    await world.service.until(lambda: world.service.received == b"question")
    world.service.connections[0].write(b"answer")
    assert await reader.readexactly(6) == b"answer"
    assert await world.mesh.delivered() == {("a", "b"): 8, ("b", "a"): 6}
    assert world.mesh.links["b", "a"].delivered == {"node": 6}
    writer.close()


async def test_a_cut_holds_an_established_connection_and_the_heal_delivers_in_order(
    world: World,
) -> None:
    reader, writer = await world.connect()
    writer.write(b"1")
    await world.service.until(lambda: world.service.received == b"1")
    await world.mesh.cut([("a", "b"), ("b", "a")])
    writer.write(b"2")
    await writer.drain()
    world.service.connections[0].write(b"held")
    assert await nothing_from(reader)
    assert world.service.received == b"1"
    writer.write(b"3")
    await world.mesh.heal(world.mesh.pairs)
    await world.service.until(lambda: world.service.received == b"123")
    assert await reader.readexactly(4) == b"held"
    writer.close()


async def test_a_one_way_cut_holds_one_direction_only(world: World) -> None:
    reader, writer = await world.connect()
    writer.write(b"1")
    await world.service.until(lambda: world.service.received == b"1")
    await world.mesh.cut([("a", "b")])
    writer.write(b"2")
    world.service.connections[0].write(b"back")
    assert await reader.readexactly(4) == b"back"
    assert world.service.received == b"1"
    await world.mesh.heal([("a", "b")])
    await world.service.until(lambda: world.service.received == b"12")
    writer.close()


@pytest.mark.parametrize("direction", [("a", "b"), ("b", "a")])
async def test_a_new_connection_needs_both_directions(
    world: World, direction: tuple[str, str]
) -> None:
    await world.mesh.cut([direction])
    reader, writer = await world.connect()  # the kernel accepts, as it would for any listener
    writer.write(b"hello")
    assert await nothing_from(reader)
    assert not world.service.connections
    await world.mesh.heal([direction])
    await world.service.until(lambda: world.service.received == b"hello")
    writer.close()


async def test_a_dialer_that_gave_up_during_the_cut_is_never_seen(world: World) -> None:
    await world.mesh.cut([("a", "b")])
    _, abandoned = await world.connect()
    abandoned.write(b"abandoned")
    abandoned.close()
    await abandoned.wait_closed()
    reader, writer = await world.connect()
    assert await nothing_from(reader)  # the loop turns: the proxy sees the end of the first
    await world.mesh.heal(world.mesh.pairs)
    writer.write(b"kept")
    await world.service.until(lambda: bool(world.service.received))
    assert world.service.received == b"kept"
    assert len(world.service.connections) == 1
    writer.close()


async def test_the_end_of_a_connection_is_held_like_its_bytes(world: World) -> None:
    _, writer = await world.connect()
    writer.write(b"1")
    await world.service.until(lambda: world.service.received == b"1")
    await world.mesh.cut([("a", "b"), ("b", "a")])
    writer.write(b"last")
    writer.close()
    await writer.wait_closed()
    reader, other = await world.connect()
    assert await nothing_from(reader)
    assert world.service.ended == 0
    await world.mesh.heal(world.mesh.pairs)
    await world.service.until(lambda: world.service.ended == 1)
    assert world.service.received == b"1last"
    other.close()


async def test_a_closed_connection_closes_on_the_far_side(world: World) -> None:
    reader, writer = await world.connect()
    writer.write(b"x")
    await world.service.until(lambda: world.service.received == b"x")
    world.service.connections[0].close()
    async with asyncio.timeout(WAIT_S):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_half_a_close_leaves_the_other_direction_open(world: World) -> None:
    reader, writer = await world.connect()
    writer.write(b"request")
    writer.write_eof()
    await world.service.until(lambda: world.service.ended == 1)
    world.service.connections[0].write(b"response")
    world.service.connections[0].close()
    async with asyncio.timeout(WAIT_S):
        assert await reader.read() == b"response"
        # both ends have ended, so the proxy closes its own
        while world.mesh.open_sockets:  # noqa: ASYNC110 - each turn of the loop gets it closer
            await asyncio.sleep(0)
    writer.close()


async def test_a_port_without_a_listener_ends_the_connection() -> None:
    mesh, service = Mesh(["a", "b"]), Service()
    address = await service.start()
    await service.close()
    dial = (await mesh.expose("b", "node", address))["a"]
    reader, writer = await asyncio.open_connection(*dial)
    async with asyncio.timeout(WAIT_S):
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()
    await mesh.close()


async def test_a_held_sender_is_stopped_by_back_pressure(world: World) -> None:
    """The proxy buffers a bounded amount; then the sender's own socket fills."""
    _, writer = await world.connect()
    writer.write(b"x")
    await world.service.until(lambda: bool(world.service.received))
    await world.mesh.cut([("a", "b")])
    sent = b"y" * (16 * 1024 * 1024)  # more than the kernel's buffers of both sockets
    writer.write(sent)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SILENCE_S):
            await writer.drain()
    assert (await world.mesh.delivered())["a", "b"] == 1
    assert world.mesh.held_bytes < len(sent) / 4
    await world.mesh.heal([("a", "b")])
    async with asyncio.timeout(WAIT_S):
        await writer.drain()
    await world.service.until(lambda: len(world.service.received) == 1 + len(sent))
    writer.close()


async def test_close_ends_held_and_waiting_connections() -> None:
    mesh, service = Mesh(["a", "b"]), Service()
    dial = (await mesh.expose("b", "node", await service.start()))["a"]
    first_reader, first = await asyncio.open_connection(*dial)
    first.write(b"1")
    await service.until(lambda: service.received == b"1")
    await mesh.cut([("a", "b"), ("b", "a")])
    second_reader, second = await asyncio.open_connection(*dial)
    assert await nothing_from(second_reader)
    await mesh.close()
    for reader in (first_reader, second_reader):
        async with asyncio.timeout(WAIT_S):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
    with pytest.raises(OSError):  # noqa: PT011 - refused, in the words of the platform
        await asyncio.open_connection(*dial)
    first.close()
    second.close()
    await service.close()


# ------------------------------------------------------------------------------ probes


async def test_probes_arrive_on_open_links_and_not_on_cut_ones() -> None:
    mesh = Mesh(["a", "b", "c"])
    async with Prober(mesh) as prober:
        sent = await prober.send(mesh.links)
        assert len(sent) == 3 * len(mesh.links)
        assert await prober.wait_for(sent, WAIT_S) == {s.token for s in sent}

        cut = {("a", "b"), ("b", "a")}
        await mesh.cut(cut)
        sent = await prober.send(mesh.links)
        open_tokens = {s.token for s in sent if s.pair not in cut}
        assert await prober.wait_for([s for s in sent if s.pair not in cut], WAIT_S) == open_tokens
        assert await prober.wait_for([s for s in sent if s.pair in cut], SILENCE_S) == frozenset()

        await mesh.heal(mesh.pairs)
        assert await prober.wait_for(sent, WAIT_S) == {s.token for s in sent}
        assert mesh.links["a", "b"].delivered[PROBE_SERVICE] > 0
        assert not any((await mesh.delivered()).values())  # none of it the database's
    await mesh.close()


async def test_a_long_run_has_no_more_connections_open_than_a_short_one() -> None:
    mesh = Mesh(["a", "b"])
    async with Prober(mesh) as prober:
        standing = len(prober.connections)
        for _ in range(10):
            sent = await prober.send(mesh.links)
            assert await prober.wait_for(sent, WAIT_S) == {s.token for s in sent}
        async with asyncio.timeout(WAIT_S):
            while len(prober.connections) > standing:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0)  # the ends of the last ones are on their way
        assert len(prober.connections) == standing
    await mesh.close()


async def laid(mesh: Mesh) -> None:
    async with Prober(mesh) as prober:
        await prober.lay(mesh.links, 2)


async def stopped_after(turns: int) -> bool:
    """Probes' connections are being laid, and so many turns of the loop later no more."""
    mesh = Mesh(["a", "b"])
    laying = asyncio.ensure_future(laid(mesh))
    for _ in range(turns):
        await asyncio.sleep(0)
    ended = laying.done()
    laying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await laying
    await mesh.close()
    for _ in range(3):
        await asyncio.sleep(0)  # what the kernel had accepted is met, and let go of
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return ended


def test_a_run_that_stops_while_probes_are_being_laid_leaves_nothing() -> None:
    turns = 0
    while not asyncio.run(stopped_after(turns)):
        turns += 1
    assert turns > 20
    gc.collect()  # what was left open says so now: warnings are errors


async def test_a_slow_link_delivers_later_and_in_order(world: World) -> None:
    loop = asyncio.get_running_loop()
    reader, writer = await world.connect()
    writer.write(b"fast ")
    await world.service.until(lambda: world.service.received == b"fast ")

    await world.mesh.shape([("a", "b")], Shape(delay_s=0.05), 0)
    began = loop.time()
    writer.write(b"slow ")
    await world.service.until(lambda: b"slow" in world.service.received)
    assert loop.time() - began >= 0.05
    assert world.mesh.held_bytes == 0

    writer.write(b"first ")
    await asyncio.sleep(0)
    await world.mesh.shape([("a", "b")], Shape(delay_s=0.0), 0)
    writer.write(b"second")
    writer.write_eof()
    await world.service.until(lambda: world.service.ended == 1)
    assert world.service.received == b"fast slow first second"

    began = loop.time()
    await world.mesh.shape([("b", "a")], Shape(delay_s=0.05), 0)
    world.service.connections[0].write(b"back")
    assert await reader.read(4) == b"back"  # the other direction has a delay of its own
    assert loop.time() - began >= 0.05
    writer.close()


async def test_the_end_of_a_connection_is_as_slow_as_what_was_said(world: World) -> None:
    _, writer = await world.connect()
    writer.write(b"x")
    await world.service.until(lambda: world.service.received == b"x")
    await world.mesh.shape([("a", "b")], Shape(delay_s=0.05), 0)
    writer.write(b"last words")
    writer.close()
    await world.service.until(lambda: world.service.ended == 1)
    assert world.service.received == b"xlast words"
    await world.mesh.shape([("a", "b")], Shape(delay_s=0.0), 0)


async def test_a_cut_holds_what_travels_on_a_slow_link(world: World) -> None:
    _, writer = await world.connect()
    writer.write(b"a")
    await world.service.until(lambda: world.service.received == b"a")
    await world.mesh.shape([("a", "b")], Shape(delay_s=0.01), 0)
    writer.write(b"b")
    await asyncio.sleep(0)
    await world.mesh.cut([("a", "b")])
    await asyncio.sleep(SILENCE_S)
    assert world.service.received == b"a"
    await world.mesh.heal([("a", "b")])
    await world.service.until(lambda: world.service.received == b"ab")
    writer.close()
