"""Columns of cells into columns of values: a batch at a time where it can be done without a step
of Python for each cell, and cell by cell, with the exact error, where it cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from nodes.protocol import Value
from nodes.values import INT2, INT4, INT8, TEXT, VARCHAR, ValueFormatError, decode_text
from shardrouter.errors import StatementError

__all__ = ["Cells", "CopyColumn", "Place", "bad_data", "clean_column", "value_of_cell"]

Cells: TypeAlias = Sequence[str | None]

_RANGES: Final = {
    INT2: (-(1 << 15), (1 << 15) - 1),
    INT4: (-(1 << 31), (1 << 31) - 1),
    INT8: (-(1 << 63), (1 << 63) - 1),
}
_TEXTS: Final = (TEXT, VARCHAR)

SHOWN_MAX: Final = 100
"""Characters of a line or a cell that an error shows, as in PostgreSQL."""


@dataclass(frozen=True)
class CopyColumn:
    """A column that COPY FROM fills."""

    name: str
    oid: int


@dataclass(frozen=True)
class Place:
    """Where in a COPY something was found."""

    table: str
    line: int

    def of_line(self, line: str) -> str:
        """An error of a whole line."""
        return f'COPY {self.table}, line {self.line}: "{_shown(line)}"'

    def of_cell(self, column: str, cell: str | None) -> str:
        """An error of one value."""
        what = "null input" if cell is None else f'"{_shown(cell)}"'
        return f"COPY {self.table}, line {self.line}, column {column}: {what}"

    def __str__(self) -> str:
        return f"COPY {self.table}, line {self.line}"


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}..."


def bad_data(message: str, where: str, sqlstate: str = "22P04", hint: str = "") -> StatementError:
    """What is wrong with the data, and where."""
    error = StatementError(message, sqlstate=sqlstate, hint=hint)
    error.where = where
    return error


def clean_column(cells: Sequence[str], oid: int) -> Sequence[Value] | None:
    """The values of a column without NULLs; None if a cell has to be looked at by itself. The
    cells are of one text that is UTF-8 and has no NUL."""
    if oid in _TEXTS:
        return cells
    bounds = _RANGES.get(oid)
    if bounds is not None:
        digits = "".join(cells).replace("-", "")
        if not (digits.isascii() and digits.isdigit()):
            return None
        try:
            numbers = list(map(int, cells))
        except ValueError:  # an empty cell, a sign in the middle, thousands of digits
            return None
        return numbers if bounds[0] <= min(numbers) and max(numbers) <= bounds[1] else None
    try:
        return [decode_text(cell.encode(), oid) for cell in cells]
    except ValueFormatError:
        return None


def value_of_cell(cell: str | None, column: CopyColumn, place: Place) -> Value:
    """One value. Raises StatementError with its place."""
    if cell is None:
        return None
    try:
        return decode_text(cell.encode(), column.oid)
    except ValueFormatError as exc:
        raise bad_data(exc.message, place.of_cell(column.name, cell), exc.sqlstate) from exc
