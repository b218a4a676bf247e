"""What `session` and `bounded` promise, in real histories; and that the checks would have found it
broken: on nodes that forget what a session has seen, and by a bound that was never promised."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from jepsen_like import Test, faults, leader_of, load
from jepsen_like.adapters.shardrouter import ShardRouter
from jepsen_like.pacelc import labels_of
from jepsen_like.result import Verdict
from jepsen_like.runner import run
from jepsen_like.workloads.levels import levelled_register

pytestmark = [pytest.mark.slow, pytest.mark.long]

NODE = (sys.executable, str(Path(__file__).with_name("tokenless_node.py")))
PROMISES = (
    "staleness of read bounded",
    "read-your-writes of read session",
    "monotonic-reads of read session",
)


def verdicts(db: ShardRouter, out: Path) -> dict[str, Verdict]:
    check = labels_of(db)
    result = run(
        Test(
            name="promises",
            db=db,
            workloads=[levelled_register(["session", "bounded"], share=0.9)],
            load=load.open_loop(rate=240, deadline="1s", clients=4),
            faults=[
                faults.slow("20ms", hold="5s", rest="500ms"),
                faults.partition(faults.isolate(leader_of("shard-1")), hold="5s", rest="1s"),
            ],
            checks=[replace(check, classes=tuple(c for c in check.classes if c.f != "read any"))],
        ),
        out=out,
        seed=1,
    )
    assert all(fault.verified for fault in result.faults)
    return {verdict.check: verdict for verdict in result.verdicts}


def test_sessions_see_their_own_and_bounded_reads_keep_to_the_bound(tmp_path: Path) -> None:
    found = verdicts(ShardRouter(3, 1, 3), tmp_path)
    for name in PROMISES:
        assert found[name].validity == "valid", found[name].reason
        assert found[name].operations > 300
    assert found["linearizable"].validity == "valid"


def test_a_lost_token_is_found(tmp_path: Path) -> None:
    found = verdicts(ShardRouter(3, 1, 3, node_command=NODE), tmp_path)
    broken = [name for name in PROMISES[1:] if found[name].validity == "invalid"]
    assert broken, "what a client wrote is not on its follower when it reads there"
    assert found[PROMISES[0]].validity == "valid", "it has no part in this"
