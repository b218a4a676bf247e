"""What to draw of operations over time: rows of bars, and where each took effect. No drawing yet.

Two kinds of time. To scale, for what happened around a fault or a failure. Folded, for a
counterexample: only the order of the beginnings and ends decides what is possible, and a write
of a millisecond that is read a minute later would be two hairs on a line, so each event gets the
room that its words need. The drawing and the text for terminals take the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Final

from jepsen_like.history import FaultWindow, Operation
from jepsen_like.report import words
from jepsen_like.report.clock import RUN, Clock

__all__ = [
    "Band",
    "Bar",
    "Moment",
    "Row",
    "State",
    "Timeline",
    "bands_of",
    "counterexample",
    "effects",
    "process_rows",
    "story",
]

LABEL_CHARACTERS: Final = 36
STATE_CHARACTERS: Final = 18
STORY_CHARACTERS: Final = 400
NODE_CHARACTERS: Final = 80
NOTE_CHARACTERS: Final = 12
ROWS_MAX: Final = 32


@dataclass(frozen=True)
class Band:
    """A window of time to shade, and what to call it."""

    start: float
    end: float
    label: str


def bands_of(faults: Iterable[FaultWindow], end: float, clock: Clock = RUN) -> list[Band]:
    """What to shade for faults; one that nobody saw end reaches `end`."""
    return [
        Band(
            clock.of(fault.start_ns),
            end if fault.end_ns is None else clock.of(fault.end_ns),
            words.fault_text(fault),
        )
        for fault in faults
    ]


@dataclass(frozen=True)
class Bar:
    """One operation; `start` and `end` in the time of its timeline."""

    start: float
    end: float
    css: str  # "ok", "info", "fail", "stuck"; "ok left-out"
    title: str  # all that is known, in lines
    label: str = ""
    lane: int = 0
    point: float | None = None  # when it took effect
    number: str = ""  # which place it has in the order
    is_open: bool = False  # it was never answered


@dataclass(frozen=True)
class Row:
    name: str
    bars: tuple[Bar, ...]
    lanes: int = 1
    note: str = ""


@dataclass(frozen=True)
class Moment:
    at: float
    label: str


@dataclass(frozen=True)
class State:
    """What an order leaves there from one moment to the next."""

    start: float
    end: float
    label: str


@dataclass(frozen=True)
class Timeline:
    name: str
    start: float
    end: float
    rows: tuple[Row, ...]
    bands: tuple[Band, ...] = ()
    moments: tuple[Moment, ...] = ()
    states: tuple[State, ...] = ()
    to_scale: bool = True  # else only the order means anything
    axis: str = RUN.title


def story(operation: Operation, *, clock: Clock = RUN, line: int = 0, more: str = "") -> str:
    """Everything about one operation, in lines: for a tooltip and the panel of details."""
    where = f"process {operation.process}"
    where += f" on {words.cut(operation.node, NODE_CHARACTERS)}" if operation.node else ""
    took = ""
    if clock.unit:
        took = f" after {words.duration(operation.returned_ns - operation.sent_ns)}"
    back = {"ok": "back", "fail": "failed"}.get(operation.outcome, "never answered; given up")
    lines = [
        words.operation_text(operation, STORY_CHARACTERS),
        f"{where}: {words.cut(words.outcome_text(operation), STORY_CHARACTERS)}",
        f"sent at {clock.text(operation.sent_ns)}",
        f"{back}{took} at {clock.text(operation.returned_ns)}",
    ]
    if operation.version is not None:
        lines.append(f"the database's version: {operation.version}")
    if line:
        lines.append(f"line {line} of the file")
    if more:
        lines.append(more)
    return "\n".join(lines)


def effects(order: Sequence[tuple[float, float]], start: float, end: float) -> list[float]:
    """A moment for each operation of an order, within its (sent, returned), never going back.

    Between the earliest moment that the order allows it and the latest; operations to which the
    order leaves the same room share it evenly.
    """
    earliest, latest = [], []
    at = start
    for sent, _ in order:
        at = max(at, sent)
        earliest.append(at)
    at = end
    for _, returned in reversed(order):
        at = min(at, returned)
        latest.append(at)
    rooms = list(zip(earliest, reversed(latest), strict=True))
    moments: list[float] = []
    for (low, high), same in groupby(rooms):
        crowd = len(list(same))
        for place in range(crowd):
            moment = low + (high - low) * (place + 1) / (crowd + 1)
            moments.append(max(moment, moments[-1]) if moments else moment)
    return moments


def counterexample(
    offending: Sequence[Operation],
    details: Mapping[str, Any],
    *,
    width_of: Callable[[str], float],
    gap: float,
    lines: Sequence[int] = (),
    clock: Clock = RUN,
    labels: Sequence[str] = (),
) -> Timeline:
    """The operations that no order explains, in folded time, with the order that goes furthest.

    `width_of`: the room a label takes, in the units in which `gap` is the least room between
    two events.
    """
    labels = labels or [words.operation_text(o, LABEL_CHARACTERS) for o in offending]
    stuck = details.get("stuck")
    order, states = _furthest(details, len(offending))
    spans, end = _folded(offending, [width_of(label) for label in labels], gap)
    placed = [spans[i] if isinstance(i, int) else (0.0, end) for i in order]
    moments = effects(placed, 0.0, end)
    place_of = {i: (moments[n], str(n + 1)) for n, i in enumerate(order)}
    dead_ends: Sequence[Mapping[str, Any]] = details.get("dead_ends", ())
    refused = dead_ends[0]["refused"] if dead_ends else {}
    bars = []
    for i, operation in enumerate(offending):
        point, number = place_of.get(i, (None, ""))
        more = "" if point is None else f"takes effect as number {number} of the order drawn"
        more = str(refused.get(i, refused.get(str(i), more)))
        bars.append(
            Bar(
                *spans[i],
                css="stuck" if i == stuck else operation.outcome,
                title=story(operation, clock=clock, line=lines[i] if lines else 0, more=more),
                label=labels[i],
                point=point,
                number=number,
                is_open=operation.outcome == "info",
            )
        )
    processes = list(dict.fromkeys(o.process for o in offending))
    rows = []
    for process in processes:
        mine = [(o, bar) for o, bar in zip(offending, bars, strict=True) if o.process == process]
        rows.append(
            Row(
                f"process {process}",
                tuple(bar for _, bar in mine),
                note=words.cut(mine[0][0].node, NOTE_CHARACTERS),
            )
        )
    hidden = [(place_of[i], i) for i in order if isinstance(i, str)]
    if hidden:
        rows.append(Row("not shown", tuple(_hidden(*h, width_of) for h in hidden)))
        rows[-1] = _in_lanes(rows[-1])
    until = [*moments[1:], end][: len(moments)]
    held = tuple(
        State(at, then, words.cut(state, STATE_CHARACTERS))
        for at, then, state in zip(moments, until, states, strict=True)
    )
    name = "Operations that no order explains"
    return Timeline(name, 0.0, end, tuple(rows), states=held, to_scale=False)


def _furthest(details: Mapping[str, Any], count: int) -> tuple[list[int | str], list[str]]:
    """The order that goes furthest, and what it leaves; nothing if no order was walked."""
    for end in details.get("dead_ends") or ():
        known = all(isinstance(i, str) or i < count for i in end["order"])
        return (end["order"], end["states"]) if known else ([], [])
    return [], []


def _hidden(place: tuple[float, str], call: str, width_of: Callable[[str], float]) -> Bar:
    at, number = place
    label = words.cut(call, LABEL_CHARACTERS)
    title = f"{call}\nis not needed for the contradiction: it may have happened at any time"
    return Bar(at, at + width_of(label), "hidden", title, label, point=at, number=number)


def _in_lanes(row: Row) -> Row:
    ends: list[float] = []
    bars = []
    for bar in row.bars:
        lane = next((i for i, end in enumerate(ends) if end <= bar.start), len(ends))
        ends[lane : lane + 1] = [bar.end]
        bars.append(replace(bar, lane=lane))
    return replace(row, bars=tuple(bars), lanes=max(1, len(ends)))


def _folded(
    operations: Sequence[Operation], widths: Sequence[float], gap: float
) -> tuple[list[tuple[float, float]], float]:
    """Where each begins and ends when every event takes no more room than it needs."""
    events = [(o.sent_ns, 0, i) for i, o in enumerate(operations)]
    events += [(o.returned_ns, 1, i) for i, o in enumerate(operations) if o.outcome != "info"]
    events.sort()  # intervals are closed: what begins at the instant of an end is concurrent
    begin = [0.0] * len(operations)
    end: dict[int, float] = {}
    at = 0.0
    before: tuple[int, int] | None = None
    for time, is_end, i in events:
        if (time, is_end) != before:
            at += gap
        if is_end:
            at = max(at, begin[i] + widths[i])
            end[i] = at
        else:
            begin[i] = at
        before = (time, is_end)
    at += gap
    at = max([at, *(begin[i] + widths[i] for i in range(len(operations)))])
    return [(begin[i], end.get(i, at)) for i in range(len(operations))], at


def process_rows(
    bars: Sequence[tuple[int, Bar]], first: Sequence[int] = ()
) -> tuple[tuple[Row, ...], int]:
    """A row per process, those of `first` at the top; (rows, how many bars found no room).

    Too many processes share rows: of those beyond, each takes the first where it fits.
    """
    by_process: dict[int, list[Bar]] = {process: [] for process in first}
    for process, bar in bars:
        by_process.setdefault(process, []).append(bar)
    ordered = [*first, *sorted(p for p in by_process if p not in set(first))]
    if len(ordered) <= ROWS_MAX:
        return tuple(Row(f"process {p}", tuple(by_process[p])) for p in ordered), 0
    rows = [(f"process {p}", list(by_process[p])) for p in first[: ROWS_MAX // 2]]
    shared: list[list[Bar]] = []
    hidden = 0
    for process in ordered[len(rows) :]:
        for bar in by_process[process]:
            free = next((row for row in shared if row[-1].end <= bar.start), None)
            if free is not None:
                free.append(bar)
            elif len(rows) + len(shared) < ROWS_MAX:
                shared.append([bar])
            else:
                hidden += 1
    rows += [("others" if n == 0 else "", row) for n, row in enumerate(shared)]
    return tuple(Row(name, tuple(row)) for name, row in rows), hidden
