"""One client's socket: bytes to the dialogue and back, with both sides' patience bounded.

All that arrives together is handled together and answered by one write. While the session
works, or while the client does not read its answers, no message is handled; what arrives
meanwhile is kept up to `READ_BUFFER_MAX`, then the socket is not read. So a connection holds
at most one large message, one answer, and these buffers.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Coroutine
from typing import Final, Protocol, cast

from shardrouter.errors import RouterError, StatementError
from shardrouter.identity import DATABASE, NAMES_OF_DATABASE
from shardrouter.pgserver.dialogue import Dialogue, Session, internal_error, report
from shardrouter.pgserver.login import Authenticator, Login
from shardrouter.pgserver.tls import ALPN, Encryption, TlsStream
from shardrouter.pgwire import messages as m
from shardrouter.pgwire.connection import Connection, Event, ProtocolError, State
from shardrouter.pgwire.startup import Startup, read_startup, set_statement
from shardrouter.roles import Role

__all__ = ["Client", "Host"]

log = logging.getLogger(__name__)

READ_BUFFER_MAX: Final = 1024 * 1024
"""Bytes kept unhandled before the socket is no longer read."""

WRITE_BUFFER_MAX: Final = 256 * 1024
"""Bytes the client has not read before nothing more is answered."""

STARTUP_TIMEOUT_S: Final = 60.0
"""A connection that has not said who it is by then is closed, as by PostgreSQL's
authentication_timeout: half-open connections must not use up the places."""

LINGER_S: Final = 5.0
"""How long a last word may take to be read before the connection is cut."""

# By themselves: asked for with each statement, and as attributes of an enum they take as long as
# calls.
_STARTUP: Final = State.STARTUP
_READY: Final = State.READY
_CLOSED: Final = State.CLOSED

_TLS_RECORD: Final = 0x16
"""The first byte of TLS's handshake; of a startup packet it would mean 369 MB."""

_SHUTDOWN: Final = m.Report("FATAL", "57P01", "terminating connection due to administrator command")


class Host(Protocol):
    """What a client needs of its server."""

    @property
    def authenticator(self) -> Authenticator | None:
        """None: whoever comes is who it says, and may do everything."""

    @property
    def encryption(self) -> Encryption | None:
        """None: there is none."""

    def admit(self) -> None:
        """Raises Unavailable if there is no place for another."""

    def new_session(self, role: Role) -> Session:
        """Raises RouterError."""

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Run a task that the server waits for when it closes."""

    def enter(self, client: Client, key_bytes: int) -> tuple[int, bytes]:
        """The client is greeted: (pid, key) for BackendKeyData, by which it can be cancelled."""

    def leave(self, pid: int) -> None:
        """It is gone: nobody is to be cancelled under its pid."""

    def cancel(self, pid: int, key: bytes) -> None:
        """End what the client with this pid is running, if that is its key."""

    def hold(self, client: Client, size: int) -> bool:
        """The client has `size` bytes of a large message that is not yet whole; False if there is
        no room for them."""

    def complain(self, address: str, what: str) -> None:
        """Log what is not PostgreSQL's protocol, not too often."""

    def retire(self, client: Client, session: Session | None) -> None:
        """The client is gone and nothing runs for it: close its session."""


class Client(asyncio.Protocol):
    """See the module. Lives until its transport is lost and its session is closed."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._connection = Connection()
        self._transport: asyncio.Transport | None = None  # None: lost, or not yet made
        self._tls: TlsStream | None = None
        self._startup: Startup | None = None  # what the client asked for, once it has
        self._login: Login | None = None
        self._session: Session | None = None
        self._dialogue: Dialogue | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._idle_until: float | None = None  # when it may have said nothing for too long
        self._idle_timer: asyncio.TimerHandle | None = None
        self._pid = 0  # once it is greeted
        self._holds = False  # the server accounts for a message of its that is not yet whole
        self._must_name_protocol = False  # it began with TLS: inside may be anything
        self._greeting = False  # its role is being read, or its session made
        self._pumping = False
        self._client_is_slow = False
        self._stopping = False
        self._retired = False

    # ----------------------------------------------------------------- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not a check: uvloop's transports are none of asyncio's classes.
        self._transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(high=WRITE_BUFFER_MAX)
        self._abort_after(STARTUP_TIMEOUT_S)

    def data_received(self, data: bytes) -> None:
        connection = self._connection
        if (
            connection.state is _STARTUP
            and self._tls is None
            and data[0] == _TLS_RECORD
            and not connection.buffered
            and self._host.encryption is not None
        ):
            connection.encrypted = True
            self._tls = TlsStream(self._host.encryption)
            self._must_name_protocol = True
        if self._tls is not None:
            data = self._decrypted(self._tls, data)
        dialogue = self._dialogue
        if (
            dialogue is not None
            and not connection.buffered
            and not self._client_is_slow
            and not self._stopping
            and connection.state is _READY
            and not connection.to_discard
            and data
        ):
            self._idle_until = None
            if dialogue.take(data):
                return
        connection.receive_data(data)
        self._pump()
        if connection.buffered > READ_BUFFER_MAX or self._holds:
            self._hold(connection.buffered)

    def _hold(self, size: int) -> None:
        """Account for a large message, and give it up where there is no room for it. What waits
        behind a statement that is running is bounded in itself: its socket is not read."""
        arriving = not self._busy and not self._client_is_slow
        self._holds = size > READ_BUFFER_MAX and arriving
        if not self._host.hold(self, size if self._holds else 0) and self._holds:
            self._connection.give_up_message()
            self._holds = False
            self._host.hold(self, 0)
            self._pump()

    def _decrypted(self, tls: TlsStream, data: bytes) -> bytes:
        was_up = tls.is_up
        said, wrong = b"", ""
        try:
            said = tls.receive(data)
        except ssl.SSLError as error:
            wrong = f"TLS: {error.reason or error}"
        if tls.is_up and not was_up and self._must_name_protocol and tls.protocol != ALPN:
            said, wrong = b"", "TLS without the protocol postgresql"
        if wrong:
            self._host.complain(self._peer(), wrong)
            self._connection.end()
        self._write()  # the handshake's answers, or what was wrong with it
        return said

    def pause_writing(self) -> None:
        self._client_is_slow = True

    def resume_writing(self) -> None:
        self._client_is_slow = False
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._connection.end()
        self._disarm()
        self._pump()

    def _abort_after(self, seconds: float) -> None:
        self._disarm()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.abort)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ----------------------------------------------------------------- the server's side

    def stop(self) -> None:
        """Say goodbye as soon as nothing is running."""
        self._stopping = True
        self._pump()

    def cancel(self) -> None:
        """End early what is running."""
        if self._dialogue is not None:
            self._dialogue.cancel()

    def abort(self) -> None:
        """Cut the connection; whether what is running happens, the client cannot know."""
        if self._transport is not None:
            self._transport.abort()

    def refuse(self, why: m.Report) -> None:
        """It has not logged in, and is not to."""
        self._connection.end(None if self._connection.state is State.STARTUP else why)
        self._pump()

    def abandon(self) -> None:
        """Do not wait any longer for what is running."""
        self.abort()
        self._retire()

    # --------------------------------------------------------------------------- the pump

    @property
    def _busy(self) -> bool:
        return self._greeting or (self._dialogue is not None and self._dialogue.busy)

    def _pump(self) -> None:
        """Handle what can be handled, answer it, and see to what follows."""
        if self._pumping:
            return  # called from within: the loop below goes on by itself
        self._pumping = True
        try:
            connection = self._connection
            while self._transport is not None and not self._greeting and not self._client_is_slow:
                dialogue = self._dialogue
                if dialogue is not None and dialogue.busy:
                    break
                if dialogue is not None and dialogue.answering:
                    dialogue.advance()
                    if connection.unsent > WRITE_BUFFER_MAX:
                        self._write()
                elif self._stopping or not connection.buffered or not self._handle_next():
                    break
        finally:
            self._pumping = False
        self._settle()

    def _handle_next(self) -> bool:
        """Handle one message; False if none is there."""
        connection = self._connection
        try:
            event = connection.next_event()
        except ProtocolError as error:
            said = m.Report("ERROR", error.sqlstate, error.message, hint=error.hint)
            if error.fatal:
                self._host.complain(self._peer(), error.message)
                connection.end(m.Report("FATAL", error.sqlstate, error.message))
            elif self._dialogue is not None:
                self._dialogue.refuse(said)
            return True
        if event is None:
            return False
        self._idle_until = None
        if self._dialogue is not None and connection.state is not State.CLOSED:
            self._dialogue.handle(event)
        elif self._dialogue is None:
            self._greet(event)
        return True

    def _write(self) -> None:
        data = self._connection.data_to_send()
        if self._tls is not None:
            self._tls.send(data)
            data = self._tls.data_to_send()
        if data and self._transport is not None:
            self._transport.write(data)

    def _settle(self) -> None:
        """After the pump: one write, then whether to read on, to close, or to be gone."""
        transport, connection, dialogue = self._transport, self._connection, self._dialogue
        busy = self._greeting or (dialogue is not None and dialogue.busy)  # `_busy`
        if transport is None:
            if not busy:
                self._retire()
            return
        answering = dialogue is not None and dialogue.answering is not None
        if (
            self._stopping
            and not busy
            and not answering  # it may have committed: an error now would say that it has not
            and connection.state is not State.CLOSED
        ):
            greeted = connection.state is not State.STARTUP
            connection.end(_SHUTDOWN if greeted else None)
        # What a unit's messages were answered with so far goes out with its results.
        if not busy or connection.state is _CLOSED:
            self._write()
        if connection.state is _CLOSED:
            if not transport.is_closing():
                self._abort_after(LINGER_S)
                if self._tls is not None:
                    self._tls.end()
                    self._write()
                transport.close()
            return
        session = self._session
        if session is not None and self._idle_until is None and not (busy or answering):
            seconds = session.idle_timeout_s
            if seconds > 0:
                self._watch_idleness(seconds)
        held_back = busy or self._client_is_slow
        if held_back and connection.buffered > READ_BUFFER_MAX:
            if transport.is_reading():
                transport.pause_reading()
        elif not held_back and not transport.is_reading():
            transport.resume_reading()

    def _watch_idleness(self, seconds: float) -> None:
        """One timer, which looks again as long as it rings too early: statements come and go
        much more often than it rings."""
        loop = asyncio.get_running_loop()
        self._idle_until = loop.time() + seconds
        if self._idle_timer is not None and self._idle_timer.when() > self._idle_until:
            self._idle_timer.cancel()
            self._idle_timer = None
        if self._idle_timer is None:
            self._idle_timer = loop.call_at(self._idle_until, self._look_at_idleness)

    def _look_at_idleness(self) -> None:
        self._idle_timer = None
        if self._idle_until is None or self._dialogue is None or self._transport is None:
            return  # at work, or gone
        loop = asyncio.get_running_loop()
        if loop.time() < self._idle_until:
            self._idle_timer = loop.call_at(self._idle_until, self._look_at_idleness)
        else:
            self._connection.end(self._dialogue.out_of_patience())
            self._pump()

    def _retire(self) -> None:
        """Hand the session back, once."""
        if not self._retired:
            self._retired = True
            self._host.leave(self._pid)
            if self._idle_timer is not None:
                self._idle_timer.cancel()
            self._host.retire(self, self._session)

    def _peer(self) -> str:
        name = self._transport.get_extra_info("peername") if self._transport else None
        return str(name[0]) if name else "a client that is gone"

    # ------------------------------------------------------------------------- greeting

    def _greet(self, event: Event) -> None:
        match event:
            case m.SSLRequest() if self._host.encryption is not None:
                self._encrypt(self._host.encryption)
            case m.SSLRequest() | m.GSSENCRequest():
                self._connection.refuse_encryption()
            case m.StartupMessage():
                self._later(self._start(event))
            case m.SASLInitialResponse() | m.SASLResponse():
                self._prove(event)
            case m.CancelRequest():  # its connection ends without an answer
                self._host.cancel(event.pid, event.key)
            case _:
                raise AssertionError(event)

    def _encrypt(self, encryption: Encryption) -> None:
        try:
            self._connection.accept_encryption()
        except ProtocolError as error:
            self._host.complain(self._peer(), error.message)
            self._connection.end(m.Report("FATAL", error.sqlstate, error.message))
            return
        self._write()  # the last that is plain
        self._tls = TlsStream(encryption)

    def _later(self, work: Coroutine[object, object, None]) -> None:
        """A step of the greeting that waits; nothing else is handled meanwhile."""

        async def step() -> None:
            try:
                await work
            except RouterError as error:
                self._connection.end(report(error, "FATAL"))
            except Exception:
                log.exception("a client could not be greeted")
                self._connection.end(internal_error("FATAL"))
            finally:
                self._greeting = False
            self._pump()

        self._greeting = True
        self._host.spawn(step())

    async def _start(self, message: m.StartupMessage) -> None:
        """Ask who it is; if everybody may come in, let it in."""
        self._host.admit()
        self._startup = startup = read_startup(message)
        authenticator = self._host.authenticator
        if authenticator is None:
            await self._enter(Role(startup.user, may_log_in=True, is_superuser=True))
            return
        encryption = self._host.encryption if self._connection.encrypted else None
        binding = encryption.binding if encryption is not None else None
        self._login = Login(startup.user, self._connection, binding)
        await self._login.begin(authenticator)

    def _prove(self, answer: m.SASLInitialResponse | m.SASLResponse) -> None:
        assert self._login is not None
        try:
            role = self._login.prove(answer)
        except StatementError as error:
            self._connection.end(report(error, "FATAL"))
            return
        if role is not None:
            self._login = None
            self._later(self._enter(role))

    async def _enter(self, role: Role) -> None:
        """Make the session as the client wants it, and say that it may speak."""
        assert self._startup is not None
        if self._startup.database not in NAMES_OF_DATABASE:
            raise StatementError(
                f'database "{self._startup.database}" does not exist',
                sqlstate="3D000",
                hint=f'A cluster is one database, "{DATABASE}".',
            )
        session = self._session = self._host.new_session(role)
        await session.configure(set_statement(*setting) for setting in self._startup.settings)
        statuses = dict(session.parameter_status())
        connection = self._connection
        self._dialogue = Dialogue(session, connection, wake=self._pump, spawn=self._host.spawn)
        self._disarm()
        if connection.state is State.GREETING:  # CLOSED if the client left meanwhile
            self._pid, key = self._host.enter(self, connection.key_bytes)
            session.pid = self._pid
            connection.greet(statuses, pid=self._pid, key=key)
