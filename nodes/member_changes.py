"""Requests to change who belongs to a group or who leads it, from their arrival to their answer.

One step at a time, each decided by the Raft core (thesis, chapter 4). What is checked here
beside the core's rules is what an operator needs: that the group keeps a majority of voters
that answer, that no node gets two replicas of one group, and that a request which comes again
is answered as the first one was. `Denied` is definite; where the outcome is not known, for the
office was lost in between, the answer is UnknownOutcome and the group's status tells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from nodes.consensus import Consensus
from nodes.protocol import (
    Busy,
    Changed,
    ChangeReplicas,
    Denied,
    MoveLeadership,
    ResponseBody,
    UnknownOutcome,
)
from nodes.raft.core import CATCH_UP_ENTRIES_MAX, NO_REPLICA, Role
from nodes.raft.membership import ChangeRefused, with_learner, with_voter, without
from nodes.raft.messages import Membership
from nodes.raft.quorum import majority

__all__ = ["MemberChanges", "next_membership"]

SUCCESSOR_TICKS: Final = 100
"""How long a leader that has handed over waits to hear who leads now."""

Done: TypeAlias = Callable[[ResponseBody], None]


class _Applied(Protocol):
    @property
    def applied(self) -> int:
        """Index of the last applied entry."""


@dataclass
class _Step:
    """A membership that was proposed in `term`."""

    done: Done
    term: int
    index: int


@dataclass
class _Transfer:
    """An office, of `term`, that is on its way to `successor`."""

    done: Done
    term: int
    successor: int
    has_asked: bool = False
    ticks_left: int = SUCCESSOR_TICKS


class MemberChanges:
    """The changes of one replica's group, while it leads."""

    def __init__(self, core: Consensus, machine: _Applied) -> None:
        self._core = core
        self._machine = machine
        self._waiting: _Step | _Transfer | None = None

    def ask(self, request: ChangeReplicas | MoveLeadership, done: Done) -> None:
        """This replica leads. `done` is called once, now or later."""
        if self._waiting is not None:
            done(Busy("another change of the group's members or leader is under way"))
            return
        try:
            if isinstance(request, MoveLeadership):
                self._move(request.replica, done)
            else:
                self._change(request, done)
        except ChangeRefused as exc:
            done(Denied(str(exc)))

    @property
    def is_waiting(self) -> bool:
        """Whether a request is under way."""
        return self._waiting is not None

    def look(self) -> None:
        """Something may have happened."""
        waiting = self._waiting
        if waiting is None:
            return
        if isinstance(waiting, _Step):
            answer = self._outcome_of_step(waiting)
        else:
            answer = self._outcome_of_transfer(waiting)
        if answer is not None:
            self._waiting = None
            waiting.done(answer)

    def tick(self) -> None:
        if isinstance(self._waiting, _Transfer):
            self._waiting.ticks_left -= 1

    def end(self, reason: str) -> None:
        """This replica does nothing more."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.done(UnknownOutcome(reason))

    # ------------------------------------------------------------------ members

    def _change(self, request: ChangeReplicas, done: Done) -> None:
        core = self._core
        membership = next_membership(core.membership, request)
        if membership is None and core.is_changing:
            raise ChangeRefused("The previous change is under way; ask again.")
        if membership is None:
            done(Changed(core.commit))
            return
        self._check_majority(membership, request)
        index = core.change_membership(membership)
        self._waiting = _Step(done, core.term, index)

    def _check_majority(self, membership: Membership, request: ChangeReplicas) -> None:
        """Refuse what could leave the group without a majority, or not be undone without it."""
        progress = self._core.progress()
        if not progress:
            return  # of an engine that changes no members
        places = {member.id: member.place for member in membership.members}
        silent = [voter for voter in membership.voters if not progress.get(voter, (0, False))[1]]
        if request.step == "voter" and request.replica in silent:
            raise ChangeRefused(
                f"Learner {request.replica} on node {places[request.replica]} does not answer; "
                "see that the node runs, then ask again."
            )
        count = len(membership.voters)
        if count and count - len(silent) < majority(count):
            names = ", ".join(f"{voter} on {places[voter]}" for voter in silent)
            raise ChangeRefused(
                f"{count - len(silent)} of the {count} voters would be up, which is no majority "
                f"(silent: replica {names}); start these nodes, or remove their replicas first."
            )

    def _outcome_of_step(self, step: _Step) -> ResponseBody | None:
        core = self._core
        if core.role is Role.LEADER and core.term == step.term:
            return Changed(step.index) if self._machine.applied >= step.index else None
        log = core.log
        if log.first <= step.index <= core.commit and log.term(step.index) == step.term:
            return Changed(step.index)  # a leader that removes itself ends with that
        return UnknownOutcome("the leader lost its office while the change was under way")

    # ------------------------------------------------------------------ leadership

    def _move(self, replica: int, done: Done) -> None:
        core = self._core
        if replica == core.replica:
            done(Changed(core.commit))
            return
        if replica not in core.membership:
            raise ChangeRefused(f"Replica {replica} does not belong to the group.")
        if replica not in core.membership.voters:
            raise ChangeRefused(f"Replica {replica} is a learner; it has to become a voter first.")
        match, is_active = core.progress().get(replica, (core.log.last, True))
        if not is_active:
            raise ChangeRefused(f"Replica {replica} does not answer; see that its node runs.")
        if core.log.last - match > CATCH_UP_ENTRIES_MAX:
            raise ChangeRefused(f"Replica {replica} has to catch up first; ask again.")
        if not core.transfer(replica):
            raise ChangeRefused("The leadership is being handed over already; ask again.")
        self._waiting = _Transfer(done, core.term, replica)

    def _outcome_of_transfer(self, transfer: _Transfer) -> ResponseBody | None:
        core, successor = self._core, transfer.successor
        if core.role is Role.LEADER and core.term == transfer.term:
            if core.successor != NO_REPLICA:
                transfer.has_asked = core.has_asked_successor
                return None
            if transfer.has_asked:
                return UnknownOutcome(f"replica {successor} was told to lead and does not yet")
            return Denied(f"Replica {successor} did not catch up in time; ask again.")
        if core.leader == successor:
            return Changed(core.commit)
        if core.leader != NO_REPLICA:
            return Denied(f"Replica {core.leader} was elected instead; ask again.")
        if transfer.ticks_left <= 0:
            return UnknownOutcome("nobody is known to lead")
        return None


def next_membership(membership: Membership, request: ChangeReplicas) -> Membership | None:
    """The membership that `request` asks for; None if it is so already. Raises ChangeRefused."""
    replica, node = request.replica, request.node
    present = {member.id: member for member in membership.members}
    member = present.get(replica)
    if request.step == "learner":
        if member is not None and member.place == node:
            return None
        if replica != membership.last_id + 1:
            raise ChangeRefused(
                f"The next replica of the group gets the id {membership.last_id + 1}, not "
                f"{replica}; look at its status again."
            )
        for other in membership.members:
            if other.place == node:
                raise ChangeRefused(
                    f"Node {node} has replica {other.id} of the group; a node has one at most."
                )
        return with_learner(membership, replica, node)
    if request.step == "voter":
        if member is None:
            raise ChangeRefused(f"Replica {replica} does not belong to the group.")
        return None if member.is_voter else with_voter(membership, replica)
    if member is not None:
        return without(membership, replica)
    if replica > membership.last_id:
        raise ChangeRefused(f"Replica {replica} never belonged to the group.")
    return None
