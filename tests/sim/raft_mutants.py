"""Raft with one rule broken, each by the smallest override: what the simulator must convict."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypedDict

from nodes.raft.core import RaftCore, Ready
from nodes.raft.leadership import Leadership
from nodes.raft.log import RaftLog
from nodes.raft.messages import HardState, LogEntry

__all__ = ["MUTANTS"]


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
        return dataclasses.replace(
            ready, messages=ready.messages + ready.messages_after, messages_after=[]
        )


class ForgetsVote(_ChangesReady):
    """The vote does not survive a crash (section 3.8): a replica votes twice in a term."""

    def _change(self, ready: Ready) -> Ready:
        state = ready.hard_state
        if state is None:
            return ready
        return dataclasses.replace(ready, hard_state=HardState(state.term, 0, state.commit))


class CountsItselfBeforeDurable(RaftCore):
    """The leader's own copy counts before it is written (section 10.2.1)."""

    def _advance_commit(self, leadership: Leadership) -> None:
        saved, self.log.saved_index = self.log.saved_index, self.log.last
        super()._advance_commit(leadership)
        self.log.saved_index = saved


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


class _Classes(TypedDict, total=False):
    core: type[RaftCore]
    log: type[RaftLog]


MUTANTS: dict[str, _Classes] = {
    "reads-without-round": {"core": ReadsWithoutRound},
    "reads-before-own-entry": {"core": ReadsBeforeOwnEntry},
    "commits-old-term": {"core": CommitsOldTermByCounting},
    "acknowledges-early": {"core": AcknowledgesBeforeDurable},
    "forgets-vote": {"core": ForgetsVote},
    "counts-itself-early": {"core": CountsItselfBeforeDurable},
    "truncates-matching": {"log": TruncatesMatching},
    "votes-for-any-log": {"log": VotesForAnyLog},
}
