"""Members change one at a time (chapter 4), and the office is handed over (section 3.10)."""

from __future__ import annotations

import pytest

from nodes.raft.core import RaftCore, Role
from nodes.raft.membership import ChangeRefused, check_step, with_learner, with_voter, without
from nodes.raft.messages import (
    AppendRequest,
    LogEntry,
    Membership,
    TimeoutNow,
    VoteRequest,
    membership_entry,
    membership_in,
)
from tests.nodes.raft.group import ELECTION_TICKS, Disk, Group
from tests.nodes.raft.test_replication import elect_without_replicating

THREE = Membership.of((1, 2, 3))


def with_new_replica(group: Group, leader: RaftCore) -> RaftCore:
    """Add replica 4 as a learner."""
    group.disks[4] = Disk(THREE)
    new = group.start(4)
    leader.change_membership(with_learner(leader.membership, 4, "n4"))
    group.tick(2, numbers=[leader.replica])
    return new


def test_a_new_server_gets_the_log_and_counts_in_no_majority() -> None:
    """Section 4.2.1."""
    group = Group(3)
    leader = group.elect(1)
    leader.propose(b"x")
    group.settle()

    new = with_new_replica(group, leader)
    assert group.committed[4] == group.committed[1]
    assert new.membership.learners == (4,)
    group.cut = {2, 3}
    leader.propose(b"y")
    group.settle()
    assert new.log.last == leader.log.last
    assert leader.commit == leader.log.last - 1

    for _ in range(5 * ELECTION_TICKS):
        new.tick()
    assert new.role is Role.FOLLOWER, "a learner does not stand"


def test_a_learner_becomes_a_voter_and_then_counts() -> None:
    group = Group(3)
    leader = group.elect(1)
    with_new_replica(group, leader)

    leader.change_membership(with_voter(leader.membership, 4))
    group.tick(2, numbers=[1])
    group.cut = {2}
    leader.propose(b"x")
    group.tick(2, numbers=[1])
    assert leader.commit == leader.log.last
    group.cut = {2, 3}
    leader.propose(b"y")
    group.tick(2, numbers=[1])

    assert leader.commit == leader.log.last - 1, "two of four are no majority"
    assert leader.membership.voters == (1, 2, 3, 4)


def test_a_configuration_is_used_as_soon_as_it_is_in_the_log() -> None:
    """Section 4.1: committed or not."""
    group = Group(3)
    leader = group.elect(1)
    group.cut = {2, 3}

    leader.change_membership(without(leader.membership, 3))

    assert leader.membership.voters == (1, 2)
    assert leader.log.last > leader.commit


def test_a_server_falls_back_to_the_previous_configuration_if_the_entry_is_removed() -> None:
    group = Group(3)
    leader = group.elect(1)
    group.cut = {1}
    leader.change_membership(without(leader.membership, 3))
    group.settle()
    assert leader.membership.voters == (1, 2)

    group.elect(2)
    group.cut = set()
    group.tick(3, numbers=[2])

    assert leader.membership == THREE
    assert group.terms(1) == group.terms(2)


def test_no_change_before_an_entry_of_the_own_term_is_committed() -> None:
    """Ongaro's erratum of 2015."""
    group = Group(3, logs={1: [1, 1], 2: [1, 1], 3: [1, 1]})
    leader = group.cores[1]
    elect_without_replicating(group, leader)

    with pytest.raises(ChangeRefused, match="does not know yet"):
        leader.change_membership(without(leader.membership, 3))


def test_one_change_at_a_time() -> None:
    group = Group(5)
    leader = group.elect(1)
    group.settle()
    leader.change_membership(without(leader.membership, 5))

    with pytest.raises(ChangeRefused, match="under way"):
        leader.change_membership(without(leader.membership, 4))
    group.settle()

    leader.change_membership(without(leader.membership, 4))


def test_only_a_leader_changes_members() -> None:
    group = Group(3)
    group.elect(1)

    with pytest.raises(ChangeRefused, match="not lead"):
        group.cores[2].change_membership(without(THREE, 3))


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (Membership.of((1,)), "at a time"),
        (THREE, "at a time"),
        (with_learner(Membership(THREE.members, 9), 4, ""), "given before"),
        (Membership.of((1, 2, 3, 4)), "as a learner"),
        (Membership(THREE.members[:2], 2), "remembered"),
    ],
)
def test_what_is_not_one_step_is_refused(new: Membership, message: str) -> None:
    old = Membership(THREE.members, 9) if message == "given before" else THREE

    with pytest.raises(ChangeRefused, match=message):
        check_step(old, new)


def test_the_last_voter_stays_and_voters_are_not_demoted() -> None:
    one = Membership.of((1,))
    learner = with_learner(one, 2, "n2")

    with pytest.raises(ChangeRefused, match="last voter"):
        check_step(learner, without(learner, 1))
    with pytest.raises(ChangeRefused, match="remove it"):
        check_step(with_voter(learner, 2), learner)


def test_an_id_is_not_given_again_after_its_replica_was_removed() -> None:
    removed = without(THREE, 3)

    with pytest.raises(ChangeRefused, match="the next one is 4"):
        check_step(removed, with_learner(removed, 3, "n3"))
    check_step(removed, with_learner(removed, 4, "n3"))


def test_a_learner_that_needs_a_snapshot_is_not_promoted_however_short_the_log() -> None:
    group = Group(3)
    leader = group.elect(1)
    leader.propose(b"one")
    group.settle()
    group.compact(1, leader.log.commit)

    with_new_replica(group, leader)
    assert leader.log.last - leader.log.first < 10
    with pytest.raises(ChangeRefused, match="catch up"):
        leader.change_membership(with_voter(leader.membership, 4))


def test_a_learner_far_behind_is_not_promoted() -> None:
    group = Group(3)
    leader = group.elect(1)
    with_new_replica(group, leader)
    group.cut = {4}
    for number in range(1001):
        leader.propose(b"%d" % number)
    group.settle()

    with pytest.raises(ChangeRefused, match="catch up"):
        leader.change_membership(with_voter(leader.membership, 4))


def test_a_leader_that_is_removed_leads_until_that_is_committed_and_does_not_count() -> None:
    """Section 4.2.2."""
    group = Group(3)
    leader = group.elect(1)
    group.settle()
    group.cut = {2, 3}
    index = leader.change_membership(without(leader.membership, 1))
    group.settle()
    assert leader.role is Role.LEADER
    group.cut = {3}
    group.tick(numbers=[1])
    assert leader.commit == index - 1, "it does not count itself: one of two voters has it"

    group.cut = set()
    group.tick(numbers=[1])

    assert leader.commit == index
    assert group.cores[1].role is Role.FOLLOWER
    for _ in range(5 * ELECTION_TICKS):
        leader.tick()
    assert group.cores[1].role is Role.FOLLOWER


def test_members_survive_a_restart_and_a_compaction() -> None:
    group = Group(3)
    leader = group.elect(1)
    with_new_replica(group, leader)
    group.compact(1, leader.commit)

    restarted = group.start(1)

    assert restarted.membership.learners == (4,)
    assert restarted.base(restarted.log.first - 1).membership == restarted.membership


def test_a_membership_is_told_from_a_command_and_a_no_op() -> None:
    assert membership_in(membership_entry(1, THREE)) == THREE
    assert membership_in(LogEntry(1, b"")) is None
    assert membership_in(LogEntry(1, b"\x93abc")) is None


# ------------------------------------------------------------------ section 3.10


def test_the_office_goes_to_the_successor_at_once() -> None:
    group = Group(3)
    leader = group.elect(1)
    group.settle()

    assert leader.transfer(2)
    group.settle()

    assert group.cores[2].role is Role.LEADER
    assert leader.role is Role.FOLLOWER
    assert group.cores[2].term == 2


def test_the_prior_leader_stops_accepting_requests_and_brings_the_log_up_to_date_first() -> None:
    group = Group(3)
    leader = group.elect(1)
    group.cut = {2}
    leader.propose(b"x")
    group.settle()
    assert leader.transfer(2)
    assert leader.propose(b"y") is None
    assert leader.successor == 2
    with pytest.raises(ChangeRefused, match="handed over"):
        leader.change_membership(without(leader.membership, 3))
    assert not any(isinstance(m, TimeoutNow) for m in group.take(1))

    group.cut = set()
    group.tick(numbers=[1])
    group.settle()

    assert group.cores[2].role is Role.LEADER
    assert group.terms(2)[:2] == [1, 1]


def test_a_transfer_that_takes_an_election_timeout_is_given_up() -> None:
    group = Group(3)
    leader = group.elect(1)
    group.cut = {2}
    leader.transfer(2)

    group.tick(ELECTION_TICKS, numbers=[1])

    assert leader.role is Role.LEADER
    assert leader.successor == 0
    assert leader.propose(b"y") is not None


def test_only_voters_can_succeed_and_one_at_a_time() -> None:
    group = Group(3)
    leader = group.elect(1)
    with_new_replica(group, leader)
    group.cut = {2, 3, 4}

    assert not leader.transfer(1)
    assert not leader.transfer(4)
    assert not leader.transfer(9)
    assert not group.cores[2].transfer(3)
    assert leader.transfer(2)
    assert not leader.transfer(3)


def test_the_successors_election_is_not_disregarded_for_a_leader_that_is_heard() -> None:
    group = Group(3)
    group.elect(1)
    group.tick(numbers=[1])

    group.cores[3].step(VoteRequest(2, 3, 2, last_index=1, last_term=1, is_transfer=True))

    assert group.cores[3].term == 2


def test_a_delayed_request_to_stand_means_nothing() -> None:
    group = Group(3)
    group.elect(1)
    group.elect(3)

    group.cores[2].step(TimeoutNow(1, 2, 1))

    assert group.cores[2].role is Role.FOLLOWER


def test_removing_the_successor_ends_the_transfer() -> None:
    group = Group(3)
    leader = group.elect(1)
    group.settle()
    group.cut = {2}
    leader.propose(b"x")
    leader.transfer(2)
    assert leader._leadership is not None
    del leader._leadership.peers[2]

    leader._ask_successor(leader._leadership)

    assert leader.successor == 0


def test_entries_from_the_network_carry_memberships() -> None:
    group = Group(3)
    follower = group.cores[2]
    new = without(THREE, 3)
    entries = (LogEntry(1, b""), membership_entry(1, new), LogEntry(1, b"x"))

    follower.step(AppendRequest(1, 2, 1, 0, 0, 0, 1, entries))
    assert follower.membership == new
    follower.step(AppendRequest(3, 2, 2, 1, 1, 0, 1, (LogEntry(2, b""),)))

    assert follower.membership == THREE
