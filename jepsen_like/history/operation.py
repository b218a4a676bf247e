"""What a client saw: one operation with its times and its outcome.

An operation is judged from outside: what was asked, when it was sent, when and how it came
back. Times are nanoseconds of one monotonic clock, counted from the start of the run. This
module knows no file, no database and no checker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

__all__ = [
    "Outcome",
    "OUTCOMES",
    "NO_VERSION",
    "Operation",
    "Unserved",
    "HistoryError",
    "hashable",
]

Outcome: TypeAlias = Literal["ok", "fail", "info"]
"""ok: it happened. fail: it did not and never will. info: unknown, it may still happen."""

OUTCOMES: Final[tuple[Outcome, ...]] = ("ok", "fail", "info")

NO_VERSION: Final = -(1 << 63)
"""Where a version is kept as a number: there is none."""


class HistoryError(ValueError):
    """A history that cannot be written or read; the sentence names the file and the line."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One finished (or for ever unfinished) operation of one client process.

    A process has at most one operation in flight, and after `info` its number is never used
    again. `returned_ns` of an `info` operation is when the client gave up; checkers treat the
    operation as never having returned.
    """

    process: int
    f: str  # "read", "write", "cas", ...
    key: int | str
    value: Any  # the argument: write: value; cas: (expected, new); read: None
    outcome: Outcome
    output: Any  # what came back: read: the value; cas: did it match (bool); else None
    scheduled_ns: int  # when the load generator wanted it sent
    sent_ns: int  # when it was handed to the database
    returned_ns: int
    node: str  # the node (side) whose router the client was bound to
    error: str = ""  # why it is `fail` or `info`
    version: int | None = None  # where the database put it, if it says: a log index, a revision
    workload: str = ""  # which of the workloads of a test asked; keys are each workload's own


@dataclass(frozen=True, slots=True)
class Unserved:
    """An arrival of the open loop that found no free connection before its deadline.

    It counts against availability (a user was not served), and it is no operation of the
    history: nothing was sent, so no checker may reason about it.
    """

    scheduled_ns: int
    node: str
    f: str
    key: int | str
    workload: str = ""


def hashable(value: Any) -> Any:
    """Lists and sets as tuples, all the way down: checkers intern the values of operations."""
    if isinstance(value, (list, tuple)):
        return tuple([hashable(item) for item in value])
    if isinstance(value, (set, frozenset)):
        return tuple(sorted(value, key=repr))
    return value
