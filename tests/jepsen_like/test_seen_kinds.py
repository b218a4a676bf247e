"""What the seeds of a test mean to see, beside the operations."""

from __future__ import annotations

from examples import simulation
from jepsen_like import Test, checks, faults, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter
from jepsen_like.faults import Planned
from jepsen_like.sim.one_seed import kinds_of


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
    assert kinds_of(simulation.test) == ("elections", "partition", "kill")


def test_what_moves_is_to_be_seen_with_what_it_brings() -> None:
    found = kinds_of(test_with(faults.any_of(faults.pause("one"), faults.move_replica("shard-1"))))
    assert found == ("elections", "membership changes", "snapshots", "pause", "move")
