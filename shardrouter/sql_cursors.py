"""The cursors that a session's DECLARE has opened, until the end of their transaction block.

A cursor is a SELECT of the block like any other, read when it is declared, of whose rows those that
were not fetched yet come a piece at a time (docs/bulk.md); it shows the state of its DECLARE,
whatever the block writes after it. PostgreSQL computes nothing of a row before a FETCH comes to it;
here the first FETCH is told that a row cannot be computed. A cursor WITH HOLD is declared outside
of a block, and is there until CLOSE or the end of the session.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import structs

from nodes.protocol import StatementResult, Value
from shardrouter.alter_definitions import AlterTable
from shardrouter.catalog import Catalog
from shardrouter.definitions import CreateIndex, Definition, DropTable, Truncate
from shardrouter.errors import RouterError, StatementError
from shardrouter.execution import Execution, MoreRows, Outcome, encoded_rows, piece_outcome
from shardrouter.planned import FetchRows, ResultColumn
from shardrouter.syntax import Name

__all__ = ["HELD", "SqlCursors", "no_such_cursor"]

HELD: Final = -1
"""The depth of a cursor WITH HOLD: it belongs to no block."""


class _Cursor:
    def __init__(
        self,
        name: str,
        columns: tuple[ResultColumn, ...],
        outcome: Outcome,
        depth: int,
        tables: frozenset[str],
    ) -> None:
        self.name = name
        self.columns = columns
        self.tables = tables
        self.depth = depth  # savepoints that there were when it was declared
        self._rows: Sequence[tuple[Value, ...]] = outcome.values
        self._at = 0
        self._more: MoreRows | None = outcome.more

    async def some(self, count: int | None) -> Sequence[tuple[Value, ...]]:
        """Some rows more, at most `count`; none if there are no more. Raises RouterError."""
        while self._at == len(self._rows) and self._more is not None:
            try:
                piece = await self._more.next()
            except RouterError:
                self._more = _NoRows(_broken(self.name))
                raise
            if piece is None:
                self._more = None
            else:
                self._rows, self._at = piece.values, 0
        end = len(self._rows) if count is None else min(self._at + count, len(self._rows))
        rows = self._rows[self._at : end]
        self._at = end
        return rows

    @property
    def is_over(self) -> bool:
        """There is nothing left of it, as far as is known."""
        return self._at == len(self._rows) and self._more is None

    def close(self) -> None:
        if self._more is not None:
            self._more.close()


class _NoRows:
    """What nobody can read any more, for a reason that whoever tries is told."""

    is_over = False

    def __init__(self, error: RouterError) -> None:
        self._error = error

    async def next(self) -> StatementResult | None:
        raise self._error

    def cancel(self) -> None:
        """Nobody waits for it."""

    def close(self) -> None:
        """It holds nothing."""


def _broken(name: str) -> StatementError:
    return StatementError(f'portal "{name}" cannot be run', sqlstate="55000")


class _Fetched:
    """The rows of one FETCH, a piece at a time (`execution.MoreRows`)."""

    def __init__(self, cursor: _Cursor, execution: Execution, count: int | None) -> None:
        self._cursor = cursor
        self._execution = execution
        self._left = count

    @property
    def is_over(self) -> bool:
        return self._left == 0 or self._cursor.is_over

    async def next(self) -> StatementResult | None:
        rows = await self._cursor.some(self._left)
        if not rows:
            return None
        if self._left is not None:
            self._left -= len(rows)
        if self._execution.formats is None:
            return StatementResult(len(rows), values=tuple(rows))
        encoded = encoded_rows(rows, self._cursor.columns, self._execution.formats)
        return StatementResult(len(rows), encoded)

    def cancel(self) -> None:
        """Who waits for `next` gets 57014."""
        if self._cursor._more is not None:  # noqa: SLF001 -- a part of it
            self._cursor._more.cancel()  # noqa: SLF001

    def close(self) -> None:
        """What it did not take is for the next FETCH."""


class SqlCursors:
    """By name. `depth` is how many savepoints the block has."""

    def __init__(self) -> None:
        self._cursors: dict[str, _Cursor] = {}

    def columns(self, name: str) -> tuple[ResultColumn, ...]:
        """Of what a FETCH from it answers. Raises StatementError 34000."""
        return self._find(name).columns

    def check_new(self, name: str) -> None:
        """Raises StatementError 42P03."""
        if name in self._cursors:
            raise StatementError(f'cursor "{name}" already exists', sqlstate="42P03")

    def declare(
        self,
        name: str,
        columns: tuple[ResultColumn, ...],
        outcome: Outcome,
        depth: int,
        tables: frozenset[str],
    ) -> None:
        """`outcome` has the rows in stored form, or the first of them; `tables` are those that it
        reads."""
        self._cursors[name] = _Cursor(name, columns, outcome, depth, tables)

    def declare_failed(
        self,
        name: str,
        columns: tuple[ResultColumn, ...],
        error: StatementError,
        depth: int,
        tables: frozenset[str],
    ) -> None:
        """One whose rows cannot be computed: `error` is told by the first FETCH."""
        outcome = Outcome("", more=_NoRows(error))
        self._cursors[name] = _Cursor(name, columns, outcome, depth, tables)

    def check_unused(self, definition: Definition, tag: str, catalog: Catalog) -> None:
        """Raises StatementError 55006 for a change of a table that a cursor reads, as PostgreSQL's
        CheckTableNotInUse; names and comments may change."""
        match definition:
            case AlterTable() | CreateIndex():
                names: tuple[Name, ...] = (definition.table,)
            case DropTable():
                names = definition.names
            case Truncate():
                names = definition.tables
            case _:
                return
        read = frozenset[str]().union(*(cursor.tables for cursor in self._cursors.values()))
        for name in names if read else ():
            table = catalog.table(name.text, name.schema)
            if table is not None and table.name in read:
                verb = "TRUNCATE" if isinstance(definition, Truncate) else tag
                raise StatementError(
                    f'cannot {verb} "{table.relname}" because it is being used by active queries '
                    "in this session",
                    sqlstate="55006",
                )

    async def fetch(self, plan: FetchRows, execution: Execution) -> Outcome:
        """FETCH or MOVE. Raises RouterError."""
        cursor = self._find(plan.name)
        if plan.moves:
            count = 0
            while plan.count is None or count < plan.count:
                rows = await cursor.some(None if plan.count is None else plan.count - count)
                if not rows:
                    break
                count += len(rows)
            return Outcome(f"MOVE {count}", count)
        fetched = _Fetched(cursor, execution, plan.count)
        pieces = []
        while (piece := await fetched.next()) is not None:
            pieces.append(piece)
            if execution.stream or fetched.is_over:
                break
        count = sum(piece.row_count for piece in pieces)
        result = StatementResult(
            count,
            b"".join(piece.rows for piece in pieces),
            tuple(row for piece in pieces for row in piece.values),
        )
        more = None if fetched.is_over else fetched
        return structs.replace(piece_outcome(execution, result), tag=f"FETCH {count}", more=more)

    def close(self, name: str) -> None:
        """CLOSE; all if the name is empty. Raises StatementError 34000."""
        if name:
            self._find(name).close()
            del self._cursors[name]
        else:
            for cursor in self._cursors.values():
                cursor.close()
            self._cursors.clear()

    def rolled_back(self, depth: int) -> None:
        """ROLLBACK TO a savepoint takes along what was declared behind it."""
        for name in [name for name, c in self._cursors.items() if c.depth >= depth]:
            self.close(name)

    def released(self, depth: int) -> None:
        """Those behind a savepoint are of what is around it now."""
        for cursor in self._cursors.values():
            cursor.depth = min(cursor.depth, depth)

    def end(self) -> None:
        """The block is over."""
        for name in [name for name, c in self._cursors.items() if c.depth != HELD]:
            self.close(name)

    def _find(self, name: str) -> _Cursor:
        cursor = self._cursors.get(name)
        if cursor is None:
            raise no_such_cursor(name)
        return cursor


def no_such_cursor(name: str) -> StatementError:
    return StatementError(f'cursor "{name}" does not exist', sqlstate="34000")
