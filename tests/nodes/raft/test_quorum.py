"""Quorum arithmetic against definitions that count."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodes.raft.quorum import VoteResult, count_votes, majority, reached_by_majority


@given(st.integers(1, 9))
def test_two_majorities_share_a_voter_and_two_smaller_sets_need_not(voters: int) -> None:
    assert 2 * majority(voters) > voters
    assert 2 * (majority(voters) - 1) <= voters


@given(st.lists(st.integers(0, 20), min_size=1, max_size=9))
def test_the_largest_value_that_a_majority_has_reached(values: list[int]) -> None:
    def is_reached(value: int) -> bool:
        return sum(1 for each in values if each >= value) > len(values) / 2

    assert reached_by_majority(values) == max(v for v in range(21) if is_reached(v))


@given(
    st.dictionaries(st.integers(1, 9), st.booleans()),
    st.sets(st.integers(1, 7), min_size=1),
)
def test_an_election_is_decided_when_outstanding_votes_cannot_change_it(
    votes: dict[int, bool], voters: set[int]
) -> None:
    granted = {voter for voter in voters if votes.get(voter)}
    outstanding = {voter for voter in voters if voter not in votes}

    def wins(supporters: set[int]) -> bool:
        return len(supporters) > len(voters) / 2

    if wins(granted):
        expected = VoteResult.WON
    elif wins(granted | outstanding):
        expected = VoteResult.PENDING
    else:
        expected = VoteResult.LOST
    assert count_votes(votes, voters) is expected
