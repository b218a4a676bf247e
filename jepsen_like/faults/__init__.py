"""What goes wrong, as values: `partition`, `flapping`, `kill`, `pause`, `slow`, and `healthy` in
between; and what an operator does: `transfer`, `move_replica`.

faults=[
    faults.healthy("4s"),
    faults.partition(faults.isolate(leader_of("shard-1")), hold="10s", rest="5s"),
    faults.kill(leader_of("shard-2"), hold="2s", rest="3s"),
]
"""

from jepsen_like.faults.cuts import (
    Cut,
    bridge,
    halves,
    isolate,
    majority_ring,
    one_way,
    split,
)
from jepsen_like.faults.fault import Fault, Healthy, Site, draw, healthy, total_seconds
from jepsen_like.faults.members import MoveReplica, Transfer, move_replica, transfer
from jepsen_like.faults.partitions import Flapping, Partition, flapping, partition
from jepsen_like.faults.processes import Kill, Pause, kill, pause
from jepsen_like.faults.slow import Slow, slow
from jepsen_like.faults.targets import Target, host, leader_of, one

__all__ = [
    "Fault",
    "Site",
    "draw",
    "total_seconds",
    "Healthy",
    "healthy",
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
    "Kill",
    "kill",
    "Pause",
    "pause",
    "Slow",
    "slow",
    "Transfer",
    "transfer",
    "MoveReplica",
    "move_replica",
    "Target",
    "leader_of",
    "host",
    "one",
]
