"""What each process is promised about its own operations: the four session guarantees.

Terry et al. (1994), each judged key by key: is there one order of the versions of a key in which
no process sees, after its own

- read a, an older version by a read (monotonic-reads), nor its write come earlier
  (writes-follow-reads);
- write a, an older version by a read (read-your-writes), nor its next write come earlier
  (monotonic-writes)?

All four at once are sequential consistency of each key alone ("coherence"). A guarantee is a set
of pairs of versions that must be in order, and an order exists unless these form a cycle.
Versions that a compare-and-set ties together have nothing between them, and count as one block.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Final

from jepsen_like.checks.cycles import ONWARD, WW, Edge, Graph, Search, components
from jepsen_like.checks.versions import Event, NotDistinct, Versions, versions_of
from jepsen_like.history import Operation
from jepsen_like.result import Verdict

__all__ = ["GUARANTEES", "sessions", "sequential"]

GUARANTEES: Final = (
    "read-your-writes",
    "monotonic-reads",
    "monotonic-writes",
    "writes-follow-reads",
)


def sequential(history: Iterable[Operation], initial: Any = None) -> Verdict:
    """One order of the operations on each key explains them, and keeps the order of processes."""
    return _judge(list(history), GUARANTEES, initial, "sequential")


def sessions(
    history: Iterable[Operation], guarantee: str | None = None, initial: Any = None
) -> Verdict:
    """`guarantee` None: each of the four by itself; `details` says which hold."""
    operations = list(history)
    if guarantee is not None:
        return _judge(operations, (guarantee,), initial, guarantee)
    verdicts = [_judge(operations, (name,), initial, name) for name in GUARANTEES]
    holds = {verdict.check: verdict.validity for verdict in verdicts}
    worst = next((v for v in verdicts if v.validity == "invalid"), None) or next(
        (v for v in verdicts if v.validity == "unknown"), verdicts[0]
    )
    reason = f"{worst.check}: {worst.reason}"
    if worst.validity == "valid":
        reason = f"all four guarantees hold for {worst.operations} operations"
    details = {**worst.details, "guarantees": holds}
    return Verdict("sessions", worst.validity, reason, worst.operations, worst.offending, details)


def _judge(
    history: Sequence[Operation], guarantees: Sequence[str], initial: Any, check: str
) -> Verdict:
    """Never raises for what the history holds."""
    try:
        versions = versions_of(history, initial)
        contradiction = _Order(versions, guarantees, initial).contradiction()
    except NotDistinct as exc:
        return Verdict(check, "unknown", str(exc))
    except Exception as exc:  # a broken operation must not look like a verdict
        reason = f"the checker crashed: {type(exc).__name__}: {exc}"
        return Verdict(check, "unknown", reason, details={"trace": traceback.format_exc()})
    count = sum(map(len, versions.events.values()))
    if contradiction is None:
        keys = len({event.key for events in versions.events.values() for event in events})
        reason = f"{count} reads and writes on {keys} keys fit one order of versions for each"
        return Verdict(check, "valid", reason, count)
    sentence, positions = contradiction
    shown = sorted(set(positions), key=lambda i: (history[i].process, history[i].sent_ns))
    return Verdict(check, "invalid", sentence, count, tuple(history[i] for i in shown))


class _SoFar:
    """The blocks that a process has met: each leads to a point, and each point to the next."""

    def __init__(self) -> None:
        self.index: dict[int, int] = {}  # of a block: which point is its own
        self.points: list[int] = []
        self.newest: dict[int, Event] = {}  # of the versions met in a block


class _Order:
    """The pairs that must be in order, as a graph over blocks of versions."""

    def __init__(self, versions: Versions, guarantees: Sequence[str], initial: Any) -> None:
        self._versions = versions
        self._guarantees = frozenset(guarantees)
        self._initial = initial
        self._node: dict[tuple[Any, Any], int] = {}  # of a version: its block
        self._place: dict[tuple[Any, Any], int] = {}  # in the block
        self._problem: tuple[str, list[int]] | None = None
        self._blocks()
        self._graph = Graph(max(self._node.values(), default=-1) + 1)

    def contradiction(self) -> tuple[str, list[int]] | None:
        """A sentence, and the positions of the operations that show it."""
        if self._problem is None:
            for events in self._versions.events.values():
                by_key: dict[int | str, list[Event]] = {}
                for event in events:
                    by_key.setdefault(event.key, []).append(event)
                for sequence in by_key.values():
                    self._add(sequence)
            self._add_initial()
        if self._problem is not None:
            return self._problem
        graph = self._graph
        for members in components(graph.nodes, graph.source, graph.target):
            cycle = Search(graph, members).cycle((WW,), (WW,))
            if cycle is not None:
                return self._told(cycle)
        return None

    def _blocks(self) -> None:
        """Versions that follow each other at once, because a cas read one and wrote the next."""
        after: dict[tuple[Any, Any], tuple[Any, Any]] = {}
        before: set[tuple[Any, Any]] = set()
        for events in self._versions.events.values():
            for read, write in pairwise(events):
                if read.position != write.position:
                    continue
                this, then = (read.key, read.version), (write.key, write.version)
                if this in after:
                    rival = self._versions.writer[after[this]]
                    sentence = f"two compare-and-sets replaced {read.version!r}{_of(read.key)}"
                    self._problem = self._problem or (sentence, [rival, read.position])
                after[this] = then
                before.add(then)
        known = dict.fromkeys(self._versions.writer)
        for events in self._versions.events.values():
            for event in events:
                place = (event.key, event.version)
                known[event.key, self._initial] = None
                if place not in self._versions.writer and event.version != self._initial:
                    sentence = f"{event.version!r}{_of(event.key)} was read, and nobody wrote it"
                    self._problem = self._problem or (sentence, [event.position])
                known[place] = None
        number = 0
        for first in known:
            if first in before:
                continue
            version: tuple[Any, Any] | None = first
            place_in_block = 0
            while version is not None and version not in self._node:
                self._node[version] = number
                self._place[version] = place_in_block
                version = after.get(version)
                place_in_block += 1
            number += 1
        for version in known:
            if version not in self._node:  # a circle of cas, each of which needs the one before
                sentence = f"compare-and-sets{_of(version[0])} follow each other in a circle"
                self._problem = self._problem or (sentence, [self._versions.writer[version]])

    def _add(self, events: Sequence[Event]) -> None:
        """The pairs of one process on one key."""
        wants = self._guarantees
        read: Event | None = None
        write: Event | None = None
        reads, writes = _SoFar(), _SoFar()
        for event in events:
            if event.is_write:
                if write is not None and "monotonic-writes" in wants:
                    self._before(write, event)
                if "writes-follow-reads" in wants:
                    self._lead(reads, event)
                if "read-your-writes" in wants:
                    self._remember(writes, event)
                write = event
            else:
                if read is not None and "monotonic-reads" in wants:
                    self._before(read, event)
                if "read-your-writes" in wants:
                    self._lead(writes, event)
                if "writes-follow-reads" in wants:
                    self._remember(reads, event)
                read = event

    def _before(self, first: Event, second: Event) -> None:
        """`first`'s version is older than `second`'s, or the same if `second` is a read."""
        a, b = (first.key, first.version), (second.key, second.version)
        if self._node[a] != self._node[b]:
            self._graph.add(self._node[a], self._node[b], WW, (first, second))
            return
        is_wrong = self._place[a] >= self._place[b] + (0 if second.is_write else 1)
        if is_wrong and first.position != second.position and self._problem is None:
            told = f"process {first.process} {_did(first)} and then {_did(second)}"
            if a == b:
                sentence = f"{told}, the same version"
            else:
                sentence = f"{told}, but {first.version!r} came after {second.version!r}"
            self._problem = (sentence, [first.position, second.position])

    def _remember(self, so_far: _SoFar, event: Event) -> None:
        node = self._at(event)
        if node in so_far.index:
            newest = so_far.newest[node]
            if self._place[event.key, event.version] > self._place[newest.key, newest.version]:
                so_far.newest[node] = event
            return
        point = self._graph.point()
        if so_far.points:
            self._graph.add(so_far.points[-1], point, ONWARD, (None, None))
        self._graph.add(node, point, WW, (event, None))
        so_far.index[node] = len(so_far.points)
        so_far.points.append(point)
        so_far.newest[node] = event

    def _lead(self, so_far: _SoFar, event: Event) -> None:
        """All that was remembered is older than `event`'s version."""
        node = self._at(event)
        at = so_far.index.get(node)
        if at is None:
            last = len(so_far.points)
        else:
            # The points from here on would lead the block back to itself
            last = at
            self._before(so_far.newest[node], event)
            for other in list(so_far.index)[at + 1 :]:
                self._before(so_far.newest[other], event)
        if last > 0:
            self._graph.add(so_far.points[last - 1], node, ONWARD, (None, event))

    def _at(self, event: Event) -> int:
        return self._node[event.key, event.version]

    def _add_initial(self) -> None:
        """What is there at first came before all that was written."""
        for (key, version), node in self._node.items():
            first = self._node.get((key, self._initial))
            if first is not None and first != node and version != self._initial:
                self._graph.add(first, node, WW, (None, None))

    def _told(self, cycle: Sequence[Edge]) -> tuple[str, list[int]]:
        sentences: list[str] = []
        positions: list[int] = []
        first: Event | None = None
        for edge in cycle:
            begins, ends = edge.key
            first = begins or first
            if first is None or ends is None:
                continue
            sentences.append(
                f"process {first.process} {_did(first)} and then {_did(ends)}{_of(ends.key)}"
            )
            positions += [first.position, ends.position]
            first = None
        what = "no order of the versions explains both: " if len(sentences) > 1 else ""
        return what + "; ".join(sentences), positions


def _did(event: Event) -> str:
    return f"{'wrote' if event.is_write else 'read'} {event.version!r}"


def _of(key: int | str) -> str:
    return f" of {key}" if key != "" else ""
