"""Did whoever was well make progress? Judged in each phase of liveness that the run had.

A phase (`faults.liveness`) is a record that says which hosts were healthy and connected and of
which groups they had a quorum. Then each such host must get something done on each such group, of
each class of operations that it asked for: one answer ok, to an operation that was sent within the
phase and ended in it. The weaker levels of reads are left out: a replica that is alone may answer
those.

- `invalid`: a host asked at least ASKED_MIN times, and was not answered once. A store that elects
  without end, aborts every transaction or waits for a host that is broken keeps every promise of
  safety, and is convicted here.
- `unknown`: nobody was seen to be well, no group had a quorum, or too little was asked to tell.

An operation is asked when it is sent, or when it found no connection in its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from jepsen_like.checks.availability import OF_A_LEVEL
from jepsen_like.history import Operation, Unserved
from jepsen_like.result import LIVENESS, FaultRecord, Verdict

__all__ = ["ASKED_MIN", "CHECK", "liveness"]

CHECK: Final = "liveness"

ASKED_MIN: Final = 10
"""So many calls of one host on one group in a row fail by chance only where most do."""


@dataclass
class _Part:
    """One host's operations of one class on one group, in one phase."""

    asked: int = 0
    ok: int = 0
    first_ok_ns: int = 0  # after the start of the phase
    last: Operation | None = None  # of those that were not ok


def liveness(
    operations: Iterable[Operation],
    unserved: Iterable[Unserved],
    faults: Sequence[FaultRecord],
    group_of: Callable[[Operation | Unserved], str | None],
) -> Verdict | None:
    """Of all phases, the worst; None if there was none.

    `details`: `parts` that were demanded, `slowest_ns` until one of them had its first answer.
    """
    phases = [fault for fault in faults if fault.kind == LIVENESS]
    if not phases:
        return None
    known = list(operations)
    missed = list(unserved)
    found = [_of_phase(phase, known, missed, group_of) for phase in phases]
    return min(found, key=lambda verdict: ("invalid", "unknown", "valid").index(verdict.validity))


def _of_phase(
    phase: FaultRecord,
    operations: Sequence[Operation],
    unserved: Sequence[Unserved],
    group_of: Callable[[Operation | Unserved], str | None],
) -> Verdict:
    if not phase.healthy:
        why = next((e for e in phase.evidence if e.startswith("NOT VERIFIED")), "nobody looked")
        return Verdict(CHECK, "unknown", f"whether a quorum was well is not known: {why}")
    if not phase.served:
        return Verdict(CHECK, "unknown", "no group had a quorum among the hosts that were well")
    parts = _parts(phase, operations, unserved, group_of)
    asked = sum(part.asked for part in parts.values())
    stuck = [place for place, part in parts.items() if not part.ok and part.asked >= ASKED_MIN]
    seconds = (phase.end_ns - phase.start_ns) / 1e9
    well = f"{' '.join(phase.healthy)} were well and connected for {seconds:.1f} s"
    left = f" ({phase.name})"
    if stuck:
        host, group, f = min(stuck, key=lambda place: -parts[place].asked)
        part = parts[host, group, f]
        more = f", and {len(stuck) - 1} more of {len(parts)} such" if len(stuck) > 1 else ""
        said = f"; the last: {part.last.error}" if part.last is not None and part.last.error else ""
        reason = (
            f"{well}{left}, and {host} got none of {part.asked} times `{f}` on {group} done"
            f"{more}{said}"
        )
        shown = () if part.last is None else (part.last,)
        return Verdict(CHECK, "invalid", reason, asked, shown)
    done = {(host, group) for (host, group, _), part in parts.items() if part.ok}
    wanted = {(host, group) for host in phase.healthy for group in phase.served}
    untold = sorted(
        (host, group)
        for host, group in wanted - done
        if any(place[:2] == (host, group) for place in parts)
    )
    if not done or untold:
        few = f"{untold[0][0]} on {untold[0][1]}" if untold else "anybody"
        reason = f"{well}{left}, and too little was asked by {few} to tell whether it serves"
        return Verdict(CHECK, "unknown", reason, asked)
    slowest = max(part.first_ok_ns for part in parts.values() if part.ok)
    reason = (
        f"{well}{left}: every one of {len(done)} pairs of a host and a group was served, the last "
        f"of them after {slowest / 1e9:.1f} s"
    )
    details = {"parts": len(parts), "slowest_ns": slowest}
    return Verdict(CHECK, "valid", reason, asked, details=details)


def _parts(
    phase: FaultRecord,
    operations: Sequence[Operation],
    unserved: Sequence[Unserved],
    group_of: Callable[[Operation | Unserved], str | None],
) -> dict[tuple[str, str, str], _Part]:
    """By host, group and class, of those that are demanded."""
    parts: dict[tuple[str, str, str], _Part] = {}

    def part_of(one: Operation | Unserved) -> _Part | None:
        if one.node not in phase.healthy or one.f.startswith(OF_A_LEVEL):
            return None
        group = group_of(one)
        if group is None or group not in phase.served:
            return None
        return parts.setdefault((one.node, group, one.f), _Part())

    for operation in sorted(operations, key=lambda operation: operation.returned_ns):
        if not phase.start_ns <= operation.sent_ns <= operation.returned_ns <= phase.end_ns:
            continue
        part = part_of(operation)
        if part is None:
            continue
        part.asked += 1
        if operation.outcome == "ok":
            if not part.ok:
                part.first_ok_ns = operation.returned_ns - phase.start_ns
            part.ok += 1
        else:
            part.last = operation
    for arrival in unserved:
        if phase.start_ns <= arrival.scheduled_ns <= phase.end_ns:
            part = part_of(arrival)
            if part is not None:
                part.asked += 1
    return parts
