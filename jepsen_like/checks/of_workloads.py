"""Checks of one workload as values, by the names with which workloads ask for them.

Those with `online=True` also judge it while the test runs, and their first violation ends the load.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from jepsen_like.checks.collections import set_loses_nothing
from jepsen_like.checks.collections import unique as unique_of
from jepsen_like.checks.collections import within_bounds as within_bounds_of
from jepsen_like.checks.collections.finding import Finding, verdict_on
from jepsen_like.checks.in_order import in_order as in_order_of
from jepsen_like.checks.lost_writes import lost_writes as lost_writes_of
from jepsen_like.checks.monotonic import monotonic as monotonic_of
from jepsen_like.checks.online import Grouping, Online, Rechecked
from jepsen_like.checks.sessions import sequential as sequential_of
from jepsen_like.checks.sessions import sessions as sessions_of
from jepsen_like.checks.staleness import staleness as staleness_of
from jepsen_like.checks.transactions import causal_reverse as causal_reverse_of
from jepsen_like.checks.transactions import check as check_transactions
from jepsen_like.checks.transactions import long_fork as long_fork_of
from jepsen_like.checks.values import Check, Evidence, Findings, OnlineCheck, Scope, linearizable
from jepsen_like.figures.freshness import of_class, readings
from jepsen_like.history import Operation
from jepsen_like.load import seconds
from jepsen_like.models.model import Model
from jepsen_like.result import ReadsOfClass, Verdict

__all__ = [
    "BY_NAME",
    "SAME_CONTENT",
    "OfWorkload",
    "causal_reverse",
    "in_order",
    "long_fork",
    "lost_writes",
    "monotonic",
    "nothing_lost",
    "same_content",
    "sequential",
    "sessions",
    "staleness",
    "strict_serializable",
    "total_kept",
    "unique",
    "within_bounds",
]


@dataclass(frozen=True)
class OfWorkload:
    """`verdict_of` judges the operations of one workload."""

    name: str
    verdict_of: Callable[[Evidence], Verdict]
    grouping: Grouping | None = None  # what of a history can be judged alone while it goes on
    online: bool = False
    reads_of: Callable[[Evidence], ReadsOfClass] | None = None  # for the report; not while it runs

    scope: ClassVar[Scope] = "workload"

    def judge(self, evidence: Evidence) -> Findings:
        try:
            verdict = self.verdict_of(evidence)
            if self.reads_of is None or not evidence.is_over:
                return Findings(verdicts=(verdict,))
            return Findings(verdicts=(verdict,), reads=(self.reads_of(evidence),))
        except Exception as exc:  # a broken operation must not look like a verdict
            reason = f"the checker crashed: {type(exc).__name__}: {exc}"
            details = {"trace": traceback.format_exc()}
            return Findings(verdicts=(Verdict(self.name, "unknown", reason, details=details),))

    def watching(self, model: Model | None, initial: Any) -> Online:
        if self.grouping is None:
            raise ValueError(f"{self.name} can be judged only when all is over")

        def judge(operations: Sequence[Operation], is_over: bool) -> Verdict:
            evidence = Evidence(tuple(operations), (), (), {}, model, initial, is_over=is_over)
            (verdict,) = self.judge(evidence).verdicts
            return verdict

        return Rechecked(self.name, judge, self.grouping)


def lost_writes() -> Check:
    """No acknowledged write of a register is gone when all is over."""
    return OfWorkload("lost writes", lambda evidence: lost_writes_of(evidence.operations))


def sessions(*, online: bool = False) -> OnlineCheck:
    """Each process sees its own operations as promised: the four session guarantees."""
    return OfWorkload(
        "sessions",
        lambda evidence: sessions_of(evidence.operations, None, evidence.initial),
        "key",
        online,
    )


def sequential(*, online: bool = False) -> OnlineCheck:
    """One order of the operations on each key explains them, and keeps that of processes."""
    return OfWorkload(
        "sequential",
        lambda evidence: sequential_of(evidence.operations, evidence.initial),
        "key",
        online,
    )


def staleness(max_staleness: str | float | None = None, *, online: bool = False) -> OnlineCheck:
    """How far reads were behind, in versions and in time; at most `max_staleness`, if given."""
    limit = None if max_staleness is None else round(seconds(max_staleness) * 1e9)
    return OfWorkload(
        "staleness",
        lambda evidence: staleness_of(
            _that_took_effect(evidence.operations),
            evidence.initial,
            max_ns=limit,
            in_full=evidence.is_over,
        ),
        "key",
        online,
        lambda evidence: of_class(
            readings(_that_took_effect(evidence.operations), "read", evidence.initial), "read", 1
        ),
    )


def _that_took_effect(operations: Sequence[Operation]) -> list[Operation]:
    """Without the writes that answered that they changed nothing."""
    return [o for o in operations if o.f != "write" or o.output is not False]


def monotonic(*, online: bool = False) -> OnlineCheck:
    """No read of a number that only grows goes back."""
    return OfWorkload(
        "monotonic",
        lambda evidence: monotonic_of(evidence.operations, evidence.initial),
        "key",
        online,
    )


def in_order(*, online: bool = False) -> OnlineCheck:
    """Of rows that are written one after the other, no later one is seen without the earlier."""
    return OfWorkload(
        "in order", lambda evidence: in_order_of(evidence.operations), "alone", online
    )


def nothing_lost(*, stale_is_wrong: bool = False, online: bool = False) -> OnlineCheck:
    """No element of a set is lost, made up, duplicated or resurrected."""
    return OfWorkload(
        "nothing lost",
        lambda evidence: set_loses_nothing(
            evidence.operations, stale_is_wrong=stale_is_wrong, is_over=evidence.is_over
        ),
        "key",
        online,
    )


def within_bounds(*, online: bool = False) -> OnlineCheck:
    """What is read of a counter lies between what surely had and what may have been added."""
    return OfWorkload(
        "within bounds",
        lambda evidence: within_bounds_of(evidence.operations, evidence.initial),
        "key",
        online,
    )


def unique(*, online: bool = False) -> OnlineCheck:
    """No id was given twice."""
    return OfWorkload("unique", lambda evidence: unique_of(evidence.operations), "answer", online)


STRICT_SERIALIZABLE: Final = "strict serializable"


def strict_serializable() -> Check:
    """One order of the transactions on lists, or on registers, explains all that they saw, and
    keeps real time."""
    return OfWorkload(STRICT_SERIALIZABLE, _strict_serializable)


def _strict_serializable(evidence: Evidence) -> Verdict:
    operations = _as_transactions(evidence.operations)
    writes = {what for o in operations for what, *_ in o.value or () if what != "r"}
    kind = "rw-register" if writes == {"w"} else "list-append"
    return replace(check_transactions(operations, kind), check=STRICT_SERIALIZABLE)


def _as_transactions(operations: Sequence[Operation]) -> list[Operation]:
    """A `read` of a whole group, as at the end of a run, is a transaction that only reads."""
    return [
        replace(o, f="txn", value=tuple(("r", key, None) for _, key, _ in o.output))
        if o.f == "read" and o.outcome == "ok"
        else o
        for o in operations
        if o.f == "txn" or o.outcome == "ok"
    ]


LONG_FORK: Final = "long fork"


def long_fork() -> Check:
    """The reads of rows that are written once fit one order of the writes."""
    return OfWorkload(
        LONG_FORK,
        lambda evidence: replace(long_fork_of(_of_rows(evidence.operations)), check=LONG_FORK),
    )


CAUSAL_REVERSE: Final = "causal reverse"


def causal_reverse() -> Check:
    """No write is seen without those that were acknowledged before it was sent."""
    return OfWorkload(
        CAUSAL_REVERSE,
        lambda evidence: replace(
            causal_reverse_of(_of_rows(evidence.operations)), check=CAUSAL_REVERSE
        ),
    )


def _of_rows(operations: Sequence[Operation]) -> list[Operation]:
    """Writes of the n-th row of a group, and reads of all its rows, as transactions; what is added
    to lists and read of them as it is."""
    if any(o.f == "add" for o in operations):
        return list(operations)
    found = []
    for o in operations:
        if o.f == "write":
            if o.outcome == "ok" and not o.output:
                raise ValueError(f"the row {o.value} of the group {o.key} is missing")
            steps: tuple[tuple[str, str, int | None], ...] = (("w", f"{o.key}/{o.value}", 1),)
            found.append(replace(o, f="txn", value=steps, output=steps))
        elif o.outcome == "ok":
            if None in o.output:
                raise ValueError(f"a row of the group {o.key} is missing")
            steps = tuple(("r", f"{o.key}/{n}", val or None) for n, val in enumerate(o.output))
            found.append(replace(o, f="txn", value=steps, output=steps))
    return found


TOTAL_KEPT: Final = "total kept"


def total_kept() -> Check:
    """Every read of a bank adds up to what it began with."""
    return OfWorkload(TOTAL_KEPT, _total_kept)


def _total_kept(evidence: Evidence) -> Verdict:
    total = sum(evidence.initial)
    reads = [o for o in evidence.operations if o.f != "transfer" and o.outcome == "ok"]
    findings = []
    for o in reads:
        # `sum` answers the sum, None if there are no rows; the others what is in each account.
        balances = (o.output,) if o.f == "sum" else o.output
        found = sum(balance or 0 for balance in balances)
        if found == total and (o.f == "sum" or len(balances) == len(evidence.initial)):
            continue
        kind = "made" if found > total else "lost"
        returned = ", ".join(map(str, balances))
        sentence = f"a {o.f} of bank {o.key} returned {returned}, which is {found} and not {total}"
        findings.append(Finding(kind, sentence, (o,)))
    return verdict_on(
        TOTAL_KEPT, findings, judged=len(reads), otherwise=f"{len(reads)} reads add up to {total}"
    )


SAME_CONTENT: Final = "same content"


def same_content() -> Check:
    """When all is over, the database's own comparison finds its replicas equal, row by row."""
    return OfWorkload(SAME_CONTENT, _same_content)


def _same_content(evidence: Evidence) -> Verdict:
    compared = evidence.comparison
    if compared is None:
        return Verdict(SAME_CONTENT, "unknown", "the replicas were not compared at the end")
    details = {"differences": list(compared.differences), "silent": list(compared.silent)}
    if compared.differences:
        more = len(compared.differences) - 1
        reason = compared.differences[0] + (f", and {more} more differences" if more else "")
        return Verdict(SAME_CONTENT, "invalid", reason, compared.replicas, details=details)
    if compared.silent or not compared.replicas:
        reason = compared.silent[0] if compared.silent else "there was no replica to compare"
        return Verdict(SAME_CONTENT, "unknown", reason, compared.replicas, details=details)
    reason = f"{compared.replicas} replicas hold what the others of their groups hold"
    return Verdict(SAME_CONTENT, "valid", reason, compared.replicas, details=details)


BY_NAME: Final[Mapping[str, Check]] = {
    check.name: check
    for check in (
        linearizable(),
        lost_writes(),
        sessions(),
        sequential(),
        staleness(),
        monotonic(),
        in_order(),
        nothing_lost(),
        within_bounds(),
        unique(),
        same_content(),
        strict_serializable(),
        total_kept(),
        long_fork(),
        causal_reverse(),
    )
}
"""What judges a workload that no check of the test fits."""
