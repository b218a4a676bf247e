"""What the seeds of a test mean to see, beside the operations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from examples import simulation
from jepsen_like import Test, checks, faults, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter
from jepsen_like.faults import Healthy, Package, Planned
from jepsen_like.sim.one_seed import kinds_of
from nodes.config import RaftConfig


def test_with(*planned: Planned) -> Test:
    return Test(
        name="kinds",
        db=ShardRouter(nodes=4, shards=1, replicas=3, spares=1),
        workloads=[workloads.register(keys=2)],
        load=load.open_loop(rate=20, deadline="500ms", clients=2),
        faults=planned,
        checks=[checks.linearizable()],
        backend="sim",
    )


test_with.__test__ = False  # type: ignore[attr-defined]  # it makes tests, and is none


def test_elections_are_meant_to_be_seen_where_a_fault_may_bring_one() -> None:
    assert kinds_of(test_with(faults.healthy("1s"))) == ()
    assert kinds_of(test_with(faults.slow("20ms"))) == ("slow",)
    assert kinds_of(test_with(faults.kill("one"))) == ("elections", "kill")
    assert kinds_of(test_with(faults.kill("one", lose_unsynced=True))) == ("elections", "power cut")


def test_what_moves_is_to_be_seen_with_what_it_brings() -> None:
    test = test_with(faults.any_of(faults.pause("one"), faults.move_replica("shard-1")))
    assert kinds_of(test) == ("elections", "membership changes", "pause", "move")
    short = ShardRouter(nodes=4, shards=1, replicas=3, raft=RaftConfig(log_entries=10))
    found = kinds_of(replace(test, db=short))
    assert found == ("elections", "membership changes", "snapshots", "pause", "move")


MOVED_BY_THE_DATABASE = {"elections", "membership changes", "snapshots"}


def kinds_in(schedule: Iterable[Planned]) -> Iterator[str]:
    for fault in schedule:
        if isinstance(fault, Package):
            yield from kinds_in(fault.parts)
        elif not isinstance(fault, Healthy):
            yield fault.kind


@pytest.mark.parametrize("test", [simulation.test, simulation.transactions])
def test_twenty_seeds_of_the_example_draw_every_kind_that_it_has(test: Test) -> None:
    drawn = {kind for seed in range(1, 21) for kind in kinds_in(test.schedule(seed))}
    assert drawn == set(kinds_of(test)) - MOVED_BY_THE_DATABASE
    assert set(kinds_of(test)) > MOVED_BY_THE_DATABASE
    assert {"partition", "kill", "power cut", "pause", "clock", "move"} < drawn
