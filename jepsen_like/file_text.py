"""A verdict on a file, in the words of a terminal: in full, as a row of a table, as a test case."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from jepsen_like.checks.counterexample import duration_text
from jepsen_like.file_judge import FileVerdict
from jepsen_like.history import Operation
from jepsen_like.report import timeline_text, words
from jepsen_like.report.junit import Case
from jepsen_like.result import EXIT_CODES

__all__ = ["case_of", "in_full", "table"]

OFFENDING_SHOWN: Final = 20
FAULTS_SHOWN: Final = 5
STALENESS_KEYS_SHOWN: Final = 10
STALENESS_SHOWN_MIN_NS: Final = 1_000  # under that, the clock counts lines
REASON_CHARACTERS: Final = 100  # in the table
VALUE_CHARACTERS: Final = 400
WIDTH_MAX: Final = 120


def in_full(verdict: FileVerdict) -> list[str]:
    """One verdict in lines: the reason, the operations, the drawing, how stale."""
    details = verdict.details
    lines = [f"{verdict.validity}: {_cut(verdict.reason)}"]
    lines += [
        f"  {_operation_text(operation)}" for operation in verdict.offending[:OFFENDING_SHOWN]
    ]
    hidden = len(verdict.offending) - OFFENDING_SHOWN
    if hidden > 0:
        lines.append(f"  and {hidden} more")
    lines += [f"  meanwhile: {_fault_text(fault)}" for fault in _meanwhile(verdict)[:FAULTS_SHOWN]]
    lines += [f"  {line}" for line in _drawing(verdict)]
    dead_ends = details.get("dead_ends", ())
    refused = dead_ends[0]["refused"].values() if dead_ends else ()
    lines += [f"In that order, {_cut(words.printable(sentence))}." for sentence in refused]
    if verdict.validity == "invalid":
        lines += _staleness(details)
    lines += details.get("anomalies_in_words", ())[:OFFENDING_SHOWN]
    lines += [f"  {sentence}" for sentence in details.get("in_words", ())]
    about = ", ".join(filter(None, (verdict.check, verdict.model, verdict.format)))
    if about:
        lines.append(f"({about}, {verdict.operations} operations, {verdict.seconds:.2f} s)")
    return lines


def _staleness(details: dict[str, Any]) -> list[str]:
    """How stale reads would have to be allowed to be: all of them, and those of each bad key."""
    told = []
    needed = details.get("staleness_ns") or 0
    if needed >= STALENESS_SHOWN_MIN_NS:
        told.append(f"It would be legal if reads might be {duration_text(needed)} stale.")
    keys = details.get("staleness", {})
    if len(keys) < 2 or all((d["ns"] or 0) < STALENESS_SHOWN_MIN_NS for d in keys.values()):
        return told
    stalest = sorted(keys.items(), key=lambda item: _stale_ns(item[1]), reverse=True)
    shown = [f"{_cut(key)} {_needs(delta)}" for key, delta in stalest[:STALENESS_KEYS_SHOWN]]
    more = f", and {len(keys) - len(shown)} more" if len(keys) > len(shown) else ""
    told.append(f"Key by key: {words.printable(', '.join(shown))}{more}.")
    return told


def _stale_ns(delta: dict[str, Any]) -> float:
    return math.inf if delta["ns"] is None else delta["ns"]


def _needs(delta: dict[str, Any]) -> str:
    if delta["ns"] is not None:
        return duration_text(delta["ns"])
    return "no staleness is enough" if delta["known"] else "not known"


def _meanwhile(verdict: FileVerdict) -> list[dict[str, Any]]:
    """The faults that may have been at work between the first offending operation and the last."""
    if verdict.validity != "invalid" or not verdict.offending:
        return []
    start = min(operation["sent_ns"] for operation in verdict.offending)
    end = max(operation["sent_ns"] for operation in verdict.offending)
    return [
        fault
        for fault in verdict.faults
        if fault["start_ns"] <= end and (fault["end_ns"] is None or fault["end_ns"] >= start)
    ]


def _fault_text(fault: dict[str, Any]) -> str:
    doubt = " (NOT VERIFIED)" if fault["verified"] is False else ""
    end = "" if fault["end_ns"] is None else fault["end_ns"]
    return f"{_cut(words.printable(fault['fault']))}{doubt} [{fault['start_ns']}, {end}]"


def _drawing(verdict: FileVerdict) -> list[str]:
    """The counterexample over time, if its orders were walked."""
    if "dead_ends" not in verdict.details:
        return []
    offending = [
        Operation(**{name: value for name, value in operation.items() if name != "line"})
        for operation in verdict.offending
    ]
    width = min(shutil.get_terminal_size().columns, WIDTH_MAX) - 2
    return timeline_text.render(offending, verdict.details, width=width)


def _operation_text(operation: dict[str, Any]) -> str:
    where = f"line {operation['line']}: " if operation["line"] else ""
    # What a transaction was asked is in its answer, too
    is_told = operation["value"] is None or (operation["f"] == "txn" and operation["output"])
    value = "" if is_told else f" {_text(operation['value'])}"
    answer = {
        "ok": "" if operation["output"] is None and value else f" -> {_text(operation['output'])}",
        "info": " (no answer)",
        "fail": " (failed)",
    }[operation["outcome"]]
    key = f" of {operation['key']}" if operation["key"] != "" else ""
    times = f"[{operation['sent_ns']}, {operation['returned_ns']}]"
    return f"{where}process {operation['process']}: {operation['f']}{key}{value}{answer} {times}"


def _text(value: Any) -> str:
    return "nil" if value is None else _cut(json.dumps(value, default=str))


def _cut(text: str) -> str:
    if len(text) <= VALUE_CHARACTERS:
        return text
    return f"{text[:VALUE_CHARACTERS]}... ({len(text)} characters)"


def table(verdicts: Sequence[FileVerdict]) -> list[str]:
    """A line for each file, and what they sum up to."""
    lines = []
    names = _short_names([verdict.file for verdict in verdicts])
    width = max(len(name) for name in names)
    for name, verdict in zip(names, verdicts, strict=True):
        reason = verdict.reason.removeprefix(f"{verdict.file}:").strip()
        if len(reason) > REASON_CHARACTERS:
            reason = reason[: REASON_CHARACTERS - 3] + "..."
        lines.append(
            f"{name:<{width}}  {verdict.validity:<7}  {verdict.operations:>7}  "
            f"{verdict.seconds:>6.2f} s  {reason}"
        )
    counts = Counter(verdict.validity for verdict in verdicts)
    found = ", ".join(f"{counts[v]} {v}" for v in EXIT_CODES if counts[v])
    lines.append(f"{len(verdicts)} histories: {found}")
    return lines


def _short_names(names: list[str]) -> list[str]:
    """Without the directory they share."""
    shared = os.path.commonpath([str(Path(name).parent) for name in names])
    return [os.path.relpath(name, shared) if shared else name for name in names]


def case_of(verdict: FileVerdict) -> Case:
    shown = [_operation_text(operation) for operation in verdict.offending[:OFFENDING_SHOWN]]
    shown += verdict.details.get("anomalies_in_words", ())[:OFFENDING_SHOWN]
    return Case(
        verdict.file,
        verdict.check,
        verdict.validity,
        verdict.reason,
        verdict.seconds,
        "\n".join(shown),
    )
