"""Several router processes on one port: starts them, starts them again, and speaks for them.

Each worker has a listening socket of its own with SO_REUSEPORT, so the kernel spreads connections
over those that live, and none comes to one that has died. The supervisor holds the port with a
socket that does not listen. A CancelRequest comes to any of them: the pid in it names the worker
that can do something, and is told through the supervisor. `/metrics` is the supervisor's: all
workers' numbers, told apart by the label `worker`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from nodes.config import Address
from nodes.local_cluster import ProcessFailed
from nodes.metrics import Family, family, labelled
from nodes.metrics_page import MetricsPage
from shardrouter.cli.router_process import CLOSE_GRACE_S, READY_TIMEOUT_S, RouterOptions, say
from shardrouter.router_port import WORKER_SHIFT, ListenError
from shardrouter.worker_link import Ask, CancelOf, Link, LinkMessage, Ready, Told, open_link

__all__ = ["Workers", "restart_delay_s", "router_command"]

RESTART_S_MIN: Final = 0.2
"""A worker that dies is started again after this long, the next time after twice as long ..."""

RESTART_S_MAX: Final = 30.0
"""... up to this."""

STEADY_S: Final = 60.0
"""A worker that served so long before it died is forgiven all earlier deaths."""

ANSWER_S: Final = 2.0
"""A worker that does not tell its numbers by then is left out."""

STOP_S: Final = CLOSE_GRACE_S + 5.0
"""A worker that was told to stop and has not by then is killed."""


def restart_delay_s(deaths: int) -> float:
    """How long to wait before a worker is started again that has died so often in a row."""
    return float(min(RESTART_S_MAX, RESTART_S_MIN * 2 ** (deaths - 1)))


class _Worker:
    """One place among the workers, and the process that has it now."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: asyncio.subprocess.Process | None = None
        self.link: Link | None = None
        self.ready = asyncio.Event()
        self.restarts = 0


class Workers:
    """`count` processes that serve `address`, while the context lasts.

    `command` starts one; it is given the options --port, --worker and --link. Entering raises
    ProcessFailed, ListenError, MetricsUnavailable.
    """

    def __init__(
        self, command: Sequence[str], count: int, address: Address, metrics: Address | None
    ) -> None:
        self.address = address
        self._command = command
        self._metrics = metrics
        self._workers = {number: _Worker(number) for number in range(1, count + 1)}
        self._port: socket.socket | None = None
        self._watches: list[asyncio.Task[None]] = []
        self._questions = itertools.count(1)
        self._answers: dict[int, dict[int, list[Family]]] = {}  # by question and worker
        self._answered: dict[int, asyncio.Event] = {}
        self._exit = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            self._port = self._hold_port()
            stack.callback(self._port.close)
            stack.push_async_callback(self._stop)
            first, *others = self._workers.values()
            await self._begin(first)  # makes what only one may make: role, file dsn, certificate
            await asyncio.gather(*map(self._begin, others))
            if self._metrics is not None:
                await stack.enter_async_context(MetricsPage(self._metrics, self._families))
            loop = asyncio.get_running_loop()
            self._watches = [loop.create_task(self._watch(w)) for w in self._workers.values()]
            self._exit = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._exit.aclose()

    def _hold_port(self) -> socket.socket:
        """Nobody else gets the port meanwhile; one that is chosen is the same for all."""
        host, port = self.address.host, self.address.port
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        kind, _, _, _, where = found[0]
        held = socket.socket(kind, socket.SOCK_STREAM)
        try:
            if not port or not _listens(kind, where):
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                held.bind(where)
                self.address = Address(host, held.getsockname()[1])
                return held
        except OSError as exc:
            held.close()
            raise ListenError(
                f"the router cannot listen on {self.address}: {exc.strerror or exc}."
            ) from exc
        held.close()
        raise ListenError(
            f"the router cannot listen on {self.address}: the port is in use by another process; "
            "stop that one or choose another port."
        )

    # ------------------------------------------------------------------ their lives

    async def _begin(self, worker: _Worker) -> None:
        """Start it and wait until it serves. Raises ProcessFailed."""
        ours, theirs = socket.socketpair()
        worker.ready = asyncio.Event()
        number = worker.number
        with theirs:
            worker.process = await asyncio.create_subprocess_exec(
                *self._command,
                *("--port", str(self.address.port), "--worker", str(number)),
                *("--link", str(theirs.fileno())),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the supervisor, which lets them end
            )

        def heard(message: LinkMessage) -> None:
            self._heard(worker, message)

        worker.link = await open_link(ours, heard, lambda: None)
        ended = asyncio.ensure_future(worker.process.wait())
        ready = asyncio.ensure_future(worker.ready.wait())
        await asyncio.wait({ended, ready}, timeout=READY_TIMEOUT_S, return_when="FIRST_COMPLETED")
        if not ready.done():
            ready.cancel()
            code = ended.result() if ended.done() else None
            how = "took too long" if code is None else f"ended with exit code {code}"
            raise ProcessFailed(f"worker {number} {how} before it was ready; see what it said.")

    async def _watch(self, worker: _Worker) -> None:
        """Start it again whenever it dies."""
        loop = asyncio.get_running_loop()
        deaths = 0
        while True:
            assert worker.process is not None
            began = loop.time()
            code = await worker.process.wait()
            worker.ready.clear()
            deaths = 1 if loop.time() - began >= STEADY_S else deaths + 1
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited ({code})"
            delay = restart_delay_s(deaths)
            say(
                f"worker {worker.number} (pid {worker.process.pid}) {how}; "
                f"starting it again in {delay:g} s"
            )
            await asyncio.sleep(delay)
            worker.restarts += 1
            try:
                await self._begin(worker)
            except ProcessFailed as exc:
                say(str(exc))
                self._kill(worker)
            else:
                say(f"worker {worker.number} is back (pid {worker.process.pid})")

    @staticmethod
    def _kill(worker: _Worker) -> None:
        if worker.process is not None and worker.process.returncode is None:
            worker.process.kill()

    async def _stop(self) -> None:
        """Let all of them end what they are at, then go."""
        for watch in self._watches:
            watch.cancel()
        if self._watches:
            await asyncio.wait(self._watches)
        living = [
            worker
            for worker in self._workers.values()
            if worker.process is not None and worker.process.returncode is None
        ]
        ends = []
        for worker in living:
            assert worker.process is not None
            worker.process.terminate()
            ends.append(asyncio.ensure_future(worker.process.wait()))
        if ends:
            await asyncio.wait(ends, timeout=STOP_S)
            for worker in living:
                self._kill(worker)
            await asyncio.wait(ends)
        for worker in self._workers.values():
            if worker.link is not None:
                worker.link.close()

    # ------------------------------------------------------------------ what they say

    def _heard(self, worker: _Worker, message: LinkMessage) -> None:
        match message:
            case Ready():
                worker.ready.set()
            case CancelOf(pid=pid):
                meant = self._workers.get(pid >> WORKER_SHIFT)
                if meant is not None and meant is not worker and meant.link is not None:
                    meant.link.send(message)
            case Told(number=number, families=families):
                if number in self._answers:
                    self._answers[number][worker.number] = families
                    self._answered[number].set()

    async def _families(self) -> list[Family]:
        """What /metrics shows."""
        up = [worker for worker in self._workers.values() if worker.ready.is_set()]
        number = next(self._questions)
        answers = self._answers[number] = {}
        news = self._answered[number] = asyncio.Event()
        try:
            for worker in up:
                assert worker.link is not None
                worker.link.send(Ask(number))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_S):
                    while len(answers) < len(up):
                        await news.wait()
                        news.clear()
        finally:
            del self._answers[number], self._answered[number]
        told = {str(worker): answers[worker] for worker in sorted(answers)}
        return [
            *labelled(told, "worker"),
            family(
                "shardrouter_workers",
                "gauge",
                "Router processes of this port: wanted, and that serve.",
                {"wanted": len(self._workers), "up": len(up)},
                "state",
            ),
            family(
                "shardrouter_worker_restarts_total",
                "counter",
                "How often one was started again.",
                {str(worker.number): worker.restarts for worker in self._workers.values()},
                "worker",
            ),
        ]


def router_command(path: Path, options: RouterOptions, *more: str) -> list[str]:
    """What starts a router of this release, before the options of a worker."""
    command = [sys.executable, "-m", "shardrouter.cli", "serve", "--cluster", str(path)]
    return [*command, *options.arguments(), *more]


def _listens(kind: int, where: object) -> bool:
    """Whether somebody listens there already: with SO_REUSEPORT one would share it unknowingly."""
    with socket.socket(kind, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(where)  # type: ignore[arg-type]  # as getaddrinfo gave it
        except OSError:
            return True
    return False
