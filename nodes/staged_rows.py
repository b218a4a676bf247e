"""What a stage holds, read from where a replica keeps it, for the write that names it.

Each gives some items at a time, once all of them have been found to be what was named, and raises
StageError. The statements that they run are the machine's own. None stays open between two chunks:
a step of a transaction may be a ROLLBACK TO.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from typing import Final

from nodes.authorizer import OWN
from nodes.protocol import Staged, Statement, Step, Value
from nodes.stage_content import StageError, check_content, rows_of, statements_of, steps_of

__all__ = ["staged_rows", "staged_statements", "staged_steps"]

_CHUNKS: Final = f"{OWN}SELECT data FROM _stages WHERE session = ? AND stage = ? ORDER BY chunk"  # noqa: S608 -- a constant
_CHUNK: Final = f"{OWN}SELECT data FROM _stages WHERE session = ? AND stage = ? AND chunk = ?"  # noqa: S608 -- a constant


def staged_rows(
    raw: sqlite3.Connection, staged: Staged
) -> Generator[list[tuple[Value, ...]], None, None]:
    """The rows of a stage."""
    return rows_of(_checked(raw, staged))


def staged_statements(
    raw: sqlite3.Connection, staged: Staged
) -> Generator[list[Statement], None, None]:
    """The statements of a stage."""
    return statements_of(_checked(raw, staged))


def staged_steps(raw: sqlite3.Connection, staged: Staged) -> Generator[list[Step], None, None]:
    """The steps of a transaction that a stage holds."""
    return steps_of(_checked(raw, staged))


def _checked(raw: sqlite3.Connection, staged: Staged) -> Generator[bytes, None, None]:
    key = staged.session.index, staged.stage
    check_content(staged, (data for (data,) in raw.execute(_CHUNKS, key)))
    for chunk in range(staged.chunks):
        found = raw.execute(_CHUNK, (*key, chunk)).fetchone()
        if found is None:
            raise StageError(f"what was sent ahead of the write has no chunk {chunk}")
        yield found[0]
