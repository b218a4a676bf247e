"""What goes wrong, as values: `partition`, `flapping`, `kill`, `pause`, `slow`, and `healthy` in
between; `liveness`, which demands progress at the end; what an operator does: `restart`,
`rolling_restart`, `transfer`, `move_replica`; and how faults are put together: `any_of`, `package`,
`together`.

faults=[
    faults.healthy("4s"),
    faults.partition(faults.isolate(leader_of("shard-1")), hold="10s", rest="5s"),
    faults.kill(leader_of("shard-2"), hold="2s", rest="3s"),
    faults.any_of(faults.pause("minority"), faults.restart("one")),
]
"""

from jepsen_like.faults.clocks import clock
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
from jepsen_like.faults.cuts_of_routers import clients_from_router, router_from_nodes
from jepsen_like.faults.damage import bit_flip, torn_write
from jepsen_like.faults.disks import disk_full, fsync_error, slow_fsync, write_error
from jepsen_like.faults.fault import (
    Fault,
    Healthy,
    Planned,
    Site,
    draw,
    healthy,
    total_seconds,
)
from jepsen_like.faults.liveness import Liveness, liveness
from jepsen_like.faults.members import MoveReplica, Transfer, move_replica, transfer
from jepsen_like.faults.outage import Outage, outage
from jepsen_like.faults.partitions import Flapping, Partition, flapping, partition
from jepsen_like.faults.processes import ProcessFault
from jepsen_like.faults.resets import HalfOpen, Reset, half_open, reset
from jepsen_like.faults.resources import exhaust_files
from jepsen_like.faults.shaping import (
    Shaped,
    duplicate,
    loss,
    rate,
    reorder,
    shape,
    slow,
    slow_link,
)
from jepsen_like.faults.signals import kill, pause, restart, rolling_restart
from jepsen_like.faults.starving import starve_cpu
from jepsen_like.faults.targets import (
    Target,
    TargetError,
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
    "Liveness",
    "liveness",
    "AnyOf",
    "any_of",
    "Package",
    "package",
    "Together",
    "together",
    "Outage",
    "Partition",
    "outage",
    "partition",
    "router_from_nodes",
    "clients_from_router",
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
    "clock",
    "slow_fsync",
    "fsync_error",
    "write_error",
    "disk_full",
    "bit_flip",
    "torn_write",
    "starve_cpu",
    "exhaust_files",
    "HalfOpen",
    "half_open",
    "Reset",
    "reset",
    "Shaped",
    "duplicate",
    "loss",
    "rate",
    "reorder",
    "shape",
    "slow",
    "slow_link",
    "Transfer",
    "transfer",
    "MoveReplica",
    "move_replica",
    "Target",
    "TargetError",
    "leader_of",
    "follower_of",
    "router",
    "host",
    "one",
]
