"""Elections, as the thesis words them (chapters 3 and 9, sections 4.2.3 and 6.2)."""

from __future__ import annotations

import random

import pytest

from nodes.raft.core import RaftCore, Role
from nodes.raft.log import RaftLog
from nodes.raft.messages import (
    AppendResponse,
    HardState,
    Membership,
    PreVoteRequest,
    PreVoteResponse,
    VoteRequest,
    VoteResponse,
)
from tests.nodes.raft.group import ELECTION_TICKS, Disk, Group


def lonely(**arguments: object) -> RaftCore:
    """One core of three, which nobody answers unless the test does."""
    settings: dict[str, object] = {
        "replica": 1,
        "memberships": [(0, Membership.of((1, 2, 3)))],
        "rng": random.Random(1),
        "election_ticks": ELECTION_TICKS,
        "hard_state": HardState(),
        "log": RaftLog(Disk()),
    }
    return RaftCore(**(settings | arguments))  # type: ignore[arg-type]  # keywords of the constructor


def test_a_server_remains_a_follower_as_long_as_it_hears_a_leader() -> None:
    group = Group(3)
    group.elect(1)

    group.tick(10 * ELECTION_TICKS)

    assert [core.role for core in group.cores.values()] == [
        Role.LEADER,
        Role.FOLLOWER,
        Role.FOLLOWER,
    ]
    assert {core.term for core in group.cores.values()} == {1}
    assert {core.leader for core in group.cores.values()} == {1}


def test_election_timeouts_are_randomized_from_one_to_one_and_a_half_election_times() -> None:
    timeouts = set()
    for seed in range(200):
        core = lonely(rng=random.Random(seed))
        ticks = 0
        while core.role is Role.FOLLOWER:
            core.tick()
            ticks += 1
        timeouts.add(ticks)
    assert timeouts == set(range(ELECTION_TICKS, ELECTION_TICKS * 3 // 2))


def test_the_first_timeout_can_be_given() -> None:
    core = lonely(first_timeout_ticks=1)

    core.tick()

    assert core.role is Role.PRECANDIDATE


def test_a_leader_is_elected_without_anybody_chosen_first() -> None:
    group = Group(5)

    group.tick(2 * ELECTION_TICKS)

    leaders = [core for core in group.cores.values() if core.role is Role.LEADER]
    assert len(leaders) == 1
    assert {core.leader for core in group.cores.values()} == {leaders[0].replica}


def test_a_pre_candidate_does_not_increment_its_term() -> None:
    """Section 9.6: a replica that was cut off comes back without a larger term."""
    group = Group(3)
    group.elect(1)
    group.cut = {3}
    for _ in range(20 * ELECTION_TICKS):
        group.tick()
    assert group.cores[3].term == 1
    assert group.cores[3].role is Role.PRECANDIDATE

    group.cut = set()
    group.tick(4 * ELECTION_TICKS)

    assert group.cores[1].role is Role.LEADER
    assert group.cores[1].term == 1
    assert group.cores[3].leader == 1


def test_a_pre_vote_changes_nothing_in_the_voter() -> None:
    core = lonely(hard_state=HardState(term=4, vote=3))

    core.step(PreVoteRequest(2, 1, 5, last_index=0, last_term=0))

    ready = core.ready()
    assert ready.messages_after == [PreVoteResponse(1, 2, 5, granted=True)]
    assert ready.hard_state is None


def test_a_pre_vote_for_a_term_that_is_not_newer_is_refused_with_the_own_term() -> None:
    core = lonely(hard_state=HardState(term=4))

    core.step(PreVoteRequest(2, 1, 4, last_index=9, last_term=3))

    assert core.ready().messages_after == [PreVoteResponse(1, 2, 4, granted=False)]


@pytest.mark.parametrize("request_type", [PreVoteRequest, VoteRequest])
def test_votes_are_not_for_changing_a_leader_that_is_heard(
    request_type: type[PreVoteRequest | VoteRequest],
) -> None:
    """Section 4.2.3: neither the term is updated nor the vote granted, and no answer given."""
    group = Group(3)
    group.elect(1)
    group.tick()

    for number in (1, 2):
        group.cores[number].step(request_type(3, number, 9, last_index=99, last_term=8))
        assert group.cores[number].term == 1
        assert group.take(number) == []


def test_each_server_votes_for_at_most_one_candidate_in_a_term() -> None:
    core = lonely()

    core.step(VoteRequest(2, 1, 1, last_index=0, last_term=0))
    core.step(VoteRequest(3, 1, 1, last_index=0, last_term=0))
    core.step(VoteRequest(2, 1, 1, last_index=0, last_term=0))

    ready = core.ready()
    assert ready.hard_state == HardState(term=1, vote=2)
    assert [m.granted for m in ready.messages_after if isinstance(m, VoteResponse)] == [
        True,
        False,
        True,
    ]
    assert ready.messages == []


def test_a_vote_is_remembered_after_a_restart() -> None:
    core = lonely(hard_state=HardState(term=1, vote=2))

    core.step(VoteRequest(3, 1, 1, last_index=0, last_term=0))

    assert core.ready().messages_after == [VoteResponse(1, 3, 1, granted=False)]


@pytest.mark.parametrize(
    ("own", "candidate", "granted"),
    [
        ([1, 1], [1, 1], True),
        ([1, 1], [1, 1, 1], True),
        ([1, 1], [2], True),
        ([1, 1], [1], False),
        ([1, 2], [1, 1, 1], False),
        ([1, 1, 1], [2], True),
        ([2], [1, 1, 1], False),
    ],
)
def test_a_voter_denies_its_vote_if_its_own_log_is_more_up_to_date(
    own: list[int], candidate: list[int], granted: bool
) -> None:
    """Section 3.6.1."""
    group = Group(3, logs={1: own})

    group.cores[1].step(VoteRequest(2, 1, 9, len(candidate), candidate[-1]))

    assert group.take(1) == [VoteResponse(1, 2, 9, granted=granted)]


def test_a_vote_counts_once() -> None:
    group = Group(5)
    core = group.cores[1]
    while core.role is Role.FOLLOWER:
        core.tick()
    group.take(1)

    for _ in range(3):
        core.step(PreVoteResponse(2, 1, 1, granted=True))
        assert core.role is Role.PRECANDIDATE
    core.step(PreVoteResponse(3, 1, 1, granted=True))
    for _ in range(3):
        core.step(VoteResponse(2, 1, 1, granted=True))
        core.step(VoteResponse(9, 1, 1, granted=True))  # not a voter
        assert core.role is Role.CANDIDATE
    core.step(VoteResponse(3, 1, 1, granted=True))

    assert core.role is Role.LEADER


def test_requests_for_votes_wait_until_the_own_vote_is_durable() -> None:
    core = lonely()
    while core.role is Role.FOLLOWER:
        core.tick()
    core.persisted(core.ready())

    core.step(PreVoteResponse(2, 1, 1, granted=True))

    ready = core.ready()
    assert ready.hard_state == HardState(term=1, vote=1)
    assert ready.messages == []
    assert {type(message) for message in ready.messages_after} == {VoteRequest}


def test_a_stale_leader_or_candidate_becomes_a_follower_of_a_larger_term() -> None:
    group = Group(3)
    leader = group.elect(1)

    leader.step(AppendResponse(2, 1, 7, success=False, match_index=0, round=0))

    assert leader.role is Role.FOLLOWER
    assert leader.term == 7
    assert leader.leader == 0


def test_a_leader_steps_down_when_no_majority_answers_for_an_election_time() -> None:
    """CheckQuorum, section 6.2."""
    group = Group(3)
    leader = group.elect(1)
    group.tick(3 * ELECTION_TICKS, numbers=[1])
    group.cut = {1}

    group.tick(2 * ELECTION_TICKS, numbers=[1])

    assert leader.role is not Role.LEADER
    assert leader.term == 1


def test_a_leader_with_a_majority_stays_whatever_happens_to_the_rest() -> None:
    group = Group(5)
    leader = group.elect(1)
    group.cut = {4, 5}

    group.tick(20 * ELECTION_TICKS)

    assert leader.role is Role.LEADER
    assert leader.term == 1


def test_a_replica_of_a_newer_term_is_not_stuck_beside_a_leader_that_works() -> None:
    """Its requests for votes are ignored, and it ignores the leader's older term: its answer
    to the leader's heartbeats has to end that."""
    group = Group(3, terms={3: 5})
    group.cut = {3}
    group.elect(1)
    assert group.cores[1].term == 1
    group.cut = set()

    group.tick(6 * ELECTION_TICKS)

    leaders = [core for core in group.cores.values() if core.role is Role.LEADER]
    assert [core.term > 5 for core in leaders] == [True]
    assert {core.leader for core in group.cores.values()} == {leaders[0].replica}


def test_messages_for_another_replica_id_are_ignored() -> None:
    core = lonely()

    core.step(VoteRequest(2, 7, 9, last_index=0, last_term=0))

    assert core.term == 0
    assert not core.has_ready()


def test_a_single_voter_leads_and_commits_when_its_entry_is_durable() -> None:
    group = Group(1)
    core = group.elect(1)

    index = core.propose(b"x")
    ready = core.ready()
    assert index == 2
    assert core.commit == 1
    group.disks[1].write(ready)
    core.persisted(ready)
    assert core.commit == 2
    core.read_index("r")
    group.settle()

    assert [entry.data for entry in group.committed[1]] == [b"", b"x"]
    assert group.reads == ["r"]
