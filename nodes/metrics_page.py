"""The page `/metrics`: a listening socket of its own, for whoever scrapes.

HTTP as far as that needs it: one GET or HEAD for each connection, answered and closed. What it
answers has no data of the tables in it, but names of groups and nodes; there is no password, so it
listens where it is told to, on loopback unless an address is named. Whatever comes is bounded in
bytes and time, and how many may come at once as well.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Final, Self

from nodes.config import Address
from nodes.metrics import CONTENT_TYPE, Family, exposition

__all__ = ["MetricsPage", "MetricsUnavailable"]

HEAD_BYTES_MAX: Final = 8 * 1024
"""Of a request's line and headers."""

REQUEST_TIMEOUT_S: Final = 5.0
"""For all of a request and the reading of its answer."""

CONNECTIONS_MAX: Final = 16
"""At once; one more is closed."""

_END_OF_HEAD: Final = b"\r\n\r\n"

_log = logging.getLogger(__name__)


class MetricsUnavailable(OSError):
    """The page cannot listen where it was told; the message is a sentence that says why."""


class MetricsPage:
    """Answers `GET /metrics` at `address` with what `gather` gives, while the context lasts.

    async with MetricsPage(Address("127.0.0.1", 9434), gather) as page:
        print(page.address)
    """

    def __init__(self, address: Address, gather: Callable[[], Awaitable[Iterable[Family]]]) -> None:
        self.address = address
        self._gather = gather
        self._listener: asyncio.Server | None = None
        self._answering: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Raises MetricsUnavailable."""
        address = self.address
        try:
            self._listener = await asyncio.start_server(
                self._accept, address.host, address.port, limit=HEAD_BYTES_MAX
            )
        except OSError as exc:
            why = (
                "the port is in use by another process; stop that one or name another port"
                if exc.errno == errno.EADDRINUSE
                else str(exc.strerror or exc)
            )
            raise MetricsUnavailable(f"/metrics cannot listen on {address}: {why}.") from exc
        host, port = self._listener.sockets[0].getsockname()[:2]
        self.address = Address(host, port)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._listener is not None
        self._listener.close()
        for task in self._answering:
            task.cancel()
        if self._answering:
            await asyncio.wait(self._answering)
        await self._listener.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._answering) >= CONNECTIONS_MAX:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                try:
                    head = await reader.readuntil(_END_OF_HEAD)
                except asyncio.LimitOverrunError:
                    answer = _answer("431 Request Header Fields Too Large", b"too long\n")
                else:
                    answer = await self._answer_to(head)
                writer.write(answer)
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            _log.debug("a request for /metrics was not completed")
        except Exception:
            _log.exception("the metrics cannot be gathered")
        finally:
            writer.transport.abort()

    async def _answer_to(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
        target, _, version = rest.partition(b" ")
        if not version.startswith(b"HTTP/1."):
            return _answer("400 Bad Request", b"this is an HTTP port; ask for GET /metrics\n")
        if method not in (b"GET", b"HEAD"):
            return _answer("405 Method Not Allowed", b"only GET and HEAD\n", "Allow: GET, HEAD\r\n")
        if target.partition(b"?")[0] != b"/metrics":
            return _answer("404 Not Found", b"there is /metrics, and nothing else\n")
        body = exposition(await self._gather()).encode()
        answer = _answer("200 OK", body, kind=CONTENT_TYPE)
        return answer[: -len(body)] if method == b"HEAD" else answer


def _answer(status: str, body: bytes, more: str = "", kind: str = "text/plain") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        f"{more}Connection: close\r\n\r\n"
    )
    return head.encode() + body
