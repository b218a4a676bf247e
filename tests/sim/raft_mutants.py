"""Raft with one rule broken, each by the smallest override: what the simulator must convict.

An override names a method; if the code loses it the mutant would be a Raft without a fault, so
`Mutant.check` refuses to run one whose method is not there. No schedule is made for any of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from nodes.raft import follower, leadership
from nodes.raft.core import NO_REPLICA, RaftCore, Ready, Role
from nodes.raft.leadership import Leadership
from nodes.raft.lease import Lease
from nodes.raft.log import RaftLog
from nodes.raft.messages import (
    AppendRequest,
    HardState,
    InstallSnapshot,
    LogEntry,
    Membership,
    Quiesce,
    VoteRequest,
    VoteResponse,
)
from nodes.raft.progress import Progress
from nodes.raft.snapshots import Receiving

__all__ = ["MUTANTS", "Mutant"]


class ReadsWithoutRound(RaftCore):
    """A leader that believes itself: section 6.4 without the heartbeats."""

    def _is_round_confirmed(self, leadership: Leadership, number: int) -> bool:
        return True


class ReadsBeforeOwnEntry(RaftCore):
    """A new leader that reads before it knows what is committed (section 6.4, step 1)."""

    def _has_committed_in_own_term(self, leadership: Leadership) -> bool:
        return True


class CommitsOldTermByCounting(RaftCore):
    """Figure 3.7."""

    def _may_commit_by_counting(self, leadership: Leadership, index: int) -> bool:
        return True


class _ChangesReady(RaftCore):
    def ready(self) -> Ready:
        changed = self._change(super().ready())
        self._outbox.outstanding = changed
        return changed

    def _change(self, ready: Ready) -> Ready:
        raise AssertionError("overridden below")


class AcknowledgesBeforeDurable(_ChangesReady):
    """Answers leave while the write is under way (section 3.8)."""

    def _change(self, ready: Ready) -> Ready:
        return structs.replace(
            ready, messages=ready.messages + ready.messages_after, messages_after=[]
        )


class ForgetsVote(_ChangesReady):
    """The vote does not survive a crash (section 3.8): a replica votes twice in a term."""

    def _change(self, ready: Ready) -> Ready:
        state = ready.hard_state
        if state is None:
            return ready
        return structs.replace(ready, hard_state=HardState(state.term, 0, state.commit))


class CountsItselfBeforeDurable(RaftCore):
    """The leader's own copy counts before it is written (section 10.2.1)."""

    def _advance_commit(self, leadership: Leadership) -> None:
        saved, self.log.saved_index = self.log.saved_index, self.log.last
        super()._advance_commit(leadership)
        self.log.saved_index = saved


class CountsStaleVotes(RaftCore):
    """A vote of an earlier term counts in this one."""

    def _on_vote_response(self, message: VoteResponse) -> None:
        super()._on_vote_response(_in_term(message, max(message.term, self.term)))


class CommitsWhatTheLeaderHas(RaftCore):
    """The leader's commit index is taken for more than the request has matched (figure 3.1,
    AppendEntries 5)."""

    def _on_append_request(self, message: Any) -> None:
        super()._on_append_request(message)
        if self.leader == message.sender and message.term == self.term:
            self.log.commit = max(self.log.commit, min(message.commit, self.log.last))


class TruncatesMatching(RaftLog):
    """Every request cuts the log behind itself, also a delayed one that matches."""

    def accept(self, previous: int, entries: Sequence[LogEntry]) -> int:
        if self.commit <= previous < self.last:
            self._truncate_after(previous)
        return super().accept(previous, entries)


class VotesForAnyLog(RaftLog):
    """Votes without section 3.6.1."""

    def is_up_to_date(self, last_index: int, last_term: int) -> bool:
        return True


class CommitsUnreceivedSnapshot(RaftCore):
    """The first chunk of a snapshot moves the commit index, whatever the log holds."""

    def _on_install_snapshot(self, message: InstallSnapshot) -> None:
        super()._on_install_snapshot(message)
        if message.term == self.term:
            self.log.commit = max(self.log.commit, min(self.log.last, message.snapshot.index))


class TakesChunksOutOfOrder(Receiving):
    """Any chunk counts as the next one."""

    def takes(self, message: InstallSnapshot) -> bool:
        if self.is_complete:
            return False
        self.received = min(self.snapshot.size, self.received + len(message.data))
        return True


class ChangesMembersBeforeOwnEntry(RaftCore):
    """Without the erratum of 2015."""

    def _may_change_membership(self, leadership: Leadership) -> bool:
        return True


class ChangesManyMembersAtOnce(RaftCore):
    """The previous change need not be committed."""

    def change_membership(self, membership: Membership) -> int:
        handed_out, self._outbox.handed_out = self._outbox.handed_out, self.log.last
        try:
            return super().change_membership(membership)
        finally:
            self._outbox.handed_out = handed_out


class KeepsMembersOfRemovedEntries(RaftCore):
    """A membership outlives its entry."""

    def _membership_changed(self) -> None:
        if self._memberships.changed_at >= self._newest:
            self._newest = self._memberships.changed_at
            super()._membership_changed()

    _newest = 0


class LearnersVote(RaftCore):
    """Learners count in majorities."""

    def _membership_changed(self) -> None:
        super()._membership_changed()
        self._voters = tuple(member.id for member in self.membership.members)


class AcceptsDuringTransfer(RaftCore):
    """A leader that hands over goes on accepting, and hands over whatever the successor has."""

    def _refuses_proposals(self, leadership: Leadership) -> bool:
        return False


class LeaseFromReceiving(Lease):
    """The lease counts from the answers."""

    def _extend(self, sent: float, now: float) -> None:
        super()._extend(now, now)


class LeaseSurvivesTransfer(Lease):
    """A transfer that was given up leaves the lease as it was."""

    def end(self) -> None:
        pass


class LeaseWithoutDrift(Lease):
    """Clocks are taken to be equal, and nothing is subtracted for those that are not."""

    def _extend(self, sent: float, now: float) -> None:
        assert self._rule is not None
        super()._extend(sent, now)
        self._until += self._rule.election_timeout - self._rule.duration


class VotesRightAfterRestart(RaftCore):
    """A replica that restarts forgets the lease that it has given."""

    def _respect_leases_of_an_earlier_life(self) -> None:
        pass


class AnswersFromAnEarlierLife(RaftCore):
    """Read requests are numbered from 1 in every life."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._forwarded._last_id = 0


class VotesWhileALeaderIsHeard(RaftCore):
    """Without section 4.2.3, on which leases rest."""

    def _hears_a_leader(self) -> bool:
        return False


class VotesTwice(RaftCore):
    """A vote that was given does not bind."""

    def _on_vote_request(self, message: VoteRequest) -> None:
        if message.term == self.term and self.role is Role.FOLLOWER:
            self._vote = NO_REPLICA
        super()._on_vote_request(message)


class VotesForALongerLog(RaftLog):
    """Section 3.6.1 without the term: length alone decides."""

    def is_up_to_date(self, last_index: int, last_term: int) -> bool:
        return last_index >= self.last


class MatchesByIndexAlone(RaftLog):
    """Any entry at the previous index will do (figure 3.1, AppendEntries 2)."""

    def matches(self, index: int, term: int) -> bool:
        return index <= self.last


class AcknowledgesItsWholeLog(RaftCore):
    """An answer says how long the log is, not how far it was found equal."""

    def _accept(self, receiver: int, match_index: int, round_number: int) -> None:
        super()._accept(receiver, self.log.last, round_number)


class EchoesRoundsOfOldTerms(RaftCore):
    """Whoever refuses a leader of an older term repeats its round, as if it had followed."""

    def _refuse_old_leader(self, message: AppendRequest | InstallSnapshot | Quiesce) -> None:
        super()._refuse_old_leader(message)
        if isinstance(message, AppendRequest):
            answer = self._outbox.messages_after.pop()
            self._outbox.messages_after.append(structs.replace(answer, round=message.round))


class ReadsTakeTheRoundBefore(RaftCore):
    """Answers to heartbeats that were sent just before a read came confirm it (section 6.4)."""

    def _is_round_confirmed(self, leadership: Leadership, number: int) -> bool:
        return super()._is_round_confirmed(leadership, number - 1)


class RemovedLeaderCountsItself(RaftCore):
    """A leader that removes itself goes on counting its own copy (section 4.2.2)."""

    def _of_voters(
        self, leadership: Leadership, own: int, of_peer: Callable[[Progress], int]
    ) -> list[int]:
        reached = super()._of_voters(leadership, own, of_peer)
        return reached if self._is_voter else [own, *reached]


def _in_term(message: VoteResponse, term: int) -> VoteResponse:
    return VoteResponse(message.sender, message.receiver, term, message.granted)


@dataclass(frozen=True)
class Mutant:
    """What is replaced: options of the run, and names in modules of the core."""

    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    names: tuple[tuple[Any, str, Any], ...] = ()

    def check(self) -> None:
        """Every override must have something to override."""
        for replacement in (*self.options.values(), *(new for _, _, new in self.names)):
            if not isinstance(replacement, type):
                continue
            base = replacement.__mro__[1]
            for name in vars(replacement).keys() - {"_newest", "_change"}:
                if not name.startswith("__") and not hasattr(base, name):
                    raise AssertionError(f"{replacement.__name__}: {base.__name__} has no {name}")


def _core(core: type[RaftCore]) -> Mutant:
    return Mutant({"core": core})


MUTANTS: dict[str, Mutant] = {
    "reads-without-round": _core(ReadsWithoutRound),
    "reads-before-own-entry": _core(ReadsBeforeOwnEntry),
    "reads-answered-for-an-earlier-life": _core(AnswersFromAnEarlierLife),
    "commits-old-term": _core(CommitsOldTermByCounting),
    "commits-beyond-the-match": _core(CommitsWhatTheLeaderHas),
    "acknowledges-early": _core(AcknowledgesBeforeDurable),
    "forgets-vote": _core(ForgetsVote),
    "counts-itself-early": _core(CountsItselfBeforeDurable),
    "counts-stale-votes": _core(CountsStaleVotes),
    "truncates-matching": Mutant({"log": TruncatesMatching}),
    "votes-for-any-log": Mutant({"log": VotesForAnyLog}),
    "snapshot-moves-commit": _core(CommitsUnreceivedSnapshot),
    "snapshot-chunks-out-of-order": Mutant(names=((follower, "Receiving", TakesChunksOutOfOrder),)),
    "snapshot-unchecked": Mutant({"installs_unchecked_files": True}),
    "snapshot-without-sessions": Mutant({"snapshots_lack_sessions": True}),
    "compacts-what-is-not-durable": Mutant({"compacts_what_is_not_durable": True}),
    "members-before-own-entry": _core(ChangesMembersBeforeOwnEntry),
    "members-many-at-once": _core(ChangesManyMembersAtOnce),
    "members-of-removed-entries": _core(KeepsMembersOfRemovedEntries),
    "learners-vote": _core(LearnersVote),
    "rebuilt-under-its-old-id": Mutant({"rebuilds_under_old_ids": True}),
    "transfer-accepts-proposals": _core(AcceptsDuringTransfer),
    "lease-from-receiving": Mutant(names=((leadership, "Lease", LeaseFromReceiving),)),
    "lease-survives-transfer": Mutant(names=((leadership, "Lease", LeaseSurvivesTransfer),)),
    "lease-without-drift": Mutant(names=((leadership, "Lease", LeaseWithoutDrift),)),
    "lease-and-a-vote-after-restart": _core(VotesRightAfterRestart),
    "votes-while-a-leader-is-heard": _core(VotesWhileALeaderIsHeard),
    "votes-twice": _core(VotesTwice),
    "votes-for-a-longer-log": Mutant({"log": VotesForALongerLog}),
    "matches-by-index-alone": Mutant({"log": MatchesByIndexAlone}),
    "acknowledges-its-whole-log": _core(AcknowledgesItsWholeLog),
    "echoes-rounds-of-old-terms": _core(EchoesRoundsOfOldTerms),
    "reads-take-the-round-before": _core(ReadsTakeTheRoundBefore),
    "removed-leader-counts-itself": _core(RemovedLeaderCountsItself),
}
