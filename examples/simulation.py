"""A test that is simulated thousands of times: `jepsen-like sim examples/simulation.py --seeds 20`.

Registers; `examples/simulation.py:transactions` is for lists, registers and money over two shards.
Each seed draws one fault of the network, one of a process, its clock or its disk, and one thing an
operator does. The logs are short, so that a replica that was away needs a snapshot.
"""

from jepsen_like import Test, checks, faults, leader_of, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter
from nodes.config import RaftConfig

LEADER = leader_of("shard-1")

SCHEDULE: list[faults.Planned] = [
    faults.healthy("500ms"),
    faults.any_of(
        faults.partition(faults.isolate(LEADER), hold="1500ms", rest="1s"),
        faults.partition(faults.bridge(), hold="1500ms", rest="1s"),
        faults.partition(faults.one_way(LEADER), hold="1500ms", rest="1s"),
        faults.partition(faults.router_from_nodes("one"), hold="1s", rest="500ms"),
        faults.flapping(faults.isolate(LEADER), period="1s", hold="2s", rest="1s"),
        faults.reset(faults.isolate(LEADER), rest="500ms"),
        faults.slow_link("20ms±5ms", hold="1s", rest="500ms"),
    ),
    faults.any_of(
        faults.kill(LEADER, hold="500ms", rest="1s"),
        faults.kill(LEADER, hold="500ms", rest="1s", lose_unsynced="any"),
        faults.kill("all", hold="300ms", rest="1s", lose_unsynced=True),
        faults.pause(LEADER, hold="1s", rest="1s"),
        faults.restart("one", rest="500ms"),
        faults.clock(LEADER, jump="+30s", hold="1s", rest="500ms"),
        faults.clock("one", drift="5%", monotonic=True, hold="1s", rest="500ms"),
    ),
    faults.any_of(
        faults.transfer("shard-1", rest="500ms"),
        faults.move_replica("shard-1", rest="500ms"),
        faults.package(
            faults.move_replica("shard-1", rest="0s"), faults.kill(LEADER, "300ms", "1s")
        ),
    ),
]

test = Test(
    name="simulated-registers",
    db=ShardRouter(nodes=4, shards=1, replicas=3, raft=RaftConfig(log_entries=20)),
    workloads=[workloads.register(keys=4)],
    load=load.open_loop(rate=30, deadline="500ms", clients=2),
    faults=SCHEDULE,
    checks=[checks.linearizable(), checks.recovery()],
    backend="sim",
)

transactions = Test(
    name="simulated-transactions",
    db=ShardRouter(nodes=4, shards=2, replicas=3, snapshot=True, raft=RaftConfig(log_entries=20)),
    workloads=[
        workloads.append(keys=4, over_shards=True),
        workloads.rw_register(keys=2, over_shards=True),
        workloads.bank(keys=2, over_shards=True),
    ],
    load=load.open_loop(rate=20, deadline="1s", clients=3),
    faults=SCHEDULE,
    checks=[checks.strict_serializable(), checks.total_kept(), checks.recovery()],
    backend="sim",
)
