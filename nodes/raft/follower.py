"""What a replica does with its leader's log: appending, compacting, receiving a snapshot
(thesis, section 3.5 and chapter 5)."""

from __future__ import annotations

from nodes.raft.elections import NO_REPLICA, Elections, Role
from nodes.raft.messages import (
    AppendRequest,
    AppendResponse,
    InstallSnapshot,
    LogBase,
    Quiesce,
    Snapshot,
    SnapshotResponse,
)
from nodes.raft.snapshots import Receiving

__all__ = ["Follower"]


class Follower(Elections):
    """The receiving side of replication."""

    _receiving: Receiving | None = None

    # ---------------------------------------------------------------- replication: follower

    def _on_append_request(self, message: AppendRequest) -> None:
        """AppendEntries (figure 3.1)."""
        log = self.log
        if message.term < self.term:
            self._refuse_old_leader(message)
            return
        self._follow(message)
        previous = message.previous_index
        if not log.matches(previous, message.previous_term):
            self._reject(message)
            return
        present = log.accept(previous, message.entries)
        new = message.entries[present:]
        if new and self._memberships.note(previous + present + 1, new):
            self._membership_changed()
        match_index = previous + len(message.entries)
        # Not the leader's commit alone: beyond what this request matched, our log may hold
        # entries of a deposed leader (figure 3.1, AppendEntries 5).
        log.commit = max(log.commit, min(message.commit, match_index))
        self._accept(message.sender, match_index, message.round)

    def _follow(self, message: AppendRequest | InstallSnapshot | Quiesce) -> None:
        """The sender leads our term, or a newer one that we enter."""
        if message.term > self.term or self.role is not Role.FOLLOWER:
            assert self._leadership is None or message.term > self.term, "two leaders in a term"
            self._become_follower(message.term, message.sender)
        assert self.leader in (NO_REPLICA, message.sender), "two leaders in a term"
        self.leader = message.sender
        self._timer.reset()
        self._timer.since_leader = 0

    def _accept(self, receiver: int, match_index: int, round_number: int) -> None:
        """Our log equals the leader's up to `match_index`, once it is durable."""
        self._outbox.messages_after.append(
            AppendResponse(
                self.replica,
                receiver,
                self.term,
                success=True,
                match_index=max(match_index, self.log.commit),  # the leader has what is committed
                round=round_number,
            )
        )

    def _reject(self, message: AppendRequest) -> None:
        """The logs do not match at the request's previous index; say where they still may."""
        hint = self.log.last_index_with_term_up_to(message.previous_term, message.previous_index)
        self._outbox.messages_after.append(
            AppendResponse(
                self.replica,
                message.sender,
                self.term,
                success=False,
                match_index=0,
                round=message.round,
                rejected_index=message.previous_index,
                hint_index=hint,
                hint_term=self.log.term(hint),
            )
        )

    def _refuse_old_leader(self, message: AppendRequest | InstallSnapshot | Quiesce) -> None:
        """Tell a leader of an older term that we are ahead. It ignores our requests for votes
        while it hears its followers; without this answer we would be stuck for ever.

        The answer says nothing but our term. Above all not the request's round: rounds are
        counted per term, and if the sender leads our term by now, an old term's round would
        confirm reads of the new one that nobody was asked about.
        """
        self._outbox.messages_after.append(
            AppendResponse(
                self.replica, message.sender, self.term, success=False, match_index=0, round=0
            )
        )

    def _on_quiesce(self, message: Quiesce) -> None:
        """Expect no heartbeats, if we have everything; an answer tells the leader that we do
        not."""
        if message.term < self.term:
            self._refuse_old_leader(message)
            return
        self._follow(message)
        log = self.log
        if log.commit == log.last == message.last_index:
            self.is_quiescent = True
        else:
            self.is_quiescent = False
            self._accept(message.sender, log.commit, 0)

    # ---------------------------------------------------------------- compaction

    def base(self, index: int) -> LogBase:
        """What stands for the entries up to `index`, if they are given up."""
        return LogBase(index, self.log.term(index), self._memberships.at(index))

    def compact(self, index: int) -> LogBase:
        """Give up the entries up to `index`, whose effect the state machine holds durably."""
        assert self.log.first - 1 <= index <= self._outbox.handed_out, f"{index} is not applied"
        base = self.base(index)
        self.log.compact(index)
        self._memberships.compact(index)
        return base

    # ---------------------------------------------------------------- snapshots that come in

    def snapshot_received(self, *, intact: bool) -> None:
        """The file that came in is complete, and durable if it is `intact`."""
        receiving = self._receiving
        assert receiving is not None, "no snapshot comes in"
        assert receiving.is_complete, "chunks are missing"
        self._receiving = None
        if intact:
            self._outbox.install = receiving.snapshot
        elif self.leader not in (NO_REPLICA, self.replica):
            self._tell_received(self.leader, receiving.snapshot, 0)

    def forget_chunks(self) -> None:
        """What came in was not kept. The leader hears it when it sends the next chunk, or sends
        the only one again."""
        self._receiving = None

    def _on_install_snapshot(self, message: InstallSnapshot) -> None:
        if message.term < self.term:
            self._refuse_old_leader(message)
            return
        self._follow(message)
        snapshot = message.snapshot
        if self._is_covered(snapshot):
            self._accept(message.sender, snapshot.index, 0)
            return
        if self._outbox.install is not None:
            return  # what is about to be installed will be answered
        receiving = self._receiving
        if receiving is None or receiving.snapshot != snapshot:
            if message.offset != 0:
                self._tell_received(message.sender, snapshot, 0)
                return
            if receiving is not None and not receiving.gives_way_to(message):
                return
            receiving = self._receiving = Receiving(snapshot, message.term)
        if receiving.takes(message):
            self._outbox.chunks.append(message)
        if not receiving.is_complete:
            self._tell_received(message.sender, snapshot, receiving.received)

    def _is_covered(self, snapshot: Snapshot) -> bool:
        """Whether the log has everything that the snapshot stands for. If it does, all of that
        is committed (log matching), and entries behind it may be acknowledged: they stay."""
        if not self.log.matches(snapshot.index, snapshot.base.term):
            return False
        self.log.commit = max(self.log.commit, snapshot.index)
        return True

    def _tell_received(self, receiver: int, snapshot: Snapshot, received: int) -> None:
        self._outbox.messages_after.append(
            SnapshotResponse(
                self.replica, receiver, self.term, snapshot.index, snapshot.hash, received
            )
        )

    def _install(self) -> Snapshot | None:
        """The received snapshot takes the place of the log, if it still is ahead of it."""
        snapshot, self._outbox.install = self._outbox.install, None
        if snapshot is None or self._leadership is not None or self._is_covered(snapshot):
            return None
        self.log.reset(snapshot.index, snapshot.base.term)
        self._memberships.reset(snapshot.index, snapshot.base.membership)
        self._membership_changed()
        self._outbox.handed_out = snapshot.index
        if self.leader != NO_REPLICA:
            self._accept(self.leader, snapshot.index, 0)
        return snapshot
