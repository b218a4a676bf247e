"""Linearizable reads waiting for a leader to be confirmed (ReadIndex, thesis section 6.4).

All requests that arrived since the last round share the next one. A round answers only
requests that came before it was sent: an answer to an earlier heartbeat proves that there was
no newer leader earlier, and one elected since may have acknowledged a write that this read
must see.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

__all__ = ["ReadQueue", "ReadRound", "ROUNDS_MAX"]

ROUNDS_MAX: Final = 16
"""Rounds under way. With slow peers later requests gather and share a round, so that reads
do not flood the peers with heartbeats."""


class ReadRound(NamedTuple):
    """Requests that share a heartbeat round."""

    number: int
    commit: int  # the commit index when the round was opened: what the reads must see
    contexts: list[object]


class ReadQueue:
    """The reads of one leader, in order of arrival."""

    __slots__ = ("_rounds", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[object] = []
        self._rounds: deque[ReadRound] = deque()

    def add(self, context: object) -> None:
        self._waiting.append(context)

    def may_open(self) -> bool:
        """Whether requests wait for a round and one more may be under way."""
        return bool(self._waiting) and len(self._rounds) < ROUNDS_MAX

    def open(self, number: int, commit: int) -> None:
        """Every waiting request joins round `number`, which is sent after this."""
        self._rounds.append(ReadRound(number, commit, self._waiting))
        self._waiting = []

    def oldest(self) -> ReadRound | None:
        """The round to be confirmed next."""
        return self._rounds[0] if self._rounds else None

    def take_oldest(self) -> tuple[int, list[object]]:
        """Remove the oldest round: (index, contexts)."""
        taken = self._rounds.popleft()
        return taken.commit, taken.contexts

    def take_all(self) -> list[object]:
        """Remove every request: the leader is deposed."""
        contexts = [context for taken in self._rounds for context in taken.contexts]
        contexts += self._waiting
        self._rounds.clear()
        self._waiting = []
        return contexts
