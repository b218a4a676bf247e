"""Delta-atomicity: how stale must reads be allowed to be for an illegal history to be legal?

The smallest d such that the history is linearizable once every operation that only looks may
take effect up to d before it was sent. That is the Delta of Golab, Li and Shah (PODC 2011,
"Analyzing consistency properties for fun and profit"): a history is Delta-atomic if moving the
start of each read Delta earlier makes it atomic. 0: it is linearizable. More delay allows more
orders, so d is found by bisection. None: no delay explains it, as when a value was never
written, or two operations replaced the same one.

A number says more than "invalid": 3 ms is a lease that overlaps, 20 s is a replica cut off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jepsen_like.checks import blocks
from jepsen_like.checks.layout import Limit
from jepsen_like.checks.objects import Object, intervals
from jepsen_like.checks.search import search
from jepsen_like.models.model import Model, call_of

__all__ = ["Delta", "smallest_delta"]


@dataclass(frozen=True)
class Delta:
    """`ns` None and `known`: no staleness makes it legal. Not `known`: out of time or budget."""

    ns: int | None
    known: bool = True


def smallest_delta(mine: Object, model: Model, limit: Limit, *, guess: int | None = None) -> Delta:
    """`limit.configurations` bounds each try, the deadline all of them.

    A good `guess`, such as what a few of the operations need, saves most of the tries.
    """
    operations = mine.operations
    if not operations:
        return Delta(0)
    trial = _Trial(mine, model, limit)
    low = -1  # not enough
    high = max(o.sent_ns for o in operations) - min(o.sent_ns for o in operations)
    is_enough = False  # `high` was tried
    likely = [] if guess is None else [guess - 1, guess]
    while high - low > 1 or not is_enough:
        if likely:
            tried = likely.pop()
            if not low < tried < high:
                continue
        else:
            tried = (low + high) // 2 if is_enough else high
        legal = trial.legal_with(tried)
        if legal is None:
            return Delta(None, known=False)
        if legal:
            high, is_enough = tried, True
        elif tried == high:
            return Delta(None)
        else:
            low = tried
    return Delta(high)


class _Trial:
    def __init__(self, mine: Object, model: Model, limit: Limit) -> None:
        operations = mine.operations
        self._model = model
        self._limit = limit
        self._intervals = intervals(operations)
        self._looks = [model.is_pure(call_of(o)) for o in operations]
        self._versions = model.versions(operations)
        self._sent = [o.sent_ns for o in operations]
        self._returned = [mine.returned(i) for i in range(len(operations))]

    def legal_with(self, delta_ns: int) -> bool | None:
        """None: not found out within the limit."""
        if self._limit.clock() > self._limit.deadline:
            return None
        sent = [
            t - delta_ns if looks else t for t, looks in zip(self._sent, self._looks, strict=True)
        ]
        return self._blocks(sent) if self._versions is not None else self._search(sent)

    def _blocks(self, sent: Sequence[int]) -> bool | None:
        assert self._versions is not None
        answer = blocks.decide(self._versions, sent, self._returned, want_order=False).answer
        return self._search(sent) if answer == "unclear" else answer == "yes"

    def _search(self, sent: Sequence[int]) -> bool | None:
        moved = [i._replace(sent=t) for i, t in zip(self._intervals, sent, strict=True)]
        answer = search(self._model, moved, self._limit).answer
        return None if answer == "unknown" else answer == "yes"
