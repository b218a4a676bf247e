"""Rows that are written one after the other: no later one is seen without the earlier ones.

A `write` v raises the rows of a chain to v, the first row first; a `read` returns them as it read
them, the last row first. As rows only grow, what a read returns must not fall on the way: a row
that is read later and comes earlier has at least what was there (sequential consistency over
several keys).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from jepsen_like.checks.collections.finding import Finding, verdict_on
from jepsen_like.history import Operation
from jepsen_like.result import Verdict

__all__ = ["CHECK", "in_order"]

CHECK: Final = "in order"


def in_order(history: Iterable[Operation]) -> Verdict:
    findings = []
    reads = 0
    for operation in history:
        if operation.f != "read" or operation.outcome != "ok":
            continue
        reads += 1
        numbers = operation.output or ()
        if not numbers or any(number is None for number in numbers):
            sentence = f"a row of chain {operation.key} is missing"
            findings.append(Finding("missing", sentence, (operation,)))
        elif any(later < earlier for earlier, later in pairwise(numbers)):
            sentence = (
                f"a read of chain {operation.key}, the last row first, returned "
                f"{', '.join(map(str, numbers))}: a later row was seen without an earlier one"
            )
            findings.append(Finding("out of order", sentence, (operation,)))
    return verdict_on(
        CHECK, findings, judged=reads, otherwise=f"{reads} reads saw the rows in order"
    )
