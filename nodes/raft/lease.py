"""Reading by lease: without a round, on the strength of clocks (thesis, section 6.4.1).

A replica that has heard its leader helps to elect nobody for an election timeout. So a leader
that a majority answered is the only one for that long, counted from when it *sent* what they
answered: nobody can have begun to wait before, and when the answer arrives most of the wait
may be over. What the clocks may differ by is subtracted. A clock that is worse than `drift`
says makes stale reads; that is why leases are off unless they are configured, and alike on all
replicas of a group.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = ["Lease", "LeaseRule"]


@dataclass(frozen=True)
class LeaseRule:
    """What a driver promises about its clocks, in seconds of the clock it gives to the core.

    The clock must go on while the machine sleeps (CLOCK_BOOTTIME).
    """

    election_timeout: float
    """At least so much time passes on a replica between `step` of a leader's message, or its
    start, and the last of the next `election_ticks` ticks. That is less than `election_ticks`
    times the tick: the first may come at once, and a driver that does not make up for late ticks
    may shorten one more (`nodes.pace` has the bound and its proof for the node)."""
    drift: float
    """How much faster one clock may run than another: 0.01 is one percent."""
    margin: float
    """Subtracted for whatever else there is."""

    @property
    def duration(self) -> float:
        return self.election_timeout / (1 + self.drift) - self.margin


class Lease:
    """What one leader may count on in one term."""

    __slots__ = ("_ended", "_rounds", "_rule", "_until")

    def __init__(self, rule: LeaseRule | None) -> None:
        self._rule = rule
        self._ended = rule is None
        self._until = float("-inf")
        self._rounds: deque[tuple[int, float]] = deque()  # (round, not sent before)

    @property
    def is_on(self) -> bool:
        return not self._ended

    def sent(self, number: int, now: float) -> None:
        """Round `number` goes out at `now` or later."""
        if not self._ended:
            self._rounds.append((number, now))

    def confirmed(self, number: int, now: float) -> None:
        """A majority has answered round `number`, and it is `now` at the latest."""
        rounds = self._rounds
        while rounds and rounds[0][0] <= number:
            self._extend(rounds.popleft()[1], now)

    def _extend(self, sent: float, now: float) -> None:
        assert self._rule is not None
        assert sent <= now, "the clock went back"
        self._until = max(self._until, sent + self._rule.duration)

    def holds(self, now: float) -> bool:
        return now < self._until

    def drop(self) -> None:
        """Another majority decides from here on: only rounds sent from now on count."""
        self._until = float("-inf")
        self._rounds.clear()

    def end(self) -> None:
        """No lease in this term any more: the successor may be elected at any time, by voters
        that do hear us, also long after we gave the transfer up."""
        self._ended = True
        self.drop()
