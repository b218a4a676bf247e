"""Which known name somebody may have meant: for the hint of an error about an unknown one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["closest", "distance"]

LENGTH_MAX: Final = 64
"""Of names that are compared: longer ones are nobody's typing error."""


def distance(a: str, b: str) -> int:
    """Levenshtein's: characters put in, left out or changed."""
    before = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y)))
        before = row
    return before[-1]


def closest(wanted: str, known: Iterable[str], share: int = 2) -> list[str]:
    """The known names that are nearest to one, if any is near: at most one of `share` characters
    differs, upper and lower case aside. PostgreSQL's rule for columns is one of two."""
    best, found = LENGTH_MAX, list[str]()
    if len(wanted) > LENGTH_MAX:
        return found
    for name in sorted(set(known)):
        if len(name) > LENGTH_MAX or abs(len(name) - len(wanted)) > best:
            continue
        apart = distance(wanted.lower(), name.lower())
        if apart > max(len(wanted), len(name)) // share or apart > best:
            continue
        if apart < best:
            best, found = apart, []
        found.append(name)
    return found
