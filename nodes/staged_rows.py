"""The rows of a stage, read from where a replica keeps them, for the statement that names them."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from typing import Final

from nodes.authorizer import OWN
from nodes.protocol import Staged, Value
from nodes.stage_content import check_content, rows_of

__all__ = ["staged_rows"]

_CHUNKS: Final = f"{OWN}SELECT data FROM _stages WHERE session = ? AND stage = ? ORDER BY chunk"  # noqa: S608 -- a constant


def staged_rows(
    raw: sqlite3.Connection, staged: Staged
) -> Generator[list[tuple[Value, ...]], None, None]:
    """Some rows at a time, once all of them have been found to be what was named. Raises
    StageError. The statements that it runs are the machine's own."""
    key = staged.session.index, staged.stage
    check_content(staged, (data for (data,) in raw.execute(_CHUNKS, key)))
    yield from rows_of(data for (data,) in raw.execute(_CHUNKS, key))
