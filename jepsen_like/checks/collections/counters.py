"""A counter: what a read shows lies between what surely had and what may have been added.

Surely: every `add` that was over before the read was sent. Maybe: any that was sent before the
read returned. An `add` of unknown outcome is never sure.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import accumulate

from jepsen_like.checks.collections.finding import Finding, verdict_on
from jepsen_like.history import Operation
from jepsen_like.result import Verdict

__all__ = ["within_bounds"]

CHECK = "within-bounds"


def within_bounds(history: Iterable[Operation], initial: int = 0) -> Verdict:
    """Judges `add` n (below zero too) and `read` for each key."""
    by_key: dict[int | str, list[Operation]] = {}
    for operation in history:
        by_key.setdefault(operation.key, []).append(operation)
    findings: list[Finding] = []
    reads = 0
    for operations in by_key.values():
        found, count = _judge(operations, initial)
        findings += found
        reads += count
    findings.sort(key=lambda f: f.offending[0].returned_ns)
    return verdict_on(
        CHECK,
        findings,
        judged=reads,
        otherwise=f"all {reads} reads lie between what surely was and what may have been added",
    )


def _judge(operations: list[Operation], initial: int) -> tuple[list[Finding], int]:
    adds = [o for o in operations if o.f == "add" and o.outcome != "fail"]
    sure_up, maybe_up = _Sums(), _Sums()
    sure_down, maybe_down = _Sums(), _Sums()
    for add in adds:
        sure, maybe = (sure_up, maybe_up) if add.value >= 0 else (sure_down, maybe_down)
        maybe.add(add.sent_ns, add.value)
        if add.outcome == "ok":
            sure.add(add.returned_ns, add.value)
    findings = []
    reads = [o for o in operations if o.f == "read" and o.outcome == "ok"]
    for read in reads:
        low = initial + sure_up.before(read.sent_ns) + maybe_down.until(read.returned_ns)
        high = initial + maybe_up.until(read.returned_ns) + sure_down.before(read.sent_ns)
        if not isinstance(read.output, int) or not low <= read.output <= high:
            sentence = f"a read returned {read.output!r}, where {low} to {high} were possible"
            findings.append(Finding("out-of-bounds", sentence, (read,)))
    return findings, len(reads)


class _Sums:
    """Amounts by time, summed up to a time."""

    def __init__(self) -> None:
        self._pairs: list[tuple[int, int]] = []
        self._times: list[int] | None = None
        self._sums: list[int] = []

    def add(self, at: int, amount: int) -> None:
        self._pairs.append((at, amount))

    def before(self, at: int) -> int:
        return self._up_to(bisect_left(self._sorted(), at))

    def until(self, at: int) -> int:
        return self._up_to(bisect_right(self._sorted(), at))

    def _up_to(self, count: int) -> int:
        return self._sums[count - 1] if count else 0

    def _sorted(self) -> list[int]:
        if self._times is None:
            self._pairs.sort()
            self._times = [at for at, _ in self._pairs]
            self._sums = list(accumulate(amount for _, amount in self._pairs))
        return self._times
