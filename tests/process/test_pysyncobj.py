"""Stock pysyncobj under test: what it acknowledges after a heal is nowhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from jepsen_like import checks, faults, leader_of, load, workloads
from jepsen_like.adapters.pysyncobj import PySyncObj
from jepsen_like.result import RunResult
from jepsen_like.runner import run
from jepsen_like.spec import Test
from tests.jepsen_like.networks import require_namespaces

RUNS = 4


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.nightly
def test_a_snapshot_makes_it_acknowledge_what_only_a_former_leader_has(tmp_path: Path) -> None:
    """Clients of the leader that is cut off wait for longer than the cut lasts. In one of so many
    runs: whether the other side has cut its log by the heal is a matter of chance."""
    require_namespaces()
    test = Test(
        name="pysyncobj",
        db=PySyncObj(compact_every=20, snapshot_piece_bytes=256),
        workloads=[workloads.register(keys=6, calls_per_key=15)],
        load=load.open_loop(rate=40, deadline="12s", clients=120),
        faults=[
            faults.healthy("500ms"),
            faults.partition(faults.isolate(leader_of("pysyncobj")), hold="5s", rest="8s"),
        ],
        checks=[checks.lost_writes(), checks.linearizable()],
        seed=7,
        backend="netns",
    )
    for seed in range(7, 7 + RUNS):
        result: RunResult = run(replace(test, seed=seed), out=tmp_path / str(seed), seed=seed)
        (cut,) = result.faults
        assert cut.verified, cut.evidence
        verdicts = {verdict.check: verdict for verdict in result.verdicts}
        if verdicts["lost writes"].validity == "invalid":
            break
    assert verdicts["lost writes"].validity == "invalid", verdicts["lost writes"].reason
    assert verdicts["linearizable"].validity == "invalid"
    assert verdicts["final reads"].validity == "valid"
    late = [
        o
        for o in result.operations
        if o.f == "write" and o.outcome == "ok" and o.node == cut.target
        if cut.start_ns < o.sent_ns < cut.end_ns < o.returned_ns
    ]
    assert late
