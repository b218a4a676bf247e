"""One page for a judged history: the verdict, why, where, and everything else in its place.

Self-contained and bounded like the page of a run, and it reads without its script, which adds
zoom, the keyboard, the panel of details and sorting.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from markupsafe import Markup

from jepsen_like.checks.counterexample import duration_text
from jepsen_like.history import FaultWindow
from jepsen_like.report import charts, check_charts, words
from jepsen_like.report.document import render
from jepsen_like.report.judged_history import JudgedHistory, KeyRow
from jepsen_like.report.timeline_svg import draw

__all__ = ["page", "write"]

TEMPLATE: Final = "check.html.j2"
SCRIPT: Final = "check.js"
ROWS_MAX: Final = 60
SENTENCE_CHARACTERS: Final = 600
CYCLES_MAX: Final = 3
NODE_CHARACTERS: Final = 60
RANK: Final = {"invalid": 0, "unknown": 1, "not judged": 2, "valid": 3}


def write(story: JudgedHistory, path: Path, *, command: str = "", seconds: float = 0.0) -> None:
    path.write_text(page(story, command=command, seconds=seconds), encoding="utf-8")


def page(story: JudgedHistory, *, command: str = "", seconds: float = 0.0) -> str:
    verdict = story.verdict
    chart = None
    if verdict.offending and not story.cycles:
        chart = charts.counterexample(verdict, story.lines, story.clock)
    return render(
        TEMPLATE,
        script=SCRIPT,
        story=story,
        verdict=verdict,
        reason=words.cut(verdict.reason, SENTENCE_CHARACTERS),
        command=command,
        seconds=f"{seconds:.2f} s",
        stale=_staleness(story),
        counterexample=charts.drawn(chart) if chart else None,
        offending=_offending(story),
        offending_hidden=max(0, len(verdict.offending) - ROWS_MAX),
        others=verdict.details.get("others_on_key"),
        is_minimal=verdict.details.get("minimal", True),
        cycles=[(cycle, _safe(check_charts.cycle(cycle))) for cycle in story.cycles[:CYCLES_MAX]],
        anomalies=[] if story.cycles else verdict.details.get("anomalies_in_words", [])[:ROWS_MAX],
        faults=[_fault(story, fault) for fault in story.faults],
        in_words=verdict.details.get("in_words", ()),
        timeline=_safe(draw(story.timeline, focus=story.focus)),
        whole=_safe(check_charts.whole(story)),
        keys=[_key(row, is_time=bool(story.clock.unit)) for row in story.keys],
        left_out=words.left_out(verdict),
    )


def _safe(svg: str) -> Markup:
    # the drawings escape every text they are given
    return Markup(svg)  # noqa: S704


def _staleness(story: JudgedHistory) -> str:
    """The delay that would make it legal, if it is one of time."""
    ns = story.verdict.details.get("staleness_ns")
    if story.verdict.validity != "invalid" or not ns or not story.clock.unit:
        return ""
    return duration_text(ns)


def _fault(story: JudgedHistory, fault: FaultWindow) -> dict[str, str]:
    seen = {True: "verified", False: "NOT VERIFIED", None: ""}
    return {
        "name": words.cut(fault.name, SENTENCE_CHARACTERS),
        "start": story.clock.text(fault.start_ns),
        "end": "not seen" if fault.end_ns is None else story.clock.text(fault.end_ns),
        "seen": seen[fault.verified],
    }


def _offending(story: JudgedHistory) -> list[dict[str, str]]:
    return [
        {
            "what": words.operation_text(operation),
            "line": str(line) if line else "",
            "process": str(operation.process),
            "node": words.cut(operation.node, NODE_CHARACTERS),
            "sent": story.clock.text(operation.sent_ns),
            "back": "never"
            if operation.outcome == "info"
            else story.clock.text(operation.returned_ns),
            "outcome": words.cut(words.outcome_text(operation), SENTENCE_CHARACTERS),
        }
        for operation, line in zip(story.verdict.offending[:ROWS_MAX], story.lines, strict=False)
    ]


def _key(row: KeyRow, *, is_time: bool) -> dict[str, str]:
    stale = "not measured"
    if row.is_measured and (is_time or not row.staleness_ns):
        stale = "any" if row.staleness_ns is None else duration_text(row.staleness_ns)
        stale = "none" if row.staleness_ns == 0 else stale
    return {
        "key": words.cut(row.key, 80),
        "validity": row.validity,
        "rank": str(RANK[row.validity]),
        "algorithm": row.algorithm,
        "operations": words.count(row.operations),
        "number": str(row.operations),
        "stale": stale,
        "stale_ns": str(row.staleness_ns or 0) if row.is_measured else "-1",
    }
