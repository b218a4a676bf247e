"""Who asked to be alone with which rows (SELECT ... FOR UPDATE), in the memory of one leader.

These locks promise nothing: what makes a transaction serializable is that its COMMIT is validated
(docs/transactions.md). They spare work: of two transactions that mean to change the same row, the
second waits here for the end of the first, instead of reading what will be another value by then.
So they may be forgotten at any time: with the leader, by a holder that says nothing for LAPSE_S,
and where there are too many.

Pure: time comes in.
"""

from __future__ import annotations

from typing import Final

__all__ = ["LAPSE_S", "LOCKS_MAX", "RowLocks"]

LAPSE_S: Final = 1.0
"""A holder whose client says nothing for so long stands in nobody's way."""

LOCKS_MAX: Final = 16_384
"""Locks of one group; one more is not kept."""


class RowLocks:
    """The locks of one group, and who waits for whom."""

    def __init__(self) -> None:
        self._holders: dict[bytes, dict[bytes, bool]] = {}  # object -> holder -> exclusively?
        self._held: dict[bytes, set[bytes]] = {}  # holder -> objects
        self._seen: dict[bytes, float] = {}  # holder -> when it was last heard of
        self._waits: dict[bytes, bytes] = {}  # who waits -> for which object
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def take(self, holder: bytes, object: bytes, now: float, *, exclusive: bool) -> bool:
        """Whether `holder` has the lock now; else it waits for it, until `take` or `drop`."""
        for other in self._in_the_way(holder, object, exclusive=exclusive):
            if now - self._seen[other] < LAPSE_S:
                self._waits[holder] = object
                return False
            self.drop(other)
        self._waits.pop(holder, None)
        holders = self._holders.setdefault(object, {})
        if holder not in holders:
            if self._count >= LOCKS_MAX:
                if not holders:
                    del self._holders[object]
                return True
            self._count += 1
        holders[holder] = exclusive or holders.get(holder, False)
        self._held.setdefault(holder, set()).add(object)
        self._seen[holder] = now
        return True

    def _in_the_way(self, holder: bytes, object: bytes, *, exclusive: bool) -> list[bytes]:
        holders = self._holders.get(object, {})
        return [
            other for other, alone in holders.items() if other != holder and (alone or exclusive)
        ]

    def is_deadlocked(self, holder: bytes) -> bool:
        """Whether `holder`, which waits, waits for itself in the end."""
        reached: set[bytes] = set()
        ahead = [holder]
        while ahead:
            object = self._waits.get(ahead.pop())
            for other in self._holders.get(object, ()) if object is not None else ():
                if other == holder and reached:
                    return True
                if other != holder and other not in reached:
                    reached.add(other)
                    ahead.append(other)
        return False

    def touch(self, holder: bytes, now: float) -> None:
        """Its client has said something."""
        if holder in self._seen:
            self._seen[holder] = now

    def drop(self, holder: bytes) -> None:
        """It has ended, or given up to wait."""
        self._waits.pop(holder, None)
        self._seen.pop(holder, None)
        for object in self._held.pop(holder, ()):
            holders = self._holders[object]
            del holders[holder]
            self._count -= 1
            if not holders:
                del self._holders[object]

    def give_up(self, holder: bytes) -> None:
        """It waits no more, and keeps what it has."""
        self._waits.pop(holder, None)
