"""A prepared statement in one go: Bind, perhaps Describe, Execute and Sync, as drivers send them.

What they send for a statement differs from one time to the next in the values alone. A `RoundTrip`
knows the bytes around them, and reads the values of one that has the same. It says no to all else,
to whatever is wrong in particular: then the messages are read one by one (`connection`,
`portals.bind_arguments`), which say what it is. So a statement is the same whichever way it went.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Final

from nodes.protocol import Value
from nodes.values import ValueFormatError, value_reader
from shardrouter.errors import StatementError
from shardrouter.pgwire.messages import (
    FRONTEND,
    Bind,
    Describe,
    Execute,
    MessageError,
    Sync,
    Target,
    decode,
    encode,
)
from shardrouter.pgwire.portals import binary_parameters, result_formats

__all__ = ["RoundTrip", "learned", "statement_bytes"]

_BIND: Final = b"B"[0]
_HEAD: Final = 5
"""Bytes of a message's type and length."""

_RUN: Final = encode(Execute("", 0)) + encode(Sync())
_DESCRIBED: Final = {_RUN: False, encode(Describe(Target.PORTAL, "")) + _RUN: True}
"""What may stand behind the Bind, of the unnamed portal and all its rows."""

_LENGTH: Final = struct.Struct(">i")
_NULL: Final = -1


def statement_bytes(data: bytes) -> bytes | None:
    """The name of its statement, as it is written, if `data` may be one round trip."""
    if data[0] != _BIND or len(data) < _HEAD + 2 or data[_HEAD]:
        return None
    if data[1 + int.from_bytes(data[1:_HEAD]) :] not in _DESCRIBED:
        return None
    end = data.find(b"\0", _HEAD + 1)
    return data[_HEAD + 1 : end] if end > 0 else None


class RoundTrip:
    """The way in which a client sends one statement."""

    __slots__ = ("_before", "_behind", "_readers", "formats", "is_described")

    def __init__(
        self,
        before: bytes,
        readers: tuple[Callable[[bytes], Value], ...],
        behind: bytes,
        formats: tuple[bool, ...],
        *,
        is_described: bool,
    ) -> None:
        self._before = before  # the values: from the name's end on
        self._readers = readers
        self._behind = behind
        self.formats = formats
        """For each column of the result: binary?"""
        self.is_described = is_described

    def arguments(self, data: bytes, name: bytes) -> tuple[Value, ...] | None:
        """None: `data`, of which `statement_bytes` is `name`, is not sent in this way, or wrong."""
        at = _HEAD + 1 + len(name)
        if not data.startswith(self._before, at) or not data.endswith(self._behind):
            return None
        at += len(self._before)
        end = len(data) - len(self._behind)
        if at > end:
            return None
        found: list[Value] = []
        for read in self._readers:
            (length,) = _LENGTH.unpack_from(data, at)  # what stands behind is longer than a length
            at += _LENGTH.size
            if length == _NULL and at <= end:
                found.append(None)
                continue
            start, at = at, at + length
            if length < 0 or at > end:
                return None
            try:
                found.append(read(data[start:at]))
            except ValueFormatError:
                return None
        return tuple(found) if at == end else None


def learned(data: bytes, name: bytes, oids: Sequence[int], columns: int) -> RoundTrip | None:
    """How `data` was sent, of which `statement_bytes` is `name`, for a statement with parameters of
    these types and so many columns. None: something in it is wrong."""
    end = 1 + int.from_bytes(data[1:_HEAD])
    try:
        bind = decode(FRONTEND[_BIND], data[_HEAD:end])
        assert isinstance(bind, Bind)
        formats = result_formats(bind, columns)
        readers = tuple(
            value_reader(oid, binary=binary)
            for oid, binary in zip(oids, binary_parameters(bind, len(oids)), strict=True)
        )
    except (MessageError, StatementError, ValueFormatError):
        return None
    before = _HEAD + 1 + len(name)
    values = before + 1 + 2 + 2 * len(bind.formats) + 2
    behind = end - 2 - 2 * len(bind.result_formats)
    described = _DESCRIBED[data[end:]]
    return RoundTrip(data[before:values], readers, data[behind:], formats, is_described=described)
