"""An event loop on virtual time: seeded, without a selector, without threads.

Time passes only when nothing can be done at this moment: then it jumps to the next timer. So an
hour without events costs nothing, and no run depends on how fast its machine is.

asyncio promises that callbacks run in the order in which they were scheduled. That order is kept
within a process; how the processes interleave is drawn, for no kernel promises anything there.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import random
import signal
from asyncio import base_events
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import Context, copy_context
from typing import Any, Final, TypeAlias, TypeVar

from jepsen_like.sim.network import Network
from jepsen_like.sim.processes import CURRENT, Process

__all__ = ["SimulationError", "SimulationLoop"]

T = TypeVar("T")

ProtocolFactory: TypeAlias = Callable[[], asyncio.BaseProtocol]

EPOCH_NS: Final = 1_700_000_000_000_000_000
"""What a wall clock shows when a simulation begins (14 November 2023)."""

SECOND_NS: Final = 1e9

STEPS_PER_INSTANT_MAX: Final = 200_000
"""Callbacks without any time passing before it is taken for a loop that never ends."""

FIRST_PID: Final = 10_000_001
"""Above what kernels give to real processes (2**22 at most)."""

ONE_AFTER_ANOTHER_S: Final = 1e-7
"""Between two pieces of work of one thread: timers of one moment have no order."""

THREAD_S: Final = (0.00002, 0.002)
"""What is given to a thread is done after a time between these."""


class SimulationError(RuntimeError):
    """The simulation cannot go on: nothing will ever happen, or something never ends."""


class SimulationLoop(base_events.BaseEventLoop):
    """As asyncio asks of a loop, as far as this stack uses it; what it lacks raises."""

    _ready: deque[asyncio.Handle]

    def __init__(
        self,
        seed: int,
        start_child: Callable[..., Any] | None = None,
        killed: Callable[[Process], None] = lambda _: None,
    ) -> None:
        """`start_child` makes the transport of a simulated child from a protocol, the words of a
        command line and its stderr; `killed` is told of each process that is."""
        super().__init__()
        self.seed = seed
        self._start_child = start_child
        self._killed = killed
        self._pids = itertools.count(FIRST_PID)
        self.programs: Mapping[str, Any] = {}
        """What children run (`jepsen_like.sim.children`)."""
        self.rng = random.Random(seed)
        self._now_s = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        """A heap. The number is of the order in which they were made: those of one moment run in
        it, and none is compared with another by a function in Python."""
        self._timers_made = 0
        self._instant_steps = 0
        self.steps = 0
        """Callbacks that ran."""
        self.network = Network(self)
        self._threads: dict[Any, float] = {}  # by executor: when it is done with what it has
        self._graveyard: list[asyncio.Task[Any]] = []

    # ------------------------------------------------------------------ time

    def time(self) -> float:
        return self._now_s

    def wall_ns(self) -> int:
        """The time of day, as whoever asks is told it."""
        now_ns = round(self._now_s * 1e9)
        process = CURRENT.get()
        if process is None or process.clock is None:
            return EPOCH_NS + now_ns
        return process.clock.wall_ns(EPOCH_NS + now_ns, now_ns)

    def monotonic_ns(self) -> int:
        """The monotonic clock, as whoever asks is told it. Timers go by the true one."""
        now_ns = round(self._now_s * 1e9)
        process = CURRENT.get()
        if process is None or process.clock is None:
            return now_ns
        return process.clock.monotonic_ns(now_ns)

    def _run_once(self) -> None:
        timers, ready = self._timers, self._ready
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not ready:
            if not timers:
                raise SimulationError("nothing is left to be done, and somebody still waits")
            if timers[0][0] > self._now_s:
                self._now_s = timers[0][0]
                self._instant_steps = 0
        now = self._now_s
        while timers and timers[0][0] <= now:
            timer = heapq.heappop(timers)[2]
            if not timer._cancelled:
                ready.append(timer)
        due = self._interleaved()
        self._instant_steps += len(due)
        if self._instant_steps > STEPS_PER_INSTANT_MAX:
            raise SimulationError(
                f"at {self._now_s:.6f} s more than {STEPS_PER_INSTANT_MAX} callbacks ran and no "
                "time passed: something goes round in circles"
            )
        for handle in due:
            self._run(handle)

    def _interleaved(self) -> list[asyncio.Handle]:
        """What is ready, each process's in its order, the processes' in one that is drawn."""
        ready = self._ready
        if len(ready) == 1:
            return [ready.popleft()]
        queues: dict[Process | None, deque[asyncio.Handle]] = {}
        for handle in ready:
            if not handle._cancelled:
                process = handle._context.get(CURRENT)  # type: ignore[attr-defined]
                queues.setdefault(process, deque()).append(handle)
        ready.clear()
        if len(queues) == 1:
            return list(*queues.values())
        waiting = list(queues.values())
        order: list[asyncio.Handle] = []
        draw = self.rng.random
        while len(waiting) > 1:
            at = int(draw() * len(waiting))
            queue = waiting[at]
            order.append(queue.popleft())
            if not queue:
                del waiting[at]
        return order + list(waiting[0]) if waiting else order

    def _run(self, handle: asyncio.Handle) -> None:
        if handle._cancelled:
            return
        process: Process | None = handle._context.get(CURRENT)  # type: ignore[attr-defined]
        if process is not None:
            if not process.is_alive:
                return
            if process.is_stopped:
                process.missed.append(handle)
                return
        self.steps += 1
        handle._run()

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """At a whole nanosecond, as clocks show them, and not before `when`. Between two of them
        time would pass that nobody sees: who waits for the rest of it waits again and again."""
        whole_ns = math.ceil(when * SECOND_NS)
        if whole_ns / SECOND_NS < when:
            whole_ns += 1
        timer = asyncio.TimerHandle(whole_ns / SECOND_NS, callback, args, self, context)
        self._timers_made += 1
        heapq.heappush(self._timers, (timer.when(), self._timers_made, timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is left out when its time comes."""

    # ------------------------------------------------------------------ processes

    def process(self, name: str, machine: str) -> Process:
        """A new one, which runs what its context is given to."""
        return Process(name, machine, next(self._pids))

    def create_task(  # type: ignore[override]
        self, coro: Any, *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        task = super().create_task(coro, name=name, context=context)
        process = CURRENT.get() if context is None else context.get(CURRENT)
        if process is not None:
            process.tasks.add(task)
        return task

    def spawn(self, process: Process, coroutine: Any) -> asyncio.Task[Any]:
        """The task is `process`'s own, and ends with it."""
        return self.create_task(coroutine, context=process.context.copy())

    def kill(self, process: Process) -> None:
        """As SIGKILL: nothing of it runs any more; the machine's kernel resets its connections."""
        if not process.is_alive:
            return
        process.is_alive = False
        process.missed.clear()
        for task in process.tasks:
            # Whoever forgets a task that waits runs its `finally`, which a killed process does not.
            self._graveyard.append(task)
            asyncio.tasks._unregister_task(task)
        self.network.process_ended(process)
        self._killed(process)

    def close(self) -> None:
        """Nobody misses what killed processes, and an end in an error, have left waiting."""
        for task in (*self._graveyard, *asyncio.all_tasks(self)):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        super().close()

    def stop_process(self, process: Process) -> None:
        """As SIGSTOP."""
        process.is_stopped = True

    def continue_process(self, process: Process) -> None:
        """As SIGCONT: what it has missed comes all at once."""
        process.is_stopped = False
        missed, process.missed = process.missed, []
        self._ready.extend(missed)

    # ------------------------------------------------------------------ threads

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """`func` runs later, at once and whole. An executor's work is done in its order: those of
        this stack have a thread each, and what is asked of the loop's own has no order."""
        done: asyncio.Future[T] = self.create_future()
        at = self._now_s + self.rng.uniform(*THREAD_S)
        if executor is not None:
            at = max(at, self._threads.get(executor, 0.0) + ONE_AFTER_ANOTHER_S)
            self._threads[executor] = at
        self.call_at(at, self._work, done, func, args, context=copy_context())
        return done

    @staticmethod
    def _work(done: asyncio.Future[T], func: Callable[..., T], args: tuple[Any, ...]) -> None:
        try:
            result = func(*args)
        except BaseException as exc:
            if not done.cancelled():
                done.set_exception(exc)
        else:
            if not done.cancelled():
                done.set_result(result)

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """There is none."""

    # ------------------------------------------------------------------ network

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: ProtocolFactory,
        host: str | None = None,
        port: int | None = None,
        *,
        sock: Any = None,
        **_options: Any,
    ) -> Any:
        if sock is None:
            assert host is not None and port is not None  # noqa: PT018
            sock = self.network.socket_of(_current().machine)
            sock.bind((host, port))
        return self.network.listen(protocol_factory, sock, _current())

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: ProtocolFactory,
        host: str | None = None,
        port: int | None = None,
        *,
        ssl: Any = None,
        sock: Any = None,
        **_options: Any,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        if ssl:
            raise SimulationError("TLS is not simulated: connect with sslmode=disable")
        if sock is None:
            assert host is not None and port is not None  # noqa: PT018
            sock = self.network.socket_of(_current().machine)
            await self.network.connect(sock, (host, port), _current())
        return self.network.adopt(sock, protocol_factory)

    async def sock_connect(self, sock: Any, address: Any) -> None:
        await self.network.connect(sock, address, _current())

    async def getaddrinfo(self, host: Any, port: Any, **_options: Any) -> Any:
        return [(2, 1, 6, "", (host, port))]

    # ------------------------------------------------------------------ processes of asyncio

    async def subprocess_exec(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.SubprocessProtocol],
        *args: Any,
        stderr: Any = None,
        **_options: Any,
    ) -> tuple[asyncio.SubprocessTransport, asyncio.SubprocessProtocol]:
        if self._start_child is None:
            raise FileNotFoundError("no program is simulated")
        protocol = protocol_factory()
        words = tuple(map(str, args))
        return self._start_child(protocol, words, -1 if stderr is None else stderr), protocol

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Callable[..., object], *args: Any
    ) -> None:
        """Real ones: Ctrl-C ends a simulation."""
        signal.signal(sig, lambda _number, _frame: self.call_soon(callback, *args))

    def remove_signal_handler(self, sig: int) -> bool:
        default = signal.default_int_handler if sig == signal.SIGINT else signal.SIG_DFL
        return signal.signal(sig, default) is not None

    # ------------------------------------------------------------------ of BaseEventLoop

    def _process_events(self, event_list: Any) -> None:
        """There is no selector that could have any."""

    def _write_to_self(self) -> None:
        """There is nobody to wake up."""


def _current() -> Process:
    process = CURRENT.get()
    if process is None:
        raise SimulationError("only a simulated process has a network")
    return process
