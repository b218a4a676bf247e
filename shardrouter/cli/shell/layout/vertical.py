"""psql's expanded display: a record under the other, a line for each column."""

from __future__ import annotations

from collections.abc import Sequence

from shardrouter.cli.shell.layout.style import Column, Row, Style
from shardrouter.cli.shell.width import shown, text_width

__all__ = ["Vertical"]


class Vertical:
    def __init__(self, columns: Sequence[Column], style: Style) -> None:
        self._style = style
        self._names = [shown(column.name) for column in columns]
        self._names_width = max((text_width(t) for name in self._names for t in name), default=0)
        self._values_width = 0
        self._count = 0

    def piece(self, rows: Sequence[Row]) -> str:
        if not rows:
            return ""
        null = self._style.null
        records = [[shown(null if value is None else value) for value in row] for row in rows]
        widest = max((text_width(t) for record in records for v in record for t in v), default=0)
        self._values_width = max(self._values_width, widest)
        text = f"{self._style.title}\n" if not self._count and self._style.title else ""
        for row, record in zip(rows, records, strict=True):
            self._count += 1
            if self._style.heads:
                text += self._rule()
            elif self._count > 1:
                text += "\n"
            for name, value, raw in zip(self._names, record, row, strict=True):
                text += self._pair(name, value, is_null=raw is None)
        return text

    def end(self, footers: Sequence[str]) -> str:
        if not self._style.heads:
            return ""
        said = list(footers) if not self._count else [f for f in footers if not f.startswith("(")]
        return "".join(f"{footer}\n" for footer in said) + "\n"

    def _rule(self) -> str:
        """`-[ RECORD 1 ]-+----`, the cross where the bars below it are."""
        text = f"-[ RECORD {self._count} ]"
        bar = self._names_width + 1
        if len(text) < bar:
            text += "-" * (bar - len(text))
        if len(text) == bar:
            text += "+"
        whole = bar + 2 + self._values_width
        return text + "-" * (whole - len(text)) + "\n"

    def _pair(self, name: Sequence[str], value: Sequence[str], *, is_null: bool) -> str:
        text = ""
        for line in range(max(len(name), len(value))):
            label = name[line] if line < len(name) else ""
            part = value[line] if line < len(value) else ""
            space = " " * (self._names_width - text_width(label))
            mark = "+" if line + 1 < len(name) else " "
            end = ""
            if line + 1 < len(value):
                end = " " * (self._values_width - text_width(part)) + "+"
            part = self._style.faint(part) if is_null and part else part
            text += f"{label}{space}{mark}| {part}{end}\n"
        return text
