"""The entries of a group's log, and what nodes send each other."""

from __future__ import annotations

from typing import TypeAlias

from nodes.protocol.base import Message
from nodes.protocol.requests import (
    Abort,
    Checksum,
    Commit,
    End,
    ExpireSessions,
    Fence,
    NewIncarnation,
    OpenSession,
    Prepare,
    Stage,
    SwitchFingerprint,
    TransactionOutcome,
    Unstage,
    Write,
)
from nodes.raft.messages import RaftMessage

__all__ = ["EntryBody", "Entry", "Envelope", "Beat", "PeerBatch"]

EntryBody: TypeAlias = (
    OpenSession
    | Write
    | Prepare
    | Commit
    | Abort
    | TransactionOutcome
    | End
    | Fence
    | Stage
    | Unstage
    | ExpireSessions
    | Checksum
    | SwitchFingerprint
    | NewIncarnation
)


class Entry(Message, frozen=True):
    """One entry of a group's log as the state machine sees it. A leader's no-op is the empty
    byte string and never decoded.

    It has one body, or several commands that came together: each of them a quick `Write` that
    sets no versions, with an outcome of its own, applied in their order.

    `now_us` (microseconds since the epoch) and `seed` make the statements' time and random
    functions the same on every replica; no correctness rule reads them. They are those of the
    first body, and one more for every body behind it.
    """

    now_us: int
    seed: int
    bodies: tuple[EntryBody, ...]


class Envelope(Message, frozen=True):
    """One Raft message of one group. Sender and receiver are in the message, by replica id."""

    group: str
    message: RaftMessage


class Beat(Message, frozen=True):
    """A node's own heartbeat, sent to every other node again and again (`nodes.neighbours`)."""

    life: int  # changes with every start, and whenever one of the node's replicas stops
    leads: int  # how many groups it leads
    stops: bool = False  # it is about to: nobody should hand it anything


class PeerBatch(Message, frozen=True, tag="peers"):
    """Everything one node has for another in one turn of its loop."""

    envelopes: tuple[Envelope, ...]
    beat: Beat | None = None
