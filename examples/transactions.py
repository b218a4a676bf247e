"""Transactions under faults: run it with `jepsen-like run examples/transactions.py`.

Lists that are appended to, registers that are read and written, money that moves and pairs that
skew, each within a shard, while a leader is cut off with its router and clients, and another is
killed.
"""

from jepsen_like import Test, checks, faults, leader_of, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter

test = Test(
    name="transactions",
    db=ShardRouter(nodes=3, shards=2, replicas=3),
    workloads=[
        workloads.append(keys=4, weight=2),
        workloads.rw_register(keys=2),
        workloads.bank(keys=2),
        workloads.write_skew(keys=2),
    ],
    load=load.open_loop(rate=90, deadline="800ms"),
    faults=[
        faults.healthy("1s"),
        faults.partition(faults.isolate(leader_of("shard-1")), hold="4s", rest="2s"),
        faults.kill(leader_of("shard-2"), hold="1s", rest="2s"),
    ],
    checks=[checks.strict_serializable(), checks.total_kept(), checks.availability()],
    seed=5,
)
