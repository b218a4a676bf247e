"""Another database under test: run it with `jepsen-like run examples/etcd.py` (needs etcd-server).

The leader is cut off with its clients, then one is killed. `examples/etcd.py:local` is the same
with serializable reads, which etcd answers from the member's own state: stale in a cut.
"""

from dataclasses import replace

from jepsen_like import Test, checks, faults, leader_of, load, workloads
from jepsen_like.adapters.etcd import Etcd

test = Test(
    name="etcd",
    db=Etcd(),
    workloads=[workloads.register(keys=16)],
    load=load.open_loop(rate=120, deadline="500ms", clients=40),
    faults=[
        faults.healthy("2s"),
        faults.partition(faults.isolate(leader_of("etcd")), hold="8s", rest="3s"),
        faults.kill(leader_of("etcd"), hold="2s", rest="3s"),
    ],
    checks=[checks.linearizable(), checks.availability(), checks.recovery()],
    seed=7,
)
local = replace(test, name="etcd-local-reads", db=Etcd(reads="serializable"))
