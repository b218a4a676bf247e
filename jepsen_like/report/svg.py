"""Drawing: plots over the time of the run as inline SVG, with axes, units and fault bands.

Colours are CSS classes of the page, so that light, dark and print need no second drawing. Every
text is escaped here. Coordinates have one decimal at most: a pixel is enough for anybody.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

from jepsen_like.report.timeline import Band

__all__ = ["RIGHT", "WIDTH", "Plot", "fine", "nice_step", "number", "text"]

WIDTH: Final = 960
LEFT: Final = 78
RIGHT: Final = 14
BOTTOM: Final = 40
LABEL_ROW: Final = 16
LABEL_CHARACTER: Final = 6.6  # pixels, of the labels' font
LABEL_ROWS_MAX: Final = 4


def nice_step(span: float, parts: int) -> float:
    """1, 2 or 5 times a power of ten, so that `span` has at most `parts` steps."""
    raw = max(span, 1e-9) / parts
    power: float = 10.0 ** math.floor(math.log10(raw))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)


def number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def fine(value: float) -> str:
    """Of a drawing that can be zoomed."""
    return f"{value:.3f}".rstrip("0").removesuffix(".")


def text(
    x: float, y: float, words: str, css: str = "t", anchor: str = "start", more: str = ""
) -> str:
    """`more`: attributes, for a page with a script."""
    where = f'x="{number(x)}" y="{number(y)}"'
    more = f" {more}" if more else ""
    return f'<text {where} class="{css}" text-anchor="{anchor}"{more}>{escape(words)}</text>'


@dataclass
class Plot:
    """One drawing. `x` in seconds; `y` in its own unit, logarithmic if `log`."""

    name: str  # what a screen reader says
    x: tuple[float, float]
    y: tuple[float, float] = (0.0, 1.0)
    height: int = 240
    log: bool = False
    bands: Sequence[Band] = ()
    x_title: str = "seconds since the start of the run"
    left: int = LEFT
    parts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        labels, rows = self._band_labels()
        self.top = 10 + rows * LABEL_ROW
        self.height += rows * LABEL_ROW
        self.bottom = self.height - BOTTOM
        for band in self.bands:
            left, right = self.at(band.start), self.at(band.end)
            size = f'width="{number(max(right - left, 1))}" height="{self.bottom - self.top}"'
            self.parts.append(
                f'<rect x="{fine(left)}" y="{self.top}" {size} class="band">'
                f"<title>{escape(band.label)}</title></rect>"
            )
        self.parts += labels

    def _band_labels(self) -> tuple[list[str], int]:
        """Labels above the bands, in as many rows as it takes to keep them apart."""
        row_ends: list[float] = []
        labels = []
        for band in sorted(self.bands, key=lambda band: band.start):
            width = len(band.label) * LABEL_CHARACTER
            at = min(max(self.at(band.start), self.left), WIDTH - RIGHT - width)
            row = next((i for i, end in enumerate(row_ends) if end + 8 <= at), len(row_ends))
            if row >= LABEL_ROWS_MAX:
                continue  # its title still tells
            row_ends[row : row + 1] = [at + width]
            length = number(self.at(band.end) - self.at(band.start))
            place = (at, 12 + row * LABEL_ROW)
            labels.append(text(*place, band.label, "t band-label", more=f'data-w="{length}"'))
        return labels, len(row_ends)

    def at(self, seconds: float) -> float:
        low, high = self.x
        share = (min(max(seconds, low), high) - low) / max(high - low, 1e-9)
        return self.left + share * (WIDTH - self.left - RIGHT)

    def level(self, value: float) -> float:
        low, high = self.y
        if self.log:
            value, low, high = (math.log10(max(v, 1e-12)) for v in (value, low, high))
        share = (value - low) / max(high - low, 1e-9)
        return self.bottom - min(max(share, 0.0), 1.0) * (self.bottom - self.top)

    def y_axis(self, ticks: Iterable[tuple[float, str]], title: str) -> None:
        for value, label in ticks:
            y = number(self.level(value))
            self.parts.append(
                f'<line x1="{self.left}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" class="grid"/>'
            )
            self.parts.append(text(self.left - 8, self.level(value) + 4, label, anchor="end"))
        middle = (self.top + self.bottom) / 2
        self.parts.append(
            f'<text transform="translate(13 {number(middle)}) rotate(-90)" class="t axis" '
            f'text-anchor="middle">{escape(title)}</text>'
        )

    def x_axis(self) -> None:
        low, high = self.x
        step = nice_step(high - low, 12)
        digits = max(0, -math.floor(math.log10(step)))
        base = self.bottom
        self.parts.append(
            f'<line x1="{self.left}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}" class="base"/>'
        )
        for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
            x = self.at(i * step)
            place = f'x1="{number(x)}" x2="{number(x)}"'
            self.parts.append(f'<line {place} y1="{base}" y2="{base + 4}" class="base tick"/>')
            label = f"{i * step:.{digits}f}"
            self.parts.append(text(x, base + 16, label, "t tick", "middle"))
        self._x_title()

    def ticks(self, ticks: Iterable[tuple[float, str]]) -> None:
        """The axis of a plot whose `x` is not the time of the run."""
        ends = (number(self.at(x)) for x in self.x)
        place = 'x1="{}" x2="{}"'.format(*ends)
        self.parts.append(f'<line {place} y1="{self.bottom}" y2="{self.bottom}" class="base"/>')
        for value, label in ticks:
            self.parts.append(text(self.at(value), self.bottom + 16, label, "t tick", "middle"))
        self._x_title()

    def _x_title(self) -> None:
        middle = (self.left + WIDTH - RIGHT) / 2
        self.parts.append(text(middle, self.height - 6, self.x_title, "t axis", "middle"))

    def line(self, points: Sequence[tuple[float, float]], css: str) -> None:
        joined = " ".join(f"{number(self.at(x))},{number(self.level(y))}" for x, y in points)
        self.parts.append(f'<polyline points="{joined}" class="line {css}"/>')

    def bar(
        self, start: float, end: float, y: float, height: float, css: str, name: str, label: str
    ) -> None:
        """From `start` to `end` at pixel `y`; `name` in full, `label` inside it if it fits."""
        left, right = self.at(start), self.at(end)
        width = max(right - left, 1.5)
        self.parts.append(
            f'<rect x="{number(left)}" y="{number(y)}" width="{number(width)}" '
            f'height="{number(height)}" rx="2" class="{css}"><title>{escape(name)}</title></rect>'
        )
        if label and len(label) * LABEL_CHARACTER + 6 <= width:
            self.parts.append(text(left + 4, y + height - 4, label, "t on-bar"))

    def marks(self, points: Iterable[tuple[float, float]], css: str, shape: str) -> int:
        """Points as one path, a cell of two pixels drawn once; returns how many cells there are.

        So the size of a drawing is bounded by its area, whatever the history.
        """
        cells = {(round(self.at(x) / 2) * 2, round(self.level(y) / 2) * 2) for x, y in points}
        if cells:
            path = "".join(f"M{x} {y}{shape}" for x, y in sorted(cells))
            self.parts.append(f'<path d="{path}" class="{css}"/>')
        return len(cells)

    def svg(self, more: str = "") -> str:
        """`more`: attributes, for a page with a script."""
        box = f'viewBox="0 0 {WIDTH} {number(self.height)}"'
        name = f'role="img" aria-label="{escape(self.name)}"'
        return f"<svg {box} {name}{more}>{''.join(self.parts)}</svg>"
