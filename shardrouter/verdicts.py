"""What is reported of a command: nodes' refusals and the router's own ends, as errors.

Pure. Which of them is the truth about a command is decided in `shardrouter.shards`.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from nodes.protocol import Done, SqlFailure, Stale
from shardrouter.errors import (
    DeadlineExceeded,
    NotSupported,
    OutcomeUnknown,
    RouterError,
    StatementError,
    Unavailable,
)

__all__ = [
    "Outcome",
    "answer_lost",
    "canceled",
    "lock_not_available",
    "refused",
    "sql_error",
    "time_over",
    "unknown",
]

Outcome: TypeAlias = Done | Stale | RouterError
"""It happened; it did not, because the caller's catalog is stale; or an error."""


RETRY_HINT: Final = "The transaction might succeed if it is repeated from its beginning."


def refused(refusal: SqlFailure | Stale) -> Outcome:
    """A refusal that is final."""
    return refusal if isinstance(refusal, Stale) else sql_error(refusal)


_SQLSTATE_CLASSES: Final[dict[str, type[RouterError]]] = {
    "0A000": NotSupported,
    "57014": DeadlineExceeded,
    "57P03": Unavailable,
    "53300": Unavailable,
}


def sql_error(failure: SqlFailure) -> RouterError:
    """A failure that a shard found, as the kind of error its SQLSTATE means."""
    kind = _SQLSTATE_CLASSES.get(failure.sqlstate, StatementError)
    hint = RETRY_HINT if failure.sqlstate == "40001" else ""
    error = kind(
        failure.message,
        sqlstate=failure.sqlstate,
        detail=failure.detail,
        hint=hint,
    )
    for name, value in _about(failure.sqlstate, failure.message).items():
        setattr(error, name, value)
    error.statement = failure.statement
    error.violation = failure.violation
    error.row = failure.row
    return error


_NAMED: Final = {
    "table": re.compile(r'(?:relation|table) "((?:[^"]|"")*)"'),
    "column": re.compile(r'column "((?:[^"]|"")*)"'),
    "constraint": re.compile(r'constraint "((?:[^"]|"")*)"'),
}
_VIOLATION: Final = "23"
"""The class of SQLSTATEs of constraints."""


def _about(sqlstate: str, message: str) -> dict[str, str]:
    """What the message of a violated constraint names, for who does not want to read it."""
    if not sqlstate.startswith(_VIOLATION):
        return {}
    found = {name: pattern.search(message) for name, pattern in _NAMED.items()}
    about = {name: match[1] for name, match in found.items() if match is not None}
    return {"schema": "public", **about} if about else {}


def time_over(group: str, trouble: str, hint: str = "") -> DeadlineExceeded:
    """The deadline has passed and nothing has happened. `trouble`: what the last try met;
    `hint`: what to do about it, if a node has said so."""
    return DeadlineExceeded(
        "canceling statement due to statement timeout",
        detail=f"{group} did not answer in time: {trouble.rstrip('.')}." if trouble else "",
        hint=hint,
    )


def canceled() -> DeadlineExceeded:
    """The client asked for an end, and nothing has happened."""
    return DeadlineExceeded("canceling statement due to user request")


def lock_not_available(group: str) -> StatementError:
    """A transaction over several shards kept the statement out until its time was over, and nothing
    has happened."""
    return StatementError(
        "canceling statement due to lock timeout",
        sqlstate="55P03",
        detail=f"A transaction over several shards holds rows on {group}, and nobody has ended it.",
        hint="Repeat it; `shardrouter status` shows which shard has no leader.",
    )


def leaderless(group: str) -> Unavailable:
    """Every shard has to take part, and one cannot."""
    return Unavailable(
        f"{group} has no leader, and every shard has to carry out a change of a reference table",
        detail="Nothing of the statement was done.",
        hint="Repeat it when `shardrouter status` shows a leader of each shard.",
    )


def unknown(group: str, reason: str) -> OutcomeUnknown:
    """A write that may have left, of which no more could be learnt."""
    return OutcomeUnknown(
        f"the outcome of the write on {group} is not known",
        detail=f"It was sent, and {reason}.",
        hint="It may have been applied or may yet be: look before you repeat it.",
    )


def answer_lost(group: str) -> OutcomeUnknown:
    """A write that is committed, whose answer was not kept for a repeat."""
    return OutcomeUnknown(
        f"the answer of the write on {group} is lost",
        detail="The write is committed; its rows were too large to be kept for a repeat.",
        hint="Do not repeat it; read the rows.",
    )
