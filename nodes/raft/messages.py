"""Raft's messages and records: typed values, one class per kind (thesis figures 3.1, 4.x, 6.4).

Every message names the replicas it goes between by replica id and carries the sender's term.
Field meanings follow Ongaro's thesis; where ours are wider the docstring says so.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

__all__ = [
    "LogEntry",
    "HardState",
    "PreVoteRequest",
    "PreVoteResponse",
    "VoteRequest",
    "VoteResponse",
    "AppendRequest",
    "AppendResponse",
    "ForeignMessage",
    "RaftMessage",
]


class LogEntry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One entry of the log; its index is known from its place."""

    term: int
    data: bytes  # empty: the no-op a leader appends at the start of its term (section 6.4)


class HardState(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What must be durable before a message that depends on it is sent (figure 3.1)."""

    term: int = 0
    vote: int = 0  # replica id voted for in `term`, 0 for none
    commit: int = 0  # a hint for restart: never ahead of what is durably known committed


class _RaftMessage(msgspec.Struct, array_like=True, frozen=True, gc=False):
    sender: int
    receiver: int
    term: int


class PreVoteRequest(_RaftMessage, frozen=True, tag=1):
    """Would you vote for me in `term`, which I have not entered yet? (section 9.6)"""

    last_index: int
    last_term: int


class PreVoteResponse(_RaftMessage, frozen=True, tag=2):
    """`term` is the asked-for term if granted, else the responder's own."""

    granted: bool


class VoteRequest(_RaftMessage, frozen=True, tag=3):
    """RequestVote (figure 3.1)."""

    last_index: int
    last_term: int


class VoteResponse(_RaftMessage, frozen=True, tag=4):
    granted: bool


class AppendRequest(_RaftMessage, frozen=True, tag=5):
    """AppendEntries (figure 3.1); without entries a heartbeat or a probe.

    `round` numbers the leader's heartbeat rounds; a response echoes it, and that is what
    confirms leadership for ReadIndex (section 6.4).
    """

    previous_index: int
    previous_term: int
    commit: int
    round: int
    entries: tuple[LogEntry, ...] = ()


class AppendResponse(_RaftMessage, frozen=True, tag=6):
    """If `success`, the follower's log equals the leader's up to `match_index`, durably.

    Otherwise `rejected_index` repeats the request's previous_index, and the hint says where
    the logs may still agree: the follower's entry at `hint_index` has `hint_term`, and the
    leader continues at its last index <= hint_index whose term is <= hint_term.
    """

    success: bool
    match_index: int
    round: int
    rejected_index: int = 0
    hint_index: int = 0
    hint_term: int = 0


class ForeignMessage(_RaftMessage, frozen=True, tag=100):
    """A message of another consensus than ours (`nodes.consensus`), which alone can read it.

    Ours ignores it: two engines in one group do not understand each other, and none may take
    the other's promises for its own.
    """

    payload: bytes


RaftMessage: TypeAlias = (
    PreVoteRequest
    | PreVoteResponse
    | VoteRequest
    | VoteResponse
    | AppendRequest
    | AppendResponse
    | ForeignMessage
)
