"""Promises about many values at once, each judged in one pass over the history.

They are weaker than linearizability and cheap at any size: nothing lost, nothing made up, nothing
twice, a constant sum. Each function takes a history and returns a `Verdict`; none of them raises
for what the history holds.
"""

from jepsen_like.checks.collections.bank import constant_total
from jepsen_like.checks.collections.counters import within_bounds
from jepsen_like.checks.collections.ids import unique
from jepsen_like.checks.collections.queues import nothing_lost as queue_loses_nothing
from jepsen_like.checks.collections.sets import nothing_lost as set_loses_nothing

__all__ = [
    "constant_total",
    "within_bounds",
    "unique",
    "set_loses_nothing",
    "queue_loses_nothing",
]
