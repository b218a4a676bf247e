"""Listeners that end without losing whom they have just let in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

__all__ = ["end_listening"]

TURNS: Final = 3
"""In which a connection gets its transport, is told to its protocol, and is let go of by it."""


async def end_listening(servers: Iterable[asyncio.Server]) -> None:
    """Close servers, once all that they have accepted has its protocol.

    asyncio (3.11) makes the transport a turn of the loop after the kernel's accept; a server that
    was closed meanwhile refuses it, and nobody owns the socket. So what listens is left alone
    first, by the loop, and closed after that turn.
    """
    servers = tuple(servers)
    loop = asyncio.get_running_loop()
    for server in servers:
        for listener in server.sockets:
            if (descriptor := listener.fileno()) >= 0:  # a simulated one has none
                loop.remove_reader(descriptor)
    try:
        await asyncio.sleep(0)
    finally:  # also if that is cancelled
        for server in servers:
            server.close()
    for _ in range(TURNS):
        await asyncio.sleep(0)
