"""Those who wait on a replica for the outcome of a transaction over several groups.

What is prepared may have happened already: its client may have been told, while the outcome is on
its way here. So who touches it waits until that is applied on this very replica, and looks again;
at most until its time is over, less what the answer needs to be heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from nodes.protocol import Locked, SqlFailure

__all__ = ["LockWaits", "held_too_long"]

ANSWER_S: Final = 0.05
"""Who asked gives up when its time is over: an answer that is to be heard is sent so much before,
or after nine tenths of the time, if that is later."""


WAITERS_MAX: Final = 4096
"""Of one replica; one more is answered at once."""


class LockWaits:
    """The waiters of one replica; used from its event loop. `state` gives what changes whenever
    something is released."""

    def __init__(self, state: Callable[[], object]) -> None:
        self._state = state
        self._seen = state()
        self._loop = asyncio.get_running_loop()
        self._waiters: dict[int, tuple[asyncio.TimerHandle, Callable[[bool], None]]] = {}
        self._last = 0

    def until(self, deadline: float, lock_ms: int) -> float:
        """The deadline of who waits no longer than `lock_ms` besides, unless that is 0, as
        `until_released` takes it: that much earlier as an answer is sent."""
        if not lock_ms:
            return deadline
        lock_s = lock_ms / 1000
        return min(deadline, self._loop.time() + min(lock_s / 0.9, lock_s + ANSWER_S))

    def until_released(self, deadline: float, resume: Callable[[bool], None]) -> int:
        """Call `resume` once: with True when something has been released, with False when it is
        time to answer who may wait until `deadline`, a time of the loop. Returns what `forget`
        takes."""
        self._last += 1
        now = self._loop.time()
        at = deadline - min(ANSWER_S, (deadline - now) / 10)
        if len(self._waiters) >= WAITERS_MAX:
            at = now
        timer = self._loop.call_at(at, self._resume, self._last, False)
        self._waiters[self._last] = timer, resume
        return self._last

    async def released(self, deadline: float) -> bool:
        """The same, awaited."""
        future: asyncio.Future[bool] = self._loop.create_future()

        def resume(released: bool) -> None:
            if not future.done():  # who waits may be cancelled, and has its turn after this
                future.set_result(released)

        number = self.until_released(deadline, resume)
        try:
            return await future
        finally:
            self.forget(number)

    def forget(self, number: int) -> None:
        """It does not wait any longer."""
        found = self._waiters.pop(number, None)
        if found is not None:
            found[0].cancel()

    def look(self) -> None:
        """Something was applied, or the state is another one."""
        # What a thread has applied may be seen by a waiter before it is looked at here: that one
        # looks once more than it need, and none too little.
        if (state := self._state()) is self._seen:
            return
        self._seen = state
        for number in list(self._waiters):
            self._resume(number, True)

    def _resume(self, number: int, released: bool) -> None:
        found = self._waiters.pop(number, None)
        if found is not None:
            timer, resume = found
            timer.cancel()
            resume(released)

    def close(self) -> None:
        """Nothing will be released: all are to answer."""
        for number in list(self._waiters):
            self._resume(number, False)


def held_too_long(locked: Locked) -> SqlFailure:
    """The answer to who waited for as long as he may."""
    held = locked.holder
    return SqlFailure(
        "55P03",
        "canceling statement due to lock timeout",
        detail="A transaction over several shards is prepared here, and its outcome is not known: "
        f"{held.router:x}-{held.number}. See `shardrouter status`.",
    )
