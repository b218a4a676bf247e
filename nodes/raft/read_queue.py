"""Linearizable reads waiting for a leader to be confirmed (ReadIndex, thesis section 6.4).

All requests that arrived since the last round share the next one. A round answers only
requests that came before it was sent: an answer to an earlier heartbeat proves that there was
no newer leader earlier, and one elected since may have acknowledged a write that this read
must see.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

__all__ = ["ForwardedReads", "ReadQueue", "ReadRound", "RemoteRead", "ROUNDS_MAX"]

ROUNDS_MAX: Final = 16
"""Rounds under way. With slow peers later requests gather and share a round, so that reads
do not flood the peers with heartbeats."""


class ReadRound(NamedTuple):
    """Requests that share a heartbeat round."""

    number: int
    commit: int  # the commit index when the round was opened: what the reads must see
    contexts: list[object]


class RemoteRead(NamedTuple):
    """A follower's requests, as its leader sees them: one context among its own."""

    replica: int
    id: int


class ReadQueue:
    """The reads of one leader, in order of arrival."""

    __slots__ = ("_rounds", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[object] = []
        self._rounds: deque[ReadRound] = deque()

    def add(self, context: object) -> None:
        self._waiting.append(context)

    def is_empty(self) -> bool:
        return not self._waiting and not self._rounds

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


class ForwardedReads:
    """A follower's reads that its leader confirms: one request for all of a turn.

    Ids begin at random, so that an answer to an earlier life of this replica, which may be too
    old for a read of today, meets no request.
    """

    __slots__ = ("_last_id", "_under_way", "waiting")

    def __init__(self, first_id: int) -> None:
        self._last_id = first_id
        self.waiting: list[object] = []
        self._under_way: dict[int, tuple[int, list[object]]] = {}  # id -> (ticks left, contexts)

    def open(self, patience: int) -> int:
        """Every waiting request goes out under the id that is returned."""
        self._last_id += 1
        self._under_way[self._last_id] = (patience, self.waiting)
        self.waiting = []
        return self._last_id

    def answered(self, number: int) -> list[object]:
        """The requests that were under way with this id."""
        _, contexts = self._under_way.pop(number, (0, []))
        return contexts

    def tick(self) -> list[object]:
        """Time passes; returns requests whose answer is not to be expected any more."""
        if not self._under_way:
            return []
        lost: list[object] = []
        for number, (ticks, contexts) in list(self._under_way.items()):
            if ticks > 1:
                self._under_way[number] = (ticks - 1, contexts)
            else:
                lost += self.answered(number)
        return lost

    def take_all(self) -> list[object]:
        """Remove every request: the leader is not the leader any more."""
        contexts = [context for _, found in self._under_way.values() for context in found]
        contexts += self.waiting
        self._under_way.clear()
        self.waiting = []
        return contexts
