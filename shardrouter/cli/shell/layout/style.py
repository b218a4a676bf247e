"""What every layout is given."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

__all__ = ["Cell", "Column", "Format", "Layout", "Row", "Style", "plainly"]

Cell: TypeAlias = str | None
Row: TypeAlias = Sequence[Cell]


class Format(enum.StrEnum):
    TABLE = "table"
    VERTICAL = "vertical"
    CSV = "csv"
    JSON = "json"


_NUMBERS: Final = frozenset((20, 21, 23, 26, 28, 29, 700, 701, 790, 1700, 5069))
"""OIDs of the types that psql puts to the right: numbers, money and identifiers."""


@dataclass(frozen=True)
class Column:
    name: str
    oid: int = 25

    @property
    def is_right(self) -> bool:
        return self.oid in _NUMBERS


def plainly(text: str) -> str:
    return text


@dataclass(frozen=True)
class Style:
    """null: what is shown of NULL. faint: makes a text faint, for a NULL is no text. heads:
    whether there are names of columns, titles and footers."""

    format: Format = Format.TABLE
    null: str = "NULL"
    title: str = ""
    heads: bool = True
    faint: Callable[[str], str] = plainly


class Layout(Protocol):
    """Texts with their line ends."""

    def piece(self, rows: Sequence[Row]) -> str: ...

    def end(self, footers: Sequence[str]) -> str:
        """Behind the last piece; footers are what is said below a table."""
        ...
