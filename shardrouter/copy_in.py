"""One COPY FROM STDIN, from its first byte to its outcome.

What comes in is read, checked and sent ahead to its shard (`shardrouter.rows_upload`); the write
that makes it visible goes last, and only if everything before went well. So whatever ends a COPY
early leaves nothing behind, and only its last step can have an unknown outcome.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from nodes.protocol import Value
from shardrouter.copying.reader import row_reader
from shardrouter.errors import RouterError
from shardrouter.execution import Outcome
from shardrouter.planned import CopyFrom
from shardrouter.rows_upload import RowsUpload

__all__ = ["CopyIn"]

Commit: TypeAlias = Callable[[], Awaitable[None]]
"""Writes the rows that were sent ahead. Raises RouterError, whose `row` may name one."""

Draw: TypeAlias = Callable[[int], Awaitable[list[tuple[Value, ...]]]]
"""Numbers of the plan's sequences for so many rows. Raises RouterError."""


class CopyIn:
    """copy.feed(data) any number of times, `await copy.room()` whenever it `is_full`; then
    `await copy.finish()`, or abandon(). Each may raise RouterError: then it is over."""

    def __init__(
        self,
        plan: CopyFrom,
        upload: RowsUpload,
        commit: Commit,
        ended: Callable[[CopyIn], None],
        draw: Draw,
    ) -> None:
        self.plan = plan
        self._upload = upload
        self._commit = commit
        self._ended = ended
        self._draw = draw
        self._undrawn: list[Sequence[Value]] = []  # rows that lack numbers of sequences
        self._rows = 0
        self._has_bytes = True
        self._reader = row_reader(plan.table, plan.columns, plan.options)

    @property
    def rows(self) -> int:
        """How many have been read."""
        return self._rows

    @property
    def is_full(self) -> bool:
        """Who feeds it should wait for `room` first."""
        return self._upload.is_full or bool(self._undrawn)

    async def room(self) -> None:
        """Return when there is room for more."""
        await self._add_numbers()
        await self._upload.room()

    def feed(self, data: bytes) -> None:
        """Some bytes more."""
        self._add(self._reader.feed(data))

    def add_rows(self, rows: Sequence[Sequence[Value]]) -> None:
        """Some rows more, in stored form: for who has no bytes, and then feeds none."""
        self._has_bytes = False
        self._add(rows)

    def _add(self, rows: Sequence[Sequence[Value]]) -> None:
        if rows:
            self._rows += len(rows)
            if self.plan.insert.draws:
                self._undrawn += rows
            else:
                self._send(rows)

    async def _add_numbers(self) -> None:
        """What a column that is not named has from its sequence comes behind the columns."""
        rows, self._undrawn = self._undrawn, []
        if rows:
            numbers = await self._draw(len(rows))
            self._send([(*row, *drawn) for row, drawn in zip(rows, numbers, strict=True)])

    def _send(self, rows: Sequence[Sequence[Value]]) -> None:
        try:
            self._upload.add(rows)
        except RouterError as exc:
            self._locate(exc)
            raise

    async def finish(self) -> Outcome:
        """That was all: return when it is committed."""
        try:
            if self._has_bytes:
                self._add(self._reader.finish())
            await self._add_numbers()
            if await self._upload.finish():
                await self._commit()
        except RouterError as exc:
            self._locate(exc)
            raise
        finally:
            self.abandon()
        return Outcome(f"COPY {self._rows}", self._rows)

    def _locate(self, error: RouterError) -> None:
        """Say in which line it is."""
        if error.row and not error.where and self._has_bytes:
            error.row = self._upload.row_of(error.shard, error.row)
            error.where = self._reader.place(error.row)

    def abandon(self) -> None:
        """It ends here; what was sent ahead is forgotten, unless it was handed over."""
        self._upload.abandon()
        self._ended(self)
