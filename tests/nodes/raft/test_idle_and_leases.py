"""Reads by lease (section 6.4.1), reads through followers (6.4), and groups that fall silent."""

from __future__ import annotations

import random

from nodes.raft.core import RaftCore, Role
from nodes.raft.lease import LeaseRule
from nodes.raft.membership import without
from nodes.raft.messages import (
    AppendResponse,
    HardState,
    PreVoteRequest,
    Quiesce,
    ReadAnswer,
    ReadRequest,
    VoteRequest,
    VoteResponse,
)
from tests.nodes.raft.group import ELECTION_TICKS, Group

RULE = LeaseRule(election_timeout=10.0, drift=0.25, margin=1.0)  # 7 seconds


def core(group: Group, number: int, **arguments: object) -> RaftCore:
    """Replace a core of the group by one with other settings."""
    disk = group.disks[number]
    settings: dict[str, object] = {
        "replica": number,
        "memberships": disk.memberships(),
        "rng": random.Random(number),
        "election_ticks": ELECTION_TICKS,
        "hard_state": disk.hard_state,
        "log": disk.open_log(),
    }
    new = RaftCore(**(settings | arguments))  # type: ignore[arg-type]  # keywords of the constructor
    group.cores[number] = new
    return new


def leased() -> tuple[Group, RaftCore]:
    """A group with leases, led by 1 at time 0."""
    group = Group(3)
    for number in (1, 2, 3):
        core(group, number, lease_rule=RULE)
    return group, group.elect(1)


def test_a_lease_counts_from_the_sending_of_a_round_that_a_majority_answered() -> None:
    group, leader = leased()
    leader.tick(100.0)
    assert leader.lease_read(100.0) is None
    leader.tick(104.0)
    first_and_second = group.take(1)
    leader.tick(105.0)
    group.deliver(message for message in first_and_second if message.receiver == 2)
    group.deliver(group.take(2))

    assert leader.lease_read(104.0) == 1
    assert leader.lease_read(110.9) == 1, "104 + 10 / 1.25 - 1"
    assert leader.lease_read(111.0) is None


def test_without_a_rule_there_is_no_lease() -> None:
    group = Group(3)
    leader = group.elect(1)
    leader.tick(1.0)
    group.settle()

    assert leader.lease_read(1.0) is None


def test_a_lease_ends_before_a_transfer_and_does_not_come_back_in_that_term() -> None:
    """The successor's requests for votes may be long under way."""
    group, leader = leased()
    leader.tick(1.0)
    group.settle()
    assert leader.lease_read(1.0) == 1
    group.cut = {2}
    leader.transfer(2)
    assert leader.lease_read(1.0) is None

    for second in range(2, 30):
        leader.tick(float(second))
        group.settle()

    assert leader.role is Role.LEADER
    assert leader.successor == 0
    assert leader.lease_read(29.0) is None


def test_a_lease_is_dropped_when_members_change() -> None:
    group, leader = leased()
    leader.tick(1.0)
    group.settle()
    index = leader.change_membership(without(leader.membership, 3))
    assert leader.lease_read(1.0) is None

    leader.tick(2.0)
    group.settle()

    assert leader.lease_read(2.0) == index


def test_with_leases_nobody_votes_for_an_election_timeout_after_a_start() -> None:
    group = Group(3)
    voter = core(group, 1, lease_rule=RULE)

    for _ in range(ELECTION_TICKS - 1):
        voter.tick()
        voter.step(PreVoteRequest(2, 1, 1, 0, 0))
        voter.step(VoteRequest(2, 1, 1, 0, 0))
    assert not voter.has_ready()
    voter.tick()
    voter.step(VoteRequest(2, 1, 1, 0, 0))

    assert voter.ready().hard_state == HardState(1, 2)


def test_a_newer_term_that_was_heard_of_does_not_make_a_vote_free() -> None:
    """The leader of term 1 may read by the lease that this follower's answer gave it."""
    group, leader = leased()
    leader.tick(1.0)
    group.settle()
    follower = group.cores[2]

    follower.step(VoteResponse(3, 2, 5, granted=False))
    follower.step(VoteRequest(3, 2, 6, last_index=9, last_term=5))

    assert follower.ready().messages_after == []
    assert follower.term == 5


def test_a_leader_that_has_not_committed_in_its_term_reads_by_no_lease() -> None:
    group, leader = leased()
    leader.tick(1.0)
    group.settle()
    assert leader._leadership is not None
    leader._leadership.noop_index = 5

    assert leader.lease_read(1.0) is None


# ------------------------------------------------------------------ reads through the leader


def test_a_follower_reads_at_the_index_that_its_leader_confirms() -> None:
    group = Group(3)
    leader = group.elect(1)
    leader.propose(b"x")
    group.settle()
    follower = group.cores[3]

    assert follower.read_index("a")
    assert follower.read_index("b")
    sent = group.take(3)
    assert [type(message) for message in sent] == [ReadRequest]
    group.deliver(sent)
    group.deliver(group.take(1))
    group.deliver(group.take(2))
    (answer,) = (m for m in group.take(1) if isinstance(m, ReadAnswer))
    follower.step(answer)

    assert follower.ready().reads == [(2, ["a", "b"])]


def test_a_followers_read_fails_with_its_leader_or_when_no_answer_comes() -> None:
    group = Group(3)
    group.elect(1)
    follower = group.cores[3]
    assert not group.start(2).read_index("nobody known")
    follower.read_index("lost")
    group.take(3)
    for _ in range(ELECTION_TICKS):
        follower.tick()
    group.take(3)
    assert group.reads_failed == ["lost"]

    follower.read_index("deposed")
    follower.step(VoteResponse(2, 3, 9, granted=False))
    group.take(3)

    assert group.reads_failed == ["lost", "deposed"]


def test_who_does_not_lead_refuses_to_confirm() -> None:
    group = Group(3)
    group.elect(1)

    group.cores[2].step(ReadRequest(3, 2, 1, 77))

    assert group.take(2) == [ReadAnswer(2, 3, 1, 77, 0)]


def test_an_answer_to_an_earlier_life_meets_no_read() -> None:
    group = Group(3)
    group.elect(1)
    follower = group.cores[3]
    follower.read_index("r")
    group.take(3)

    follower.step(ReadAnswer(1, 3, 1, 1, 1))

    assert group.reads == []
    assert not follower.has_ready()


# ------------------------------------------------------------------ quiescence


def quiet() -> tuple[Group, RaftCore]:
    """A group that fell silent under leader 1."""
    group = Group(3)
    for number in (1, 2, 3):
        core(group, number, quiesce_ticks=4)
    leader = group.elect(1)
    group.tick(8)
    return group, leader


def test_an_idle_group_sends_nothing_and_elects_nobody() -> None:
    group, leader = quiet()
    assert [each.is_quiescent for each in group.cores.values()] == [True] * 3

    for each in group.cores.values():
        for _ in range(10 * ELECTION_TICKS):
            each.tick()
        assert not each.has_ready()

    assert leader.role is Role.LEADER


def test_a_proposal_wakes_the_group() -> None:
    group, leader = quiet()

    leader.propose(b"x")
    group.tick(2)

    assert not leader.is_quiescent
    assert group.committed[3] == group.committed[1]
    assert leader.commit == 2


def test_a_group_with_somebody_missing_or_behind_does_not_fall_silent() -> None:
    group = Group(3)
    leader = core(group, 1, quiesce_ticks=4)
    group.elect(1)
    group.cut = {3}

    group.tick(20)

    assert not leader.is_quiescent


def test_when_its_leaders_node_is_gone_a_woken_group_elects_another() -> None:
    group, _ = quiet()
    group.cut = {1}

    for number in (2, 3):
        group.cores[number].wake()
    group.tick(4 * ELECTION_TICKS, numbers=[2, 3])

    assert Role.LEADER in (group.cores[2].role, group.cores[3].role)


def test_a_woken_follower_wakes_its_silent_leader() -> None:
    group, leader = quiet()
    group.cores[2].wake()

    group.tick(3 * ELECTION_TICKS)

    assert leader.role is Role.LEADER
    assert leader.term == 1


def test_a_follower_that_lacks_something_does_not_fall_silent_and_says_so() -> None:
    group = Group(3)
    group.elect(1)
    follower = group.cores[2]

    follower.step(Quiesce(1, 2, 1, last_index=7))

    assert not follower.is_quiescent
    assert [type(message) for message in group.take(2)] == [AppendResponse]


def test_a_single_voter_falls_silent_by_itself() -> None:
    group = Group(1)
    only = core(group, 1, quiesce_ticks=4)
    group.elect(1)
    group.tick(10)

    assert only.is_quiescent
