"""Histories whose pages are looked at, and their pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jepsen_like.checks.named import Question
from jepsen_like.file_judge import Job, judge_files
from jepsen_like.history import FaultWindow, History, Operation, write_jsonl
from tests.jepsen_like.histories import op, read, write

MS = 1_000_000


def page_of(
    directory: Path,
    history: Sequence[Operation],
    faults: Sequence[FaultWindow] = (),
    **question: Any,
) -> Path:
    """The page, made as `jepsen-like check --report` makes it."""
    path, report = directory / "history.jsonl", directory / "report.html"
    recorded = History(history)
    recorded.faults += faults
    write_jsonl(path, recorded)
    job = Job(path, Question(**question), report=report, command="jepsen-like check history.jsonl")
    (verdict,) = judge_files([job], side_by_side=1)
    assert report.exists(), verdict.reason
    return report


def stale_on_one_key(value: Callable[[int], Any] = lambda n: n, key: str = "x") -> list[Operation]:
    """Three keys, one written every 10 ms and read in between; key x once too late."""
    history = []
    for n in range(60):
        at = n * 10 * MS
        name = (key, "y", "z")[n % 3]
        history.append(write(value(n), at, at + 3 * MS, key=name, process=n % 2))
        seen = value(n - 3 if n == 30 else n)
        history.append(
            read(seen, at + 5 * MS, at + 8 * MS, key=name, process=2 + n % 3, node=f"n{n % 3}")
        )
    history.append(write(value(99), 605 * MS, 610 * MS, key="y", process=9, outcome="info"))
    return history


def skewed() -> list[Operation]:
    """Write skew: two transactions that did not see each other."""
    one = (("r", "x", ()), ("append", "y", 1))
    two = (("r", "y", ()), ("append", "x", 1))
    last = (("r", "x", (1,)), ("r", "y", (1,)))
    return [
        op("txn", one, one, at=(0, 9 * MS), key="", process=0),
        op("txn", two, two, at=(1 * MS, 8 * MS), key="", process=1),
        op("txn", last, last, at=(10 * MS, 12 * MS), key="", process=2),
    ]
