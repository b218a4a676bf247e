"""Who may begin, and who waits: the places of one router, counted.

Pure: the time comes in. A unit of statements takes a place from its beginning to its answer; there
are as many as `shardrouter.work_limit` finds, and who finds none waits in `shardrouter.fair_queue`,
or is refused. Units of open blocks never wait: others may wait for the locks they hold, and the
sooner they end the better. They are counted, so that fewer new ones are let in beside them. To
cancel takes no place.

A place is for work. What waits for something else than its turn (a leader, a lock, a long scan)
must not keep out what others have to do, so a unit that has been in progress for PARKED_S is
*parked* and holds none, if quick ones that began later have ended: where all of them wait, for a
disk, say, it is not by letting in more that they become quicker. What the router knows to be
waiting for a leader holds none from the beginning (`stalled`).

The count is open to whoever is in a hurry (`shardrouter.session`), so that nobody who need not wait
pays for those who do:

    cohort = places.cohort          # begins
    cohort.count += 1
    places.running += 1
    ...                             # ends
    places.left(cohort)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final

from shardrouter.fair_queue import QUEUE_MAX, FairQueue
from shardrouter.work_limit import LIMIT_MAX, WorkLimit

__all__ = ["COHORT_S", "REFUSE_ABOVE", "Cohort", "Places", "Waiter"]

COHORTS_MAX: Final = 64
"""That are kept apart: some seconds. Older ones are parked in any case."""

OVERTAKING_MIN: Final = 10
"""Quick statements that began later and have ended: then it is no accident."""

REFUSE_ABOVE: Final = 192
"""Units in progress and waiting of which none is refused, however long it takes, by a router that
serves the wire: what a PostgreSQL takes connections for. A program that has a router inside knows
by itself how much it asks at once, and is refused only where the queue ends."""

COHORT_S: Final = 0.1
"""Units that began within this time grow old together."""

PARKED_S: Final = 0.3


class Cohort:
    """Units that began about at the same time, and have not ended."""

    __slots__ = ("began_at", "count", "is_parked", "quick")

    def __init__(self, now: float) -> None:
        self.began_at = now
        self.count = 0
        self.quick = 0
        """Quick statements among those that have ended."""
        self.is_parked = False


class Waiter:
    """Who waits for a place: `begin` is called when there is one, else `refuse`."""

    __slots__ = ("begin", "client", "refuse")

    def __init__(
        self, client: str, begin: Callable[[], object], refuse: Callable[[], object]
    ) -> None:
        self.client = client
        self.begin = begin
        self.refuse = refuse


class Places:
    """Of one router. `stalled` counts requests that wait for a leader."""

    __slots__ = (
        *("_cohorts", "_queue", "_refuse_above", "_stalled"),
        *("cohort", "limit", "parked", "refused", "room", "running", "waiting"),
    )

    def __init__(
        self,
        now: float,
        stalled: Callable[[], int] = lambda: 0,
        refuse_above: int = LIMIT_MAX + QUEUE_MAX,
    ) -> None:
        self._refuse_above = refuse_above
        self.running = 0
        """In progress and not parked: more than `room` only where blocks are."""
        self.parked = 0
        self.waiting = 0
        self.refused = 0
        """Ever."""
        self.cohort = Cohort(now)
        self._cohorts = deque([self.cohort])  # those that are not parked, oldest first
        self.limit = WorkLimit(now)
        """Told what quick statements took by whoever has measured it."""
        self.room = self.limit.limit
        self._queue: FairQueue[Waiter] = FairQueue(now)
        self._stalled = stalled

    @property
    def is_idle(self) -> bool:
        """Nothing is in progress but what is parked, and nobody waits."""
        return not self.running and not self.waiting

    def enter(self) -> Cohort:
        """A unit begins, whether there is a place or not."""
        cohort = self.cohort
        cohort.count += 1
        self.running += 1
        return cohort

    def left(self, cohort: Cohort) -> None:
        """One of the units that began with `cohort` has ended."""
        cohort.count -= 1
        if cohort.is_parked:
            self.parked -= 1
        else:
            self.running -= 1

    def refuses(self, client: str, now: float) -> bool:
        """Whether it is of no use to ask: the queue stands, is as long as it may be, and the client
        is in it already. To find out later would cost more, and nobody has time."""
        useless = (
            self.waiting > self._kept()
            and self._queue.is_standing(now)
            and self._queue.waits(client)
        )
        if useless:
            self.refused += 1
            self.limit.reached = True
        return useless

    def ask(self, waiter: Waiter, cost: int, now: float) -> None:
        """There was no place at first sight: wait for one, if that is worth while."""
        self.limit.reached = True
        if not self.waiting and self._has_place():
            waiter.begin()
            return
        refused = self._queue.add(waiter.client, waiter, cost, now)
        self.waiting = len(self._queue)
        if refused:
            self._refuse(refused)

    def withdraw(self, waiter: Waiter) -> bool:
        """Whoever waited does not want to any more. Whether it did wait."""
        waited = self._queue.remove(waiter.client, waiter)
        self.waiting = len(self._queue)
        return waited

    def go_on(self) -> None:
        """A unit has ended: let in those for whom there are places now. What waits for a leader is
        counted by `look`: to do so with every end costs more than it lets in sooner."""
        while self.waiting and self.running < self.room:
            self._let_in()

    def _let_in(self) -> None:
        waiter = self._queue.next()
        self.waiting -= 1
        waiter.begin()

    def look(self, now: float) -> None:
        """The time has passed: cohorts grow old, the limit changes, patience ends."""
        if now - self.cohort.began_at >= COHORT_S:
            self.cohort = Cohort(now)
            self._cohorts.append(self.cohort)
            self._park(now)
            self.limit.look(now)
            self.room = self.limit.limit
        while self.waiting and self._has_place():
            self._let_in()
        self._refuse(self._queue.late(now, self._kept()))

    def _park(self, now: float) -> None:
        cohorts = self._cohorts
        while now - cohorts[0].began_at >= PARKED_S + COHORT_S:
            overtaken = any(later.quick >= OVERTAKING_MIN for later in islice(cohorts, 1, None))
            if cohorts[0].count and not overtaken and len(cohorts) <= COHORTS_MAX:
                break
            old = cohorts.popleft()
            old.is_parked = True
            self.running -= old.count
            self.parked += old.count

    def close(self) -> None:
        """Refuse all who wait."""
        while self.waiting:
            self._refuse([self._queue.next()])

    def _has_place(self) -> bool:
        if self.running < self.room:
            return True
        stalled = self._stalled()
        return stalled > self.parked and self.running + self.parked - stalled < self.room

    def _kept(self) -> int:
        return max(0, self._refuse_above - self.running)

    def _refuse(self, waiters: list[Waiter]) -> None:
        self.refused += len(waiters)
        self.waiting = len(self._queue)
        for waiter in waiters:
            waiter.refuse()
