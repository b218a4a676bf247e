"""Whose turn it is to try something on a leader's data file before it enters the log.

The applier lends the file to one borrower at a time (`nodes.applier`). A dry run gives it back
when it has ended; an open transaction keeps it while its client thinks, for as long as nobody else
wants it. So whoever wants it takes the turn first, and whoever kept it gives it up then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

__all__ = ["FileTurn"]


class FileTurn:
    """The turn. Used from one event loop."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self.give_up: Callable[[], None] = _nothing
        """Makes whoever keeps the file between its turns give it back."""

    @property
    def is_taken(self) -> bool:
        return self._lock.locked()

    @asynccontextmanager
    async def taken(self, deadline: float) -> AsyncIterator[None]:
        """Wait for the turn and keep it. Raises TimeoutError at `deadline`, a time of the loop."""
        async with asyncio.timeout_at(deadline):
            await self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()


def _nothing() -> None:
    pass
