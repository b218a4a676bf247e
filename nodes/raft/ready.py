"""What the Raft core hands its driver: `Ready`, and the box in which it gathers."""

from __future__ import annotations

import msgspec

from nodes.raft.messages import HardState, InstallSnapshot, LogEntry, RaftMessage, Snapshot

__all__ = ["ChunkRequest", "Outbox", "Ready"]


class ChunkRequest(msgspec.Struct, frozen=True):
    """Bytes of a snapshot's file that a peer is to get: read them and send `message` of them.

    Reading may take its time, and the driver may drop a request when it has too many or the
    file is gone: to the core that is a lost message, and it asks again.
    """

    sender: int
    receiver: int
    term: int
    snapshot: Snapshot
    offset: int
    size: int

    def message(self, data: bytes) -> InstallSnapshot:
        assert len(data) == self.size, f"{len(data)} bytes instead of {self.size}"
        return InstallSnapshot(
            self.sender, self.receiver, self.term, self.snapshot, self.offset, data
        )


class Ready(msgspec.Struct, frozen=True):
    """What the driver must do now, in this order; see the core's docstring."""

    messages: list[RaftMessage]
    """Send at once."""
    hard_state: HardState | None
    """Make durable if not None."""
    first_index: int
    entries: list[LogEntry]
    """Make durable: they replace everything from `first_index` on. Nothing to do if empty."""
    messages_after: list[RaftMessage]
    """Send once the two above are durable."""
    committed: range
    """Indexes of entries that are committed, durable here and not handed out before. May be
    long after a restart: read and apply it in pieces."""
    reads: list[tuple[int, list[object]]]
    """(index, contexts): confirmed, to be answered from a state that has applied `index`."""
    reads_failed: list[object]
    """Contexts that can no longer be confirmed: this replica lost its office."""
    install: Snapshot | None = None
    """Switch to the state in this received file, in the transaction of `hard_state`, and
    before `entries` forget the whole log: it begins after the snapshot's base now."""
    chunks: list[InstallSnapshot] = []
    """Write to the file that is being received; they come in order and without a gap, and
    offset 0 begins a new file in place of any other."""
    chunks_to_send: list[ChunkRequest] = []
    wants_snapshot: bool = False
    """A peer needs entries that are compacted: see `RaftCore.offer_snapshot`."""

    @property
    def is_durable_work(self) -> bool:
        """Whether there is something to make durable."""
        return self.hard_state is not None or bool(self.entries) or self.install is not None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (
            self.messages_after
            or self.messages
            or self.committed
            or self.reads
            or self.reads_failed
            or self.chunks
            or self.chunks_to_send
            or self.wants_snapshot
            or self.is_durable_work
        )


class Outbox:
    """What was decided and not handed to the driver yet."""

    __slots__ = (
        "chunks",
        "handed_out",
        "install",
        "messages_after",
        "outstanding",
        "reads",
        "reads_failed",
        "saved",
    )

    def __init__(self, saved: HardState, applied: int) -> None:
        self.messages_after: list[RaftMessage] = []
        self.reads: list[tuple[int, list[object]]] = []
        self.reads_failed: list[object] = []
        self.chunks: list[InstallSnapshot] = []
        self.install: Snapshot | None = None  # received and intact, not yet checked against the log
        self.handed_out = applied  # last index given out as committed
        self.saved = saved  # what the driver has made durable, or is about to
        self.outstanding: Ready | None = None  # handed to the driver, not yet persisted
