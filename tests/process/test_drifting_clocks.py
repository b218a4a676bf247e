"""Leases of real nodes whose clocks run wrong: safe within what is configured, stale reads beyond
it, and none of that for reads that rely on no clock.

The leader is cut off: the others elect another one by their clocks and take writes, while it
serves reads for as long as its own clock says.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from jepsen_like import Test, faults, leader_of, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter
from jepsen_like.faults.targets import host
from jepsen_like.result import RunResult
from jepsen_like.runner import run
from nodes.config import RaftConfig

pytestmark = [pytest.mark.slow, pytest.mark.long]

NODE = str(Path(__file__).with_name("drifting_node.py"))
LEADER = "n3"
DRIFT = 0.1

TOO_SLOW = f"{LEADER}=0.25"
"""Its heartbeats still come in time: every 200 ms, with election timeouts of 800 to 1200 ms. Its
lease of 649 ms lasts 2.6 s."""

WITHIN = f"n1=1.04,n2=1.04,{LEADER}=0.95"
"""9.5 percent."""


def run_with(rates: str, *, consistency: str, out: Path) -> RunResult:
    raft = RaftConfig(election_ticks=16, lease_reads=True, clock_drift=DRIFT, spread_leaders=False)
    command = (sys.executable, NODE, rates)
    db = ShardRouter(3, 1, 3, raft=raft, node_command=command, consistency=consistency)
    result = run(
        Test(
            name="drifting-clocks",
            db=db,
            workloads=[workloads.register(keys=3)],
            load=load.open_loop(rate=120, deadline="700ms", clients=30),
            faults=[
                faults.transfer("shard-1", to=host(LEADER), rest="1s"),
                faults.partition(faults.isolate(leader_of("shard-1")), hold="4s", rest="1s"),
            ],
        ),
        out=out,
        seed=1,
    )
    _, cut = result.faults  # the first one had nothing to do if it led already
    assert cut.verified, cut
    assert cut.target == LEADER
    return result


def test_a_lease_by_a_clock_that_is_far_too_slow_serves_stale_reads(tmp_path: Path) -> None:
    result = run_with(TOO_SLOW, consistency="lease", out=tmp_path)
    (verdict,) = [v for v in result.verdicts if v.validity == "invalid"]
    assert verdict.check == "linearizable"
    assert any(operation.f == "read" for operation in verdict.offending)


@pytest.mark.parametrize(
    ("rates", "consistency"),
    [
        (WITHIN, "lease"),
        pytest.param(TOO_SLOW, "linearizable", marks=pytest.mark.nightly),
    ],
    ids=["within", "linearizable"],
)
def test_a_lease_within_the_bound_and_none_at_all_are_safe(
    tmp_path: Path, rates: str, consistency: str
) -> None:
    result = run_with(rates, consistency=consistency, out=tmp_path)
    assert {v.validity for v in result.verdicts} == {"valid"}, [v.reason for v in result.verdicts]
    assert len(result.operations) > 500
