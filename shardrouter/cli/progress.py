"""What a verb that takes its time says while it works, on stderr.

A line for each step that is taken. What is waited for is a bar that moves on a terminal, else a
line when it begins and one every few seconds.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import click

from shardrouter.moves import Ask, Move, Wait

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Steps"]

AGAIN_S: Final = 5.0
"""How often the same thing is said again while it is waited for, if it cannot be overwritten."""


class Steps:
    """To be entered with `with`, and called with a group and what it does now."""

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._said: dict[str, tuple[type[Move], float]] = {}
        """For each group the kind of move that was told last, and when."""

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
        kind, now = type(move), time.monotonic()
        text = move.what if isinstance(move, Ask) else getattr(move, "why", "")
        told, at = self._said.get(group, (None, 0.0))
        if self._bars is not None and not isinstance(move, Ask):
            self._show(group, move, text)
        elif isinstance(move, Ask) or told is not kind or now - at >= AGAIN_S:
            self.say(text)
            self._said[group] = (kind, now)

    def say(self, text: str) -> None:
        if self._bars is not None:
            self._bars.console.print(text)
        else:
            click.echo(text, err=True)

    def _show(self, group: str, move: Move, text: str) -> None:
        assert self._bars is not None
        if group not in self._tasks:
            self._tasks[group] = self._bars.add_task(text, total=None)
        done, total = (move.done, move.total) if isinstance(move, Wait) else (0, 0)
        self._bars.update(self._tasks[group], description=text, completed=done, total=total or None)
