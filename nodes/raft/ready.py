"""What the Raft core hands its driver: `Ready`, and the box in which it gathers."""

from __future__ import annotations

from dataclasses import dataclass

from nodes.raft.messages import HardState, LogEntry, RaftMessage

__all__ = ["Outbox", "Ready"]


@dataclass(frozen=True)
class Ready:
    """What the driver must do now, in this order; see the module."""

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


class Outbox:
    """What was decided and not handed to the driver yet."""

    __slots__ = ("handed_out", "messages_after", "outstanding", "reads", "reads_failed", "saved")

    def __init__(self, saved: HardState, applied: int) -> None:
        self.messages_after: list[RaftMessage] = []
        self.reads: list[tuple[int, list[object]]] = []
        self.reads_failed: list[object] = []
        self.handed_out = applied  # last index given out as committed
        self.saved = saved  # what the driver has made durable, or is about to
        self.outstanding: Ready | None = None  # handed to the driver, not yet persisted
