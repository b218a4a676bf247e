"""Snapshots on their way: what a leader has sent of one, what a follower has received.

The bytes are the driver's; here are only offsets (thesis, chapter 5). Chunks may be lost,
repeated and overtaken: the receiver takes only the next one in order and answers every other
with where it is, and the sender goes back to that when nothing moved for a while.
"""

from __future__ import annotations

from typing import Final

from nodes.raft.messages import InstallSnapshot, Snapshot

__all__ = ["CHUNK_BYTES", "CHUNKS_MAX", "Receiving", "Sending"]

CHUNK_BYTES: Final = 256 * 1024
"""Bytes of one InstallSnapshot: a heartbeat behind it waits a millisecond on a slow network."""

CHUNKS_MAX: Final = 4
"""Chunks under way to one peer."""


class Sending:
    """A snapshot on its way to one peer.

    Heartbeats go on meanwhile, and any answer that shows the peer at or behind the beginning of
    the leader's log ends this, however it got there.
    """

    __slots__ = ("_reported", "_sent", "acknowledged", "snapshot", "ticks_waited")

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None  # None until the driver has offered one
        self.restart(None)

    def restart(self, snapshot: Snapshot | None) -> None:
        self.snapshot = snapshot
        self.acknowledged = 0
        """The peer has had this much of it."""
        self._sent = 0
        self._reported = 0  # what the peer said last; less than acknowledged if it restarted
        self.ticks_waited = 0

    def tick(self, patience: int) -> None:
        """Time passes; after `patience` ticks without news send again what the peer lacks."""
        self.ticks_waited += 1
        if self.ticks_waited >= patience:
            self.ticks_waited = 0
            self.acknowledged = self._sent = self._reported

    def reported(self, index: int, file_hash: bytes, received: int) -> None:
        """The peer says how much it has."""
        snapshot = self.snapshot
        if snapshot is None or (snapshot.index, snapshot.hash) != (index, file_hash):
            return
        self._reported = received
        if received > self.acknowledged:
            self.acknowledged = received
            self._sent = max(self._sent, received)
            self.ticks_waited = 0

    def has_room(self) -> bool:
        """Whether a chunk may be sent now."""
        snapshot = self.snapshot
        return (
            snapshot is not None
            and self._sent < snapshot.size
            and self._sent - self.acknowledged < CHUNKS_MAX * CHUNK_BYTES
        )

    def next_chunk(self) -> tuple[int, int]:
        """(offset, size) of the chunk that goes out now."""
        assert self.snapshot is not None
        offset = self._sent
        size = min(CHUNK_BYTES, self.snapshot.size - offset)
        self._sent += size
        return offset, size


class Receiving:
    """A snapshot that comes in. It begins with its first chunk and ends when the driver has
    checked the whole file."""

    __slots__ = ("received", "snapshot", "term")

    def __init__(self, snapshot: Snapshot, term: int) -> None:
        self.snapshot = snapshot
        self.term = term  # of the leader that sends it
        self.received = 0

    @property
    def is_complete(self) -> bool:
        """All is here; the driver is checking it."""
        return self.received == self.snapshot.size

    def takes(self, message: InstallSnapshot) -> bool:
        """Whether the chunk is the next one; it counts as received then."""
        end = message.offset + len(message.data)
        if message.offset != self.received or not self.received < end <= self.snapshot.size:
            return False
        self.received = end
        return True

    def gives_way_to(self, message: InstallSnapshot) -> bool:
        """Whether the chunk begins a snapshot that replaces this one: a repeated chunk of an
        older one must not."""
        return (
            message.offset == 0
            and not self.is_complete
            and (message.term, message.snapshot.index) >= (self.term, self.snapshot.index)
        )
