"""Record a history in anybody's own test suite.

    recorder = Recorder("history.jsonl")
    with recorder.op("write", key="x", value=3):
        store.put("x", 3)
    with recorder.op("read", key="x") as op:
        op.output = store.get("x")
    recorder.close()

An operation is sent when its block begins and has returned when it ends. A block that raises
leaves it `info`: it may have happened, for the answer is what got lost. Say `op.fail(...)` only
of an error that proves that nothing happened, nor ever will.

Threads and asyncio tasks may share a recorder. Processes are numbered here: an operation takes
a number that is free, and one that ended with `info` is never given again. `client=` names who
asks, where the order of each client's own operations is to be judged.

The file can be read while it grows, and after the test was killed: an operation is written when
it is sent, as `open`, and once more when it ended. A recorder that may be `late` writes several
lines at once; what is in the file is then still all that happened up to some moment.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Hashable
from pathlib import Path
from types import TracebackType
from typing import Any

from jepsen_like.history.columns import ERROR_CHARACTERS_MAX, History
from jepsen_like.history.fault_window import FaultWindow
from jepsen_like.history.jsonl import Writer
from jepsen_like.history.operation import HistoryError, Operation, Outcome, hashable

__all__ = ["Recorder", "RecordedOp"]


class Recorder:
    """Collects operations in `history`, and in a file if it is given one.

    `clock`: nanoseconds; times are recorded from `start_ns` on, by default from now on.
    `watch(operation, is_open)` is told of every operation when it is sent and when it has ended,
    in the order of their times and under the recorder's lock: it must be quick and not raise.
    `late_ns`: how long a line may wait for others, until somebody says something or calls `flush`.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        start_ns: int | None = None,
        watch: Callable[[Operation, bool], object] | None = None,
        late_ns: int = 0,
    ) -> None:
        self.history = History()
        self._late_ns = late_ns
        self._flushed_ns = 0
        self._clock = clock
        self._start_ns = clock() if start_ns is None else start_ns
        self._watch = watch
        self._lock = threading.Lock()
        self._open: dict[int, RecordedOp] = {}  # by process
        self._free: list[int] = []  # a heap: low numbers first
        self._processes = 0
        self._clients: dict[Hashable, int] = {}
        self._writer = None if path is None else Writer(Path(path))

    def op(
        self,
        f: str,
        *,
        key: int | str = "",
        value: Any = None,
        client: Hashable | None = None,
        node: str = "",
        scheduled_ns: int | None = None,
        workload: str = "",
    ) -> RecordedOp:
        """A context manager around one call; set its `output` to what came back."""
        return RecordedOp(self, f, key, hashable(value), client, node, scheduled_ns, workload)

    def now_ns(self) -> int:
        """Nanoseconds since the start: what `scheduled_ns` counts in."""
        return self._clock() - self._start_ns

    def snapshot(self) -> History:
        """Everything so far: what is still open is `info`, for it may have happened."""
        with self._lock:
            taken = History(self.history)
            now = self.now_ns()
            for op in self._open.values():
                taken.append(op.as_operation(now, "info", "not answered yet"))
        return taken

    def fault(self, fault: FaultWindow) -> None:
        """What was done to the database, once it is over; times as `now_ns` counts them."""
        with self._lock:
            self.history.faults.append(fault)
            if self._writer is not None:
                self._writer.write_fault(fault)
                self._writer.flush()

    def flush(self) -> None:
        """All that was recorded is in the file. Raises OSError."""
        with self._lock:
            if self._writer is not None:
                self._writer.flush()

    def close(self) -> None:
        """What is still open ends as `info`. Closing twice does no harm."""
        with self._lock:
            now = self.now_ns()
            for op in self._open.values():
                self._record(op.as_operation(now, "info", "not answered when recording ended"))
            self._open.clear()
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, op: RecordedOp) -> None:
        with self._lock:
            op.process = self._take_process(op.client)
            op.sent_ns = self.now_ns()
            if self._writer is not None or self._watch is not None:
                opened = op.as_operation(op.sent_ns, "info", "")
                if self._writer is not None:
                    self._writer.write(opened, is_open=True)
                    self._flush_if_due(op.sent_ns)
                if self._watch is not None:
                    self._watch(opened, True)
            self._open[op.process] = op

    def _end(self, op: RecordedOp, outcome: Outcome, error: str) -> None:
        with self._lock:
            if self._open.pop(op.process, None) is None:
                return  # the recorder was closed meanwhile, and recorded it as info
            self._record(op.as_operation(self.now_ns(), outcome, error))
            if outcome == "info":
                if op.client is not None:
                    del self._clients[op.client]
            elif op.client is None:
                heapq.heappush(self._free, op.process)

    def _take_process(self, client: Hashable | None) -> int:
        if client is not None and client in self._clients:
            process = self._clients[client]
            if process in self._open:
                raise HistoryError(f"{client} began an operation before its last one ended")
            return process
        if client is None and self._free:
            return heapq.heappop(self._free)
        process = self._processes
        self._processes += 1
        if client is not None:
            self._clients[client] = process
        return process

    def _record(self, operation: Operation) -> None:
        self.history.append(operation)
        if self._writer is not None:
            self._writer.write(operation)
            self._flush_if_due(operation.returned_ns)
        if self._watch is not None:
            self._watch(operation, False)

    def _flush_if_due(self, now_ns: int) -> None:
        if now_ns - self._flushed_ns >= self._late_ns:
            self._flushed_ns = now_ns
            assert self._writer is not None
            self._writer.flush()


class RecordedOp:
    """One operation under way. `output` and `version` are yours to set."""

    def __init__(
        self,
        recorder: Recorder,
        f: str,
        key: int | str,
        value: Any,
        client: Hashable | None,
        node: str,
        scheduled_ns: int | None,
        workload: str,
    ) -> None:
        self.output: Any = None
        self.version: int | None = None
        self.process = -1  # given when the block begins
        self.sent_ns = 0
        self.client = client
        self._recorder = recorder
        self._f, self._key, self._value, self._node = f, key, value, node
        self._scheduled_ns = scheduled_ns
        self._workload = workload
        self._said: tuple[Outcome, str] | None = None

    def fail(self, reason: str) -> None:
        """It certainly did not happen, and never will."""
        self._said = ("fail", reason or "failed")

    def info(self, reason: str) -> None:
        """Nobody knows whether it happened: a timeout, a lost connection."""
        self._said = ("info", reason or "unknown")

    def __enter__(self) -> RecordedOp:
        self._recorder._begin(self)  # noqa: SLF001 - two halves of one object
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        outcome: Outcome = "ok"
        reason = ""
        if self._said is not None:
            outcome, reason = self._said
        elif kind is not None:
            outcome, reason = "info", f"{kind.__name__}: {error}"
        self._recorder._end(self, outcome, reason[:ERROR_CHARACTERS_MAX])  # noqa: SLF001

    def as_operation(self, returned_ns: int, outcome: Outcome, error: str) -> Operation:
        scheduled = self.sent_ns if self._scheduled_ns is None else self._scheduled_ns
        return Operation(
            self.process,
            self._f,
            self._key,
            self._value,
            outcome,
            hashable(self.output) if outcome == "ok" else None,
            min(scheduled, self.sent_ns),
            self.sent_ns,
            returned_ns,
            self._node,
            error,
            self.version if outcome == "ok" else None,
            self._workload,
        )
