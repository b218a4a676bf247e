"""Transactions as the checkers see them, and what can be said of one alone.

A transaction is an operation `txn` whose value is a sequence of steps (what, key, value):
("append", k, v) or ("w", k, v), and ("r", k, None), in its output with what was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from jepsen_like.checks.cycles import PROCESS, REALTIME, Graph
from jepsen_like.history import Operation

__all__ = [
    "Step",
    "Transaction",
    "CycleEdge",
    "Anomaly",
    "transactions",
    "add_order_in_time",
]

Step: TypeAlias = tuple[str, Any, Any]


class Transaction(NamedTuple):
    operation: Operation
    steps: tuple[Step, ...]
    outcome: str  # "ok", "fail", "info"


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


def transactions(history: Iterable[Operation], writes: str) -> list[Transaction]:
    """Raises ValueError for an operation that is no transaction of reads and `writes`."""
    found = []
    known = ("r", writes)
    for operation in history:
        steps = operation.output if operation.outcome == "ok" else operation.value
        if operation.f != "txn" or not isinstance(steps, tuple):
            raise ValueError(f"{operation.f} is no transaction: its value is no list of steps")
        for step in steps:
            if not isinstance(step, tuple) or len(step) != 3 or step[0] not in known:
                raise ValueError(f"{step!r} is no step: it is [r, key, value] or [{writes}, ...]")
        found.append(Transaction(operation, steps, operation.outcome))
    return found


def add_order_in_time(graph: Graph, found: Sequence[Transaction]) -> None:
    """Edges of each process, and of the clock.

    Of the clock along a chain of moments, one per answer: a transaction leads to the moment of
    its answer, and that which was sent after a moment comes after all that lead to it. Intervals
    are closed: what was sent at the instant of an answer is concurrent with it.
    """
    ended = [(t.operation.returned_ns, i) for i, t in enumerate(found) if t.outcome == "ok"]
    ended.sort()
    begun = [(t.operation.sent_ns, i) for i, t in enumerate(found) if t.outcome != "fail"]
    begun.sort()
    ended.append((begun[-1][0] if begun else 0, -1))  # over before nothing
    at = 0
    moment = -1
    over = ended[0][0]  # when the next one was
    of_clock: list[tuple[int, int]] = []
    of_processes: list[tuple[int, int]] = []
    last: dict[int, int] = {}
    for sent, i in begun:
        while over < sent:
            new = graph.point()
            if moment >= 0:
                of_clock.append((moment, new))
            of_clock.append((ended[at][1], new))
            moment = new
            at += 1
            over = ended[at][0]
        if moment >= 0:
            of_clock.append((moment, i))
        process = found[i].operation.process
        if process in last:
            of_processes.append((last[process], i))
        last[process] = i
    graph.add_all(of_clock, REALTIME)
    graph.add_all(of_processes, PROCESS)
