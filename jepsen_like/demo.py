"""The demonstration: this project's own database, its leader cut off, then a leader killed."""

from __future__ import annotations

from dataclasses import replace

from jepsen_like import checks, faults, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter
from jepsen_like.faults import leader_of
from jepsen_like.pacelc import labels_of
from jepsen_like.spec import Test
from jepsen_like.workloads.levels import levelled_register

__all__ = ["demo_test"]

RATE = 120.0
"""Calls per second over three hosts: 40 per host, so that each side of a cut has well over the
100 that a measurement needs, and two cores are not busy with the load itself."""

CLIENTS = 40
"""Connections per host: 40 calls/s, of which each may take its 0.5 s deadline, the harness's
grace and a reconnection, keep about 30 of them busy."""


LEVELS_RATE = 340.0
LEVELS_CLIENTS = 90
"""With reads of all levels beside: labels need some thousand of them. The deadline is 1 s then,
for a router notices after 0.4 s that a node fell silent."""


def demo_test(seed: int, *, quick: bool = False) -> Test:
    """Three nodes, three shards with three replicas each, a router and clients on every node.

    `quick` shortens every phase, each side still gets over 100 calls during the cut, and leaves out
    what the labels of PACELC need: reads of all levels, and slow links.
    """
    db = ShardRouter(nodes=3, shards=3, replicas=3)
    cut, rest, down = ("5s", "2s", "1s") if quick else ("13s", "3s", "1s")
    struck: list[faults.Planned] = [
        faults.healthy("2s"),
        faults.partition(faults.isolate(leader_of("shard-1")), hold=cut, rest=rest),
        faults.kill(leader_of("shard-2"), hold=down, rest=rest),
    ]
    register = workloads.register(keys=24)
    if quick:
        return Test(
            name="demo",
            db=db,
            workloads=[register],
            load=load.open_loop(rate=RATE, deadline="500ms", clients=CLIENTS),
            faults=struck,
            seed=seed,
        )
    *_, weakest = db.levels
    levels = replace(levelled_register([weakest]), weight=7.0, weaker=0.36)
    return Test(
        name="demo",
        db=db,
        workloads=[register, levels],
        load=load.open_loop(rate=LEVELS_RATE, deadline="1s", clients=LEVELS_CLIENTS),
        faults=[
            *struck,
            faults.slow("5ms", hold="2s", rest="500ms"),
            faults.slow("50ms", hold="13s", rest="500ms"),
        ],
        checks=[
            checks.linearizable(),
            checks.availability(),
            checks.recovery(),
            labels_of(db, in_short=True),
        ],
        seed=seed,
    )
