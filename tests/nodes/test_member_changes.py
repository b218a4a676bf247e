"""What is answered to changes of members and of the leader, when all goes well and when not."""

from __future__ import annotations

import pytest

from nodes.member_changes import next_membership
from nodes.protocol import (
    Busy,
    Changed,
    ChangeReplicas,
    Denied,
    MoveLeadership,
    NotLeader,
    ResponseBody,
    UnknownOutcome,
)
from nodes.raft.membership import ChangeRefused, with_learner
from nodes.raft.messages import AppendRequest, Membership, RaftMessage, TimeoutNow
from tests.nodes.test_raft_engine import ELECTION_TICKS, NODES, Group, command, isolate_leader

LEARNER = ChangeReplicas("learner", 4, "n4")


@pytest.fixture
def group() -> Group:
    """Replica 1 leads; nobody is there as replica 4."""
    group = Group(cut={4})
    group.ticks(3)
    assert group.role(1) == "leader"
    return group


def ask(
    group: Group, request: ChangeReplicas | MoveLeadership, replica: int = 1
) -> list[ResponseBody]:
    answers: list[ResponseBody] = []
    group[replica].change(request, answers.append)
    return answers


def ids(group: Group, replica: int) -> list[int]:
    return [member.replica for member in group[replica].status().members]


# --------------------------------------------------------------------------- members


def test_a_change_is_answered_when_it_is_applied_and_not_before(group: Group) -> None:
    group.cut |= {2, 3}
    answers = ask(group, LEARNER)
    group.settle()
    assert answers == []
    assert group[1].status().is_changing
    assert ask(group, ChangeReplicas("remove", 3)) == [
        Busy("another change of the group's members or leader is under way")
    ]
    group.cut = {4}
    group.ticks(2)
    assert answers == [Changed(2)]
    assert not group[1].status().is_changing
    assert ids(group, 2) == [1, 2, 3, 4]
    assert ask(group, LEARNER) == [Changed(2)]  # it is so already


def test_nobody_is_told_of_a_removal_that_is_not_committed(group: Group) -> None:
    group.cut |= {2, 3}
    answers = ask(group, ChangeReplicas("remove", 2))
    group.settle()
    assert ids(group, 1) == [1, 3]
    assert not group[1].has_lost(2, "n2")
    group.cut = {4}
    group.ticks(2)
    assert answers == [Changed(2)]
    assert group[1].has_lost(2, "n2")
    assert group[3].has_lost(2, "n2")
    assert not group[3].has_lost(1, "n1")


def test_a_change_whose_leader_loses_its_office_is_of_unknown_outcome(group: Group) -> None:
    group.lost = lambda message: isinstance(message, AppendRequest) and message.sender == 1
    answers = ask(group, LEARNER)
    group.settle()
    isolate_leader(group)
    assert answers == [UnknownOutcome("the leader lost its office while the change was under way")]
    group.cut, group.lost = {4}, lambda message: False
    group.ticks(3)
    assert ids(group, 1) == [1, 2, 3]  # and its entry is taken back


def test_a_leader_that_removes_itself_answers_and_steps_down(group: Group) -> None:
    answers = ask(group, ChangeReplicas("remove", 1))
    group.settle()
    assert answers == [Changed(2)]
    assert group.role(1) == "follower"
    group.ticks(3 * ELECTION_TICKS)
    leader = next(replica for replica in (2, 3) if group.role(replica) == "leader")
    assert ids(group, leader) == [2, 3]


def test_a_replica_that_stops_knows_no_outcome(group: Group) -> None:
    group.cut |= {2, 3}
    answers = ask(group, LEARNER)
    group[1].stop("its disk is gone.")
    assert answers == [UnknownOutcome("its replica stopped: its disk is gone.")]
    assert ask(group, LEARNER) == [NotLeader(None)]


def test_only_the_leader_is_asked(group: Group) -> None:
    assert ask(group, LEARNER, 2) == [NotLeader("n1")]
    assert ask(group, MoveLeadership(2), 3) == [NotLeader("n1")]


def test_a_new_leader_does_not_know_the_members_for_sure() -> None:
    group = Group(lost=lambda message: isinstance(message, AppendRequest))
    for _ in range(3):
        group[1].tick()
        group.settle()
    assert group.role(1) == "leader"
    (answer,) = ask(group, ChangeReplicas("voter", 3))
    assert answer == Changed(0)  # that is so in any case
    (answer,) = ask(group, LEARNER)
    assert isinstance(answer, Denied)
    assert group[1].status().last == 1


def test_silence_is_noticed_before_a_majority_is_given_away(group: Group) -> None:
    group.cut |= {3}
    group.ticks(1)
    assert ask(group, ChangeReplicas("remove", 9)) == [
        Denied("Replica 9 never belonged to the group.")
    ]
    group.ticks(2 * ELECTION_TICKS)
    (answer,) = ask(group, ChangeReplicas("remove", 2))
    assert isinstance(answer, Denied)
    assert "silent: replica 3 on n3" in answer.reason
    answers = ask(group, ChangeReplicas("remove", 3))
    group.settle()
    assert answers == [Changed(2)]


def test_the_next_membership() -> None:
    now = with_learner(Membership.of(NODES, NODES), 4, "n4")
    learner, voter, remove = (
        next_membership(now, ChangeReplicas("learner", 5, "n5")),
        next_membership(now, ChangeReplicas("voter", 4)),
        next_membership(now, ChangeReplicas("remove", 2)),
    )
    assert learner is not None
    assert (learner.learners, learner.last_id) == ((4, 5), 5)
    assert voter is not None
    assert (voter.voters, voter.members[-1].place) == ((1, 2, 3, 4), "n4")
    assert remove is not None
    assert (remove.voters, remove.learners, remove.last_id) == ((1, 3), (4,), 4)
    for already in (("learner", 4, "n4"), ("voter", 1, "")):
        assert next_membership(now, ChangeReplicas(*already)) is None
    for refused in (("learner", 4, "n5"), ("learner", 6, "n5"), ("learner", 5, "n4")):
        with pytest.raises(ChangeRefused):
            next_membership(now, ChangeReplicas(*refused))


# --------------------------------------------------------------------------- leadership


def test_leadership_moves_and_that_is_answered_when_it_has(group: Group) -> None:
    answers = ask(group, MoveLeadership(3))
    assert answers == []
    group.settle()
    group.ticks(1)
    assert [group.role(replica) for replica in NODES] == ["follower", "follower", "leader"]
    assert len(answers) == 1
    assert isinstance(answers[0], Changed)
    assert ask(group, MoveLeadership(3), 3) == [Changed(group[3].status().commit)]


def test_a_successor_that_does_not_get_the_log_in_time_is_a_definite_no(group: Group) -> None:
    group.cut |= {2}
    group.propose(1, command(1))
    group.settle()
    answers = ask(group, MoveLeadership(2))
    (refused,) = ask(group, MoveLeadership(3))
    assert isinstance(refused, Busy)
    group.ticks(ELECTION_TICKS + 1)
    assert answers == [Denied("Replica 2 did not catch up in time; ask again.")]
    assert group.role(1) == "leader"
    written = group.propose(1, command(2))
    group.settle()
    assert len(written) == 1


def test_a_successor_that_was_told_to_lead_may_do_so_later(group: Group) -> None:
    delayed: list[RaftMessage] = []

    def lost(message: RaftMessage) -> bool:
        if isinstance(message, TimeoutNow):
            delayed.append(message)
            return True
        return False

    group.lost = lost
    answers = ask(group, MoveLeadership(2))
    group.ticks(ELECTION_TICKS + 1)
    assert answers == [UnknownOutcome("replica 2 was told to lead and does not yet")]
    group[2].step(delayed[0], "n1")
    group.settle()
    assert group.role(2) == "leader"


def test_who_was_elected_instead_of_the_successor_is_named(group: Group) -> None:
    """The leader is cut off, and stands still, while it hands over."""
    group.lost = lambda message: isinstance(message, TimeoutNow)
    answers = ask(group, MoveLeadership(2))
    group.settle()
    group.cut |= {1}
    for _ in range(ELECTION_TICKS):
        group[2].tick()  # it would vote by then, and does not stand yet
    while group.role(3) != "leader":
        group[3].tick()
        group.settle()
    assert answers == []
    group.lost, group.cut = lambda message: False, {4}
    group[3].tick()
    group.settle()
    assert answers == [Denied("Replica 3 was elected instead; ask again.")]
