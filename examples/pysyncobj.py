"""The library pysyncobj under test: `jepsen-like run examples/pysyncobj.py`.

The leader is cut off, and its clients wait for longer than the cut lasts. When it comes back the
new leader has cut its log and sends a snapshot, at which the old one takes for committed what only
it ever had: its clients are told that their writes are done, and the writes are gone.
"""

from jepsen_like import Test, checks, faults, leader_of, load, workloads
from jepsen_like.adapters.pysyncobj import PySyncObj

test = Test(
    name="pysyncobj",
    db=PySyncObj(compact_every=20, snapshot_piece_bytes=256),
    workloads=[workloads.register(keys=6, calls_per_key=15)],
    load=load.open_loop(rate=40, deadline="12s", clients=150),
    faults=[
        faults.healthy("1s"),
        faults.partition(faults.isolate(leader_of("pysyncobj")), hold="5s", rest="12s"),
    ],
    checks=[checks.lost_writes(), checks.linearizable()],
    seed=7,
)
