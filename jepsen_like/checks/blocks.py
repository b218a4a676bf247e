"""Linearizability in O(n log n), for an object whose written values are distinct.

If every value is written once, each read names its write. Gibbons and Korach (1997, "Testing
shared memories", section 4) look at a write and its reads as one zone. Here a *block* is a write,
or the initial value, with the chain of compare-and-sets that starts at it and the reads of each:
in any explanation its operations are adjacent. So what must hold is

1. inside a block: none of its operations was over before one that the chain puts earlier began;
2. between blocks, with f the first answer of a block and l its last request: those with f < l
   (forward: both instants are inside any placement) do not overlap, and none with f >= l
   (backward: it can stand anywhere in [l, f]) lies within a forward one.

Together they are sufficient: `_in_order` builds the order. What the rules leave out:
- An indeterminate operation whose value nobody observed is dropped: where an explanation has it,
  one without it exists. One that was observed took effect and never returned; what was observed
  may itself be the link that observes another, so they are followed back.
- A cas that did not match constrains like "this value did not stand". It cannot make an
  impossible history possible, so "no" ignores it; afterwards each is put at the first place it
  can have, and if one has none, another order may have one: then the answer is `unclear`.

Repeated values: `unclear`, for the search to settle. Pure; positions stand for operations.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal, TypeAlias

from jepsen_like.checks.search import NEVER
from jepsen_like.models.model import LINK, MISMATCH, READ, WRITE, Versions

__all__ = ["Answer", "decide"]

BEFORE = -NEVER  # when the initial value was written
INITIAL = -1  # its position

_CHANGES = (WRITE, LINK)

YES: Literal["yes"] = "yes"
NO: Literal["no"] = "no"
UNCLEAR: Literal["unclear"] = "unclear"


@dataclass(frozen=True, slots=True)
class Answer:
    answer: Literal["yes", "no", "unclear"]
    order: tuple[int, ...] = ()  # for yes, if it was asked for
    why: str = ""  # for no
    culprits: tuple[int, ...] = ()  # for no: operations that contradict each other


class _Contradiction(Exception):
    def __init__(self, why: str, *culprits: int) -> None:
        super().__init__(why)
        self.answer = Answer(NO, (), why, tuple(i for i in culprits if i != INITIAL))


class _Repeated(Exception):
    """A value was written twice: which write a read saw is not known."""


def decide(
    versions: Versions, sent: Sequence[int], returned: Sequence[int], *, want_order: bool = True
) -> Answer:
    """`returned` is NEVER for indeterminate operations; times are greater than -NEVER."""
    try:
        return _Blocks(versions, sent, returned).decide(want_order)
    except _Repeated:
        return Answer(UNCLEAR)
    except _Contradiction as found:
        return found.answer


# First answer, last request, the version the block begins with, and whose answer and request
# these are. A plain tuple: there is one per write.
_Zone: TypeAlias = tuple[int, int, Any, int, int]
_by_first, _by_last = itemgetter(0), itemgetter(1)


class _Blocks:
    def __init__(self, versions: Versions, sent: Sequence[int], returned: Sequence[int]) -> None:
        self._versions = versions
        self._sent = sent
        self._returned = returned
        self._writer: dict[Any, int] = {versions.initial: INITIAL}
        self._next: dict[Any, int] = {}  # version -> the link that replaced it
        self._reads: dict[Any, list[int]] = {}
        self._rivals: tuple[int, ...] = ()  # two links from one version
        self._mismatches: list[int] = []  # and what is legal everywhere
        self._roots: list[Any] = [versions.initial]

    def decide(self, want_order: bool) -> Answer:
        self._gather()
        forward, backward = self._zones()
        self._compare(forward, backward)
        if not want_order and not self._mismatches:
            return Answer(YES)
        order, standing = self._in_order(forward, backward)
        if self._mismatches:
            placed = self._place_mismatches(order, standing)
            return Answer(UNCLEAR) if placed is None else Answer(YES, tuple(placed))
        return Answer(YES, tuple(order))

    def _gather(self) -> None:
        returned, writer, reads = self._returned, self._writer, self._reads
        _, kinds, befores, afters = self._versions
        lost: dict[Any, int] = {}
        ambiguous = set()
        for i, kind in enumerate(kinds):
            if kind == READ:
                value = afters[i]
                if returned[i] != NEVER:
                    if value in reads:
                        reads[value].append(i)
                    else:
                        reads[value] = [i]
            elif kind in _CHANGES:
                value = afters[i]
                if returned[i] == NEVER:
                    if value in lost:
                        ambiguous.add(value)
                    lost[value] = i
                elif value in writer:
                    raise _Repeated
                else:
                    writer[value] = i
                    if kind == WRITE:
                        self._roots.append(value)
                    else:
                        self._link(befores[i], i)
            elif returned[i] != NEVER:
                self._mismatches.append(i)
        if lost:
            self._recover(lost, ambiguous)
        if self._rivals:
            raise _Contradiction("two operations replaced the same value", *self._rivals)
        if not reads.keys() <= writer.keys():
            unwritten = next(value for value in reads if value not in writer)
            raise _Contradiction("read a value that nobody wrote", reads[unwritten][0])
        if not self._next.keys() <= writer.keys():
            unwritten = next(value for value in self._next if value not in writer)
            raise _Contradiction("followed a value that nobody wrote", self._next[unwritten])

    def _link(self, before: Any, i: int) -> None:
        if before in self._next:
            # no contradiction yet: `before` may turn out to have been written twice
            self._rivals = self._rivals or (self._next[before], i)
        self._next[before] = i

    def _recover(self, lost: dict[Any, int], ambiguous: set[Any]) -> None:
        """Count those indeterminate operations as done whose value was observed."""
        _, kinds, befores, _ = self._versions
        needed = [v for v in lost if v in self._reads or v in self._next]
        while needed:
            value = needed.pop()
            if value not in lost:
                continue  # observed in two ways
            if value in ambiguous or value in self._writer:
                raise _Repeated  # observed, and two operations may have written it
            i = self._writer[value] = lost.pop(value)
            if kinds[i] == WRITE:
                self._roots.append(value)
                continue
            before = befores[i]
            self._link(before, i)
            if before in lost:
                needed.append(before)

    def _zones(self) -> tuple[list[_Zone], list[_Zone]]:
        sent, returned, afters = self._sent, self._returned, self._versions.after
        reads, following, writer = self._reads, self._next, self._writer
        forward: list[_Zone] = []
        backward: list[_Zone] = []
        visited = 0
        for root in self._roots:
            version = root
            i = writer[root]
            first = last = BEFORE
            if i != INITIAL:
                first, last = returned[i], sent[i]
            first_op = last_op = i
            while True:
                visited += 1
                if version in reads:
                    latest, latest_op = last, last_op
                    for read in reads[version]:
                        over = returned[read]
                        if over < last:
                            raise _Contradiction("read a value from the future", read, last_op)
                        if over < first:
                            first, first_op = over, read
                        if sent[read] > latest:
                            latest, latest_op = sent[read], read
                    last, last_op = latest, latest_op
                if version not in following:
                    break
                i = following[version]
                over = returned[i]
                if over < last:
                    raise _Contradiction("replaced a value that was seen later", i, last_op)
                if over < first:
                    first, first_op = over, i
                if sent[i] > last:
                    last, last_op = sent[i], i
                version = afters[i]
            zone = (first, last, root, first_op, last_op)
            (forward if first < last else backward).append(zone)
        if visited != len(writer):
            raise _Contradiction("each of these follows another of them", *self._cycle())
        return forward, backward

    def _cycle(self) -> list[int]:
        """Links that no chain from a root reaches follow each other in a circle."""
        afters = self._versions.after
        reached = set()
        for root in self._roots:
            version = root
            reached.add(version)
            while version in self._next:
                version = afters[self._next[version]]
                reached.add(version)
        start = next(v for v in self._writer if v not in reached)
        cycle = []
        version = start
        while True:
            i = self._next[version]
            cycle.append(i)
            version = afters[i]
            if version == start:
                return cycle

    def _compare(self, forward: list[_Zone], backward: list[_Zone]) -> None:
        """Both are sorted on the way, for `_in_order`."""
        forward.sort(key=_by_first)
        backward.sort(key=_by_last)
        end = BEFORE
        for j, zone in enumerate(forward):
            if zone[0] < end:
                raise self._clash(forward[j - 1], zone)
            end = zone[1]
        starts = [zone[0] for zone in forward]
        starts.append(NEVER)
        j = -1  # the last forward one that begins before
        end = BEFORE
        for zone in backward:
            first, last, *_ = zone
            while starts[j + 1] < last:
                j += 1
                end = forward[j][1]
            if end > first:
                raise self._clash(forward[j], zone)

    def _clash(self, one: _Zone, other: _Zone) -> _Contradiction:
        ends = dict.fromkeys((*one[3:], *other[3:]))
        return _Contradiction("each of two values was there before the other", *ends)

    def _in_order(self, forward: list[_Zone], backward: list[_Zone]) -> tuple[list[int], list[Any]]:
        """The blocks, a backward one after the forward ones that begin before its last request.

        Two backward blocks between the same forward ones go by last request: the later one's
        answers all come after it, so none was over before the earlier one's requests.
        """
        roots: list[Any] = []
        placed = 0
        for first, _, root, _, _ in forward:
            while placed < len(backward) and backward[placed][1] <= first:
                roots.append(backward[placed][2])
                placed += 1
            roots.append(root)
        roots += [zone[2] for zone in backward[placed:]]
        sent_of, afters = self._sent.__getitem__, self._versions.after
        writer, reads, following = self._writer, self._reads, self._next
        order: list[int] = []
        standing: list[Any] = []
        for version in roots:
            i = writer[version]
            while True:
                if i != INITIAL:
                    order.append(i)
                if version in reads:
                    of_version = reads[version]
                    if len(of_version) > 1:
                        of_version = sorted(of_version, key=sent_of)
                    order += of_version
                if self._mismatches:
                    standing.extend([version] * (len(order) - len(standing)))
                if version not in following:
                    break
                i = following[version]
                version = afters[i]
        return order, standing

    def _place_mismatches(self, order: list[int], standing: list[Any]) -> list[int] | None:
        """Put each into the gap (after `gap` operations) that is the first it can have."""
        sent, returned = self._sent, self._returned
        kinds, befores = self._versions.kind, self._versions.before
        begun: list[int] = []  # the latest request of the operations up to here
        latest = BEFORE
        for i in order:
            latest = max(latest, sent[i])
            begun.append(latest)
        ends: list[int] = []  # the first answer of the operations from here on
        soonest = NEVER
        for i in reversed(order):
            soonest = min(soonest, returned[i])
            ends.append(soonest)
        ends.reverse()
        versions = [self._versions.initial, *standing]  # in each gap
        changes = list(range(1, len(versions) + 1))  # the next gap with another version
        for gap in range(len(versions) - 2, -1, -1):
            if versions[gap] == versions[gap + 1]:
                changes[gap] = changes[gap + 1]
        by_request = sorted(self._mismatches, key=sent.__getitem__)
        by_answer = sorted(self._mismatches, key=returned.__getitem__)
        chosen: dict[int, int] = {}
        over = 0
        floor = 0  # the last gap of a mismatch that was over before this one began
        for i in by_request:
            while over < len(by_answer) and returned[by_answer[over]] < sent[i]:
                floor = max(floor, chosen[by_answer[over]])
                over += 1
            gap = max(floor, bisect_left(ends, sent[i]))
            if kinds[i] == MISMATCH and gap < len(versions) and versions[gap] == befores[i]:
                gap = changes[gap]
            if gap > bisect_right(begun, returned[i]):
                return None
            chosen[i] = gap
        inserted: dict[int, list[int]] = {}
        for i in by_request:
            inserted.setdefault(chosen[i], []).append(i)
        placed: list[int] = []
        for gap in range(len(order) + 1):
            placed.extend(inserted.get(gap, ()))
            if gap < len(order):
                placed.append(order[gap])
        return placed
