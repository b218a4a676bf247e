"""The check of the PACELC experiment: labels, the verdicts behind them, and the other figures.

    checks=[pacelc(classes, control="read any")]

Linearizability is asked of the default level alone, the reads of weaker levels left out. A level
that promises a bound, or the guarantees of sessions, is judged by that as well, in all of the run.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Final

from jepsen_like.checks.corners import ExperimentRun, OperationClass, control_of, cuts_of
from jepsen_like.checks.linearizable import Budget, check
from jepsen_like.checks.pacelc import judge, label
from jepsen_like.checks.staleness import staleness
from jepsen_like.checks.values import Evidence, Findings, Scope
from jepsen_like.figures.freshness import of_class
from jepsen_like.figures.outages import post_heal_outage, recovery
from jepsen_like.figures.registers import lost_writes, session_violations
from jepsen_like.figures.served import Window, client_time
from jepsen_like.figures.slope import sweep
from jepsen_like.history import Operation
from jepsen_like.result import Verdict

__all__ = ["Pacelc", "pacelc"]

OF_REGISTERS: Final = "pacelc of registers"
STRONG: Final = ("read", "write", "cas")
HEAL_NS: Final = 3_000_000_000
"""How long after a heal an outage counts as its own, at most until the next fault."""


@dataclass(frozen=True)
class Pacelc:
    classes: tuple[OperationClass, ...]
    control: str
    budget: Budget
    seed: int
    in_short: bool = False
    is_whole: bool = True  # with the other verdicts of the experiment

    scope: ClassVar[Scope] = "workload"

    @property
    def name(self) -> str:
        """Classes that are told are those of one workload; reads and writes any register has."""
        return "pacelc" if self.is_whole else OF_REGISTERS

    def judge(self, evidence: Evidence) -> Findings:
        operations = evidence.operations
        run = ExperimentRun(operations, evidence.unserved, evidence.faults, evidence.initial)
        rng = random.Random(self.seed)
        figures = [run.figures(one, evidence.group_of, rng) for one in self.classes]
        control = control_of(figures, self.control)
        labels = tuple(label(one, control) for one in figures)
        strong = [operation for operation in operations if operation.f in STRONG]
        verdict = judge(labels, in_short=self.in_short)
        details = {**verdict.details, **self._others(evidence, strong)}
        details["control"] = None if control is None else asdict(control)
        verdict = replace(verdict, details=details)
        return Findings(
            verdicts=(
                _linearizable(strong, evidence, self.budget),
                verdict,
                self._lost(evidence, strong),
                *self._promises(evidence),
            )
            if self.is_whole
            else (verdict,),
            labels=labels,
            reads=tuple(
                of_class(run.readings(one.f), one.f, self.seed)
                for one in self.classes
                if not one.witness
            ),
            sweeps=tuple(
                sweep(one.f, steps, figure.slope)
                for one, figure in zip(self.classes, figures, strict=True)
                if figure.slope is not None and (steps := run.steps_of(one.f))
            ),
        )

    def _others(self, evidence: Evidence, strong: list[Operation]) -> dict[str, Any]:
        """Figures that no letter hangs on."""
        cuts = cuts_of(evidence.faults)
        starts = sorted(fault.start_ns for fault in evidence.faults)
        hosts = {operation.node for operation in strong}
        rng = random.Random(self.seed)
        return {
            "client_time_in_cuts": {
                side: asdict(client_time(strong, evidence.unserved, windows, rng))
                for side, windows in {
                    "majority": _windows(cuts, max),
                    "minority": _windows(cuts, min),
                }.items()
            },
            "recovery_ns": [
                recovery(
                    strong,
                    evidence.unserved,
                    since_ns=cut.start_ns,
                    until_ns=cut.end_ns,
                    hosts=max(cut.sides, key=len),
                )
                for cut in cuts
            ],
            "post_heal_outage_ns": [
                post_heal_outage(
                    strong,
                    evidence.unserved,
                    heal_ns=cut.end_ns,
                    until_ns=min([cut.end_ns + HEAL_NS, *(s for s in starts if s >= cut.end_ns)]),
                    hosts=hosts,
                )
                for cut in cuts
            ],
            "sessions": {
                one.f: asdict(session_violations(evidence.operations, one.f))
                for one in self.classes
                if not one.witness
            },
        }

    def _promises(self, evidence: Evidence) -> list[Verdict]:
        """Of each level by itself, with all writes."""
        found = []
        for one in self.classes:
            if not one.max_staleness_ns and not one.keeps_sessions:
                continue
            of_class = [
                replace(operation, f="read") if operation.f == one.f else operation
                for operation in evidence.operations
                if operation.f in (one.f, "write", "cas")
            ]
            if one.max_staleness_ns:
                verdict = staleness(
                    of_class, evidence.initial, max_ns=one.max_staleness_ns, in_full=False
                )
                found.append(replace(verdict, check=f"staleness of {one.f}"))
            if one.keeps_sessions:
                seen = session_violations(evidence.operations, one.f)
                found += [
                    _kept("read-your-writes", one.f, seen.reads, seen.read_your_writes),
                    _kept("monotonic-reads", one.f, seen.reads, seen.monotonic_reads),
                ]
        return found

    def _lost(self, evidence: Evidence, strong: list[Operation]) -> Verdict:
        quiet = max((o.returned_ns for o in strong if o.f in ("write", "cas")), default=0)
        lost = lost_writes(strong, quiet_ns=quiet)
        written = sum(o.f in ("write", "cas") and o.outcome == "ok" for o in strong)
        if lost:
            reason = f"{len(lost)} of {written} acknowledged writes are in no final read"
            return Verdict("lost writes", "invalid", reason, written, lost[:8])
        reason = f"none of {written} acknowledged writes is missing from the final reads"
        return Verdict("lost writes", "valid", reason, written)


def _kept(guarantee: str, f: str, reads: int, violations: int) -> Verdict:
    """By the order in which writes became known: registers are written in one order."""
    if violations:
        reason = f"{violations} of {reads} reads are older than what their client knew"
        return Verdict(f"{guarantee} of {f}", "invalid", reason, reads)
    reason = f"none of {reads} reads is older than what its client knew"
    return Verdict(f"{guarantee} of {f}", "valid", reason, reads)


def _linearizable(strong: list[Operation], evidence: Evidence, budget: Budget) -> Verdict:
    if evidence.model is None:
        return Verdict("linearizable", "unknown", "the workload has no model")
    return check(strong, evidence.model, budget=budget)


def _windows(cuts: Any, choose: Any) -> list[Window]:
    return [Window(cut.start_ns, cut.end_ns, frozenset(choose(cut.sides, key=len))) for cut in cuts]


READ_AND_WRITE: Final = (
    OperationClass("read", "default", ""),
    OperationClass("write", "default", "", witness="read"),
)


def pacelc(
    classes: tuple[OperationClass, ...] = (),
    *,
    control: str = "",
    seed: int = 1,
    in_short: bool = False,
) -> Pacelc:
    """Where `classes` of operations stand; `control` is the one whose reads may be stale by
    contract. In a short run what is undetermined is no finding.

    Without classes: where the reads and writes of a test's registers stand, as far as its faults
    show it. EC wants a sweep of round trips (`faults.slow`) and a control: `jepsen-like pacelc`
    is the experiment that has both."""
    if not classes:
        return Pacelc(READ_AND_WRITE, control, Budget(), seed, in_short=True, is_whole=False)
    return Pacelc(classes, control, Budget(), seed, in_short)
