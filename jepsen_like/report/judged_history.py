"""A judged history as its reader wants it told: what to draw and to say, and nothing drawn yet.

What is drawn is bounded by count, whatever the history: the operations around the failure one by
one, all others counted per interval of time; and what is left out is said in words.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from jepsen_like.history.columns import History
from jepsen_like.history.fault_window import FaultWindow
from jepsen_like.report import words
from jepsen_like.report.clock import Clock, clock_of
from jepsen_like.report.timeline import Band, Bar, Timeline, bands_of, effects, process_rows, story
from jepsen_like.result import Validity, Verdict

__all__ = [
    "BINS_MAX",
    "DRAWN_MAX",
    "FAULTS_MAX",
    "KEYS_MAX",
    "Cycle",
    "Density",
    "JudgedHistory",
    "KeyRow",
    "Way",
    "judged_history",
]

DRAWN_MAX: Final = 900  # operations drawn one by one
CONTEXT: Final = 40  # operations before and after the counterexample
BINS_MAX: Final = 240
KEYS_MAX: Final = 1_000
FAULTS_MAX: Final = 100
ORDERED_MAX: Final = 300_000  # operations of a key whose order is followed
MARGIN: Final = 0.04  # of the time drawn
NAMES_MAX: Final = 3


@dataclass(frozen=True)
class Way:
    """One order as far as it goes, and why it goes no further."""

    order: str
    refusals: tuple[str, ...]


@dataclass(frozen=True)
class KeyRow:
    key: str
    validity: str
    algorithm: str
    operations: int
    staleness_ns: int | None  # None: not measured
    is_measured: bool = True


@dataclass(frozen=True)
class Density:
    """How many operations were sent in each interval, by outcome."""

    start: float
    width: float
    bins: tuple[tuple[int, int, int], ...]  # ok, info, fail


@dataclass(frozen=True)
class Cycle:
    name: str
    transactions: tuple[str, ...]
    edges: tuple[tuple[int, int, str, str], ...]  # source, target, label, sentence


@dataclass(frozen=True)
class JudgedHistory:
    name: str
    model: str
    verdict: Verdict
    clock: Clock
    counts: Mapping[str, int]  # by outcome
    processes: int
    lines: tuple[int, ...]  # of the offending operations
    ways: tuple[Way, ...]
    ways_note: str
    keys: tuple[KeyRow, ...]
    keys_hidden: str
    timeline: Timeline
    timeline_note: str
    faults: tuple[FaultWindow, ...]  # of the whole history, as many as are shown
    faults_hidden: int
    bands: tuple[Band, ...]  # of these
    focus: tuple[float, float]  # where the counterexample is
    density: Density
    cycles: tuple[Cycle, ...] = field(default=())


def judged_history(
    name: str,
    model: str,
    history: History,
    verdict: Verdict,
    order: Mapping[Any, Sequence[int]] | None = None,
) -> JudgedHistory:
    """`order`: for each key positions in the order of taking effect, as far as there is one."""
    clock = clock_of(history)
    at = _positions(history, verdict)
    drawn, others = _drawn(history, at)
    lines = tuple(history.lines[i] if i >= 0 else 0 for i in at)
    stuck = verdict.details.get("stuck")
    faults = sorted(history.faults, key=lambda fault: fault.start_ns)[:FAULTS_MAX]
    bands = bands_of(faults, clock.of(max(history.returned_ns, default=0)), clock)
    timeline, unfitting = _timeline(history, drawn, at, stuck, clock, order or {}, bands)
    focus = (
        min((clock.of(history.sent_ns[i]) for i in at if i >= 0), default=timeline.start),
        max((clock.of(history.returned_ns[i]) for i in at if i >= 0), default=timeline.end),
    )
    note = _note(history, len(drawn) - unfitting, others, bool(at))
    if order is None and verdict.check == "linearizable":
        note += " Where operations took effect was not worked out: there are too many."
    keys, keys_hidden = _keys(history, verdict)
    ways, ways_note = _ways(verdict)
    return JudgedHistory(
        name=name,
        model=model,
        verdict=verdict,
        clock=clock,
        counts=Counter(history.outcome),
        processes=len(set(history.process)),
        lines=lines,
        ways=ways,
        ways_note=ways_note,
        keys=keys,
        keys_hidden=keys_hidden,
        timeline=timeline,
        timeline_note=note,
        faults=tuple(faults),
        faults_hidden=len(history.faults) - len(faults),
        bands=tuple(bands),
        focus=focus,
        density=_density(history, clock),
        cycles=tuple(_cycle(cycle) for cycle in verdict.details.get("cycles", ())),
    )


def _positions(history: History, verdict: Verdict) -> list[int]:
    """Of the offending operations, in the history; -1: not found."""
    if not verdict.offending:
        return []
    wanted = {operation.sent_ns for operation in verdict.offending}
    found: dict[int, list[int]] = {}
    for i, sent in enumerate(history.sent_ns):
        if sent in wanted:
            found.setdefault(sent, []).append(i)
    return [
        next((i for i in found.get(o.sent_ns, ()) if history[i] == o), -1)
        for o in verdict.offending
    ]


def _drawn(history: History, offending: Sequence[int]) -> tuple[list[int], int]:
    """What is drawn one by one, and how many on other keys are not.

    Around a failure, the operations on its keys; else all, from the first on.
    """
    shown = [i for i in offending if i >= 0]
    if not shown:
        by_time = sorted(range(len(history)), key=history.sent_ns.__getitem__)
        return by_time[:DRAWN_MAX], 0
    keys = {history.key[i] for i in shown}
    mine = [i for i, key in enumerate(history.key) if key in keys]
    others = len(history) - len(mine)
    mine.sort(key=history.sent_ns.__getitem__)
    if len(mine) <= DRAWN_MAX:
        return mine, others
    sent = [history.sent_ns[i] for i in mine]
    first = bisect_left(sent, min(history.sent_ns[i] for i in shown))
    last = bisect_left(sent, max(history.sent_ns[i] for i in shown))
    inside = mine[max(0, first - CONTEXT) : last + CONTEXT]
    if len(inside) > DRAWN_MAX:  # the end is where it shows
        inside = inside[-DRAWN_MAX:]
    return sorted({*inside, *shown}, key=history.sent_ns.__getitem__), others


def _timeline(
    history: History,
    drawn: Sequence[int],
    offending: Sequence[int],
    stuck: int | None,
    clock: Clock,
    order: Mapping[Any, Sequence[int]],
    bands: Sequence[Band],
) -> tuple[Timeline, int]:
    spans = {i: (clock.of(history.sent_ns[i]), clock.of(history.returned_ns[i])) for i in drawn}
    start = min((begin for begin, _ in spans.values()), default=0.0)
    end = max((back for _, back in spans.values()), default=1.0)
    margin = max(end - start, 1e-6) * MARGIN
    points = _points(history, drawn, clock, order, end)
    culprit = offending[stuck] if stuck is not None and stuck < len(offending) else -1
    bars = []
    for i in drawn:
        operation = history[i]
        css: str = operation.outcome
        if i == culprit:
            css = "stuck"
        elif offending and i not in offending:
            css += " left-out"
        more = ""
        if i in points:
            more = "takes effect where the dot is, in the order that gets furthest"
        elif i == culprit:
            more = "the answer that no order gets past"
        told = story(operation, clock=clock, line=history.lines[i], more=more)
        is_open = operation.outcome == "info"
        bars.append(
            (operation.process, Bar(*spans[i], css, told, point=points.get(i), is_open=is_open))
        )
    first = list(dict.fromkeys(history.process[i] for i in offending if i >= 0))
    rows, unfitting = process_rows(bars, first)
    name = "Operations around the failure" if offending else "Operations"
    start, end = start - margin, end + margin
    seen = tuple(band for band in bands if band.start < end and band.end > start)
    return Timeline(name, start, end, rows, bands=seen, axis=clock.title), unfitting


def _points(
    history: History,
    drawn: Sequence[int],
    clock: Clock,
    order: Mapping[Any, Sequence[int]],
    end: float,
) -> dict[int, float]:
    wanted = set(drawn)
    points: dict[int, float] = {}
    for positions in order.values():
        last = max((n for n, i in enumerate(positions) if i in wanted), default=-1)
        followed = positions[: last + 1]
        spans = [
            (
                clock.of(history.sent_ns[i]),
                end if history.outcome[i] == "info" else clock.of(history.returned_ns[i]),
            )
            for i in followed
        ]
        moments = effects(spans, min((s for s, _ in spans), default=0.0), end)
        points.update((i, m) for i, m in zip(followed, moments, strict=True) if i in wanted)
    return points


def _note(history: History, drawn: int, others: int, is_failure: bool) -> str:
    if drawn == len(history):
        return f"All {words.count(drawn)} operations are drawn."
    note = f"{words.count(drawn)} of {words.count(len(history))} operations are drawn"
    if others:
        note += f"; {words.count(others)} are on other keys"
    far = len(history) - others - drawn
    if far:
        where = "too far from the failure, or too many" if is_failure else "too many to draw"
        note += f"; {words.count(far)} are {where}"
    return f"{note}. The whole history counts them all."


def _ways(verdict: Verdict) -> tuple[tuple[Way, ...], str]:
    details = verdict.details
    told = [words.operation_text(o, 60) for o in verdict.offending]
    ways = []
    for end in details.get("dead_ends", ()):
        steps = [f"{i} (not shown)" if isinstance(i, str) else told[i] for i in end["order"]]
        order = ", then ".join(words.cut(step, 60) for step in steps) or "At the very beginning"
        ways.append(Way(order, tuple(end["refused"].values())))
    if not ways:
        return (), ""
    found, in_full = details["dead_ends_found"], details["every_order_tried"]
    more = found - len(ways)
    if not in_full:
        note = f"There are too many orders to try: {found} of them were, none gets further."
    elif found == 1:
        note = "Whatever order is tried, it ends like this:"
    else:
        note = f"Every order that the clock allows ends in one of {found} ways"
        note += f", of which {len(ways)} are shown:" if more else ":"
    return tuple(ways), note


def _keys(history: History, verdict: Verdict) -> tuple[tuple[KeyRow, ...], str]:
    """Those that are not valid first, then the busiest."""
    details = verdict.details
    if verdict.check != "linearizable" or "keys" not in details:
        return (), ""
    judged = details.get("judged", {})
    counts = Counter(history.key)
    staleness = details.get("staleness", {})
    default: Validity = "valid"
    rows = []
    for key, number in counts.items():
        validity, algorithm = judged.get(key, (default, "blocks"))
        stale: int | None = 0
        is_measured = True
        if validity != "valid":
            needed = staleness.get(key, {"ns": None, "known": False})
            stale, is_measured = needed["ns"], needed["known"]
        rows.append(KeyRow(str(key), validity, algorithm, number, stale, is_measured))
    rank = {"invalid": 0, "unknown": 1, "not judged": 2, "valid": 3}
    rows.sort(key=lambda row: (rank[row.validity], -row.operations))
    hidden = Counter(row.validity for row in rows[KEYS_MAX:])
    told = ", ".join(f"{words.count(number)} {what}" for what, number in hidden.items())
    return tuple(
        rows[:KEYS_MAX]
    ), f"Not in the table: {told} keys with fewer operations." if told else ""


def _density(history: History, clock: Clock) -> Density:
    if not len(history):
        return Density(0.0, 1.0, ())
    start = clock.of(min(history.sent_ns))
    end = clock.of(max(history.returned_ns))
    width = max(end - start, 1e-9) / BINS_MAX
    bins = [[0, 0, 0] for _ in range(BINS_MAX)]
    column = {"ok": 0, "info": 1, "fail": 2}
    for sent, outcome in zip(history.sent_ns, history.outcome, strict=True):
        place = min(int((clock.of(sent) - start) / width), BINS_MAX - 1)
        bins[place][column[outcome]] += 1
    return Density(start, width, tuple((ok, info, fail) for ok, info, fail in bins))


def _cycle(cycle: Mapping[str, Any]) -> Cycle:
    edges = tuple(
        (edge["source"], edge["target"], edge["label"], words.cut(edge["sentence"], 400))
        for edge in cycle["edges"]
    )
    told = tuple(words.cut(text, 400) for text in cycle["transactions"])
    return Cycle(cycle["name"], told, edges)
