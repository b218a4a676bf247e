"""Yield per side and failover time, counted by hand."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from jepsen_like.checks.availability import (
    ALL,
    MEASURED_MIN,
    availability,
    failover,
    serving_side,
    side_name,
)
from jepsen_like.history import Operation, Unserved
from jepsen_like.result import FaultRecord
from tests.jepsen_like.histories import read, write

CUT = FaultRecord(
    name="partition isolate(leader of shard-1)",
    kind="partition",
    target="n2",
    role_before="leader of meta, shard-1",
    role_after="follower",
    start_ns=1_000,
    end_ns=2_000,
    sides=(("n2",), ("n1", "n3")),
)
KILL = replace(
    CUT, name="kill -9 leader of shard-1", kind="kill", sides=(), role_before="leader of shard-1"
)


def load(count: int, node: str, outcome: str = "ok", at: int = 1_100) -> list[Operation]:
    return [read(None, at, at + 5, node=node, outcome=outcome) for _ in range(count)]


def test_each_side_has_its_own_yield_by_class() -> None:
    history = [
        *load(120, "n1"),
        *load(30, "n3", "info"),
        *load(100, "n2", "fail"),
        *[write(1, 1_100, 1_200, node="n3") for _ in range(7)],
    ]
    rows = {(row.side, row.f): row for row in availability(history, [CUT], rng=random.Random(1))}
    assert list(rows) == [
        ("minority (n2)", "read"),
        ("minority (n2)", "write"),
        ("minority (n2)", ALL),
        ("majority (n1, n3)", "read"),
        ("majority (n1, n3)", "write"),
        ("majority (n1, n3)", ALL),
    ]
    reads = rows["majority (n1, n3)", "read"]
    assert (reads.invoked, reads.ok, reads.yield_) == (150, 120, 0.8)
    assert rows["majority (n1, n3)", ALL].invoked == 157
    assert rows["minority (n2)", "read"].yield_ == 0.0


def test_under_a_hundred_operations_nothing_was_measured() -> None:
    for count, measured in ((MEASURED_MIN - 1, False), (MEASURED_MIN, True)):
        (row, *_) = availability(load(count, "n2"), [CUT], rng=random.Random(1))
        assert row.measured is measured
        assert (row.yield_ is None) is not measured


def test_a_yield_whose_failures_come_together_is_less_sure() -> None:
    """Ten seconds of a hundred calls each: one of ten failed throughout, or a tenth in each."""
    cut = replace(CUT, start_ns=0, end_ns=10_000_000_000)

    def served(second: int, ok: int) -> list[Operation]:
        at = second * 1_000_000_000
        return [*load(ok, "n2", at=at), *load(100 - ok, "n2", "info", at=at)]

    together = [o for second in range(10) for o in served(second, 0 if second == 4 else 100)]
    spread = [o for second in range(10) for o in served(second, 90)]
    outage, drizzle = (
        availability(history, [cut], rng=random.Random(1))[0] for history in (together, spread)
    )
    assert outage.yield_ == drizzle.yield_ == 0.9
    assert (drizzle.low, drizzle.high) == pytest.approx((0.880, 0.917), abs=0.001)  # Wilson
    assert outage.low <= 0.7
    assert outage.high == 1.0


def test_an_arrival_without_a_connection_counts_as_not_served() -> None:
    arrivals = [Unserved(1_500, "n2", "read", "x"), Unserved(2_500, "n2", "read", "x")]
    row = availability(load(99, "n2"), [CUT], arrivals, rng=random.Random(1))[0]
    assert (row.invoked, row.ok, row.measured) == (100, 99, True)


@pytest.mark.parametrize(
    ("operation", "counts"),
    [
        (replace(read(None, 1_001, 1_900, node="n2"), scheduled_ns=999), False),
        (replace(read(None, 1_500, 1_900, node="n2"), scheduled_ns=1_000), True),
        (read(None, 1_900, 2_000, node="n2"), True),
        (read(None, 1_900, 2_001, node="n2"), False),  # the heal answered it, not the side
        (read(None, 2_001, 2_002, node="n2"), False),
    ],
)
def test_what_the_cut_did_not_decide_does_not_count(operation: Operation, counts: bool) -> None:
    assert availability([operation], [CUT], rng=random.Random(1))[0].invoked == counts


def test_a_kill_has_no_sides() -> None:
    assert availability(load(200, "n1"), [KILL], rng=random.Random(1)) == ()


def test_names_of_sides() -> None:
    sides = (("a", "b"), ("c", "d"))
    assert side_name(sides, sides[0]) == "half (a, b)"
    assert serving_side(sides) == ()
    thirds = (("a",), ("b",), ("c", "d", "e"))
    assert [side_name(thirds, s).split()[0] for s in thirds] == ["minority", "minority", "majority"]
    assert serving_side(thirds) == ("c", "d", "e")


GROUPS = {"x": "shard-1", "y": "shard-2"}


def test_failover_ends_with_the_first_answer_a_side_that_can_serve_gave_after_the_fault() -> None:
    history = [
        read(1, 900, 1_050, node="n1"),  # sent before
        read(1, 1_010, 1_060, node="n2"),  # on the cut-off side
        read(1, 1_010, 1_070, node="n1", key="y"),  # another shard
        read(1, 1_010, 1_080, node="n1", outcome="info"),  # no answer
        read(1, 1_300, 1_900, node="n3"),
        read(1, 1_400, 1_410, node="n3"),  # sent later, answered first
    ]
    (found,) = failover(history, [CUT], GROUPS)
    assert (found.fault, found.group) == (CUT.name, "shard-1")  # meta holds no key
    assert found.first_ok_ns == 410
    assert found.side == "majority (n1, n3)"


def test_after_a_kill_every_client_counts() -> None:
    history = [read(1, 1_010, 1_060, node="n2")]
    (found,) = failover(history, [KILL], lambda operation: GROUPS.get(str(operation.key)))
    assert (found.first_ok_ns, found.side) == (60, "any")


def test_a_read_that_needs_no_leader_is_no_failover() -> None:
    local = replace(read(1, 1_010, 1_020, node="n1"), f="read any")
    (found,) = failover([local, read(1, 1_300, 1_900, node="n3")], [CUT], GROUPS)
    assert found.first_ok_ns == 900


def test_a_group_that_never_served_again_says_so() -> None:
    history = [read(1, 900, 950, node="n1"), write(1, 1_100, 1_200, node="n1", outcome="info")]
    (found,) = failover(history, [CUT], GROUPS)
    assert found.first_ok_ns is None


def test_without_a_majority_no_side_can_serve() -> None:
    even = replace(CUT, sides=(("n1", "n2"), ("n3", "n4")))
    (found,) = failover([read(1, 1_100, 1_200, node="n1")], [even], GROUPS)
    assert (found.first_ok_ns, found.side) == (None, "none")


def test_a_fault_that_hit_no_leader_has_no_failover() -> None:
    history = [read(1, 1_100, 1_200, node="n1")]
    assert failover(history, [replace(CUT, role_before="follower")], GROUPS) == ()
    several = replace(CUT, role_before="n1 leader of shard-2, shard-1; n2 follower")
    assert [f.group for f in failover(history, [several], GROUPS)] == ["shard-1"]
