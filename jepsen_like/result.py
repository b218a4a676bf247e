"""A finished run as one value: what was tried, what was verified, what was measured, the verdict.

The runner builds it, the card and the report print it, `results.json` is it. Times are
nanoseconds from the start of the run, on the clock of the history.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from jepsen_like.history import FaultWindow, Operation, Unserved

__all__ = [
    "LIVENESS",
    "Validity",
    "Verdict",
    "FaultRecord",
    "SideAvailability",
    "Failover",
    "Reign",
    "StaleRead",
    "ReadsOfClass",
    "Sweep",
    "LogLine",
    "ReplicaComparison",
    "Estimate",
    "ClassLabel",
    "RunResult",
    "EXIT_CODES",
]

Validity: TypeAlias = Literal["valid", "invalid", "unknown"]

LIVENESS = "liveness"
"""The kind of a fault record that is a phase in which progress is demanded."""

EXIT_CODES: dict[Validity, int] = {"valid": 0, "invalid": 1, "unknown": 2}


@dataclass(frozen=True)
class Verdict:
    """What one checker says. `unknown` if it crashed, ran out of budget, or lacks evidence."""

    check: str  # "linearizable", ...
    validity: Validity
    reason: str  # one sentence
    operations: int = 0  # operations judged
    offending: tuple[Operation, ...] = ()  # for invalid: a small set that cannot be explained
    details: dict[str, Any] = field(default_factory=dict)
    workload: str = ""  # whose operations were judged; "": those of the whole run

    @property
    def title(self) -> str:
        return f"{self.check} ({self.workload})" if self.workload else self.check


@dataclass(frozen=True)
class FaultRecord:
    """One fault window of the ledger: what was asked, and what was verified to have happened."""

    name: str  # "partition isolate(leader of shard-1)", "kill -9 leader of shard-2"
    kind: str  # "partition", "kill", "power cut", "pause"
    target: str  # "n2"
    role_before: str  # the target's role when the fault was injected: "leader of shard-1"
    role_after: str  # its role when the fault was healed
    start_ns: int
    end_ns: int
    sides: tuple[tuple[str, ...], ...] = ()  # for a partition: the nodes on each side
    cut: tuple[tuple[str, str], ...] = ()  # for a partition: the (source, target) that were cut
    rtt_ns: int | None = None  # for slow links: the round-trip time that was asked for
    healthy: tuple[str, ...] = ()  # for a phase of liveness: hosts that were seen to be well
    served: tuple[str, ...] = ()  # and groups of which they had a quorum
    verified_start: bool = False
    verified_end: bool = False
    evidence: tuple[str, ...] = ()  # sentences: what was looked at and what it showed

    @property
    def verified(self) -> bool:
        return self.verified_start and self.verified_end

    @property
    def window(self) -> FaultWindow:
        """As the history has it."""
        name = f"{self.kind} {self.target}"
        return FaultWindow(name, self.start_ns, self.end_ns, self.verified)


@dataclass(frozen=True)
class SideAvailability:
    """Yield of one side of a cut, by operation class, while it lasted (scheduled times)."""

    fault: str
    side: str  # "minority (n2)" / "majority (n1, n3)"
    f: str  # "read", "write", "cas" or "all"
    invoked: int
    ok: int
    measured: bool  # False under 100 invoked operations: say "not measured"
    low: float  # the ends of the yield's 95% interval, by blocks of a second
    high: float

    @property
    def yield_(self) -> float | None:
        return self.ok / self.invoked if self.measured else None


@dataclass(frozen=True)
class Failover:
    """How long one shard did not serve after a fault hit its leader."""

    fault: str
    group: str
    first_ok_ns: int | None  # time from the fault to the first operation of this shard that was
    # sent after it and came back ok on a side that can serve; None: never
    side: str


@dataclass(frozen=True)
class Reign:
    """A host that said, each time it was asked in this time, that it leads the group."""

    group: str
    host: str
    term: int
    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class StaleRead:
    """What a read returned had been overwritten by `versions` known writes, the first of them
    `stale_ns` before the read was sent."""

    sent_ns: int
    node: str
    versions: int
    stale_ns: int


@dataclass(frozen=True)
class ReadsOfClass:
    """How fresh the reads of one class were."""

    f: str
    reads: int
    stale: int
    worst: tuple[StaleRead, ...]  # of the stale ones, by time; the stalest, if there are too many
    pbs: dict[str, Any]  # see `checks.pbs.Curves`
    workload: str = ""


@dataclass(frozen=True)
class Sweep:
    """The median latency of one class at several round-trip times, and the line through it."""

    f: str
    steps: tuple[tuple[int, float, int], ...]  # (round trip, median) in ns, and how many answers
    intercept_ns: float
    slope: Estimate  # round trips that the median operation waits for


@dataclass(frozen=True)
class LogLine:
    at_ns: int  # by the clock of the process
    source: str  # the name of its file
    text: str


@dataclass(frozen=True)
class ReplicaComparison:
    """What the database says of its own replicas, compared row by row."""

    replicas: int  # that were compared with others of their group
    differences: tuple[str, ...] = ()  # sentences
    silent: tuple[str, ...] = ()  # of those that could not be compared: why


@dataclass(frozen=True)
class Estimate:
    """A figure of `count` operations, and its 95% interval."""

    value: float  # nan: nothing was measured
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class ClassLabel:
    """Where one class of operations stands in a partition and else (PACELC; Abadi 2012)."""

    f: str  # "read", "read any", "write"
    level: str  # of consistency: "linearizable", "any"
    partition: Literal["PA", "PC", "undetermined"]
    otherwise: Literal["EL", "EC", "undetermined"]
    predicted: str = ""  # "PC/EC"; empty: nobody said
    missing: tuple[str, ...] = ()  # for what is undetermined: sentences that say why
    figures: dict[str, Any] = field(default_factory=dict)  # what the rule looked at

    @property
    def measured(self) -> str:
        letters = (self.partition, self.otherwise)
        return "/".join("?" if letter == "undetermined" else letter for letter in letters)

    @property
    def agrees(self) -> bool | None:
        """None: nothing was predicted, or not everything was measured."""
        if not self.predicted or "?" in self.measured:
            return None
        return self.measured == self.predicted


@dataclass(frozen=True)
class RunResult:
    name: str
    seed: int
    backend: str
    command: str  # the command line that runs it again
    started_at: str  # wall clock, ISO 8601
    duration_ns: int
    versions: dict[str, str]
    topology: dict[str, Any]  # nodes, groups, leaders at start
    operations: tuple[Operation, ...]
    faults: tuple[FaultRecord, ...]
    availability: tuple[SideAvailability, ...]
    failovers: tuple[Failover, ...]
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...] = ()  # what was skipped or not measured, and why
    labels: tuple[ClassLabel, ...] = ()
    reads: tuple[ReadsOfClass, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    late_ns: int = 0  # how late the harness itself was at worst, of what it meant to do
    logs: tuple[LogLine, ...] = ()  # by time
    reigns: tuple[Reign, ...] = ()  # empty: the database was not asked
    unserved: tuple[Unserved, ...] = ()  # arrivals without a connection: not ok, not in the history
    happened: Mapping[str, int] = field(default_factory=dict)
    """How often the processes said that this has happened to them ("elections", "snapshots"), by
    their logs, since the load began; empty: nobody knows what they would say."""

    @property
    def validity(self) -> Validity:
        """invalid if any check says so; else unknown if any check or any fault is; else valid."""
        if any(v.validity == "invalid" for v in self.verdicts):
            return "invalid"
        if any(v.validity == "unknown" for v in self.verdicts) or not self.verdicts:
            return "unknown"
        return "valid" if all(f.verified for f in self.faults) else "unknown"
