"""The server's side of one PostgreSQL connection, without I/O.

Bytes in, events out; messages in, bytes out. The driver's loop:

    connection.receive_data(data)
    while not busy:
        try:
            event = connection.next_event()     # None: nothing complete is there
        except ProtocolError as error:
            connection.end(...) if error.fatal else connection.fail(...)
            continue
        if event is None:
            break
        ...                                     # react by send(), fail(), ready(), ...
    transport.write(connection.data_to_send())
    if connection.state is State.CLOSED:
        transport.close()

While the driver works on an event it does not ask for the next one: what arrives meanwhile
stays in `buffered` bytes, which it bounds by not reading from the socket.

This module knows which message is legal when, how versions are negotiated, and what is skipped
after an error; it does not know what a statement is. Events are messages of the client. After
python-hyper/h11; what PostgreSQL does is in its `postmaster.c` and `postgres.c`.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

from shardrouter.pgwire.messages import (
    FRONTEND,
    LARGE_BYTES_MAX,
    LENGTH_MAX,
    SASL_INITIAL,
    SMALL_BYTES_MAX,
    STARTUP_BYTES_MAX,
    Authentication,
    BackendKeyData,
    BackendMessage,
    Bind,
    CancelRequest,
    Close,
    CopyData,
    CopyDone,
    CopyFail,
    CopyInResponse,
    Describe,
    ErrorResponse,
    Execute,
    Flush,
    FrontendMessage,
    Layout,
    MessageError,
    NegotiateProtocolVersion,
    ParameterStatus,
    Parse,
    ReadyForQuery,
    Report,
    SASLResponse,
    StartupMessage,
    StartupPacket,
    Sync,
    Terminate,
    decode,
    decode_startup,
    encode,
)
from shardrouter.quick_enums import quick

__all__ = ["READY", "Connection", "Event", "ProtocolError", "State", "Status"]

Event: TypeAlias = StartupPacket | FrontendMessage

PROTOCOL_MINOR: Final = 2
"""Newest minor version of protocol 3 spoken here."""

_LONG_KEYS_SINCE: Final = 2
"""The minor version that brought cancel keys of more than 4 bytes."""

Status: TypeAlias = Literal["I", "T", "E"]
"""Of a session: idle, in a transaction block, in one that has failed."""


@quick
class State(enum.Enum):
    STARTUP = "startup"  # packets without a tag
    GREETING = "greeting"  # it has said who it is: ours to greet, to question or to refuse
    SASL_INITIAL = "sasl initial"  # it was asked to prove who it is, by one of some mechanisms
    SASL = "sasl"  # the proof goes on
    READY = "ready"
    COPY = "copy"  # the rows of a COPY FROM STDIN come
    SKIPPING = "skipping"  # an extended-query message failed: all is skipped until Sync
    CLOSED = "closed"  # nothing more is read; send what is left and close


_READY: Final = State.READY
"""By itself: asked for with each statement, and as an attribute of an enum it takes as long as a
call."""


class ProtocolError(Exception):
    """What the client sent is not the protocol.

    fatal: where its next message begins is no longer known, or it speaks something else; the
    connection has to end. Otherwise the one message is refused and the connection goes on.
    """

    def __init__(self, sqlstate: str, message: str, *, fatal: bool, hint: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message
        self.fatal = fatal
        self.hint = hint


_OK: Final = 0
_SASL: Final = 10
_SASL_CONTINUE: Final = 11
_SASL_FINAL: Final = 12
"""Kinds of Authentication."""

_EXTENDED: Final = (Parse, Bind, Describe, Execute, Close, Flush)
"""After an error in one of these everything is skipped until Sync."""

_IGNORED: Final = (CopyData, CopyDone, CopyFail)
"""Outside of COPY they are what was under way when a COPY failed; PostgreSQL ignores them."""

COPY_BYTES: Final = 256 * 1024
"""Of CopyData that are handled at once, but for the last message."""

_COPY_DATA: Final = b"d"[0]

_HEAD: Final = struct.Struct(">BI")
_LENGTH: Final = struct.Struct(">I")
READY: Final[dict[Status, bytes]] = {
    "I": encode(ReadyForQuery("I")),
    "T": encode(ReadyForQuery("T")),
    "E": encode(ReadyForQuery("E")),
}
"""ReadyForQuery, encoded."""


class Connection:
    """See the module. The attributes without an underscore are for the driver to look at."""

    __slots__ = (
        "_asked",
        "_at",
        "_data",
        "_extended",
        "_need",
        "_no_room",
        "_out",
        "_pieces",
        "buffered",
        "encrypted",
        "event_bytes",
        "minor",
        "state",
        "to_discard",
        "unsent",
    )

    def __init__(self) -> None:
        self.state = State.STARTUP
        self.buffered = 0  # bytes received and not yet turned into events
        self.unsent = 0  # bytes that data_to_send() will return
        self.event_bytes = 0  # size of the message that was the last event
        self.minor = 0  # of the protocol version, once the client has said which it speaks
        self.encrypted = False  # what comes and goes here does so inside TLS
        self._data = b""  # the oldest of them, from _at on
        self._at = 0
        # The others. They are joined only when a whole message is there: joining at each
        # arrival copies a message of 16 MiB that comes in pieces of 64 KiB 128 times over.
        self._pieces: list[bytes] = []
        self._need = _LENGTH.size  # fewer bytes than these complete nothing
        self.to_discard = 0  # bytes left of a message that is too large
        self._no_room = False  # ... for what all connections may hold, not in itself
        self._asked: set[type[StartupPacket]] = set()  # encryption already asked for
        self._extended = False  # the event under way is one of _EXTENDED
        self._out: list[bytes] = []

    # ------------------------------------------------------------------ from the client

    def receive_data(self, data: bytes) -> None:
        if data and self.state is not State.CLOSED:
            self._pieces.append(data)
            self.buffered += len(data)

    def next_event(self) -> Event | None:
        """What the client says next, or None if it is not there yet, or not its turn.

        Raises ProtocolError: answer with end() if it is fatal (the state is CLOSED then),
        with fail() if not.
        """
        while self.buffered >= self._need:
            if self.state is State.GREETING or self.state is State.CLOSED:
                return None
            if self._pieces:
                self._data = b"".join((self._data[self._at :], *self._pieces))
                self._at = 0
                self._pieces.clear()
            if self.state is State.STARTUP:
                event: Event | None = self._next_packet()
            elif self.to_discard:
                self._discard_some()
                continue
            else:
                event = self._next_message()
            if event is not None:
                return event
        return None

    def _take(self, size: int) -> None:
        self._at += size
        self.buffered -= size
        if not self.buffered:
            self._data = b""
            self._at = 0

    def _broken(self, message: str, sqlstate: str = "08P01") -> ProtocolError:
        self.state = State.CLOSED
        self._data = b""
        self._at = self.buffered = 0
        return ProtocolError(sqlstate, message, fatal=True)

    def _next_packet(self) -> Event | None:
        (length,) = _LENGTH.unpack_from(self._data, self._at)
        if not 8 <= length <= STARTUP_BYTES_MAX:
            raise self._broken(f"invalid length of startup packet: {length}")
        if self.buffered < length:
            self._need = length
            return None
        body = self._data[self._at + 4 : self._at + length]
        self._take(length)
        self._need = _LENGTH.size
        try:
            packet = decode_startup(body)
        except MessageError as exc:
            raise self._broken(f"invalid startup packet: {exc.message}", exc.sqlstate) from exc
        if isinstance(packet, StartupMessage):
            self._negotiate(packet)
            self.state = State.GREETING
            self._need = _HEAD.size
        elif isinstance(packet, CancelRequest):
            self.state = State.CLOSED
        else:
            # Once each, as PostgreSQL: a client that never stops asking is not a client.
            if type(packet) in self._asked or self.encrypted:
                raise self._broken("encryption was asked for and answered already")
            self._asked.add(type(packet))
        return packet

    def _negotiate(self, startup: StartupMessage) -> None:
        if startup.major != 3:
            raise self._broken(
                f"unsupported frontend protocol {startup.major}.{startup.minor}: "
                f"server supports 3.0 to 3.{PROTOCOL_MINOR}",
                "0A000",
            )
        # libpq 18 may ask for 3.2, and any client for `_pq_.` options: without this answer it
        # takes what it asked for as granted. Nor does it take an answer that names more than
        # it asked for.
        self.minor = min(startup.minor, PROTOCOL_MINOR)
        unknown = tuple(name for name, _ in startup.parameters if name.startswith("_pq_."))
        if startup.minor > PROTOCOL_MINOR or unknown:
            self.send(NegotiateProtocolVersion(3 << 16 | self.minor, unknown))

    def _next_message(self) -> Event | None:
        tag, length = _HEAD.unpack_from(self._data, self._at)
        layout = FRONTEND.get(tag)
        if self.state in (State.SASL_INITIAL, State.SASL):
            if layout is None or layout.type is not SASLResponse:
                raise self._broken(f"expected SASL response, got message type {tag}")
            if self.state is State.SASL_INITIAL:
                layout = SASL_INITIAL
        elif layout is None or layout.type is SASLResponse:  # nobody asked for it
            raise self._broken(f"invalid frontend message type {tag}")
        if length > layout.bytes_max or length < 4:
            self._oversized(layout, length)
            return None
        size = length + 1
        if self.buffered < size:
            self._need = size
            return None
        if self.state is State.COPY and layout.type is CopyData:
            return self._copy_data()
        body = self._data[self._at + 5 : self._at + size]
        self._take(size)
        self._need = _HEAD.size
        self.event_bytes = size
        kind = layout.type
        if self.state in (State.SASL_INITIAL, State.SASL):
            return self._next_proof(layout, body)
        if self.state is State.COPY:
            return self._next_of_copy(layout, body)
        if self.state is State.SKIPPING:
            if kind is not Sync and kind is not Terminate:
                return None
            self.state = State.READY
        self._extended = kind in _EXTENDED
        if kind in _IGNORED:
            return None
        try:
            event: Event = decode(layout, body)
        except MessageError as exc:
            raise ProtocolError(exc.sqlstate, exc.message, fatal=False) from exc
        if kind is Terminate:
            self.state = State.CLOSED
        return event

    def _next_proof(self, layout: Layout, body: bytes) -> Event:
        """Our turn again, once the client has answered; a wrong answer ends the connection."""
        try:
            event: Event = decode(layout, body)
        except MessageError as exc:
            raise self._broken(exc.message, exc.sqlstate) from exc
        self.state = State.GREETING
        return event

    def _copy_data(self) -> CopyData:
        """The data of all messages of it that are there, as if it were one: clients send one for
        each row."""
        data, at = self._data, self._at
        end = len(data)
        unpack = _HEAD.unpack_from
        pieces: list[bytes] = []
        held = 0
        while end - at >= _HEAD.size and held < COPY_BYTES:
            tag, length = unpack(data, at)
            behind = at + 1 + length
            if tag != _COPY_DATA or behind > end or length < 4:
                break
            pieces.append(data[at + 5 : behind])
            held += length
            at = behind
        self.event_bytes = at - self._at
        self._take(at - self._at)
        self._need = _HEAD.size
        return CopyData(b"".join(pieces))

    def _next_of_copy(self, layout: Layout, body: bytes) -> Event | None:
        """A message in the middle of COPY FROM STDIN. Sync and Flush mean nothing there: a client
        may have sent them before it knew that a COPY begins."""
        kind = layout.type
        if kind is Sync or kind is Flush:
            return None
        if kind is not CopyDone and kind is not CopyFail and kind is not Terminate:
            raise self._broken(
                f"unexpected message type 0x{layout.tag[0]:02X} during COPY from stdin"
            )
        try:
            event: Event = decode(layout, body)
        except MessageError as exc:
            raise self._broken(exc.message, exc.sqlstate) from exc
        self.state = State.CLOSED if kind is Terminate else State.READY
        return event

    def _oversized(self, layout: Layout, length: int) -> None:
        """Begin to read past a message that is too large to be kept.

        Closing at once would be simpler, but a client that is still sending gets a reset
        connection instead of the sentence that says why.
        """
        if length < 4 or length > LENGTH_MAX or layout.bytes_max <= SMALL_BYTES_MAX:
            raise self._broken(f"invalid message length: {length}")
        if self.state is not State.COPY:
            self._extended = layout.type in _EXTENDED
        self._take(_HEAD.size)
        self.to_discard = length - 4
        self._need = 1

    def give_up_message(self) -> None:
        """There is no room for the message that is arriving: forget what has come of it and read
        past the rest. next_event() then raises ProtocolError 53200."""
        if (
            self.state not in (State.READY, State.SKIPPING, State.COPY)
            or self.to_discard
            or self.buffered < _HEAD.size
        ):
            return
        self._data = b"".join((self._data[self._at :], *self._pieces))
        self._at = 0
        self._pieces.clear()
        tag, length = _HEAD.unpack_from(self._data)
        assert length + 1 > self.buffered, "a whole message is the driver's to take"
        self._no_room = True
        self._extended = FRONTEND[tag].type in _EXTENDED
        self._take(_HEAD.size)
        self.to_discard = length - 4
        self._need = 1
        self._discard_some()  # it is not whole, so this raises nothing

    def _discard_some(self) -> None:
        size = min(self.to_discard, self.buffered)
        self._take(size)
        self.to_discard -= size
        if self.to_discard:
            return
        self._need = _HEAD.size
        no_room, self._no_room = self._no_room, False
        if self.state in (State.READY, State.COPY) and no_room:
            raise ProtocolError(
                "53200",
                "out of memory",
                fatal=False,
                hint="The large messages of all connections have no room. Repeat it later.",
            )
        if self.state in (State.READY, State.COPY):
            raise ProtocolError(
                "54000",
                "the message is larger than this server takes",
                fatal=False,
                hint=f"A message may have {LARGE_BYTES_MAX >> 20} MiB; send less at once.",
            )

    # -------------------------------------------------------------------- to the client

    def data_to_send(self) -> bytes:
        """Everything said since the last call."""
        if not self._out:
            return b""
        data = b"".join(self._out)
        self._out.clear()
        self.unsent = 0
        return data

    def send(self, message: BackendMessage) -> None:
        self.send_encoded(encode(message))

    def send_encoded(self, data: bytes) -> None:
        """Whole messages that are encoded already."""
        self._out.append(data)
        self.unsent += len(data)

    def refuse_encryption(self) -> None:
        """Answer SSLRequest or GSSENCRequest: the client goes on in plain text or leaves."""
        self.send_encoded(b"N")

    def accept_encryption(self) -> None:
        """Answer SSLRequest: what the driver feeds and sends from here on goes through TLS.

        Raises ProtocolError if the client has already sent more. Somebody between it and us may
        have put that there, to be taken for what the client said inside TLS (CVE-2021-23214).
        """
        if self.buffered:
            raise self._broken("received unencrypted data after SSL request")
        self.encrypted = True
        self.send_encoded(b"S")

    def ask_sasl(self, mechanisms: Sequence[str]) -> None:
        """Answer StartupMessage: prove who you are by one of these."""
        assert self.state is State.GREETING
        names = b"".join(name.encode() + b"\0" for name in mechanisms)
        self.send(Authentication(_SASL, names + b"\0"))
        self.state = State.SASL_INITIAL

    def continue_sasl(self, data: bytes) -> None:
        """Answer the client's proof so far with a question."""
        assert self.state is State.GREETING
        self.send(Authentication(_SASL_CONTINUE, data))
        self.state = State.SASL

    def end_sasl(self, data: bytes) -> None:
        """The proof is good, and `data` ours; greet() is next."""
        assert self.state is State.GREETING
        self.send(Authentication(_SASL_FINAL, data))

    @property
    def key_bytes(self) -> int:
        """Size of the cancel key that this client can take."""
        return 32 if self.minor >= _LONG_KEYS_SINCE else 4

    def greet(self, parameters: Mapping[str, str], *, pid: int, key: bytes) -> None:
        """Answer StartupMessage, or its proof: it is in, and statements may come."""
        assert self.state is State.GREETING
        self.send(Authentication(_OK))
        for name, value in parameters.items():
            self.send(ParameterStatus(name, value))
        self.send(BackendKeyData(pid, key))
        self.state = State.READY
        self.ready()

    def begin_copy_in(self, response: CopyInResponse) -> None:
        """The client may send rows: CopyData until CopyDone or CopyFail."""
        assert self.state is State.READY
        self.send(response)
        self.state = State.COPY

    def begin_round_trip(self) -> None:
        """What was received up to a Sync is handled at once, and did not come through here."""
        assert self.state is _READY
        assert not self.buffered
        assert not self.to_discard
        self._extended = False

    def ready(self, status: Status = "I") -> None:
        """Say that the next statement may come, and how the session stands."""
        self.send_encoded(READY[status])

    def fail(self, report: Report, status: Status = "I") -> None:
        """Answer the event under way with an error: skip to Sync, or be ready at once."""
        self.fail_encoded(encode(ErrorResponse(report)), status)

    def fail_encoded(self, error: bytes, status: Status = "I") -> None:
        """`fail`, by an ErrorResponse that is encoded already."""
        self.send_encoded(error)
        if self.state is State.CLOSED:
            return
        if self._extended:
            self.state = State.SKIPPING
        else:
            self.state = State.READY
            self.ready(status)

    def end(self, report: Report | None = None) -> None:
        """Say, if anything, a last word; nothing more is read."""
        if report is not None:
            self.send(ErrorResponse(report))
        self.state = State.CLOSED
