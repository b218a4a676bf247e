"""Checks as values, for the `checks` of a test: what is asked of a run once it is over.

    checks=[checks.linearizable(), checks.availability(), checks.recovery()]

Each looks at the same evidence and adds its findings; the code that finds is in the modules of
the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from jepsen_like.checks.availability import availability as availability_of
from jepsen_like.checks.availability import failover
from jepsen_like.checks.incremental import OnlineChecker
from jepsen_like.checks.linearizable import Budget, check
from jepsen_like.history import Operation, Unserved
from jepsen_like.models.model import Model
from jepsen_like.result import Failover, FaultRecord, SideAvailability, Verdict

__all__ = [
    "Evidence",
    "Findings",
    "Check",
    "Linearizable",
    "Availability",
    "Recovery",
    "linearizable",
    "availability",
    "recovery",
    "online",
]


@dataclass(frozen=True)
class Evidence:
    """A finished run, as checks see it."""

    operations: tuple[Operation, ...]
    unserved: tuple[Unserved, ...]
    faults: tuple[FaultRecord, ...]
    groups: Mapping[int, str]  # of each key
    model: Model


@dataclass(frozen=True)
class Findings:
    verdicts: tuple[Verdict, ...] = ()
    availability: tuple[SideAvailability, ...] = ()
    failovers: tuple[Failover, ...] = ()


class Check(Protocol):
    def judge(self, evidence: Evidence) -> Findings:
        """Never raises for what the evidence holds: a check that cannot tell says `unknown`."""


@dataclass(frozen=True)
class Linearizable:
    budget: Budget
    online: bool = False  # also while the test runs; the first violation ends it

    def judge(self, evidence: Evidence) -> Findings:
        return Findings(verdicts=(check(evidence.operations, evidence.model, budget=self.budget),))


@dataclass(frozen=True)
class Availability:
    def judge(self, evidence: Evidence) -> Findings:
        return Findings(
            availability=availability_of(evidence.operations, evidence.faults, evidence.unserved)
        )


@dataclass(frozen=True)
class Recovery:
    def judge(self, evidence: Evidence) -> Findings:
        return Findings(failovers=failover(evidence.operations, evidence.faults, evidence.groups))


def linearizable(budget: Budget | None = None, *, online: bool = False) -> Linearizable:
    """One order of all operations on each key explains every answer.

    `online`: it is also judged while the test runs, and the first violation ends the load.
    """
    return Linearizable(budget or Budget(), online)


def online(model: Model) -> OnlineChecker:
    """Linearizability of a history that is fed to it as it happens."""
    return OnlineChecker(model)


def availability() -> Availability:
    """The share of calls answered ok, on each side of each partition."""
    return Availability()


def recovery() -> Recovery:
    """How long each group whose leader was hit did not serve."""
    return Recovery()
