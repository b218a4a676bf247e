"""A `Timeline` as inline SVG: the one drawing of operations, in every page.

It stands still by itself. A page with a script (`page.js`) makes its bars reachable by keyboard
and its time stretchable: what moves is inside `<g class="moving">`, and positions have three
decimals for it.
"""

from __future__ import annotations

from html import escape
from typing import Final

from jepsen_like.report.svg import RIGHT, WIDTH, Plot, fine, number, text
from jepsen_like.report.timeline import Bar, Row, Timeline

__all__ = ["CHARACTER", "GAP", "draw", "label_width", "zoomable"]

LANE: Final = 9
ONLY_LANE: Final = 16  # of a row that has no other
LABELLED_LANE: Final = 38
ROW_GAP: Final = 10
LANES_MIN: Final = 3  # the height of a name and its note
LEFT: Final = 96
CHARACTER: Final = 7.3  # pixels, of the labels' font
LABEL_PADDING: Final = 12.0
GAP: Final = 26.0
AXIS: Final = 46
STATE_LANE: Final = 17
STATE_LANES_MAX: Final = 3


def label_width(label: str) -> float:
    return len(label) * CHARACTER + LABEL_PADDING


def draw(timeline: Timeline, *, focus: tuple[float, float] | None = None) -> str:
    """`focus`: what a script shows first; None: the time of this drawing is not stretchable."""
    labelled = any(bar.label for row in timeline.rows for bar in row.bars)
    is_single = all(row.lanes == 1 for row in timeline.rows)
    lane = LABELLED_LANE if labelled else ONLY_LANE if is_single else LANE
    lanes_min = 1 if labelled or all(not row.note for row in timeline.rows) else LANES_MIN
    heights = [max(row.lanes, lanes_min) * lane + ROW_GAP for row in timeline.rows]
    plot = Plot(
        timeline.name,
        (timeline.start, timeline.end),
        height=sum(heights) + (AXIS + 16 if timeline.to_scale else 18),
        bands=timeline.bands,
        left=LEFT,
        x_title=timeline.axis,
    )
    if timeline.to_scale:
        plot.x_axis()
    tops = []
    y = plot.top + ROW_GAP / 2
    for row, height in zip(timeline.rows, heights, strict=True):
        tops.append(y)
        plot.parts += _row(plot, row, y, height)
        y += height
    if timeline.states:
        y = _states(plot, timeline, y)
        plot.height = round(y + 8)
    plot.parts.append('<g class="moving">')
    for row, top in zip(timeline.rows, tops, strict=True):
        for bar in row.bars:
            plot.parts.append(_bar(plot, bar, top + bar.lane * lane, lane))
    for moment in timeline.moments:
        x = fine(plot.at(moment.at))
        plot.parts.append(
            f'<line x1="{x}" x2="{x}" y1="{plot.top}" y2="{plot.height - 40}" class="moment">'
            f"<title>{escape(moment.label)}</title></line>"
        )
    plot.parts.append("</g>")
    return plot.svg(zoomable(plot, focus) if focus else ' class="timeline"')


def zoomable(plot: Plot, focus: tuple[float, float]) -> str:
    """The attributes by which the script knows what to stretch."""
    (start, end), (low, high) = plot.x, focus
    return (
        f' class="zoomable" data-left="{plot.left}" data-right="{WIDTH - RIGHT}" '
        f'data-start="{start!r}" data-end="{end!r}" data-low="{low!r}" data-high="{high!r}"'
    )


def _row(plot: Plot, row: Row, y: float, height: float) -> list[str]:
    middle = y + (height - ROW_GAP) / 2 + 4
    parts = [text(plot.left - 10, middle - (6 if row.note else 0), row.name, "t strong", "end")]
    if row.note:
        parts.append(text(plot.left - 10, middle + 9, row.note, "t", "end"))
    below = number(y + height - ROW_GAP / 2)
    parts.append(
        f'<line x1="{plot.left}" x2="{WIDTH - RIGHT}" y1="{below}" y2="{below}" class="grid"/>'
    )
    return parts


def _bar(plot: Plot, bar: Bar, y: float, lane: int) -> str:
    labelled = lane == LABELLED_LANE
    left = plot.at(bar.start)
    right = WIDTH - RIGHT if bar.is_open else plot.at(bar.end)
    top, height = (y + 18, 14) if labelled else (y, lane - (4 if lane == ONLY_LANE else 2))
    parts = [f"<title>{escape(bar.title)}</title>"]
    if bar.css == "hidden":
        right = left
    else:
        css = f"bar {bar.css}{' open' if bar.is_open else ''}"
        parts.append(
            f'<rect x="{fine(left)}" y="{number(top)}" width="{fine(max(right - left, 2))}" '
            f'height="{height}" rx="{3 if labelled else 1.5}" class="{css}"/>'
        )
    if bar.label:
        x = left + (12 if bar.css == "hidden" else 0)
        baseline = top + 11 if bar.css == "hidden" else top - 5
        parts.append(text(x, baseline, bar.label, "t strong label"))
    if bar.point is not None:
        parts.append(_point(plot, bar, top + height / 2, labelled))
    elif bar.css == "stuck" and labelled:
        x, middle = (left + right) / 2, top + height / 2
        cross = f"M{number(x - 4)} {number(middle - 4)}l8 8m0-8l-8 8"
        parts.append(f'<path d="{cross}" class="cross"/>')
    return f'<g class="operation">{"".join(parts)}</g>'


def _point(plot: Plot, bar: Bar, y: float, labelled: bool) -> str:
    assert bar.point is not None
    x = plot.at(bar.point)
    if not labelled:
        return f'<circle cx="{fine(x)}" cy="{number(y)}" r="2.2" class="point"/>'
    digits = text(x, y + 4, bar.number, "number", "middle")
    return f'<circle cx="{fine(x)}" cy="{number(y)}" r="8.5" class="point"/>{digits}'


def _states(plot: Plot, timeline: Timeline, y: float) -> float:
    """What each step of the order leaves, under it; returns where that ends."""
    ends: list[float] = []
    parts = [text(plot.left - 10, y + 20, "then holds", "t strong", "end")]
    for n, state in enumerate(timeline.states):
        x = plot.at(state.start)
        parts.append(
            f'<line x1="{number(x)}" x2="{number(x)}" y1="{plot.top}" y2="{number(y + 6)}" '
            'class="effect"/>'
        )
        if n and timeline.states[n - 1].label == state.label:
            continue  # it is still there
        width = label_width(state.label)
        x = min(x, WIDTH - RIGHT - width)
        lane = next((i for i, end in enumerate(ends) if end <= x), len(ends))
        if lane >= STATE_LANES_MAX:
            continue
        ends[lane : lane + 1] = [x + width]
        parts.append(text(x, y + 20 + lane * STATE_LANE, state.label, "t state"))
    plot.parts += parts
    return y + 20 + len(ends) * STATE_LANE
