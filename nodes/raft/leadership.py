"""What exists only while a replica leads: its peers, its heartbeat rounds, its reads.

It sends; what answers mean for commit, office and reads is decided in the core.
"""

from __future__ import annotations

from collections.abc import Collection

from nodes.raft.log import RaftLog
from nodes.raft.messages import AppendRequest, LogEntry, RaftMessage
from nodes.raft.progress import Progress
from nodes.raft.read_queue import ReadQueue

__all__ = ["Leadership"]


class Leadership:
    """One leader in one term."""

    __slots__ = ("_replica", "_term", "noop_index", "peers", "reads", "round", "ticks_since_check")

    def __init__(self, replica: int, term: int, peers: Collection[int], last_index: int) -> None:
        self._replica = replica
        self._term = term
        self.noop_index = last_index + 1
        """Index of the first entry of this term, the leader's own no-op."""
        self.peers = {peer: Progress(last_index + 1) for peer in peers}
        self.reads = ReadQueue()
        self.round = 0
        self.ticks_since_check = 0

    def start_round(self) -> None:
        """Every peer is owed a message, and its answer will prove that it knows no newer
        leader than us when it gave it."""
        self.round += 1
        for progress in self.peers.values():
            progress.message_due = True

    def has_append_requests(self, last_index: int) -> bool:
        """Whether `append_requests` has something to send."""
        return any(
            progress.message_due or progress.may_send_entries(last_index)
            for progress in self.peers.values()
        )

    def append_requests(self, log: RaftLog) -> list[RaftMessage]:
        """Everything that the windows allow, and one message to each peer that is owed one."""
        messages: list[RaftMessage] = []
        last = log.last
        for peer, progress in self.peers.items():
            while progress.may_send_entries(last):
                entries, size = log.entries_for_message(progress.next)
                messages.append(self._request(log, peer, progress, entries))
                progress.sent(len(entries), size)
                progress.message_due = False
            if progress.message_due:
                messages.append(self._request(log, peer, progress, ()))
                progress.message_due = False
        return messages

    def _request(
        self, log: RaftLog, peer: int, progress: Progress, entries: tuple[LogEntry, ...]
    ) -> AppendRequest:
        previous = progress.next - 1
        return AppendRequest(
            self._replica,
            peer,
            self._term,
            previous_index=previous,
            previous_term=log.term(previous),
            commit=log.commit,
            round=self.round,
            entries=entries,
        )
