"""Transactions and reads over several shards, under faults: run it with
`jepsen-like run examples/over_shards.py`.

Lists, registers, money, pairs that skew and rows that are written once, each row on whatever shard
its key is, while a leader is cut off with its router and clients, one is killed, one is paused, and
the clock of one jumps. `jepsen-like run examples/over_shards.py:ten_minutes` goes on for that long.
"""

from dataclasses import replace

from jepsen_like import Test, checks, faults, leader_of, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter


def round_of(hold: str) -> list[faults.Fault]:
    return [
        faults.partition(faults.isolate(leader_of("shard-1")), hold=hold, rest="2s"),
        faults.kill(leader_of("shard-2"), hold="1s", rest="2s"),
        faults.pause(leader_of("shard-3"), hold="2s", rest="2s"),
        faults.clock("one", jump="+30s", hold="2s", rest="1s"),
    ]


test = Test(
    name="over-shards",
    db=ShardRouter(nodes=3, shards=3, replicas=3, snapshot=True),
    workloads=[
        workloads.append(keys=4, over_shards=True, weight=2),
        workloads.rw_register(keys=2, over_shards=True),
        workloads.write_skew(keys=2, over_shards=True),
        workloads.bank(keys=2, over_shards=True),
        workloads.long_fork(keys=3),
        workloads.causal_reverse(keys=2),
    ],
    load=load.open_loop(rate=60, deadline="1s"),
    faults=[faults.healthy("2s"), *round_of("4s")],
    checks=[
        checks.strict_serializable(),
        checks.total_kept(),
        checks.long_fork(),
        checks.causal_reverse(),
        checks.availability(),
    ],
    seed=5,
)

ten_minutes = replace(
    test, name="over-shards-ten-minutes", faults=[faults.healthy("2s"), *round_of("10s") * 22]
)
