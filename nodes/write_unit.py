"""The statements of one write, run on a connection inside a transaction that its caller ends.

What a replica does when it applies an entry, and what a leader tries before it proposes one, is
this same work; only the connection and what becomes of the transaction differ.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from nodes.authorizer import Mode, mode_of_write
from nodes.data_file import LOOSE_TABLES, WRITE_VERSION
from nodes.protocol import SqlFailure, Write
from nodes.sql_connection import Answer, Refused, SqlConnection

__all__ = ["run_write", "undoes_itself"]

_TEXTS_MAX: Final = 1024
"""Texts whose answer is remembered."""


def run_write(connection: SqlConnection, write: Write, now_us: int, seed: int) -> Answer:
    """Run all statements and set the versions. Raises Refused, or a fault: then the caller has
    to roll back what was done."""
    answer = Answer()
    if not write.sets:
        for statement in write.statements:
            connection.run(statement, answer, now_us, seed, Mode.WRITE)
        return answer
    for statement in write.statements:
        mode = mode_of_write(statement.sql, sets_versions=True)
        connection.run(statement, answer, now_us, seed, mode)
    _set_versions(connection, write)
    return answer


def undoes_itself(write: Write) -> bool:
    """Whether nothing is left of the write when it fails, without a savepoint around it.

    So it is with one statement that returns no rows: SQLite undoes a statement that fails
    (conflicts are resolved by ABORT, for `text_refusal` refuses what would not), and after it
    nothing can fail any more. Rows that were returned may turn out to be too many, or not to
    fit their columns, when the changes are made.
    """
    if len(write.statements) != 1 or write.sets:
        return False
    return not _may_return_rows(write.statements[0].sql)


@lru_cache(maxsize=_TEXTS_MAX)
def _may_return_rows(sql: str) -> bool:
    return "returning" in sql.lower()


def _set_versions(connection: SqlConnection, write: Write) -> None:
    raw = connection.raw
    loose = raw.execute(LOOSE_TABLES).fetchone()
    if loose is not None:
        raise Refused(SqlFailure("0A000", f'table "{loose[0]}" must be STRICT and WITHOUT ROWID'))
    raw.executemany(WRITE_VERSION, [(change.object, change.version) for change in write.sets])
