"""One drawing for one answer: a bar for each contestant in each case, with the spread of rounds.

Bars start at zero. It reads without colours too: each bar has its name and its figure beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby
from typing import Final

from bench.question import Line
from jepsen_like.report.svg import number, text

__all__ = ["chart"]

WIDTH: Final = 860
LEFT: Final = 300
"""Of the bars: names stand before them."""
RIGHT: Final = 190
ROW: Final = 20
HEAD: Final = 26
_COLOURS: Final = ("#2563a8", "#c2571a", "#3f8f4f", "#8a4fa8", "#8a7a1a", "#1a8a8a", "#777777")
_STYLE: Final = """
svg { background: #fff; }
.t { font: 12px system-ui, sans-serif; fill: #222; }
.b { font-weight: 600; }
.w { stroke: #222; stroke-width: 1; }
@media (prefers-color-scheme: dark) { svg { background: #16181c; } .t { fill: #ddd; }
.w { stroke: #ddd; } }
"""


def chart(title: str, figure: str, lines: Sequence[Line]) -> str:
    """SVG of the lines that have the figure, in their order."""
    drawn = [line for line in lines if figure in line.figures]
    top = max((line.figures[figure].most for line in drawn), default=1) or 1
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(_names(drawn))}
    parts, y = [text(10, 18, f"{title}: {figure.replace('_', ' ')}", "t b")], HEAD + 4.0
    scale = (WIDTH - LEFT - RIGHT) / top
    for case, group in groupby(drawn, key=lambda line: line.case):
        y += HEAD
        parts.append(text(10, y - 8, case, "t b"))
        for line in group:
            spread = line.figures[figure]
            middle = y + ROW / 2 - 3
            parts.append(text(LEFT - 8, y + 11, line.contestant, "t", "end"))
            parts.append(
                f'<rect x="{LEFT}" y="{number(y)}" width="{number(spread.median * scale)}" '
                f'height="{ROW - 6}" fill="{colours[line.contestant]}"/>'
            )
            ends = [number(LEFT + value * scale) for value in (spread.least, spread.most)]
            parts.append(
                f'<line class="w" x1="{ends[0]}" x2="{ends[1]}" '
                f'y1="{number(middle)}" y2="{number(middle)}"/>'
            )
            words = f"{spread.median:,g} ({spread.least:,g} to {spread.most:,g})"
            parts.append(text(LEFT + spread.most * scale + 6, y + 11, words))
            y += ROW
    height = number(y + 10)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-label="{escape(title)}"><style>{_STYLE}</style>{"".join(parts)}</svg>\n'
    )


def _names(lines: Sequence[Line]) -> list[str]:
    return list(dict.fromkeys(line.contestant for line in lines))
