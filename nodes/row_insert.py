"""INSERT of many rows into one of the node's own tables: some of them in each statement.

Half of what a small row costs is not the row but the statement around it: finding it, binding,
starting and ending its program. It is the same table afterwards.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

__all__ = ["RowInsert"]

ROWS: Final = 16
"""In one statement. Most of what there is to gain; more only make the compiled text larger."""


class RowInsert:
    """`INSERT INTO table VALUES (?,?,..)`, for any number of rows."""

    def __init__(self, sql: str) -> None:
        head, values, row = sql.partition("VALUES ")
        self._one = sql
        self._some = head + values + ",".join([row] * ROWS)

    def run(self, connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Inside a transaction that ends with the failure of any of them. Raises sqlite3.Error."""
        whole = len(rows) - len(rows) % ROWS
        for start in range(0, whole, ROWS):
            values = tuple(chain.from_iterable(rows[start : start + ROWS]))
            connection.execute(self._some, values)
        if whole < len(rows):
            connection.executemany(self._one, rows[whole:])
