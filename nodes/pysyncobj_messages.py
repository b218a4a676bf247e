"""What replicas that run pysyncobj say to each other: typed values instead of pickled dicts.

They travel as `raft.messages.ForeignMessage`, which names sender, receiver and term. Indexes are
those of our log: pysyncobj's are one higher, because its entry 1 is a no-op of term 0 that each
replica makes for itself, and which stands where our log has nothing (index 0).
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from nodes.raft.messages import LogEntry

__all__ = ["AppendEntries", "NextIndex", "PysyncobjMessage", "RequestVote", "Vote"]


class _Message(msgspec.Struct, array_like=True, frozen=True, gc=False):
    pass


class RequestVote(_Message, frozen=True, tag=1):
    """pysyncobj's `request_vote`."""

    last_index: int
    last_term: int


class Vote(_Message, frozen=True, tag=2):
    """pysyncobj's `response_vote`; it sends none that refuses."""


class AppendEntries(_Message, frozen=True, tag=3):
    """pysyncobj's `append_entries`; without entries a heartbeat."""

    previous_index: int
    previous_term: int
    commit: int
    entries: tuple[LogEntry, ...] = ()


class NextIndex(_Message, frozen=True, tag=4):
    """pysyncobj's `next_node_idx`, the answer to `append_entries`.

    `success`: the sender's log equals the leader's before `index`, durably. `reset`: go on
    from there whatever was sent. The term around it is ours: pysyncobj sends none, and takes an
    answer to a leader of the past for one to the present leader.
    """

    index: int
    reset: bool
    success: bool


PysyncobjMessage: TypeAlias = RequestVote | Vote | AppendEntries | NextIndex
