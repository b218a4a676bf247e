"""A simulated process: what runs on it is known by its context, and ends with it.

Whatever a callback schedules inherits its context (PEP 567), so everything that a process begins
is known to be its own, however deep in somebody's library. A process that is killed runs nothing
any more, not even its `finally`; one that is stopped runs what it has missed when it goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from weakref import WeakSet

from jepsen_like.sim.shown_clock import ShownClock

__all__ = ["CURRENT", "Process"]

T = TypeVar("T")


@dataclass(eq=False)
class Process:
    """One life of a program on `machine`, which the network knows by its address."""

    name: str
    machine: str
    pid: int
    is_alive: bool = True
    is_stopped: bool = False
    clock: ShownClock | None = None
    """What it is told of the time; None: the truth."""
    missed: list[asyncio.Handle] = field(default_factory=list)
    """What came due while it was stopped, in order."""
    tasks: WeakSet[asyncio.Task[Any]] = field(default_factory=WeakSet)
    context: Context = field(init=False)

    def __post_init__(self) -> None:
        self.context = copy_context()
        self.context.run(CURRENT.set, self)

    def run(self, call: Callable[..., T], *arguments: Any) -> T:
        """`call` as if this process had made it."""
        return self.context.copy().run(call, *arguments)


CURRENT: Final[ContextVar[Process | None]] = ContextVar("simulated process", default=None)
"""Whose code runs; None: the simulation's own."""
