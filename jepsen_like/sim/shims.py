"""What of Python is replaced in an interpreter that simulates: clocks, chance, threads, and how
databases are opened.

It must be in place before the modules that are simulated are imported, for some keep a function
of `time` as a default. Outside of a run everything is as ever. Network, timers and executors are
the loop's own affair (`jepsen_like.sim.loop`).
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

from jepsen_like.sim.disk import WAL, Connection, OpenDatabases, SyncLedger
from jepsen_like.sim.loop import SimulationLoop
from jepsen_like.sim.processes import CURRENT

__all__ = ["install", "seed"]

_chance: Final = random.Random(0)
"""Where everything that asks for chance without a seed gets it from, during a run."""


def seed(number: int) -> None:
    """For the run that begins."""
    _chance.seed(number)
    random.seed(number)


def install(
    loop_of_now: Callable[[], SimulationLoop | None], databases: OpenDatabases, ledger: SyncLedger
) -> None:
    """For ever. `loop_of_now` gives the loop of the run that is under way; None: none is."""
    _replace_clocks(loop_of_now)
    _replace_chance(loop_of_now)
    _replace_threads()
    _replace_pools(loop_of_now)
    _replace_connect(loop_of_now, databases, ledger)
    _replace_fsync(loop_of_now, ledger)
    _replace_process_id(loop_of_now)


def _replace_clocks(loop_of_now: Callable[[], SimulationLoop | None]) -> None:
    true_monotonic_ns, true_time_ns = time.monotonic_ns, time.time_ns
    true_gettime_ns, true_sleep = time.clock_gettime_ns, time.sleep

    def monotonic_ns() -> int:
        loop = loop_of_now()
        return true_monotonic_ns() if loop is None else loop.monotonic_ns()

    def monotonic() -> float:
        return monotonic_ns() / 1e9

    def time_ns() -> int:
        loop = loop_of_now()
        return true_time_ns() if loop is None else loop.wall_ns()

    def clock_gettime_ns(clock: int) -> int:
        loop = loop_of_now()
        if loop is None:
            return true_gettime_ns(clock)
        return loop.wall_ns() if clock == time.CLOCK_REALTIME else loop.monotonic_ns()

    def sleep(seconds: float) -> None:
        """Only threads sleep, and what they do takes no time in a run."""
        if loop_of_now() is None:
            true_sleep(seconds)

    time.monotonic = time.perf_counter = monotonic
    time.monotonic_ns = time.perf_counter_ns = monotonic_ns
    time.time, time.time_ns = lambda: time_ns() / 1e9, time_ns
    time.clock_gettime = lambda clock: clock_gettime_ns(clock) / 1e9
    time.clock_gettime_ns = clock_gettime_ns
    time.sleep = sleep  # type: ignore[assignment]


def _replace_chance(loop_of_now: Callable[[], SimulationLoop | None]) -> None:
    true_urandom = os.urandom

    def urandom(size: int) -> bytes:
        return true_urandom(size) if loop_of_now() is None else _chance.randbytes(size)

    class Seeded(random.Random):
        """Without a seed it takes one from the run's chance, not from the machine."""

        def seed(self, a: Any = None, version: int = 2) -> None:
            if a is None:
                a = int.from_bytes(urandom(16), "big")
            super().seed(a, version)

    random.Random = Seeded  # type: ignore[misc]
    os.urandom = urandom
    random._urandom = urandom  # type: ignore[attr-defined]  # noqa: SLF001 - SystemRandom's


def _replace_threads() -> None:
    """aiosqlite begins a thread and gives it work by a queue; here the work is the loop's."""
    import aiosqlite.core

    class Queue:
        def put_nowait(self, work: tuple[asyncio.Future[Any] | None, Callable[[], Any]]) -> None:
            future, function = work
            done = asyncio.get_running_loop().run_in_executor(self, function)  # type: ignore[arg-type]
            if future is not None:
                done.add_done_callback(lambda done: _hand_over(done, future))

    class Thread(threading.Thread):
        def start(self) -> None:
            """Its queue does what it would do."""

    aiosqlite.core.SimpleQueue = Queue  # type: ignore[assignment, attr-defined]
    aiosqlite.core.Thread = Thread  # type: ignore[attr-defined]


def _replace_pools(loop_of_now: Callable[[], SimulationLoop | None]) -> None:
    """What is submitted to a pool past the loop is done by the loop all the same, and at the latest
    when somebody waits for the pool's end."""
    true_submit, true_shutdown = ThreadPoolExecutor.submit, ThreadPoolExecutor.shutdown
    waiting: WeakKeyDictionary[ThreadPoolExecutor, deque[Callable[[], None]]] = WeakKeyDictionary()

    def next_of(pool: ThreadPoolExecutor) -> None:
        if queue := waiting.get(pool):
            queue.popleft()()

    def submit(
        pool: ThreadPoolExecutor, function: Callable[..., Any], *given: Any, **named: Any
    ) -> Future[Any]:
        loop = loop_of_now()
        if loop is None:
            return true_submit(pool, function, *given, **named)
        future: Future[Any] = Future()

        def work() -> None:
            try:
                future.set_result(function(*given, **named))
            except BaseException as exc:
                future.set_exception(exc)

        waiting.setdefault(pool, deque()).append(work)
        loop.run_in_executor(pool, next_of, pool)
        return future

    def shutdown(pool: ThreadPoolExecutor, *given: Any, **named: Any) -> None:
        while waiting.get(pool):
            next_of(pool)
        true_shutdown(pool, *given, **named)

    ThreadPoolExecutor.submit = submit  # type: ignore[method-assign,assignment]
    ThreadPoolExecutor.shutdown = shutdown  # type: ignore[method-assign,assignment]


def _hand_over(done: asyncio.Future[Any], future: asyncio.Future[Any]) -> None:
    if future.done():
        return
    if (error := done.exception()) is not None:
        future.set_exception(error)
    else:
        future.set_result(done.result())


def _replace_connect(
    loop_of_now: Callable[[], SimulationLoop | None], databases: OpenDatabases, ledger: SyncLedger
) -> None:
    true_connect = sqlite3.connect

    def connect(*arguments: Any, **options: Any) -> Any:
        if loop_of_now() is None:
            return true_connect(*arguments, **options)
        options.setdefault("factory", Connection)
        connection = true_connect(*arguments, **options)
        if isinstance(connection, Connection):
            connection.ledger = ledger
            databases.opened(connection)
        return connection

    sqlite3.connect = connect


def _replace_fsync(loop_of_now: Callable[[], SimulationLoop | None], ledger: SyncLedger) -> None:
    """The disk of a run is not asked: only the ledger is."""
    true_fsync = os.fsync

    def fsync(file: Any) -> None:
        if loop_of_now() is None:
            true_fsync(file)
            return
        descriptor = file if isinstance(file, int) else file.fileno()
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.name.endswith(WAL):
            ledger.synced(path)

    os.fsync = fsync  # type: ignore[assignment]


def _replace_process_id(loop_of_now: Callable[[], SimulationLoop | None]) -> None:
    true_getpid = os.getpid

    def getpid() -> int:
        process = CURRENT.get() if loop_of_now() is not None else None
        return true_getpid() if process is None else process.pid

    os.getpid = getpid
