"""One result on its way to the user, piece by piece."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Final

from shardrouter.cli.shell.layout import Column, Format, Row, Style, make_layout
from shardrouter.cli.shell.output import Output, Stopped
from shardrouter.cli.shell.settings import Settings
from shardrouter.cli.shell.width import text_width

__all__ = ["PIECE_ROWS", "Result", "print_rows"]

PIECE_ROWS: Final = 1000
"""Rows that are held, and whose widths make the columns of a table."""

PIECE_BYTES: Final = 4 * 1024 * 1024

_COLOUR: Final = re.compile(r"\x1b\[[0-9]*m")


class Result:
    """Takes rows and prints them; all it holds is a piece."""

    def __init__(
        self,
        columns: Sequence[Column],
        output: Output,
        settings: Settings,
        *,
        title: str = "",
        footers: Sequence[str] | None = None,
    ) -> None:
        self.count = 0
        self._columns = columns
        self._output = output
        self._settings = settings
        self._title = title
        self._footers = footers
        self._rows: list[Row] = []
        self._bytes = 0
        self._format = settings.format
        if settings.expanded == "on" and self._format is Format.TABLE:
            self._format = Format.VERTICAL
        self._layout = make_layout(columns, self._style())
        self._printed = False
        self._stopped = False

    def add(self, values: Sequence[bytes | None]) -> None:
        row = [None if value is None else value.decode("utf-8", "replace") for value in values]
        self._rows.append(row)
        self._bytes += sum(len(value) for value in values if value is not None)
        self.count += 1
        if len(self._rows) >= PIECE_ROWS or self._bytes > PIECE_BYTES:
            self._flush(is_last=False)

    def end(self) -> None:
        """Print what is left, and how many rows there were."""
        footers = self._footers
        if footers is None:
            footers = [f"({self.count} row{'' if self.count == 1 else 's'})"]
        self._flush(is_last=True, footers=footers)

    def break_off(self) -> None:
        """There was an error, or the user has seen enough: what came is printed."""
        if self.count:
            said = f"({self.count} row{'' if self.count == 1 else 's'} shown, there may be more)"
            self._flush(is_last=True, footers=[said])

    def _flush(self, *, is_last: bool, footers: Sequence[str] = ()) -> None:
        if self._stopped:
            return
        if not self._printed and self._settings.expanded == "auto" and self._is_wide():
            self._format = Format.VERTICAL
            self._layout = make_layout(self._columns, self._style())
        text = self._layout.piece(self._rows) if self._rows or not is_last else ""
        self._rows = []
        self._bytes = 0
        if is_last:
            text += self._layout.end(footers)
        if not self._printed:
            self._printed = True
            if self._wants_pager(text, is_last=is_last):
                self._output.open_pager()
        try:
            self._output.write(text)
        except Stopped:
            self._stopped = True
            raise

    def _is_wide(self) -> bool:
        if self._format is not Format.TABLE or not self._output.goes_to_terminal:
            return False
        sample = make_layout(self._columns, self._style()).piece(self._rows)
        return _width(sample) > self._output.size[0]

    def _wants_pager(self, text: str, *, is_last: bool) -> bool:
        output = self._output
        if not (self._settings.pager and output.is_interactive and output.goes_to_terminal):
            return False
        columns, lines = output.size
        return not is_last or text.count("\n") > lines - 2 or _width(text) > columns

    def _style(self) -> Style:
        settings = self._settings
        style = Style(self._format, settings.null, self._title, settings.heads, self._output.faint)
        if self._format in (Format.CSV, Format.JSON):
            return dataclasses.replace(style, title="")
        return style


def _width(text: str) -> int:
    return max(map(text_width, _COLOUR.sub("", text).split("\n")))


def print_rows(
    output: Output,
    settings: Settings,
    columns: Sequence[Column],
    rows: Sequence[Row],
    *,
    title: str = "",
    footers: Sequence[str] | None = None,
) -> None:
    """What a backslash command has to say as a table."""
    result = Result(columns, output, settings, title=title, footers=footers)
    for row in rows:
        result.add([None if value is None else value.encode() for value in row])
    try:
        result.end()
    finally:
        output.close_pager()
