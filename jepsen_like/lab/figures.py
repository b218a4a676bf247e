"""What clients see now, class by class and host by host: figures of the last seconds.

Told of each operation when it is sent and when it has ended, in the order of their times, as a
`Recorder` tells it. A read is *stale* if a write that was known when the read was sent is newer
than the one it returned; a write is known from its acknowledgement on, or from the first answer of
a read that returned it. That is k > 0 in `checks.staleness`, one operation at a time; values that
are written must be distinct.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from jepsen_like.history import Operation

__all__ = ["Figure", "Live", "quantile"]

NEVER: Final = 1 << 62

ERRORS_KEPT: Final = 3


@dataclass(frozen=True)
class Figure:
    """The operations of one class on one host that ended within the window."""

    f: str
    host: str
    asked: int
    ok: int
    failed: int  # and did certainly not happen
    unknown: int  # whether they happened
    stale: int  # of those that are ok
    p50_ns: int | None  # of those that are ok; None: there are none
    p99_ns: int | None
    rate: float  # ok, per second


@dataclass
class _Key:
    """The writes of one register."""

    sent_ns: dict[Any, int]  # of each value
    known_ns: dict[Any, int]  # of each value that is known
    known: list[int] = field(default_factory=list)  # when writes became known, in order
    newest_sent: list[int] = field(default_factory=list)  # the latest request among those so far

    def learn(self, value: Any, now_ns: int) -> None:
        if value in self.known_ns or value not in self.sent_ns:
            return
        self.known_ns[value] = now_ns
        before = self.newest_sent[-1] if self.newest_sent else -NEVER
        self.known.append(now_ns)
        self.newest_sent.append(max(before, self.sent_ns[value]))

    def is_stale(self, value: Any, sent_ns: int) -> bool:
        """Whether a write was known before `sent_ns` and sent after `value` was known."""
        count = bisect_left(self.known, sent_ns)
        return count > 0 and self.newest_sent[count - 1] > self.known_ns.get(value, NEVER)


@dataclass(frozen=True, slots=True)
class _Ended:
    at_ns: int
    f: str
    host: str
    outcome: str
    took_ns: int
    is_stale: bool
    error: str


class Live:
    """`saw` everything; `figures` are those of the last `window_ns`."""

    def __init__(self, initial: Any, window_ns: int) -> None:
        self.window_ns = window_ns
        self.operations = 0
        self.stale: dict[str, int] = {}  # since the beginning, by class
        self._initial = initial
        self._keys: dict[int | str, _Key] = {}
        self._ended: deque[_Ended] = deque()

    def saw(self, operation: Operation, is_open: bool) -> None:
        key = self._keys.get(operation.key)
        if key is None:
            key = self._keys[operation.key] = _Key({self._initial: -NEVER}, {self._initial: -NEVER})
        is_write = operation.f == "write"
        if is_open:
            if is_write:
                key.sent_ns[operation.value] = operation.sent_ns
            return
        is_stale = False
        if operation.outcome == "ok":
            if not is_write:
                key.learn(operation.output, operation.returned_ns)
                is_stale = key.is_stale(operation.output, operation.sent_ns)
            else:
                key.learn(operation.value, operation.returned_ns)
        self.operations += 1
        self.stale[operation.f] = self.stale.get(operation.f, 0) + is_stale
        self._ended.append(
            _Ended(
                operation.returned_ns,
                operation.f,
                operation.node,
                operation.outcome,
                operation.returned_ns - operation.sent_ns,
                is_stale,
                operation.error,
            )
        )
        self._forget(operation.returned_ns)

    def _forget(self, now_ns: int) -> None:
        while self._ended and self._ended[0].at_ns < now_ns - self.window_ns:
            self._ended.popleft()

    def figures(self, now_ns: int) -> tuple[Figure, ...]:
        """By class and host, in the order of their names."""
        self._forget(now_ns)
        cells: dict[tuple[str, str], list[_Ended]] = {}
        for ended in self._ended:
            cells.setdefault((ended.f, ended.host), []).append(ended)
        seconds = max(min(self.window_ns, now_ns), 1) / 1e9
        found = []
        for (f, host), mine in sorted(cells.items()):
            times = sorted(ended.took_ns for ended in mine if ended.outcome == "ok")
            outcomes = [ended.outcome for ended in mine]
            found.append(
                Figure(
                    f,
                    host,
                    asked=len(mine),
                    ok=len(times),
                    failed=outcomes.count("fail"),
                    unknown=outcomes.count("info"),
                    stale=sum(ended.is_stale for ended in mine),
                    p50_ns=quantile(times, 0.5),
                    p99_ns=quantile(times, 0.99),
                    rate=len(times) / seconds,
                )
            )
        return tuple(found)

    def errors(self, now_ns: int) -> tuple[str, ...]:
        """What was said lately by what did not succeed, the latest last, each once."""
        self._forget(now_ns)
        said = dict.fromkeys(f"{e.host}, {e.f}: {e.error}" for e in self._ended if e.error)
        return tuple(said)[-ERRORS_KEPT:]


def quantile(ordered: Sequence[int], share: float) -> int | None:
    """The least of them that so many are not above; None of none."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
