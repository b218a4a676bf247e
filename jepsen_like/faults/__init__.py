"""What goes wrong, as values: `partition`, `flapping`, `kill`, `pause`, `slow`, and `healthy` in
between; what an operator does: `restart`, `rolling_restart`, `transfer`, `move_replica`; and how
faults are put together: `any_of`, `package`, `together`.

faults=[
    faults.healthy("4s"),
    faults.partition(faults.isolate(leader_of("shard-1")), hold="10s", rest="5s"),
    faults.kill(leader_of("shard-2"), hold="2s", rest="3s"),
    faults.any_of(faults.pause("minority"), faults.restart("one")),
]
"""

from jepsen_like.faults.compose import (
    AnyOf,
    Package,
    Together,
    any_of,
    package,
    strike,
    together,
)
from jepsen_like.faults.cuts import (
    Cut,
    bridge,
    halves,
    isolate,
    majority_ring,
    one_way,
    split,
)
from jepsen_like.faults.fault import (
    Fault,
    Healthy,
    Planned,
    Site,
    draw,
    healthy,
    total_seconds,
)
from jepsen_like.faults.members import MoveReplica, Transfer, move_replica, transfer
from jepsen_like.faults.partitions import Flapping, Partition, flapping, partition
from jepsen_like.faults.processes import ProcessFault
from jepsen_like.faults.signals import kill, pause, restart, rolling_restart
from jepsen_like.faults.slow import Slow, slow
from jepsen_like.faults.targets import (
    Target,
    follower_of,
    host,
    leader_of,
    one,
    router,
)

__all__ = [
    "Planned",
    "Fault",
    "Site",
    "draw",
    "strike",
    "total_seconds",
    "Healthy",
    "healthy",
    "AnyOf",
    "any_of",
    "Package",
    "package",
    "Together",
    "together",
    "Partition",
    "partition",
    "Flapping",
    "flapping",
    "Cut",
    "bridge",
    "halves",
    "isolate",
    "majority_ring",
    "one_way",
    "split",
    "ProcessFault",
    "kill",
    "pause",
    "restart",
    "rolling_restart",
    "Slow",
    "slow",
    "Transfer",
    "transfer",
    "MoveReplica",
    "move_replica",
    "Target",
    "leader_of",
    "follower_of",
    "router",
    "host",
    "one",
]
