"""One connection of a client: says hello, asks, and hands on what is answered.

    client = await connect(target)
    async with aclosing(client.query("SELECT ...")) as messages:
        async for message in messages: ...        # RowDescription, DataRow, CommandComplete, ...

Messages wait in a queue; once it holds `QUEUE_MAX` the socket is not read until they are taken,
so a result of any size needs the memory of a piece. Where the connection ends in the middle,
`ConnectionLost.sent` says whether the statement may have reached the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Final, Self, TypeAlias, cast

from shardrouter.pgclient.proof import MECHANISM, Proof, ProofError
from shardrouter.pgclient.target import DsnError, Target, shown_address
from shardrouter.pgwire import messages as m
from shardrouter.pgwire.fields import Report

__all__ = [
    "Client",
    "ConnectError",
    "ConnectionLost",
    "PasswordNeeded",
    "QueryFailed",
    "connect",
]

QUEUE_MAX: Final = 512
"""Messages that wait to be taken; reading goes on at half of it."""

MESSAGE_BYTES_MAX: Final = 256 * 1024 * 1024
"""Of a server's message; a longer one is taken for another protocol."""

UNSENT_BYTES_MAX: Final = 256 * 1024
"""Of data under COPY that the socket has not taken yet."""

ALPN: Final = "postgresql"

Address: TypeAlias = tuple[str, int]


class ConnectError(Exception):
    """No host of the target takes us; the message is a sentence."""


class PasswordNeeded(ConnectError):
    """A host asks for a password and there is none."""


class ConnectionLost(Exception):
    """It ended. sent: the statement that was asked may have reached the server."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


async def connect(target: Target, on_notice: Callable[[Report], None] | None = None) -> Client:
    """The first host that takes us and is what target_session_attrs asks for. Raises
    ConnectError, whose message tells of each host."""
    if target.session_attrs == "prefer-standby":
        standby = dataclasses.replace(target, session_attrs="standby")
        with contextlib.suppress(ConnectError):
            return await connect(standby, on_notice)
        return await connect(dataclasses.replace(target, session_attrs="any"), on_notice)
    refused: list[str] = []
    for address in target.hosts:
        try:
            async with asyncio.timeout(target.connect_timeout_s):
                client = await Client(target, address, on_notice).open()
                if not (why := await _unfit(client)):
                    return client
            client.close()
            refused.append(f"{shown_address(*address)}: {why}")
        except PasswordNeeded:
            raise
        except (OSError, ConnectError, ConnectionLost, ProofError, TimeoutError, DsnError) as exc:
            why = "nobody answers in time" if isinstance(exc, TimeoutError) else _reason(exc)
            refused.append(f"{shown_address(*address)}: {why}")
    raise ConnectError("; ".join(refused))


async def _unfit(client: Client) -> str:
    """Why the server is not what target_session_attrs asks for. It has said so when it greeted,
    or is asked, as libpq does."""
    wanted = client.target.session_attrs
    if wanted == "any":
        return ""
    is_standby = await _says(client, "in_hot_standby", "SELECT pg_is_in_recovery()")
    if wanted in ("primary", "standby"):
        is_wanted = is_standby == (wanted == "standby")
        return "" if is_wanted else f"the server is a {'standby' if is_standby else 'primary'}"
    setting = "default_transaction_read_only"
    is_read_only = is_standby or await _says(client, setting, "SHOW transaction_read_only")
    is_wanted = is_read_only == (wanted == "read-only")
    return "" if is_wanted else f"the session is read-{'only' if is_read_only else 'write'}"


async def _says(client: Client, setting: str, question: str) -> bool:
    said = client.settings.get(setting)
    if said is None:
        try:
            ((said,),) = await client.rows(question)
        except QueryFailed as exc:
            client.close()
            raise ConnectError(str(exc)) from exc
    return said in ("on", "t")


def _reason(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return text.rstrip(".")


class Client(asyncio.Protocol):
    """Made by `connect`. One query at a time."""

    def __init__(
        self, target: Target, address: Address, on_notice: Callable[[Report], None] | None
    ) -> None:
        self.target = target
        self.address = address
        self.status = "I"  # I idle, T in a transaction, E in a failed one
        self.settings: dict[str, str] = {}  # what the server reports
        self.encryption = ""  # TLS's version and cipher
        self._on_notice = on_notice
        self._transport: asyncio.Transport | None = None
        self._bytes = bytearray()
        self._is_raw = False  # the next byte is no message: the answer to SSLRequest
        self._queue: deque[m.BackendMessage] = deque()
        self._taker: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._is_paused = False
        self._lost = ""  # why it ended
        self._pid = 0
        self._key = b""

    # ---- opening

    async def open(self) -> Self:
        """Raises OSError, ConnectError, ProofError, ConnectionLost."""
        await asyncio.get_running_loop().create_connection(lambda: self, *self.address)
        try:
            if self.target.sslmode != "disable":
                await self._encrypt()
            await self._log_in()
        except BaseException:
            self.close()
            raise
        return self

    async def _encrypt(self) -> None:
        assert self._transport is not None
        self._is_raw = True
        self._transport.write(m.encode(m.SSLRequest()))
        while not self._bytes:
            await self._wait(sent=False)
        answer = bytes(self._bytes)
        self._bytes.clear()
        self._is_raw = False
        if answer == b"S":
            transport = await asyncio.get_running_loop().start_tls(
                self._transport, self, _context(self.target), server_hostname=self.address[0]
            )
            assert transport is not None
            self._transport = transport
            cipher = transport.get_extra_info("cipher")
            self.encryption = f"{cipher[1]}, {cipher[0]}" if cipher else "TLS"
        elif answer != b"N":  # more than a byte: somebody else's words, before encryption
            raise ConnectError("the server does not answer as PostgreSQL does")
        elif self.target.sslmode not in ("allow", "prefer"):
            raise ConnectError(f"it has no TLS, and sslmode is {self.target.sslmode}")

    async def _log_in(self) -> None:
        target = self.target
        self._send(
            m.StartupMessage(
                3,
                0,
                (
                    ("user", target.user),
                    ("database", target.database),
                    ("client_encoding", "UTF8"),
                    *target.settings,
                ),
            )
        )
        proof: Proof | None = None
        while True:
            message = await self._take(sent=False)
            if isinstance(message, m.ErrorResponse):
                raise ConnectError(_sentence(message.report))
            if isinstance(message, m.BackendKeyData):
                self._pid, self._key = message.pid, message.key
            elif isinstance(message, m.ReadyForQuery):
                return
            elif isinstance(message, m.Authentication):
                proof = self._prove(message, proof)

    def _prove(self, asked: m.Authentication, proof: Proof | None) -> Proof | None:
        if asked.kind == 0:
            return proof
        if asked.kind == 10 and MECHANISM.encode() in asked.data.split(b"\0"):
            if self.target.password is None:
                raise PasswordNeeded(f"a password is needed for {self.target.user}")
            proof = Proof(self.target.password, os.urandom(18))
            self._send(m.SASLInitialResponse(MECHANISM, proof.first()))
        elif asked.kind == 11 and proof is not None:
            self._send(m.SASLResponse(proof.final(asked.data)))
        elif asked.kind == 12 and proof is not None:
            proof.check(asked.data)
        else:
            raise ConnectError("it asks for a login other than SCRAM-SHA-256")
        return proof

    # ---- asking

    async def query(self, text: str) -> AsyncGenerator[m.BackendMessage, None]:
        """All that is answered, but ReadyForQuery. Raises ConnectionLost. Whoever stops taking
        has to `finish`."""
        self._hear_what_came_between()
        self._send(m.Query(text))
        async for message in self.answers():
            yield message

    async def answers(self) -> AsyncGenerator[m.BackendMessage, None]:
        """The rest of what is answered to the query that is going on."""
        while True:
            message = await self._take(sent=True)
            if isinstance(message, m.ReadyForQuery):
                self.status = message.status
                return
            yield message

    async def finish(self) -> None:
        """Drop what is still answered to a query that was not taken to its end."""
        async with aclosing(self.answers()) as rest:
            async for _ in rest:
                pass

    async def rows(self, text: str) -> list[tuple[str | None, ...]]:
        """The rows of one statement as texts, for a program's own small questions. Raises
        QueryFailed, ConnectionLost."""
        found: list[tuple[str | None, ...]] = []
        failed: Report | None = None
        async with aclosing(self.query(text)) as messages:
            async for message in messages:
                if isinstance(message, m.DataRow):
                    found.append(
                        tuple(
                            None if value is None else value.decode("utf-8", "replace")
                            for value in message.values
                        )
                    )
                elif isinstance(message, m.ErrorResponse):
                    failed = message.report
        if failed is not None:
            raise QueryFailed(failed)
        return found

    async def send_copy(self, data: bytes) -> None:
        """A piece of what COPY FROM STDIN takes, once the socket has taken enough of the last."""
        self._send(m.CopyData(data))
        await self._writable.wait()
        if self._lost:
            raise ConnectionLost(self._lost, sent=True)

    def end_copy(self, failed: str | None = None) -> None:
        """All has been sent; or, with a reason, nothing of it is wanted."""
        self._send(m.CopyDone() if failed is None else m.CopyFail(failed))

    @property
    def has_answered(self) -> bool:
        """Something waits to be taken: under COPY FROM it can only be an error."""
        return bool(self._queue or self._lost)

    async def cancel(self) -> None:
        """Ask the server to end the statement; whether it does shows in its answer."""
        try:
            async with asyncio.timeout(self.target.connect_timeout_s):
                reader, writer = await asyncio.open_connection(*self.address)
                writer.write(m.encode(m.CancelRequest(self._pid, self._key)))
                await reader.read()
                writer.close()
        except (OSError, TimeoutError):
            return  # who cannot be asked has most probably gone, as the connection will show

    @property
    def is_lost(self) -> bool:
        return bool(self._lost)

    @property
    def why_lost(self) -> str:
        return self._lost

    def close(self) -> None:
        if self._transport is not None and not self._lost:
            self._transport.write(m.encode(m.Terminate()))
            self._transport.close()
        self._lost = self._lost or "closed"

    def drop(self) -> None:
        """End it without a word: the server does not answer."""
        if self._transport is not None:
            self._transport.abort()
        self._lose("dropped")

    # ---- the wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no instances of it
        self._transport.set_write_buffer_limits(UNSENT_BYTES_MAX)

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        if not self._is_raw:
            try:
                self._decode()
            except m.MessageError as exc:
                self._lose(f"the server does not speak PostgreSQL's protocol: {exc}")
                if self._transport is not None:
                    self._transport.abort()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose((_reason(exc) if exc is not None else "") or "the server closed the connection")

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _decode(self) -> None:
        data, at = self._bytes, 0
        while len(data) - at >= 5:
            end = at + 1 + int.from_bytes(data[at + 1 : at + 5])
            layout = m.BACKEND.get(data[at])
            if layout is None or not at + 5 <= end <= at + MESSAGE_BYTES_MAX:
                raise m.MessageError("08P01", f"a message of type {data[at]}")
            if len(data) < end:
                break
            message = m.decode(layout, bytes(data[at + 5 : end]))
            at = end
            if isinstance(message, m.ParameterStatus):
                self.settings[message.name] = message.value
            else:
                self._queue.append(message)
        del data[:at]
        if len(self._queue) > QUEUE_MAX and not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def _send(self, message: m.FrontendMessage | m.StartupMessage) -> None:
        if self._lost:
            raise ConnectionLost(self._lost, sent=False)
        assert self._transport is not None
        self._transport.write(m.encode(message))

    async def _take(self, *, sent: bool) -> m.BackendMessage:
        """The next message that is no notice. Raises ConnectionLost."""
        while True:
            while not self._queue:
                await self._wait(sent=sent)
            message = self._queue.popleft()
            if self._is_paused and len(self._queue) < QUEUE_MAX // 2 and not self._lost:
                assert self._transport is not None
                self._is_paused = False
                self._transport.resume_reading()
            if isinstance(message, m.NoticeResponse):
                self._tell(message.report)
            elif isinstance(message, m.ErrorResponse) and message.report.severity == "FATAL":
                self._lost = self._lost or _sentence(message.report)
                return message
            elif not isinstance(message, m.NotificationResponse):
                return message

    async def _wait(self, *, sent: bool) -> None:
        if self._lost:
            raise ConnectionLost(self._lost, sent=sent)
        self._taker = asyncio.get_running_loop().create_future()
        try:
            await self._taker
        finally:
            self._taker = None

    def _wake(self) -> None:
        if self._taker is not None and not self._taker.done():
            self._taker.set_result(None)

    def _hear_what_came_between(self) -> None:
        """What the server said while nothing was asked: notices, or that it ends."""
        while self._queue:
            message = self._queue.popleft()
            if isinstance(message, m.NoticeResponse):
                self._tell(message.report)
            elif isinstance(message, m.ErrorResponse):
                self._lost = _sentence(message.report)

    def _tell(self, report: Report) -> None:
        if self._on_notice is not None:
            self._on_notice(report)

    def _lose(self, why: str) -> None:
        self._lost = self._lost or why
        self._writable.set()
        self._wake()


class QueryFailed(Exception):
    """A program's own question was answered with an error."""

    def __init__(self, report: Report) -> None:
        super().__init__(_sentence(report))
        self.report = report


def _sentence(report: Report) -> str:
    detail = f" ({report.detail})" if report.detail else ""
    return f"{report.message}{detail} ({report.sqlstate})"


def _context(target: Target) -> ssl.SSLContext:
    """As libpq's sslmode says: encryption alone shows nobody who the server is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols([ALPN])
    verifies = target.sslmode.startswith("verify-") or (
        target.sslmode == "require" and target.sslrootcert is not None
    )
    context.check_hostname = target.sslmode == "verify-full"
    context.verify_mode = ssl.CERT_REQUIRED if verifies else ssl.CERT_NONE
    if verifies:
        root = target.sslrootcert or str(Path.home() / ".postgresql" / "root.crt")
        try:
            context.load_verify_locations(root)
        except (OSError, ValueError) as exc:
            raise DsnError(f"the certificate {root} cannot be read: {exc}") from exc
    return context
