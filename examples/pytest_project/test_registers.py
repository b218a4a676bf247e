"""A database under faults, as a test of pytest. Everything is simulated, and needs no root.

What fails can be seen by letting reads ask any replica: `LEVEL = "any"`.
"""

from dataclasses import dataclass, replace

import pytest

from jepsen_like import Test, checks, faults, leader_of, load
from jepsen_like.adapters.shardrouter import ShardRouter
from jepsen_like.workloads.register import Register, RegisterMix

LEVEL = "linearizable"


@dataclass(frozen=True)
class AtLevel(Register):
    """Registers whose reads say at which level they want to be consistent."""

    def sql(self, call):
        found = super().sql(call)
        if call.f != "read":
            return found
        return replace(found, text=f"/*+ consistency={LEVEL} */ {found.text}")


registers = Test(
    name="registers",
    db=ShardRouter(nodes=3, shards=1, replicas=3),
    workloads=[AtLevel(keys_at_once=2, calls_per_key=60, mix=RegisterMix(), name="register")],
    load=load.open_loop(rate=60, deadline="500ms", clients=3),
    faults=[
        faults.healthy("1s"),
        faults.kill(leader_of("shard-1"), hold="1s", rest="2s"),
    ],
    checks=[checks.linearizable()],
    backend="sim",
)


@pytest.mark.jepsen(seeds=1, shrink=5)
def test_registers_are_linearizable(jepsen):
    jepsen.check(registers)
