"""Causal consistency: nobody sees an effect without its cause.

Operation a is a cause of b if the same process did a before b, or b read what a wrote, or by a
chain of these. The history is causally consistent (CC of Bouajjani et al., POPL 2017, table 2)
unless causes form a circle, a value was read that nobody wrote, or a read returned a version
although a cause of the read had overwritten it. Versions must be distinct per key.

Causes are counted in vector clocks: of each operation, how many events of each process led to it.
"""

from __future__ import annotations

import traceback
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final

from jepsen_like.checks.versions import Event, NotDistinct, Versions, versions_of
from jepsen_like.history import Operation
from jepsen_like.result import Verdict

__all__ = ["causal"]

CHECK: Final = "causal"
CLOCK_ENTRIES_MAX: Final = 20_000_000  # events times processes; each entry takes memory


def causal(history: Iterable[Operation], initial: Any = None) -> Verdict:
    """The verdict over all keys together. Never raises for what the history holds."""
    operations = list(history)
    try:
        versions = versions_of(operations, initial)
        count = sum(map(len, versions.events.values()))
        if count * len(versions.events) > CLOCK_ENTRIES_MAX:
            reason = f"{count} events of {len(versions.events)} processes are too many"
            return Verdict(CHECK, "unknown", reason, count)
        problem = _Causes(versions, initial).problem()
    except NotDistinct as exc:
        return Verdict(CHECK, "unknown", str(exc))
    except Exception as exc:  # a broken operation must not look like a verdict
        reason = f"the checker crashed: {type(exc).__name__}: {exc}"
        return Verdict(CHECK, "unknown", reason, details={"trace": traceback.format_exc()})
    if problem is None:
        reason = f"none of {count} reads and writes saw an effect without its cause"
        return Verdict(CHECK, "valid", reason, count)
    sentence, positions = problem
    shown = tuple(operations[i] for i in sorted(set(positions)))
    return Verdict(CHECK, "invalid", sentence, count, shown)


class _Causes:
    def __init__(self, versions: Versions, initial: Any) -> None:
        self._initial = initial
        self._events = [event for events in versions.events.values() for event in events]
        self._index: list[int] = []  # of each event in its process, from 1
        self._before: list[int] = []  # the event before it in its process, or -1
        self._writer: dict[tuple[Any, Any], int] = {}
        self._writes: dict[tuple[int, int | str], tuple[list[int], list[int]]] = {}
        for events in versions.events.values():
            for index, event in enumerate(events, 1):
                number = len(self._index)
                self._index.append(index)
                self._before.append(number - 1 if index > 1 else -1)
                if event.is_write:
                    self._writer[event.key, event.version] = number
                    places = self._writes.setdefault((event.process, event.key), ([], []))
                    places[0].append(index)
                    places[1].append(number)
        self._clocks: list[dict[int, int] | None] = [None] * len(self._index)

    def problem(self) -> tuple[str, list[int]] | None:
        for event in self._events:
            if not event.is_write and self._source(event) is None and not self._is_first(event):
                return f"{event.version!r} was read, and nobody wrote it", [event.position]
        ordered = self._in_order_of_causes()
        if len(ordered) < len(self._events):
            left = sorted(set(range(len(self._events))) - set(ordered))
            positions = [self._events[i].position for i in left]
            return "operations are causes of each other in a circle", positions[:8]
        for number in ordered:
            found = self._overwritten(number)
            if found is not None:
                return found
        return None

    def _is_first(self, event: Event) -> bool:
        return bool(event.version == self._initial)

    def _source(self, event: Event) -> int | None:
        return self._writer.get((event.key, event.version))

    def _in_order_of_causes(self) -> list[int]:
        """Every event after its causes, with its clock; the rest are in a circle or behind one."""
        after: list[list[int]] = [[] for _ in self._events]
        missing = [0] * len(self._events)
        for number, event in enumerate(self._events):
            for cause in self._causes(number, event):
                after[cause].append(number)
                missing[number] += 1
        ready = deque(number for number, count in enumerate(missing) if not count)
        ordered = []
        while ready:
            number = ready.popleft()
            ordered.append(number)
            clock: dict[int, int] = {}
            for cause in self._causes(number, self._events[number]):
                known = self._clocks[cause]
                assert known is not None
                for process, count in known.items():
                    if count > clock.get(process, 0):
                        clock[process] = count
            clock[self._events[number].process] = self._index[number]
            self._clocks[number] = clock
            for effect in after[number]:
                missing[effect] -= 1
                if not missing[effect]:
                    ready.append(effect)
        return ordered

    def _causes(self, number: int, event: Event) -> Sequence[int]:
        causes = [] if self._before[number] < 0 else [self._before[number]]
        source = None if event.is_write else self._source(event)
        if source is not None:
            causes.append(source)
        return causes

    def _overwritten(self, number: int) -> tuple[str, list[int]] | None:
        """A cause of this read that wrote after the version it returned."""
        read = self._events[number]
        if read.is_write:
            return None
        source = self._source(read)
        clock = self._clocks[number]
        assert clock is not None
        for process, count in clock.items():
            places = self._writes.get((process, read.key))
            at = bisect_right(places[0], count) - 1 if places else -1
            if places is None or at < 0:
                continue
            # The last write of a process that is a cause of the read has the most causes itself
            write = places[1][at]
            if write == source:
                continue
            if source is None or self._is_cause(source, write):
                newer, event = self._events[write].version, self._events[write]
                old = f"{read.version!r}{f' of {read.key}' if read.key != '' else ''}"
                sentence = (
                    f"process {read.process} read {old} although it had seen the effects of "
                    f"process {event.process} writing {newer!r} over it"
                )
                positions = [event.position, read.position]
                return sentence, positions + (
                    [] if source is None else [self._events[source].position]
                )
        return None

    def _is_cause(self, cause: int, effect: int) -> bool:
        clock = self._clocks[effect]
        assert clock is not None
        return clock.get(self._events[cause].process, 0) >= self._index[cause]
