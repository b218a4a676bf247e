"""How old the state of a replica can be at most, and which reads that is good enough for
(DESIGN section 9, consistency `bounded`).

A replica asks for a ReadIndex at its own time t. Once it has applied what is answered, its state
has every write that was acknowledged before t: nobody can have acknowledged one that the index
does not cover. A read that came at time s and allows b seconds therefore needs a t >= s - b. That
is a matter of when it came, not of when it is answered: what was acknowledged after it came it
need not see. With b = 0 it is a linearizable read.

One ReadIndex serves all reads that came before it was asked for, and those of the next b seconds.
A replica that has been read so lately asks anew before the last one is too old, so that no read
has to wait for the leader.

Pure: time comes in, by a clock that never jumps and goes on while the machine sleeps. Only how fast
it runs counts: one at half the right speed doubles the bound.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

__all__ = ["RENEW_FOR_S", "Freshness", "Round"]

RENEW_FOR_S: Final = 1.0
"""How long after the last such read a replica goes on asking."""

RENEW_SHARE: Final = 0.5
"""Of what the last read allowed: from when on the newest ReadIndex is worth another one."""

T = TypeVar("T")


class Round(Generic[T]):
    """A ReadIndex, and the reads that wait for it."""

    __slots__ = ("asked", "reads")

    def __init__(self, asked: float, reads: list[T]) -> None:
        self.asked = asked
        self.reads = reads


class Freshness(Generic[T]):
    """Of one replica. `ask` begins a ReadIndex; whoever drives this says what came of it by
    `confirmed` or `failed`, in any order.

    if not freshness.serves(now, allowed_s): freshness.wait(now, allowed_s, read)
    """

    def __init__(self, ask: Callable[[Round[T]], None]) -> None:
        self._ask = ask
        self._since = float("-inf")
        self._rounds: deque[Round[T]] = deque()  # under way, oldest first
        self._wanted_until = float("-inf")
        self._allowed_s = 0.0  # by the last read
        self.waiting = 0
        """Reads that wait."""

    def serves(self, now: float, allowed_s: float) -> bool:
        """Whether the state is new enough for a read that comes now."""
        self._wanted_until, self._allowed_s = now + RENEW_FOR_S, allowed_s
        return self._since >= now - allowed_s

    def wait(self, now: float, allowed_s: float, read: T) -> None:
        """It is not: `read` comes back from `confirmed` or `failed`."""
        self.waiting += 1
        for each in self._rounds:
            if each.asked >= now - allowed_s:
                each.reads.append(read)
                return
        self._begin(Round(now, [read]))

    def tick(self, now: float) -> None:
        """Ask again, if that is worth it."""
        newest = self._rounds[-1].asked if self._rounds else self._since
        if now < self._wanted_until and newest < now - RENEW_SHARE * self._allowed_s:
            self._begin(Round(now, []))

    def _begin(self, begun: Round[T]) -> None:
        self._rounds.append(begun)
        self._ask(begun)

    def confirmed(self, told: Round[T]) -> list[T]:
        """It was answered, and that is applied: who may read now, and that is also who waits for
        an older one."""
        served: list[T] = []
        while self._rounds and self._rounds[0].asked <= told.asked:
            served += self._rounds.popleft().reads
        self._since = max(self._since, told.asked)
        self.waiting -= len(served)
        return served

    def failed(self, told: Round[T]) -> list[T]:
        """It will not be answered: who has to ask elsewhere."""
        if told not in self._rounds:
            return []
        self._rounds.remove(told)
        self.waiting -= len(told.reads)
        return told.reads
