"""Is a link really open, or really cut? Measured with bytes over the link itself.

On every station stands an endpoint that notes each token it receives; over every link stands an
established connection per dialing direction, carried by the same rules as the database's own. A
check sends a fresh token over every directed link, on the established connections and on one dialed
for this check, and looks at what arrived at the receiver. The sender's view is worth nothing here:
writing into a cut succeeds.

On a real network a held probe arrives when TCP sends it again, which it tries less and less
often; where the kernel allows it, the probes' own connections try every second.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from jepsen_like.backends.backend import PROBE_SERVICE, Backend, Endpoint, Pair, connected
from jepsen_like.backends.datagrams import Datagrams, Sighting
from jepsen_like.backends.listening import end_listening

__all__ = ["Sent", "Prober"]

LINE_BYTES_MAX: Final = 256
"""Probe lines are short; a longer one is not ours."""

LINE_WORD: Final = "line"
"""How the first line of a connection begins that is to stay."""

TCP_RTO_MAX_MS: Final = 44
"""Linux 6.15: the longest pause between two attempts to send something again."""

PROBE_RTO_MAX_MS: Final = 1000

PROBE_PATIENCE_MS: Final = 3_600_000
"""For how long the probes' connections last without an acknowledgement: longer than any cut."""

TIMES_GAP_S: Final = 0.005
TIMES_WAIT_S: Final = 2.0

BULK_LINE_BYTES: Final = 250


@dataclass(frozen=True)
class Sent:
    """One token on its way."""

    pair: Pair
    is_new_connection: bool
    token: str
    number: int
    """They are counted as they are sent."""


@dataclass(frozen=True)
class _Line:
    """An established connection; either end can say something."""

    near: asyncio.StreamWriter  # of the host that dialed
    far: asyncio.StreamWriter


class Prober:
    """The endpoints and the established connections.

    async with Prober(backend) as prober:
        sent = await prober.send(pairs)
        arrived = await prober.wait_for(sent, timeout_s=1.0)
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._endpoints: dict[str, Mapping[str, Endpoint]] = {}  # target -> source -> where to dial
        self._lines: dict[Pair, list[_Line]] = {}  # by (dialer, target); the first one stays
        self._accepted: dict[str, asyncio.StreamWriter] = {}  # far ends nobody has asked for yet
        self._arrived: dict[str, float] = {}  # when, by the clock of the loop
        self._lost: set[asyncio.StreamWriter] = set()  # whose connection ended with a reset
        self._datagrams: Datagrams | None = None
        self._news = asyncio.Condition()
        self._tokens = 0
        self._struck: dict[Pair, int] = {}  # the last that was sent before a reset on purpose
        self._laid = 0
        self._dials: set[asyncio.Task[None]] = set()
        self._readers: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._ended = False
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Prober:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._end)
            for host in self._backend.layout.stations:
                listener = self._socket(host)
                listener.bind((self._backend.address(host), 0))
                endpoint = listener.getsockname()[:2]
                server = await asyncio.start_server(
                    self._accept, sock=listener, start_serving=False
                )
                stack.push_async_callback(end_listening, (server,))
                await server.start_serving()
                self._endpoints[host] = await self._backend.expose(host, PROBE_SERVICE, endpoint)
            for pair in self._backend.pairs:
                self._lines[pair] = [await self._line(pair)]
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @property
    def connections(self) -> frozenset[asyncio.StreamWriter]:
        """The ends of connections that are open now."""
        return frozenset(self._writers)

    async def lay(self, pairs: Iterable[Pair], looks: int) -> None:
        """Establish fresh connections between these hosts for the looks 1 to `looks`; those of
        the last time are closed."""
        for a, b in pairs:
            for pair in ((a, b), (b, a)):
                for line in self._lines[pair][1:]:
                    line.near.close()
                fresh = [await self._line(pair) for _ in range(looks)]
                self._lines[pair][1:] = fresh

    async def send(self, pairs: Iterable[Pair], look: int = 0) -> tuple[Sent, ...]:
        """One token per established connection of each pair, and one on a new connection.

        A look of its own has connections of its own, where they were laid.
        """
        sent = []
        for source, target in pairs:
            for writer in (
                self._line_for((source, target), look).near,
                self._line_for((target, source), look).far,
            ):
                token = self._token()
                _say(writer, f"{token}\n")
                sent.append(Sent((source, target), False, token, self._tokens))
            token = self._token()
            dial = asyncio.ensure_future(self._send_once((source, target), token))
            self._dials.add(dial)
            dial.add_done_callback(self._dials.discard)
            sent.append(Sent((source, target), True, token, self._tokens))
        return tuple(sent)

    async def wait_for(self, sent: Collection[Sent], timeout_s: float) -> frozenset[str]:
        """Which of the tokens have arrived, as soon as all have or after timeout_s."""
        wanted = {s.token for s in sent}
        await self._until_arrived(wanted, timeout_s)
        return frozenset(wanted & self._arrived.keys())

    async def times(
        self, pairs: Collection[Pair], count: int, settle_s: float = 0.0
    ) -> dict[Pair, list[float]]:
        """How long each of `count` tokens over each link was on its way to the receiver; those
        that did not arrive within `settle_s` and a while are left out."""
        sent: list[tuple[Pair, str, float]] = []
        for _ in range(count):
            for pair in pairs:
                token = self._token()
                sent.append((pair, token, time.monotonic()))
                _say(self._lines[pair][0].near, f"{token}\n")
            await asyncio.sleep(TIMES_GAP_S)
        await self._until_arrived([token for _, token, _ in sent], settle_s + TIMES_WAIT_S)
        found: dict[Pair, list[float]] = {pair: [] for pair in pairs}
        for pair, token, at in sent:
            if token in self._arrived:
                found[pair].append(self._arrived[token] - at)
        return found

    async def throughput(
        self, pairs: Collection[Pair], size: int, expected_s: float
    ) -> dict[Pair, float]:
        """Bytes per second that arrive over each link of `size` bytes given to it at once."""
        sent: dict[Pair, list[str]] = {}
        for pair in pairs:
            tokens = sent[pair] = [self._token() for _ in range(size // BULK_LINE_BYTES)]
            lines = (f"{token} ".ljust(BULK_LINE_BYTES - 1, ".") + "\n" for token in tokens)
            _say(self._lines[pair][0].near, "".join(lines))
        every = [token for tokens in sent.values() for token in tokens]
        await self._until_arrived(every, 3 * expected_s + TIMES_WAIT_S)
        found = {}
        for pair, tokens in sent.items():
            when = sorted(self._arrived[token] for token in tokens if token in self._arrived)
            counted = sum(at > when[0] for at in when) if when else 0
            took_s = when[-1] - when[0] if when else 0.0
            found[pair] = counted * BULK_LINE_BYTES / took_s if took_s else 0.0
        for token in every:
            self._arrived.pop(token, None)
        return found

    async def datagrams(
        self, pairs: Collection[Pair], count: int, gap_s: float, settle_s: float
    ) -> dict[Pair, Sighting]:
        """`count` datagrams over each link, `gap_s` apart at least (see `datagrams`)."""
        if self._datagrams is None:
            self._datagrams = Datagrams(self._backend)
            await self._datagrams.open()
        return await self._datagrams.send(pairs, count, gap_s, settle_s)

    async def _until_arrived(self, tokens: Collection[str], timeout_s: float) -> None:
        """Wait for all of them, or until timeout_s is over."""
        wanted = set(tokens)
        try:
            async with asyncio.timeout(timeout_s), self._news:
                await self._news.wait_for(lambda: wanted <= self._arrived.keys())
        except TimeoutError:
            return  # the caller sees which ones are missing

    async def ends_reset(
        self, pairs: Collection[Pair], on: Collection[str], timeout_s: float
    ) -> tuple[int, int]:
        """Of the ends of the standing connections over these links that are on the hosts `on`: how
        many have been reset by now or within timeout_s, and how many there are."""
        ends = {
            end
            for a, b in pairs
            for end, host in ((self._lines[a, b][0].near, a), (self._lines[a, b][0].far, b))
            if host in on
        }
        try:
            async with asyncio.timeout(timeout_s), self._news:
                await self._news.wait_for(lambda: ends <= self._lost)
        except TimeoutError:
            pass  # the answer says how many
        return len(ends & self._lost), len(ends)

    def struck(self, pairs: Collection[Pair]) -> None:
        """A fault ends now every connection over these links: what is on its way on one, or on one
        that is being dialed, is lost."""
        self._struck |= dict.fromkeys(pairs, self._tokens)

    def may_be_lost(self, sent: Sent) -> bool:
        """Whether its connection was ended on purpose after it was sent."""
        return sent.number <= self._struck.get(sent.pair, 0)

    async def renew(self, pairs: Collection[Pair]) -> None:
        """Lay the standing connections over these links anew."""
        for pair in pairs:
            old, self._lines[pair][0] = self._lines[pair][0], await self._line(pair)
            for end in (old.near, old.far):
                end.transport.abort()
                self._lost.discard(end)
                self._writers.discard(end)

    def _line_for(self, pair: Pair, look: int) -> _Line:
        lines = self._lines[pair]
        return lines[look] if look < len(lines) else lines[0]

    async def _line(self, pair: Pair) -> _Line:
        """A new established connection."""
        self._laid += 1
        word = f"{LINE_WORD}{self._laid}"
        near = await self._dial(pair, word)
        async with self._news:
            await self._news.wait_for(lambda: word in self._accepted)
        return _Line(near, self._accepted.pop(word))

    def _token(self) -> str:
        self._tokens += 1
        return f"t{self._tokens}"

    def _socket(self, host: str) -> socket.socket:
        sock = self._backend.socket(host)
        if sys.platform == "linux":
            with suppress(OSError):  # an older kernel: what was held arrives later
                sock.setsockopt(socket.IPPROTO_TCP, TCP_RTO_MAX_MS, PROBE_RTO_MAX_MS)
            # Else the kernel gives up after 15 attempts, which are soon made at this pace
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, PROBE_PATIENCE_MS)
        return sock

    async def _send_once(self, pair: Pair, token: str) -> None:
        """A token on a connection of its own, dialed for as long as that takes."""
        while True:
            try:
                await self._dial(pair, token)
            except TimeoutError:
                continue  # the kernel gave up knocking, in a long cut
            except OSError:
                return  # refused: the token does not arrive, and that shows
            return

    async def _dial(self, pair: Pair, word: str) -> asyncio.StreamWriter:
        source, target = pair
        sock = await connected(self._socket(source), self._endpoints[target][source])
        reader, writer = await asyncio.open_connection(sock=sock, limit=LINE_BYTES_MAX)
        self._writers.add(writer)
        writer.write(f"{source} {target} {word}\n".encode())
        self._keep(asyncio.ensure_future(self._note_lines(reader, writer)))
        return writer

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The far end of a probe connection. It is known before its task runs, which may be never
        if everything ends now."""
        if self._ended:
            writer.close()
            return
        self._writers.add(writer)
        self._keep(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What a far end gets: its first line says whose it is."""
        try:
            words = (await reader.readline()).decode().split()
            if len(words) != 3:
                return
            word = words[2]
            async with self._news:
                if word.startswith(LINE_WORD):
                    self._accepted[word] = writer
                else:
                    self._arrived[word] = time.monotonic()
                self._news.notify_all()
            if word.startswith(LINE_WORD):  # else it has served its purpose
                await self._note_lines(reader, writer)
        except ConnectionError:
            return  # before it said whose it is
        finally:
            self._let_go(writer)

    async def _note_lines(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                async with self._news:
                    self._arrived[line.decode().split(maxsplit=1)[0]] = time.monotonic()
                    self._news.notify_all()
        except ConnectionError:
            async with self._news:
                self._lost.add(writer)
                self._news.notify_all()
        except (OSError, ValueError, IndexError):
            return  # the connection is lost or not ours: its tokens do not arrive, and that shows
        finally:
            self._let_go(writer)

    def _let_go(self, writer: asyncio.StreamWriter) -> None:
        """This end of a connection has ended: a long run has no more of them open than it uses."""
        writer.close()
        self._writers.discard(writer)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._readers.add(task)
        task.add_done_callback(self._readers.discard)

    async def _end(self) -> None:
        self._ended = True
        for dial in self._dials:
            dial.cancel()
        await asyncio.gather(*self._dials, return_exceptions=True)
        for writer in tuple(self._writers):
            writer.close()  # its reader sees the end, and its task ends
        await asyncio.gather(*self._readers)
        if self._datagrams is not None:
            self._datagrams.close()


def _say(writer: asyncio.StreamWriter, text: str) -> None:
    """What is said into a connection that has ended does not arrive, and that shows."""
    if not writer.is_closing():
        writer.write(text.encode())
