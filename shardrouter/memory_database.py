"""A SQLite database in the router's memory, which computes what PostgreSQL would.

What a node knows of functions and collations it knows too, so that an expression means the same
here and there. It runs on one thread at a time; a query ends when it is told that nobody waits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from nodes.functions import Environment, install
from nodes.protocol import Value
from nodes.sql_errors import as_result
from shardrouter.errors import RouterError, StatementError
from shardrouter.verdicts import canceled

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MemoryDatabase"]

VALUE_BYTES_MAX: Final = 8 * 1024 * 1024
STEPS: Final = 10_000
"""Of SQLite's machine, after which it is asked whether to go on."""

FETCHED: Final = 1000


class MemoryDatabase:
    """`what` is what a query is too much for."""

    def __init__(self, what: str, pages_max: int) -> None:
        self._what = what
        self._calculator = sqlite3.connect(":memory:", check_same_thread=False)
        self.raw = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self.environment = Environment()
        self.raw.execute(f"PRAGMA max_page_count = {pages_max}").fetchall()
        self.raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)
        self.raw.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        install(self.raw, self.environment, self._calculator)

    def close(self) -> None:
        self.raw.close()
        self._calculator.close()

    @contextmanager
    def query(self, is_over: Callable[[], bool]) -> Iterator[None]:
        """Around what runs for one query. `is_over`: nobody waits any longer. Raises RouterError
        for what SQLite raises."""
        self.raw.set_progress_handler(is_over, STEPS)
        try:
            yield
        except (sqlite3.Error, OverflowError) as exc:
            raise self._error(exc, is_over) from exc
        finally:
            self.raw.set_progress_handler(None, 0)

    def rows(
        self, sql: str, arguments: Sequence[Value], check: Callable[[int], None]
    ) -> list[tuple[Value, ...]]:
        """The answer; `check` is told how many rows there are so far."""
        cursor = self.raw.execute(sql, arguments)
        rows: list[tuple[Value, ...]] = []
        try:
            while more := cursor.fetchmany(FETCHED):
                rows += more
                check(len(rows))
        finally:
            cursor.close()
        return rows

    def _error(self, error: Exception, is_over: Callable[[], bool]) -> RouterError:
        found = self.environment.take_error()
        if found is not None:
            return StatementError(
                found.message, sqlstate=found.sqlstate, detail=found.detail, hint=found.hint
            )
        if is_over():
            return canceled()
        result = as_result(error, "", None, None)
        if result is not None:
            return StatementError(result.message, sqlstate=result.sqlstate, detail=result.detail)
        if isinstance(error, sqlite3.OperationalError | sqlite3.DataError | OverflowError):
            return StatementError(
                f"the query is too much for {self._what}: {error}", sqlstate="54000"
            )
        return StatementError(f"the query failed in {self._what}: {error}", sqlstate="XX000")
