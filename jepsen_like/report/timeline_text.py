"""A counterexample for a terminal, in plain characters and as wide as it may be.

    process 0  |write x 1| |write x 2|
    process 1                          |read x -> 1|
    order           1            2           X
    then holds      1            2

The same values as the drawing of the pages. Where the words do not fit, the operations are
numbered and the numbers are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from jepsen_like.history import Operation
from jepsen_like.report import words
from jepsen_like.report.timeline import Bar, Row, Timeline, counterexample

__all__ = ["render"]

EDGES: Final = 2  # characters: the two ends of a bar
GAP: Final = 1
OPERATIONS_MAX: Final = 20
ORDER: Final = "order"
HELD: Final = "then holds"


def render(
    offending: Sequence[Operation], details: Mapping[str, Any], *, width: int = 80
) -> list[str]:
    """Lines of at most `width` characters; none if there is nothing to draw."""
    if not offending or len(offending) > OPERATIONS_MAX:
        return []
    drawn = _drawn(offending, details, ())
    lines = _lines(drawn)
    if _fits(lines, width):
        return lines
    numbers = [f"#{i}" for i in range(1, len(offending) + 1)]
    lines = _lines(_drawn(offending, details, numbers))
    if not _fits(lines, width):
        return []
    told = [
        words.cut(words.printable(f"{number} {words.operation_text(operation)}"), width - 24)
        for number, operation in zip(numbers, offending, strict=True)
    ]
    return [*lines, *(line for line in told if len(line) <= width)]


def _fits(lines: Sequence[str], width: int) -> bool:
    return all(len(line) <= width for line in lines)


def _drawn(
    offending: Sequence[Operation], details: Mapping[str, Any], labels: Sequence[str]
) -> Timeline:
    return counterexample(
        offending,
        details,
        width_of=lambda label: float(len(label) + EDGES),
        gap=GAP,
        labels=labels,
    )


def _lines(drawn: Timeline) -> list[str]:
    names = [row.name for row in drawn.rows]
    left = max(len(name) for name in (*names, HELD)) + 1
    lines = []
    for row in drawn.rows:
        lines += _row(row, left)
    if drawn.states:
        lines.append(_marks(ORDER, _numbers(drawn.rows), left))
    held = []
    for n, state in enumerate(drawn.states):
        if not n or drawn.states[n - 1].label != state.label:
            held.append((state.start, state.label))
    if held:
        lines.append(_marks(HELD, held, left))
    return [words.printable(line).rstrip() for line in lines]


def _row(row: Row, left: int) -> list[str]:
    lines = [row.name.ljust(left), *[" " * left] * (row.lanes - 1)]
    for bar in row.bars:
        line = lines[bar.lane].ljust(left + round(bar.start))
        lines[bar.lane] = line + _bar(bar)
    return lines


def _bar(bar: Bar) -> str:
    if bar.css == "hidden":
        return f"({bar.label})"
    room = max(round(bar.end) - round(bar.start) - EDGES, len(bar.label))
    return f"|{bar.label.ljust(room, '-')}{'>' if bar.is_open else '|'}"


def _numbers(rows: Sequence[Row]) -> list[tuple[float, str]]:
    marks = []
    for row in rows:
        for bar in row.bars:
            if bar.point is not None:
                marks.append((bar.point, bar.number))
            elif bar.css == "stuck":
                marks.append(((bar.start + bar.end) / 2, "X"))
    return sorted(marks)


def _marks(name: str, marks: Sequence[tuple[float, str]], left: int) -> str:
    """Each at its moment, or right of the one before it where these touch."""
    line = name.ljust(left)
    for at, label in marks:
        line = line.ljust(left + round(at))
        line += label if line.endswith(" ") else f" {label}"
    return line
