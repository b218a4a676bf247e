"""Transactions over shards under the harness: nodes that keep their rules are acquitted, and nodes
that keep one less are convicted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from jepsen_like import Test, faults, load, workloads
from jepsen_like.adapters.shardrouter import ShardRouter
from jepsen_like.checks import strict_serializable
from jepsen_like.runner import run

pytestmark = [pytest.mark.slow, pytest.mark.long]

INTACT = (sys.executable, "-m", "nodes")
BROKEN = (sys.executable, str(Path(__file__).with_name("broken_two_phase_node.py")))


@pytest.mark.parametrize(("node", "validity"), [(INTACT, "valid"), ((*BROKEN, "locks"), "invalid")])
def test_who_prepares_without_locks_is_convicted(
    tmp_path: Path, node: tuple[str, ...], validity: str
) -> None:
    test = Test(
        name="prepared",
        db=ShardRouter(nodes=1, shards=3, replicas=1, node_command=node),
        workloads=[
            workloads.append(keys=2, over_shards=True),
            workloads.write_skew(keys=2, over_shards=True),
        ],
        load=load.open_loop(rate=80, deadline="2s", clients=30),
        faults=[faults.healthy("4s")],
        checks=[strict_serializable()],
    )
    result = run(test, out=tmp_path, seed=1)
    judged = [v for v in result.verdicts if v.check == "strict serializable"]
    assert len(judged) == 2
    assert all(v.operations > 40 for v in judged), result.verdicts
    assert {v.validity for v in judged} == {validity}, result.verdicts
