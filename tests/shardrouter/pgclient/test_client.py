"""The client against servers that misbehave; tests/process/test_shell.py has the real ones."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import pytest

from shardrouter.pgclient import ConnectError, ConnectionLost, QueryFailed, Target, connect
from shardrouter.pgclient.client import QUEUE_MAX
from shardrouter.pgwire import messages as m
from shardrouter.pgwire.fields import Report

GREETING = (m.Authentication(0), m.BackendKeyData(7, b"keys"), m.ReadyForQuery("I"))


class Peer:
    """One connection, as a server sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def say(self, *messages: m.BackendMessage) -> None:
        self.writer.write(b"".join(map(m.encode, messages)))

    async def startup(self) -> m.StartupPacket:
        size = int.from_bytes(await self.reader.readexactly(4))
        return m.decode_startup(await self.reader.readexactly(size - 4))

    async def hear(self) -> m.FrontendMessage:
        head = await self.reader.readexactly(5)
        body = await self.reader.readexactly(int.from_bytes(head[1:]) - 4)
        message: m.FrontendMessage = m.decode(m.FRONTEND[head[0]], body)
        return message


@asynccontextmanager
async def serving(script: Callable[[Peer], Awaitable[None]]) -> AsyncIterator[tuple[str, int]]:
    """Every connection goes by the script and ends with it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(Peer(reader, writer))
        except asyncio.IncompleteReadError:
            return  # the client has left
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[:2]
    server.close()
    await server.wait_closed()


def target(*addresses: tuple[str, int], sslmode: str = "disable") -> Target:
    return Target(addresses, "u", "p", "d", sslmode, connect_timeout_s=5)


async def greet(peer: Peer) -> None:
    await peer.startup()
    peer.say(*GREETING)


async def test_the_first_host_that_answers_is_taken() -> None:
    async def refuse(peer: Peer) -> None:
        await peer.startup()
        peer.say(m.ErrorResponse(Report("FATAL", "57P03", "starting up")))

    async with serving(refuse) as one, serving(greet) as two:
        client = await connect(target(one, two))
        assert client.address == two
        client.close()
        with pytest.raises(ConnectError, match=r"127\.0\.0\.1:\d+: starting up \(57P03\)"):
            await connect(target(one))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "PostgreSQL"),
        (b"", "closed the connection"),
        (b"N", "TLS"),
    ],
)
async def test_what_is_no_postgresql_is_a_sentence(answer: bytes, why: str) -> None:
    async def other(peer: Peer) -> None:
        await peer.startup()
        peer.writer.write(answer)

    async with serving(other) as address:
        with pytest.raises(ConnectError, match=why):
            await connect(target(address, sslmode="require"))
        if answer != b"N":
            with pytest.raises(ConnectError):
                await connect(target(address))


async def test_words_before_encryption_are_refused() -> None:
    """CVE-2021-23222: they could be anybody's."""

    async def hasty(peer: Peer) -> None:
        await peer.startup()
        peer.writer.write(b"S" + m.encode(m.Authentication(0)))
        await peer.reader.read()

    async with serving(hasty) as address:
        with pytest.raises(ConnectError, match="does not answer as PostgreSQL"):
            await connect(target(address, sslmode="prefer"))


async def test_a_loss_says_whether_the_statement_was_sent() -> None:
    async def one_query(peer: Peer) -> None:
        await greet(peer)
        await peer.hear()
        peer.say(m.ErrorResponse(Report("FATAL", "57P01", "going away")))

    async with serving(one_query) as address:
        client = await connect(target(address))
        with pytest.raises(ConnectionLost, match="going away") as lost:
            await client.rows("SELECT 1")
        assert lost.value.sent
        with pytest.raises(ConnectionLost) as lost:
            await client.rows("SELECT 1")
        assert not lost.value.sent


async def test_a_large_result_is_read_no_faster_than_it_is_taken() -> None:
    row = m.encode(m.DataRow((b"x" * 1000,)))
    written = 0

    async def flood(peer: Peer) -> None:
        nonlocal written
        await greet(peer)
        await peer.hear()
        for _ in range(400):
            peer.writer.write(row * 100)
            await peer.writer.drain()
            written += 100
        peer.say(m.CommandComplete("SELECT 40000"), m.ReadyForQuery("I"))
        await peer.writer.drain()

    async with serving(flood) as address:
        client = await connect(target(address))
        taken = 0
        async with aclosing(client.query("SELECT")) as messages:
            async for message in messages:
                taken += isinstance(message, m.DataRow)
                if taken == 1:
                    for _ in range(2000):  # turns of the loop, in which all could arrive
                        await asyncio.sleep(0)
                    assert len(client._queue) < QUEUE_MAX + 1000  # a read's worth more
        assert taken == written == 40_000
        client.close()


async def test_notices_are_told_and_errors_raised() -> None:
    async def script(peer: Peer) -> None:
        await greet(peer)
        await peer.hear()
        peer.say(
            m.NoticeResponse(Report("NOTICE", "00000", "by the way")),
            m.ErrorResponse(Report("ERROR", "22012", "division by zero")),
            m.ReadyForQuery("E"),
        )
        await peer.hear()

    told: list[str] = []
    async with serving(script) as address:
        client = await connect(target(address), lambda report: told.append(report.message))
        with pytest.raises(QueryFailed, match=r"division by zero \(22012\)"):
            await client.rows("SELECT 1/0")
        assert told == ["by the way"]
        assert client.status == "E"
        client.close()


async def test_cancel_names_the_connection() -> None:
    heard: list[m.StartupPacket] = []

    async def script(peer: Peer) -> None:
        heard.append(await peer.startup())
        if isinstance(heard[-1], m.StartupMessage):
            peer.say(*GREETING)
            await peer.hear()

    async with serving(script) as address:
        client = await connect(target(address))
        await client.cancel()
        assert heard[1:] == [m.CancelRequest(7, b"keys")]
        client.close()


def being(*, standby: bool, read_only: bool, says_so: bool) -> Callable[[Peer], Awaitable[None]]:
    """A server of that kind, which says so with its greeting or when it is asked."""
    greeted = {"in_hot_standby": standby, "default_transaction_read_only": read_only}
    answers = {
        "SELECT pg_is_in_recovery()": b"t" if standby else b"f",
        "SHOW transaction_read_only": b"on" if read_only else b"off",
    }

    async def script(peer: Peer) -> None:
        await peer.startup()
        peer.say(m.Authentication(0), m.BackendKeyData(7, b"keys"))
        if says_so:
            told = [m.ParameterStatus(name, "on" if on else "off") for name, on in greeted.items()]
            peer.say(*told)
        peer.say(m.ReadyForQuery("I"))
        while isinstance(asked := await peer.hear(), m.Query):
            answer = answers[asked.text]
            peer.say(m.DataRow((answer,)), m.CommandComplete("SELECT 1"), m.ReadyForQuery("I"))

    return script


@pytest.mark.parametrize("says_so", [True, False])
@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        ("any", "standby"),
        ("read-write", "writable"),
        ("read-only", "standby"),
        ("primary", "read only"),
        ("standby", "standby"),
        ("prefer-standby", "standby"),
    ],
)
async def test_the_first_host_that_is_what_is_asked_for_is_taken(
    wanted: str, taken: str, says_so: bool
) -> None:
    kinds = {
        "standby": being(standby=True, read_only=True, says_so=says_so),
        "read only": being(standby=False, read_only=True, says_so=says_so),
        "writable": being(standby=False, read_only=False, says_so=says_so),
    }
    async with AsyncExitStack() as stack:
        places = {
            kind: await stack.enter_async_context(serving(script)) for kind, script in kinds.items()
        }
        asked = dataclasses.replace(target(*places.values()), session_attrs=wanted)
        client = await connect(asked)
        assert client.address == places[taken]
        client.close()
        one = dataclasses.replace(target(places["writable"]), session_attrs="read-only")
        with pytest.raises(ConnectError, match="the session is read-write"):
            await connect(one)
        least = dataclasses.replace(one, session_attrs="prefer-standby")
        (await connect(least)).close()
