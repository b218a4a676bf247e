"""Transactions as the checkers see them, and what can be said of one alone.

A transaction is an operation `txn` whose value is a sequence of steps (what, key, value):
("append", k, v) or ("w", k, v), and ("r", k, None), in its output with what was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias, overload

from jepsen_like.history import Operation

__all__ = ["Step", "Transaction", "Transactions", "CycleEdge", "Anomaly", "transactions"]

Step: TypeAlias = tuple[str, Any, Any]


class Transaction(NamedTuple):
    operation: Operation
    steps: tuple[Step, ...]
    outcome: str  # "ok", "fail", "info"


@dataclass(frozen=True)
class Transactions(Sequence[Transaction]):
    """All of a history in columns; a `Transaction` is made when it is asked for."""

    operations: Sequence[Operation]
    steps: Sequence[tuple[Step, ...]]
    outcome: Sequence[str]

    def __len__(self) -> int:
        return len(self.steps)

    @overload
    def __getitem__(self, index: int) -> Transaction: ...
    @overload
    def __getitem__(self, index: slice) -> list[Transaction]: ...
    def __getitem__(self, index: int | slice) -> Transaction | list[Transaction]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return Transaction(self.operations[index], self.steps[index], self.outcome[index])

    def __iter__(self) -> Iterator[Transaction]:
        return map(Transaction, self.operations, self.steps, self.outcome)


class CycleEdge(NamedTuple):
    """`source` must have come before `target`: positions among the transactions shown."""

    source: int
    target: int
    label: str  # "rw x"
    sentence: str


@dataclass(frozen=True)
class Anomaly:
    """Something that went wrong, in a sentence, with the transactions that show it."""

    name: str  # "G1a", "lost-update", ...
    sentence: str
    shown: tuple[int, ...]
    drawn: str = ""  # a cycle: "T1 -(rw x)-> T2 -(wr y)-> T1"
    edges: tuple[CycleEdge, ...] = ()  # the same, for whoever draws it


def transactions(history: Iterable[Operation], writes: str) -> Transactions:
    """Raises ValueError for an operation that is no transaction of reads and `writes`."""
    operations = list(history)
    outcome = [operation.outcome for operation in operations]
    steps = [o.output if o.outcome == "ok" else o.value for o in operations]
    if {operation.f for operation in operations} - {"txn"} or not _are_steps(steps, writes):
        for operation, mine in zip(operations, steps, strict=True):
            _look_at(operation, mine, writes)
    return Transactions(operations, steps, outcome)


def _are_steps(steps: Sequence[Any], writes: str) -> bool:
    """Whether all are steps, plainly; False: one or the other has to be looked at."""
    if not set(map(type, steps)) <= {tuple}:
        return False
    flat = list(chain.from_iterable(steps))
    if not (set(map(type, flat)) <= {tuple} and set(map(len, flat)) <= {3}):
        return False
    try:
        return set(map(itemgetter(0), flat)) <= {"r", writes}
    except TypeError:  # what cannot be hashed is neither
        return False


def _look_at(operation: Operation, steps: Any, writes: str) -> None:
    if operation.f != "txn" or not isinstance(steps, tuple):
        raise ValueError(f"{operation.f} is no transaction: its value is no list of steps")
    for step in steps:
        if not isinstance(step, tuple) or len(step) != 3 or step[0] not in ("r", writes):
            raise ValueError(f"{step!r} is no step: it is [r, key, value] or [{writes}, ...]")
