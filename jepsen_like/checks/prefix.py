"""The shortest part from the beginning of a history that no order explains.

Nothing sent after an answer t can have happened before it, so an illegal history has a first
answer at which it became illegal; what came later is of no interest to whoever reads the verdict.
What was still in flight at t may have happened or not: a pure operation is dropped, another never
returned. A prefix of a legal history is legal, so the blocks find that answer by bisection; the
searches find it anyway, it is the one that no order gets past.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain

from jepsen_like.checks.layout import NEVER, Interval, Limit
from jepsen_like.checks.objects import Judged, Object, decide, intervals
from jepsen_like.checks.search import search
from jepsen_like.history import Operation
from jepsen_like.models.model import LINK, READ, WRITE, Model, call_of

__all__ = ["Prefix", "shortest_illegal_prefix"]


@dataclass(frozen=True)
class Prefix:
    """`kept`: the operations of the object that matter until `end`, in the order of sending."""

    end: int  # the first answer at which the history was illegal
    kept: tuple[int, ...]
    stuck: int  # in `kept`: the operation answered at `end`
    shortest: bool  # False: the time for looking ran out

    def intervals(self, mine: Object) -> list[Interval]:
        """Of the kept ones; one that was in flight at the end never returned."""
        found = intervals(mine.operations[i] for i in self.kept)
        return [i if i.returned <= self.end else i._replace(returned=NEVER) for i in found]


def shortest_illegal_prefix(mine: Object, judged: Judged, model: Model, limit: Limit) -> Prefix:
    if judged.stuck is not None:
        return _until(mine, model, judged.stuck, range(len(mine.operations)), shortest=True)
    return _bisect(mine, judged, model, limit)


def _until(mine: Object, model: Model, stuck: int, of: Iterable[int], *, shortest: bool) -> Prefix:
    end = mine.returned(stuck)
    kept = []
    for i in of:
        operation = mine.operations[i]
        in_time = operation.outcome != "info" and operation.returned_ns <= end
        if in_time or (operation.sent_ns <= end and not model.is_pure(call_of(operation))):
            kept.append(i)
    kept.sort(key=lambda i: mine.operations[i].sent_ns)
    return Prefix(end, tuple(kept), kept.index(stuck), shortest)


def _bisect(mine: Object, judged: Judged, model: Model, limit: Limit) -> Prefix:
    """Prefixes by answers; then only the operations that contradict, and what they follow from."""
    operations = mine.operations
    answers = sorted(o.returned_ns for o in operations if o.outcome != "info")
    low, high = 0, len(answers) - 1  # the answer looked for is one of these
    culprits = judged.culprits
    shortest = True
    while low < high:
        if limit.clock() > limit.deadline:
            shortest = False
            break
        middle = (low + high) // 2
        kept, cut = _cut(operations, answers[middle], model)
        found = decide(cut, model, want_order=False)
        if found is not None and found.answer == "unclear":
            searched = search(model, intervals(cut), limit)
            if searched.answer == "no" and searched.stuck is not None:
                everything = range(len(operations))
                return _until(mine, model, kept[searched.stuck], everything, shortest=True)
            shortest = shortest and searched.answer == "yes"
        if found is not None and found.answer == "no":
            high = middle
            culprits = tuple(kept[i] for i in found.culprits)
        else:
            low = middle + 1
    end = answers[high]
    stuck = next(
        i for i, o in enumerate(operations) if o.returned_ns == end and o.outcome != "info"
    )
    relevant = _what_they_follow_from(mine, model, {*culprits, stuck})
    reduced = _until(mine, model, stuck, relevant, shortest=shortest)
    # The contradiction is in these few, and the search names the answer that shows it.
    found_again = search(model, reduced.intervals(mine), limit)
    if found_again.answer == "no" and found_again.stuck is not None:
        again = reduced.kept[found_again.stuck]
        return _until(mine, model, again, reduced.kept, shortest=shortest)
    return _until(mine, model, stuck, range(len(operations)), shortest=shortest)


def _cut(operations: list[Operation], end: int, model: Model) -> tuple[list[int], list[Operation]]:
    """The positions of what is left of a history that ends at `end`, and how it looks then."""
    kept: list[int] = []
    cut: list[Operation] = []
    for i, operation in enumerate(operations):
        if operation.sent_ns > end:
            continue
        if operation.returned_ns <= end:
            cut.append(operation)
        elif model.is_pure(call_of(operation)):
            continue
        else:
            cut.append(replace(operation, outcome="info"))
        kept.append(i)
    return kept, cut


def _what_they_follow_from(mine: Object, model: Model, culprits: set[int]) -> list[int]:
    """With the writers of what they read, and the links these stand on.

    The rest writes other values: as each is written once, whatever it did cannot help.
    """
    versions = model.versions(mine.operations)
    assert versions is not None
    writers: dict[object, list[int]] = {}
    for i, kind in enumerate(versions.kind):
        if kind in (WRITE, LINK):
            writers.setdefault(versions.after[i], []).append(i)
    found = set(culprits)
    waiting = list(culprits)
    while waiting:
        i = waiting.pop()
        needs = chain(
            writers.get(versions.after[i], ()) if versions.kind[i] == READ else (),
            writers.get(versions.before[i], ()) if versions.kind[i] == LINK else (),
        )
        for j in needs:
            if j not in found:
                found.add(j)
                waiting.append(j)
    return sorted(found)
