"""When ticks are due, and what leases may count on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.config import RaftConfig
from nodes.pace import Pace, lease_rule, shortest_s

T = 1.0
delays = st.lists(st.one_of(st.just(0.0), st.floats(0, 20)), min_size=2, max_size=40)


@given(delays, st.data())
def test_so_many_ticks_in_a_row_take_their_time_however_late_each_is(
    lateness: list[float], data: st.DataObject
) -> None:
    pace = Pace(T, 0.0)
    done: list[float] = []
    for late in lateness:
        done.append(pace.due + late)
        pace.ticked(done[-1])
    first = data.draw(st.integers(0, len(done) - 2))
    last = data.draw(st.integers(first + 1, len(done) - 1))
    assert done[last] - done[first] >= shortest_s(last - first + 1, T) - 1e-9


def test_the_bound_is_reached() -> None:
    """A late tick, then all in time: half a tick is lost, and no more."""
    pace = Pace(T, 0.0)
    pace.ticked(3.0)
    second = pace.due
    pace.ticked(second)
    assert pace.due - 3.0 == shortest_s(3, T) == 1.5


def test_missed_ticks_are_not_made_up_for() -> None:
    pace = Pace(T, 0.0)
    pace.ticked(3600.0)
    assert pace.due == 3600.5
    pace.ticked(3600.5)
    assert pace.due == 3601.5
    with pytest.raises(AssertionError, match="before its time"):
        pace.ticked(3601.4)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 4)), min_size=1, max_size=30))
def test_who_wakes_has_the_tick_it_would_have_had(steps: list[tuple[int, float]]) -> None:
    """Ticks are put off, and after some time somebody wakes: never sooner than half a tick after
    the last one nor than now, never later than a tick from then, and none is counted twice."""
    pace = Pace(T, 0.0)
    for ticks, asleep in steps:
        done = pace.due
        pace.ticked(done)
        next_one = pace.due
        pace.put_off_by(ticks)
        assert pace.due == pytest.approx(next_one + ticks * T)
        now = min(done + asleep, pace.due)
        pace.resume(now)
        assert now <= pace.due + 1e-9
        assert pace.due <= max(now, done) + T + 1e-9
        assert pace.due == pytest.approx(next_one + pace.put_off * T)


def test_a_late_tick_stands_for_those_put_off_and_no_more() -> None:
    pace = Pace(T, 0.0)
    pace.ticked(1.0)
    pace.put_off_by(2)
    assert (pace.due, pace.put_off) == (4.0, 2)
    pace.resume(2.5)
    assert (pace.due, pace.put_off) == (3.0, 1)
    pace.ticked(3600.0)
    assert (pace.due, pace.put_off) == (3600.5, 0)


def test_a_lease_is_as_long_as_an_election_timeout_can_be_relied_on() -> None:
    rule = lease_rule(RaftConfig(tick_ms=50, election_ticks=8, lease_reads=True))
    assert rule is not None
    assert rule.election_timeout == pytest.approx(0.325)
    assert rule.duration == pytest.approx(0.325 / 1.01 - 0.010)
    assert lease_rule(RaftConfig()) is None
