"""Faults by role and by lot: run it with `jepsen-like run examples/faults.py`.

The leader of a shard loses its power and every write that no fsync had made durable; the clock of
some host jumps; and then, by lot, some hosts are paused or all links become slow.
"""

from jepsen_like import Test, checks, faults, leader_of, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter

test = Test(
    name="faults",
    db=ShardRouter(nodes=3, shards=2, replicas=3),
    workloads=[workloads.register(keys=16)],
    load=load.open_loop(rate=90, deadline="500ms"),
    faults=[
        faults.kill(leader_of("shard-1"), lose_unsynced=True),
        faults.clock("one", jump="+30s"),
        faults.any_of(faults.pause("minority"), faults.slow_link("20ms±5ms")),
        faults.healthy("10s"),
    ],
    checks=[checks.linearizable(), checks.availability(), checks.recovery()],
    seed=7,
)
