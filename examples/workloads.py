"""Several workloads at once: run it with `jepsen-like run examples/workloads.py`.

Each has keys, a table and verdicts of its own; together they make one load, which a partition
and the kill of a node meet. Checks named here judge every workload that they fit, any other
workload is judged by its own.
"""

from jepsen_like import Test, checks, faults, leader_of, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter

test = Test(
    name="workloads",
    db=ShardRouter(nodes=3, shards=2, replicas=3),
    workloads=[
        workloads.register(keys=10, weight=2),
        workloads.cas_register(keys=6),
        workloads.single_writer(keys=4),
        workloads.set(keys=6),
        workloads.monotonic(keys=4),
        workloads.sequential(keys=3, weight=0.5),
        workloads.sessions(keys=3),
        workloads.unique_ids(keys=6),
        workloads.counter(keys=6),
        workloads.lease(keys=6),
        workloads.schema_change(keys=2, weight=0.3),
        workloads.crash_replay(keys=3),
    ],
    load=load.open_loop(rate=90, deadline="800ms"),
    faults=[
        faults.healthy("1s"),
        faults.partition(faults.isolate(leader_of("shard-1")), hold="4s", rest="2s"),
        faults.kill(leader_of("shard-2"), hold="1s", rest="2s"),
    ],
    checks=[
        checks.linearizable(),
        checks.staleness(),
        checks.lost_writes(),
        checks.sessions(),
        checks.same_content(),
        checks.availability(per_side=True),
        checks.recovery(),
    ],
    seed=11,
)
