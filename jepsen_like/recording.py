"""A run before it is judged: everything that was seen, and nothing that was concluded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jepsen_like.history import History, Unserved
from jepsen_like.load import Call
from jepsen_like.result import FaultRecord, Reign, ReplicaComparison, Verdict
from jepsen_like.spec import Test

__all__ = ["Recording"]


@dataclass(frozen=True)
class Recording:
    """Times are nanoseconds from when the database was loaded and its clients connect."""

    test: Test
    seed: int
    started_at: str
    backend: str  # by name
    zero_s: float  # the wall clock, in seconds since the epoch, when the run's own was 0
    duration_ns: int
    history: History
    unserved: tuple[Unserved, ...]
    faults: tuple[FaultRecord, ...]
    leaders: Mapping[str, str]  # when the load began
    groups: Mapping[tuple[str, int | str], str]  # of the (workload, key)s that were used
    unread: tuple[tuple[Call, str], ...]  # (read, host) that had no answer at the end
    comparison: ReplicaComparison | None = None
    late_ns: int = 0  # how late the harness itself was at worst
    reigns: tuple[Reign, ...] = ()  # as the processes said of themselves
    online: tuple[Verdict, ...] = ()  # of what was judged while it ran; invalid: it stopped the run

    @property
    def violation(self) -> Verdict | None:
        """What stopped the run, if something did."""
        return next((v for v in self.online if v.validity == "invalid"), None)
