"""When a node's ticks are due, and what may be promised of the time that they take.

A tick is due `tick_s` after the last one was. If the process was paused or its loop was late, the
ticks that were missed are not made up for: a follower would time out before it has read the
heartbeats that wait in its sockets, and depose a leader that is well. Then the next one comes
half a tick after the late one at the earliest, and from there on in step again.

**Where nobody is awake** ticks may be put off: the one that then comes stands for all of them. Who
wakes has the next of them when it would have come without that, so that what follows holds.

**What leases build on.** Let tick 1, 2, ... n be consecutive, tick i be due at d(i) and done at
t(i) >= d(i), with d(i+1) = max(d(i) + T, t(i) + T/2). From the second on each is due at least T
after the one before was, so t(n) >= d(n) >= d(2) + (n-2) T >= t(1) + T/2 + (n-2) T. Hence n
ticks in a row take at least (n - 3/2) T from the first to the last, however late any of them
is, and so does the time from anything that came before the first: a leader's message, or the
start. That is `shortest_s(n)`, which is what `LeaseRule.election_timeout` asks for. It holds by
the clock that `due` is compared with. That is CLOCK_MONOTONIC, while leases are counted by
CLOCK_BOOTTIME; the two differ only by the sleep of the machine, during which the latter alone
goes on: a follower that slept waits longer than it has to, a leader that slept has no lease left.

Pure: the driver brings the time, and must not tick before `due`.
"""

from __future__ import annotations

from nodes.config import RaftConfig
from nodes.raft.lease import LeaseRule

__all__ = ["Pace", "lease_rule", "shortest_s"]


class Pace:
    """The due times of one node's ticks."""

    __slots__ = ("_tick_s", "due", "put_off")

    def __init__(self, tick_s: float, now: float) -> None:
        self._tick_s = tick_s
        self.due = now + tick_s
        """When the next tick is due."""
        self.put_off = 0
        """Ticks before that which are left out."""

    def ticked(self, now: float) -> None:
        """A tick is done, at `now`, which is not before `due`."""
        assert now >= self.due, "a tick before its time"
        self.due = max(self.due + self._tick_s, now + self._tick_s / 2)
        self.put_off = 0

    def put_off_by(self, ticks: int) -> None:
        """The next tick comes so many ticks later, and stands for them too."""
        self.due += ticks * self._tick_s
        self.put_off += ticks

    def resume(self, now: float) -> None:
        """The next tick comes when it would have come had none been put off: those that are past
        stay left out."""
        still_to_come = min(self.put_off, max(0, int((self.due - now) / self._tick_s)))
        self.due -= still_to_come * self._tick_s
        self.put_off -= still_to_come


def shortest_s(ticks: int, tick_s: float) -> float:
    """The least time from before the first of so many consecutive ticks to the last."""
    return max(0.0, (ticks - 1.5) * tick_s)


def lease_rule(raft: RaftConfig) -> LeaseRule | None:
    """What this node promises about its clocks; None if there are to be no leases."""
    if not raft.lease_reads:
        return None
    return LeaseRule(
        election_timeout=shortest_s(raft.election_ticks, raft.tick_ms / 1000),
        drift=raft.clock_drift,
        margin=raft.lease_margin_ms / 1000,
    )
