"""What a leader knows of one peer, and how much it may have under way to it.

Entries are pipelined: the leader does not wait for an answer before it sends the next ones
(thesis, section 10.2.1), as long as the window has room. After a rejection it probes: empty
requests, one at a time, until an answer tells where the logs agree. Lost requests need no
timer of their own: every tick a heartbeat names the last index sent, and a peer that misses
something before it rejects that heartbeat. A peer that needs entries which are compacted gets
a snapshot first (chapter 5), and nothing but heartbeats beside it.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from nodes.raft.snapshots import Sending

__all__ = ["Progress", "WINDOW_BYTES_MAX", "WINDOW_MESSAGES_MAX"]

WINDOW_MESSAGES_MAX: Final = 16
"""Unanswered requests with entries to one peer."""

WINDOW_BYTES_MAX: Final = 4 * 1024 * 1024
"""Their data: a peer that does not answer costs the leader no more than this."""


class Progress:
    """One peer of a leader."""

    __slots__ = (
        "_window",
        "_window_bytes",
        "answered_round",
        "is_active",
        "match",
        "message_due",
        "next",
        "probing",
        "sending",
        "was_active",
    )

    def __init__(self, next_index: int) -> None:
        self.match = 0
        """The peer's log is durable and equal to the leader's up to here. Never decreases."""
        self.next = next_index
        """Index of the next entry to send; match < next."""
        self.probing = False
        """Where the logs agree is being searched: no entries are sent."""
        self.sending: Sending | None = None
        """The snapshot that the peer gets now: no entries are sent."""
        self.message_due = True
        """A request must go out even if there is no entry to send."""
        self.is_active = True
        """The peer has answered since the last CheckQuorum."""
        self.was_active = False
        """The same of the CheckQuorum before."""
        self.answered_round = 0
        """The newest heartbeat round that the peer has answered."""
        self._window: deque[tuple[int, int]] = deque()  # (last index, bytes) per request
        self._window_bytes = 0

    @property
    def has_answered_lately(self) -> bool:
        """Within one to two election timeouts, and in this term of office."""
        return self.answered_round > 0 and (self.is_active or self.was_active)

    def may_send_entries(self, last_index: int) -> bool:
        """Whether the leader, whose log ends at `last_index`, has an entry to send now."""
        return (
            self.next <= last_index
            and not self.probing
            and self.sending is None
            and len(self._window) < WINDOW_MESSAGES_MAX
            and self._window_bytes < WINDOW_BYTES_MAX
        )

    def sent(self, count: int, size: int) -> None:
        """A request with `count` entries of `size` bytes in all goes out."""
        self.next += count
        self._window.append((self.next - 1, size))
        self._window_bytes += size

    def accepted(self, match_index: int) -> bool:
        """The peer has everything up to `match_index`; returns whether that is news."""
        if self.probing and match_index >= self.next - 1:
            self.probing = False
        while self._window and self._window[0][0] <= match_index:
            self._window_bytes -= self._window.popleft()[1]
        if match_index <= self.match:
            return False
        self.match = match_index
        self.next = max(self.next, match_index + 1)
        return True

    def rejects_what_was_sent(self, rejected_index: int) -> bool:
        """Whether a rejection of a request after `rejected_index` still means something.

        A delayed one does not: up to `match` the logs are known to agree, and a probe is
        answered by its own rejection only. A peer that rejects `match` itself has lost what
        it acknowledged; it is asked again with the next heartbeat, not at once and for ever.
        """
        if self.sending is not None or (self.probing and rejected_index != self.next - 1):
            return False
        return self.match < rejected_index < self.next

    def probe(self, next_index: int) -> None:
        """Ask whether the logs agree just before `next_index`."""
        self.next = max(next_index, self.match + 1)
        self.probing = True
        self.message_due = True
        self._window.clear()
        self._window_bytes = 0

    def send_snapshot(self) -> None:
        """The entries that the peer needs are compacted."""
        self.sending = Sending()
        self.probing = False
        self.message_due = True  # the answer may show that it has them after all
        self._window.clear()
        self._window_bytes = 0

    def end_snapshot(self) -> None:
        """The peer has what is compacted: entries can follow."""
        self.sending = None
        self.next = self.match + 1
