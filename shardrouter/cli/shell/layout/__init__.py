"""Rows as text: a table, a record under the other, CSV or JSON. Pure.

A result comes in pieces, so that one of any size is printed in the memory of a piece:

    layout = make_layout(columns, style)
    for rows in pieces:
        print(layout.piece(rows))
    print(layout.end(["(3 rows)"]))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shardrouter.cli.shell.layout.aligned import Aligned
from shardrouter.cli.shell.layout.machine import Csv, Json
from shardrouter.cli.shell.layout.style import Cell, Column, Format, Layout, Row, Style
from shardrouter.cli.shell.layout.vertical import Vertical

__all__ = ["Cell", "Column", "Format", "Layout", "Row", "Style", "make_layout"]

_LAYOUTS: dict[Format, Callable[[Sequence[Column], Style], Layout]] = {
    Format.TABLE: Aligned,
    Format.VERTICAL: Vertical,
    Format.CSV: Csv,
    Format.JSON: Json,
}


def make_layout(columns: Sequence[Column], style: Style) -> Layout:
    return _LAYOUTS[style.format](columns, style)
