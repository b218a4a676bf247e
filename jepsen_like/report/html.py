"""The report: one HTML file that stands alone, to be opened, mailed, printed and believed.

No script, no network, no font from elsewhere. What is drawn is bounded by area and by count
(`charts`), and the page says what it leaves out; the whole history is in history.jsonl.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from jepsen_like.checks.availability import ALL, class_order
from jepsen_like.history import Operation
from jepsen_like.report import charts, freshness_charts, lanes, outages, words
from jepsen_like.report.document import render
from jepsen_like.result import FaultRecord, LogLine, RunResult, SideAvailability

__all__ = ["write", "page"]

TEMPLATE: Final = "page.html.j2"
ERRORS_MAX: Final = 12
OFFENDING_ROWS_MAX: Final = 60
FAULTS_DRAWN_MAX: Final = 8  # each has two timelines of up to 240 operations
TOPOLOGY_CHARACTERS_MAX: Final = 20_000
BEFORE_S: Final = 0.3
AFTER_S: Final = 1.2
AFTER_MAX_S: Final = 3.0
LOG_LINES_MAX: Final = 120  # around each fault


def write(result: RunResult, path: Path) -> None:
    path.write_text(page(result), encoding="utf-8")


def page(result: RunResult) -> str:
    found = words.offending(result)
    return render(
        TEMPLATE,
        result=result,
        headline=words.headline(result),
        figures=_figures(result),
        counterexample=charts.drawn(charts.counterexample(found)) if found else None,
        found=found,
        offending=_offending_rows(found.offending) if found else [],
        offending_hidden=max(0, len(found.offending) - OFFENDING_ROWS_MAX) if found else 0,
        yield_chart=charts.drawn(charts.yield_over_time(result)),
        failovers_chart=_drawn_if_any(outages.failovers(result)),
        rate_chart=charts.drawn(charts.rate(result)),
        leaders_chart=_drawn_if_any(lanes.leaders(result)),
        staleness_chart=_drawn_if_any(freshness_charts.staleness(result)),
        freshness_chart=_drawn_if_any(freshness_charts.freshness(result)),
        round_trips_chart=_drawn_if_any(freshness_charts.round_trips(result)),
        latency_chart=charts.drawn(charts.latency(result)),
        latencies=_latencies(result.operations),
        sides=[
            (fault, side, [_side_row(row) for row in rows])
            for (fault, side), rows in words.sides_of(result.availability).items()
        ],
        all_class=ALL,
        faults=[_fault(result, fault, i) for i, fault in enumerate(result.faults)],
        outcomes=_outcomes(result),
        errors=_errors(result),
        not_measured=_not_measured(result),
        topology=_topology(result.topology),
    )


def _drawn_if_any(chart: charts.Chart | None) -> charts.Drawn | None:
    return None if chart is None else charts.drawn(chart)


def _figures(result: RunResult) -> list[tuple[str, str, str]]:
    """(number, what, detail): the run at a glance."""
    figures = []
    for (_, side), rows in words.sides_of(result.availability).items():
        whole = next((row for row in rows if row.f == ALL), None)
        if whole is not None:
            detail = f"{words.count(whole.ok)} of {words.count(whole.invoked)} during the cut"
            figures.append((words.yield_text(whole), f"served, {side}", detail))
    for failover in result.failovers:
        time = "never" if failover.first_ok_ns is None else words.seconds(failover.first_ok_ns)
        figures.append((time, f"failover of {failover.group}", f"after {failover.fault}"))
    verified = sum(fault.verified for fault in result.faults)
    if result.faults:
        figures.append((f"{verified} of {len(result.faults)}", "faults verified", "start and end"))
    return figures


def _offending_rows(operations: Sequence[Operation]) -> list[dict[str, str]]:
    start = min(operation.sent_ns for operation in operations)
    return [
        {
            "what": words.operation_text(operation),
            "node": operation.node,
            "process": str(operation.process),
            "sent": f"{operation.sent_ns / 1e9:.6f}",
            "after": f"+{words.duration(operation.sent_ns - start)}",
            "back": "never"
            if operation.outcome == "info"
            else f"+{words.duration(operation.returned_ns - start)}",
            "outcome": words.outcome_text(operation),
        }
        for operation in operations[:OFFENDING_ROWS_MAX]
    ]


def _side_row(row: SideAvailability) -> dict[str, Any]:
    return {
        "f": row.f,
        "ok": words.count(row.ok),
        "invoked": words.count(row.invoked),
        "yield": words.yield_text(row),
        "interval": words.interval_text(row),
        "share": None if row.yield_ is None else f"{100 * row.yield_:.1f}",
    }


def _fault(result: RunResult, fault: FaultRecord, index: int) -> dict[str, Any]:
    failovers = [failover for failover in result.failovers if failover.fault == fault.name]
    timelines = []
    if index < FAULTS_DRAWN_MAX:
        groups = [failover.group for failover in failovers]
        wanted = _on_groups(result, groups)
        what = f"Operations on {', '.join(groups)}" if wanted is not None else "Operations"
        took = max((failover.first_ok_ns or 0 for failover in failovers), default=0) / 1e9
        after = min(max(AFTER_S, took + BEFORE_S), AFTER_MAX_S)
        start, end = fault.start_ns / 1e9, fault.end_ns / 1e9
        first_ok = [
            (start + failover.first_ok_ns / 1e9, f"first answer of {failover.group}")
            for failover in failovers
            if failover.first_ok_ns is not None
        ]
        for at, name, moments in (
            (start, f"{what} around the start of the fault", first_ok),
            (end, f"{what} around its end", []),
        ):
            window = (at - BEFORE_S, at + (after if at == start else AFTER_S))
            chart = charts.around(
                result,
                *window,
                name=name,
                wanted=wanted or (lambda _: True),
                target=fault.target,
                moments=moments,
            )
            timelines.append((name, charts.drawn(chart)))
    said = _said_around(result, fault)
    return {
        "record": fault,
        "state": words.fault_state(fault),
        "failovers": failovers,
        "timelines": timelines,
        "logs": said[:LOG_LINES_MAX],
        "logs_hidden": max(0, len(said) - LOG_LINES_MAX),
    }


def _said_around(result: RunResult, fault: FaultRecord) -> list[LogLine]:
    start, end = fault.start_ns - BEFORE_S * 1e9, fault.end_ns + AFTER_S * 1e9
    return [line for line in result.logs if start <= line.at_ns <= end]


def _on_groups(result: RunResult, groups: Sequence[str]) -> Callable[[Operation], bool] | None:
    """A filter for operations on the groups' keys; None if it is not known who holds them."""
    held = result.topology.get("groups_of_keys")
    if not groups or not isinstance(held, dict):
        return None
    keys = {key for key, group in held.items() if group in groups}
    return (lambda operation: words.key_in_full(operation) in keys) if keys else None


def _latencies(operations: Sequence[Operation]) -> list[tuple[str, list[str]]]:
    """(class, [count, p50, p95, p99, max]) of what came back ok, from scheduled times."""
    by_class: dict[str, list[int]] = {}
    for operation in operations:
        if operation.outcome == "ok":
            took = operation.returned_ns - operation.scheduled_ns
            by_class.setdefault(operation.f, []).append(took)
    rows = []
    for f, times in sorted(by_class.items(), key=lambda item: class_order(item[0])):
        times.sort()
        quantiles = [times[min(len(times) - 1, int(q * len(times)))] for q in (0.5, 0.95, 0.99)]
        cells = [words.duration(time) for time in (*quantiles, times[-1])]
        rows.append((f, [words.count(len(times)), *cells]))
    return rows


def _outcomes(result: RunResult) -> list[tuple[str, str, list[str]]]:
    """(node, class, [ok, failed, unknown, no connection])."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for operation in result.operations:
        counts.setdefault((operation.node, operation.f), Counter())[operation.outcome] += 1
    for arrival in result.unserved:
        counts.setdefault((arrival.node, arrival.f), Counter())["unserved"] += 1
    columns = ("ok", "fail", "info", "unserved")
    return [
        (node, f, [words.count(counter[column]) for column in columns])
        for (node, f), counter in sorted(
            counts.items(), key=lambda item: (item[0][0], class_order(item[0][1]))
        )
    ]


def _errors(result: RunResult) -> list[tuple[str, str, str]]:
    """(times, outcome, error), the most frequent first."""
    counts = Counter(
        (words.OUTCOMES[operation.outcome], operation.error)
        for operation in result.operations
        if operation.outcome != "ok"
    )
    rows = [
        (words.count(times), outcome, error or "no reason given")
        for (outcome, error), times in counts.most_common(ERRORS_MAX)
    ]
    if len(counts) > ERRORS_MAX:
        rest = sum(counts.values()) - sum(times for _, times in counts.most_common(ERRORS_MAX))
        rows.append((words.count(rest), "", f"{len(counts) - ERRORS_MAX} rarer ones"))
    return rows


def _not_measured(result: RunResult) -> list[str]:
    """What a reader might take for measured, and is not."""
    thin = [row for row in result.availability if not row.measured]
    lines = [
        f"Yield of {row.f} on the {row.side} during {row.fault}: {row.invoked} operations only."
        for row in thin
    ]
    if not result.availability:
        lines.append("Availability per side: there was no partition.")
    if not result.failovers:
        lines.append("Failover: no fault hit the leader of a group that held keys.")
    lines += [
        f"{fault.name}: not shown to have happened as asked ({words.fault_state(fault)})."
        for fault in result.faults
        if not fault.verified
    ]
    return lines


def _topology(topology: dict[str, Any]) -> str:
    shown = json.dumps(topology, indent=2, default=str, ensure_ascii=False)
    if len(shown) > TOPOLOGY_CHARACTERS_MAX:
        return f"{shown[:TOPOLOGY_CHARACTERS_MAX]}\n... the rest is in results.json"
    return shown
