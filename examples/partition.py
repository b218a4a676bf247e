"""A test of consistency as a value: run it with `jepsen-like run examples/partition.py`.

Registers are read, written and compared-and-set through every host's own router, while the
leader of a shard is cut off with its router and clients, then paused.
"""

from jepsen_like import Test, checks, faults, leader_of, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter

test = Test(
    name="partition",
    db=ShardRouter(nodes=3, shards=2, replicas=3),
    workloads=[workloads.register(keys=16)],
    load=load.open_loop(rate=90, deadline="500ms"),
    faults=[
        faults.healthy("1s"),
        faults.partition(faults.isolate(leader_of("shard-1")), hold="4s", rest="2s"),
        faults.pause(leader_of("shard-2"), hold="2s", rest="2s"),
    ],
    checks=[checks.linearizable(), checks.availability(), checks.recovery()],
    seed=7,
)
