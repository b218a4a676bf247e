"""A test of the database: `jepsen-like run skeleton_test.py`. It is valid as it stands.

Let it fail once before you believe it: have `Registers.answer` in skeleton_server.py forget to
compare, or answer reads in every member from a copy of its own.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from jepsen_like import Test, checks, faults, leader_of, load, workloads
from jepsen_like.skeleton.skeleton_adapter import Skeleton

test = Test(
    name="skeleton",
    db=Skeleton(),
    workloads=[workloads.register(keys=6)],
    load=load.open_loop(rate=90, deadline="300ms", clients=20),
    faults=[
        faults.healthy("500ms"),
        faults.partition(faults.isolate(leader_of("skeleton")), hold="2s", rest="1s"),
        faults.kill(leader_of("skeleton"), hold="500ms", rest="1s"),
    ],
    checks=[checks.linearizable(), checks.lost_writes(), checks.availability()],
    seed=1,
)
