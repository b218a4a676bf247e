"""Lists that are appended to: each read shows the whole order of the versions before it.

The longest list that anybody read of a key is the order of its versions. Values must be unique
per key. What nobody read has no place in the order, except that it came after everything that
was read and does not hold it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

from jepsen_like.checks.cycles import RW, WR, WW, Edge, Graph
from jepsen_like.checks.transactions.transaction import Anomaly, Transaction

__all__ = ["WRITES", "infer", "tell"]

WRITES: Final = "append"
UNREAD_MAX: Final = 16  # appends of one key that nobody read and that still get edges


class _Versions:
    """What is known of the order of versions."""

    def __init__(self, found: Sequence[Transaction]) -> None:
        self.writer: dict[tuple[Any, Any], int] = {}
        self.failed: dict[tuple[Any, Any], int] = {}
        self.twice: list[tuple[Any, Any, int, int]] = []
        self.longest: dict[Any, tuple[Any, ...]] = {}
        self.reader: dict[Any, int] = {}  # of the longest
        longest, writer = self.longest, self.writer
        for i, (_, steps, outcome) in enumerate(found):
            for what, key, value in steps:
                if what == "r":
                    if outcome == "ok" and value and len(value) > len(longest.get(key, ())):
                        longest[key] = value
                        self.reader[key] = i
                elif outcome == "fail":
                    self.failed[key, value] = i
                else:
                    version = (key, value)
                    if version in writer:
                        self.twice.append((key, value, writer[version], i))
                    writer[version] = i
        self.order = {
            key: [self.writer.get((key, value), -1) for value in values]
            for key, values in self.longest.items()
        }
        # Where the order names what nobody appended, or what failed: looked for once per key
        self.bad = {key: order.index(-1) for key, order in self.order.items() if -1 in order}
        self.elements = {key: frozenset(values) for key, values in self.longest.items()}


def infer(found: Sequence[Transaction], graph: Graph) -> list[Anomaly]:
    """Add what must have come before what; the anomalies that need no cycle to be seen."""
    versions = _Versions(found)
    anomalies = list(_of_orders(versions))
    for key, order in versions.order.items():
        pairs = [(a, b) for a, b in pairwise(order) if a != b and a >= 0 <= b]
        graph.add_all(pairs, WW, key)
    updaters: dict[tuple[Any, int], list[int]] = {}
    for i, transaction in enumerate(found):
        if transaction.outcome == "ok":
            _add_reads(i, transaction, versions, graph, updaters, anomalies)
    for (key, length), updating in updaters.items():
        if len(updating) > 1:
            names = " and ".join(f"T{n + 1}" for n in range(min(len(updating), 4)))
            sentence = f"{names} all read {key} at the same {length} elements and then appended"
            anomalies.append(Anomaly("lost-update", sentence, tuple(updating[:4])))
    _add_unread(found, versions, graph)
    return anomalies


def _of_orders(versions: _Versions) -> Iterator[Anomaly]:
    for key, value, first, second in versions.twice:
        sentence = f"T1 and T2 both appended {value!r} to {key}: values must be unique"
        yield Anomaly("duplicate-append", sentence, (first, second))
    for key, values in versions.longest.items():
        if len(set(values)) < len(values):
            again = next(v for n, v in enumerate(values) if v in values[:n])
            sentence = f"T1 read {key} with {again!r} in it more than once"
            yield Anomaly("duplicate-elements", sentence, (versions.reader[key],))


def _add_reads(
    i: int,
    transaction: Transaction,
    versions: _Versions,
    graph: Graph,
    updaters: dict[tuple[Any, int], list[int]],
    anomalies: list[Anomaly],
) -> None:
    own: dict[Any, list[Any]] = {}  # appended by this transaction so far
    known: dict[Any, tuple[Any, ...]] = {}  # what it read, before its own
    for what, key, value in transaction.steps:
        mine = own.get(key)
        if what != "r":
            if mine is None:
                own[key] = [value]
                if key in known:
                    updaters.setdefault((key, len(known[key])), []).append(i)
            else:
                mine.append(value)
            continue
        seen = value or ()
        if mine:
            if list(seen[-len(mine) :]) != mine:
                sentence = f"T1 appended {mine} to {key} and then read {list(seen)}"
                anomalies.append(Anomaly("internal", sentence, (i,)))
                continue
            seen = seen[: -len(mine)]
        if key in known and known[key] != seen:
            sentence = f"T1 read {key} as {list(known[key])} and then as {list(seen)}"
            anomalies.append(Anomaly("internal", sentence, (i,)))
        known[key] = seen
        _add_read(i, key, seen, versions, graph, anomalies)


def _add_read(
    i: int,
    key: Any,
    seen: tuple[Any, ...],
    versions: _Versions,
    graph: Graph,
    anomalies: list[Anomaly],
) -> None:
    longest = versions.longest.get(key, ())
    length = len(seen)
    if longest[:length] != seen:
        other = versions.reader[key]
        sentence = (
            f"T1 read {key} as {list(seen)} and T2 as {list(longest)}: neither begins the other"
        )
        anomalies.append(Anomaly("incompatible-order", sentence, (i, other)))
        return
    order = versions.order.get(key, [])
    if length:
        value, writer = seen[-1], order[length - 1]
        if versions.bad and versions.bad.get(key, length) < length:
            element = seen[versions.bad[key]]
            if (key, element) in versions.failed:
                sentence = f"T1 read {element!r} in {key}, which T2 appended and took back"
                shown = (i, versions.failed[key, element])
                anomalies.append(Anomaly("G1a", sentence, shown))
            else:
                sentence = f"T1 read {element!r} in {key}, which nobody appended"
                anomalies.append(Anomaly("garbage-read", sentence, (i,)))
        if writer >= 0:
            graph.add(writer, i, WR, key)
            if writer != i and length < len(order) and order[length] == writer:
                sentence = f"T1 read {key} up to {value!r}, in the middle of what T2 appended"
                anomalies.append(Anomaly("G1b", sentence, (i, writer)))
    if length < len(order) and order[length] >= 0:
        graph.add(i, order[length], RW, key)


def _add_unread(found: Sequence[Transaction], versions: _Versions, graph: Graph) -> None:
    """An append that is not in the longest list came after whoever read that list."""
    unread: dict[Any, list[int]] = {}
    for (key, value), writer in versions.writer.items():
        if found[writer].outcome == "ok" and value not in versions.elements.get(key, ()):
            unread.setdefault(key, []).append(writer)
    for key, writers in unread.items():
        reader = versions.reader.get(key)
        if reader is not None and len(writers) <= UNREAD_MAX:
            for writer in writers:
                graph.add(reader, writer, RW, key)


def tell(edge: Edge, names: dict[int, str], found: Sequence[Transaction]) -> str:
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
