"""The rows of a statement of a transaction, kept until its client has taken them (docs/bulk.md).

A large result inside of a transaction is read to its end at once: its digest is part of the
transaction, and its rows are those of that moment whatever the transaction does next. The first
piece stays in memory, the others go into a file without a name, which ends with the process.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

import msgspec

from nodes.outcome_digest import RowsDigest
from nodes.protocol import OutputColumn, SqlFailure, StatementResult, Value
from nodes.sql_errors import SQL_ERRORS
from nodes.values import encode_data_rows

__all__ = ["PIECE_BYTES", "SPOOL_BYTES_MAX", "DigestedAnswer", "Spool", "SpoolFailed"]

PIECE_BYTES: Final = 512 * 1024

LARGE_BYTES: Final = 4 * PIECE_BYTES
"""Rows that are more than this together leave in several pieces."""
"""Rows of about so many bytes are a piece; with one large row more."""

SPOOL_BYTES_MAX: Final = 256 * 1024 * 1024
"""Of one result."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(tuple[tuple[Value, ...], ...]).decode


class SpoolFailed(Exception):
    """The rows cannot be kept, or not be sent as they were asked for; nothing was changed."""

    def __init__(self, failure: SqlFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Spool:
    """spool.add(rows) any number of times, then finish(), then next() until it `is_empty`."""

    def __init__(self, directory: Path, columns: tuple[OutputColumn, ...]) -> None:
        self._directory = directory
        self._columns = columns
        self._encoded: list[bytes] = []  # of the piece that is not full
        self._values: list[tuple[Value, ...]] = []
        self._count = self._size = 0  # of that piece
        self._first: StatementResult | None = None
        self._rest: deque[tuple[int, int]] = deque()  # (bytes in the file, rows)
        self._file: IO[bytes] | None = None
        self._written = self._read = 0

    def add(self, rows: list[tuple[Value, ...]]) -> None:
        """Some rows more. Raises SpoolFailed."""
        encoded = b""
        if self._columns:
            try:
                encoded = encode_data_rows(rows, self._columns)
            except SQL_ERRORS as exc:
                sqlstate = getattr(exc, "sqlstate", "XX000")
                raise SpoolFailed(SqlFailure(sqlstate, str(exc))) from exc
        size = len(encoded if self._columns else _encode(rows))
        if size > LARGE_BYTES and len(rows) > 1:  # a frame has a limit
            self.add(rows[: len(rows) // 2])
            self.add(rows[len(rows) // 2 :])
            return
        self._count += len(rows)
        self._size += size
        if self._columns:
            self._encoded.append(encoded)
        else:
            self._values += rows
        if self._size >= PIECE_BYTES:
            self._cut()

    def finish(self) -> None:
        """That were all."""
        if self._count or self._first is None:
            self._cut()

    def _cut(self) -> None:
        result = StatementResult(self._count, b"".join(self._encoded), tuple(self._values))
        count, self._count, self._size = self._count, 0, 0
        self._encoded, self._values = [], []
        if self._first is None:
            self._first = result
            return
        data = result.rows if self._columns else _encode(result.values)
        self._written += len(data)
        if self._written > SPOOL_BYTES_MAX:
            raise SpoolFailed(
                SqlFailure(
                    "54000",
                    f"the result is larger than {SPOOL_BYTES_MAX} bytes",
                    detail="Read it outside of the transaction, or less of it at a time.",
                )
            )
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 -- see close
            self._file.write(data)
        except OSError as exc:
            raise SpoolFailed(
                SqlFailure("53100", f"the node cannot keep the rows of the statement: {exc}")
            ) from exc
        self._rest.append((len(data), count))

    @property
    def is_empty(self) -> bool:
        """All rows were taken."""
        return self._first is None and not self._rest

    def next(self) -> StatementResult:
        """The next piece. Raises OSError."""
        if self._first is not None:
            result, self._first = self._first, None
            return result
        assert self._file is not None
        size, count = self._rest.popleft()
        self._file.seek(self._read)
        data = self._file.read(size)
        self._read += size
        if self._columns:
            return StatementResult(count, data)
        return StatementResult(count, values=_decode(data))

    def close(self) -> None:
        """Nobody wants more of it."""
        if self._file is not None:
            self._file.close()


class DigestedAnswer:
    """In the place of a `nodes.sql_connection.Answer`: of the rows of one statement only their
    digest is kept, and what `spool` does with them. `answered` is told how many bytes and rows
    there are more."""

    def __init__(self, spool: Spool | None, answered: Callable[[int, int], None] | None) -> None:
        self.results: list[StatementResult] = []
        self.digest = RowsDigest()
        self._spool = spool
        self._answered = answered

    def take(self, rows: list[tuple[Value, ...]], _columns: tuple[OutputColumn, ...]) -> None:
        """Some rows."""
        size = self.digest.add(rows)
        if self._answered is not None:
            self._answered(size, len(rows))
        if self._spool is not None and rows:
            self._spool.add(rows)

    def finish(self) -> None:
        """Those were all."""

    def add_count(self, count: int) -> None:
        """It returned no rows."""
        raise TypeError(f"a statement that is streamed changed {count} rows")
