"""Is a link really open, or really cut? Measured with bytes over the link itself.

On every host stands an endpoint that notes each token it receives; between every two hosts
stands one established connection per dialing direction, carried by the same mesh, listeners
and rules as the database's own. A check sends a fresh token over every directed link, on the
established connections and on one dialed for this check, and looks at what arrived at the
receiver. The sender's view is worth nothing here: writing into a cut succeeds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from jepsen_like.backends.proxy import Endpoint, Mesh, Pair

__all__ = ["PROBE_SERVICE", "Sent", "Prober"]

PROBE_SERVICE: Final = "probe"

LINE_BYTES_MAX: Final = 256
"""Probe lines are short; a longer one is not ours."""


@dataclass(frozen=True)
class Sent:
    """One token on its way."""

    pair: Pair
    is_new_connection: bool
    token: str


class Prober:
    """The endpoints and the established connections.

    async with Prober(mesh) as prober:
        sent = await prober.send(pairs)
        arrived = await prober.wait_for(sent, timeout_s=1.0)
    """

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._endpoints: dict[str, dict[str, Endpoint]] = {}  # target -> source -> where to dial
        self._dialed: dict[Pair, asyncio.StreamWriter] = {}  # by (dialer, target)
        self._accepted: dict[Pair, asyncio.StreamWriter] = {}  # the far ends, by (dialer, target)
        self._arrived: set[str] = set()
        self._news = asyncio.Condition()
        self._tokens = 0
        self._readers: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Prober:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._end)
            for host in self._mesh.hosts:
                server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
                stack.callback(server.close)
                address = server.sockets[0].getsockname()[:2]
                self._endpoints[host] = await self._mesh.expose(host, PROBE_SERVICE, address)
            for pair in self._mesh.links:
                self._dialed[pair] = await self._dial(pair, "established")
            async with self._news:
                await self._news.wait_for(lambda: len(self._accepted) == len(self._dialed))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def send(self, pairs: Iterable[Pair]) -> tuple[Sent, ...]:
        """One token per established connection of each pair, and one on a new connection."""
        sent = []
        for source, target in pairs:
            for writer in (self._dialed[source, target], self._accepted[target, source]):
                token = self._token()
                writer.write(f"{token}\n".encode())
                sent.append(Sent((source, target), is_new_connection=False, token=token))
            token = self._token()
            await self._dial((source, target), token)
            sent.append(Sent((source, target), is_new_connection=True, token=token))
        return tuple(sent)

    async def wait_for(self, sent: Collection[Sent], timeout_s: float) -> frozenset[str]:
        """Which of the tokens have arrived, as soon as all have or after timeout_s."""
        wanted = {s.token for s in sent}
        try:
            async with asyncio.timeout(timeout_s), self._news:
                await self._news.wait_for(lambda: wanted <= self._arrived)
        except TimeoutError:
            pass  # the answer says which ones are missing
        return frozenset(wanted & self._arrived)

    def _token(self) -> str:
        self._tokens += 1
        return f"t{self._tokens}"

    async def _dial(self, pair: Pair, word: str) -> asyncio.StreamWriter:
        source, target = pair
        endpoint = self._endpoints[target][source]
        reader, writer = await asyncio.open_connection(*endpoint, limit=LINE_BYTES_MAX)
        self._writers.add(writer)
        writer.write(f"{source} {target} {word}\n".encode())
        self._keep(asyncio.ensure_future(self._note_lines(reader)))
        return writer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The far end of a probe connection: the first line says whose it is."""
        task = asyncio.current_task()
        assert task is not None
        self._keep(task)
        self._writers.add(writer)
        try:
            words = (await reader.readline()).decode().split()
            if len(words) != 3:
                return
            source, target, word = words
            async with self._news:
                if word == "established":
                    self._accepted[source, target] = writer
                else:
                    self._arrived.add(word)
                self._news.notify_all()
            await self._note_lines(reader)
        finally:
            writer.close()

    async def _note_lines(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                async with self._news:
                    self._arrived.add(line.decode().strip())
                    self._news.notify_all()
        except (OSError, ValueError):
            return  # the connection is lost or not ours: its tokens do not arrive, and that shows

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._readers.add(task)
        task.add_done_callback(self._readers.discard)

    async def _end(self) -> None:
        for writer in self._writers:
            writer.close()  # its reader sees the end, and its task ends
        await asyncio.gather(*self._readers)
