"""Every message of PostgreSQL's frontend/backend protocol 3 that a server of SQL meets.

One table, `LAYOUTS`, gives each message its tag, its type, its fields and its size limit; the
decoder and the encoder are both read off it, so they cannot disagree. Both directions are in
it: the server decodes what a client says and encodes its answers, a test does the reverse.

Pure: knows bytes and values. It does not know which message is legal when; that is
`connection`. Source: PostgreSQL 15, chapter 55.7 "Message Formats".
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec

from shardrouter.pgwire.fields import (
    BYTE,
    COUNTED,
    FIELDS,
    FORMATS,
    INT32,
    LETTER,
    NAMES,
    OIDS,
    PAIRS,
    PARAMETERS_MAX,
    REPORT,
    REST,
    STRING,
    TARGET,
    VALUES,
    Field,
    Kind,
    MessageError,
    Report,
    Target,
)

__all__ = [
    "LARGE_BYTES_MAX",
    "LENGTH_MAX",
    "PARAMETERS_MAX",
    "SMALL_BYTES_MAX",
    "STARTUP_BYTES_MAX",
    "Direction",
    "Layout",
    "LAYOUTS",
    "SASL_INITIAL",
    "FRONTEND",
    "BACKEND",
    "MessageError",
    "decode",
    "encode",
    "encode_command_complete",
    "decode_startup",
    # before the greeting
    "SSLRequest",
    "GSSENCRequest",
    "CancelRequest",
    "StartupMessage",
    "StartupPacket",
    # from the client
    "Bind",
    "Close",
    "CopyData",
    "CopyDone",
    "CopyFail",
    "Describe",
    "Execute",
    "Flush",
    "FunctionCall",
    "Parse",
    "Query",
    "SASLInitialResponse",
    "SASLResponse",
    "Sync",
    "Target",
    "Terminate",
    "FrontendMessage",
    # from the server
    "Authentication",
    "BackendKeyData",
    "BindComplete",
    "CloseComplete",
    "CommandComplete",
    "CopyInResponse",
    "CopyOutResponse",
    "DataRow",
    "EmptyQueryResponse",
    "ErrorResponse",
    "Field",
    "NegotiateProtocolVersion",
    "NoData",
    "NoticeResponse",
    "NotificationResponse",
    "ParameterDescription",
    "ParameterStatus",
    "ParseComplete",
    "PortalSuspended",
    "ReadyForQuery",
    "Report",
    "RowDescription",
    "BackendMessage",
]

LARGE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Largest message that carries SQL or values: 16 times the largest write (DESIGN section 6)."""

SMALL_BYTES_MAX: Final = 10_000
"""Largest message that carries only names, as PostgreSQL's PQ_SMALL_MESSAGE_LIMIT."""

STARTUP_BYTES_MAX: Final = 10_000
"""Largest packet before the greeting, as PostgreSQL's MAX_STARTUP_PACKET_LENGTH."""

LENGTH_MAX: Final = 0x3FFFFFFF
"""Longest message PostgreSQL itself would take; a longer one is not this protocol."""


class _Message(msgspec.Struct, frozen=True, gc=False):
    """Base of all messages: immutable, compared by value."""


# ------------------------------------------------------------------- before the greeting


class SSLRequest(_Message, frozen=True):
    """The client asks for TLS; one byte answers."""


class GSSENCRequest(_Message, frozen=True):
    """The client asks for GSSAPI encryption; one byte answers."""


class CancelRequest(_Message, frozen=True):
    """Sent alone on a connection of its own."""

    pid: int
    key: bytes


class StartupMessage(_Message, frozen=True):
    major: int
    minor: int
    parameters: tuple[tuple[str, str], ...]


StartupPacket: TypeAlias = SSLRequest | GSSENCRequest | CancelRequest | StartupMessage


# ------------------------------------------------------------------------ from the client


class Query(_Message, frozen=True):
    text: str


class Parse(_Message, frozen=True):
    statement: str  # "": the unnamed one
    text: str
    parameter_oids: tuple[int, ...]  # 0: infer it


class Bind(_Message, frozen=True):
    portal: str
    statement: str
    formats: tuple[int, ...]  # none: all text; one: for all; else one for each
    values: tuple[bytes | None, ...]
    result_formats: tuple[int, ...]  # as formats


class Describe(_Message, frozen=True):
    target: Target
    name: str


class Execute(_Message, frozen=True):
    portal: str
    row_limit: int  # 0 or less: all


class Close(_Message, frozen=True):
    target: Target
    name: str


class Sync(_Message, frozen=True):
    pass


class Flush(_Message, frozen=True):
    pass


class Terminate(_Message, frozen=True):
    pass


class SASLInitialResponse(_Message, frozen=True):
    """The first answer to a demand for SASL. It has the tag of SASLResponse: which of the two
    a message is depends on the authentication that is going on."""

    mechanism: str
    data: bytes | None


class SASLResponse(_Message, frozen=True):
    """Also a password, where a server asks for one; this one never does."""

    data: bytes


class FunctionCall(_Message, frozen=True):
    body: bytes


class CopyData(_Message, frozen=True):
    data: bytes


class CopyDone(_Message, frozen=True):
    pass


class CopyFail(_Message, frozen=True):
    reason: str


FrontendMessage: TypeAlias = (
    Query
    | Parse
    | Bind
    | Describe
    | Execute
    | Close
    | Sync
    | Flush
    | Terminate
    | SASLInitialResponse
    | SASLResponse
    | FunctionCall
    | CopyData
    | CopyDone
    | CopyFail
)


# ------------------------------------------------------------------------ from the server


class Authentication(_Message, frozen=True):
    """kind 0: done; 10: SASL is wanted, by a mechanism of those that `data` names; 11 and 12:
    what SASL says next and last."""

    kind: int
    data: bytes = b""


class ParameterStatus(_Message, frozen=True):
    name: str
    value: str


class BackendKeyData(_Message, frozen=True):
    pid: int
    key: bytes  # 4 bytes in protocol 3.0, up to 256 since 3.2


class NegotiateProtocolVersion(_Message, frozen=True):
    version: int  # newest supported, major << 16 | minor
    unknown: tuple[str, ...]  # the options of the client that are not known


class ReadyForQuery(_Message, frozen=True):
    status: str  # I idle, T in a transaction, E in a failed one


class RowDescription(_Message, frozen=True):
    fields: tuple[Field, ...]


class ParameterDescription(_Message, frozen=True):
    oids: tuple[int, ...]


class DataRow(_Message, frozen=True):
    values: tuple[bytes | None, ...]


class CommandComplete(_Message, frozen=True):
    tag: str


class EmptyQueryResponse(_Message, frozen=True):
    pass


class ErrorResponse(_Message, frozen=True):
    report: Report


class NoticeResponse(_Message, frozen=True):
    report: Report


class ParseComplete(_Message, frozen=True):
    pass


class BindComplete(_Message, frozen=True):
    pass


class CloseComplete(_Message, frozen=True):
    pass


class NoData(_Message, frozen=True):
    pass


class PortalSuspended(_Message, frozen=True):
    pass


class NotificationResponse(_Message, frozen=True):
    pid: int
    channel: str
    payload: str


class CopyInResponse(_Message, frozen=True):
    """The client may send CopyData."""

    format: int  # of the whole: 0 text, 1 binary
    formats: tuple[int, ...]  # of each column


class CopyOutResponse(_Message, frozen=True):
    """CopyData follows."""

    format: int
    formats: tuple[int, ...]


BackendMessage: TypeAlias = (
    Authentication
    | ParameterStatus
    | BackendKeyData
    | NegotiateProtocolVersion
    | ReadyForQuery
    | RowDescription
    | ParameterDescription
    | DataRow
    | CommandComplete
    | EmptyQueryResponse
    | ErrorResponse
    | NoticeResponse
    | ParseComplete
    | BindComplete
    | CloseComplete
    | NoData
    | PortalSuspended
    | NotificationResponse
    | CopyInResponse
    | CopyOutResponse
    | CopyData
    | CopyDone
)


# ------------------------------------------------------------------------------ the table


class Direction(enum.Flag):
    FRONTEND = enum.auto()  # from the client
    BACKEND = enum.auto()  # from the server
    BOTH = FRONTEND | BACKEND


@dataclass(frozen=True, eq=False)
class Layout:
    """How one kind of message lies on the wire: tag, 32-bit length, then its fields."""

    direction: Direction
    tag: bytes
    type: type[_Message]
    kinds: tuple[Kind, ...] = ()
    bytes_max: int = SMALL_BYTES_MAX  # of the length; only what a client sends is checked
    repeats: bool = False  # clients send the same one again and again


_F, _B, _FB = Direction.FRONTEND, Direction.BACKEND, Direction.BOTH
_LARGE: Final = LARGE_BYTES_MAX

LAYOUTS: Final = (
    Layout(_F, b"Q", Query, (STRING,), _LARGE),
    Layout(_F, b"P", Parse, (STRING, STRING, OIDS), _LARGE),
    Layout(_F, b"B", Bind, (STRING, STRING, FORMATS, VALUES, FORMATS), _LARGE),
    Layout(_F, b"D", Describe, (TARGET, STRING), repeats=True),
    Layout(_F, b"E", Execute, (STRING, INT32), repeats=True),
    Layout(_F, b"C", Close, (TARGET, STRING), repeats=True),
    Layout(_F, b"S", Sync, repeats=True),
    Layout(_F, b"H", Flush),
    Layout(_F, b"X", Terminate),
    Layout(_F, b"p", SASLResponse, (REST,)),
    Layout(_F, b"F", FunctionCall, (REST,), _LARGE),
    Layout(_FB, b"d", CopyData, (REST,), _LARGE),
    Layout(_FB, b"c", CopyDone),
    Layout(_F, b"f", CopyFail, (STRING,)),
    Layout(_B, b"R", Authentication, (INT32, REST)),
    Layout(_B, b"S", ParameterStatus, (STRING, STRING)),
    Layout(_B, b"K", BackendKeyData, (INT32, REST)),
    Layout(_B, b"v", NegotiateProtocolVersion, (INT32, NAMES)),
    Layout(_B, b"Z", ReadyForQuery, (LETTER,)),
    Layout(_B, b"T", RowDescription, (FIELDS,)),
    Layout(_B, b"t", ParameterDescription, (OIDS,)),
    Layout(_B, b"D", DataRow, (VALUES,)),
    Layout(_B, b"C", CommandComplete, (STRING,)),
    Layout(_B, b"I", EmptyQueryResponse),
    Layout(_B, b"E", ErrorResponse, (REPORT,)),
    Layout(_B, b"N", NoticeResponse, (REPORT,)),
    Layout(_B, b"1", ParseComplete),
    Layout(_B, b"2", BindComplete),
    Layout(_B, b"3", CloseComplete),
    Layout(_B, b"n", NoData),
    Layout(_B, b"s", PortalSuspended),
    Layout(_B, b"A", NotificationResponse, (INT32, STRING, STRING)),
    Layout(_B, b"G", CopyInResponse, (BYTE, FORMATS)),
    Layout(_B, b"H", CopyOutResponse, (BYTE, FORMATS)),
)

SASL_INITIAL: Final = Layout(_F, b"p", SASLInitialResponse, (STRING, COUNTED))
"""Not in the table, where a tag of one direction means one message."""

_HEAD: Final = struct.Struct(">I")

_REPEATED_BYTES_MAX: Final = 80
"""Of a message that is kept as it was read: one with a name as PostgreSQL knows them."""

_STARTUP_LAYOUTS: Final[dict[int, tuple[type[_Message], tuple[Kind, ...]]]] = {
    (1234 << 16) | 5679: (SSLRequest, ()),
    (1234 << 16) | 5680: (GSSENCRequest, ()),
    (1234 << 16) | 5678: (CancelRequest, (INT32, REST)),
}
"""Packets before the greeting have a number where later ones have a tag; any other number is
the protocol version of a StartupMessage."""

FRONTEND: Final = {layout.tag[0]: layout for layout in LAYOUTS if _F in layout.direction}
BACKEND: Final = {layout.tag[0]: layout for layout in LAYOUTS if _B in layout.direction}
_BY_TYPE: Final = {layout.type: layout for layout in (*LAYOUTS, SASL_INITIAL)}
_STARTUP_CODES: Final = {entry[0]: code for code, entry in _STARTUP_LAYOUTS.items()}


# -------------------------------------------------------------------- decode and encode


def _decode_fields(kinds: tuple[Kind, ...], body: bytes) -> list[Any]:
    values = []
    at = 0
    try:
        for kind in kinds:
            value, at = kind.read(body, at)
            values.append(value)
    except (struct.error, IndexError) as exc:
        raise MessageError("08P01", "insufficient data left in message") from exc
    if at != len(body):
        raise MessageError("08P01", "invalid message format")
    return values


def decode(layout: Layout, body: bytes) -> Any:
    """The message of kind `layout` whose fields are `body`. Raises MessageError."""
    if layout.repeats and len(body) <= _REPEATED_BYTES_MAX:
        return _decode_again(layout, body)
    return layout.type(*_decode_fields(layout.kinds, body))


@lru_cache(maxsize=1024)
def _decode_again(layout: Layout, body: bytes) -> Any:
    return layout.type(*_decode_fields(layout.kinds, body))


def decode_startup(body: bytes) -> StartupPacket:
    """The packet before the greeting, without its length. Raises MessageError.

    The parameters of a version other than 3 are not read: only version 3 says how they lie.
    """
    code = int.from_bytes(body[:4])
    known = _STARTUP_LAYOUTS.get(code)
    if known is not None:
        packet: StartupPacket = known[0](*_decode_fields(known[1], body[4:]))  # type: ignore[assignment]  # the table holds packets only
        return packet
    major, minor = code >> 16, code & 0xFFFF
    if major != 3:
        return StartupMessage(major, minor, ())
    return StartupMessage(major, minor, *_decode_fields((PAIRS,), body[4:]))


def _encode_fields(kinds: tuple[Kind, ...], message: _Message) -> bytes:
    names = message.__struct_fields__
    values = [kind.write(getattr(message, name)) for kind, name in zip(kinds, names, strict=True)]
    return b"".join(values)


def encode(message: FrontendMessage | BackendMessage | StartupPacket) -> bytes:
    """The whole message as it goes onto the wire."""
    layout = _BY_TYPE.get(type(message))
    if layout is not None:
        body = _encode_fields(layout.kinds, message)
        return layout.tag + _HEAD.pack(len(body) + 4) + body
    if isinstance(message, StartupMessage):
        code = (message.major << 16) | message.minor
        body = PAIRS.write(message.parameters)
    else:
        code = _STARTUP_CODES[type(message)]
        body = _encode_fields(_STARTUP_LAYOUTS[code][1], message)
    return _HEAD.pack(len(body) + 8) + _HEAD.pack(code) + body


@lru_cache(maxsize=1024)
def encode_command_complete(tag: str) -> bytes:
    """CommandComplete, which every statement ends with, almost always one of a few."""
    return encode(CommandComplete(tag))
