"""The steps of one transaction, run on a connection inside a SQLite transaction that its caller
ends.

A leader that speculates, a leader that tries a COMMIT before it proposes it, and every replica
that applies it do this same work. What makes the transaction serializable is `run_transaction`:
it requires of each step the answer that the client was given (docs/transactions.md).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final

from nodes.authorizer import OWN, Mode
from nodes.definition_step import run_definition
from nodes.outcome_digest import RowsDigest, digest_of
from nodes.protocol import (
    Defined,
    Mark,
    Ran,
    Speculated,
    SqlFailure,
    Statement,
    StatementResult,
    Step,
    Transaction,
)
from nodes.spool import DigestedAnswer, Spool
from nodes.sql_connection import Answer, Refused, SqlConnection
from nodes.stage_content import StageError
from nodes.staged_rows import staged_steps

__all__ = [
    "all_steps",
    "digest_of_answer",
    "refuse_difference",
    "run_new",
    "run_step",
    "run_transaction",
    "steps_in",
]

_MARKS: Final = {
    "savepoint": OWN + "SAVEPOINT mark{}",
    "rollback": OWN + "ROLLBACK TO mark{}",
    "release": OWN + "RELEASE mark{}",
}


Outcome = StatementResult | SqlFailure | RowsDigest

Answered = Callable[[int, int], None]
"""Told of bytes and rows that a statement answers in pieces."""


def run_step(
    connection: SqlConnection,
    step: Step,
    ordinal: int,
    now_us: int,
    seed: int,
    spool: Spool | None = None,
    answered: Answered | None = None,
) -> Outcome | None:
    """What a statement answers, of one that is streamed the digest: its rows go into `spool`, if
    somebody wants them, and `answered` hears of them; None for a mark. Raises Refused for one to a
    savepoint that there is not, which no router sends, and what is a fault.

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
    try:
        if isinstance(step, Defined):
            return run_definition(connection, step.statements, ordinal, now_us, seed)
        answer = DigestedAnswer(spool, answered) if step.stream else Answer()
        connection.run(step.statement, answer, now_us, seed, Mode.WRITE, ordinal)
    except Refused as exc:
        return exc.failure
    return answer.digest if isinstance(answer, DigestedAnswer) else answer.results[0]


def run_new(
    connection: SqlConnection,
    step: Ran | Defined,
    ordinal: int,
    now_us: int,
    seed: int,
    directory: Path,
    answered: Answered | None = None,
) -> tuple[Speculated, Spool | None]:
    """The answer to a statement that has not run yet, and what is left of its rows, for which
    there is room in `directory`. Raises what `run_step` does, and SpoolFailed."""
    if isinstance(step, Defined) or not step.stream:
        outcome = run_step(connection, step, ordinal, now_us, seed)
        if isinstance(outcome, SqlFailure):
            return Speculated(failure=outcome), None
        assert isinstance(outcome, StatementResult)
        return Speculated(result=outcome), None
    spool = Spool(directory, step.statement.columns)
    is_kept = False
    try:
        outcome = run_step(connection, step, ordinal, now_us, seed, spool, answered)
        if isinstance(outcome, SqlFailure):
            return Speculated(failure=outcome), None
        assert isinstance(outcome, RowsDigest)
        spool.finish()
        answer = Speculated(result=spool.next(), digest=outcome.value)
        is_kept = not spool.is_empty
        return answer, spool if is_kept else None
    finally:
        if not is_kept:
            spool.close()


def digest_of_answer(answer: Speculated) -> bytes:
    """What the step is held to that was answered so."""
    outcome = answer.result or answer.failure
    assert outcome is not None
    return answer.digest or digest_of(outcome)


def refuse_difference(step: Step, outcome: Outcome | None, ordinal: int) -> None:
    """Raises Refused if a statement answered something else than its client was told."""
    if not isinstance(step, Mark) and (outcome is None or digest_of(outcome) != step.digest):
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


def _only_reads(statement: Statement) -> bool:
    """As the beginning of its text tells; WITH may begin a write. A statement draws by its own
    number, and only an INSERT takes the numbers of rows, so others do not miss it."""
    return statement.staged is None and statement.sql[:7].upper() == "SELECT "


def run_transaction(
    connection: SqlConnection,
    transaction: Transaction,
    answered: Answered | None = None,
    *,
    sets_versions: bool,
    again: bool = False,
) -> None:
    """Run all steps. Raises Refused at the first that differs, or a fault: then the caller has to
    roll back what was done. The schema changes only together with a version.

    `again`: they have been compared on this very state. So what only reads would answer what it
    answered, changes nothing, and is left out: it may be a million rows."""
    now_us, seed = transaction.now_us, transaction.seed
    for ordinal, step in enumerate(all_steps(connection, transaction)):
        if isinstance(step, Defined) and not sets_versions:
            raise Refused(SqlFailure("42501", "the schema changes only with a version", ordinal))
        if again and isinstance(step, Ran) and _only_reads(step.statement):
            continue
        outcome = run_step(connection, step, ordinal, now_us, seed, answered=answered)
        refuse_difference(step, outcome, ordinal)
