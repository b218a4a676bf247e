"""From a recording to a result: every check's verdict, the figures, and the files.

Judging reads a finished recording only; it can be repeated, and takes no part in the run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from jepsen_like.adapters.database import DefiniteDatabase
from jepsen_like.backends.abilities import SIM
from jepsen_like.checks.liveness import liveness
from jepsen_like.checks.values import Evidence, Findings
from jepsen_like.history import Operation, contradicted, in_words, lint
from jepsen_like.recording import Recording
from jepsen_like.report.html import write as write_report
from jepsen_like.report.junit import cases_of, junit_xml
from jepsen_like.result import RunResult, Validity, Verdict
from jepsen_like.spec import Test
from jepsen_like.workloads.workload import Workload

__all__ = ["judge", "stopped_in_words", "write_files"]

RESULTS_SCHEMA: Final = "jepsen_like.results"
LATE_NS: Final = 100_000_000
"""From which on a report says that the harness was late: some elections begin after as long."""

FALSE_ERRORS_MAX: Final = 20

NOT_SIMULATED: Final = (
    "simulated: says nothing of what only real processes have, which are cores that are contended "
    "for, races of threads, disks that fail or are slow, packets that are lost, doubled or "
    "reordered, and TLS (docs/simulation.md)"
)
"""What a report of the backend `sim` does not cover."""

RESULTS_FORMAT: Final = 2
"""Raised whenever a field of results.json changes meaning or goes; new ones may come."""


def judge(recording: Recording, *, command: str) -> RunResult:
    test = recording.test
    evidence = Evidence(
        operations=tuple(recording.history),
        unserved=recording.unserved,
        faults=recording.faults,
        groups=recording.groups,
        comparison=recording.comparison,
    )
    findings = [_judged(test, workload, evidence, recording.online) for workload in test.workloads]
    findings += [check.judge(evidence) for check in test.checks_of_the_run()]
    progress = liveness(evidence.operations, evidence.unserved, evidence.faults, evidence.group_of)
    found = (_well_formed(evidence), *([] if progress is None else [progress]))
    findings.append(Findings(verdicts=(*found, _progress(recording))))
    notes = [_load_in_words(test)]
    if recording.backend == SIM:
        notes.append(NOT_SIMULATED)
    if recording.late_ns >= LATE_NS:
        notes.append(
            f"the harness itself was up to {recording.late_ns / 1e9:.2f} s late: the machine was "
            "busy, and the database had as little of it"
        )
    if recording.violation is not None:
        notes.append(stopped_in_words(recording.violation))
    return RunResult(
        name=test.name,
        seed=recording.seed,
        backend=recording.backend,
        command=command,
        started_at=recording.started_at,
        duration_ns=recording.duration_ns,
        versions=test.db.versions(),
        topology={
            **test.db.describe(),
            "hosts": list(test.db.hosts),
            "leaders": dict(recording.leaders),
            "groups_of_keys": {
                f"{workload}/{key}": group for (workload, key), group in recording.groups.items()
            },
        },
        operations=evidence.operations,
        faults=evidence.faults,
        availability=tuple(row for finding in findings for row in finding.availability),
        failovers=tuple(row for finding in findings for row in finding.failovers),
        verdicts=tuple(verdict for finding in findings for verdict in finding.verdicts),
        labels=tuple(label for finding in findings for label in finding.labels),
        reads=tuple(reads for finding in findings for reads in finding.reads),
        sweeps=tuple(sweep for finding in findings for sweep in finding.sweeps),
        notes=tuple(notes),
        late_ns=recording.late_ns,
        reigns=recording.reigns,
        unserved=evidence.unserved,
    )


def _judged(
    test: Test, workload: Workload, evidence: Evidence, online: Sequence[Verdict]
) -> Findings:
    """What the checks of one workload say of its operations, alone."""
    mine = replace(
        evidence,
        operations=tuple(o for o in evidence.operations if o.workload == workload.name),
        unserved=tuple(u for u in evidence.unserved if u.workload == workload.name),
        model=workload.model(),
        initial=workload.initial,
    )
    found = [check.judge(mine) for check in test.checks_of(workload)]
    verdicts = [verdict for findings in found for verdict in findings.verdicts]
    verdicts += [verdict for verdict in online if verdict.workload == workload.name]
    lies = contradicted(mine.operations, workload.initial)
    if lies and isinstance(test.db, DefiniteDatabase):
        verdicts.append(_false_errors(lies, "invalid"))
    elif lies:
        verdicts = [*map(_of_a_false_history, verdicts), _false_errors(lies, "unknown")]
    return Findings(
        verdicts=tuple(replace(verdict, workload=workload.name) for verdict in verdicts),
        labels=tuple(label for findings in found for label in findings.labels),
        reads=tuple(
            replace(reads, workload=workload.name) for findings in found for reads in findings.reads
        ),
        sweeps=tuple(sweep for findings in found for sweep in findings.sweeps),
    )


def _false_errors(lies: Sequence[tuple[Operation, Operation]], validity: Validity) -> Verdict:
    more = f", and {len(lies) - 1} more such errors" if len(lies) > 1 else ""
    return Verdict(
        "definite errors",
        validity,
        in_words(*lies[0], by_database=validity == "invalid") + more,
        len(lies),
        offending=lies[0],
        details={"failed": [str(failed) for failed, _ in lies[:FALSE_ERRORS_MAX]]},
    )


def _of_a_false_history(verdict: Verdict) -> Verdict:
    """What was concluded from errors of which one is known to be false."""
    if verdict.validity != "invalid":
        return verdict
    reason = f"an error called definite was none, so this proves nothing: {verdict.reason}"
    return replace(verdict, validity="unknown", reason=reason)


def _load_in_words(test: Test) -> str:
    load = test.load
    total = sum(workload.weight for workload in test.workloads)
    shares = ", ".join(f"{w.weight / total:.0%} {w.name}" for w in test.workloads)
    shared = f" ({shares})" if len(test.workloads) > 1 else ""
    return (
        f"{load.rate:g} calls/s{shared} over {len(test.db.hosts)} hosts, "
        f"deadline {load.deadline_s * 1000:g} ms, {load.clients} clients per host"
    )


def stopped_in_words(violation: Verdict) -> str:
    """Of a run that ended because a check said so."""
    return f"stopped at operation {violation.operations}: {violation.reason}"


def _well_formed(evidence: Evidence) -> Verdict:
    """A verdict on a history that no sound recorder writes is worth nothing: then the harness
    is at fault, and the run is unknown."""
    problems = lint(evidence.operations)
    count = len(evidence.operations)
    if problems:
        return Verdict("history", "unknown", f"the history is malformed: {problems[0]}", count)
    return Verdict("history", "valid", f"{count} operations are well-formed", count)


def _progress(recording: Recording) -> Verdict:
    """After the heal every key must be readable on every host: a database that stays silent
    for ever keeps every promise of a safety check."""
    if recording.violation is not None:
        reason = f"nothing was read at the end: {stopped_in_words(recording.violation)}"
        return Verdict("final reads", "unknown", reason)
    unread = recording.unread
    pairs = len(recording.groups) * len(recording.test.db.hosts)
    if not unread:
        reason = f"all {len(recording.groups)} keys were read on every host after the heal"
        return Verdict("final reads", "valid", reason, pairs)
    call, host = unread[0]
    reason = (
        f"{len(unread)} of {pairs} final reads never came back, the first of key {call.key} of "
        f"{call.workload} on {host}"
    )
    return Verdict("final reads", "unknown", reason, pairs - len(unread))


def write_files(result: RunResult, out: Path) -> None:
    """OUT/results.json, junit.xml and report.html; history.jsonl was written by the recorder."""
    (out / "junit.xml").write_text(junit_xml(cases_of(result)), encoding="utf-8")
    (out / "results.json").write_text(json.dumps(as_json(result), indent=1), encoding="utf-8")
    write_report(result, out / "report.html")


def as_json(result: RunResult) -> dict[str, Any]:
    """The result for machines; its operations are in history.jsonl, its logs in logs/."""
    fields = asdict(result)
    del fields["operations"], fields["logs"]
    return {
        "schema": RESULTS_SCHEMA,
        "format": RESULTS_FORMAT,
        "validity": result.validity,
        "operations": len(result.operations),
        **fields,
    }
