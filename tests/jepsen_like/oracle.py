"""How many histories were judged by brute force, and which algorithms had to agree with it.

Each comparison is counted where it is made, so that what a run says it proved is what it did.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

from jepsen_like.history import Operation

__all__ = ["AT_LEAST", "compared", "summary", "too_few"]

AT_LEAST = int(os.environ.get("ORACLE_AT_LEAST", "0"))
"""`make nightly` sets it: fewer different histories are a failure."""

_histories: set[int] = set()
_comparisons: Counter[str] = Counter()


def compared(history: Sequence[Operation], *algorithms: str) -> None:
    """Each of the algorithms was compared with brute force, or with the definition, on this."""
    _histories.add(hash(str(history)))
    _comparisons.update(algorithms)


def summary() -> str:
    """The last line of a run; nothing if nothing was compared."""
    if not _histories:
        return ""
    told = ", ".join(f"{name} {count}" for name, count in sorted(_comparisons.items()))
    return (
        f"{len(_histories)} different histories were judged by brute force and by "
        f"{len(_comparisons)} algorithms: {told}"
    )


def too_few() -> bool:
    return len(_histories) < AT_LEAST
