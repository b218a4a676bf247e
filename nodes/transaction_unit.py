"""The steps of one transaction, run on a connection inside a SQLite transaction that its caller
ends.

A leader that speculates, a leader that tries a COMMIT before it proposes it, and every replica
that applies it do this same work. What makes the transaction serializable is `run_transaction`:
it requires of each step the answer that the client was given (docs/transactions.md).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from typing import Final

from nodes.authorizer import OWN, Mode
from nodes.outcome_digest import digest_of
from nodes.protocol import Mark, Ran, SqlFailure, StatementResult, Step, Transaction
from nodes.sql_connection import Answer, Refused, SqlConnection
from nodes.stage_content import StageError
from nodes.staged_rows import staged_steps

__all__ = ["all_steps", "refuse_difference", "run_step", "run_transaction", "steps_in"]

_MARKS: Final = {
    "savepoint": OWN + "SAVEPOINT mark{}",
    "rollback": OWN + "ROLLBACK TO mark{}",
    "release": OWN + "RELEASE mark{}",
}


def run_step(
    connection: SqlConnection, step: Step, ordinal: int, now_us: int, seed: int
) -> StatementResult | SqlFailure | None:
    """What a statement answers; None for a mark. Raises Refused for one to a savepoint that there
    is not, which no router sends, and what is a fault.

    A failure is an answer. What the statement changed before it failed is undone by SQLite,
    mostly; the rest goes with the ROLLBACK TO that has to follow, for nothing else can.
    """
    if isinstance(step, Mark):
        try:
            connection.raw.execute(_MARKS[step.what].format(step.depth))
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                raise
            raise Refused(SqlFailure("3B001", f"there is no savepoint {step.depth}")) from exc
        return None
    answer = Answer()
    try:
        connection.run(step.statement, answer, now_us, seed, Mode.WRITE, ordinal)
    except Refused as exc:
        return exc.failure
    return answer.results[0]


def refuse_difference(
    step: Step, outcome: StatementResult | SqlFailure | None, ordinal: int
) -> None:
    """Raises Refused if a statement answered something else than its client was told."""
    if isinstance(step, Ran) and (outcome is None or digest_of(outcome) != step.digest):
        raise Refused(
            SqlFailure(
                "40001",
                "could not serialize access due to concurrent update",
                ordinal,
                "A statement of the transaction would be answered otherwise by now; "
                "nothing of the transaction is applied.",
            )
        )


def steps_in(transaction: Transaction) -> int:
    """How many steps it has, with those that were sent ahead."""
    ahead = transaction.staged.rows if transaction.staged is not None else 0
    return ahead + len(transaction.steps)


def all_steps(connection: SqlConnection, transaction: Transaction) -> Generator[Step, None, None]:
    """Those that were sent ahead, a frame of them in memory at a time, and the others. Raises
    Refused if a stage is not what was named."""
    if transaction.staged is not None:
        try:
            for some in staged_steps(connection.raw, transaction.staged):
                yield from some
        except StageError as exc:
            raise Refused(SqlFailure(exc.sqlstate, exc.message)) from exc
    yield from transaction.steps


def run_transaction(connection: SqlConnection, transaction: Transaction) -> None:
    """Run all steps. Raises Refused at the first that differs, or a fault: then the caller has to
    roll back what was done."""
    now_us, seed = transaction.now_us, transaction.seed
    for ordinal, step in enumerate(all_steps(connection, transaction)):
        refuse_difference(step, run_step(connection, step, ordinal, now_us, seed), ordinal)
