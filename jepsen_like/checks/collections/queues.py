"""A queue, in any order: what was put in comes out once, and nothing else does.

- made-up: dequeued although nobody enqueued it, or only an `enqueue` that failed;
- duplicated: dequeued more often than it was enqueued;
- lost: acknowledged and never dequeued, though a `dequeue` sent after all others found it empty.

What a `dequeue` of unknown outcome took is not known: each may account for one that is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from jepsen_like.checks.collections.finding import Finding, verdict_on
from jepsen_like.history import Operation
from jepsen_like.result import Verdict

__all__ = ["nothing_lost"]

CHECK = "nothing-lost"


def nothing_lost(history: Iterable[Operation], *, is_over: bool = True) -> Verdict:
    """Judges `enqueue` x, `dequeue` -> x or None, and `drain` -> many, for each key.

    Not `is_over`: what was put in may come out yet.
    """
    by_key: dict[int | str, list[Operation]] = {}
    for operation in history:
        by_key.setdefault(operation.key, []).append(operation)
    findings: list[Finding] = []
    judged = 0
    open_ones = 0
    for operations in by_key.values():
        found, left = _judge(operations, is_over=is_over)
        findings += found
        open_ones += left
        judged += sum(o.outcome == "ok" for o in operations)
    rest = f"; {open_ones} were not taken out yet" if open_ones else ""
    return verdict_on(
        CHECK, findings, judged=judged, otherwise=f"nothing was lost, made up or taken twice{rest}"
    )


def _judge(operations: list[Operation], *, is_over: bool) -> tuple[list[Finding], int]:
    """The findings, and how many elements may still be inside."""
    enqueued = [o for o in operations if o.f == "enqueue" and o.outcome != "fail"]
    attempted = Counter(o.value for o in enqueued)
    taken: Counter[object] = Counter()
    findings = []
    for operation in sorted(operations, key=lambda o: o.returned_ns):
        for value in _taken(operation):
            taken[value] += 1
            if value not in attempted:
                sentence = f"{value!r} came out, and nobody put it in"
                findings.append(Finding("made-up", sentence, (operation,)))
            elif taken[value] > attempted[value]:
                sentence = f"{value!r} came out {taken[value]} times, put in {attempted[value]}"
                shown = [o for o in operations if value in _taken(o)]
                findings.append(Finding("duplicated", sentence, tuple(shown[:4])))
    acknowledged = Counter(o.value for o in enqueued if o.outcome == "ok")
    missing = acknowledged - taken
    unknown = sum(o.f in ("dequeue", "drain") and o.outcome == "info" for o in operations)
    if not is_over or not _is_drained(operations) or missing.total() <= unknown:
        return findings, missing.total()
    lost = [o for o in enqueued if o.value in missing]
    for operation in lost:
        sentence = f"{operation.value!r} was put in and never came out, and the queue was empty"
        findings.append(Finding("lost", sentence, (operation,)))
    return findings, 0


def _taken(operation: Operation) -> tuple[object, ...]:
    if operation.outcome != "ok" or operation.output is None:
        return ()
    if operation.f == "drain":
        return tuple(operation.output)
    return (operation.output,) if operation.f == "dequeue" else ()


def _is_drained(operations: list[Operation]) -> bool:
    """Whether somebody who came after everybody else's `enqueue` found nothing left."""
    last_in = max((o.returned_ns for o in operations if o.f == "enqueue"), default=0)
    return any(
        o.outcome == "ok"
        and o.sent_ns > last_in
        and (o.f == "drain" or (o.f == "dequeue" and o.output is None))
        for o in operations
    )
