"""Frames: how messages are cut out of a byte stream (see `nodes.protocol`)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from nodes.protocol import FRAME_BYTES_MAX, ProtocolError

__all__ = ["ITEMS_MAX", "ITEM_BYTES_MAX", "FrameDecoder", "array_frames", "encode_frame"]

_LENGTH: Final = struct.Struct(">I")

ITEMS_MAX: Final = 8192
"""Items of an array in a frame; who reads it refuses more before it decodes the first."""

ITEM_BYTES_MAX: Final = FRAME_BYTES_MAX - 5
"""Largest item of an array in a frame."""

_SHARED_BYTES_MAX: Final = 1024 * 1024
"""Items share a frame up to so many bytes: who reads it holds all of it in memory."""


def encode_frame(payload: bytes, limit: int = FRAME_BYTES_MAX) -> bytes:
    """`payload` with its length in front.

    Raises ProtocolError if it is larger than `limit`: the caller has to bound what it builds, the
    receiver would close the connection.
    """
    if len(payload) > limit:
        raise ProtocolError(f"a frame of {len(payload)} bytes is over {limit}")
    return _LENGTH.pack(len(payload)) + payload


def array_frames(items: Sequence[object], encoder: msgspec.msgpack.Encoder) -> list[bytes]:
    """Frames whose payloads are arrays of `items`: one, or a few if the items are large or many.
    Raises what the encoder raises, and ProtocolError if an item is larger than `ITEM_BYTES_MAX`."""
    if len(items) <= ITEMS_MAX:
        payload = encoder.encode(items)
        if len(payload) <= _SHARED_BYTES_MAX:
            return [_LENGTH.pack(len(payload)) + payload]
        if len(items) == 1:
            return [encode_frame(payload)]
    half = len(items) // 2
    return array_frames(items[:half], encoder) + array_frames(items[half:], encoder)


class FrameDecoder:
    """Cuts a byte stream into frames.

    for payload in decoder.feed(data): ...

    Raises ProtocolError as soon as a length over the limit is seen. Memory is bounded by one
    frame and one read of the socket. `limit` may be set between two payloads.
    """

    __slots__ = ("_buffer", "limit")

    def __init__(self, limit: int = FRAME_BYTES_MAX) -> None:
        self._buffer = b""
        self.limit = limit

    @property
    def is_empty(self) -> bool:
        """Nothing of a further payload has come."""
        return not self._buffer

    def feed(self, data: bytes) -> Iterable[memoryview]:
        """Payloads that `data` completes, in order. Each is valid until the next `feed`."""
        size = len(data) - _LENGTH.size
        if size >= 0 and not self._buffer and int.from_bytes(data[:4]) == size <= self.limit:
            return (memoryview(bytes(data))[4:],)  # nearly always: one frame, and whole
        return self._payloads(data)

    def _payloads(self, data: bytes) -> Iterator[memoryview]:
        buffer = self._buffer + data if self._buffer else bytes(data)
        self._buffer = b""
        view = memoryview(buffer)
        start, size = 0, len(buffer)
        try:
            while size - start >= 4:
                (length,) = _LENGTH.unpack_from(buffer, start)
                if length > self.limit:
                    raise ProtocolError(
                        f"a frame of {length} bytes was announced, the limit is {self.limit}"
                    )
                end = start + 4 + length
                if end > size:
                    break
                yield view[start + 4 : end]
                start = end
        finally:
            self._buffer = buffer[start:]
