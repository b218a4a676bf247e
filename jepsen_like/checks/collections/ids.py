"""Unique ids: no two calls of `generate` return the same one; None says that none was given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jepsen_like.checks.collections.finding import Finding, verdict_on
from jepsen_like.history import Operation
from jepsen_like.result import Verdict

__all__ = ["unique"]

CHECK = "unique"


def unique(history: Iterable[Operation]) -> Verdict:
    first: dict[Any, Operation] = {}
    findings = []
    count = 0
    for operation in sorted(history, key=lambda o: o.returned_ns):
        if operation.f != "generate" or operation.outcome != "ok":
            continue
        if operation.output is None:
            continue
        count += 1
        try:
            before = first.setdefault(operation.output, operation)
        except TypeError:  # a map is no id
            sentence = f"{operation.output!r} is no id"
            findings.append(Finding("no-id", sentence, (operation,)))
            continue
        if before is not operation:
            sentence = f"the id {operation.output!r} was given out twice"
            findings.append(Finding("duplicate", sentence, (before, operation)))
    return verdict_on(CHECK, findings, judged=count, otherwise=f"all {count} ids differ")
