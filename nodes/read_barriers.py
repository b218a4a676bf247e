"""When a read may look at the state of this replica: what each level of consistency waits for
(DESIGN section 9, docs/consistency.md).

    linearizable   a ReadIndex, confirmed after the read came, and then applied here
    lease          the leader's commit index while its lease holds, applied here; else the same
    bounded        a ReadIndex that was asked for not too long before the read came, applied here
    at least       an index of this incarnation, applied here; it is waited for a little
    any            nothing

A ReadIndex that is confirmed needs no leader any more; that it is applied *here* keeps the
answer from being stale. Used from the node's event loop, by the engine of a group.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol, cast

from nodes.consensus import Consensus
from nodes.engine import Barrier
from nodes.freshness import Freshness, Round
from nodes.protocol import AtLeast, Behind, Bounded, Busy, Consistency, NotLeader, ResponseBody
from nodes.raft.core import Role

__all__ = ["BEHIND_TICKS", "READS_MAX", "ReadBarriers"]

READS_MAX: Final = 8192
"""Read barriers of one group under way; more are answered Busy."""

BEHIND_TICKS: Final = 3
"""Ticks, 150 ms, that a read waits for a state: a follower learns what is committed with the next
message of its leader. Behind that another replica is the better one to ask."""

_LEADER: Final = Role.LEADER


class ReadMachine(Protocol):
    """What is asked of the state machine."""

    @property
    def applied(self) -> int:
        """Index of the last entry in the state that a read sees."""

    @property
    def incarnation(self) -> int:
        """Of the group, in that state."""


class ReadBarriers:
    """Of one replica. `wake` asks for a turn in which `core` is asked what is ready; `not_leader`
    is what those are told who have to ask elsewhere."""

    def __init__(
        self,
        group: str,
        core: Consensus,
        machine: ReadMachine,
        *,
        now: Callable[[], float],
        wake: Callable[[], None],
        not_leader: Callable[[], NotLeader],
    ) -> None:
        self._group = group
        self._core = core
        self._machine = machine
        self._now = now
        self._wake = wake
        self._not_leader = not_leader
        self._last = 0
        self._waiting: dict[int, Barrier] = {}  # by number
        self._confirmed: list[tuple[int, int]] = []  # a heap of (index to be applied, number)
        self._behind: dict[int, tuple[int, AtLeast]] = {}  # number -> (ticks left, for what)
        self._freshness: Freshness[Barrier] = Freshness(self._ask_for_freshness)

    def __len__(self) -> int:
        """Who waits."""
        return len(self._waiting) + self._freshness.waiting

    # ------------------------------------------------------------------ asking

    def ask(self, consistency: Consistency, done: Barrier, *, at_follower: bool) -> None:
        """See `engine.Engine.read_barrier`; not of `any`."""
        if isinstance(consistency, AtLeast):
            self._ask_at_least(consistency, done)
        elif self._is_full():
            done(self._busy())
        elif isinstance(consistency, Bounded):
            self._ask_bounded(consistency.max_staleness_ms / 1000, done)
        elif not at_follower and self._core.role is not _LEADER:
            self._look_for_leader()
            done(self._not_leader())
        elif consistency == "lease" and (index := self._core.lease_read(self._now())) is not None:
            self._await_applied(index, done)
            self.answer()
        else:
            self._read_index(done)

    def _look_for_leader(self) -> None:
        """Somebody needs the leader of a group that may have lost it in its sleep: its replica
        may have stopped. One that is well answers the call for an election with a heartbeat."""
        if self._core.is_quiescent:
            self._core.wake()
            self._wake()

    def _is_full(self) -> bool:
        return len(self) >= READS_MAX

    def _busy(self) -> Busy:
        return Busy(f"group {self._group} has {READS_MAX} reads under way")

    def _read_index(self, done: Barrier) -> None:
        if self._core.read_index(self._last + 1):
            self._wait(done)
            self._wake()
        else:
            done(self._not_leader())

    def _wait(self, done: Barrier) -> int:
        self._last += 1
        self._waiting[self._last] = done
        return self._last

    def _await_applied(self, index: int, done: Barrier) -> int:
        number = self._wait(done)
        heapq.heappush(self._confirmed, (index, number))
        return number

    def _ask_at_least(self, wanted: AtLeast, done: Barrier) -> None:
        if wanted.index <= self._machine.applied or self._is_another(wanted):
            self._check(wanted, done)
        elif self._is_full():
            done(self._busy())
        else:
            number = self._await_applied(wanted.index, partial(self._reached, wanted, done))
            self._behind[number] = (BEHIND_TICKS, wanted)
            self._core.wake()  # ticks are what ends the wait
            self._wake()

    def _is_another(self, wanted: AtLeast) -> bool:
        return wanted.incarnation != self._machine.incarnation

    def _check(self, wanted: AtLeast, done: Barrier) -> None:
        if wanted.index and self._is_another(wanted):
            done(Behind(self._machine.incarnation, self._machine.applied))
        else:
            done(None)

    def _reached(self, wanted: AtLeast, done: Barrier, refusal: ResponseBody | None) -> None:
        """The index is applied; entries before it may have begun another incarnation."""
        if refusal is None:
            self._check(wanted, done)
        else:
            done(refusal)

    def _ask_bounded(self, allowed_s: float, done: Barrier) -> None:
        now = self._now()
        if self._freshness.serves(now, allowed_s):
            done(None)
        else:
            self._freshness.wait(now, allowed_s, done)

    def _ask_for_freshness(self, begun: Round[Barrier]) -> None:
        self._read_index(partial(self._freshness_told, begun))

    def _freshness_told(self, begun: Round[Barrier], refusal: ResponseBody | None) -> None:
        freshness = self._freshness
        told = freshness.confirmed(begun) if refusal is None else freshness.failed(begun)
        for done in told:
            done(refusal)

    # ------------------------------------------------------------------ answers

    def confirmed(self, index: int, contexts: Sequence[object]) -> None:
        """These reads have to see what is applied up to `index`."""
        for number in contexts:
            heapq.heappush(self._confirmed, (index, cast("int", number)))

    def failed(self, contexts: Sequence[object]) -> None:
        """Nobody confirms these."""
        for number in contexts:
            self._waiting.pop(cast("int", number))(self._not_leader())

    def answer(self) -> None:
        """Let those read whose state is there."""
        confirmed = self._confirmed
        applied = self._machine.applied
        while confirmed and confirmed[0][0] <= applied:
            _, number = heapq.heappop(confirmed)
            self._behind.pop(number, None)
            if (done := self._waiting.pop(number, None)) is not None:  # else its wait is over
                done(None)

    def tick(self) -> None:
        """Time passes."""
        self._freshness.tick(self._now())
        for number, (ticks, wanted) in list(self._behind.items()):
            if ticks > 1:
                self._behind[number] = (ticks - 1, wanted)
            else:
                del self._behind[number]
                behind = Behind(self._machine.incarnation, self._machine.applied)
                self._waiting.pop(number)(behind)

    def refuse_all(self) -> None:
        """All have to ask elsewhere."""
        self._confirmed.clear()
        self._behind.clear()
        waiting, self._waiting = self._waiting, {}
        for done in waiting.values():
            done(self._not_leader())
