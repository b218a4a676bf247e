"""Tasks that outlive the call that started them, and their end.

A callback cannot await; what takes several steps runs as a task here. The set keeps the task
alive (the event loop does not), and `close` returns when all have ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["Tasks"]


class Tasks:
    """Running tasks. They must end by themselves when what they wait for is closed."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work`; an exception out of it is a bug and goes to the loop's handler."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            task.get_loop().call_exception_handler(
                # not the task itself, which shows what the exception says
                {"message": f"a statement ended in a bug ({task.get_name()})", "exception": error}
            )

    async def wait(self) -> None:
        """Return when none is running."""
        while self._running:
            await asyncio.wait(set(self._running))
