"""Just enough of gRPC to put keys into etcd and to read them: HTTP/2 frames by hand, no package.

A general client spends more on a call than etcd does, and the benchmark would measure it. This
one has one connection and sends what `etcdserverpb.KV/Put` and `/Range` need (RFC 9113; the headers
of all calls of a kind are the same bytes), and looks at what a caller must look at: whether the
call ended with a message, which etcd sends only if it has put the key, or has read it in a state
that a majority confirmed.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from typing import Final, cast

__all__ = ["EtcdCalls"]

_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_INITIAL_WINDOW: Final = 65_535
_WINDOW_MAX: Final = 2**31 - 1
_U32: Final = struct.Struct(">I")


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return _U32.pack(len(payload))[1:] + bytes((kind, flags)) + _U32.pack(stream) + payload


def _header(name: str, value: str) -> bytes:
    """A literal without indexing (RFC 7541, 6.2.2), texts of up to 126 bytes."""
    parts = (name.encode(), value.encode())
    return b"\0" + b"".join(bytes((len(part),)) + part for part in parts)


def _headers(method: str) -> bytes:
    return b"".join(
        _header(*pair)
        for pair in (
            (":method", "POST"),
            (":scheme", "http"),
            (":path", f"/etcdserverpb.KV/{method}"),
            (":authority", "127.0.0.1"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        )
    )


_PUT: Final = _headers("Put")
_RANGE: Final = _headers("Range")


def _put_message(key: bytes, value: bytes) -> bytes:
    """A PutRequest (key = 1, value = 2) behind gRPC's prefix; both under 16384 bytes."""
    body = b"\x0a" + _varint(len(key)) + key + b"\x12" + _varint(len(value)) + value
    return b"\0" + _U32.pack(len(body)) + body


def _range_message(key: bytes) -> bytes:
    """A RangeRequest of one key (key = 1), linearizable as is its default."""
    body = b"\x0a" + _varint(len(key)) + key
    return b"\0" + _U32.pack(len(body)) + body


def _varint(number: int) -> bytes:
    return bytes((number,)) if number < 128 else bytes((number & 127 | 128, number >> 7))


class EtcdCalls(asyncio.Protocol):
    """One connection; `put` and `get` call `done(whether it was answered)` once."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._buffer = b""
        self._stream = -1
        self._waiting: dict[int, Callable[[bool], None]] = {}
        self._answered: set[int] = set()
        self._window = _INITIAL_WINDOW  # bytes the server will still take
        self._unsent: deque[tuple[int, bytes, bytes]] = deque()
        self._out: list[bytes] = []
        self._flush_due = False
        self._received = 0
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + _frame(_SETTINGS, 0, 0, struct.pack(">HI", 4, _WINDOW_MAX))
            + _frame(_WINDOW, 0, 0, _U32.pack(_WINDOW_MAX - _INITIAL_WINDOW))
        )

    def put(self, key: bytes, value: bytes, done: Callable[[bool], None]) -> None:
        self._call(_PUT, _put_message(key, value), done)

    def get(self, key: bytes, done: Callable[[bool], None]) -> None:
        self._call(_RANGE, _range_message(key), done)

    def _call(self, headers: bytes, message: bytes, done: Callable[[bool], None]) -> None:
        self._stream += 2
        self._waiting[self._stream] = done
        self._unsent.append((self._stream, headers, message))
        self._pump()

    def _pump(self) -> None:
        """Send what the server's window takes, all of one turn of the loop in one write."""
        while self._unsent and len(self._unsent[0][2]) <= self._window:
            stream, headers, message = self._unsent.popleft()
            self._window -= len(message)
            self._out.append(_frame(_HEADERS, _END_HEADERS, stream, headers))
            self._out.append(_frame(_DATA, _END_STREAM, stream, message))
        if self._out and not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        out, self._out = self._out, []
        self._transport.write(b"".join(out))

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        at = 0
        while len(buffer) - at >= 9:
            (size,) = _U32.unpack_from(buffer, at)
            size >>= 8
            end = at + 9 + size
            if end > len(buffer):
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            (stream,) = _U32.unpack_from(buffer, at + 5)
            self._on_frame(kind, flags, stream, buffer[at + 9 : end])
            at = end
        self._buffer = buffer[at:]

    def _on_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _DATA:
            self._received += len(payload)
            if self._received > _WINDOW_MAX // 2:
                self._out.append(_frame(_WINDOW, 0, 0, _U32.pack(self._received)))
                self._received = 0
            self._answered.add(stream)
        elif (kind == _HEADERS and flags & _END_STREAM) or kind == _RESET:
            is_put = stream in self._answered and kind == _HEADERS
            self._answered.discard(stream)
            self._waiting.pop(stream)(is_put)
        elif kind == _SETTINGS and not flags & _ACK:
            self._out.append(_frame(_SETTINGS, _ACK, 0))
        elif kind == _PING and not flags & _ACK:
            self._out.append(_frame(_PING, _ACK, 0, payload))
        elif kind == _WINDOW and stream == 0:
            self._window += _U32.unpack(payload)[0]
        elif kind == _GOAWAY:
            raise ConnectionError(f"etcd has ended the connection: {payload[8:]!r}")
        self._pump()
