"""A PostgreSQL client that says exactly what a test wants said, message by message."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

from nodes.config import Address
from shardrouter.pgwire import messages as m

START = m.StartupMessage(3, 0, (("user", "u"), ("database", "shardrouter")))


class WireClient:
    """`async with WireClient(address) as client`: connected, nothing said yet."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def __aenter__(self) -> WireClient:
        self.reader, self.writer = await asyncio.open_connection(
            self._address.host, self._address.port
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            if error is None and self.writer.transport.get_write_buffer_size():
                raise

    def send(self, *messages: m.FrontendMessage | m.StartupPacket) -> None:
        self.writer.write(b"".join(map(m.encode, messages)))

    async def receive(self) -> Any:
        """The next message of the server, None at the end."""
        try:
            head = await self.reader.readexactly(5)
            body = await self.reader.readexactly(int.from_bytes(head[1:]) - 4)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return None
        return m.decode(m.BACKEND[head[0]], body)

    async def until(self, kind: type[Any]) -> list[Any]:
        """Messages up to and including the first of `kind`, or to the end."""
        found = []
        while (message := await self.receive()) is not None:
            found.append(message)
            if isinstance(message, kind):
                break
        return found

    async def ask(self, *messages: m.FrontendMessage) -> list[Any]:
        """Say this, and return what is answered before ReadyForQuery."""
        self.send(*messages)
        found = await self.until(m.ReadyForQuery)
        assert found, "the server closed the connection"
        assert found.pop() == m.ReadyForQuery("I")
        return found

    async def query(self, text: str) -> list[Any]:
        return await self.ask(m.Query(text))

    async def start(self, **parameters: str) -> dict[str, str]:
        """Say who we are; returns the settings the server tells."""
        self.send(
            m.StartupMessage(
                3, 0, (("user", "u"), ("database", "shardrouter"), *parameters.items())
            )
        )
        said = await self.until(m.ReadyForQuery)
        assert said[-1] == m.ReadyForQuery("I"), said
        return {s.name: s.value for s in said if isinstance(s, m.ParameterStatus)}


def texts(messages: list[Any]) -> list[tuple[bytes | None, ...]]:
    """The rows among `messages`."""
    return [message.values for message in messages if isinstance(message, m.DataRow)]


def kinds(messages: list[Any]) -> list[str]:
    return [type(message).__name__ for message in messages]


def sqlstates(messages: list[Any]) -> list[str]:
    return [x.report.sqlstate for x in messages if isinstance(x, m.ErrorResponse)]
