"""Checks as values, for the `checks` of a test: what is asked of a run once it is over.

    checks=[checks.linearizable(), checks.availability(), checks.recovery()]

Each looks at the same evidence and adds its findings; the code that finds is in the modules of
the same names. A check of a *workload* judges the operations of each workload by themselves; a
check of the *run* judges them all together.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

from jepsen_like.checks.availability import availability as availability_of
from jepsen_like.checks.availability import failover
from jepsen_like.checks.incremental import OnlineChecker
from jepsen_like.checks.linearizable import Budget, check
from jepsen_like.checks.online import Online
from jepsen_like.history import Operation, Unserved
from jepsen_like.models.model import Model
from jepsen_like.result import (
    ClassLabel,
    Failover,
    FaultRecord,
    ReadsOfClass,
    ReplicaComparison,
    SideAvailability,
    Sweep,
    Verdict,
)

__all__ = [
    "Evidence",
    "Findings",
    "Check",
    "OnlineCheck",
    "Scope",
    "Linearizable",
    "Availability",
    "Recovery",
    "linearizable",
    "availability",
    "recovery",
    "online",
]

Scope: TypeAlias = Literal["workload", "run"]


@dataclass(frozen=True)
class Evidence:
    """A finished run, as checks see it: all of it, or what belongs to one workload."""

    operations: tuple[Operation, ...]
    unserved: tuple[Unserved, ...]
    faults: tuple[FaultRecord, ...]
    groups: Mapping[tuple[str, int | str], str]  # of each key: (workload, key)
    model: Model | None = None  # of the workload
    initial: Any = None  # what a read of a fresh key of the workload returns
    comparison: ReplicaComparison | None = None  # of the replicas, when all was over
    is_over: bool = True  # False: the test goes on, and what may turn out well is not invalid

    def group_of(self, operation: Operation | Unserved) -> str | None:
        return self.groups.get((operation.workload, operation.key))


@dataclass(frozen=True)
class Findings:
    verdicts: tuple[Verdict, ...] = ()
    availability: tuple[SideAvailability, ...] = ()
    failovers: tuple[Failover, ...] = ()
    labels: tuple[ClassLabel, ...] = ()
    reads: tuple[ReadsOfClass, ...] = ()
    sweeps: tuple[Sweep, ...] = ()


@runtime_checkable
class Check(Protocol):
    @property
    def name(self) -> str:
        """As workloads say by which checks they can be judged."""

    @property
    def scope(self) -> Scope: ...

    def judge(self, evidence: Evidence) -> Findings:
        """Never raises for what the evidence holds: a check that cannot tell says `unknown`."""


@runtime_checkable
class OnlineCheck(Check, Protocol):
    """A check that can also judge a test while it runs."""

    @property
    def online(self) -> bool:
        """Whether it does, in a test: the first violation ends the load."""

    def watching(self, model: Model | None, initial: Any) -> Online:
        """Raises ValueError, a sentence, if nothing can be said before all is over."""


@dataclass(frozen=True)
class Linearizable:
    budget: Budget
    online: bool = False

    name: ClassVar[str] = "linearizable"
    scope: ClassVar[Scope] = "workload"

    def judge(self, evidence: Evidence) -> Findings:
        if evidence.model is None:
            return Findings((Verdict(self.name, "unknown", "the workload has no model"),))
        return Findings(verdicts=(check(evidence.operations, evidence.model, budget=self.budget),))

    def watching(self, model: Model | None, initial: Any) -> Online:
        if model is None:
            raise ValueError("linearizability is that of a model; give one")
        return OnlineChecker(model)


@dataclass(frozen=True)
class Availability:
    per_side: bool = True
    seed: int = 1  # of the draws behind the intervals

    name: ClassVar[str] = "availability"
    scope: ClassVar[Scope] = "run"

    def judge(self, evidence: Evidence) -> Findings:
        faults = evidence.faults if self.per_side else tuple(map(_as_one_side, evidence.faults))
        rng = random.Random(self.seed)
        return Findings(
            availability=availability_of(evidence.operations, faults, evidence.unserved, rng=rng)
        )


def _as_one_side(fault: FaultRecord) -> FaultRecord:
    return replace(fault, sides=(sum(fault.sides, ()),) if fault.sides else ())


@dataclass(frozen=True)
class Recovery:
    name: ClassVar[str] = "recovery"
    scope: ClassVar[Scope] = "run"

    def judge(self, evidence: Evidence) -> Findings:
        return Findings(failovers=failover(evidence.operations, evidence.faults, evidence.group_of))


def linearizable(budget: Budget | None = None, *, online: bool = False) -> Linearizable:
    """One order of all operations on each key explains every answer.

    `online`: it is also judged while the test runs, and the first violation ends the load.
    """
    return Linearizable(budget or Budget(), online)


def online(what: Model | Check, *, model: Model | None = None, initial: Any = None) -> Online:
    """What judges a history that is fed to it as it happens: a check, or a model's linearizability.

    `initial`: what is read of a key that nobody wrote. Raises ValueError for a check that can
    tell nothing before all is over.
    """
    if isinstance(what, Model):
        return OnlineChecker(what)
    if not isinstance(what, OnlineCheck):
        raise ValueError(f"{what.name} can be judged only when all is over")
    return what.watching(model, initial)


def availability(*, per_side: bool = True) -> Availability:
    """The share of calls answered ok during each partition: on each side of it, or on all hosts."""
    return Availability(per_side)


def recovery() -> Recovery:
    """How long each group whose leader was hit did not serve."""
    return Recovery()
