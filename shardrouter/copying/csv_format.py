"""COPY's csv format, by PostgreSQL's rules: quotes may begin inside a value, an empty value
without quotes is NULL, and one with quotes may hold ends of lines."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from nodes.values import ValueFormatError as _FormatError
from nodes.values import parse_text
from shardrouter.copying.columns import CopyColumn, Place, bad_data
from shardrouter.copying.lines import LineReader, Row
from shardrouter.copying.options import CopyOptions
from shardrouter.errors import StatementError

__all__ = ["CsvReader", "quote_csv"]

_Record = tuple[list[str], list[bool], int, int]
"""Cells, whether each had quotes, the offset after the record, the lines it was."""


class CsvReader(LineReader):
    """See LineReader."""

    def __init__(self, table: str, columns: Sequence[CopyColumn], options: CopyOptions) -> None:
        super().__init__(table, columns, options)
        quote, escape = re.escape(options.quote), re.escape(options.escape)
        self._plain = re.compile(f"[^{quote}{re.escape(options.delimiter)}\r\n]*")
        self._quoted = re.compile(f"[^{quote}{escape}]*")
        self._in_quotes = re.compile(f"{quote}[^{quote}]*{quote}?".encode())

    def _find_eol(self, block: bytes, *, is_last: bool) -> bool:
        return bool(self._eol) or super()._find_eol(
            self._in_quotes.sub(b"", block), is_last=is_last
        )

    def _nulls_in(self, text: str) -> int | None:
        return None if self.options.quote in text or "\\." in text else -1

    def _careful(self, batch: bytes, *, is_last: bool) -> tuple[list[Row], int]:
        text = self._decoded(batch)
        rows: list[Row] = []
        read = 0
        while read < len(text):
            record = self._record(text, read, is_last=is_last)
            if record is None:
                break
            cells, quoted, end, lines = record
            line = text[read:end].removesuffix(self._eol)
            read = end
            if line == "\\." and not (self._is_cut_off and read == len(text)):
                self.ended = True
                self._note(0, lines)
                return rows, len(batch)
            self._note(1, lines)
            rows.append(self._row_of(self._with_nulls(cells, quoted), line))
        return rows, len(batch) if read == len(text) else len(text[:read].encode())

    def _decoded(self, batch: bytes) -> str:
        try:
            return parse_text(batch)
        except _FormatError as exc:
            for line in batch.splitlines():  # the first that is wrong by itself
                self.line += 1
                try:
                    parse_text(line)
                except _FormatError:
                    break
            raise self._bad_bytes(exc.message, exc.sqlstate) from exc

    def _with_nulls(self, cells: list[str], quoted: list[bool]) -> list[str | None]:
        null = self.options.null
        found: list[str | None] = list(cells)
        if null not in cells:
            return found
        names = [column.name for column in self.columns]
        for number, cell in enumerate(cells):
            if cell != null:
                continue
            name = names[number] if number < len(names) else ""
            if quoted[number]:
                is_null = name in self.options.force_null
            else:
                is_null = name not in self.options.force_not_null
            if is_null:
                found[number] = None
        return found

    def _record(self, text: str, start: int, *, is_last: bool) -> _Record | None:
        """The record that begins at `start`; None if it is not complete."""
        quote, escape = self.options.quote, self.options.escape
        delimiter = self.options.delimiter
        cells: list[str] = []
        quoted: list[bool] = []
        parts: list[str] = []
        has_quotes = False
        at, lines, size = start, 1, len(text)
        while True:
            match = self._plain.match(text, at)
            assert match is not None
            parts.append(match[0])
            at = match.end()
            char = text[at] if at < size else ""
            if char == quote:
                has_quotes = True
                inside = self._inside_quotes(text, at + 1, quote, escape)
                if inside is None:
                    if is_last:
                        raise self._unterminated(text[start:])
                    return None
                value, at = inside
                lines += value.count(self._counted_eol)
                parts.append(value)
                continue
            if char and char != delimiter and not text.startswith(self._eol, at):
                name = "carriage return" if char == "\r" else "newline"
                raise bad_data(
                    f"unquoted {name} found in data",
                    str(Place(self.table, self.line + lines)),
                    hint=f"Use quoted CSV field to represent {name}.",
                )
            cells.append("".join(parts))
            quoted.append(has_quotes)
            parts, has_quotes = [], False
            if char == delimiter:
                at += 1
            elif not char:
                return None  # every batch ends with the end of a line
            else:
                return cells, quoted, at + len(self._eol), lines

    @property
    def _counted_eol(self) -> str:
        """What counts as a line inside quotes; PostgreSQL does not know better in the first row."""
        return self._eol if self.line else "\r"

    def _unterminated(self, rest: str) -> StatementError:
        if self._is_cut_off:
            rest = rest.removesuffix(self._eol)
        self.line += 1 + rest.count(self._counted_eol)
        return bad_data("unterminated CSV quoted field", Place(self.table, self.line).of_line(rest))

    def _inside_quotes(self, text: str, at: int, quote: str, escape: str) -> tuple[str, int] | None:
        """The value up to the closing quote, and the offset after that."""
        parts: list[str] = []
        while True:
            match = self._quoted.match(text, at)
            assert match is not None
            parts.append(match[0])
            at = match.end()
            if at >= len(text):
                return None
            char, following = text[at], text[at + 1 : at + 2]
            if char == escape and following and following in (quote, escape):
                parts.append(following)
                at += 2
            elif char == quote:
                return "".join(parts), at + 1
            else:
                parts.append(char)
                at += 1

    def _skip_header(self, block: bytes, *, is_last: bool) -> int:
        text = self._decoded(block)
        record = self._record(text, 0, is_last=is_last)
        if record is None:
            return 0
        cells, quoted, end, _ = record
        line = text[:end].removesuffix(self._eol)
        if line == "\\.":
            self.ended = True
            return len(block)
        self._check_header(self._with_nulls(cells, quoted), line)
        return len(text[:end].encode())


def quote_csv(
    cell: bytes, options: CopyOptions, specials: Collection[bytes], *, force: bool, is_single: bool
) -> bytes:
    """A value as csv writes it: in quotes if it would be read otherwise without them."""
    quote, escape = options.quote.encode(), options.escape.encode()
    if (
        not force
        and cell != options.null.encode()
        and not (is_single and cell == b"\\.")
        and not any(special in cell for special in specials)
    ):
        return cell
    if escape != quote:
        cell = cell.replace(escape, escape + escape)
    return quote + cell.replace(quote, escape + quote) + quote
