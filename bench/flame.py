"""Flame graphs: where CPU time went, as a drawing.

Samples are folded stacks: frames divided by `;`, the outermost first, with how often each was
found. In the drawing a frame stands on the one that called it and is as wide as its share of the
samples. A pointer over it shows its whole name. Pure: the same samples give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Final

__all__ = ["flame", "parsed", "pruned", "without_common_roots"]

WIDTH: Final = 1100
ROW: Final = 17
HEAD: Final = 30
CHARACTER: Final = 6.3
"""Pixels, of the font."""

LEAST_SHOWN: Final = 0.004
"""Of all samples: frames below are left to the one that called them."""

_COLOURS: Final = {
    "nodes": "#e08a4a",
    "shardrouter": "#d9b64a",
    "asyncio": "#9ab7d9",
    "uvloop": "#9ab7d9",
    "msgspec": "#8fc79a",
    "sqlite3": "#8fc79a",
}
_OTHER: Final = "#c4c4c4"
_STYLE: Final = (
    "svg{background:#fff}text{font:11px ui-monospace,monospace;fill:#111}"
    ".t{font:600 13px system-ui,sans-serif}rect{stroke:#fff;stroke-width:.5}"
)


@dataclass
class _Frame:
    own: int = 0
    total: int = 0
    children: dict[str, _Frame] = field(default_factory=dict)


def parsed(text: str) -> dict[str, int]:
    """What bench.sampled writes: stack -> samples."""
    lines = (line.rpartition(" ") for line in text.splitlines())
    return {stack: int(count) for stack, _, count in lines}


def without_common_roots(samples: Mapping[str, int]) -> dict[str, int]:
    """Without the frames that all stacks begin with: how a program starts its loop."""
    stacks = [stack.split(";") for stack in samples]
    least = min(map(len, stacks), default=1)
    shared = 0
    while shared < least - 1 and len({stack[shared] for stack in stacks}) == 1:
        shared += 1
    found: dict[str, int] = {}
    for stack, count in zip(stacks, samples.values(), strict=True):
        kept = ";".join(stack[shared:])
        found[kept] = found.get(kept, 0) + count
    return found


def pruned(samples: Mapping[str, int], least: float = LEAST_SHOWN) -> dict[str, int]:
    """Frames that have less than this share of all samples are cut off; what they had is with the
    frame that called them. The sum stays."""
    root = _tree(samples)
    found: dict[str, int] = {}

    def walk(frame: _Frame, path: tuple[str, ...]) -> None:
        own = frame.own
        for name, child in frame.children.items():
            if child.total >= least * root.total:
                walk(child, (*path, name))
            else:
                own += child.total
        if own and path:
            found[";".join(path)] = own
        elif own:
            found["(rare)"] = found.get("(rare)", 0) + own

    walk(root, ())
    return found


def flame(title: str, samples: Mapping[str, int]) -> str:
    """SVG."""
    root = _tree(samples)
    depth = _depth(root)
    height = HEAD + depth * ROW + 8
    scale = WIDTH / max(root.total, 1)
    parts: list[str] = []

    def draw(frame: _Frame, left: int, level: int) -> None:
        for name, child in sorted(frame.children.items()):
            x, y, width = left * scale, height - 8 - (level + 1) * ROW, child.total * scale
            share = child.total / root.total
            room = int((width - 4) / CHARACTER)
            label = name if len(name) <= room else _shortened(name, room)
            words = f'<text x="{x + 2:.1f}" y="{y + 12}">{escape(label)}</text>' if label else ""
            parts.append(
                f"<g><title>{escape(name)}: {child.total} samples, {share:.1%}</title>"
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 1}" '
                f'fill="{_COLOURS.get(name.split(".")[0], _OTHER)}"/>{words}</g>'
            )
            draw(child, left, level + 1)
            left += child.total

    draw(root, 0, 0)
    said = f"{title}: {root.total} samples of CPU time"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(said)}"><style>{_STYLE}</style>'
        f'<text class="t" x="6" y="19">{escape(said)}</text>{"".join(parts)}</svg>\n'
    )


def _shortened(name: str, room: int) -> str:
    """The function's own name says more than its module's."""
    last = name.rpartition(".")[2]
    return last if len(last) <= room else last[:room] if room >= 3 else ""


def _tree(samples: Mapping[str, int]) -> _Frame:
    root = _Frame()
    for stack, count in samples.items():
        frame = root
        frame.total += count
        for name in stack.split(";"):
            frame = frame.children.setdefault(name, _Frame())
            frame.total += count
        frame.own += count
    return root


def _depth(frame: _Frame) -> int:
    return max((1 + _depth(child) for child in frame.children.values()), default=0)
