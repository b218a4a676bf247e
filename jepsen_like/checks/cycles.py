"""What must have come before what: a graph over transactions, and the cycles in it.

Nodes below `transactions` are transactions; the others are points that stand for many edges at
once (the moments of the clock, a key that nobody had written), so that the graph stays linear in
the history however many clients there were. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

__all__ = [
    "WW", "WR", "RW", "PROCESS", "REALTIME", "ONWARD", "KIND_NAMES",
    "Edge", "Graph", "components", "Search",
]  # fmt: skip

WW: Final = 0  # overwrote
WR: Final = 1  # was read
RW: Final = 2  # read what was overwritten: an anti-dependency
PROCESS: Final = 3  # the same process asked for both, one after the other
REALTIME: Final = 4  # was over before the other was sent
ONWARD: Final = 5  # from a point to a transaction: the second half of the edge to the point

KIND_NAMES: Final = ("ww", "wr", "rw", "process", "realtime")


LOOK_AT_MAX: Final = 1_000_000  # nodes, for one cycle; a twentieth once there is one


class Edge(NamedTuple):
    source: int
    target: int
    kind: int
    key: Any


@dataclass
class Graph:
    """Edges in columns: four appends an edge."""

    transactions: int
    nodes: int = 0
    source: list[int] = field(default_factory=list)
    target: list[int] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    key: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.nodes = max(self.nodes, self.transactions)

    def point(self) -> int:
        self.nodes += 1
        return self.nodes - 1

    def add(self, source: int, target: int, kind: int, key: Any = None) -> None:
        if source != target:
            self.source.append(source)
            self.target.append(target)
            self.kind.append(kind)
            self.key.append(key)

    def add_all(self, pairs: Sequence[tuple[int, int]], kind: int, key: Any = None) -> None:
        """As `add` of each (source, target); no node may lead to itself."""
        if not pairs:
            return
        source, target = zip(*pairs, strict=True)
        self.source += source
        self.target += target
        self.kind += [kind] * len(pairs)
        self.key += [key] * len(pairs)

    def within(self, inside: Collection[int]) -> Graph:
        """The part of it between these nodes, which keep their numbers."""
        part = Graph(self.transactions, self.nodes)
        for source, target, kind, key in zip(
            self.source, self.target, self.kind, self.key, strict=True
        ):
            if source in inside and target in inside:
                part.add(source, target, kind, key)
        return part

    def edges(self, inside: Collection[int], kinds: Collection[int]) -> dict[int, list[Edge]]:
        """By source: the edges of these kinds between these nodes."""
        out: dict[int, list[Edge]] = {}
        for i, source in enumerate(self.source):
            if source in inside and self.target[i] in inside and self.kind[i] in kinds:
                edge = Edge(source, self.target[i], self.kind[i], self.key[i])
                out.setdefault(source, []).append(edge)
        return out


def components(nodes: int, source: Sequence[int], target: Sequence[int]) -> list[list[int]]:
    """The strongly connected components of more than one node (Tarjan 1972, without recursion).

    Most graphs have none, and putting their nodes in order (Kahn 1962) is how that is found out
    fastest; what has no place in an order is in a cycle, or after one.
    """
    after: list[list[int]] = [[] for _ in range(nodes)]
    before = [0] * nodes  # edges from nodes that are not in order yet
    for a, b in zip(source, target, strict=True):
        after[a].append(b)
        before[b] += 1
    in_order = [node for node in range(nodes) if not before[node]]
    for node in in_order:
        for other in after[node]:
            left = before[other] - 1
            before[other] = left
            if not left:
                in_order.append(other)
    if len(in_order) == nodes:
        return []
    for node in in_order:
        after[node] = []
    index = [0] * nodes  # 0: not seen
    low = [0] * nodes
    done = nodes + 1  # the index of a node whose component is known: above all others
    stack: list[int] = []
    count = 0
    found = []
    for root in range(nodes):
        if index[root] or not after[root]:
            continue
        count += 1
        index[root] = low[root] = count
        stack.append(root)
        path = [(root, iter(after[root]))]
        while path:
            node, rest = path[-1]
            for other in rest:
                if not index[other]:
                    count += 1
                    index[other] = low[other] = count
                    stack.append(other)
                    path.append((other, iter(after[other])))
                    break
                if index[other] < low[node]:
                    low[node] = index[other]
            else:
                path.pop()
                if path and low[node] < low[path[-1][0]]:
                    low[path[-1][0]] = low[node]
                if low[node] == index[node]:
                    at = len(stack) - 1
                    while stack[at] != node:
                        at -= 1
                    members = stack[at:]
                    del stack[at:]
                    for member in members:
                        index[member] = done
                    if len(members) > 1:
                        found.append(members)
    return found


class Search:
    """Shortest cycles within one component."""

    def __init__(self, graph: Graph, members: Iterable[int]) -> None:
        self._all = graph.edges(frozenset(members), range(ONWARD + 1))
        self._looked_at = 0

    def cycle(
        self, first: Collection[int], rest: Collection[int], *, apart: bool = False
    ) -> list[Edge] | None:
        """A shortest cycle that begins with an edge of `first` and goes on with edges of `rest`.

        `apart`: no two anti-dependencies follow each other, around the corner neither.
        """
        best: list[Edge] | None = None
        self._looked_at = 0
        for edges in self._all.values():
            for edge in edges:
                if edge.kind in first:
                    back = self._path(edge, set(rest) | {ONWARD}, apart=apart)
                    if back is not None and (best is None or len(back) + 1 < len(best)):
                        best = [edge, *back]
                    enough = LOOK_AT_MAX // (20 if best else 1)
                    if self._looked_at > enough or (best and len(best) == 2):
                        return best
        return best

    def _path(self, edge: Edge, kinds: set[int], *, apart: bool) -> list[Edge] | None:
        """From the end of `edge` back to its beginning, by breadth first."""
        start = (edge.target, edge.kind == RW)
        came: dict[tuple[int, bool], tuple[tuple[int, bool], Edge] | None] = {start: None}
        waiting = deque([start])
        while waiting:
            place = waiting.popleft()
            self._looked_at += 1
            node, after_rw = place
            if node == edge.source and not (apart and after_rw and edge.kind == RW):
                return _walk_back(came, place)
            for step in self._all.get(node, ()):
                if step.kind not in kinds or (apart and after_rw and step.kind == RW):
                    continue
                # A point only passes on what led to it
                now_rw = apart and (after_rw if step.kind == ONWARD else step.kind == RW)
                there = (step.target, now_rw)
                if there not in came:
                    came[there] = (place, step)
                    waiting.append(there)
        return None


def _walk_back(
    came: dict[tuple[int, bool], tuple[tuple[int, bool], Edge] | None], place: tuple[int, bool]
) -> list[Edge]:
    edges = []
    while (step := came[place]) is not None:
        place, edge = step
        edges.append(edge)
    return edges[::-1]
