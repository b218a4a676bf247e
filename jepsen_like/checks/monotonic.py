"""Numbers that only grow: no read goes back, and no raise gets lost.

A `write` v raises a number to v if it is lower, and answers False if it was not. A read must
return at least whatever was known before it was sent: what a write that was over had raised it
to, and what a read that was over had returned. And it must return the initial number or what
somebody asked for before the read was over. Judged in n log n, key by key.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from jepsen_like.checks.collections.finding import Finding, verdict_on
from jepsen_like.history import Operation
from jepsen_like.result import Verdict

__all__ = ["CHECK", "monotonic"]

CHECK: Final = "monotonic"


def monotonic(history: Iterable[Operation], initial: int = 0) -> Verdict:
    by_key: dict[int | str, list[Operation]] = {}
    for operation in history:
        by_key.setdefault(operation.key, []).append(operation)
    findings: list[Finding] = []
    reads = 0
    for operations in by_key.values():
        findings += _back(operations, initial)
        reads += sum(o.f == "read" and o.outcome == "ok" for o in operations)
    findings.sort(key=lambda finding: finding.offending[-1].returned_ns)
    return verdict_on(
        CHECK,
        findings,
        judged=reads,
        otherwise=f"none of {reads} reads on {len(by_key)} keys went back",
    )


def _back(operations: list[Operation], initial: int) -> list[Finding]:
    asked = {o.value: o.sent_ns for o in operations if o.f == "write" and o.outcome != "fail"}
    over = sorted((o for o in operations if o.outcome == "ok"), key=lambda o: o.returned_ns)
    reads = sorted((o for o in over if o.f == "read"), key=lambda o: o.sent_ns)
    findings = []
    known, shows, position = initial, None, 0
    for read in reads:
        while position < len(over) and over[position].returned_ns < read.sent_ns:
            number = _shown(over[position])
            if number is not None and number > known:
                known, shows = number, over[position]
            position += 1
        value = read.output
        by = () if shows is None else (shows,)
        if not isinstance(value, int):
            findings.append(Finding("made-up", f"a read returned {value!r}", (read,)))
        elif value < known:
            sentence = f"{known} was there before a read that returned {value}"
            findings.append(Finding("back", sentence, (*by, read)))
        elif value != initial and asked.get(value, read.returned_ns + 1) > read.returned_ns:
            sentence = f"{value!r} was read, and nobody had written it"
            findings.append(Finding("made-up", sentence, (read,)))
    return findings


def _shown(operation: Operation) -> int | None:
    """What the number is at least, once this is over."""
    number = operation.value if operation.f == "write" else operation.output
    return number if isinstance(number, int) else None
