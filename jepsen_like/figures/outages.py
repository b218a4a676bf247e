"""How long it did not serve: failover, recovery, and the outage after the heal.

- Failover: from the fault to the first answer ok to a call that was sent after it (on a side
  that can serve). One lucky call ends it, so it is a lower bound of what users feel.
- Recovery: the first t from which availability is at least .99 for a while w.
- Post-heal outage: the time in [heal, heal + W] in which availability is below theta. Systems
  are at their worst when the world is well again: an ex-leader with a higher term deposes the
  working one (which PreVote prevents), queues are flushed, everybody reconnects at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from jepsen_like.history import Operation, Unserved

__all__ = ["BUCKET_NS", "first_ok", "post_heal_outage", "recovery"]

BUCKET_NS: Final = 100_000_000
"""The resolution of recovery and outage."""


def first_ok(
    operations: Iterable[Operation],
    since_ns: int,
    hosts: Collection[str],
    classes: Collection[str],
) -> int | None:
    """Nanoseconds from `since_ns`; None: never."""
    answers = (
        operation.returned_ns - since_ns
        for operation in operations
        if operation.outcome == "ok"
        and operation.sent_ns >= since_ns
        and operation.node in hosts
        and operation.f in classes
    )
    return min(answers, default=None)


def _buckets(
    operations: Iterable[Operation],
    unserved: Iterable[Unserved],
    start_ns: int,
    end_ns: int,
    hosts: Collection[str],
) -> list[list[int]]:
    """[ok, all] by scheduled time."""
    counts = [[0, 0] for _ in range(max(0, -(-(end_ns - start_ns) // BUCKET_NS)))]
    for operation in operations:
        if operation.node in hosts and start_ns <= operation.scheduled_ns < end_ns:
            cell = counts[(operation.scheduled_ns - start_ns) // BUCKET_NS]
            cell[0] += operation.outcome == "ok"
            cell[1] += 1
    for arrival in unserved:
        if arrival.node in hosts and start_ns <= arrival.scheduled_ns < end_ns:
            counts[(arrival.scheduled_ns - start_ns) // BUCKET_NS][1] += 1
    return counts


def recovery(
    operations: Iterable[Operation],
    unserved: Iterable[Unserved],
    *,
    since_ns: int,
    until_ns: int,
    hosts: Collection[str],
    at_least: float = 0.99,
    for_ns: int = 1_000_000_000,
) -> int | None:
    """Nanoseconds from `since_ns` to the first bucket from which on, for `for_ns`, the share of
    calls that were served is at least `at_least`; None: never before `until_ns`."""
    counts = _buckets(operations, unserved, since_ns, until_ns, hosts)
    width = max(1, for_ns // BUCKET_NS)
    for first in range(len(counts) - width + 1):
        ok = sum(cell[0] for cell in counts[first : first + width])
        asked = sum(cell[1] for cell in counts[first : first + width])
        if asked and counts[first][0] == counts[first][1] and ok >= at_least * asked:
            return first * BUCKET_NS
    return None


def post_heal_outage(
    operations: Iterable[Operation],
    unserved: Iterable[Unserved],
    *,
    heal_ns: int,
    until_ns: int,
    hosts: Collection[str],
    theta: float = 0.9,
) -> int:
    """Nanoseconds of [heal_ns, until_ns) in buckets of which less than `theta` were served. A
    bucket in which nobody asked is no outage."""
    counts = _buckets(operations, unserved, heal_ns, until_ns, hosts)
    return BUCKET_NS * sum(asked > 0 and ok < theta * asked for ok, asked in counts)
