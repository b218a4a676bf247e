"""The kernel of a simulation: its loop, its processes, and the files that SQLite has open.

It takes the place of this machine's (`jepsen_like.kernel`) in an interpreter of its own, before
anything that is simulated is imported: `python -m jepsen_like.sim`.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from jepsen_like.interpose import PowerCut
from jepsen_like.kernel import LoopFactory
from jepsen_like.sim import shims
from jepsen_like.sim.children import ON, Child
from jepsen_like.sim.disk import OpenDatabases, SyncLedger
from jepsen_like.sim.loop import SimulationLoop
from jepsen_like.sim.processes import CURRENT
from jepsen_like.sim.shown_clock import CONTROL, ShownClock

__all__ = ["SimulatedKernel"]

HARNESS: Final = "harness"
"""The machine of the harness itself, which no cut reaches."""


class SimulatedKernel:
    """One for each interpreter; each run has a loop of its own."""

    def __init__(self) -> None:
        self._loop: SimulationLoop | None = None
        self._children: dict[int, Child] = {}
        self._databases = OpenDatabases()
        self._ledger = SyncLedger()
        shims.install(self.loop_of_now, self._databases, self._ledger)
        logging.getLogger().addHandler(_ToEachStderr(self._children))
        logging.getLogger().setLevel(logging.INFO)

    def loop_of_now(self) -> SimulationLoop | None:
        """The loop of the run that is under way."""
        loop = self._loop
        return loop if loop is not None and loop.is_running() else None

    # ------------------------------------------------------------------ jepsen_like.kernel

    def state(self, pid: int) -> str:
        child = self._children.get(pid)
        if child is None or child.get_returncode() is not None:
            return ""
        return "T" if child.process.is_stopped else "S"

    def signal(self, pid: int, number: signal.Signals) -> None:
        child = self._children.get(pid)
        if child is None or child.get_returncode() is not None:
            raise ProcessLookupError(pid)
        child.signal(number)

    def listens(self, pid: int, port: int) -> bool:
        child = self._children.get(pid)
        return child is not None and self._running.network.listens(child.process, port)

    @property
    def simulates(self) -> bool:
        return True

    def power_cut(self) -> PowerCut:
        return self._ledger.lose_power

    def new_loop(self, seed: int) -> LoopFactory:
        return partial(self._new_loop, seed)

    # ------------------------------------------------------------------ for the loop

    @property
    def _running(self) -> SimulationLoop:
        assert self._loop is not None
        return self._loop

    def _new_loop(self, seed: int) -> asyncio.AbstractEventLoop:
        loop = self._loop = SimulationLoop(seed, self.start_child, self._databases.killed)
        harness = loop.process(HARNESS, HARNESS)
        CURRENT.set(harness)
        shims.seed(loop.rng.getrandbits(64))
        return loop

    def start_child(
        self, protocol: asyncio.SubprocessProtocol, words: tuple[str, ...], stderr: object
    ) -> Child:
        """Raises FileNotFoundError if no simulated program is called so."""
        loop = self._running
        if words[:1] != (ON,):
            raise FileNotFoundError(f"{words[0]} is no simulated program")
        machine, environment, argv = words[1], *_split(words[2:])
        module = argv[argv.index("-m") + 1] if "-m" in argv else ""
        program = loop.programs.get(module)
        if program is None:
            raise FileNotFoundError(f"`{' '.join(argv[:3])}` is no program that can be simulated")
        rest = argv[argv.index("-m") + 2 :]
        process = loop.process(module, machine)
        if (page := environment.get(CONTROL)) is not None:
            process.clock = ShownClock(Path(page), process.pid)
        child = self._children[process.pid] = Child(loop, protocol, process, stderr)
        child.run(program, rest)
        return child


def _split(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """What `env` would set, and the command line behind it."""
    if words[:1] != ("env",):
        return {}, list(words)
    rest = list(itertools.dropwhile(lambda word: "=" in word, words[1:]))
    given = [word.partition("=") for word in words[1 : len(words) - len(rest)]]
    return {name: value for name, _, value in given}, rest


class _ToEachStderr(logging.Handler):
    """What a simulated process logs goes to its own standard error."""

    def __init__(self, children: dict[int, Child]) -> None:
        super().__init__()
        self._children = children
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        process = CURRENT.get()
        child = None if process is None else self._children.get(process.pid)
        if child is not None and child.process.is_alive:
            child.log(self.format(record))
