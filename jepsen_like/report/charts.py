"""The drawings of the page: yield over time, latency, and operations around a fault."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from jepsen_like.history import Operation
from jepsen_like.report import timeline as timelines
from jepsen_like.report import words
from jepsen_like.report.clock import RUN, Clock
from jepsen_like.report.svg import Plot, nice_step
from jepsen_like.report.timeline import Band, Bar, Moment, Row, Timeline, story
from jepsen_like.report.timeline_svg import GAP, draw, label_width
from jepsen_like.result import RunResult, Verdict

__all__ = [
    "Chart",
    "Drawn",
    "drawn",
    "bands",
    "node_groups",
    "yield_over_time",
    "rate",
    "latency",
    "around",
    "counterexample",
]

BINS_MAX: Final = 80
SERIES_MAX: Final = 6  # colours that are told apart
TIMELINE_OPERATIONS_MAX: Final = 240
LANES_MIN: Final = 3  # the height of a node's name
LANES_MAX: Final = 14  # operations in flight at once, per node
COUNTEREXAMPLE_MAX: Final = 30
RING: Final = "m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0"
CROSS: Final = "m-2-2l4 4m0-4l-4 4"
DOT: Final = "h0"


@dataclass(frozen=True)
class Chart:
    svg: str
    legend: tuple[tuple[str, str], ...]  # (css class, words)
    note: str = ""  # what is drawn, what is left out


@dataclass(frozen=True)
class Drawn:
    svg: Markup
    legend: tuple[tuple[str, str], ...]
    note: str


def drawn(chart: Chart) -> Drawn:
    # `svg` escapes every text it is given; nothing else may be marked safe
    return Drawn(Markup(chart.svg), chart.legend, chart.note)  # noqa: S704


def bands(result: RunResult) -> list[Band]:
    faults = [fault.window for fault in result.faults]
    return timelines.bands_of(faults, result.duration_ns / 1e9)


def node_groups(result: RunResult) -> list[tuple[str, ...]]:
    """Nodes that were on the same side of every partition, together."""
    nodes = sorted(
        {operation.node for operation in result.operations}
        | {arrival.node for arrival in result.unserved}
    )
    cuts = [fault.sides for fault in result.faults if fault.sides]
    groups: dict[tuple[int, ...], list[str]] = {}
    for node in nodes:
        place = tuple(
            next((i for i, side in enumerate(sides) if node in side), -1) for sides in cuts
        )
        groups.setdefault(place, []).append(node)
    return sorted(tuple(group) for group in groups.values())


def _groups_to_draw(result: RunResult) -> list[tuple[str, ...]]:
    groups = node_groups(result)
    if len(groups) <= SERIES_MAX:
        return groups
    kept = groups[: SERIES_MAX - 1]
    return [*kept, tuple(node for group in groups[SERIES_MAX - 1 :] for node in group)]


def yield_over_time(result: RunResult) -> Chart:
    """Served share of what was asked in each bin of scheduled time, a line per side."""
    span = result.duration_ns / 1e9
    width = nice_step(span, BINS_MAX)
    plot = Plot("Yield of each side over time", (0.0, span), bands=bands(result))
    plot.y_axis([(i / 4, f"{25 * i}%") for i in range(5)], "answered ok")
    plot.x_axis()
    legend = []
    smallest: list[int] = []
    for number_, nodes in enumerate(_groups_to_draw(result)):
        asked: Counter[int] = Counter()
        ok: Counter[int] = Counter()
        for operation in result.operations:
            if operation.node in nodes:
                asked[int(operation.scheduled_ns / 1e9 / width)] += 1
                ok[int(operation.scheduled_ns / 1e9 / width)] += operation.outcome == "ok"
        for arrival in result.unserved:
            if arrival.node in nodes:
                asked[int(arrival.scheduled_ns / 1e9 / width)] += 1
        for run in _runs(sorted(asked)):
            steps = [(i, ok[i] / asked[i]) for i in run]
            points = [(x * width, y) for i, y in steps for x in (i, i + 1)]
            plot.line(points, f"s{number_}")
        smallest += asked.values()
        legend.append((f"s{number_}", ", ".join(nodes)))
    few = f"; the emptiest has {min(smallest)} arrivals" if smallest else ""
    note = (
        f"Each step is {width:g} s of scheduled time{few}. Arrivals that found no connection count "
        "as not served."
    )
    return Chart(plot.svg(), tuple(legend), note)


def _runs(bins: Sequence[int]) -> Iterable[list[int]]:
    """Neighbouring bins together: where nothing was asked there is no line."""
    run: list[int] = []
    for i in bins:
        if run and i != run[-1] + 1:
            yield run
            run = []
        run.append(i)
    if run:
        yield run


def rate(result: RunResult) -> Chart:
    """Operations per second of scheduled time, by outcome."""
    span = result.duration_ns / 1e9
    width = nice_step(span, BINS_MAX)
    counts: dict[str, Counter[int]] = {"ok": Counter(), "info": Counter(), "fail": Counter()}
    for operation in result.operations:
        counts[operation.outcome][int(operation.scheduled_ns / 1e9 / width)] += 1
    for arrival in result.unserved:
        counts["fail"][int(arrival.scheduled_ns / 1e9 / width)] += 1
    most = max((max(c.values(), default=0) for c in counts.values()), default=0) / width or 1.0
    plot = Plot("Rate over time", (0.0, span), (0.0, most * 1.05), height=170, bands=bands(result))
    step = nice_step(most, 4)
    plot.y_axis([(i * step, f"{i * step:g}/s") for i in range(int(most / step) + 1)], "operations")
    plot.x_axis()
    last = math.ceil(span / width)
    for outcome, counted in counts.items():
        points = [(x * width, counted[i] / width) for i in range(last) for x in (i, i + 1)]
        if counted:
            plot.line(points, f"of-{outcome}")
    note = "Failed counts arrivals that found no connection."
    return Chart(plot.svg(), _outcome_legend(), note)


def latency(result: RunResult) -> Chart:
    """Every operation: when it was scheduled, and how long after that its answer came."""
    latencies = [(o.returned_ns - o.scheduled_ns) / 1e6 for o in result.operations]
    low = 10.0 ** math.floor(math.log10(max(min(latencies, default=1.0), 0.01)))
    high = 10.0 ** math.ceil(math.log10(max(max(latencies, default=10.0), low * 10)))
    span = result.duration_ns / 1e9
    plot = Plot(
        "Latency of every operation over time, logarithmic",
        (0.0, span),
        (low, high),
        height=280,
        log=True,
        bands=bands(result),
    )
    decades = round(math.log10(high / low))
    plot.y_axis(
        [(low * 10**i, _milliseconds(low * 10**i)) for i in range(decades + 1)],
        "latency from scheduled time",
    )
    plot.x_axis()
    drawn = 0
    for outcome, shape in (("ok", DOT), ("info", RING), ("fail", CROSS)):
        points = (
            (o.scheduled_ns / 1e9, (o.returned_ns - o.scheduled_ns) / 1e6)
            for o in result.operations
            if o.outcome == outcome
        )
        drawn += plot.marks(points, f"mark {outcome}", shape)
    for share, css in ((0.5, "median"), (0.99, "tail")):
        for run in _quantiles(result, span, share):
            plot.line(run, css)
    hidden = len(result.operations) - drawn
    note = (
        "Lines: median and 99% of what came back ok, in steps of scheduled time. "
        "Failed and unknown operations stand at the time their client gave up. "
        f"{words.count(len(result.operations))} operations; "
        f"{words.count(hidden)} of them share a point with another."
    )
    return Chart(plot.svg(), _outcome_legend(), note)


def _quantiles(result: RunResult, span: float, share: float) -> Iterable[list[tuple[float, float]]]:
    """Steps of the quantile of the latencies (ms) that came back ok; a line for each time without
    a gap."""
    width = nice_step(span, BINS_MAX)
    bins: dict[int, list[int]] = {}
    for o in result.operations:
        if o.outcome == "ok":
            at = int(o.scheduled_ns / 1e9 / width)
            bins.setdefault(at, []).append(o.returned_ns - o.scheduled_ns)
    for run in _runs(sorted(bins)):
        points = []
        for i in run:
            ordered = sorted(bins[i])
            value = ordered[min(int(share * len(ordered)), len(ordered) - 1)] / 1e6
            points += [(i * width, value), ((i + 1) * width, value)]
        yield points


def _milliseconds(value: float) -> str:
    return f"{value / 1000:g} s" if value >= 1000 else f"{value:g} ms"


def _outcome_legend() -> tuple[tuple[str, str], ...]:
    return (("ok", "ok"), ("info", "unknown outcome"), ("fail", "failed"))


def around(
    result: RunResult,
    start: float,
    end: float,
    *,
    name: str,
    wanted: Callable[[Operation], bool] = lambda _: True,
    target: str = "",
    moments: Sequence[tuple[float, str]] = (),
) -> Chart:
    """Operations in flight between two times (seconds), a row of lanes per node."""
    inside = [
        o for o in result.operations if start * 1e9 <= o.returned_ns and o.sent_ns <= end * 1e9
    ]
    chosen = sorted((o for o in inside if wanted(o)), key=lambda o: o.sent_ns)
    kept = _spread(chosen, TIMELINE_OPERATIONS_MAX)
    lanes = _lanes(kept)
    names = sorted({node for node, _ in lanes.values()})
    bars: dict[str, list[Bar]] = {name: [] for name in names}
    for operation in kept:
        node, lane = lanes[id(operation)]
        if lane < LANES_MAX:
            at = operation.sent_ns / 1e9, operation.returned_ns / 1e9
            bars[node].append(Bar(*at, operation.outcome, story(operation), lane=lane))
    rows = []
    for node in names:
        used = max(bar.lane for bar in bars[node]) + 1
        note = "the target" if node == target else ""
        rows.append(Row(node, tuple(bars[node]), max(used, LANES_MIN), note))
    drawn = sum(map(len, bars.values()))
    timeline = Timeline(
        name,
        start,
        end,
        tuple(rows),
        bands=tuple(bands_between(result, start, end)),
        moments=tuple(Moment(at, label) for at, label in moments),
    )
    note = f"{drawn} of {len(inside)} operations in this window are drawn"
    if len(inside) > len(chosen):
        note += f"; {len(inside) - len(chosen)} on other keys are left out"
    if len(chosen) > drawn:
        note += f"; {len(chosen) - drawn} more would not fit"
    dashed = "".join(f" Dashed line: {label}." for _, label in moments)
    return Chart(draw(timeline), _outcome_legend(), f"{note}.{dashed}")


def bands_between(result: RunResult, start: float, end: float) -> list[Band]:
    return [band for band in bands(result) if band.start < end and band.end > start]


def _spread(operations: Sequence[Operation], most: int) -> list[Operation]:
    """At most `most` of them, evenly over their order, those without ok before others."""
    if len(operations) <= most:
        return list(operations)
    telling = [o for o in operations if o.outcome != "ok"]
    rest = [o for o in operations if o.outcome == "ok"]
    telling = telling[:: max(1, math.ceil(len(telling) / (most // 2)))]
    room = most - len(telling)
    rest = rest[:: max(1, math.ceil(len(rest) / room))]
    return sorted([*telling, *rest], key=lambda o: o.sent_ns)


def _lanes(operations: Sequence[Operation]) -> dict[int, tuple[str, int]]:
    """For each operation (by identity) its node and the first lane that is free when it is sent."""
    ends: dict[str, list[int]] = {}
    lanes = {}
    for operation in operations:
        free = ends.setdefault(operation.node, [])
        lane = next((i for i, end in enumerate(free) if end <= operation.sent_ns), len(free))
        free[lane : lane + 1] = [operation.returned_ns]
        lanes[id(operation)] = (operation.node, lane)
    return lanes


def counterexample(verdict: Verdict, lines: Sequence[int] = (), clock: Clock = RUN) -> Chart:
    """The operations that no order explains, a row per process."""
    shown = verdict.offending[:COUNTEREXAMPLE_MAX]
    timeline = timelines.counterexample(
        shown, verdict.details, width_of=label_width, gap=GAP, lines=lines, clock=clock
    )
    rest = len(verdict.offending) - len(shown)
    note = "Time is not to scale: an operation may take effect anywhere within its bar. "
    if timeline.states:
        note += "The numbers are the order that gets furthest, and under them what it leaves. "
    if any(bar.css == "hidden" for row in timeline.rows for bar in row.bars):
        note += "What is not shown may have happened at any time: it is where one needs it. "
    if any(o.outcome == "info" for o in shown):
        note += "A bar that reaches the right edge never got an answer. "
    if rest:
        note += f"{rest} more operations are not drawn."
    legend = (("stuck", "the answer that no order gets past"), *_outcome_legend()[:1])
    if any(o.outcome == "info" for o in shown):
        legend += (_outcome_legend()[1],)
    return Chart(draw(timeline), legend, note.strip())
