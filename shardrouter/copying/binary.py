"""COPY's binary format: a signature, rows of values in their types' binary formats, a trailer.

A row in it is byte for byte the body of a DataRow message in binary."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from nodes.protocol import FRAME_BYTES_MAX, Value
from nodes.values import ValueFormatError, decode_binary
from shardrouter.copying.columns import CopyColumn, Place, bad_data
from shardrouter.copying.lines import Row

__all__ = ["HEADER", "TRAILER", "BinaryReader"]

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0"
HEADER: Final = SIGNATURE + bytes(8)
"""No flags, no extension."""

TRAILER: Final = b"\xff\xff"

BATCH_BYTES: Final = 64 * 1024

_HEAD: Final = struct.Struct(">iI")  # flags, length of the extension
_COUNT: Final = struct.Struct(">h")
_LENGTH: Final = struct.Struct(">i")

_CRITICAL: Final = 0xFFFF0000 - (1 << 32)  # as a signed number: flags that must be known
_WITH_OIDS: Final = 1 << 16


class BinaryReader:
    """Bytes in, rows out; see `shardrouter.copying.lines.LineReader`."""

    def __init__(self, table: str, columns: Sequence[CopyColumn]) -> None:
        self.table = table
        self.columns = tuple(columns)
        self.row = 0
        self.ended = False
        self._pieces: list[bytes] = []
        self._held = 0
        self._wanted = BATCH_BYTES
        self._is_begun = False

    def feed(self, data: bytes) -> list[Row]:
        if self.ended:
            if data:
                raise bad_data("received copy data after EOF marker", self.place(self.row + 1))
            return []
        self._pieces.append(data)
        self._held += len(data)
        return self._read() if self._held >= self._wanted else []

    def finish(self) -> list[Row]:
        rows = [] if self.ended else self._read()
        if not self._is_begun:
            raise bad_data("COPY file signature not recognized", "")
        if self._held:
            raise bad_data("unexpected EOF in COPY data", self.place(self.row + 1))
        return rows

    def place(self, row: int) -> str:
        """Where a row is, in words."""
        return str(Place(self.table, row))

    def _read(self) -> list[Row]:
        data = b"".join(self._pieces)
        at = 0
        rows: list[Row] = []
        if not self._is_begun:
            at = self._begin(data)
        if self._is_begun:
            while not self.ended:
                end = self._end_of_row(data, at)
                if end < 0:
                    break
                if not self.ended:
                    rows.append(self._row(data, at + 2))
                at = end
        rest = data[at:]
        if self.ended and rest:
            raise bad_data("received copy data after EOF marker", self.place(self.row + 1))
        if len(rest) > FRAME_BYTES_MAX:
            raise bad_data("a row is too large", self.place(self.row + 1), "54000")
        self._pieces, self._held = ([rest] if rest else []), len(rest)
        self._wanted = max(BATCH_BYTES, 2 * self._held)
        return rows

    def _begin(self, data: bytes) -> int:
        if not SIGNATURE.startswith(data[: len(SIGNATURE)]):
            raise bad_data("COPY file signature not recognized", "")
        at = len(SIGNATURE) + _HEAD.size
        if len(data) < at:
            return 0
        flags, extension = _HEAD.unpack_from(data, len(SIGNATURE))
        if flags & _WITH_OIDS:
            raise bad_data("invalid COPY file header (WITH OIDS)", "")
        if flags & _CRITICAL:
            raise bad_data("unrecognized critical flags in COPY file header", "")
        if extension > FRAME_BYTES_MAX:
            raise bad_data("invalid COPY file header (wrong length)", "")
        if len(data) < at + extension:
            return 0
        self._is_begun = True
        return at + int(extension)

    def _end_of_row(self, data: bytes, at: int) -> int:
        """The offset after the row at `at`; -1 if it is not complete."""
        if len(data) < at + 2:
            return -1
        (count,) = _COUNT.unpack_from(data, at)
        at += 2
        if count == -1:
            self.ended = True
            return at
        if count != len(self.columns):
            raise bad_data(
                f"row field count is {count}, expected {len(self.columns)}",
                self.place(self.row + 1),
            )
        for _ in range(count):
            if len(data) < at + 4:
                return -1
            (length,) = _LENGTH.unpack_from(data, at)
            if length < -1:
                raise bad_data("invalid field size", self.place(self.row + 1))
            at += 4 + max(0, length)
        return at if at <= len(data) else -1

    def _row(self, data: bytes, at: int) -> Row:
        self.row += 1
        values: list[Value] = []
        for column in self.columns:
            (length,) = _LENGTH.unpack_from(data, at)
            at += 4
            if length < 0:
                values.append(None)
                continue
            try:
                values.append(decode_binary(data[at : at + length], column.oid))
            except ValueFormatError as exc:
                where = f"{self.place(self.row)}, column {column.name}"
                raise bad_data(exc.message, where, exc.sqlstate) from exc
            at += length
        return tuple(values)
