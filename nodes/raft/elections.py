"""Terms, votes and elections (thesis, sections 3.3, 3.4, 3.6.1, 4.2.3 and 9.6).

This is the part of the core that decides who leads; what a follower does with a leader's log is
in `follower`, what a leader does in `core`. It knows of a leadership only that it begins and
ends.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Sequence
from typing import Final

from nodes.raft.leadership import Leadership
from nodes.raft.lease import LeaseRule
from nodes.raft.log import RaftLog
from nodes.raft.membership import Memberships
from nodes.raft.messages import (
    HardState,
    LogEntry,
    Membership,
    PreVoteRequest,
    PreVoteResponse,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
)
from nodes.raft.quorum import VoteResult, count_votes
from nodes.raft.read_queue import ForwardedReads, RemoteRead
from nodes.raft.ready import Outbox

__all__ = ["NO_REPLICA", "Elections", "Role"]

NO_REPLICA: Final = 0
"""Stands for "nobody" in `leader` and `HardState.vote`; no replica has this id."""


class Role(enum.StrEnum):
    FOLLOWER = "follower"
    PRECANDIDATE = "precandidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


class _ElectionTimer:
    """Ticks since the last sign of a leader or of an election, and how many are borne.

    The timeout is drawn anew each time from [election_ticks, 1.5 * election_ticks), so that
    votes are rarely split (section 3.4): what decides is how the range compares with the time
    an election takes, and ticks are many times that. A wider one only makes failover slower.
    """

    __slots__ = ("_rng", "_spread", "elapsed", "election_ticks", "since_leader", "timeout")

    def __init__(self, rng: random.Random, election_ticks: int, first: int | None) -> None:
        self._rng = rng
        self.election_ticks = election_ticks
        self._spread = (election_ticks + 1) // 2
        self.since_leader = election_ticks
        """Ticks since a leader's message, whoever leads by now."""
        self.reset()
        if first is not None:
            self.timeout = first

    def tick(self) -> None:
        self.elapsed += 1
        self.since_leader += 1

    def reset(self) -> None:
        self.elapsed = 0
        self.timeout = self.election_ticks + self._rng.randrange(self._spread)


class Elections:
    """One replica's term, vote, role and log, and the members that it knows."""

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
        lease_rule: LeaseRule | None = None,
        quiesce_ticks: int = 0,
    ) -> None:
        assert memberships[0][0] <= log.first - 1, "the membership at the log's base is unknown"
        assert max(applied, hard_state.commit) <= log.last, "the log lost committed entries"
        assert applied >= log.first - 1, "the log begins behind what was applied"
        self.replica = replica
        self.log = log
        self.term = hard_state.term
        self.role = Role.FOLLOWER
        self.leader = NO_REPLICA
        self._memberships = Memberships(memberships)
        self._voters = self.membership.voters
        self._vote = hard_state.vote
        self._votes: dict[int, bool] = {}  # answers to the (pre-)election under way
        self._lease_rule = lease_rule
        if lease_rule is not None:
            first_timeout_ticks = None
        self._timer = _ElectionTimer(rng, election_ticks, first_timeout_ticks)
        if lease_rule is not None:
            self._respect_leases_of_an_earlier_life()
        self._now = float("-inf")
        self._forwarded = ForwardedReads(rng.getrandbits(62))
        self._quiesce_ticks = quiesce_ticks
        self._idle_ticks = 0
        self.is_quiescent = False
        """No heartbeats are sent or expected; see `RaftCore.wake`."""
        self._leadership: Leadership | None = None
        self._outbox = Outbox(hard_state, applied)
        log.commit = max(applied, hard_state.commit)

    @property
    def commit(self) -> int:
        """Index of the last entry known to be committed."""
        return self.log.commit

    @property
    def membership(self) -> Membership:
        """Who belongs to the group, as far as this replica's log tells, committed or not. It may
        change with every input."""
        return self._memberships.current

    @property
    def committed_membership(self) -> Membership:
        """The newest that is known to be committed."""
        return self._memberships.at(self.log.commit)

    @property
    def is_changing(self) -> bool:
        """`membership` is not handed out as committed yet: the next change has to wait."""
        return self._memberships.changed_at > self._outbox.handed_out

    @property
    def _is_voter(self) -> bool:
        return self.replica in self._voters

    # ---------------------------------------------------------------- roles

    def _become_follower(self, term: int, leader: int = NO_REPLICA) -> None:
        """Follow in `term`, which is ours or newer (section 3.3: the larger term wins).

        The election timer goes on: only a leader heard or a vote given restarts it (3.4).
        """
        assert term >= self.term, f"term {term} is older than {self.term}"
        if term > self.term:
            self.term = term
            self._vote = NO_REPLICA
        if leader != self.leader:
            self._outbox.reads_failed += self._forwarded.take_all()
        if self._leadership is not None:
            reads = self._leadership.reads.take_all()
            self._outbox.reads_failed += [
                context for context in reads if not isinstance(context, RemoteRead)
            ]
            self._leadership = None
            self._timer.reset()
        self._votes = {}
        self.role = Role.FOLLOWER
        self.leader = leader

    def _start_pre_election(self) -> None:
        """Ask whether an election could be won before disturbing anyone with a new term
        (section 9.6)."""
        self._timer.reset()
        self._outbox.reads_failed += self._forwarded.take_all()
        self.role = Role.PRECANDIDATE
        self.leader = NO_REPLICA
        self._votes = {self.replica: True}
        for peer in self._peers():
            self._outbox.messages_after.append(
                PreVoteRequest(self.replica, peer, self.term + 1, self.log.last, self.log.last_term)
            )
        self._count_pre_votes()  # a single voter needs no answers

    def _start_election(self, *, is_transfer: bool = False) -> None:
        """Section 3.4. Our own vote is durable before anyone is asked for his."""
        self._timer.reset()
        self._outbox.reads_failed += self._forwarded.take_all()
        self.role = Role.CANDIDATE
        self.leader = NO_REPLICA
        self.term += 1
        self._vote = self.replica
        self._votes = {self.replica: True}
        for peer in self._peers():
            self._outbox.messages_after.append(
                VoteRequest(
                    self.replica,
                    peer,
                    self.term,
                    self.log.last,
                    self.log.last_term,
                    is_transfer,
                )
            )
        self._count_votes()

    def _become_leader(self) -> None:
        """Lead, beginning with a no-op: entries of earlier terms are committed, and reads
        answered, only after an entry of this term is committed (sections 3.6.2 and 6.4)."""
        self.role = Role.LEADER
        self.leader = self.replica
        self._votes = {}
        peers = [member.id for member in self.membership.members if member.id != self.replica]
        self._leadership = Leadership(
            self.replica, self.term, peers, self.log.last, self._lease_rule
        )
        self._leadership.start_round()
        self._idle_ticks = 0
        self.log.append(LogEntry(self.term, b""))

    def _membership_changed(self) -> None:
        """Another one is the current one: it holds at once (section 4.1)."""
        self._voters = self.membership.voters
        if self._leadership is not None:
            members = [member.id for member in self.membership.members]
            self._leadership.lease.drop()
            self._leadership.set_peers(
                [member for member in members if member != self.replica], self.log.last
            )

    def _peers(self) -> list[int]:
        """Who is asked for votes."""
        return [voter for voter in self._voters if voter != self.replica]

    # ---------------------------------------------------------------- elections

    def _respect_leases_of_an_earlier_life(self) -> None:
        """A leader may count on what this replica has forgotten: that it heard it just before
        its restart (section 6.4.1)."""
        self._timer.since_leader = 0

    def _hears_a_leader(self) -> bool:
        """Whether a leader was heard within the shortest election timeout: then votes are
        not for changing it (section 4.2.3), even if a newer term has been heard of since. A
        leader hears itself."""
        return self._leadership is not None or self._timer.since_leader < self._timer.election_ticks

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
            if self._hears_a_leader() and not message.is_transfer:
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

    def _on_timeout_now(self, message: TimeoutNow) -> None:
        """Our leader hands over: stand at once, and tell the voters that it is its wish (3.10).
        A delayed one, of a leader that is not ours any more, means nothing."""
        if (
            message.term == self.term
            and message.sender == self.leader
            and self.role is Role.FOLLOWER
            and self._is_voter
        ):
            self._start_election(is_transfer=True)

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
