"""What an operator does, under load: run it with `jepsen-like run examples/move.py`.

Registers are read, written and compared-and-set while a leadership is handed over, the leader's
replica moves to a fourth host, and that host is killed. Nobody should notice but for the kill.
"""

from jepsen_like import Test, checks, faults, leader_of, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter

test = Test(
    name="move",
    db=ShardRouter(nodes=4, shards=1, replicas=3, spares=1),
    workloads=[workloads.register(keys=12)],
    load=load.open_loop(rate=90, deadline="1s"),
    faults=[
        faults.healthy("1s"),
        faults.transfer("shard-1", rest="1s"),
        faults.move_replica("shard-1", leader_of("shard-1"), faults.host("n4"), rest="1s"),
        faults.kill(faults.host("n4"), hold="1s", rest="2s"),
    ],
    checks=[checks.linearizable(), checks.availability(), checks.recovery()],
    seed=5,
)
