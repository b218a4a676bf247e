"""A router that is one of several processes behind a port; `shardrouter.cli.workers` starts it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from nodes.config import ClusterConfig
from shardrouter.cli.router_process import RouterOptions, Running, running_router
from shardrouter.cli.run import until_stopped
from shardrouter.worker_link import Ask, CancelOf, LinkMessage, Ready, Told, open_link

if TYPE_CHECKING:
    from shardrouter.pgserver.tls import Encryption

__all__ = ["serve_as_worker"]


async def serve_as_worker(
    config: ClusterConfig,
    path: Path,
    options: RouterOptions,
    encryption: Encryption | None,
    descriptor: int,
) -> None:
    """Until SIGTERM, or until the supervisor at the other end of the socket is gone."""
    running: Running | None = None

    def heard(message: LinkMessage) -> None:
        if running is None:
            return
        match message:
            case Ask(number=number):
                link.send(Told(number, running.families()))
            case CancelOf(pid=pid, key=key):
                running.cancel(pid, key)

    def forward(pid: int, key: bytes) -> None:
        link.send(CancelOf(pid, key))

    async with until_stopped() as stop:
        link = await open_link(socket.socket(fileno=descriptor), heard, stop)
        try:
            async with running_router(config, path, options, encryption, forward) as running:
                link.send(Ready())
                await asyncio.Event().wait()
        finally:
            link.close()
