"""What processes and the clock say of the order of transactions, as edges and without.

Of two transactions the clock orders those of which one was over before the other was sent.
Intervals are closed: what was sent at the instant of an answer is concurrent with it.
"""

from __future__ import annotations

from collections.abc import Iterable

from jepsen_like.checks.cycles import PROCESS, REALTIME, Graph
from jepsen_like.checks.layout import NEVER
from jepsen_like.checks.transactions.transaction import Transactions

__all__ = ["add_time_order", "in_no_order"]


def in_no_order(graph: Graph, found: Transactions) -> list[int]:
    """The nodes that no order of the graph's edges, the processes and the clock has a place for.

    None in a history without a cycle, and that is found out without an edge of the clock: it is
    Kahn's (1962) order, in which a transaction also waits until none is left that was over
    before it was sent. Otherwise: those in cycles, and whatever comes after one.
    """
    after: list[list[int]] = [[] for _ in range(graph.nodes)]
    waits = [1] * graph.transactions + [0] * (graph.nodes - graph.transactions)  # one: the clock
    for a, b in zip(graph.source, graph.target, strict=True):
        after[a].append(b)
        waits[b] += 1
    begun, ended = _by_time(found, range(len(found)))
    for a, b in _of_processes(found, begun, with_the_clock=False):
        after[a].append(b)
        waits[b] += 1
    begun_ns = [found.operations[i].sent_ns for i in begun]
    ended_ns = [found.operations[i].returned_ns for i in ended]
    begun_ns.append(NEVER)  # not before the end
    ended_ns.append(NEVER - 1)
    ended.append(-1)
    is_placed = bytearray(graph.nodes + 1)  # the last one, -1, never is
    ready = [node for node in range(graph.transactions, graph.nodes) if not waits[node]]
    sent = over = 0
    while True:
        while is_placed[ended[over]]:
            over += 1
        soonest = ended_ns[over]
        while begun_ns[sent] <= soonest:
            node = begun[sent]
            sent += 1
            waits[node] -= 1
            if not waits[node]:
                ready.append(node)
        if not ready:
            break
        for node in ready:
            is_placed[node] = 1
            for other in after[node]:
                left = waits[other] - 1
                waits[other] = left
                if not left:
                    ready.append(other)
        ready.clear()
    failed = (i for i, outcome in enumerate(found.outcome) if outcome == "fail")
    for node in failed:
        is_placed[node] = 1  # it has no edges
    return [node for node in range(graph.nodes) if not is_placed[node]]


def add_time_order(graph: Graph, found: Transactions, among: Iterable[int]) -> None:
    """Edges of each process, and of the clock, between those of `among`.

    Of the clock along a chain of moments, one per answer: a transaction leads to the moment of
    its answer, and that which was sent after a moment comes after all that lead to it.
    """
    begun, ended = _by_time(found, among)
    operations = found.operations
    over = [operations[i].returned_ns for i in ended]
    over.append(NEVER)
    at = 0
    moment = -1
    of_clock: list[tuple[int, int]] = []
    for i in begun:
        sent = operations[i].sent_ns
        while over[at] < sent:
            new = graph.point()
            if moment >= 0:
                of_clock.append((moment, new))
            of_clock.append((ended[at], new))
            moment = new
            at += 1
        if moment >= 0:
            of_clock.append((moment, i))
    graph.add_all(of_clock, REALTIME)
    graph.add_all(_of_processes(found, begun, with_the_clock=True), PROCESS)


def _by_time(found: Transactions, among: Iterable[int]) -> tuple[list[int], list[int]]:
    """Those that may have happened as they were sent, and those that ended as they did."""
    outcome = found.outcome
    begun = [i for i in among if outcome[i] != "fail"]
    ended = [i for i in begun if outcome[i] == "ok"]
    begun.sort(key=[operation.sent_ns for operation in found.operations].__getitem__)
    ended.sort(key=[operation.returned_ns for operation in found.operations].__getitem__)
    return begun, ended


def _of_processes(
    found: Transactions, begun: Iterable[int], *, with_the_clock: bool
) -> list[tuple[int, int]]:
    """Each with the next of its process; or only those that the clock does not order as well."""
    outcome, operations = found.outcome, found.operations
    pairs = []
    last: dict[int, int] = {}
    for i in begun:
        operation = operations[i]
        process = operation.process
        if process in last:
            before = last[process]
            if (
                with_the_clock
                or operations[before].returned_ns >= operation.sent_ns
                or outcome[before] != "ok"
            ):
                pairs.append((before, i))
        last[process] = i
    return pairs
