"""The shortest part from the beginning of a history that no order explains.

Nothing sent after an answer t can have happened before it, so an illegal history has a first
answer at which it became illegal; what came later is of no interest to whoever reads the verdict.
What was still in flight at t may have happened or not: a pure operation is dropped, another never
returned. A prefix of a legal history is legal, so the blocks find that answer by bisection; the
searches find it anyway, it is the one that no order gets past.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain

from jepsen_like.checks import blocks
from jepsen_like.checks.layout import NEVER, Interval, Intervals, Limit
from jepsen_like.checks.objects import Judged, Object, in_columns, intervals
from jepsen_like.checks.search import search
from jepsen_like.history import Operation
from jepsen_like.models.model import LINK, READ, WRITE, Model, Versions, call_of

__all__ = ["Prefix", "shortest_illegal_prefix", "what_they_follow_from"]


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
    """Prefixes by answers; then only the operations that contradict, and what they follow from.

    A contradiction mostly shows when the last of its operations is answered, so that answer is
    tried first and then those just before it; bisection does what is left.
    """
    operations = mine.operations
    answers = sorted(o.returned_ns for o in operations if o.outcome != "info")
    versions = model.versions(operations)
    assert versions is not None
    cuts = _Cuts(mine, versions)
    low, high = 0, len(answers) - 1  # the answer looked for is one of these
    culprits = judged.culprits
    likely = bisect_left(answers, cuts.answered(culprits), 0, high)
    step = 1  # 0: what is left is between a legal prefix and an illegal one
    shortest = True
    while low < high:
        if limit.clock() > limit.deadline:
            shortest = False
            break
        if likely < high:
            middle = max(low, likely)
        elif step:
            middle = max(low, high - step)
            step *= 2
        else:
            middle = (low + high) // 2
        found = cuts.decide(answers[middle])
        if found.answer == "unclear":
            kept, cut = _cut(operations, answers[middle], model)
            searched = search(model, in_columns(cut), limit)
            if searched.answer == "no" and searched.stuck is not None:
                everything = range(len(operations))
                return _until(mine, model, kept[searched.stuck], everything, shortest=True)
            shortest = shortest and searched.answer == "yes"
        if found.answer == "no":
            high = middle
            culprits = found.culprits
            likely = bisect_left(answers, cuts.answered(culprits), 0, high)
        else:
            low, likely, step = middle + 1, high, 0
    end = answers[high]
    stuck = next(
        i for i, o in enumerate(operations) if o.returned_ns == end and o.outcome != "info"
    )
    relevant = what_they_follow_from(versions, {*culprits, stuck})
    reduced = _until(mine, model, stuck, relevant, shortest=shortest)
    # The contradiction is in these few, and the search names the answer that shows it.
    found_again = search(model, Intervals.of(reduced.intervals(mine)), limit)
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


class _Cuts:
    """What the blocks say of a history that ends earlier, without looking at operations again.

    A read or a compare-and-set that did not match says nothing to them once it has no answer, so
    only what was sent later is left away.
    """

    def __init__(self, mine: Object, versions: Versions) -> None:
        sent = [o.sent_ns for o in mine.operations]
        self._by_sent = sorted(range(len(sent)), key=sent.__getitem__)
        self._sent = [sent[i] for i in self._by_sent]
        self._returned = [mine.returned(i) for i in self._by_sent]
        columns = [[column[i] for i in self._by_sent] for column in versions[1:]]
        self._versions = Versions(versions.initial, *columns)
        self._ends = [mine.returned(i) for i in range(len(sent))]

    def decide(self, end: int) -> blocks.Answer:
        count = bisect_right(self._sent, end)
        initial, *columns = self._versions
        found = blocks.decide(
            Versions(initial, *[column[:count] for column in columns]),
            self._sent[:count],
            [t if t <= end else NEVER for t in self._returned[:count]],
            want_order=False,
        )
        return replace(found, culprits=tuple(self._by_sent[i] for i in found.culprits))

    def answered(self, positions: Iterable[int]) -> int:
        """When the last of these was that ever was."""
        ends = (self._ends[i] for i in positions)
        return max((end for end in ends if end != NEVER), default=NEVER)


def what_they_follow_from(versions: Versions, culprits: Iterable[int]) -> list[int]:
    """`culprits`, the writers of what they read, and the links these stand on.

    The rest writes other values: as each is written once, whatever it did cannot help.
    """
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
