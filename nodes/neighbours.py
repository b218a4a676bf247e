"""Which other nodes are there, as their heartbeats tell: once per node, not once per group.

A group that is idle falls silent (`nodes.raft.core`, quiescence). What its heartbeats would show
is then seen here, for all groups at once: every node sends every other one a `Beat`, each time that
`beat_ticks` have passed, or one tick after what it says has changed.
A group must be woken when a node that has a member of it

- was not heard for an election timeout: its leader may have died there, or a peer that the
  leader would miss;
- comes with another `life`: it was away for less than that, and what it leads no longer, nobody
  else would notice. A node changes it when it starts and whenever one of its replicas stops.

Pure: ticks and beats come in, names of nodes come out.
"""

from __future__ import annotations

from collections.abc import Mapping

from nodes.protocol import Beat

__all__ = ["Neighbours", "beat_ticks"]


def beat_ticks(election_ticks: int) -> int:
    """Ticks from one beat to the next: so few that one or two may come late, or not at all, before
    the node is missed."""
    return max(1, election_ticks * 3 // 8)


class _Neighbour:
    __slots__ = ("beat", "is_there", "silent_ticks")

    def __init__(self) -> None:
        self.beat: Beat | None = None
        self.silent_ticks = 0
        self.is_there = False


class Neighbours:
    """The other nodes, as this one hears them."""

    def __init__(self, election_ticks: int) -> None:
        self._election_ticks = election_ticks
        self._known: dict[str, _Neighbour] = {}

    def heard(self, node: str, beat: Beat | None) -> bool:
        """`node` has sent something, a beat perhaps. Whether its groups must be woken."""
        known = self._known.get(node)
        if known is None:
            known = self._known[node] = _Neighbour()
        known.silent_ticks = 0
        if beat is None:
            return False
        known.is_there = True
        is_new = known.beat is None or known.beat.life != beat.life
        known.beat = beat
        return is_new

    def ticks_left(self) -> int:
        """So many ticks have to pass before a node can be missed that is there now."""
        left = (
            self._election_ticks - known.silent_ticks
            for known in self._known.values()
            if known.is_there
        )
        return min(left, default=self._election_ticks)

    def tick(self, ticks: int = 1) -> list[str]:
        """So many ticks have passed. The nodes whose groups must be woken: they have been silent
        for an election timeout."""
        lost: list[str] = []
        for node, known in self._known.items():
            known.silent_ticks += ticks
            if known.is_there and known.silent_ticks >= self._election_ticks:
                known.is_there = False
                lost.append(node)
        return lost

    def beats(self) -> Mapping[str, Beat]:
        """The last beat of every node that is there."""
        return {
            node: known.beat
            for node, known in self._known.items()
            if known.is_there and known.beat is not None
        }
