"""One at a time, in the order of asking: of those who wait, and of those who cannot.

An asyncio.Lock can only be waited for. A callback that finds nobody before it takes the turn at
once, and whoever awaits comes after it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType

__all__ = ["Turn"]


class Turn:
    """Used from one event loop. `async with turn`, or `take` and `free`."""

    __slots__ = ("_is_taken", "_waiting")

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Have it now, if nobody has it: then `free` has to follow."""
        if self._is_taken:
            return False
        self._is_taken = True
        return True

    def free(self) -> None:
        """Whoever has waited for longest has it now."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._is_taken = False

    async def __aenter__(self) -> None:
        if self.take():
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():  # it was this one's in the meantime
                self.free()
            raise

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        self.free()
