"""Every figure on cases small enough to be computed by hand."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from jepsen_like.figures.freshness import in_cuts, readings, within
from jepsen_like.figures.intervals import nines, share, wilson
from jepsen_like.figures.outages import first_ok, post_heal_outage, recovery
from jepsen_like.figures.registers import lost_writes, session_violations
from jepsen_like.figures.served import Window, client_time, tallies, yield_of
from jepsen_like.figures.slope import Step, latencies, least_squares, slope
from jepsen_like.history import Operation, Unserved
from tests.jepsen_like.histories import cas, read, write

MS = 1_000_000
S = 1_000 * MS
BOTH = frozenset({"n1", "n2"})


def rng() -> random.Random:
    return random.Random(1)


def failed(operation: Operation) -> Operation:
    return replace(operation, outcome="fail")


# ---------------------------------------------------------------------------- intervals


def test_wilson_is_the_textbook_interval() -> None:
    found = wilson(81, 263)  # Newcombe 1998, table I
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)


def test_without_a_failure_it_is_the_rule_of_three() -> None:
    assert wilson(300, 300) == replace(wilson(300, 300), value=1.0, low=0.99, high=1.0)
    assert wilson(0, 300).high == 0.01
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


def test_nines() -> None:
    found = nines(999, 1000)
    assert found.value == pytest.approx(3)
    assert found.low < 3 < found.high
    perfect = nines(3000, 3000)
    assert perfect.value == math.inf
    assert perfect.low == pytest.approx(3)


def test_a_share_whose_failures_come_together_is_less_sure() -> None:
    spread = share([[(9, 10)] * 20], rng())
    together = share([[(10, 10)] * 18 + [(0, 10)] * 2], rng())
    assert spread.value == together.value == 0.9
    independent = wilson(180, 200)
    assert (spread.low, spread.high) == (independent.low, independent.high)
    assert together.low < 0.8
    assert together.high >= 0.95


def test_windows_are_drawn_whole() -> None:
    windows = [[(10, 10)] * 5, [(10, 10)] * 5, [(0, 10)] * 5]
    found = share(windows, rng())
    assert found.value == pytest.approx(2 / 3)
    assert found.low <= 1 / 3  # one good window of three was drawn
    assert found.high == 1.0
    assert share(windows, rng()) == found


# ---------------------------------------------------------------------------- yield


def test_yield_counts_arrivals_without_a_connection_and_not_what_the_heal_decided() -> None:
    window = Window(S, 3 * S, frozenset({"n1"}))
    history = [
        read(0, S, S + 5),
        failed(read(0, S + 10, S + 20)),
        read(0, 2 * S, 2 * S + 5),
        read(0, 3 * S - 5, 3 * S + 5),  # answered after the end
        read(0, S - 5, S + 5),  # asked before the start
        read(0, S, S + 5, node="n2"),
        write(1, S, S + 5),
    ]
    arrivals = [Unserved(2 * S, "n1", "read", "x"), Unserved(3 * S, "n1", "read", "x")]
    assert tallies(history, arrivals, [window], ["read"]) == [[(1, 2), (1, 2)]]
    assert yield_of(history, arrivals, [window], ["read"], rng()).value == 0.5


def test_client_time_forgives_calls_and_counts_seconds() -> None:
    window = Window(0, 2 * S, frozenset({"n1"}))
    history = [
        failed(read(0, 0, 5, process=1)),
        read(0, 10, 15, process=1),  # served at least once in the first second
        *(failed(read(0, S + i, S + i + 1, process=1)) for i in range(9)),
        read(0, S, S + 5, process=2),
    ]
    assert client_time(history, (), [window], rng()).value == pytest.approx(2 / 3)
    unserved = [Unserved(5, "n1", "read", "x")]
    assert client_time(history, unserved, [window], rng()).value == 0.5


# ---------------------------------------------------------------------------- outages


def test_first_ok_is_of_a_call_sent_after_the_fault() -> None:
    history = [read(0, 90, 110), failed(read(0, 100, 105)), read(0, 120, 150, node="n2")]
    assert first_ok(history, 100, BOTH, ["read"]) == 50
    assert first_ok(history, 100, ["n1"], ["read"]) is None


def every_10_ms(is_ok: list[bool]) -> list[Operation]:
    """Ten calls in each tenth of a second."""
    return [
        replace(read(0, at, at + 1), outcome="ok" if good else "fail")
        for tenth, good in enumerate(is_ok)
        for at in range(tenth * 100 * MS, (tenth + 1) * 100 * MS, 10 * MS)
    ]


def test_recovery_is_when_it_stays_well() -> None:
    flapping = every_10_ms([False] * 3 + [True] * 2 + [False] + [True] * 14)
    of = {"since_ns": 0, "until_ns": 2 * S}
    assert recovery(flapping, (), **of, hosts=["n1"]) == 600 * MS
    assert recovery(flapping, (), **of, hosts=["n1"], for_ns=200 * MS) == 300 * MS
    assert recovery(every_10_ms([False] * 20), (), **of, hosts=["n1"]) is None


def test_the_outage_after_the_heal_is_the_time_below_theta() -> None:
    history = every_10_ms([True, False, True, False, False, True])
    of = {"heal_ns": 0, "until_ns": 2 * S}  # nobody asks after 0.6 s: that is no outage
    assert post_heal_outage(history, (), **of, hosts=["n1"]) == 300 * MS
    arrivals = [Unserved(1, "n1", "read", "x")] * 2
    assert post_heal_outage(history, arrivals, **of, hosts=["n1"]) == 400 * MS


# ---------------------------------------------------------------------------- what was written


def test_a_write_is_lost_if_all_final_reads_are_older_and_nothing_followed() -> None:
    lost = write(2, 20, 30)
    history = [write(1, 0, 10), lost, read(1, 100, 110), read(1, 100, 110, node="n2")]
    assert lost_writes(history, quiet_ns=100) == (lost,)
    assert lost_writes([*history, read(2, 120, 130)], quiet_ns=100) == ()
    assert lost_writes(history[:2], quiet_ns=100) == ()  # nobody looked
    superseded = [*history[:2], write(3, 40, 50), read(1, 100, 110)]
    assert [w.value for w in lost_writes(superseded, quiet_ns=100)] == [3]
    concurrent = [write(1, 0, 25), lost, read(1, 100, 110)]
    assert lost_writes(concurrent, quiet_ns=100) == ()
    unknown = [write(1, 0, 10, outcome="info"), lost, read(1, 100, 110)]
    assert lost_writes(unknown, quiet_ns=100) == ()  # it may have come late
    initial = [cas(0, 2, True, 20, 30), cas(2, 3, False, 40, 50), read(0, 100, 110)]
    assert [w.f for w in lost_writes(initial, quiet_ns=100)] == ["cas"]


def test_sessions_that_go_backwards_are_counted() -> None:
    history = [
        write(1, 0, 10, process=1),
        write(2, 20, 30, process=1),
        read(1, 40, 50, process=1),  # not its own write
        read(2, 40, 50, process=2),
        read(1, 60, 70, process=2),  # older than what it saw
        read(1, 80, 90, process=3),  # stale, and in no session
    ]
    found = session_violations(history)
    assert (found.reads, found.read_your_writes, found.monotonic_reads) == (4, 1, 1)


# ---------------------------------------------------------------------------- freshness


def test_only_reads_that_could_be_stale_are_evidence() -> None:
    window = Window(100, 200, frozenset({"n2"}))
    history = [
        write(1, 10, 20),
        read(1, 105, 106, node="n2"),  # nothing was written since the cut
        write(2, 110, 120),
        read(1, 130, 131, node="n2"),  # stale
        read(1, 130, 131, node="n1"),  # on the other side
        read(2, 140, 141, node="n2"),
        read(2, 201, 202, node="n2"),  # after the cut
    ]
    of = readings(history, "read", 0)
    found = in_cuts(of, [window])
    assert (found.reads, found.stale, found.versions_max, found.stale_ns_max) == (2, 1, 1, 10)
    close = within(of, [Window(0, 300, BOTH)], 15)
    assert (close.reads, close.stale) == (2, 2)  # both of 130: 10 after the answer of 120


def test_a_class_of_reads_is_judged_by_itself() -> None:
    history = [write(1, 0, 10), replace(read(0, 20, 30), f="read any"), read(1, 20, 30)]
    assert readings(history, "read any", 0).reads[0].versions == 1
    assert readings(history, "read", 0).reads[0].versions == 0


# ---------------------------------------------------------------------------- slope


def test_least_squares() -> None:
    assert least_squares([(0, 1), (1, 3), (2, 5)]) == (1, 2)
    a, b = least_squares([(0, 0), (1, 2), (2, 1)])
    assert (a, b) == (0.5, 0.5)


def test_the_slope_counts_round_trips() -> None:
    steps = [Step(rtt, ((2 * rtt + 3, 2 * rtt + 5), (2 * rtt + 4,))) for rtt in (10, 20, 40)]
    found = slope(steps, rng())
    assert found is not None
    assert found.value == pytest.approx(2)
    assert found.low <= 2 <= found.high
    assert found.count == 9
    assert slope(steps[:1], rng()) is None
    assert slope([*steps[:1], Step(20, ())], rng()) is None


def test_latency_counts_from_the_scheduled_time() -> None:
    late = replace(read(0, 50, 60), scheduled_ns=20)
    history = [late, failed(read(0, 30, 90)), write(1, 30, 40)]
    assert latencies(history, "read", Window(0, 100, BOTH)) == ((40,),)
