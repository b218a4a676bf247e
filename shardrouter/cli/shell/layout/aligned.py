"""psql's aligned table, to the character; but the pieces of a large result widen it as they go."""

from __future__ import annotations

from collections.abc import Sequence

from shardrouter.cli.shell.layout.style import Cell, Column, Row, Style
from shardrouter.cli.shell.width import shown, text_width

__all__ = ["Aligned"]


class Aligned:
    def __init__(self, columns: Sequence[Column], style: Style) -> None:
        self._columns = columns
        self._style = style
        self._names = [shown(column.name) for column in columns]
        self._widths = [max(map(text_width, name)) for name in self._names]
        self._begun = False

    def piece(self, rows: Sequence[Row]) -> str:
        cells = [[self._cell(value) for value in row] for row in rows]
        for row in cells:
            for index, lines in enumerate(row):
                width = text_width(lines[0]) if len(lines) == 1 else max(map(text_width, lines))
                if width > self._widths[index]:
                    self._widths[index] = width
        head = ""
        if not self._begun:
            self._begun = True
            if self._style.heads:
                head = self._head()
        nulls = [[value is None for value in row] for row in rows]
        return head + "".join(map(self._row, cells, nulls))

    def end(self, footers: Sequence[str]) -> str:
        text = "" if self._begun else self.piece(())
        said = footers if self._style.heads else ()
        return text + "".join(f"{footer}\n" for footer in said) + "\n"

    def _cell(self, value: Cell) -> list[str]:
        return shown(self._style.null if value is None else value)

    def _head(self) -> str:
        text = ""
        if self._style.title:
            total = sum(self._widths) + 3 * len(self._widths) - 1
            left = max(0, (total - text_width(self._style.title)) // 2)
            text = f"{' ' * left}{self._style.title}\n"
        if not self._columns:
            return text + "--\n"
        for line in range(max(map(len, self._names))):
            cells = []
            for name, width in zip(self._names, self._widths, strict=True):
                part = name[line] if line < len(name) else ""
                space = width - text_width(part)
                more = "+" if line + 1 < len(name) else " "
                cells.append(f" {' ' * (space // 2)}{part}{' ' * ((space + 1) // 2)}{more}")
            text += "|".join(cells) + "\n"
        return text + "+".join("-" * (width + 2) for width in self._widths) + "\n"

    def _row(self, cells: Sequence[list[str]], nulls: Sequence[bool]) -> str:
        text = ""
        if not cells:
            return text
        last = len(cells) - 1
        for line in range(max(map(len, cells))):
            parts = []
            for index, lines in enumerate(cells):
                part = lines[line] if line < len(lines) else ""
                space = " " * (self._widths[index] - text_width(part))
                if nulls[index] and part:
                    part = self._style.faint(part)
                more = line + 1 < len(lines)
                if self._columns[index].is_right:
                    part = space + part
                elif more or index < last:
                    part += space
                end = "+" if more else " " if index < last else ""
                parts.append(f" {part}{end}")
            text += "|".join(parts) + "\n"
        return text
