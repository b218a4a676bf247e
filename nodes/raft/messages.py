"""Raft's messages and records: typed values, one class per kind (thesis figures 3.1, 4.x, 6.4).

Every message names the replicas it goes between by replica id and carries the sender's term.
Field meanings follow Ongaro's thesis; where ours are wider the docstring says so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import msgspec

__all__ = [
    "LogEntry",
    "HardState",
    "MEMBERSHIP_MARK",
    "Member",
    "Membership",
    "LogBase",
    "Snapshot",
    "membership_entry",
    "membership_in",
    "PreVoteRequest",
    "PreVoteResponse",
    "VoteRequest",
    "VoteResponse",
    "AppendRequest",
    "AppendResponse",
    "InstallSnapshot",
    "SnapshotResponse",
    "TimeoutNow",
    "ReadRequest",
    "ReadAnswer",
    "Quiesce",
    "ForeignMessage",
    "Inquiry",
    "Removed",
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


class Member(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One replica of a group."""

    id: int  # never given to another replica of the group, not after its removal either
    place: str = ""  # where the driver finds it; the core does not look at it
    is_voter: bool = True  # else a learner: it gets the log and counts in no majority (4.2.1)


_NOWHERE: Final[Mapping[int, str]] = MappingProxyType({})


class Membership(msgspec.Struct, array_like=True, frozen=True):
    """Who belongs to a group (thesis, chapter 4); a configuration there."""

    members: tuple[Member, ...]  # ordered by id, so that a run can be repeated
    last_id: int  # the highest id that was ever given

    @staticmethod
    def of(voters: Collection[int], places: Mapping[int, str] = _NOWHERE) -> Membership:
        """Voters alone, in unknown places if none are given."""
        members = tuple(Member(voter, places.get(voter, "")) for voter in sorted(voters))
        return Membership(members, max(voters))

    @property
    def voters(self) -> tuple[int, ...]:
        return tuple(member.id for member in self.members if member.is_voter)

    @property
    def learners(self) -> tuple[int, ...]:
        return tuple(member.id for member in self.members if not member.is_voter)

    def __contains__(self, replica: int) -> bool:
        return any(member.id == replica for member in self.members)


class LogBase(msgspec.Struct, array_like=True, frozen=True):
    """What stands for all entries up to `index` once they are gone (section 5.1)."""

    index: int
    term: int
    membership: Membership


class Snapshot(msgspec.Struct, array_like=True, frozen=True):
    """A state machine's state after the entries of `base`, as a file of `size` bytes."""

    base: LogBase
    size: int
    hash: bytes

    @property
    def index(self) -> int:
        return self.base.index


MEMBERSHIP_MARK: Final = b"\xc1"
"""First byte of an entry that holds a membership. MessagePack never uses it, so no encoded
command begins with it, and a stored entry needs no column for its kind."""

_membership_encoder = msgspec.msgpack.Encoder()
_membership_decoder = msgspec.msgpack.Decoder(Membership)


def membership_entry(term: int, membership: Membership) -> LogEntry:
    """The entry that makes `membership` the group's (section 4.1)."""
    return LogEntry(term, MEMBERSHIP_MARK + _membership_encoder.encode(membership))


def membership_in(entry: LogEntry) -> Membership | None:
    """The membership that `entry` holds; None for a no-op or a command."""
    if entry.data[:1] != MEMBERSHIP_MARK:
        return None
    return _membership_decoder.decode(entry.data[1:])


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
    is_transfer: bool = False  # the leader wants this election: hearing it is no objection (3.10)


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


class InstallSnapshot(_RaftMessage, frozen=True, tag=7):
    """InstallSnapshot (figure 5.3): the bytes of the snapshot's file from `offset` on."""

    snapshot: Snapshot
    offset: int
    data: bytes


class SnapshotResponse(_RaftMessage, frozen=True, tag=8):
    """The sender has `received` bytes of the snapshot with that index and hash, and waits for
    the next one. The end of an installation is told by an AppendResponse."""

    index: int
    hash: bytes
    received: int


class TimeoutNow(_RaftMessage, frozen=True, tag=9):
    """The leader asks its successor to stand at once (section 3.10)."""


class ReadRequest(_RaftMessage, frozen=True, tag=10):
    """A follower asks its leader for a ReadIndex (section 6.4)."""

    id: int  # of no other request of this replica, its earlier lives included


class ReadAnswer(_RaftMessage, frozen=True, tag=11):
    """What the asker must have applied before it reads; 0 if the sender does not lead."""

    id: int
    index: int


class Quiesce(_RaftMessage, frozen=True, tag=12):
    """All logs end at `last_index`, committed, and nothing happens: heartbeats end until
    something does."""

    last_index: int


class ForeignMessage(_RaftMessage, frozen=True, tag=100):
    """A message of another consensus than ours (`nodes.consensus`), which alone can read it.

    Ours ignores it: two engines in one group do not understand each other, and none may take
    the other's promises for its own.
    """

    payload: bytes


class Inquiry(_RaftMessage, frozen=True, tag=101):
    """From a driver to the drivers of all nodes, about a replica that hears no leader: is the
    sender still a member? `receiver` and `term` are 0; the core never sees it."""


class Removed(_RaftMessage, frozen=True, tag=102):
    """From a driver to a driver: the committed membership of the sender lacks the receiver, for
    ever, since ids are not given again. The core never sees it."""


RaftMessage: TypeAlias = (
    PreVoteRequest
    | PreVoteResponse
    | VoteRequest
    | VoteResponse
    | AppendRequest
    | AppendResponse
    | InstallSnapshot
    | SnapshotResponse
    | TimeoutNow
    | ReadRequest
    | ReadAnswer
    | Quiesce
    | ForeignMessage
    | Inquiry
    | Removed
)
