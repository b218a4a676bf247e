"""Who waits, and who is let in next: a fair queue of clients, and an end to waiting.

Pure: the time comes in. Each client has a queue of its own, and they take turns (deficit round
robin, Shreedhar and Varghese 1995: a unit costs as much as it has statements), so that one that
sends a thousand at a time does not keep out one that sends one. When there is no room the newest of
the longest queue is refused, and not whoever came last.

How long anybody waits is bounded by CoDel's rule, as it is used for servers (Nichols and Jacobson
2012; Maurer, Fail at Scale, 2015): a queue that has been empty lately is a burst, and is worth
waiting for; one that has been standing for INTERVAL_S is an overload, in which a statement that has
waited for TARGET_S is refused: those that are let in find an answer in time, where otherwise all of
them would come late. How many may wait in any case, `keep`, the caller says: connections that send
one statement after the other make a standing queue too, and refusing them ends none of it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final, Generic, NamedTuple, TypeVar

__all__ = ["INTERVAL_S", "QUEUE_MAX", "TARGET_S", "FairQueue"]

INTERVAL_S: Final = 0.3
TARGET_S: Final = 0.01

QUEUE_MAX: Final = 4096
"""Units that wait, of all clients."""

QUANTUM: Final = 4
"""What a client may spend in a turn."""

T = TypeVar("T")


class _Waiting(NamedTuple, Generic[T]):
    item: T
    cost: int
    since: float


class FairQueue(Generic[T]):
    """Of one router."""

    def __init__(self, now: float) -> None:
        self._clients: OrderedDict[str, deque[_Waiting[T]]] = OrderedDict()  # next turn first
        self._deficits: dict[str, int] = {}
        self._emptied_at = now  # when it was empty last
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def waits(self, client: str) -> bool:
        """Whether anything of that client does."""
        return client in self._clients

    def is_standing(self, now: float) -> bool:
        """Whether it has not been empty for so long that it is no burst."""
        return self._length > 0 and now - self._emptied_at >= INTERVAL_S

    def add(self, client: str, item: T, cost: int, now: float) -> list[T]:
        """Those that are refused for it, itself perhaps, since no more can wait."""
        if not self._length:
            self._emptied_at = now
        queue = self._clients.get(client)
        if queue is None:
            queue = self._clients[client] = deque()
            self._deficits[client] = 0
        queue.append(_Waiting(item, max(1, cost), now))
        self._length += 1
        refused: list[T] = []
        while self._length > QUEUE_MAX:
            longest = max(self._clients, key=lambda name: len(self._clients[name]))
            refused.append(self._take(longest, newest=True).item)
        return refused

    def next(self) -> T:
        """Whose turn it is; somebody waits."""
        while True:
            client, queue = next(iter(self._clients.items()))
            if self._deficits[client] < queue[0].cost:
                self._deficits[client] += QUANTUM
                self._clients.move_to_end(client)
                continue
            self._deficits[client] -= queue[0].cost
            return self._take(client).item

    def remove(self, client: str, item: T) -> bool:
        """It does not want to be let in any more. Whether it waited."""
        queue = self._clients.get(client)
        found = next((each for each in queue or () if each.item is item), None)
        if queue is None or found is None:
            return False
        queue.remove(found)
        self._shortened(client)
        return True

    def late(self, now: float, keep: int) -> list[T]:
        """Those that have waited for too long: they wait no longer."""
        if self._length <= keep:
            return []
        patience = TARGET_S if self.is_standing(now) else INTERVAL_S
        late = [name for name, queue in self._clients.items() if now - queue[0].since >= patience]
        refused: list[T] = []
        while late and self._length > keep:
            client = max(late, key=lambda name: len(self._clients[name]))
            refused.append(self._take(client).item)
            queue = self._clients.get(client)
            if queue is None or now - queue[0].since < patience:
                late.remove(client)
        return refused

    def _take(self, client: str, *, newest: bool = False) -> _Waiting[T]:
        queue = self._clients[client]
        taken = queue.pop() if newest else queue.popleft()
        self._shortened(client)
        return taken

    def _shortened(self, client: str) -> None:
        self._length -= 1
        if not self._clients[client]:
            self._forget(client)

    def _forget(self, client: str) -> None:
        """A client that does not wait keeps no claim."""
        del self._clients[client], self._deficits[client]
