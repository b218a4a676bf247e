"""From a log of events (process 3 invokes write 5; process 3: ok) to operations.

What most tools write is events, and the order of the lines is the clock: an operation that was
over on an earlier line than another one began really came first. Where events carry times, the
times are kept, moved forward by as little as keeps the order of the lines strict.

Flaws of the log are collected with their lines, so that `lint` can name them all; a checker
must not be given a history that has a fatal one, for it would judge what nobody observed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jepsen_like.history.columns import TIME_MAX, History
from jepsen_like.history.operation import Operation, Outcome

__all__ = ["Flaw", "Pairing"]


@dataclass(frozen=True)
class Flaw:
    line: int
    text: str
    fatal: bool  # the operations themselves cannot be told from the log


@dataclass(frozen=True, slots=True)
class _Open:
    line: int
    f: str
    key: int | str
    value: Any
    at_ns: int
    node: str


class Pairing:
    """Fed with events in the order of the log; `finish` gives the operations."""

    def __init__(self) -> None:
        self.flaws: list[Flaw] = []
        self._open: dict[int, _Open] = {}
        self._done: list[tuple[int, Operation]] = []
        self._now = -1  # of the strict clock
        self._shown: int | None = None  # the last time that the log itself gave

    def moment(self, line: int, at_ns: int | None) -> int:
        """When something happened that is no client's, on the clock of the operations."""
        if at_ns is not None and abs(at_ns) > TIME_MAX // 2:
            self._fatal_time(line, at_ns)
            at_ns = None
        return max(self._now, at_ns or 0)

    def opened(self, process: int) -> tuple[str, Any] | None:
        """(f, value) of what the process has in flight."""
        found = self._open.get(process)
        return None if found is None else (found.f, found.value)

    def invoke(
        self,
        line: int,
        process: int,
        f: str,
        key: int | str,
        value: Any,
        *,
        at_ns: int | None = None,
        node: str = "",
    ) -> None:
        now = self._tick(line, at_ns)
        before = self._open.get(process)
        if before is not None:
            self._fatal(
                line,
                f"process {process} invokes {f} while its {before.f} of line {before.line} "
                "has not ended",
            )
            self._end(process, before, "info", None, now, "never ended in the log", None)
        self._open[process] = _Open(line, f, key, value, now, node)

    def end(
        self,
        line: int,
        process: int,
        f: str,
        outcome: Outcome,
        output: Any = None,
        *,
        at_ns: int | None = None,
        error: str = "",
        version: int | None = None,
    ) -> None:
        now = self._tick(line, at_ns)
        before = self._open.pop(process, None)
        if before is None:
            self._fatal(line, f"process {process} completes {f} that it had not invoked")
        elif before.f != f:
            self._open[process] = before
            self._fatal(
                line,
                f"process {process} completes {f}, but invoked {before.f} on line {before.line}",
            )
        else:
            self._end(process, before, outcome, output, now, error, version)

    def finish(self) -> History:
        """The operations in the order of their invocations; what never ended is `info`."""
        for process, before in self._open.items():
            self._end(process, before, "info", None, self._now + 1, "never ended in the log", None)
        self._open.clear()
        history = History()
        for line, operation in sorted(self._done, key=lambda pair: pair[0]):
            history.append(operation, line)
        return history

    def _end(
        self,
        process: int,
        before: _Open,
        outcome: Outcome,
        output: Any,
        now: int,
        error: str,
        version: int | None,
    ) -> None:
        sent = before.at_ns
        operation = Operation(
            process,
            before.f,
            before.key,
            before.value,
            outcome,
            output,
            sent,
            sent,
            now,
            before.node,
            error or ("" if outcome == "ok" else "no reason in the log"),
            version,
        )
        self._done.append((before.line, operation))

    def _tick(self, line: int, at_ns: int | None) -> int:
        self._now += 1
        if at_ns is not None:
            if self._shown is not None and at_ns < self._shown:
                text = f"the clock goes back by {self._shown - at_ns} ns"
                self.flaws.append(Flaw(line, text, fatal=False))
            if abs(at_ns) > TIME_MAX // 2:
                self._fatal_time(line, at_ns)
            else:
                self._now = max(self._now, at_ns)
            self._shown = at_ns
        return self._now

    def _fatal_time(self, line: int, at_ns: int) -> None:
        self._fatal(line, f"a time of {len(hex(abs(at_ns))) * 4} bits is too large")

    def _fatal(self, line: int, text: str) -> None:
        self.flaws.append(Flaw(line, text, fatal=True))
