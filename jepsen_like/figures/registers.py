"""What became of what was written: lost writes, and what sessions saw go backwards.

For registers whose written values are distinct. A write is *known* from its acknowledgement on,
or from the first answer of a read that returned it; it is *newer* than another if that was known
before it was sent. Only such pairs count, so every figure is a lower bound.

- Lost acknowledged writes (after Jepsen's set-full): acknowledged, older than nothing that was
  acknowledged, and every final read of the key returned something older.
- Session violations (Terry et al. 1994), counted in reads: a read that returned something older
  than the process itself had written (read-your-writes) or read (monotonic-reads). The two
  guarantees about the order of writes are judged by `checks.sessions`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jepsen_like.history import Operation

__all__ = ["SessionViolations", "lost_writes", "session_violations"]

_NEVER: Final = 1 << 62
_ALWAYS: Final = -1


@dataclass(frozen=True)
class SessionViolations:
    reads: int
    read_your_writes: int
    monotonic_reads: int


def _writes(operations: Iterable[Operation]) -> dict[tuple[Any, Any], Operation]:
    """(key, value) -> the write. A compare-and-set that did not match wrote nothing."""
    writes = {}
    for operation in operations:
        if operation.outcome == "fail":
            continue
        if operation.f == "write":
            writes[operation.key, operation.value] = operation
        elif operation.f == "cas" and operation.output is not False:
            writes[operation.key, operation.value[1]] = operation
    return writes


def lost_writes(
    operations: Sequence[Operation], *, quiet_ns: int, read: str = "read"
) -> tuple[Operation, ...]:
    """`quiet_ns`: from when on nothing was written and everything had healed. Reads of the class
    `read` that were sent later are the final ones; a key without one loses nothing."""
    writes = _writes(operations)
    newest_final: dict[Any, int] = {}  # of a key: when the newest value that was read was known
    for operation in operations:
        if operation.f == read and operation.outcome == "ok" and operation.sent_ns >= quiet_ns:
            source = writes.get((operation.key, operation.output))
            known = _ALWAYS if source is None else _NEVER
            if source is not None and source.outcome == "ok":
                known = source.returned_ns
            newest_final[operation.key] = max(newest_final.get(operation.key, _ALWAYS), known)
    acknowledged = [write for write in writes.values() if write.outcome == "ok"]
    last_sent: dict[Any, int] = {}
    for write in acknowledged:
        last_sent[write.key] = max(last_sent.get(write.key, _ALWAYS), write.sent_ns)
    return tuple(
        write
        for write in acknowledged
        if newest_final.get(write.key, _NEVER) < write.sent_ns
        and last_sent[write.key] <= write.returned_ns
    )


def session_violations(operations: Sequence[Operation], read: str = "read") -> SessionViolations:
    """Of the reads of the class `read`."""
    writes = _writes(operations)
    known = {
        place: write.returned_ns if write.outcome == "ok" else _NEVER
        for place, write in writes.items()
    }
    reads = [o for o in operations if o.f == read and o.outcome == "ok"]
    for operation in reads:
        place = (operation.key, operation.output)
        if place in known:
            known[place] = min(known[place], operation.returned_ns)
    own_write: dict[tuple[int, Any], int] = {}  # (process, key) -> when its newest was sent
    seen: dict[tuple[int, Any], int] = {}
    stale_writes = stale_reads = 0
    for operation in sorted(operations, key=lambda o: o.sent_ns):
        place = (operation.process, operation.key)
        if operation.f == read and operation.outcome == "ok":
            since = known.get((operation.key, operation.output), _ALWAYS)
            stale_writes += since < own_write.get(place, _ALWAYS)
            stale_reads += since < seen.get(place, _ALWAYS)
            source = writes.get((operation.key, operation.output))
            if source is not None:
                seen[place] = max(seen.get(place, _ALWAYS), source.sent_ns)
        elif (
            operation.f in ("write", "cas")
            and operation.outcome == "ok"
            and operation.output is not False
        ):
            own_write[place] = operation.sent_ns
    return SessionViolations(len(reads), stale_writes, stale_reads)
