"""Reads a page `/metrics`, of this program or of another, in bounded time and memory."""

from __future__ import annotations

import asyncio
from typing import Final

from nodes.config import Address
from nodes.metrics import Samples, read_exposition

__all__ = ["ScrapeError", "scrape"]

PAGE_BYTES_MAX: Final = 16 * 1024 * 1024


class ScrapeError(Exception):
    """There is no page, or it is none; the message is a sentence's end."""


async def scrape(address: Address, timeout_s: float) -> Samples:
    """What the page at `address` says now. Raises ScrapeError."""
    try:
        async with asyncio.timeout(timeout_s):
            page = await _page(address)
        head, _, body = page.partition(b"\r\n\r\n")
        status = head.split(b"\r\n")[0].split(b" ")
        if len(status) < 2 or status[1] != b"200":
            raise ScrapeError(f"{address} answers no /metrics")
        return read_exposition(body.decode())
    except TimeoutError as exc:
        raise ScrapeError(f"{address} does not answer") from exc
    except OSError as exc:
        raise ScrapeError(f"{address}: {exc.strerror or exc}") from exc
    except ValueError as exc:
        raise ScrapeError(f"{address} answers no metrics: {exc}") from exc


async def _page(address: Address) -> bytes:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        request = f"GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        page = bytearray()
        while piece := await reader.read(64 * 1024):
            page += piece
            if len(page) > PAGE_BYTES_MAX:
                raise ScrapeError(f"{address} answers more than {PAGE_BYTES_MAX} bytes")
        return bytes(page)
    finally:
        writer.transport.abort()
