"""The drawings of a judged history beside its operations: the whole of it, and cycles."""

from __future__ import annotations

import math
from html import escape
from typing import Final

from jepsen_like.report import words
from jepsen_like.report.judged_history import Cycle, JudgedHistory
from jepsen_like.report.svg import WIDTH, Plot, fine, nice_step, number, text
from jepsen_like.report.timeline_svg import zoomable

__all__ = ["cycle", "whole"]

HEIGHT: Final = 150
LEVELS: Final = 4
OUTCOMES: Final = ("ok", "info", "fail")
BOX: Final = (64.0, 34.0)
RING: Final = 120.0
RING_GROWTH: Final = 16.0  # for each transaction beyond four
BEND: Final = 34.0
HEAD: Final = 11.0


def whole(story: JudgedHistory) -> str:
    """How many operations were sent when, by outcome; the part drawn one by one is marked."""
    density = story.density
    end = density.start + density.width * len(density.bins)
    highest = max((sum(counts) for counts in density.bins), default=1)
    step = max(1.0, nice_step(highest, LEVELS))
    top = step * math.ceil(highest / step)
    plot = Plot(
        "How many operations were sent when",
        (density.start, max(end, density.start + 1e-9)),
        (0.0, top),
        height=HEIGHT,
        bands=story.bands,
        x_title=story.clock.title,
    )
    levels = range(round(top / step) + 1)
    plot.y_axis([(i * step, words.count(round(i * step))) for i in levels], "operations")
    plot.x_axis()
    low, high = plot.at(story.timeline.start), plot.at(story.timeline.end)
    base = plot.level(0.0)
    plot.parts.append('<g class="moving">')
    plot.parts.append(
        f'<rect x="{fine(low)}" y="{plot.top}" width="{fine(max(high - low, 2))}" '
        f'height="{number(base - plot.top)}" class="window"><title>drawn above, one by one</title>'
        "</rect>"
    )
    for n, counts in enumerate(density.bins):
        if any(counts):
            plot.parts.append(_column(plot, story, n, counts))
    plot.parts.append("</g>")
    return plot.svg(zoomable(plot, (density.start, end)))


def _column(plot: Plot, story: JudgedHistory, n: int, counts: tuple[int, int, int]) -> str:
    density = story.density
    start = density.start + n * density.width
    left, right = plot.at(start), plot.at(start + density.width)
    told = ", ".join(
        f"{words.count(count)} {words.OUTCOMES[outcome]}"
        for outcome, count in zip(OUTCOMES, counts, strict=True)
        if count
    )
    unit = story.clock.unit or "events"
    when = f"sent from {start:.6g} to {start + density.width:.6g} {unit}"
    parts = [f"<title>{escape(f'{words.count(sum(counts))} operations: {told}')}\n{when}</title>"]
    below = 0
    for outcome, count in zip(OUTCOMES, counts, strict=True):
        if count:
            top, bottom = plot.level(below + count), plot.level(below)
            parts.append(
                f'<rect x="{fine(left)}" y="{fine(top)}" width="{fine(right - left)}" '
                f'height="{fine(max(bottom - top, 0.5))}" class="bar {outcome}"/>'
            )
            below += count
    return f'<g class="operation">{"".join(parts)}</g>'


def cycle(found: Cycle) -> str:
    """Transactions in a ring, an arrow from each to the one it must have come before."""
    count = len(found.transactions)
    radius = RING + max(0, count - 4) * RING_GROWTH
    across, down = WIDTH / 2, radius * 0.62 + BOX[1] + 24
    places = []
    for n in range(count):
        angle = 2 * math.pi * n / count + math.pi
        places.append(
            (across + 2.1 * radius * math.cos(angle), down + radius * 0.62 * math.sin(angle))
        )
    above = min(y for _, y in places) - BOX[1] / 2 - BEND - 14
    places = [(x, y - above) for x, y in places]
    height = round(max(y for _, y in places) + BOX[1] / 2 + BEND + 14)
    parts = []
    for source, target, label, sentence in found.edges:
        parts.append(_edge(places[source], places[target], label, sentence))
    for n, (x, y) in enumerate(places):
        parts.append(
            f'<g class="operation"><title>{escape(f"T{n + 1} is {found.transactions[n]}")}</title>'
            f'<rect x="{number(x - BOX[0] / 2)}" y="{number(y - BOX[1] / 2)}" width="{BOX[0]}" '
            f'height="{BOX[1]}" rx="8" class="node"/>'
            f"{text(x, y + 5, f'T{n + 1}', 't strong', 'middle')}</g>"
        )
    name = escape(f"{found.name}: a cycle of {count} transactions")
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{name}" class="timeline">'
        f"{''.join(parts)}</svg>"
    )


def _edge(
    source: tuple[float, float], target: tuple[float, float], label: str, sentence: str
) -> str:
    (x0, y0), (x1, y1) = source, target
    length = math.hypot(x1 - x0, y1 - y0) or 1.0
    along = ((x1 - x0) / length, (y1 - y0) / length)
    away = (along[1], -along[0])  # outwards, as the ring is walked
    x0, y0 = _edge_of_box(source, along)
    x1, y1 = _edge_of_box(target, (-along[0], -along[1]))
    middle = ((x0 + x1) / 2 + away[0] * BEND, (y0 + y1) / 2 + away[1] * BEND)
    at = ((x0 + x1) / 4 + middle[0] / 2, (y0 + y1) / 4 + middle[1] / 2)
    ends = [f"{number(x)} {number(y)}" for x, y in ((x0, y0), middle, (x1, y1))]
    curve = f"M{ends[0]}Q{ends[1]} {ends[2]}"
    shown = text(
        at[0] + away[0] * 14, at[1] + away[1] * 14 + 4, words.cut(label, 24), "t strong", "middle"
    )
    return (
        f'<g class="operation"><title>{escape(sentence)}</title>'
        f'<path d="{curve}" class="edge"/>{_head(middle, (x1, y1))}{shown}</g>'
    )


def _head(behind: tuple[float, float], tip: tuple[float, float]) -> str:
    angle = math.atan2(tip[1] - behind[1], tip[0] - behind[0])
    corners = [
        (tip[0] - HEAD * math.cos(angle + turn), tip[1] - HEAD * math.sin(angle + turn))
        for turn in (-0.4, 0.4)
    ]
    path = "".join(f"L{number(x)} {number(y)}" for x, y in corners)
    return f'<path d="M{number(tip[0])} {number(tip[1])}{path}z" class="arrow"/>'


def _edge_of_box(place: tuple[float, float], along: tuple[float, float]) -> tuple[float, float]:
    """Where a line from the middle of a transaction's box leaves it."""
    reach = min(
        BOX[0] / 2 / abs(along[0]) if along[0] else math.inf,
        BOX[1] / 2 / abs(along[1]) if along[1] else math.inf,
    )
    return place[0] + along[0] * (reach + 4), place[1] + along[1] * (reach + 4)
