"""What a majority agrees on: votes and indexes. Pure arithmetic, no dependencies.

Two majorities of one set of voters share a voter. Everything Raft promises rests on that
sentence, so nothing else in the package counts to a majority.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping

__all__ = ["VoteResult", "count_votes", "majority", "reached_by_majority"]


class VoteResult(enum.Enum):
    """State of an election among fixed voters."""

    PENDING = "pending"
    WON = "won"
    LOST = "lost"  # even all outstanding votes cannot win it


def majority(voters: int) -> int:
    """The smallest number of voters of which any two sets overlap."""
    return voters // 2 + 1


def reached_by_majority(values: Collection[int]) -> int:
    """The largest value that a majority has reached, given what each voter has reached.

    With match indexes it is the largest index stored by a majority (thesis, section 3.6.2);
    with heartbeat rounds, the newest round that a majority has answered (section 6.4).
    """
    ordered = sorted(values)
    return ordered[len(ordered) - majority(len(ordered))]


def count_votes(votes: Mapping[int, bool], voters: Collection[int]) -> VoteResult:
    """The state of an election after `votes` (voter -> granted). Only voters count, each once."""
    needed = majority(len(voters))
    granted = sum(1 for voter in voters if votes.get(voter) is True)
    refused = sum(1 for voter in voters if votes.get(voter) is False)
    if granted >= needed:
        return VoteResult.WON
    if refused > len(voters) - needed:
        return VoteResult.LOST
    return VoteResult.PENDING
