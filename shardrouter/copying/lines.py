"""Lines of COPY's text and csv into rows of values, a batch of lines at a time.

A batch that is clean (no escapes but whole NULLs, no quotes, each line with all its columns) is
cut and converted by columns. Any other is read by the format's own rules, line by line: that is
where errors are found, with the line and the column they are in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from nodes.protocol import FRAME_BYTES_MAX, Value
from shardrouter.copying.columns import (
    CopyColumn,
    Place,
    bad_data,
    clean_column,
    value_of_cell,
)
from shardrouter.copying.options import CopyOptions
from shardrouter.errors import StatementError

__all__ = ["LineReader", "Row"]

Row = tuple[Value, ...]

BATCH_BYTES: Final = 64 * 1024
"""Read at a time: enough for the steps around a batch to cost nothing, a millisecond of work."""

ROW_BYTES_MAX: Final = FRAME_BYTES_MAX
"""Of one row; more is no row that a shard could keep."""

JUMPS_MAX: Final = 100_000
"""Rows of several lines after which the line of a later row is no longer known."""


class LineReader(ABC):
    """Bytes in, rows out.

    rows = reader.feed(data)        any number of times
    rows = reader.finish()          the rest
    reader.line_of(row)             for an error that is found later

    Raises StatementError, whose `where` says where.
    """

    def __init__(self, table: str, columns: Sequence[CopyColumn], options: CopyOptions) -> None:
        self.table = table
        self.columns = tuple(columns)
        self.options = options
        self.row = 0  # rows read
        self.line = 0  # lines read
        self.ended = False  # by the end mark: what follows is ignored
        self._eol = ""  # once it is known
        self._has_header = options.header != "no"
        self._pieces: list[bytes] = []
        self._held = 0
        self._wanted = BATCH_BYTES
        self._is_cut_off = False  # the last line had no end, and was given one
        self._jumps: list[tuple[int, int]] = []  # (from this row on, lines - rows)

    # ------------------------------------------------------------------ in and out

    def feed(self, data: bytes) -> list[Row]:
        if self.ended:
            return []
        self._pieces.append(data)
        self._held += len(data)
        return self._read(is_last=False) if self._held >= self._wanted else []

    def finish(self) -> list[Row]:
        return [] if self.ended else self._read(is_last=True)

    def line_of(self, row: int) -> int | None:
        """The line in which a row, counted from 1, ends; None if that is no longer known."""
        if len(self._jumps) > JUMPS_MAX and row >= self._jumps[-1][0]:
            return None
        jump = bisect_right(self._jumps, row, key=lambda each: each[0])
        return row + (self._jumps[jump - 1][1] if jump else 0)

    def place(self, row: int) -> str:
        """Where a row is, in words; empty if that is not known."""
        line = self.line_of(row)
        return "" if line is None else str(Place(self.table, line))

    def _read(self, *, is_last: bool) -> list[Row]:
        block = b"".join(self._pieces)
        if not self._find_eol(block, is_last=is_last):
            return self._keep(block)
        end = self._eol[-1:].encode()
        if is_last:
            cut = len(block)
            if block and not block.endswith(end):
                block += self._eol.encode()
                cut = len(block)
                self._is_cut_off = True
        else:
            cut = block.rfind(end) + 1
        rows: list[Row] = []
        read = 0
        if self._has_header and cut:
            read = self._skip_header(block[:cut], is_last=is_last)
        if not self._has_header and read < cut:
            batch = block[read:cut] if read else block[:cut]
            clean = self._clean(batch)
            if clean is not None:
                self._note(len(clean), len(clean))
                rows, read = clean, cut
            else:
                rows, consumed = self._careful(batch, is_last=is_last)
                read += consumed
        self._keep(block[read:])
        return rows

    def _keep(self, rest: bytes) -> list[Row]:
        if len(rest) > ROW_BYTES_MAX:
            raise bad_data(
                f"a row is larger than {ROW_BYTES_MAX} bytes",
                str(Place(self.table, self.line + 1)),
                "54000",
            )
        self._pieces, self._held = ([rest] if rest else []), len(rest)
        # A row that is not complete is read again only when there is twice as much of it.
        self._wanted = max(BATCH_BYTES, 2 * self._held)
        return []

    def _find_eol(self, block: bytes, *, is_last: bool) -> bool:
        """How lines end here, as the first one does. False: that cannot be told yet."""
        if self._eol:
            return True
        feed, back = block.find(b"\n"), block.find(b"\r")
        if back < 0 or 0 <= feed < back:
            if feed < 0 and not is_last:
                return False
            self._eol = "\n"
        elif back + 1 < len(block):
            self._eol = "\r\n" if feed == back + 1 else "\r"
        elif is_last:
            self._eol = "\r"
        return bool(self._eol)

    def _note(self, rows: int, lines: int) -> None:
        """So many rows more, in so many lines."""
        before = self.line - self.row
        self.row += rows
        self.line += lines
        if lines != rows and len(self._jumps) <= JUMPS_MAX:
            first = self.row if rows else self.row + 1
            self._jumps.append((first, before + lines - rows))

    # ------------------------------------------------------------------ by columns

    @abstractmethod
    def _nulls_in(self, text: str) -> int | None:
        """How many cells of a clean batch have to be NULL for the format's special characters in
        it to be accounted for; -1 for any number; None if it is not clean."""

    def _clean(self, batch: bytes) -> list[Row] | None:
        try:
            text = batch.decode()
        except UnicodeDecodeError:
            return None
        if "\0" in text or not self._has_clean_lines(text):
            return None
        expected = self._nulls_in(text)
        if expected is None:
            return None
        lines = text.split(self._eol)
        lines.pop()
        delimiter, width = self.options.delimiter, len(self.columns)
        cells = [line.split(delimiter) for line in lines]
        if set(map(len, cells)) != {width}:
            return None
        null = self.options.null
        nulls = 0
        out: list[Sequence[Value]] = []
        for column, found in zip(self.columns, zip(*cells, strict=True), strict=True):
            if null not in found or column.name in self.options.force_not_null:
                values = clean_column(found, column.oid)
                if values is None:
                    return None
                out.append(values)
                continue
            present = [cell for cell in found if cell != null]
            nulls += len(found) - len(present)
            values = clean_column(present, column.oid) if present else ()
            if values is None:
                return None
            rest = iter(values)
            out.append([None if cell == null else next(rest) for cell in found])
        if expected not in (-1, nulls):
            return None
        return list(zip(*out, strict=True))

    def _has_clean_lines(self, text: str) -> bool:
        if self._eol == "\n":
            return "\r" not in text
        if self._eol == "\r":
            return "\n" not in text
        return text.count("\r") == text.count("\n") == text.count("\r\n")

    # ------------------------------------------------------------------ line by line

    @abstractmethod
    def _careful(self, batch: bytes, *, is_last: bool) -> tuple[list[Row], int]:
        """The rows of a batch, and how many of its bytes they were."""

    @abstractmethod
    def _skip_header(self, block: bytes, *, is_last: bool) -> int:
        """Read the first line; how many bytes it was, 0 if it is not complete yet."""

    def _check_header(self, names: Sequence[str | None], line: str) -> None:
        self._has_header = False
        self._note(0, 1)
        if self.options.header != "match":
            return
        place = Place(self.table, 1).of_line(line)
        if len(names) != len(self.columns):
            raise bad_data(
                f"wrong number of fields in header line: got {len(names)}, "
                f"expected {len(self.columns)}",
                place,
            )
        for number, (name, column) in enumerate(zip(names, self.columns, strict=True), 1):
            if name != column.name:
                got = "null value" if name is None else f'"{name}"'
                raise bad_data(
                    f"column name mismatch in header line field {number}: got {got}, "
                    f'expected "{column.name}"',
                    place,
                )

    def _row_of(self, cells: Sequence[str | None], line: str) -> Row:
        """The values of one line's cells; `self.line` is its number."""
        where = Place(self.table, self.line)
        columns = self.columns
        if len(cells) > len(columns):
            raise bad_data("extra data after last expected column", where.of_line(line))
        row = tuple(
            value_of_cell(cell, column, where) for cell, column in zip(cells, columns, strict=False)
        )
        if len(cells) < len(columns):
            missing = columns[len(cells)].name
            raise bad_data(f'missing data for column "{missing}"', where.of_line(line))
        return row

    def _bad_bytes(self, message: str, sqlstate: str) -> StatementError:
        return bad_data(message, str(Place(self.table, self.line)), sqlstate)
