"""What a verb that takes its time says while it works, on stderr.

A line for each step that is taken. What is waited for is a bar that moves on a terminal, else a
line once it takes a second, and one every few seconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import click

from shardrouter.moves import Ask, Blocked, Move, Wait

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Steps"]

WORTH_SAYING_S: Final = 1.0
"""What is over sooner is not told: a new leader needs a moment until it hears everybody."""

AGAIN_S: Final = 5.0
"""How often the same thing is said again while it is waited for, if it cannot be overwritten."""


@dataclass
class _Waiting:
    """What a group waits for, and when that is to be said (again)."""

    kind: type[Move]
    say_at: float


class Steps:
    """To be entered with `with`, and called with a group and what it does now."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._waiting: dict[str, _Waiting] = {}

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._bars = Progress(
                TextColumn("  {task.description}"),
                BarColumn(bar_width=20),
                TimeElapsedColumn(),
                console=Console(stderr=True, highlight=False, markup=False),
                transient=True,
            )
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def __call__(self, group: str, move: Move) -> None:
        if isinstance(move, Ask):
            self.say(move.what)
            self._waiting.pop(group, None)
        elif isinstance(move, Wait | Blocked):
            if self._bars is not None:
                self._show(group, move)
            else:
                self._tell(group, move)

    def _tell(self, group: str, move: Wait | Blocked) -> None:
        now = self._clock()
        waiting = self._waiting.get(group)
        if waiting is None or waiting.kind is not type(move):
            waiting = self._waiting[group] = _Waiting(type(move), now + WORTH_SAYING_S)
        if now >= waiting.say_at:
            waiting.say_at = now + AGAIN_S
            self.say(move.why)

    def say(self, text: str) -> None:
        if self._bars is not None:
            self._bars.console.print(text)
        else:
            click.echo(text, err=True)

    def _show(self, group: str, move: Wait | Blocked) -> None:
        assert self._bars is not None
        if group not in self._tasks:
            self._tasks[group] = self._bars.add_task(move.why, total=None)
        done, total = (move.done, move.total) if isinstance(move, Wait) else (0, 0)
        self._bars.update(
            self._tasks[group], description=move.why, completed=done, total=total or None
        )
