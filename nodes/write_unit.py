"""The statements of one write, run on a connection inside a transaction that its caller ends.

What a replica does when it applies an entry, and what a leader tries before it proposes one, is
this same work; only the connection and what becomes of the transaction differ.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from nodes.authorizer import Mode, mode_of_write
from nodes.data_file import LOOSE_TABLES, WRITE_VERSION
from nodes.foreign_keys import check_references
from nodes.protocol import SqlFailure, Staged, Statement, Write
from nodes.sql_connection import Answer, Refused, SqlConnection
from nodes.stage_content import StageError
from nodes.staged_rows import staged_statements
from nodes.transaction_unit import run_transaction

__all__ = ["is_change", "run_write"]

_TEXTS_MAX: Final = 1024
"""Texts whose answer is remembered."""

_CHANGES: Final = ("insert ", "update ", "delete ", "replace ")


def run_write(
    connection: SqlConnection,
    write: Write,
    now_us: int,
    seed: int,
    answered: Callable[[int, int], None] | None = None,
    *,
    again: bool = False,
) -> Answer:
    """Run all statements and set the versions; `answered` hears of what steps of a transaction
    answer in pieces, in bytes and rows. `again`: on this very state it has been run, and undone.
    Raises Refused, or a fault: then the caller has to roll back what was done."""
    answer = Answer()
    if write.transaction is not None:
        run_transaction(
            connection, write.transaction, answered, sets_versions=bool(write.sets), again=again
        )
    if write.staged is not None:
        _run_staged(connection, write.staged, answer, now_us, seed)
    if not write.sets:
        for statement in write.statements:
            connection.run(statement, answer, now_us, seed, Mode.WRITE)
        return answer
    for statement in write.statements:
        mode = mode_of_write(statement.sql, sets_versions=True)
        connection.run(statement, answer, now_us, seed, mode)
    _set_versions(connection, write)
    check_references(connection, write)
    return answer


def _run_staged(
    connection: SqlConnection, staged: Staged, answer: Answer, now_us: int, seed: int
) -> None:
    try:
        for statements in staged_statements(connection.raw, staged):
            for statement in statements:
                connection.run(statement, answer, now_us, seed, Mode.WRITE)
    except StageError as exc:
        raise Refused(SqlFailure(exc.sqlstate, exc.message)) from exc


def is_change(statement: Statement) -> bool:
    """Whether a statement changes rows, once, and returns none, as the beginning of its text tells.

    As the only one of a write that sets no versions it needs no savepoint around it: SQLite
    undoes a statement that fails (conflicts are resolved by ABORT, for `text_refusal` refuses
    what would not), and after it nothing can fail any more. Rows that were returned may turn out
    to be too many, or not to fit their columns, when the changes are made.
    """
    return statement.staged is None and _is_change(statement.sql)


@lru_cache(maxsize=_TEXTS_MAX)
def _is_change(sql: str) -> bool:
    lower = sql.lower()
    return lower.startswith(_CHANGES) and "returning" not in lower


def _set_versions(connection: SqlConnection, write: Write) -> None:
    raw = connection.raw
    loose = raw.execute(LOOSE_TABLES).fetchone()
    if loose is not None:
        raise Refused(SqlFailure("0A000", f'table "{loose[0]}" must be STRICT and WITHOUT ROWID'))
    raw.executemany(WRITE_VERSION, [(change.object, change.version) for change in write.sets])
