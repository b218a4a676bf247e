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
  meanwhile no chunk comes. If the next Ready names it in `install`, the driver switches to it:
  once that Ready is durable, the state machine is the file's, and has applied the snapshot's
  index. Else it is of no use any more (the log has brought the entries, or the file is damaged)
  and the state machine goes on. What a crash leaves of a file that was not installed is deleted
  at start; the core begins again.
A snapshot moves the commit index only when it is installed, or when the log has an entry with
its index and term: then everything before that entry is committed, and no file is needed.

Voters are a set given at the start; who is asked for votes, and what a majority is, are
decided in `quorum.py` and by iterating over it, nowhere else.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Sequence
from typing import Final

from nodes.raft.leadership import Leadership
from nodes.raft.log import LogReader, RaftLog
from nodes.raft.messages import (
    AppendRequest,
    AppendResponse,
    HardState,
    InstallSnapshot,
    LogBase,
    LogEntry,
    Membership,
    PreVoteRequest,
    PreVoteResponse,
    RaftMessage,
    Snapshot,
    SnapshotResponse,
    VoteRequest,
    VoteResponse,
)
from nodes.raft.quorum import VoteResult, count_votes, majority, reached_by_majority
from nodes.raft.ready import ChunkRequest, Outbox, Ready
from nodes.raft.snapshots import Receiving

__all__ = ["LogReader", "NO_REPLICA", "RaftCore", "RaftLog", "Ready", "Role"]

NO_REPLICA: Final = 0
"""Stands for "nobody" in `leader` and `HardState.vote`; no replica has this id."""


class Role(enum.StrEnum):
    FOLLOWER = "follower"
    PRECANDIDATE = "precandidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


class _ElectionTimer:
    """Ticks since the last sign of a leader, and how many are borne.

    The timeout is drawn anew each time from [election_ticks, 2 * election_ticks), so that
    votes are rarely split (section 3.4).
    """

    __slots__ = ("_rng", "elapsed", "election_ticks", "timeout")

    def __init__(self, rng: random.Random, election_ticks: int, first: int | None) -> None:
        self._rng = rng
        self.election_ticks = election_ticks
        self.reset()
        if first is not None:
            self.timeout = first

    def reset(self) -> None:
        self.elapsed = 0
        self.timeout = self.election_ticks + self._rng.randrange(self.election_ticks)


class RaftCore:
    """One replica of one group.

    `memberships` is who belonged to the group at the log's base, as (index, membership), and
    every membership that the log holds behind it. A new group has one, at index 0.
    `applied` is the index up to which the state machine already holds the log's effects; it
    is committed, and nothing up to it is handed out again. `first_timeout_ticks` replaces the
    first election timeout, so that a new group's preferred leader can stand first.
    """

    def __init__(
        self,
        *,
        replica: int,
        memberships: Sequence[tuple[int, Membership]],
        rng: random.Random,
        election_ticks: int,
        hard_state: HardState,
        log: RaftLog,
        applied: int = 0,
        first_timeout_ticks: int | None = None,
    ) -> None:
        assert memberships[0][0] <= log.first - 1, "the membership at the log's base is not known"
        assert max(applied, hard_state.commit) <= log.last, "the log lost committed entries"
        assert applied >= log.first - 1, "the log begins behind what was applied"
        self.replica = replica
        self.log = log
        self.term = hard_state.term
        self.role = Role.FOLLOWER
        self.leader = NO_REPLICA
        self._memberships = list(memberships)  # the last one holds, whether committed or not
        self._voters = self.membership.voters
        self._vote = hard_state.vote
        self._votes: dict[int, bool] = {}  # answers to the (pre-)election under way
        self._timer = _ElectionTimer(rng, election_ticks, first_timeout_ticks)
        self._leadership: Leadership | None = None
        self._outbox = Outbox(hard_state, applied)
        self._receiving: Receiving | None = None
        log.commit = max(applied, hard_state.commit)

    @property
    def commit(self) -> int:
        """Index of the last entry known to be committed."""
        return self.log.commit

    @property
    def membership(self) -> Membership:
        """Who belongs to the group, as far as this replica's log tells."""
        return self._memberships[-1][1]

    # ---------------------------------------------------------------- inputs

    def tick(self) -> None:
        """One unit of time has passed."""
        self._timer.elapsed += 1
        leadership = self._leadership
        if leadership is None:
            if self._timer.elapsed >= self._timer.timeout:
                self._start_pre_election()
            return
        leadership.start_round()
        leadership.tick_snapshots(self._timer.election_ticks)
        leadership.ticks_since_check += 1
        if leadership.ticks_since_check >= self._timer.election_ticks:
            leadership.ticks_since_check = 0
            self._check_quorum(leadership)

    def propose(self, data: bytes) -> int | None:
        """Append an entry; its index, or None if this replica does not lead.

        The entry is ours if it is handed out with the present term; another term at its index
        means that it is lost, a change of leader before that that its fate is unknown.
        """
        if self._leadership is None:
            return None
        return self.log.append(LogEntry(self.term, data))

    def read_index(self, context: object) -> bool:
        """Ask for a linearizable read; False if this replica does not lead.

        `context` comes back exactly once, in `Ready.reads` or `Ready.reads_failed`.
        """
        if self._leadership is None:
            return False
        self._leadership.reads.add(context)
        return True

    def step(self, message: RaftMessage) -> None:
        """A message has arrived."""
        if message.receiver != self.replica:
            return  # for a replica that lived at this address before; ids are never reused
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

    # ---------------------------------------------------------------- outputs

    def has_ready(self) -> bool:
        """Whether `ready` would give the driver anything to do."""
        outbox, log, leadership = self._outbox, self.log, self._leadership
        if outbox.outstanding is not None:
            return False
        if (
            outbox.has_something()
            or log.saved_index < log.last
            or outbox.handed_out < min(log.commit, log.saved_index)
            or self.term != outbox.saved.term
            or self._vote != outbox.saved.vote
        ):
            return True
        if leadership is None:
            return False
        if leadership.reads.may_open() and self._has_committed_in_own_term(leadership):
            return True
        return leadership.has_append_requests(log.last) or leadership.has_snapshot_work(log)

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

    # ---------------------------------------------------------------- roles

    def _become_follower(self, term: int, leader: int = NO_REPLICA) -> None:
        """Follow in `term`, which is ours or newer (section 3.3: the larger term wins).

        The election timer goes on: only a leader heard or a vote given restarts it (3.4).
        """
        assert term >= self.term, f"term {term} is older than {self.term}"
        if term > self.term:
            self.term = term
            self._vote = NO_REPLICA
        if self._leadership is not None:
            self._outbox.reads_failed += self._leadership.reads.take_all()
            self._leadership = None
            self._timer.reset()
        self._votes = {}
        self.role = Role.FOLLOWER
        self.leader = leader

    def _start_pre_election(self) -> None:
        """Ask whether an election could be won before disturbing anyone with a new term
        (section 9.6)."""
        self._timer.reset()
        self.role = Role.PRECANDIDATE
        self.leader = NO_REPLICA
        self._votes = {self.replica: True}
        for peer in self._peers():
            self._outbox.messages_after.append(
                PreVoteRequest(self.replica, peer, self.term + 1, self.log.last, self.log.last_term)
            )
        self._count_pre_votes()  # a single voter needs no answers

    def _start_election(self) -> None:
        """Section 3.4. Our own vote is durable before anyone is asked for his."""
        self._timer.reset()
        self.role = Role.CANDIDATE
        self.term += 1
        self._vote = self.replica
        self._votes = {self.replica: True}
        for peer in self._peers():
            self._outbox.messages_after.append(
                VoteRequest(self.replica, peer, self.term, self.log.last, self.log.last_term)
            )
        self._count_votes()

    def _become_leader(self) -> None:
        """Lead, beginning with a no-op: entries of earlier terms are committed, and reads
        answered, only after an entry of this term is committed (sections 3.6.2 and 6.4)."""
        self.role = Role.LEADER
        self.leader = self.replica
        self._votes = {}
        self._leadership = Leadership(self.replica, self.term, self._peers(), self.log.last)
        self._leadership.start_round()
        self.log.append(LogEntry(self.term, b""))

    def _peers(self) -> list[int]:
        return [voter for voter in self._voters if voter != self.replica]

    # ---------------------------------------------------------------- elections

    def _hears_a_leader(self) -> bool:
        """Whether a leader was heard within the shortest election timeout: then votes are
        not for changing it (section 4.2.3). A leader hears itself."""
        if self._leadership is not None:
            return True
        return self.leader != NO_REPLICA and self._timer.elapsed < self._timer.election_ticks

    def _on_pre_vote_request(self, message: PreVoteRequest) -> None:
        """Granting changes nothing here: no term, no vote, no timer (section 9.6)."""
        if message.term > self.term and self._hears_a_leader():
            return
        granted = message.term > self.term and self.log.is_up_to_date(
            message.last_index, message.last_term
        )
        term = message.term if granted else self.term
        self._outbox.messages_after.append(
            PreVoteResponse(self.replica, message.sender, term, granted)
        )

    def _on_pre_vote_response(self, message: PreVoteResponse) -> None:
        if message.term > self.term and not message.granted:
            self._become_follower(message.term)
            return
        asked_for = self.term + 1
        if self.role is not Role.PRECANDIDATE or (message.granted and message.term != asked_for):
            return
        self._votes[message.sender] = message.granted
        self._count_pre_votes()

    def _count_pre_votes(self) -> None:
        match count_votes(self._votes, self._voters):
            case VoteResult.WON:
                self._start_election()
            case VoteResult.LOST:
                self._become_follower(self.term)
            case VoteResult.PENDING:
                pass

    def _on_vote_request(self, message: VoteRequest) -> None:
        """Sections 3.4 and 3.6.1: one vote per term, for a log at least as up to date."""
        if message.term > self.term:
            if self._hears_a_leader():
                return
            self._become_follower(message.term)
        is_free = self._vote == NO_REPLICA and self.leader == NO_REPLICA
        granted = (
            message.term == self.term
            and (is_free or self._vote == message.sender)
            and self.log.is_up_to_date(message.last_index, message.last_term)
        )
        if granted:
            self._vote = message.sender
            self._timer.reset()
        self._outbox.messages_after.append(
            VoteResponse(self.replica, message.sender, self.term, granted)
        )

    def _on_vote_response(self, message: VoteResponse) -> None:
        if message.term > self.term:
            self._become_follower(message.term)
        elif message.term == self.term and self.role is Role.CANDIDATE:
            self._votes[message.sender] = message.granted
            self._count_votes()

    def _count_votes(self) -> None:
        match count_votes(self._votes, self._voters):
            case VoteResult.WON:
                self._become_leader()
            case VoteResult.LOST:
                self._become_follower(self.term)
            case VoteResult.PENDING:
                pass

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
        log.accept(previous, message.entries)
        match_index = previous + len(message.entries)
        # Not the leader's commit alone: beyond what this request matched, our log may hold
        # entries of a deposed leader (figure 3.1, AppendEntries 5).
        log.commit = max(log.commit, min(message.commit, match_index))
        self._accept(message.sender, match_index, message.round)

    def _follow(self, message: AppendRequest | InstallSnapshot) -> None:
        """The sender leads our term, or a newer one that we enter."""
        if message.term > self.term or self.role is not Role.FOLLOWER:
            assert self._leadership is None or message.term > self.term, "two leaders in a term"
            self._become_follower(message.term, message.sender)
        assert self.leader in (NO_REPLICA, message.sender), "two leaders in a term"
        self.leader = message.sender
        self._timer.reset()

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

    def _refuse_old_leader(self, message: AppendRequest | InstallSnapshot) -> None:
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

    # ---------------------------------------------------------------- replication: leader

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
        if message.success:
            is_news = progress.accepted(message.match_index)
            if progress.sending is not None and progress.match >= self.log.first - 1:
                progress.end_snapshot()
            if is_news:
                self._advance_commit(leadership)
        elif progress.rejects_what_was_sent(message.rejected_index):
            agreed = self.log.last_index_with_term_up_to(message.hint_term, message.hint_index)
            if agreed < self.log.first - 1:
                progress.send_snapshot()
            else:
                progress.probe(agreed + 1)

    def _advance_commit(self, leadership: Leadership) -> None:
        """Commit what a majority has durably, ourselves included only as far as we have."""
        matches = [progress.match for progress in leadership.peers.values()]
        matches.append(self.log.saved_index)
        index = reached_by_majority(matches)
        if index > self.log.commit and self._may_commit_by_counting(leadership, index):
            self.log.commit = index

    def _may_commit_by_counting(self, leadership: Leadership, index: int) -> bool:
        """Only entries of the own term are committed by counting copies; earlier ones follow
        with them. An older entry on a majority can still be overwritten (figure 3.7)."""
        return index >= leadership.noop_index

    def _check_quorum(self, leadership: Leadership) -> None:
        """Step down unless a majority answered within the last election timeout (section
        6.2), so that clients of a leader that is cut off look for another."""
        active = 1 + sum(progress.is_active for progress in leadership.peers.values())
        if active < majority(len(self._voters)):
            self._become_follower(self.term)
            return
        for progress in leadership.peers.values():
            progress.is_active = False

    # ---------------------------------------------------------------- snapshots (chapter 5)

    def base(self, index: int) -> LogBase:
        """What stands for the entries up to `index`, if they are given up."""
        memberships = [found for at, found in self._memberships if at <= index]
        return LogBase(index, self.log.term(index), memberships[-1])

    @property
    def compaction_limit(self) -> int:
        """Compacting further would make a snapshot useless that a peer is getting."""
        if self._leadership is None:
            return self.log.commit
        return min([self.log.commit, *self._leadership.snapshot_indexes()])

    def compact(self, index: int) -> LogBase:
        """Give up the entries up to `index`, whose effect the state machine holds durably."""
        assert self.log.first - 1 <= index <= self._outbox.handed_out, f"{index} is not applied"
        base = self.base(index)
        self.log.compact(index)
        self._memberships = [
            (index, base.membership),
            *((at, found) for at, found in self._memberships if at > index),
        ]
        return base

    def offer_snapshot(self, snapshot: Snapshot) -> None:
        """A file for peers that need entries which are compacted; see the module."""
        assert snapshot.size > 0, "a snapshot without a byte"
        if self._leadership is not None:
            self._leadership.offer_snapshot(snapshot)

    def forget_snapshot(self, snapshot: Snapshot) -> bool:
        """Whether the file may be deleted: then its bytes are not asked for any more."""
        return self._leadership is None or self._leadership.forget_snapshot(snapshot)

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
        self._memberships = [(snapshot.index, snapshot.base.membership)]
        self._voters = self.membership.voters
        self._outbox.handed_out = snapshot.index
        if self.leader != NO_REPLICA:
            self._accept(self.leader, snapshot.index, 0)
        return snapshot

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
            self._outbox.reads.append(leadership.reads.take_oldest())
            oldest = leadership.reads.oldest()

    def _is_round_confirmed(self, leadership: Leadership, number: int) -> bool:
        """Whether a majority has answered heartbeat round `number` or a later one."""
        rounds = [progress.answered_round for progress in leadership.peers.values()]
        rounds.append(leadership.round)
        return reached_by_majority(rounds) >= number
