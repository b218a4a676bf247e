"""What exists only while a replica leads: its peers, its heartbeat rounds, its reads.

It sends; what answers mean for commit, office and reads is decided in the core.
"""

from __future__ import annotations

from collections.abc import Collection

from nodes.raft.lease import Lease, LeaseRule
from nodes.raft.log import RaftLog
from nodes.raft.messages import AppendRequest, LogEntry, RaftMessage, Snapshot
from nodes.raft.progress import Progress
from nodes.raft.read_queue import ReadQueue
from nodes.raft.ready import ChunkRequest
from nodes.raft.snapshots import Sending

__all__ = ["Leadership", "Transfer"]


class Transfer:
    """The office is on its way to `successor` (section 3.10)."""

    __slots__ = ("asked", "successor", "ticks_left")

    def __init__(self, successor: int, ticks_left: int) -> None:
        self.successor = successor
        self.ticks_left = ticks_left
        self.asked = False
        """It has the whole log and was told to stand."""


class Leadership:
    """One leader in one term."""

    __slots__ = (
        "_replica",
        "_snapshot",
        "_snapshot_asked_for",
        "_term",
        "lease",
        "noop_index",
        "peers",
        "reads",
        "round",
        "ticks_since_check",
        "transfer",
    )

    def __init__(
        self,
        replica: int,
        term: int,
        peers: Collection[int],
        last_index: int,
        lease_rule: LeaseRule | None = None,
    ) -> None:
        self._replica = replica
        self._term = term
        self.noop_index = last_index + 1
        """Index of the first entry of this term, the leader's own no-op."""
        self.peers = {peer: Progress(last_index + 1) for peer in peers}
        self.reads = ReadQueue()
        self.lease = Lease(lease_rule)
        self.round = 0
        self.ticks_since_check = 0
        self.transfer: Transfer | None = None
        self._snapshot: Snapshot | None = None  # the newest that the driver has offered
        self._snapshot_asked_for = False

    def set_peers(self, peers: Collection[int], last_index: int) -> None:
        """The membership has changed; whoever stays keeps its progress."""
        known = self.peers
        self.peers = {peer: known.get(peer) or Progress(last_index + 1) for peer in peers}

    def start_round(self) -> None:
        """Every peer is owed a message, and its answer will prove that it knows no newer
        leader than us when it gave it."""
        self.round += 1
        for progress in self.peers.values():
            progress.message_due = True

    def is_idle(self, log: RaftLog) -> bool:
        """Nothing is under way, and every peer has everything and has answered the last round."""
        last = log.last
        return (
            log.commit == log.saved_index == last
            and self.transfer is None
            and self.reads.is_empty()
            and all(
                progress.match == last
                and progress.answered_round == self.round
                and progress.sending is None
                for progress in self.peers.values()
            )
        )

    def has_append_requests(self, log: RaftLog) -> bool:
        """Whether `append_requests` has something to send."""
        last, first = log.last, log.first
        for progress in self.peers.values():
            if (
                progress.message_due
                or (progress.next <= last and progress.may_send_entries(last))
                or (progress.next < first and progress.sending is None)
            ):
                return True
        return False

    def append_requests(self, log: RaftLog) -> list[RaftMessage]:
        """Everything that the windows allow, and one message to each peer that is owed one."""
        messages: list[RaftMessage] = []
        last = log.last
        for peer, progress in self.peers.items():
            if progress.next < log.first and progress.sending is None:
                progress.send_snapshot()
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
        # Beside a snapshot: the answer shows when the peer no longer needs it.
        previous = log.first - 1 if progress.sending is not None else progress.next - 1
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

    # ---------------------------------------------------------------- snapshots (chapter 5)

    def offer_snapshot(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._snapshot_asked_for = False

    def tick_snapshots(self, patience: int) -> None:
        for sending in self._sendings():
            sending.tick(patience)

    def snapshot_indexes(self) -> list[int]:
        """Of the snapshots under way."""
        sent = [sending.snapshot for sending in self._sendings()]
        return [snapshot.index for snapshot in sent if snapshot is not None]

    def forget_snapshot(self, snapshot: Snapshot) -> bool:
        """Stop counting on it, unless a peer that answers is getting it."""
        if any(sending.snapshot == snapshot for sending in self._sendings()):
            return False
        for progress in self.peers.values():
            if progress.sending is not None and progress.sending.snapshot == snapshot:
                progress.sending.restart(None)
        if self._snapshot == snapshot:
            self._snapshot = None
        return True

    def has_snapshot_work(self, log: RaftLog) -> bool:
        """Whether `wants_snapshot` or `chunk_requests` has something to say."""
        for sending in self._sendings():
            usable = self._usable(log, sending)
            if usable is None:
                if not self._snapshot_asked_for:
                    return True
            elif sending.snapshot is not usable or sending.has_room():
                return True
        return False

    def wants_snapshot(self, log: RaftLog) -> bool:
        """Whether the driver must be asked for a snapshot; it is asked once."""
        wants = not self._snapshot_asked_for and any(
            self._usable(log, sending) is None for sending in self._sendings()
        )
        self._snapshot_asked_for |= wants
        return wants

    def chunk_requests(self, log: RaftLog) -> list[ChunkRequest]:
        """Everything that the windows allow."""
        requests: list[ChunkRequest] = []
        for peer, progress in self.peers.items():
            sending = progress.sending
            if sending is None or not progress.is_active:
                continue
            snapshot = self._usable(log, sending)
            if snapshot is None:
                continue
            if sending.snapshot is not snapshot:
                sending.restart(snapshot)
            while sending.has_room():
                offset, size = sending.next_chunk()
                requests.append(
                    ChunkRequest(self._replica, peer, self._term, snapshot, offset, size)
                )
        return requests

    def _sendings(self) -> list[Sending]:
        """To peers that answer: one that is away keeps no file from being deleted."""
        return [
            progress.sending
            for progress in self.peers.values()
            if progress.sending is not None and progress.is_active
        ]

    def _usable(self, log: RaftLog, sending: Sending) -> Snapshot | None:
        """The snapshot to send, after which the log goes on without a gap: the one under way
        as long as it serves, so that a peer reaches the end of one."""
        for snapshot in (sending.snapshot, self._snapshot):
            if snapshot is not None and snapshot.index >= log.first - 1:
                return snapshot
        return None
