"""How fresh reads were, and what consistency costs: staleness over time, PBS curves, E-slope."""

from __future__ import annotations

import math
from typing import Any, Final

from jepsen_like.report import words
from jepsen_like.report.charts import DOT, SERIES_MAX, Chart, bands
from jepsen_like.report.svg import Plot, nice_step, number, text
from jepsen_like.result import ReadsOfClass, RunResult, Sweep

__all__ = ["freshness", "round_trips", "staleness"]

TITLE_X: Final = "round-trip time between hosts, ms"


def staleness(result: RunResult) -> Chart | None:
    """Each stale read: when it was sent, and for how long its answer had been overwritten. None
    if nobody looked."""
    looked_at = result.reads[:SERIES_MAX]
    if not looked_at:
        return None
    ages = [read.stale_ns / 1e6 for each in looked_at for read in each.worst]
    low = 10.0 ** math.floor(math.log10(max(min(ages, default=1.0), 0.01)))
    high = 10.0 ** math.ceil(math.log10(max(max(ages, default=100.0), low * 10)))
    span = result.duration_ns / 1e9
    plot = Plot(
        "Staleness of reads over time, logarithmic",
        (0.0, span),
        (low, high),
        height=200,
        log=True,
        bands=bands(result),
    )
    decades = round(math.log10(high / low))
    ticks = [(low * 10**i, _milliseconds(low * 10**i)) for i in range(decades + 1)]
    plot.y_axis(ticks, "overwritten for")
    plot.x_axis()
    for i, each in enumerate(looked_at):
        points = ((read.sent_ns / 1e9, read.stale_ns / 1e6) for read in each.worst)
        plot.marks(points, f"mark stale s{i}", DOT)
    legend = tuple((f"s{i}", _titled(each)) for i, each in enumerate(looked_at))
    return Chart(plot.svg(), legend, " ".join(map(_told, looked_at)))


def _titled(each: ReadsOfClass) -> str:
    return f"{each.f} ({each.workload})" if each.workload else each.f


def _told(each: ReadsOfClass) -> str:
    if not each.stale:
        return f"{each.f}: none of {words.count(each.reads)} reads was stale."
    share = words.percent(each.stale, each.reads)
    kept = "" if each.stale == len(each.worst) else f"; the {len(each.worst)} stalest are drawn"
    return (
        f"{each.f}: {words.count(each.stale)} of {words.count(each.reads)} reads ({share}) were "
        f"stale, by up to {max(read.versions for read in each.worst)} versions{kept}."
    )


def freshness(result: RunResult) -> Chart | None:
    """Of reads sent so long after a write, which share saw it (PBS, VLDB 2012)."""
    curves = [(each, each.pbs.get("time", [])) for each in result.reads[:SERIES_MAX]]
    curves = [(each, points) for each, points in curves if points]
    if not curves:
        return None
    ages = [point["at"] for _, points in curves for point in points if point["at"]]
    low = math.log10(min(ages, default=1e6))
    high = math.log10(2.5 * max(ages, default=4e8))  # the last bin has no end
    lowest = min(point["low"] for _, points in curves for point in points)
    floor = max(0.0, math.floor(lowest * 10) / 10)
    plot = Plot(
        "Share of fresh reads by the age of the newest write",
        (low, high),
        (floor, 1.0),
        x_title="after the newest write had become known",
    )
    step = 0.25 if floor < 0.5 else 0.1 if floor < 0.9 else 0.02
    count = math.floor((1 - floor) / step + 1e-9)
    plot.y_axis([(1 - i * step, f"{100 * (1 - i * step):g}%") for i in range(count + 1)], "fresh")
    decades = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
    plot.ticks([(float(i), _milliseconds(10**i / 1e6)) for i in decades])
    for i, (_, points) in enumerate(curves):
        steps = [(_log(point["at"], low), point) for point in points]
        ends = [*(x for x, _ in steps[1:]), high]
        line = [
            (x, p["share"])
            for (start, p), end in zip(steps, ends, strict=True)
            for x in (start, end)
        ]
        plot.line(line, f"s{i}")
        for (start, p), end in zip(steps, ends, strict=True):
            _whisker(plot, (start + end) / 2, p, f"s{i}")
    legend = tuple((f"s{i}", _titled(each)) for i, (each, _) in enumerate(curves))
    note = (
        "Each step is the share of the reads whose newest known write was so old; the whiskers "
        "are 95% intervals, by windows of time."
    )
    return Chart(plot.svg(), legend, note)


def _log(nanoseconds: int, low: float) -> float:
    return max(low, math.log10(nanoseconds)) if nanoseconds else low


def _whisker(plot: Plot, x: float, point: dict[str, Any], css: str) -> None:
    at = number(plot.at(x))
    ends = (number(plot.level(point["low"])), number(plot.level(point["high"])))
    plot.parts.append(
        f'<line x1="{at}" x2="{at}" y1="{ends[0]}" y2="{ends[1]}" class="whisker {css}"/>'
    )


def round_trips(result: RunResult) -> Chart | None:
    """The median latency of each class over a sweep of round-trip times, beside what waiting for
    no, one or two round trips costs in theory. None without a sweep."""
    sweeps = [sweep for sweep in result.sweeps[:SERIES_MAX] if sweep.steps]
    if not sweeps:
        return None
    longest = max(rtt for sweep in sweeps for rtt, _, _ in sweep.steps) / 1e6
    highest = max(median for sweep in sweeps for _, median, _ in sweep.steps) / 1e6
    x_max, y_max = longest * 1.05, max(highest, 2 * longest) * 1.15
    plot = Plot("Median latency over round-trip time", (0.0, x_max), (0.0, y_max), x_title=TITLE_X)
    step = nice_step(y_max, 6)
    levels = [i * step for i in range(math.floor(y_max / step) + 1)]
    plot.y_axis([(level, f"{level:g} ms") for level in levels], "median latency")
    step = nice_step(x_max, 10)
    plot.ticks([(i * step, f"{i * step:g}") for i in range(math.floor(x_max / step) + 1)])
    for trips in (1, 2):
        plot.line([(0.0, 0.0), (longest, trips * longest)], "theory")
        where = (plot.at(0.7 * longest) + 8, plot.level(0.7 * trips * longest) + 12)
        plot.parts.append(text(*where, "one round trip" if trips == 1 else "two round trips"))
    for i, sweep in enumerate(sweeps):
        at = [(rtt / 1e6, median / 1e6) for rtt, median, _ in sweep.steps]
        fitted = [(x, sweep.intercept_ns / 1e6 + sweep.slope.value * x) for x in (0.0, longest)]
        plot.line(fitted, f"s{i}")
        plot.marks(at, f"mark stale s{i}", "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0")
    legend = tuple((f"s{i}", _slope_text(sweep)) for i, sweep in enumerate(sweeps))
    note = (
        "Circles: medians of what came back ok, from the scheduled time. The slope of the line "
        "through them is how many round trips the median operation waits for; grey: theory."
    )
    return Chart(plot.svg(), legend, note)


def _slope_text(sweep: Sweep) -> str:
    of = sweep.slope
    return f"{sweep.f}: {of.value:.2f} round trips ({of.low:.2f} to {of.high:.2f})"


def _milliseconds(value: float) -> str:
    if value >= 1000:
        return f"{value / 1000:g} s"
    return f"{value:g} ms" if value >= 1 else f"{value * 1000:g} \N{GREEK SMALL LETTER MU}s"
