"""Text written by hand whose figures are those of the answers, so that a new run cannot make it
false: what stands in double brackets is looked up.

    [[= TARGET]]                                     what was measured of a target
    [[QUESTION | CASE | CONTESTANT | FIGURE]]        a median
    [[... | max]]  [[... | min]]  [[... | /1000]]    one of several; in another unit

TARGET, CONTESTANT and FIGURE may have `*` in them, as file names may: of several, two are named and
of more the least and the most.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Final

from bench.question import Measured

__all__ = ["UNMEASURED", "filled", "unmeasured"]

UNMEASURED: Final = "(not measured)"
"""In place of a figure that no answer has: its question was not asked, or who it is of did not take
part."""

_PLACE: Final = re.compile(r"\[\[(.+?)\]\]")
_REDUCERS: Final[dict[str, Callable[[list[float]], list[float]]]] = {
    "max": lambda values: [max(values)],
    "min": lambda values: [min(values)],
    "/1000": lambda values: [value / 1000 for value in values],
}


def filled(text: str, found: Sequence[Measured]) -> str:
    """The text with its figures. Raises ValueError for a place that cannot be read."""
    return _PLACE.sub(lambda place: _said(_values(place[1], found)), text)


def unmeasured(text: str, found: Sequence[Measured]) -> list[str]:
    """The places of the text that have no figure."""
    return [place for place in _PLACE.findall(text) if not _values(place, found)]


def _values(place: str, found: Sequence[Measured]) -> list[float]:
    if place.startswith("="):
        wanted = place[1:].strip()
        verdicts = [verdict for one in found for verdict in one.answer.verdicts]
        return [v.measured for v in verdicts if fnmatchcase(v.what, wanted)]
    fields = [field.strip() for field in place.split("|")]
    if len(fields) < 4 or any(field not in _REDUCERS for field in fields[4:]):
        raise ValueError(f"[[{place}]] is not QUESTION | CASE | CONTESTANT | FIGURE")
    question, case, contestant, figure = fields[:4]
    values = [
        spread.median
        for one in found
        if one.question == question
        for line in one.answer.lines
        if line.case == case and fnmatchcase(line.contestant, contestant)
        for name, spread in line.figures.items()
        if fnmatchcase(name, figure)
    ]
    for field in fields[4:]:
        values = _REDUCERS[field](values) if values else values
    return values


def _said(values: Sequence[float]) -> str:
    if not values:
        return UNMEASURED
    words = list(dict.fromkeys(map(_short, values)))
    if len(words) <= 2:
        return " and ".join(words)
    return f"{_short(min(values))} to {_short(max(values))}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.2g}"
