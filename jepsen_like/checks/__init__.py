"""Judges of a history. Standard library only: a verdict can be recomputed anywhere.

Here are the checks as values, for a test: `checks.linearizable()`. The functions that judge are
in the modules, which are imported by their full names, as in
`from jepsen_like.checks.linearizable import check`: here the same names are the values.
"""

from typing import Any

from jepsen_like.checks.experiment import pacelc
from jepsen_like.checks.of_workloads import (
    causal_reverse,
    in_order,
    long_fork,
    lost_writes,
    monotonic,
    nothing_lost,
    same_content,
    sequential,
    sessions,
    staleness,
    strict_serializable,
    total_kept,
    unique,
    within_bounds,
)
from jepsen_like.checks.values import (
    Check,
    Evidence,
    Findings,
    availability,
    linearizable,
    online,
    recovery,
)

__all__ = [
    "Check",
    "Evidence",
    "Findings",
    "availability",
    "causal_reverse",
    "in_order",
    "linearizable",
    "long_fork",
    "lost_writes",
    "monotonic",
    "nothing_lost",
    "online",
    "pacelc",
    "recovery",
    "same_content",
    "sequential",
    "sessions",
    "staleness",
    "strict_serializable",
    "total_kept",
    "unique",
    "within_bounds",
]


def __getattr__(name: str) -> Any:
    made = [known for known in __all__ if known[0].islower()]
    raise AttributeError(f"there is no check {name}; there are {', '.join(made)}")
