"""From a run to the figures that the PACELC rule looks at, for each class of operations.

Which side a host was on is taken from the verified cuts of the fault ledger, sweep steps from its
verified slow links. A class of reads testifies for itself; writes have the strongest reads of the
run as their witness.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from jepsen_like.checks.availability import led_groups, serving_side, side_name
from jepsen_like.checks.pacelc import ClassFigures, Control
from jepsen_like.figures.freshness import Readings, in_cuts, readings, within
from jepsen_like.figures.outages import first_ok
from jepsen_like.figures.served import Window, yield_of
from jepsen_like.figures.slope import Step, latencies, slope
from jepsen_like.history import Operation, Unserved
from jepsen_like.result import Estimate, FaultRecord

GroupOf: TypeAlias = Callable[[Operation], str | None]
"""The group (shard) that holds the key of an operation."""

__all__ = ["GroupOf", "OperationClass", "ExperimentRun", "control_of", "cuts_of"]


@dataclass(frozen=True)
class OperationClass:
    f: str  # in the history
    level: str  # of consistency that was asked for
    predicted: str  # "PC/EC"; empty: nothing
    witness: str = ""  # the class of reads that testifies; empty: itself
    max_staleness_ns: int = 0  # what its reads may be stale by, for ever and on every side
    keeps_sessions: bool = False  # each process reads its own writes, and nothing older than before


class ExperimentRun:
    """What all classes share. Windows and steps are of verified faults alone."""

    def __init__(
        self,
        operations: Sequence[Operation],
        unserved: Sequence[Unserved],
        faults: Sequence[FaultRecord],
        initial: Any,
    ) -> None:
        self.operations = operations
        self.unserved = unserved
        self.cuts = cuts_of(faults)
        self.hosts = frozenset(operation.node for operation in operations)
        self.steps = [
            (fault.rtt_ns, Window(fault.start_ns, fault.end_ns, self.hosts))
            for fault in faults
            if fault.rtt_ns is not None and fault.verified
        ]
        first = min((fault.start_ns for fault in faults), default=0)
        self.healthy = Window(0, first, self.hosts)
        self.sides: dict[str, list[Window]] = {}
        for cut in self.cuts:
            for side in cut.sides:
                name = side_name(cut.sides, side)
                kind = name if name.startswith("half") else name.split(" ")[0]
                window = Window(cut.start_ns, cut.end_ns, frozenset(side))
                self.sides.setdefault(kind, []).append(window)
        self._initial = initial
        self._readings: dict[str, Readings] = {}

    @property
    def rtt_ns(self) -> int | None:
        return max((rtt for rtt, _ in self.steps), default=None)

    def largest(self) -> list[Window]:
        return [window for rtt, window in self.steps if rtt == self.rtt_ns]

    def readings(self, f: str) -> Readings:
        if f not in self._readings:
            self._readings[f] = readings(self.operations, f, self._initial)
        return self._readings[f]

    def steps_of(self, f: str) -> list[Step]:
        """The latencies of class `f` at each round-trip time of the sweep."""
        return [Step(rtt, latencies(self.operations, f, window)) for rtt, window in self.steps]

    def figures(self, one: OperationClass, group_of: GroupOf, rng: random.Random) -> ClassFigures:
        witness = one.witness or one.f

        # What keeps to a bound may be answered for as long after the cut: that tells nothing.
        bound_ns = one.max_staleness_ns
        sides = {
            side: [replace(w, start_ns=min(w.start_ns + bound_ns, w.end_ns)) for w in windows]
            for side, windows in self.sides.items()
        }

        def yields(f: str) -> dict[str, Estimate]:
            return {
                side: yield_of(self.operations, self.unserved, windows, [f], rng)
                for side, windows in sides.items()
            }

        serving = _after_failover(self, one.f, group_of)
        of = self.readings(witness)
        rtt_ns = self.rtt_ns
        return ClassFigures(
            f=one.f,
            level=one.level,
            predicted=one.predicted,
            cuts=len(self.cuts),
            yields=yields(one.f),
            after_failover=None
            if serving is None
            else yield_of(self.operations, self.unserved, serving, [one.f], rng),
            in_cuts={side: in_cuts(of, windows, bound_ns) for side, windows in sides.items()},
            reads_yields=yields(witness),
            within_rtt=None if rtt_ns is None else within(of, self.largest(), rtt_ns),
            rtt_ns=rtt_ns,
            slope=slope(self.steps_of(one.f), rng),
            elsewhere=within(of, [self.healthy], self.healthy.end_ns),
            max_staleness_ns=bound_ns,
        )


def cuts_of(faults: Sequence[FaultRecord]) -> list[FaultRecord]:
    """The verified ones between nodes, which is what CAP speaks of."""
    return [one for one in faults if one.kind == "partition" and one.sides and one.verified]


def _after_failover(run: ExperimentRun, f: str, group_of: GroupOf) -> list[Window] | None:
    """The rest of each cut on its majority, from when every group whose leader was cut off had
    served there once. None: one never did, or a cut has no majority."""
    windows = []
    by_group: dict[str | None, list[Operation]] = {}
    for operation in run.operations:
        by_group.setdefault(group_of(operation), []).append(operation)
    for cut in run.cuts:
        serving = serving_side(cut.sides)
        if not serving:
            return None
        after_ns = 0
        for group in led_groups(cut.role_before):
            if group in by_group:
                served = first_ok(by_group[group], cut.start_ns, serving, [f])
                if served is None or cut.start_ns + served >= cut.end_ns:
                    return None
                after_ns = max(after_ns, served)
        windows.append(Window(cut.start_ns + after_ns, cut.end_ns, frozenset(serving)))
    return windows or None


def control_of(figures: Sequence[ClassFigures], f: str) -> Control | None:
    """The class `f` as the positive control; None: it is not there."""
    for one in figures:
        if one.f == f:
            stale = sum(side.stale for side in one.in_cuts.values())
            return Control(f, stale, 0 if one.within_rtt is None else one.within_rtt.stale)
    return None
