"""Acknowledged writes of registers that are gone when all is over.

A key is judged by its *quiet* reads: those sent when every acknowledged write to it was over. A
write is lost if it was acknowledged, and all the quiet reads show is older: what was written by
somebody whose write was over before this one was sent, or what was there at first. Of several
that are missing only those are counted that no later acknowledged write had overwritten. Values
are written once; n log n, whatever is in flight.

A stale replica that is asked last hides nothing and convicts nobody here: one quiet read that
shows the write is enough. That it was stale is what linearizability and staleness tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from jepsen_like.checks.collections.finding import Finding, verdict_on
from jepsen_like.history import Operation
from jepsen_like.result import Verdict

__all__ = ["CHECK", "lost_writes"]

CHECK: Final = "lost writes"
NEVER: Final = 1 << 62


def lost_writes(history: Iterable[Operation]) -> Verdict:
    """Judges `read`, `write` v and `cas` (expected, new) of each key."""
    by_key: dict[int | str, list[Operation]] = {}
    for operation in history:
        by_key.setdefault(operation.key, []).append(operation)
    findings: list[Finding] = []
    quiet_keys = acknowledged = 0
    for key, operations in by_key.items():
        writes = [o for o in operations if _is_write(o)]
        surely = [o for o in writes if o.outcome == "ok"]
        last = max((o.returned_ns for o in surely), default=-1)
        quiet = [o for o in operations if o.f == "read" and o.outcome == "ok" and o.sent_ns > last]
        if not quiet:
            continue
        quiet_keys += 1
        acknowledged += len(surely)
        findings += _lost(key, writes, surely, quiet)
    return verdict_on(
        CHECK,
        findings,
        judged=quiet_keys,
        otherwise=f"none of {acknowledged} acknowledged writes to {quiet_keys} keys was lost",
    )


def _lost(
    key: int | str, writes: list[Operation], surely: list[Operation], quiet: list[Operation]
) -> list[Finding]:
    until = {
        _written(o): o.returned_ns if o.outcome == "ok" else NEVER for o in writes
    }  # when the write of a value was over
    newest = max(until.get(read.output, -1) for read in quiet)
    last_sent = max((o.sent_ns for o in surely), default=-1)
    shown = quiet[-1].output
    return [
        Finding(
            "lost",
            f"the write of {_written(write)!r} to key {key} was acknowledged, "
            f"and all that is left is {shown!r}",
            (write, quiet[-1]),
        )
        for write in surely
        if write.sent_ns > newest and write.returned_ns >= last_sent
    ]


def _is_write(operation: Operation) -> bool:
    if operation.outcome == "fail":
        return False
    if operation.f == "cas":
        return operation.outcome == "info" or operation.output is True
    return operation.f == "write"


def _written(operation: Operation) -> Any:
    return operation.value[1] if operation.f == "cas" else operation.value
