"""What a leader does: replicate, commit, confirm reads, hand over, send snapshots, fall silent.

Sections 3.5, 3.6 and 6.2 of the thesis for replication, 6.4 for reads, 3.10 for the transfer and
4.1 for when members may change. What it keeps for that is in `leadership`.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.raft.follower import Follower
from nodes.raft.leadership import Leadership
from nodes.raft.messages import (
    AppendResponse,
    Quiesce,
    ReadAnswer,
    ReadRequest,
    Snapshot,
    SnapshotResponse,
    TimeoutNow,
)
from nodes.raft.progress import Progress
from nodes.raft.quorum import majority, reached_by_majority
from nodes.raft.read_queue import RemoteRead

__all__ = ["Leader"]


def _match_of(progress: Progress) -> int:
    return progress.match


def _is_active(progress: Progress) -> bool:
    return progress.is_active


def _answered_round_of(progress: Progress) -> int:
    return progress.answered_round


class Leader(Follower):
    """The office, and what answers mean to it."""

    # ---------------------------------------------------------------- replication

    def _on_append_response(self, message: AppendResponse) -> None:
        if message.term > self.term:
            self._become_follower(message.term)
            return
        leadership = self._leadership
        if leadership is None or message.term < self.term:
            return
        progress = leadership.peers.get(message.sender)
        if progress is None:
            return
        progress.is_active = True
        if message.round > progress.answered_round:
            # A rejection of entries is as good: the peer was in our term when it answered.
            progress.answered_round = message.round
            self._confirm_reads(leadership)
            if leadership.lease.is_on:
                leadership.lease.confirmed(self._confirmed_round(leadership), self._now)
        if message.success:
            is_news = progress.accepted(message.match_index)
            if progress.sending is not None and progress.match >= self.log.first - 1:
                progress.end_snapshot()
            if is_news:
                self._ask_successor(leadership)
                self._advance_commit(leadership)
        elif progress.rejects_what_was_sent(message.rejected_index):
            agreed = self.log.last_index_with_term_up_to(message.hint_term, message.hint_index)
            if agreed < self.log.first - 1:
                progress.send_snapshot()
            else:
                progress.probe(agreed + 1)

    def _advance_commit(self, leadership: Leadership) -> None:
        """Commit what a majority has durably, ourselves included only as far as we have."""
        index = reached_by_majority(self._of_voters(leadership, self.log.saved_index, _match_of))
        if index > self.log.commit and self._may_commit_by_counting(leadership, index):
            self.log.commit = index
            if not self._is_voter and self._memberships.changed_at <= index:
                self._become_follower(self.term)  # we removed ourselves (section 4.2.2)

    def _of_voters(
        self, leadership: Leadership, own: int, of_peer: Callable[[Progress], int]
    ) -> list[int]:
        """What each voter has reached; a leader that is none does not count (section 4.2.2)."""
        peers = leadership.peers
        return [own if voter == self.replica else of_peer(peers[voter]) for voter in self._voters]

    def _may_commit_by_counting(self, leadership: Leadership, index: int) -> bool:
        """Only entries of the own term are committed by counting copies; earlier ones follow
        with them. An older entry on a majority can still be overwritten (figure 3.7)."""
        return index >= leadership.noop_index

    def _check_quorum(self, leadership: Leadership) -> None:
        """Step down unless a majority answered within the last election timeout (section
        6.2), so that clients of a leader that is cut off look for another."""
        active = sum(self._of_voters(leadership, True, _is_active))
        if active < majority(len(self._voters)):
            self._become_follower(self.term)
            return
        for progress in leadership.peers.values():
            progress.was_active, progress.is_active = progress.is_active, False

    # ---------------------------------------------------------------- transfer and members

    def _refuses_proposals(self, leadership: Leadership) -> bool:
        """While the office is handed over: entries behind the successor's log would stop it
        (section 3.10)."""
        return leadership.transfer is not None

    def _ask_successor(self, leadership: Leadership) -> None:
        """Once the successor has the whole log nothing keeps it from winning (section 3.10)."""
        transfer = leadership.transfer
        if transfer is None or transfer.asked:
            return
        progress = leadership.peers.get(transfer.successor)
        if progress is None:
            leadership.transfer = None
        elif progress.match == self.log.last:
            transfer.asked = True
            self._outbox.messages_after.append(
                TimeoutNow(self.replica, transfer.successor, self.term)
            )

    def _may_change_membership(self, leadership: Leadership) -> bool:
        """Only a leader that has committed an entry of its own term knows the latest membership
        that may be committed; without this two leaders' single steps from an old one can have
        disjoint majorities (Ongaro's erratum of 2015 to section 4.1)."""
        return self._has_committed_in_own_term(leadership)

    # ---------------------------------------------------------------- snapshots (chapter 5)

    @property
    def compaction_limit(self) -> int:
        """Compacting further would make a snapshot useless that a peer is getting."""
        if self._leadership is None:
            return self.log.commit
        return min([self.log.commit, *self._leadership.snapshot_indexes()])

    def offer_snapshot(self, snapshot: Snapshot) -> None:
        """A file for peers that need entries which are compacted; see the module."""
        assert snapshot.size > 0, "a snapshot without a byte"
        if self._leadership is not None:
            self._leadership.offer_snapshot(snapshot)

    def forget_snapshot(self, snapshot: Snapshot) -> bool:
        """Whether the file may be deleted: then its bytes are not asked for any more."""
        return self._leadership is None or self._leadership.forget_snapshot(snapshot)

    def _on_snapshot_response(self, message: SnapshotResponse) -> None:
        if message.term > self.term:
            self._become_follower(message.term)
            return
        if self._leadership is None or message.term < self.term:
            return
        progress = self._leadership.peers.get(message.sender)
        if progress is None:
            return
        progress.is_active = True
        if progress.sending is not None:
            progress.sending.reported(message.index, message.hash, message.received)

    # ---------------------------------------------------------------- reads (section 6.4)

    def _has_committed_in_own_term(self, leadership: Leadership) -> bool:
        """Until then a new leader may not know of entries that are committed."""
        return self.log.commit >= leadership.noop_index

    def _open_read_round(self, leadership: Leadership) -> None:
        if leadership.reads.may_open() and self._has_committed_in_own_term(leadership):
            leadership.start_round()
            leadership.reads.open(leadership.round, self.log.commit)
            self._confirm_reads(leadership)  # a single voter is its own majority

    def _confirm_reads(self, leadership: Leadership) -> None:
        oldest = leadership.reads.oldest()
        while oldest is not None and self._is_round_confirmed(leadership, oldest.number):
            self._answer_round(*leadership.reads.take_oldest())
            oldest = leadership.reads.oldest()

    def _is_round_confirmed(self, leadership: Leadership, number: int) -> bool:
        """Whether a majority has answered heartbeat round `number` or a later one."""
        return self._confirmed_round(leadership) >= number

    def _confirmed_round(self, leadership: Leadership) -> int:
        return reached_by_majority(
            self._of_voters(leadership, leadership.round, _answered_round_of)
        )

    def _answer_round(self, index: int, contexts: list[object]) -> None:
        own: list[object] = []
        for context in contexts:
            if isinstance(context, RemoteRead):
                self._answer_read(context.replica, context.id, index)
            else:
                own.append(context)
        if own:
            self._outbox.reads.append((index, own))

    def _answer_read(self, receiver: int, number: int, index: int) -> None:
        self._outbox.messages_after.append(
            ReadAnswer(self.replica, receiver, self.term, number, index)
        )

    def _on_read_request(self, message: ReadRequest) -> None:
        """A follower asks: its read joins ours."""
        if message.term > self.term:
            self._become_follower(message.term)
        if self._leadership is not None:
            self._leadership.reads.add(RemoteRead(message.sender, message.id))
        else:
            self._answer_read(message.sender, message.id, 0)

    def _on_read_answer(self, message: ReadAnswer) -> None:
        """Whoever confirmed it led when it did, after we had asked: its term does not matter."""
        contexts = self._forwarded.answered(message.id)
        if contexts and message.index:
            self._outbox.reads.append((message.index, contexts))
        else:
            self._outbox.reads_failed += contexts

    # ---------------------------------------------------------------- quiescence

    def _quiesces(self, leadership: Leadership) -> bool:
        """Whether the group has been idle long enough to do without heartbeats."""
        if not self._quiesce_ticks:
            return False
        self._idle_ticks = self._idle_ticks + 1 if leadership.is_idle(self.log) else 0
        if self._idle_ticks < self._quiesce_ticks:
            return False
        self.is_quiescent = True
        for peer in leadership.peers:
            self._outbox.messages_after.append(
                Quiesce(self.replica, peer, self.term, self.log.last)
            )
        return True
