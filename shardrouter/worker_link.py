"""What the processes that share a router's port say to each other, over an inherited socket.

A *supervisor* starts *workers*, each a whole router with a listening socket of its own on the same
port (SO_REUSEPORT). Between the supervisor and each worker is one connection:

    worker      Ready                       it serves
    either      CancelOf(pid, key)          the client with this pid is another worker's
    supervisor  Ask(number)                 what do you count?
    worker      Told(number, families)

When it ends, its other end has died: a worker then stops, and the supervisor starts another one.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, TypeAlias, cast

import msgspec

from nodes.frames import FrameDecoder, encode_frame
from nodes.metrics import Family
from nodes.protocol import ProtocolError

__all__ = ["Ask", "CancelOf", "Link", "LinkMessage", "Ready", "Told", "open_link"]

UNSENT_BYTES_MAX: Final = 1024 * 1024
"""What the other end has not read before nothing more is said to it: a cancel may get lost, as it
may on the network."""


class Ready(msgspec.Struct, frozen=True, tag=True):
    pass


class CancelOf(msgspec.Struct, frozen=True, tag=True):
    pid: int
    key: bytes


class Ask(msgspec.Struct, frozen=True, tag=True):
    number: int


class Told(msgspec.Struct, frozen=True, tag=True):
    number: int
    families: list[Family]


LinkMessage: TypeAlias = Ready | CancelOf | Ask | Told

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(LinkMessage).decode


class Link(asyncio.Protocol):
    """One end. `heard` gets what the other says, `lost` that it is gone."""

    def __init__(self, heard: Callable[[LinkMessage], None], lost: Callable[[], None]) -> None:
        self._heard = heard
        self._lost = lost
        self._frames = FrameDecoder()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._frames.feed(data):
                self._heard(_decode(frame))
        except (ProtocolError, msgspec.DecodeError):  # another release at the other end
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lost()

    def send(self, message: LinkMessage) -> None:
        transport = self._transport
        if transport is not None and transport.get_write_buffer_size() <= UNSENT_BYTES_MAX:
            transport.write(encode_frame(_encode(message)))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def open_link(
    end: socket.socket, heard: Callable[[LinkMessage], None], lost: Callable[[], None]
) -> Link:
    """Over one end of a socket pair, which is the link's from now on."""
    end.setblocking(False)
    loop = asyncio.get_running_loop()
    _, link = await loop.create_connection(lambda: Link(heard, lost), sock=end)
    return link
