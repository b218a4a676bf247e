"""The phase of liveness on real processes: a host stays broken, and all others are served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from jepsen_like import Test, checks, faults, leader_of, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter
from jepsen_like.faults.liveness import Liveness
from jepsen_like.runner import run

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.processes]

TEST = Test(
    name="liveness",
    db=ShardRouter(nodes=3, shards=1, replicas=3),
    workloads=[workloads.register(keys=8)],
    load=load.open_loop(rate=60, deadline="1s"),
    faults=[
        faults.partition(faults.isolate(leader_of("shard-1")), hold="2s", rest="0s"),
        faults.liveness("8s"),
    ],
    checks=[checks.linearizable()],
    backend="proxy",
)


def seed_that_leaves(way: str) -> int:
    """The first that does."""
    for seed in range(1, 100):
        *_, phase = TEST.schedule(seed)
        assert isinstance(phase, Liveness)
        if phase.way == way:
            return seed
    raise AssertionError(f"no seed leaves a host {way}")


@pytest.mark.parametrize(
    "way",
    [
        "cut off",
        pytest.param("killed", marks=pytest.mark.nightly),
        pytest.param("paused", marks=pytest.mark.nightly),
    ],
)
def test_whoever_is_well_is_served(way: str, tmp_path: Path) -> None:
    result = run(replace(TEST, seed=seed_that_leaves(way)), out=tmp_path)
    (verdict,) = [verdict for verdict in result.verdicts if verdict.check == "liveness"]
    assert verdict.validity == "valid", verdict.reason
    assert way in verdict.reason
    phase = result.faults[-1]
    assert phase.verified, phase.evidence
    assert len(phase.healthy) == 2
    assert phase.served == ("shard-1",)
    assert result.validity == "valid"
