"""Registers that are read and written: a read shows one version, and not those before it.

Which version came first is known where a transaction read one and then wrote the next, and for
the one that nobody wrote (None): it came before all others. Nothing else is assumed, so what is
found is sound, and less than lists to append to would show. Values must be unique per key.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from jepsen_like.checks.cycles import ONWARD, RW, WR, WW, Edge, Graph, components
from jepsen_like.checks.transactions.transaction import Anomaly, Transaction, Transactions

__all__ = ["WRITES", "infer", "tell"]

WRITES: Final = "w"


def infer(found: Transactions, graph: Graph) -> list[Anomaly]:
    """Add what must have come before what; the anomalies that need no cycle to be seen."""
    anomalies: list[Anomaly] = []
    writer: dict[tuple[Any, Any], int] = {}
    failed: dict[tuple[Any, Any], int] = {}
    overwritten: set[tuple[Any, Any]] = set()  # by the same transaction: nobody may read it
    for i, transaction in enumerate(found):
        last: dict[Any, Any] = {}
        for what, key, value in transaction.steps:
            if what == "r":
                continue
            if transaction.outcome == "fail":
                failed[key, value] = i
                continue
            if (key, value) in writer:
                sentence = f"T1 and T2 both wrote {value!r} to {key}: values must be unique"
                anomalies.append(Anomaly("duplicate-write", sentence, (writer[key, value], i)))
            writer[key, value] = i
            if key in last:
                overwritten.add((key, last[key]))
            last[key] = value
    readers: dict[tuple[Any, Any], list[int]] = {}
    after: dict[tuple[Any, Any], list[Any]] = {}  # (key, version) -> versions known to follow it
    for i, transaction in enumerate(found):
        if transaction.outcome != "ok":
            continue
        anomalies += _own(i, transaction)
        for key, value, then in _outside(transaction):
            readers.setdefault((key, value), []).append(i)
            if then is not None:
                after.setdefault((key, value), []).append(then[0])
            if value is None or (key, value) in writer:
                if (key, value) in overwritten and writer[key, value] != i:
                    sentence = f"T1 read {value!r} in {key}, which T2 went on to overwrite"
                    anomalies.append(Anomaly("G1b", sentence, (i, writer[key, value])))
            elif (key, value) in failed:
                sentence = f"T1 read {value!r} in {key}, which T2 wrote and took back"
                anomalies.append(Anomaly("G1a", sentence, (i, failed[key, value])))
            else:
                sentence = f"T1 read {value!r} in {key}, which nobody wrote"
                anomalies.append(Anomaly("garbage-read", sentence, (i,)))
    anomalies += _lost_updates(found)
    anomalies += _add_edges(graph, found, writer, readers, after)
    return anomalies


def _outside(transaction: Transaction) -> Iterator[tuple[Any, Any, tuple[Any] | None]]:
    """(key, version read, (the version it then wrote last,)) of reads of what others wrote."""
    wrote: set[Any] = set()
    last = {key: value for what, key, value in transaction.steps if what != "r"}
    for what, key, value in transaction.steps:
        if what != "r":
            wrote.add(key)
        elif key not in wrote:
            yield key, value, (last[key],) if key in last else None


def _own(i: int, transaction: Transaction) -> Iterator[Anomaly]:
    """What a transaction wrote or read, it must go on to see."""
    known: dict[Any, Any] = {}
    for what, key, value in transaction.steps:
        if what == "r" and key in known and known[key] != value:
            sentence = f"T1 knew {key} to be {known[key]!r} and then read {value!r}"
            yield Anomaly("internal", sentence, (i,))
        known[key] = value


def _lost_updates(found: Transactions) -> Iterator[Anomaly]:
    updaters: dict[tuple[Any, Any], list[int]] = {}
    for i, transaction in enumerate(found):
        if transaction.outcome == "ok":
            for key, value in {(k, v) for k, v, then in _outside(transaction) if then is not None}:
                updaters.setdefault((key, value), []).append(i)
    for (key, value), updating in updaters.items():
        if len(updating) > 1:
            names = " and ".join(f"T{n + 1}" for n in range(min(len(updating), 4)))
            sentence = f"{names} all read {key} as {value!r} and then wrote it"
            yield Anomaly("lost-update", sentence, tuple(updating[:4]))


def _add_edges(
    graph: Graph,
    found: Transactions,
    writer: dict[tuple[Any, Any], int],
    readers: dict[tuple[Any, Any], list[int]],
    after: dict[tuple[Any, Any], list[Any]],
) -> Iterator[Anomaly]:
    cyclic = dict(_cyclic_keys(writer, after))
    for key, value in cyclic.items():
        sentence = f"the versions of {key} follow each other in a circle, T1 wrote one of them"
        yield Anomaly("cyclic-versions", sentence, (writer[key, value],))
    final: dict[tuple[int, Any], Any] = {}
    for (key, value), i in writer.items():
        if found[i].outcome == "ok" or (key, value) in readers:
            final[i, key] = value
    writers: dict[Any, list[int]] = {}
    for i, key in final:
        if (key, None) in readers and key not in cyclic:
            writers.setdefault(key, []).append(i)
    for key, writing in writers.items():
        unwritten = graph.point()
        for i in writing:
            graph.add(unwritten, i, ONWARD, key)
        updating = set(writing)
        for reader in dict.fromkeys(readers[key, None]):
            if reader not in updating:
                graph.add(reader, unwritten, RW, key)
                continue
            # The point leads back to a reader that wrote as well, which is no cycle
            for i in writing:
                graph.add(reader, i, RW, key)
    for (key, value), reading in readers.items():
        source = writer.get((key, value))
        for reader in reading:
            if source is not None:
                graph.add(source, reader, WR, key)
        if key in cyclic:
            continue
        for following in after.get((key, value), ()):
            target = writer[key, following]
            if source is not None:
                graph.add(source, target, WW, key)
            if value is not None:
                for reader in reading:
                    graph.add(reader, target, RW, key)


def _cyclic_keys(
    writer: dict[tuple[Any, Any], int], after: dict[tuple[Any, Any], list[Any]]
) -> Iterator[tuple[Any, Any]]:
    """(key, one of its versions) where the order of versions contradicts itself."""
    numbers: dict[tuple[Any, Any], int] = {version: n for n, version in enumerate(writer)}
    versions = list(writer)
    source, target = [], []
    for (key, value), following in after.items():
        if (key, value) in numbers:
            for then in following:
                source.append(numbers[key, value])
                target.append(numbers[key, then])
    for component in components(len(versions), source, target):
        yield versions[component[0]]


def tell(edge: Edge, names: dict[int, str], found: Transactions) -> str:
    """An edge of these kinds in a sentence."""
    a, b = names[edge.source], names[edge.target]
    key = edge.key
    mine = [value for what, k, value in found[edge.source].steps if what == WRITES and k == key]
    theirs = [value for what, k, value in found[edge.target].steps if what == WRITES and k == key]
    if edge.kind == WW:
        return f"{b} read {mine[-1]!r} in {key}, written by {a}, and then wrote {theirs[-1]!r}"
    if edge.kind == WR:
        return f"{b} read {mine[-1]!r} in {key}, which {a} wrote"
    read = next(v for what, k, v in found[edge.source].steps if what == "r" and k == key)
    return f"{a} read {key} as {read!r}, before {b} wrote {theirs[-1]!r}"
