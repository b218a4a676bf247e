"""The Raft core: decides, and does nothing else. No clock, socket, disk or thread.

After Ongaro, "Consensus: Bridging Theory and Practice" (2014), cited as "section ...", with
etcd's division of labour: inputs are calls, the output is one `Ready` that lists what the
driver must do, in order. The driver's contract, after any number of inputs:

    while core.has_ready():
        ready = core.ready()
        send(ready.messages)
        write ready.chunks to the file of the snapshot that comes in
        make durable, in one transaction:              # a failure stops the replica
            ready.install, if not None: the received file is the state, its base the log's
            ready.hard_state, if not None
            ready.entries, replacing everything from ready.first_index on
        core.persisted(ready)
        send(ready.messages_after)
        for each of ready.chunks_to_send, now or later: send request.message(its bytes)
        if ready.wants_snapshot: begin to make one for core.offer_snapshot
        apply core.log.entries(...) of ready.committed, in order and in pieces
        for index, contexts in ready.reads: answer them when `applied` >= index
        refuse ready.reads_failed

One Ready at a time: `has_ready` is False from `ready` to `persisted`, while inputs may come in
at any time. Sending may lose, repeat, delay and reorder messages; it must not alter them.
`has_ready` is exact: False means that nothing happens before the next input.

What holds the promises:
- Nothing that depends on a record leaves before the record is durable (section 3.8): votes,
  acknowledgements and requests for votes are in `messages_after`. A leader's AppendRequests
  depend on no record of its own that is not durable (its term is, since it was elected), so
  they travel while it writes (section 10.2.1), and its own copy counts when it is written.
- A leader commits by counting copies only in its own term (section 3.6.2).
- PreVote (9.6) and ignoring votes while a leader is heard (4.2.3) keep a replica that was cut
  off from deposing a working leader; CheckQuorum (6.2) ends a leader that is cut off itself.
- A read is answered only after a round of heartbeats sent after it (6.4).

Snapshots (chapter 5) are files of the driver; the core never sees their bytes.
- Compaction. When the state machine holds everything up to an index durably, the driver may
  call `compact(index)`; what it returns it stores as the log's base in the transaction that
  deletes the entries, at any time after. At a restart it gives the base's index and term to
  RaftLog, its membership to the constructor.
- Sending. `ready.wants_snapshot` asks for a file whose index is at least `log.first - 1`; the
  driver makes it (`base(index)` gives what belongs to its index), or takes one that it has, and
  calls `offer_snapshot`. It is asked once, and again only if what it offered has become too
  old because it compacted further: below `compaction_limit` that does not happen. The bytes
  are asked for as `ready.chunks_to_send`. A file may be deleted after `forget_snapshot` said
  True, and on a replica that does not lead.
- Receiving. `ready.chunks` come in order, each once, offset 0 in place of any earlier file. When
  the last one is written (offset + length = size) the driver checks size and hash, makes the
  file durable, lets its state machine come to rest and calls `snapshot_received` exactly once;
  meanwhile no chunk comes. A driver that could not keep the first one calls `forget_chunks`, and
  passes over what comes until another file begins. If the next Ready names it in `install`, the
  driver switches to it: once that Ready is durable, the state machine is the file's, and has
  applied the snapshot's index. Else it is of no use any more (the log has brought the entries, or
  the file is damaged) and the state machine goes on. What a crash leaves of a file that was not
  installed is deleted at start; the core begins again.
A snapshot moves the commit index only when it is installed, or when the log has an entry with
its index and term: then everything before that entry is committed, and no file is needed.

Leases (6.4.1, off without a `lease_rule`) answer reads by `lease_read` without a round; `tick`
then needs the clock that the rule speaks of.

Quiescence (off without `quiesce_ticks`): a leader whose group has been idle for so many ticks, with
every peer there, tells its peers and both sides let no time pass: `tick` does nothing. Any input
but a tick wakes a replica, and a woken leader sends heartbeats. What heartbeats would show the
driver has to see once for all groups: nodes exchange heartbeats of their own, with a number that
changes with every start. When a node's heartbeat is missing for an election timeout, or its
number has changed, the driver calls `wake` of every replica that follows a leader there, and of
every leader here with a member there. The worst that a forgotten `wake` does is that a group
without a leader has none until somebody asks it for something.

Members (chapter 4) change one at a time by an entry, which holds once it is in the log and is
rolled back with it. `memberships` of the constructor are those at the log's base and in the
log: the driver finds the latter with `membership_in` when it opens the log. An entry with a
membership is applied as nothing. A leader that removes itself leads until that is committed,
counting in no majority (4.2.2). Replica ids are never given again, and a learner begins as one.
What a majority is, is decided in `quorum.py` alone.
"""

from __future__ import annotations

from typing import Final

from nodes.raft.elections import NO_REPLICA, Role
from nodes.raft.leader import Leader
from nodes.raft.leadership import Transfer
from nodes.raft.log import LogReader, RaftLog
from nodes.raft.membership import ChangeRefused, check_step
from nodes.raft.messages import (
    AppendRequest,
    AppendResponse,
    HardState,
    InstallSnapshot,
    LogEntry,
    Membership,
    PreVoteRequest,
    PreVoteResponse,
    Quiesce,
    RaftMessage,
    ReadAnswer,
    ReadRequest,
    SnapshotResponse,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
    membership_entry,
)
from nodes.raft.ready import ChunkRequest, Ready

__all__ = ["LogReader", "NO_REPLICA", "RaftCore", "RaftLog", "Ready", "Role"]


CATCH_UP_ENTRIES_MAX: Final = 1000
"""A learner becomes a voter only this close behind: the next commits may need it (4.2.1)."""


class RaftCore(Leader):
    """One replica of one group.

    `memberships` is who belonged to the group at the log's base, as (index, membership), and
    every membership that the log holds behind it. A new group has one, at index 0.
    `applied` is the index up to which the state machine already holds the log's effects; it
    is committed, and nothing up to it is handed out again. `first_timeout_ticks` replaces the
    first election timeout, so that a new group's preferred leader can stand first.
    """

    # ---------------------------------------------------------------- inputs

    def tick(self, now: float = 0.0) -> None:
        """One unit of time has passed. `now` is the driver's clock, which only leases look at."""
        self._now = now
        if self.is_quiescent:
            return
        self._timer.tick()
        self._outbox.reads_failed += self._forwarded.tick()
        leadership = self._leadership
        if leadership is None:
            if self._timer.elapsed >= self._timer.timeout and self._is_voter:
                self._start_pre_election()
            return
        if self._quiesces(leadership):
            return
        leadership.start_round()
        leadership.lease.sent(leadership.round, now)
        leadership.tick_snapshots(self._timer.election_ticks)
        if leadership.transfer is not None:
            leadership.transfer.ticks_left -= 1
            if leadership.transfer.ticks_left <= 0:
                leadership.transfer = None  # it did not get there: go on as the leader (3.10)
        leadership.ticks_since_check += 1
        if leadership.ticks_since_check >= self._timer.election_ticks:
            leadership.ticks_since_check = 0
            self._check_quorum(leadership)

    def propose(self, data: bytes) -> int | None:
        """Append an entry; its index, or None if this replica does not lead or hands over.

        The entry is ours if it is handed out with the present term; another term at its index
        means that it is lost, a change of leader before that that its fate is unknown.
        """
        if self._leadership is None or self._refuses_proposals(self._leadership):
            return None
        self.wake()
        return self.log.append(LogEntry(self.term, data))

    def transfer(self, successor: int) -> bool:
        """Hand the office over to a voter; False if this replica cannot (section 3.10).

        Proposals are refused until the successor leads, or for an election timeout: then it
        failed, and we lead on. `successor` tells which of the two is not decided yet.
        """
        leadership = self._leadership
        if leadership is None or leadership.transfer is not None:
            return False
        if successor not in self._voters or successor == self.replica:
            return False
        self.wake()
        leadership.lease.end()
        leadership.transfer = Transfer(successor, self._timer.election_ticks)
        leadership.peers[successor].message_due = True
        self._ask_successor(leadership)
        return True

    @property
    def successor(self) -> int:
        """The replica that is to lead soon, NO_REPLICA if none."""
        transfer = self._leadership.transfer if self._leadership is not None else None
        return transfer.successor if transfer is not None else NO_REPLICA

    @property
    def has_asked_successor(self) -> bool:
        """It was told to stand: it may win at any time, also after the transfer was given up."""
        transfer = self._leadership.transfer if self._leadership is not None else None
        return transfer is not None and transfer.asked

    def progress(self) -> dict[int, tuple[int, bool]]:
        """Of every member, as the leader knows it: the last index that it has durably, and
        whether it has answered lately. Empty on others."""
        leadership = self._leadership
        if leadership is None:
            return {}
        peers = leadership.peers
        return {
            member.id: (self.log.saved_index, True)
            if member.id == self.replica
            else (peers[member.id].match, peers[member.id].has_answered_lately)
            for member in self.membership.members
        }

    def change_membership(self, membership: Membership) -> int:
        """Propose the next membership, which `nodes.raft.membership` makes from the current one;
        returns the index of its entry. Raises ChangeRefused."""
        leadership = self._leadership
        if leadership is None:
            raise ChangeRefused("This replica does not lead.")
        if leadership.transfer is not None:
            raise ChangeRefused("The leadership is being handed over.")
        if not self._may_change_membership(leadership):
            raise ChangeRefused("The leader does not know yet that it is one; ask again.")
        if self.is_changing:
            raise ChangeRefused("The previous change is under way; ask again.")
        check_step(self.membership, membership)
        promoted = set(membership.voters) - set(self._voters)
        for replica in promoted:
            progress = leadership.peers[replica]
            lacks = self.log.last - progress.match
            # However few entries those are, who needs a snapshot has nothing of the data yet.
            if lacks > CATCH_UP_ENTRIES_MAX or progress.match < self.log.first - 1:
                raise ChangeRefused(f"Learner {replica} has to catch up first; ask again.")
        self.wake()
        entry = membership_entry(self.term, membership)
        index = self.log.append(entry)
        self._memberships.note(index, [entry])
        self._membership_changed()
        return index

    def read_index(self, context: object) -> bool:
        """Ask for a linearizable read, from the leader or from a follower, which asks it; False
        if no leader is known.

        `context` comes back exactly once, in `Ready.reads` or `Ready.reads_failed`. From a
        follower the indexes need not come in order.
        """
        if self._leadership is not None:
            self._leadership.reads.add(context)
        elif self.leader != NO_REPLICA:
            self._forwarded.waiting.append(context)
        else:
            return False
        self.wake()
        return True

    def lease_read(self, now: float) -> int | None:
        """The index that a linearizable read must see, if a lease holds at `now`; None: use
        `read_index`. `now` is read from the clock after the request has arrived."""
        leadership = self._leadership
        if (
            leadership is None
            or not leadership.lease.holds(now)
            or not self._has_committed_in_own_term(leadership)
        ):
            return None
        return self.log.commit

    def wake(self) -> None:
        """Let time pass again in a quiescent group: the driver has lost a node; see the module."""
        self._idle_ticks = 0
        if self.is_quiescent:
            self.is_quiescent = False
            self._timer.reset()
            if self._leadership is not None:
                self._leadership.start_round()

    def step(self, message: RaftMessage) -> None:
        """A message has arrived."""
        if message.receiver != self.replica:
            return  # for a replica that lived at this address before; ids are never reused
        if self.is_quiescent and not isinstance(message, Quiesce):
            self.wake()
        match message:
            case AppendRequest():
                self._on_append_request(message)
            case AppendResponse():
                self._on_append_response(message)
            case PreVoteRequest():
                self._on_pre_vote_request(message)
            case PreVoteResponse():
                self._on_pre_vote_response(message)
            case VoteRequest():
                self._on_vote_request(message)
            case VoteResponse():
                self._on_vote_response(message)
            case InstallSnapshot():
                self._on_install_snapshot(message)
            case SnapshotResponse():
                self._on_snapshot_response(message)
            case TimeoutNow():
                self._on_timeout_now(message)
            case ReadRequest():
                self._on_read_request(message)
            case ReadAnswer():
                self._on_read_answer(message)
            case Quiesce():
                self._on_quiesce(message)

    # ---------------------------------------------------------------- outputs

    def has_ready(self) -> bool:
        """Whether `ready` would give the driver anything to do."""
        outbox, log, leadership = self._outbox, self.log, self._leadership
        if outbox.outstanding is not None:
            return False
        if (
            outbox.messages_after
            or outbox.reads
            or outbox.reads_failed
            or outbox.chunks
            or outbox.install is not None
            or log.saved_index < log.last
            or outbox.handed_out < log.commit <= log.saved_index
            or outbox.handed_out < log.saved_index < log.commit
            or self.term != outbox.saved.term
            or self._vote != outbox.saved.vote
        ):
            return True
        if leadership is None:
            return bool(self._forwarded.waiting)
        if leadership.reads.may_open() and self._has_committed_in_own_term(leadership):
            return True
        return leadership.has_append_requests(log) or leadership.has_snapshot_work(log)

    def ready(self) -> Ready:
        """Take what is to be done; `persisted` must follow before the next one."""
        outbox, log = self._outbox, self.log
        assert outbox.outstanding is None, "the last Ready is not persisted yet"
        install = self._install()
        messages: list[RaftMessage] = []
        chunks_to_send: list[ChunkRequest] = []
        wants_snapshot = False
        leadership = self._leadership
        if leadership is not None:
            self._open_read_round(leadership)
            messages = leadership.append_requests(log)
            chunks_to_send = leadership.chunk_requests(log)
            wants_snapshot = leadership.wants_snapshot(log)
        elif self._forwarded.waiting:
            number = self._forwarded.open(self._timer.election_ticks)
            messages.append(ReadRequest(self.replica, self.leader, self.term, number))
        entries = log.unsaved()
        committed = range(outbox.handed_out + 1, min(log.commit, log.saved_index) + 1)
        ready = Ready(
            messages=messages,
            hard_state=self._hard_state_to_save(bool(entries) or install is not None),
            first_index=log.saved_index + 1,
            entries=entries,
            messages_after=outbox.messages_after,
            committed=committed,
            reads=outbox.reads,
            reads_failed=outbox.reads_failed,
            install=install,
            chunks=outbox.chunks,
            chunks_to_send=chunks_to_send,
            wants_snapshot=wants_snapshot,
        )
        if committed:
            outbox.handed_out = committed[-1]
        if ready.hard_state is not None:
            outbox.saved = ready.hard_state
        outbox.messages_after, outbox.reads, outbox.reads_failed = [], [], []
        outbox.chunks = []
        outbox.outstanding = ready
        return ready

    def persisted(self, ready: Ready) -> None:
        """Hard state and entries of `ready` are durable."""
        assert ready is self._outbox.outstanding, "not the Ready that is outstanding"
        self._outbox.outstanding = None
        if ready.entries:
            self.log.saved(ready.first_index, ready.entries)
            if self._leadership is not None:
                self._advance_commit(self._leadership)

    def _hard_state_to_save(self, with_entries: bool) -> HardState | None:
        """Term and vote at once when they change; the commit index only along with another
        write, for it only spares a restarted replica some waiting (section 3.8)."""
        saved = self._outbox.saved
        is_changed = self.term != saved.term or self._vote != saved.vote
        if not is_changed and (not with_entries or self.log.commit == saved.commit):
            return None
        return HardState(self.term, self._vote, self.log.commit)
