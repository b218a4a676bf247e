"""A test that is simulated thousands of times: `jepsen-like sim examples/simulation.py --seeds 20`.

Registers, while the leader of a shard is cut off with its router and clients, and another is
killed. `examples/simulation.py:transactions` is for lists and money over two shards.
"""

from jepsen_like import Test, checks, faults, leader_of, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter

SCHEDULE: list[faults.Planned] = [
    faults.healthy("1s"),
    faults.partition(faults.isolate(leader_of("shard-1")), hold="3s", rest="2s"),
    faults.kill(leader_of("shard-1"), hold="1s", rest="2s"),
]

test = Test(
    name="simulated-registers",
    db=ShardRouter(nodes=3, shards=1, replicas=3),
    workloads=[workloads.register(keys=4)],
    load=load.open_loop(rate=30, deadline="500ms", clients=3),
    faults=SCHEDULE,
    checks=[checks.linearizable(), checks.recovery()],
    backend="sim",
)

transactions = Test(
    name="simulated-transactions",
    db=ShardRouter(nodes=3, shards=2, replicas=3, snapshot=True),
    workloads=[
        workloads.append(keys=4, over_shards=True),
        workloads.bank(keys=2, over_shards=True),
    ],
    load=load.open_loop(rate=20, deadline="1s", clients=4),
    faults=SCHEDULE,
    checks=[checks.strict_serializable(), checks.total_kept(), checks.recovery()],
    backend="sim",
)
