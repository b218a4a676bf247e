"""Delta-atomicity: how stale must reads be allowed to be for an illegal history to be legal?

The smallest d such that the history is linearizable once every operation that only looks may
take effect up to d before it was sent. That is the Delta of Golab, Li and Shah (PODC 2011,
"Analyzing consistency properties for fun and profit"): a history is Delta-atomic if moving the
start of each read Delta earlier makes it atomic. 0: it is linearizable. None: no delay explains
it, as when a value was never written, or two operations replaced the same one.

What differs: theirs is of reads and writes that all have ended. Here a compare-and-set that did
not match is moved like a read, for it only looks; a write of unknown outcome has no end; and the
answer is in whole nanoseconds. As in the paper, only starts move: an answer is never late.

More delay allows more orders, so d is found by trying. Where the blocks decide, the few operations
that contradict each other at a delay that is too little say how much they need at least, and that
is tried next; bisection bounds the number of tries.

A number says more than "invalid": 3 ms is a lease that overlaps, 20 s is a replica cut off.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jepsen_like.checks import blocks
from jepsen_like.checks.layout import Limit
from jepsen_like.checks.objects import Object, in_columns
from jepsen_like.checks.prefix import what_they_follow_from
from jepsen_like.checks.search import search
from jepsen_like.models.model import Model, Versions, call_of

__all__ = ["Delta", "of_all", "of_each", "smallest_delta"]


CLIMBS_MAX = 8  # tries that only what contradicts has asked for; bisection needs some thirty


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
    likely = [0] if guess is None else [guess, guess - 1]
    climbs = 0
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
            continue
        if tried == high:
            return Delta(None)
        least = trial.least(tried, high)
        low = tried if least is None else least - 1
        if least is not None and least > high:
            return Delta(None)
        if least is not None and climbs < CLIMBS_MAX:
            climbs += 1
            likely = [least]
    return Delta(high)


def of_all(deltas: Iterable[Delta]) -> Delta:
    """What a history needs whose objects need these: one that no delay explains decides."""
    found = list(deltas)
    if any(delta.ns is None and delta.known for delta in found):
        return Delta(None)
    if any(not delta.known for delta in found):
        return Delta(None, known=False)
    return Delta(max((delta.ns or 0 for delta in found), default=0))


def of_each(objects: Iterable[Object], model: Model, limit: Limit) -> dict[int | str, Delta]:
    """Of many objects within one limit, the smallest first, so that most are found out."""
    found = {}
    for mine in sorted(objects, key=lambda mine: len(mine.operations)):
        in_time = limit.clock() <= limit.deadline
        late = Delta(None, known=False)
        found[mine.key] = smallest_delta(mine, model, limit) if in_time else late
    return found


class _Trial:
    def __init__(self, mine: Object, model: Model, limit: Limit) -> None:
        operations = mine.operations
        self._model = model
        self._limit = limit
        self._intervals = in_columns(operations)
        self._looks = [model.is_pure(call_of(o)) for o in operations]
        self._versions = model.versions(operations)
        self._sent = [o.sent_ns for o in operations]
        self._returned = [mine.returned(i) for i in range(len(operations))]
        self._culprits: tuple[int, ...] = ()  # that contradict each other at what was tried last

    def legal_with(self, delta_ns: int) -> bool | None:
        """None: not found out within the limit."""
        if self._limit.clock() > self._limit.deadline:
            return None
        self._culprits = ()
        sent = _moved(self._sent, self._looks, delta_ns)
        return self._blocks(sent) if self._versions is not None else self._search(sent)

    def _blocks(self, sent: Sequence[int]) -> bool | None:
        assert self._versions is not None
        found = blocks.decide(self._versions, sent, self._returned, want_order=False)
        self._culprits = found.culprits
        return self._search(sent) if found.answer == "unclear" else found.answer == "yes"

    def least(self, above: int, at_most: int) -> int | None:
        """What those need that contradicted each other at `above`, which is no more than all need.

        More than `at_most`: that is not enough for them. None: it cannot be told.
        """
        if self._versions is None or not self._culprits:
            return None
        few = what_they_follow_from(self._versions, self._culprits)
        initial, *columns = self._versions
        versions = Versions(initial, *[[column[i] for i in few] for column in columns])
        sent, returned = [self._sent[i] for i in few], [self._returned[i] for i in few]
        looks = [self._looks[i] for i in few]

        def answer(delta_ns: int) -> str:
            moved = _moved(sent, looks, delta_ns)
            return blocks.decide(versions, moved, returned, want_order=False).answer

        if answer(above) != "no":
            return None
        low, high = above, at_most + 1
        while high - low > 1:
            middle = (low + high) // 2
            if answer(middle) == "no":
                low = middle
            else:
                high = middle
        return high

    def _search(self, sent: Sequence[int]) -> bool | None:
        moved = self._intervals._replace(sent=sent)
        answer = search(self._model, moved, self._limit).answer
        return None if answer == "unknown" else answer == "yes"


def _moved(sent: Sequence[int], looks: Sequence[bool], delta_ns: int) -> list[int]:
    return [t - delta_ns if look else t for t, look in zip(sent, looks, strict=True)]
