"""Which nodes are there, and when their groups must be woken."""

from __future__ import annotations

import pytest

from nodes.neighbours import Neighbours, beat_ticks
from nodes.protocol import Beat

ELECTION_TICKS = 4


def lost_after(neighbours: Neighbours, ticks: int) -> list[list[str]]:
    return [neighbours.tick() for _ in range(ticks)]


def test_a_silent_node_is_lost_once_after_an_election_timeout() -> None:
    neighbours = Neighbours(ELECTION_TICKS)
    neighbours.heard("n2", Beat(7, 1))
    assert lost_after(neighbours, 3) == [[], [], []]
    neighbours.heard("n2", Beat(7, 2))
    assert neighbours.beats() == {"n2": Beat(7, 2)}
    assert lost_after(neighbours, 6) == [[], [], [], ["n2"], [], []]
    assert neighbours.beats() == {}


def test_ticks_that_come_together_count_as_many() -> None:
    neighbours = Neighbours(ELECTION_TICKS)
    assert neighbours.ticks_left() == ELECTION_TICKS
    neighbours.heard("n2", Beat(7, 1))
    assert neighbours.tick(2) == []
    neighbours.heard("n3", Beat(7, 1))
    assert neighbours.ticks_left() == 2
    assert neighbours.tick(neighbours.ticks_left() - 1) == []
    assert neighbours.tick() == ["n2"]
    assert neighbours.ticks_left() == 2, "who is not there any more is not missed again"


def test_whatever_a_node_sends_shows_that_it_is_there() -> None:
    neighbours = Neighbours(ELECTION_TICKS)
    neighbours.heard("n2", Beat(7, 1))
    lost_after(neighbours, 3)
    assert not neighbours.heard("n2", None)
    assert lost_after(neighbours, 4) == [[], [], [], ["n2"]]


def test_a_node_with_another_life_is_news_however_short_its_absence() -> None:
    neighbours = Neighbours(ELECTION_TICKS)
    assert neighbours.heard("n2", Beat(7, 1))
    assert not neighbours.heard("n2", Beat(7, 0))
    assert neighbours.heard("n2", Beat(8, 0))


def test_a_node_that_comes_back_as_it_was_wakes_nobody() -> None:
    """Its groups have been awake since it was lost."""
    neighbours = Neighbours(ELECTION_TICKS)
    neighbours.heard("n2", Beat(7, 1))
    lost_after(neighbours, 5)
    assert not neighbours.heard("n2", Beat(7, 1))
    assert neighbours.beats() == {"n2": Beat(7, 1)}
    assert lost_after(neighbours, 4)[-1] == ["n2"]


def test_a_node_that_was_never_heard_is_not_lost() -> None:
    neighbours = Neighbours(ELECTION_TICKS)
    neighbours.heard("n2", None)
    assert lost_after(neighbours, 8) == [[]] * 8


@pytest.mark.parametrize("election_ticks", [1, 2, 3, 8, 100])
def test_a_beat_may_be_missing_before_its_node_is_missed(election_ticks: int) -> None:
    """Where an election timeout has room for it at all: of three ticks or more."""
    neighbours = Neighbours(election_ticks)
    every = beat_ticks(election_ticks)
    assert every >= 1
    for tick in range(1, 20 * every + 1):
        if tick % every == 1 % every and (election_ticks < 3 or tick // every % 2 == 0):
            neighbours.heard("n2", Beat(7, 1))
        assert neighbours.tick() == [] or election_ticks == 1
