"""Redis under test: `jepsen-like run examples/redis.py` (needs Debian's redis-server).

The master is cut off with its clients, the sentinels make a replica master, and what the old one
acknowledged to its own side is gone when it is made a replica again, some 10 s after the heal.
`examples/redis.py:guarded` has a master that takes no writes without a replica: it loses less.
"""

from dataclasses import replace

from jepsen_like import Test, checks, faults, leader_of, load, workloads
from jepsen_like.adapters.redis import Redis

test = Test(
    name="redis",
    db=Redis(),
    workloads=[workloads.register(keys=16, calls_per_key=30)],
    load=load.open_loop(rate=120, deadline="500ms", clients=40),
    faults=[
        faults.healthy("2s"),
        faults.partition(faults.isolate(leader_of("redis")), hold="8s", rest="20s"),
    ],
    checks=[
        checks.lost_writes(),
        checks.linearizable(),
        checks.availability(),
        checks.recovery(),
    ],
    seed=7,
)
guarded = replace(test, name="redis-guarded", db=Redis(min_replicas=1))
