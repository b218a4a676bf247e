"""What a shaped link does to what is given to it, in virtual time; and how it is measured."""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import mean

import pytest

from jepsen_like import faults
from jepsen_like.backends.abilities import DELAY, DUPLICATION, JITTER, LOSS, RATE, REORDERING
from jepsen_like.backends.shape import PLAIN, Departures, Shape, link_rng
from jepsen_like.faults.measures import (
    Packets,
    datagrams_needed,
    is_delayed,
    is_plain,
    is_rated,
    packets,
)
from jepsen_like.faults.targets import TargetError

AB = ("a", "b")
AC = ("a", "c")


def given(shape: Shape, times_s: Sequence[float], size: int = 1000, seed: int = 1) -> list[float]:
    """How long each was on its way; -1 if it was lost."""
    link = Departures(shape, link_rng(seed, "a", "b"))
    return [max(link.of(at, size), default=at - 1) - at for at in times_s]


def test_a_link_without_a_shape_passes_on_at_once() -> None:
    assert given(PLAIN, [0.0, 0.5]) == [0.0, 0.0]
    assert PLAIN.needs == frozenset()


def test_a_delay_is_a_delay() -> None:
    assert given(Shape(delay_s=0.02), [0.0, 0.001, 5.0]) == pytest.approx([0.02] * 3)


def test_jitter_is_spread_around_the_delay_and_keeps_the_order() -> None:
    shape = Shape(delay_s=0.02, jitter_s=0.005)
    apart = given(shape, [number * 0.1 for number in range(1000)])
    assert 0.015 <= min(apart) < 0.0155
    assert 0.0245 < max(apart) <= 0.025 + 1e-9
    assert mean(apart) == pytest.approx(0.02, abs=0.0005)
    sent = [number * 0.001 for number in range(1000)]
    arrived = [at + took for at, took in zip(sent, given(shape, sent), strict=True)]
    assert arrived == sorted(arrived)


def test_what_is_lost_is_drawn_from_the_seed() -> None:
    times = [0.0] * 10_000
    lost = given(Shape(loss=0.05), times)
    assert 420 < lost.count(-1) < 580
    assert lost == given(Shape(loss=0.05), times)
    assert lost != given(Shape(loss=0.05), times, seed=2)


def test_some_arrive_twice_and_some_overtake() -> None:
    link = Departures(Shape(duplicate=0.1, delay_s=0.01), random.Random(1))
    twice = [len(link.of(number, 100)) for number in range(1000)].count(2)
    assert 60 < twice < 140
    overtaking = given(Shape(reorder=0.1, delay_s=0.01), [n * 0.001 for n in range(1000)])
    assert 60 < overtaking.count(0.0) < 140


def test_a_rate_is_kept_and_its_queue_is_bounded() -> None:
    shape = Shape(rate_bytes_s=100_000)
    link = Departures(shape, random.Random(1))
    taken = 0
    while not link.is_full(0.0):
        (leaves_s,) = link.of(0.0, 1000)
        taken += 1
        assert leaves_s == pytest.approx(taken * 0.01)
    assert shape.queue_bytes <= taken * 1000 < shape.queue_bytes + 1000
    assert not link.is_full(0.1)
    assert link.of(10.0, 1000) == pytest.approx((10.01,))  # an idle link has nothing saved up


# ------------------------------------------------------------------------------ as asked for


def test_shapes_are_written_as_people_write_them() -> None:
    fault = faults.shape(delay="20ms±5ms", loss="1%", rate="10mbit")
    assert fault.shape == Shape(delay_s=0.02, jitter_s=0.005, loss=0.01, rate_bytes_s=1.25e6)
    assert fault.needs == {DELAY, JITTER, LOSS, RATE}
    assert fault.name == "delay 20ms±5ms, loss 1%, rate 10mbit"
    assert faults.slow_link("20ms+-5ms").shape == faults.slow_link("20ms±5ms").shape
    assert faults.slow("50ms").shape == Shape(delay_s=0.025)
    assert faults.duplicate(0.25).needs == {DUPLICATION}
    assert faults.reorder("10%").needs == {DELAY, REORDERING}
    one = faults.loss("5%", on=faults.isolate(faults.leader_of("g")))
    assert one.name == "loss 5%, links of isolate(leader of g)"


def test_shapes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'5' is not a fraction; write 5% or 0\.05"):
        faults.loss("5")
    with pytest.raises(ValueError, match="must be from 0 to under 1"):
        faults.loss("100%")
    with pytest.raises(ValueError, match="arrive before they are sent"):
        faults.slow_link("5ms±20ms")
    with pytest.raises(ValueError, match="write 500kbit, 10mbit or 1gbit"):
        faults.rate("fast")
    with pytest.raises(ValueError, match="asks for nothing"):
        faults.shape()
    with pytest.raises(TargetError, match="nothing can be overtaken without a delay"):
        faults.shape(reorder="5%").drawn(("a", "b"), random.Random(1))


# ------------------------------------------------------------------------------ as measured


def test_delays_are_judged_by_what_arrives_too_early_and_too_late() -> None:
    shape = Shape(delay_s=0.02, jitter_s=0.005)
    good = [0.0155, 0.018, 0.021, 0.0245, 0.02]
    assert is_delayed(shape, {AB: good, AC: good})[0]
    assert not is_delayed(shape, {AB: good, AC: [0.001, *good]})[0]  # one was early
    assert not is_delayed(shape, {AB: [time_s + 0.1 for time_s in good]})[0]
    assert not is_delayed(shape, {AB: [0.02] * 5})[0]  # where is the jitter?
    assert is_delayed(shape, {AB: good, AC: []}) == (False, "no probe arrived from a to c")
    assert is_plain(shape, {AB: [0.0001, 0.3]})[0]
    assert not is_plain(shape, {AB: [0.0001], AC: [0.02]})[0]


def test_fractions_are_judged_by_chance() -> None:
    def lossy(lost: int, sent: int = 500) -> Packets:
        numbers = tuple(range(lost, sent))
        return Packets(sent, numbers, (0.0,) * len(numbers))

    shape = Shape(loss=0.05)
    assert datagrams_needed(shape) == 500
    assert packets(shape, {AB: lossy(25), AC: lossy(31)})[0][0]
    assert not packets(shape, {AB: lossy(50), AC: lossy(62)})[0][0]
    assert not packets(shape, {AB: lossy(0), AC: lossy(50)})[0][0]  # one link is left out
    assert not packets(Shape(duplicate=0.05), {AB: lossy(1)})[0][0]  # loss nobody asked for


def test_overtaking_and_doubling_are_counted_at_the_receiver() -> None:
    seen = Packets(6, (2, 0, 1, 1, 5, 4), (0.0,) * 6)
    assert (seen.lost, seen.doubled, seen.overtakers) == (1, 1, 2)


def test_a_rate_is_judged_by_what_came_through() -> None:
    shape = Shape(rate_bytes_s=1e6)
    assert is_rated(shape, {AB: 0.95e6, AC: 1.02e6})[0]
    assert not is_rated(shape, {AB: 0.95e6, AC: 1.3e6})[0]
    assert not is_rated(shape, {AB: 0.4e6})[0]
    assert is_rated(Shape(rate_bytes_s=1e6, loss=0.05), {AB: 0.4e6})[0]
