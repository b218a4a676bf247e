"""How stale reads were, where it matters: on each side of a cut, and close behind a write.

k and t of each read are those of `checks.staleness` (Bermbach and Tai 2011; PBS, VLDB 2012).
Most reads of a run could not have been stale: nothing had changed. Only those are evidence that

- in a cut, are of a key with a write that became known since the cut began, or
- in a healthy network, were sent within one round trip of a conflicting acknowledgement: a
  replica that is not asked cannot have heard of that write yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from jepsen_like.checks.pbs import curves
from jepsen_like.checks.staleness import Read, measure
from jepsen_like.figures.served import Window
from jepsen_like.history import Operation
from jepsen_like.result import ReadsOfClass, StaleRead

__all__ = ["Freshness", "Readings", "in_cuts", "of_class", "readings", "within"]

WORST_MAX: Final = 2_000
"""Stale reads that are kept one by one, for a picture."""


@dataclass(frozen=True)
class Freshness:
    reads: int  # that could have been stale
    stale: int
    versions_max: int
    stale_ns_max: int


@dataclass(frozen=True)
class Readings:
    """The reads of one class, compared with all writes."""

    operations: Sequence[Operation]
    reads: tuple[Read, ...]
    impossible: int  # what no staleness explains: values that nobody wrote, or not yet


def readings(operations: Sequence[Operation], f: str, initial: Any) -> Readings:
    """The reads of class `f`, and their staleness. Values that are written must be distinct."""
    mine = [
        replace(operation, f="read") if operation.f == f else operation
        for operation in operations
        if operation.f in (f, "write", "cas")
    ]
    measured = measure(mine, initial, seconds=0.0)
    reads = tuple(read for key in measured.keys for read in key.reads)
    return Readings(mine, reads, len(measured.impossible) + len(measured.not_measured))


def _summary(found: Sequence[Read], bound_ns: int = 0) -> Freshness:
    return Freshness(
        len(found),
        sum(read.versions > 0 and read.stale_ns > bound_ns for read in found),
        max((read.versions for read in found), default=0),
        max((read.stale_ns for read in found), default=0),
    )


def in_cuts(of: Readings, windows: Sequence[Window], bound_ns: int = 0) -> Freshness:
    """Reads sent on this side, of keys that were overwritten since the cut began; stale are those
    that are staler than `bound_ns`."""
    found = [
        read
        for read in of.reads
        if any(_is_evidence(read, of.operations[read.position].node, w) for w in windows)
    ]
    return _summary(found, bound_ns)


def _is_evidence(read: Read, node: str, window: Window) -> bool:
    return (
        node in window.hosts
        and window.start_ns <= read.sent_ns < window.end_ns
        and read.newest_ns is not None
        and read.sent_ns - read.newest_ns >= window.start_ns
    )


def within(of: Readings, windows: Sequence[Window], age_ns: int) -> Freshness:
    """Reads sent at most `age_ns` after a write of their key had become known."""
    found = [
        read
        for read in of.reads
        if read.newest_ns is not None
        and read.newest_ns <= age_ns
        and any(w.start_ns <= read.sent_ns < w.end_ns for w in windows)
    ]
    return _summary(found)


def of_class(of: Readings, f: str, seed: int) -> ReadsOfClass:
    """All of them: how many were stale, which most, and the curves. `seed` of their intervals."""
    stale = sorted((r for r in of.reads if r.versions), key=lambda r: -r.stale_ns)
    worst = [
        StaleRead(read.sent_ns, of.operations[read.position].node, read.versions, read.stale_ns)
        for read in sorted(stale[:WORST_MAX], key=lambda read: read.sent_ns)
    ]
    samples = [(read.sent_ns, read.versions, read.newest_ns) for read in of.reads]
    found = curves(samples, seed)
    return ReadsOfClass(f, len(of.reads), len(stale), tuple(worst), found.as_dict())
