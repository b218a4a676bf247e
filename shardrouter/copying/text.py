"""COPY's text format: a line per row, backslashes before what is special."""

from __future__ import annotations

import re
from typing import Final

from nodes.values import ValueFormatError, parse_text
from shardrouter.copying.columns import Place, bad_data
from shardrouter.copying.lines import LineReader, Row

__all__ = ["TextReader", "escape_text"]

_ESCAPED: Final = re.compile(rb"\\([0-7]{1,3}|x[0-9a-fA-F]{1,2}|[\s\S]|\Z)")
_SIMPLE: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


class TextReader(LineReader):
    """See LineReader."""

    def _nulls_in(self, text: str) -> int | None:
        found = text.count("\\")
        if not found:
            return -1
        in_null = self.options.null.count("\\")
        return found // in_null if in_null and found % in_null == 0 else None

    def _careful(self, batch: bytes, *, is_last: bool) -> tuple[list[Row], int]:
        rows: list[Row] = []
        eol = self._eol.encode()
        read = 0
        while read < len(batch):
            end = self._end_of_line(batch, read, eol, is_last=is_last)
            if end < 0:
                break
            line = batch[read:end]
            read = end + len(eol)
            if b"\\." in line:
                line = self._up_to_the_end(line)
            # The line is counted first: errors in it name it.
            if line or not self.ended:
                self._note(1, 1)
                rows.append(self._row(line))
            if self.ended:
                return rows, len(batch)
        return rows, read

    def _up_to_the_end(self, line: bytes) -> bytes:
        """What is before the mark of the end, which nothing may follow in its line."""
        for match in _ESCAPED.finditer(line):
            if match[1] != b".":
                continue
            if match.end() < len(line):
                place = str(Place(self.table, self.line + 1))
                raise bad_data("end-of-copy marker corrupt", place)
            self.ended = True
            return line[: match.start()]
        return line

    @staticmethod
    def _end_of_line(batch: bytes, start: int, eol: bytes, *, is_last: bool) -> int:
        """Where the line that begins at `start` ends: one whose end has a backslash before it goes
        on, and counts as one all the same. -1: it is not complete."""
        at = start
        while True:
            end = batch.find(eol, at)
            if end < 0:
                return -1
            line = batch[start:end]
            slashes = len(line) - len(line.rstrip(b"\\"))
            if slashes % 2 == 0 or (is_last and end + len(eol) == len(batch)):
                return end
            at = end + len(eol)

    def _row(self, line: bytes) -> Row:
        shown = line.decode(errors="replace")
        self._check_line(line)
        try:
            cells = self._cells(line)
        except ValueFormatError as exc:
            raise self._bad_bytes(exc.message, exc.sqlstate) from exc
        return self._row_of(cells, shown)

    def _check_line(self, line: bytes) -> None:
        for end, name, escape in ((b"\r", "carriage return", "\\r"), (b"\n", "newline", "\\n")):
            at = line.find(end)
            if at >= 0 and not line[:at].endswith(b"\\"):
                raise bad_data(
                    f"literal {name} found in data",
                    str(Place(self.table, self.line)),
                    hint=f'Use "{escape}" to represent {name}.',
                )

    def _cells(self, line: bytes) -> list[str | None]:
        """Raises ValueFormatError."""
        delimiter, null = self.options.delimiter.encode(), self.options.null.encode()
        raw: list[bytes] = []
        for part in line.split(delimiter):
            # A delimiter behind an odd number of backslashes is data.
            if raw and (len(raw[-1]) - len(raw[-1].rstrip(b"\\"))) % 2:
                raw[-1] += delimiter + part
            else:
                raw.append(part)
        return [
            None if cell == null else parse_text(_ESCAPED.sub(_unescaped, cell)) for cell in raw
        ]

    def _skip_header(self, block: bytes, *, is_last: bool) -> int:
        eol = self._eol.encode()
        end = self._end_of_line(block, 0, eol, is_last=is_last)
        if end < 0:
            return 0
        line = self._up_to_the_end(block[:end])
        try:
            self._check_header(self._cells(line), line.decode(errors="replace"))
        except ValueFormatError as exc:
            raise self._bad_bytes(exc.message, exc.sqlstate) from exc
        return len(block) if self.ended else end + len(eol)


def _unescaped(match: re.Match[bytes]) -> bytes:
    what = match[1]
    if what[:1] in b"01234567" and what:
        return bytes([int(what, 8) & 0xFF])
    if len(what) > 1:
        return bytes([int(what[1:], 16)])
    return _SIMPLE.get(what, what)


_SPECIAL: Final = re.compile(rb"[\\\b\f\n\r\t\v]")
_WRITTEN: Final = {value: b"\\" + key for key, value in _SIMPLE.items()} | {b"\\": b"\\\\"}


def escape_text(cell: bytes, delimiter: bytes) -> bytes:
    """A value as the text format writes it."""
    if _SPECIAL.search(cell) is not None:
        cell = _SPECIAL.sub(lambda match: _WRITTEN[match[0]], cell)
    if delimiter != b"\t" and delimiter in cell:
        cell = cell.replace(delimiter, b"\\" + delimiter)
    return cell
