"""The demonstration: this project's own database, its leader cut off, then a leader killed."""

from __future__ import annotations

from jepsen_like import faults, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter
from jepsen_like.faults import leader_of
from jepsen_like.spec import Test

__all__ = ["demo_test"]

RATE = 120.0
"""Calls per second over three hosts: 40 per host, so that each side of a cut has well over the
100 that a measurement needs, and two cores are not busy with the load itself."""

CLIENTS = 40
"""Connections per host: 40 calls/s, of which each may take its 0.5 s deadline, the harness's
grace and a reconnection, keep about 30 of them busy."""


def demo_test(seed: int, *, quick: bool = False) -> Test:
    """Three nodes, three shards with three replicas each, a router and clients on every node.

    `quick` shortens every phase; each side still gets over 100 calls during the cut.
    """
    cut, rest, down = ("5s", "2s", "1s") if quick else ("10s", "4s", "2s")
    return Test(
        name="demo",
        db=ShardRouter(nodes=3, shards=3, replicas=3),
        workloads=[workloads.register(keys=24)],
        load=load.open_loop(rate=RATE, deadline="500ms", clients=CLIENTS),
        faults=[
            faults.healthy("2s" if quick else "4s"),
            faults.partition(faults.isolate(leader_of("shard-1")), hold=cut, rest=rest),
            faults.kill(leader_of("shard-2"), hold=down, rest=rest),
        ],
        seed=seed,
    )
