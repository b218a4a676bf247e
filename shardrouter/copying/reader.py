"""Whatever turns the bytes of a COPY FROM into rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from shardrouter.copying.binary import BinaryReader
from shardrouter.copying.columns import CopyColumn
from shardrouter.copying.csv_format import CsvReader
from shardrouter.copying.lines import Row
from shardrouter.copying.options import CopyOptions
from shardrouter.copying.text import TextReader

__all__ = ["RowReader", "row_reader"]


class RowReader(Protocol):
    """Bytes in, rows out, in pieces as it likes. Both raise StatementError, which says where."""

    def feed(self, data: bytes) -> list[Row]:
        """Some bytes more."""

    def finish(self) -> list[Row]:
        """That was all."""

    def place(self, row: int) -> str:
        """Where a row, counted from 1, was found, in words; empty if that is not known."""


def row_reader(table: str, columns: Sequence[CopyColumn], options: CopyOptions) -> RowReader:
    """For rows of `columns` in the format of `options`."""
    if options.format == "binary":
        return BinaryReader(table, columns)
    if options.format == "csv":
        return CsvReader(table, columns, options)
    return TextReader(table, columns, options)
