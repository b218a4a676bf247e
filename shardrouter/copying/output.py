"""Rows out: DataRow messages, as a shard encoded them, into CopyData messages, one for each row."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from shardrouter.copying.binary import HEADER, TRAILER
from shardrouter.copying.csv_format import quote_csv
from shardrouter.copying.options import CopyOptions
from shardrouter.copying.text import escape_text

__all__ = ["CopyWriter", "content_of"]

_HEAD: Final = struct.Struct(">BIH")  # tag, length, count of cells
_LENGTH: Final = struct.Struct(">i")
_DATA: Final = struct.Struct(">cI")


class CopyWriter:
    """begin, then rows any number of times, then end; each gives whole messages.

    `names` are the columns. Cells have to be in binary if the format is, else in text."""

    def __init__(self, names: Sequence[str], options: CopyOptions) -> None:
        self._names = tuple(names)
        self._options = options
        forced = options.force_quote
        self._forced = [forced is None or name in forced for name in names]
        specials = {options.delimiter, options.quote, "\n", "\r"}
        self._specials = [special.encode() for special in specials]

    @property
    def width(self) -> int:
        """How many columns."""
        return len(self._names)

    def begin(self) -> bytes:
        if self._options.format == "binary":
            return _message(HEADER)
        if self._options.header == "no":
            return b""
        return _message(self._line([name.encode() for name in self._names], is_header=True))

    def rows(self, rows: bytes) -> bytes:
        """`rows` are whole DataRow messages."""
        out: list[bytes] = []
        at, size = 0, len(rows)
        is_binary = self._options.format == "binary"
        while at < size:
            _, length, count = _HEAD.unpack_from(rows, at)
            end = at + 1 + length
            if is_binary:  # the same bytes behind another letter
                out.append(b"d" + rows[at + 1 : end])
            else:
                out.append(_message(self._line(_cells(rows, at + 7, count))))
            at = end
        return b"".join(out)

    def end(self) -> bytes:
        return _message(TRAILER) if self._options.format == "binary" else b""

    def _line(self, cells: Sequence[bytes | None], *, is_header: bool = False) -> bytes:
        options = self._options
        null, delimiter = options.null.encode(), options.delimiter.encode()
        if options.format == "text":
            written = [null if cell is None else escape_text(cell, delimiter) for cell in cells]
        else:
            is_single = len(cells) == 1
            written = [
                null
                if cell is None
                else quote_csv(
                    cell,
                    options,
                    self._specials,
                    force=force and not is_header,
                    is_single=is_single,
                )
                for cell, force in zip(cells, self._forced, strict=True)
            ]
        return delimiter.join(written) + b"\n"


def content_of(messages: bytes) -> bytes:
    """What whole CopyData messages carry: the file that a client makes of them."""
    pieces: list[bytes] = []
    at = 0
    while at < len(messages):
        _, length = _DATA.unpack_from(messages, at)
        pieces.append(messages[at + 5 : at + 1 + length])
        at += 1 + length
    return b"".join(pieces)


def _cells(rows: bytes, at: int, count: int) -> list[bytes | None]:
    cells: list[bytes | None] = []
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(rows, at)
        at += 4
        if length < 0:
            cells.append(None)
        else:
            cells.append(rows[at : at + length])
            at += length
    return cells


def _message(body: bytes) -> bytes:
    return _DATA.pack(b"d", 4 + len(body)) + body
