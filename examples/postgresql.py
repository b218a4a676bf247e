"""PostgreSQL under test: `jepsen-like run examples/postgresql.py` (needs Debian's postgresql).

The primary is cut off with its clients, and a standby takes its place. Replication is asynchronous
and nobody stops the old primary, which is the usual setup: what it acknowledged to its own side is
gone when it comes back. `examples/postgresql.py:synchronous` waits for a standby with each commit
and has a primary that is cut off stop itself. In `:standby` clients read from the member of their
own host, and a standby is cut off: nothing is lost, but what it answers grows old.
"""

from dataclasses import replace

from jepsen_like import Test, checks, faults, leader_of, load, workloads
from jepsen_like.adapters.postgresql import PostgreSQL

test = Test(
    name="postgresql",
    db=PostgreSQL(),
    workloads=[workloads.register(keys=16, calls_per_key=30)],
    load=load.open_loop(rate=120, deadline="500ms", clients=30),
    faults=[
        faults.healthy("2s"),
        faults.partition(faults.isolate(leader_of("postgresql")), hold="8s", rest="6s"),
        faults.kill(leader_of("postgresql"), hold="6s", rest="5s"),
    ],
    checks=[
        checks.lost_writes(),
        checks.linearizable(),
        checks.availability(),
        checks.recovery(),
    ],
    seed=7,
)
synchronous = replace(
    test, name="postgresql-synchronous", db=PostgreSQL(synchronous=True, fence_after="1500ms")
)
standby = replace(
    test,
    name="postgresql-standby-reads",
    db=PostgreSQL(reads="standby"),
    faults=[
        faults.healthy("2s"),
        faults.partition(faults.isolate(faults.follower_of("postgresql")), hold="8s", rest="6s"),
    ],
    checks=[
        checks.lost_writes(),
        checks.linearizable(),
        checks.staleness(),
        checks.availability(),
    ],
)
