"""The recipe of docs/deploy.md: each node of a cluster is restarted, and no client notices."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from jepsen_like import checks, faults, load, workloads
from jepsen_like.adapters.shardrouter import RunningShardRouter, ShardRouter
from jepsen_like.runner import record
from jepsen_like.spec import Test
from tests.process.test_moves_under_load import Script, Tool, is_well

pytestmark = [pytest.mark.slow, pytest.mark.long]

DEADLINE_S = 5
"""Of each operation: one that is late has failed."""

WELL_S = 60.0
"""How long a node may take to be back; the machine may be busy."""


async def restart_one_after_the_other(db: RunningShardRouter, tool: Tool) -> str:
    for node in ("n1", "n2", "n3"):
        await tool.run("leader", "leave", node)
        before = db.pid(node)
        os.kill(before, signal.SIGTERM)
        await db.restart(node)
        assert db.pid(node) != before
        async with asyncio.timeout(WELL_S):
            while (await tool.run("status"))["missing"]:  # each look is a process of its own
                pass
    return "n1, n2 and n3 were restarted"


async def test_every_node_is_restarted_and_no_write_fails(tmp_path: Path) -> None:
    test = Test(
        name="rolling restart",
        db=ShardRouter(nodes=3, shards=2, replicas=3),
        workloads=[workloads.register(keys=12)],
        load=load.open_loop(rate=120, deadline=f"{DEADLINE_S}s"),
        faults=[faults.healthy("1s"), Script("rolling restart", restart_one_after_the_other)],
        checks=[checks.linearizable(), checks.recovery()],
        seed=17,
    )
    recording = await record(test, directory=tmp_path)
    is_well(recording, silence_s=DEADLINE_S)
    failed = [
        operation
        for operation in recording.history
        if operation.f == "write" and operation.outcome != "ok"
    ]
    assert not failed, failed
