"""The sentences and figures that the card and the page share, so that they never disagree."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from jepsen_like.history import FaultWindow, Operation
from jepsen_like.models import CasRegister, call_of
from jepsen_like.result import Failover, FaultRecord, RunResult, SideAvailability, Verdict

__all__ = [
    "printable",
    "printable_result",
    "headline",
    "fault_text",
    "fault_state",
    "left_out",
    "percent",
    "yield_text",
    "interval_text",
    "seconds",
    "duration",
    "count",
    "cut",
    "operation_text",
    "outcome_text",
    "totals",
    "topology_text",
    "versions_text",
    "failover_text",
    "asked_from",
    "asked_of",
    "sides_of",
    "offending",
]

OPERATION_CHARACTERS = 160
FAULT_CHARACTERS = 60
OUTCOMES = {"ok": "ok", "fail": "failed", "info": "unknown outcome"}


# Control characters, C0 (without newline) and C1: a database's error text must neither move the
# cursor of a terminal nor end up in a page.
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def printable_result(result: RunResult) -> RunResult:
    """The result with every text printable, but for the operations: the card shows none of them."""
    return replace(
        result,
        **{
            field.name: _printable(getattr(result, field.name))
            for field in fields(result)
            if field.name not in ("operations", "unserved")
        },
    )


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, tuple):
        return tuple(_printable(item) for item in value)
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _printable(getattr(value, f.name)) for f in fields(value)})
    return value


def headline(result: RunResult) -> str:
    """Why the verdict is what it is, in one sentence."""
    if result.validity == "unknown":
        open_question = next((v for v in result.verdicts if v.validity == "unknown"), None)
        if open_question is not None:
            return f"{open_question.title}: {open_question.reason}"
        unverified = [fault.name for fault in result.faults if not fault.verified]
        if unverified:
            return f"not verified to have happened as asked: {', '.join(unverified)}"
        return "no check was made"
    verdict = next(v for v in result.verdicts if v.validity == result.validity)
    return f"{verdict.title}: {verdict.reason}"


def offending(result: RunResult) -> Verdict | None:
    """The verdict whose operations are to be shown, if any check found some."""
    return next((v for v in result.verdicts if v.validity == "invalid" and v.offending), None)


def key_in_full(operation: Operation) -> str:
    """The key, with the workload that it belongs to if that is known."""
    return f"{operation.workload}/{operation.key}" if operation.workload else str(operation.key)


def left_out(verdict: Verdict) -> str:
    """What the check did not judge: "left out: 217 failed"; "" if nothing."""
    numbers = verdict.details.get("left_out") or {}
    parts = [f"{count(number)} {what}" for what, number in numbers.items() if number]
    return f"left out: {', '.join(parts)}" if parts else ""


def fault_text(fault: FaultWindow) -> str:
    """A window in a few words; of one that nobody looked at, no more than what was done."""
    doubt = " (NOT VERIFIED)" if fault.verified is False else ""
    return cut(fault.name, FAULT_CHARACTERS) + doubt


def fault_state(fault: FaultRecord) -> str:
    missing = [
        name
        for name, verified in (("start", fault.verified_start), ("end", fault.verified_end))
        if not verified
    ]
    return f"{' and '.join(missing)} NOT VERIFIED" if missing else "verified"


def percent(ok: int, invoked: int) -> str:
    """Never rounded to what it is not: 100% means all, 0% means none."""
    if ok in (0, invoked):
        return "0%" if ok == 0 else "100%"
    tenths = min(max(round(1000 * ok / invoked), 1), 999)
    return f"{tenths / 10:.1f}%"


def yield_text(row: SideAvailability) -> str:
    return percent(row.ok, row.invoked) if row.measured else "not measured"


def interval_text(row: SideAvailability) -> str:
    """The 95% interval of the yield, rounded outwards; empty if nothing was measured."""
    if not row.measured:
        return ""
    low, high = math.floor(1000 * row.low) / 10, math.ceil(1000 * row.high) / 10
    return f"{low:g} to {high:g}%"


def seconds(ns: int) -> str:
    return f"{ns / 1e9:.2f} s"


def duration(ns: int) -> str:
    """Three significant digits or so: "0.42 ms", "12 ms", "1.24 s"."""
    if ns >= 1_000_000_000:
        return f"{ns / 1e9:.2f} s"
    if ns >= 10_000_000:
        return f"{ns / 1e6:.0f} ms"
    return f"{ns / 1e6:.2f} ms"


def count(number: int) -> str:
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}" if number >= 10_000 else "")


def cut(text: str, most: int) -> str:
    """At most `most` characters and, if it was longer, how long it was."""
    return text if len(text) <= most else f"{text[:most]}... ({count(len(text))} characters)"


def operation_text(operation: Operation, most: int = OPERATION_CHARACTERS) -> str:
    """ "read x -> 5", "cas x 1 -> 2 (no match)"; another workload's operation as it stands."""
    if operation.f in ("read", "write", "cas"):
        verb, _, rest = CasRegister().describe(call_of(operation)).partition(" ")
        return cut(f"{verb} {operation.key} {rest}".strip(), most)
    if operation.f == "txn":
        return cut(_steps_text(operation), most)
    parts = [operation.f, str(operation.key)]
    if operation.value is not None:
        parts.append(str(operation.value))
    text = " ".join(part for part in parts if part)
    return cut(text if operation.output is None else f"{text} -> {operation.output}", most)


def _steps_text(operation: Operation) -> str:
    steps = operation.output if operation.outcome == "ok" else operation.value
    if not isinstance(steps, (list, tuple)):
        return f"txn {steps}"
    told = []
    for step in steps:
        if not isinstance(step, (list, tuple)) or len(step) != 3:
            told.append(str(step))
            continue
        what, key, value = step
        shown = list(value) if isinstance(value, tuple) else value
        told.append(f"read {key} -> {shown}" if what == "r" else f"{what} {key} {shown}")
    return ", ".join(told)


def outcome_text(operation: Operation) -> str:
    return OUTCOMES[operation.outcome] + (f": {operation.error}" if operation.error else "")


def totals(result: RunResult) -> list[tuple[str, int]]:
    outcomes = Counter(operation.outcome for operation in result.operations)
    return [
        ("operations", len(result.operations)),
        ("ok", outcomes["ok"]),
        ("failed", outcomes["fail"]),
        ("unknown outcome", outcomes["info"]),
        ("found no connection", len(result.unserved)),
    ]


def asked_of(result: RunResult) -> str:
    """The totals as one line."""
    (_, all_), *outcomes, (_, unserved) = totals(result)
    text = f"{count(all_)} operations: "
    text += ", ".join(f"{count(number)} {name}" for name, number in outcomes)
    return f"{text}; {count(unserved)} more arrivals found no connection" if unserved else text


def topology_text(topology: dict[str, Any]) -> str:
    """ "shardrouter, 3 nodes, 3 shards, 3 replicas": the plain figures among the details."""
    parts = [str(topology["database"])] if "database" in topology else []
    parts += [
        f"{value} {name if value != 1 else name.removesuffix('s')}"
        for name, value in topology.items()
        if isinstance(value, int) and not isinstance(value, bool)
    ]
    return ", ".join(parts)


def versions_text(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def failover_text(failover: Failover) -> str:
    """ "served again 0.83 s after kill -9 leader of shard-1"."""
    if failover.first_ok_ns is None:
        return f"never served again after {failover.fault}"
    return f"served again {seconds(failover.first_ok_ns)} after {failover.fault}"


def asked_from(failover: Failover) -> str:
    """Which clients' answers count."""
    places = {"any": "asked from every node", "none": "no side has a majority"}
    return places.get(failover.side, f"asked from the {failover.side}")


def sides_of(rows: Sequence[SideAvailability]) -> dict[tuple[str, str], list[SideAvailability]]:
    """Rows by (fault, side), in their order."""
    sides: dict[tuple[str, str], list[SideAvailability]] = {}
    for row in rows:
        sides.setdefault((row.fault, row.side), []).append(row)
    return sides
