"""Lists that are appended to: each read shows the whole order of the versions before it.

The longest list that anybody read of a key is the order of its versions. Values must be unique
per key. What nobody read has no place in the order, except that it came after everything that
was read and does not hold it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress, pairwise
from typing import Any, Final, TypeAlias

from jepsen_like.checks.cycles import RW, WR, WW, Edge, Graph
from jepsen_like.checks.transactions.transaction import Anomaly, Step, Transactions

__all__ = ["WRITES", "infer", "tell"]

WRITES: Final = "append"
UNREAD_MAX: Final = 16  # appends of one key that nobody read and that still get edges

_List: TypeAlias = tuple[Any, ...]


def infer(found: Transactions, graph: Graph) -> list[Anomaly]:
    """Add what must have come before what; the anomalies that need no cycle to be seen."""
    anomalies = _Anomalies()
    for steps in _by_key(found).values():
        _Key(steps, found, anomalies).infer(graph)
    return anomalies.in_order()


@dataclass
class _Steps:
    """On one key, in the order of the history: who read what, and who appended what."""

    key: Any
    readers: list[int] = field(default_factory=list)
    seen: list[_List | None] = field(default_factory=list)
    appenders: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    failed: dict[Any, int] = field(default_factory=dict)  # value -> who appended it in vain


def _by_key(found: Transactions) -> dict[Any, _Steps]:
    of: dict[Any, _Steps] = {}
    for i, (outcome, steps) in enumerate(zip(found.outcome, found.steps, strict=True)):
        for what, key, value in steps:
            mine = of.get(key)
            if mine is None:
                mine = of[key] = _Steps(key)
            if outcome == "ok":
                if what == "r":
                    mine.readers.append(i)
                    mine.seen.append(value)
                else:
                    mine.appenders.append(i)
                    mine.values.append(value)
            elif what != "r":
                if outcome == "fail":
                    mine.failed[value] = i
                else:
                    mine.appenders.append(i)
                    mine.values.append(value)
    return of


_Place: TypeAlias = tuple[int, int]  # a transaction, and its first step on the key


@dataclass
class _Anomalies:
    """With the places that showed them, since keys are looked at one after the other."""

    of_appends: list[tuple[_Place, Anomaly]] = field(default_factory=list)
    of_orders: list[tuple[_Place, Anomaly]] = field(default_factory=list)
    of_reads: list[tuple[_Place, Anomaly]] = field(default_factory=list)
    of_updates: list[tuple[_Place, Anomaly]] = field(default_factory=list)

    def in_order(self) -> list[Anomaly]:
        kinds = (self.of_appends, self.of_orders, self.of_reads, self.of_updates)
        return [anomaly for kind in kinds for _, anomaly in sorted(kind, key=lambda pair: pair[0])]


class _Key:
    """What is known of the versions of one key."""

    def __init__(self, steps: _Steps, found: Transactions, anomalies: _Anomalies) -> None:
        self._steps = steps
        self._key = steps.key
        self._found = found
        self._anomalies = anomalies
        self._seen: list[_List] = [value or () for value in steps.seen]
        self._writer = dict(zip(steps.values, steps.appenders, strict=True))
        self._updates: dict[int, list[int]] = {}  # length read -> who appended after that
        self._longest: _List = ()
        self._longest_reader = -1
        lengths = list(map(len, self._seen))
        most = max(lengths, default=0)
        if most:
            first = lengths.index(most)
            self._longest, self._longest_reader = self._seen[first], steps.readers[first]
        self._order = [self._writer.get(version, -1) for version in self._longest]

    def infer(self, graph: Graph) -> None:
        order, key = self._order, self._key
        if len(self._writer) < len(self._steps.values):
            self._tell_repeated()
        if len(set(self._longest)) < len(self._longest):
            self._tell_twice_in_one()
        pairs = [(a, b) for a, b in pairwise(order) if a != b and a >= 0 <= b]
        is_plain = len(pairs) + 1 >= len(order)  # each version of another transaction
        graph.add_all(pairs, WW, key)
        readers, seen = self._of_others()
        lengths = list(map(len, seen))
        if -1 in order:
            self._tell_unknown(readers, lengths)
        if not is_plain:
            self._tell_in_the_middle(readers, lengths)
        last = map([-1, *order].__getitem__, lengths)  # who wrote the last version that was read
        following = map([*order, -1].__getitem__, lengths)  # and the first that was not
        pairs = [(w, i) for w, i in zip(last, readers, strict=True) if w >= 0 and w != i]
        graph.add_all(pairs, WR, key)
        pairs = [(i, w) for w, i in zip(following, readers, strict=True) if w >= 0 and w != i]
        graph.add_all(pairs, RW, key)
        self._add_unread(graph)
        self._tell_lost_updates()

    def _of_others(self) -> tuple[Sequence[int], Sequence[_List]]:
        """Who read, and what without their own appends, as far as it begins the longest."""
        readers, seen = self._steps.readers, self._seen
        again = {a for a, b in pairwise(readers) if a == b}
        again.update(set(readers).intersection(self._steps.appenders))
        if again:  # who touches the key more than once must see its own steps
            once = [i not in again for i in readers]
            readers, seen = list(compress(readers, once)), list(compress(seen, once))
            for i in sorted(again):
                for value in self._own(i, self._found.steps[i]):
                    readers.append(i)
                    seen.append(value)
        longest = self._longest
        beginning = {n: longest[:n] for n in set(map(len, seen))}
        begins = [beginning[len(value)] == value for value in seen]
        if all(begins):
            return readers, seen
        for i, value, is_begin in zip(readers, seen, begins, strict=True):
            if not is_begin:
                sentence = (
                    f"T1 read {self._key} as {list(value)} and T2 as {list(longest)}: "
                    "neither begins the other"
                )
                self._tell(i, "incompatible-order", sentence, self._longest_reader)
        return list(compress(readers, begins)), list(compress(seen, begins))

    def _own(self, i: int, steps: Sequence[Step]) -> Iterator[_List]:
        """What a transaction with several steps on the key read, without what it had appended."""
        key = self._key
        mine: list[Any] = []  # appended by this transaction so far
        known: _List | None = None  # what it read, before its own
        for what, k, value in steps:
            if k != key:
                continue
            if what != "r":
                if not mine and known is not None:
                    self._updates.setdefault(len(known), []).append(i)
                mine.append(value)
                continue
            seen = value or ()
            if mine:
                if list(seen[-len(mine) :]) != mine:
                    sentence = f"T1 appended {mine} to {key} and then read {list(seen)}"
                    self._tell(i, "internal", sentence)
                    continue
                seen = seen[: -len(mine)]
            if known is not None and known != seen:
                sentence = f"T1 read {key} as {list(known)} and then as {list(seen)}"
                self._tell(i, "internal", sentence)
            known = seen
            yield seen

    def _tell_lost_updates(self) -> None:
        for length, updating in self._updates.items():
            if len(updating) > 1:
                shown = tuple(updating[:4])
                names = " and ".join(f"T{n + 1}" for n in range(len(shown)))
                told = f"{names} all read {self._key} at the same {length} elements"
                anomaly = Anomaly("lost-update", f"{told} and then appended", shown)
                self._anomalies.of_updates.append((self._place(shown[0]), anomaly))

    def _tell_unknown(self, readers: Sequence[int], lengths: Sequence[int]) -> None:
        """Reads of what failed, or of what nobody appended."""
        at = self._order.index(-1)
        element = self._longest[at]
        failed = self._steps.failed.get(element)
        for i, length in zip(readers, lengths, strict=True):
            if length <= at:
                continue
            if failed is None:
                sentence = f"T1 read {element!r} in {self._key}, which nobody appended"
                self._tell(i, "garbage-read", sentence)
            else:
                sentence = f"T1 read {element!r} in {self._key}, which T2 appended and took back"
                self._tell(i, "G1a", sentence, failed)

    def _tell_in_the_middle(self, readers: Sequence[int], lengths: Sequence[int]) -> None:
        """Reads of the first and not of the next of what one transaction appended."""
        order = self._order
        inside = {n for n, (a, b) in enumerate(pairwise(order), 1) if a == b >= 0}
        if inside.isdisjoint(lengths):
            return
        for i, length in zip(readers, lengths, strict=True):
            if length in inside and order[length] != i:
                value = self._longest[length - 1]
                sentence = f"T1 read {self._key} up to {value!r}, in the middle of what T2 appended"
                self._tell(i, "G1b", sentence, order[length])

    def _tell(self, i: int, name: str, sentence: str, *others: int) -> None:
        anomaly = Anomaly(name, sentence, (i, *others))
        self._anomalies.of_reads.append((self._place(i), anomaly))

    def _place(self, i: int) -> _Place:
        return i, next(
            at for at, (_, key, _) in enumerate(self._found.steps[i]) if key == self._key
        )

    def _tell_repeated(self) -> None:
        writer: dict[Any, int] = {}
        for i, value in zip(self._steps.appenders, self._steps.values, strict=True):
            if value in writer:
                told = f"T1 and T2 both appended {value!r} to {self._key}: values must be unique"
                anomaly = Anomaly("duplicate-append", told, (writer[value], i))
                self._anomalies.of_appends.append((self._place(i), anomaly))
            writer[value] = i

    def _tell_twice_in_one(self) -> None:
        values = self._longest
        again = next(v for n, v in enumerate(values) if v in values[:n])
        sentence = f"T1 read {self._key} with {again!r} in it more than once"
        anomaly = Anomaly("duplicate-elements", sentence, (self._longest_reader,))
        self._anomalies.of_orders.append((self._place(self._longest_reader), anomaly))

    def _add_unread(self, graph: Graph) -> None:
        """An append that is not in the longest list came after whoever read that list."""
        if self._longest_reader < 0:
            return
        outcome = self._found.outcome
        unread = [
            self._writer[version]
            for version in self._writer.keys() - self._longest
            if outcome[self._writer[version]] == "ok"
        ]
        if len(unread) <= UNREAD_MAX:
            for i in sorted(unread):
                graph.add(self._longest_reader, i, RW, self._key)


def tell(edge: Edge, names: dict[int, str], found: Transactions) -> str:
    """An edge of these kinds in a sentence."""
    a, b = names[edge.source], names[edge.target]
    first, second = found[edge.source].steps, found[edge.target].steps
    key = edge.key
    mine = [value for what, k, value in first if what == WRITES and k == key]
    theirs = [value for what, k, value in second if what == WRITES and k == key]
    if edge.kind == WW:
        return f"{b} appended {theirs[0]!r} to {key} after {a} had appended {mine[-1]!r}"
    if edge.kind == WR:
        return f"{b} read {mine[-1]!r} in {key}, which {a} appended"
    reads = [list(value or ()) for what, k, value in first if what == "r" and k == key]
    missing = next((v for v in theirs if not any(v in read for read in reads)), theirs[0])
    return f"{a} read {key} as {reads[0]}, without {missing!r}, which {b} appended"
